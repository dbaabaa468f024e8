"""Numbers about weights: summaries, histograms, and the table from which any threshold's effect is read at once.

Everything here looks at weights as float32, in chunks, and passes over values that are not finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from compressor_gui.core.memo import by_identity
from compressor_gui.core.rounding import Clipping, clip
from compressor_gui.core.values import Tensor

CHUNK = 1 << 20
"""Weights looked at in one go: temporary arrays stay within the cache and a few MB."""


@dataclass(frozen=True)
class WeightSummary:
    """``minimum`` to ``std`` are over the finite values; 0 where there are none."""

    parameters: int
    nonzero: int
    not_finite: int
    minimum: float
    maximum: float
    mean: float
    std: float

    @property
    def sparsity(self) -> float:
        """The share of weights that are zero, 0..1."""
        return 1 - self.nonzero / self.parameters if self.parameters else 0.0


def summarize(array: np.ndarray) -> WeightSummary:
    """Count and measure an array of any numeric type."""
    nonzero = finite = 0
    low, high, total, squares = math.inf, -math.inf, 0.0, 0.0
    for chunk in _chunks(array):
        nonzero += int(np.count_nonzero(chunk))
        good = _finite(chunk)
        if good.size:
            finite += good.size
            low, high = min(low, float(good.min())), max(high, float(good.max()))
            wide = good.astype(np.float64)
            total += float(wide.sum())
            squares += float(np.square(wide, out=wide).sum())
    if not finite:
        return WeightSummary(array.size, nonzero, array.size, 0.0, 0.0, 0.0, 0.0)
    mean = total / finite
    std = math.sqrt(max(squares / finite - mean * mean, 0.0)) if high > low else 0.0
    return WeightSummary(array.size, nonzero, array.size - finite, low, high, mean, std)


@by_identity
def summary(tensor: Tensor) -> WeightSummary:
    """:func:`summarize` of a constant's values as they are stored, remembered with the tensor."""
    return summarize(tensor.array)


def histogram(array: np.ndarray, bins: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Counts (``bins`` int64) and edges (``bins`` + 1 float64) between the smallest and the largest finite value."""
    whole = summarize(array)
    low, high = whole.minimum, whole.maximum
    if low == high:
        aside = max(0.5, abs(low) / 1000)
        low, high = low - aside, high + aside
    counts = np.zeros(bins, np.int64)
    for chunk in _chunks(array):
        place = (_finite(chunk).astype(np.float64) - low) * (bins / (high - low))
        counts += np.bincount(np.minimum(place.astype(np.int64), bins - 1), minlength=bins)
    return counts, np.linspace(low, high, bins + 1)


SHARES = (*np.linspace(1.0, 0.9, 5, endpoint=False), *np.geomspace(0.9, 0.05, 28))
"""The clipped ranges that are tried, as shares of the greatest magnitude: closer to each other where they are wide, as
ranges of 6 to 8 bits are."""

_DROPPED_BITS = 12
_INFINITE = 0x7F800000
_SMALLEST = float(np.finfo(np.float32).smallest_subnormal)


@dataclass(frozen=True, eq=False)
class Magnitudes:
    """How many weights have which magnitude, as a table sorted by magnitude.

    The bit patterns of positive floats are ordered as the floats are, so counting the weights by the upper bits of |w|
    sorts them in linear time: 8 bits of exponent and 11 of mantissa, a relative error of 2^-11 at most, and none for
    weights that float16 can hold. A weight is pruned when |w| < threshold.

    ``values``: the distinct magnitudes, float32, ascending; ``counts``: how many weights have each; ``size``: all
    weights, those included that are not finite (they are never pruned, and not in the table).
    """

    values: np.ndarray
    counts: np.ndarray
    size: int

    @staticmethod
    def of(array: np.ndarray) -> Magnitudes:
        """Build the table in one pass, without sorting."""
        counts, energy = np.zeros(0, np.int64), np.zeros(0)
        for chunk in _chunks(array):
            magnitude = np.abs(chunk)
            bits = magnitude.view(np.uint32)
            if bits.max(initial=0) >= _INFINITE:
                magnitude = magnitude[bits < _INFINITE]
                bits = magnitude.view(np.uint32)
            keys = (bits >> _DROPPED_BITS).astype(np.intp)
            counts = _added(counts, np.bincount(keys))
            energy = _added(energy, np.bincount(keys, np.square(magnitude, dtype=np.float64)))
        used = np.flatnonzero(counts)
        values = np.sqrt(energy[used] / counts[used]).astype(np.float32)
        return Magnitudes(values, counts[used], array.size)

    @cached_property
    def _upto(self) -> np.ndarray:
        """How many weights lie below each entry of the table, and below its end."""
        return np.concatenate(([0], np.cumsum(self.counts)))

    @cached_property
    def _energy_upto(self) -> np.ndarray:
        """The sum of their squares."""
        return np.concatenate(([0.0], np.cumsum(np.square(self.values, dtype=np.float64) * self.counts)))

    def sparsity_at(self, threshold: float) -> float:
        """The share of zeros, 0..1, once all |w| < ``threshold`` are zero (those that are zero already count)."""
        if not self.size:
            return 0.0
        below = np.searchsorted(self.values, np.float32(max(threshold, _SMALLEST)))
        return float(self._upto[below]) / self.size

    def threshold_for(self, sparsity: float) -> float:
        """The smallest threshold that makes at least ``sparsity`` (0..1) of the weights zero; 0 where they are."""
        wanted = min(math.floor(sparsity * self.size + 1e-9), int(self._upto[-1]))
        place = int(np.searchsorted(self._upto, wanted)) - 1
        if place < 0 or self.values[place] == 0:
            return 0.0
        return float(np.nextafter(self.values[place], np.float32(np.inf)))

    def error_at(self, sparsity: np.ndarray | float) -> np.ndarray:
        """||W - W_pruned|| / ||W|| once the smallest ``sparsity`` (0..1) of the weights are zero, for each entry."""
        wanted = np.minimum(np.floor(np.asarray(sparsity, np.float64) * self.size + 1e-9), self._upto[-1])
        lost = np.interp(wanted, self._upto, self._energy_upto)
        total = self._energy_upto[-1]
        return np.sqrt(lost / total) if total > 0 else np.zeros_like(lost)

    def quantization_errors(self, bits: Sequence[int] = (8, 7, 6, 5, 4, 3, 2, 1)) -> np.ndarray:
        """||W - Q_b(W)|| / ||W|| for each number of bits, one range for the whole tensor.

        Q_b has the 2^b - 1 levels that are evenly spaced around 0, its range clipped where that makes the error least;
        with one bit, the two levels -mean|w| and mean|w| (Rastegari et al., XNOR-Net, 2016).
        """
        total = self.energy
        if total == 0:
            return np.zeros(len(bits))
        values, counts = self._evenly_binned(4096)
        return np.array([math.sqrt(_least_error(values, counts, b) / total) for b in bits])

    @property
    def energy(self) -> float:
        """The sum of the squares of all finite weights."""
        return float(self._energy_upto[-1])

    def clipping(self, bits: int) -> Clipping:
        """The one range of 2^``bits`` - 1 (``bits`` >= 2) levels evenly around 0 whose squared error is least; not for
        a table of zeros alone, or of nothing."""
        return _clipping(*self._evenly_binned(4096), bits)

    def _evenly_binned(self, bins: int) -> tuple[np.ndarray, np.ndarray]:
        """The table, coarser: the mean magnitude of each of ``bins`` even steps, and the counts."""
        values = self.values.astype(np.float64)
        place = np.minimum((values * (bins / values[-1])).astype(np.intp), bins - 1)
        counts = np.bincount(place, self.counts, bins)
        used = counts > 0
        return np.bincount(place, values * self.counts, bins)[used] / counts[used], counts[used]


@by_identity
def magnitudes(tensor: Tensor) -> Magnitudes:
    """The table of a constant's magnitudes, remembered with the tensor."""
    return Magnitudes.of(tensor.array)


def quantization_errors(array: np.ndarray, bits: Sequence[int] = (8, 7, 6, 5, 4, 3, 2, 1)) -> np.ndarray:
    """:meth:`Magnitudes.quantization_errors` of an array."""
    return Magnitudes.of(array).quantization_errors(bits)


def _least_error(values: np.ndarray, counts: np.ndarray, bits: int) -> float:
    """The least sum of squared differences over the clipped ranges tried."""
    if bits == 1:
        return float(counts @ np.square(values - values @ counts / counts.sum()))
    return float(_clipping(values, counts, bits).errors[0])


def _clipping(values: np.ndarray, counts: np.ndarray, bits: int) -> Clipping:
    return clip(values[None], bits, SHARES, counts)


def _added(total: np.ndarray, more: np.ndarray) -> np.ndarray:
    """The sum of two tables of different lengths."""
    if total.size < more.size:
        total, more = more, total
    total[: more.size] += more
    return total


def _chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """The values as float32, flat, a chunk at a time."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        yield flat[start : start + CHUNK].astype(np.float32)


def _finite(chunk: np.ndarray) -> np.ndarray:
    good = np.isfinite(chunk)
    return chunk if good.all() else chunk[good]

"""How far a compressed graph's outputs are from the original's."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from compressor_gui.core.jobs import EXACT_DB, OutputCheck


def compare_output(name: str, originals: Sequence[np.ndarray], candidates: Sequence[np.ndarray]) -> OutputCheck:
    """Compare what one output was for several inputs; see OutputCheck for the measures and their units."""
    comparison = Comparison(name)
    for original, candidate in zip(originals, candidates, strict=True):
        comparison.add(original[np.newaxis], candidate[np.newaxis])
    return dataclasses.replace(comparison.check, shape=tuple(originals[0].shape))


class Comparison:
    """One output beside the original's, taken in batch by batch; :attr:`check` has the measures."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._noise = Noise()
        self._finite = self._equal = True
        self._agreed = self._rows = 0
        self._shape: tuple[int, ...] = ()

    def add(self, original: np.ndarray, candidate: np.ndarray) -> None:
        """Take in one batch of the output; rows are along the last axis."""
        self._shape = self._shape or tuple(original.shape)
        self._noise.add(original, candidate)
        numbers = original.dtype.kind in "fiuc" or original.dtype == np.bool_
        if original.shape != candidate.shape:
            self._finite = self._equal = False
            return
        floating = original.dtype.kind == "f"
        self._equal &= np.array_equal(original, candidate, equal_nan=floating)
        if numbers:
            self._finite &= bool(np.isfinite(candidate[np.isfinite(original)]).all())
        if floating and original.ndim > 1 and original.shape[-1] > 1 and original.size:
            agreed = _agreements(original, candidate)
            self._agreed += int(agreed.sum())
            self._rows += agreed.size

    def merge(self, other: Comparison) -> Comparison:
        """What both have taken in, ``other`` second, as a new comparison: that of one run, but for the order in which
        floats are summed.
        """
        merged = Comparison(self.name)
        merged._noise = self._noise.merge(other._noise)
        merged._finite, merged._equal = self._finite and other._finite, self._equal and other._equal
        merged._agreed, merged._rows = self._agreed + other._agreed, self._rows + other._rows
        merged._shape = self._shape or other._shape
        return merged

    @property
    def check(self) -> OutputCheck:
        """The measures of all batches so far; ``shape`` is the first batch's."""
        sqnr = EXACT_DB if self._equal else self._noise.db
        agreement = self._agreed / self._rows if self._rows else None
        return OutputCheck(self.name, sqnr, agreement, self._finite, self._equal, self._shape)


class Noise:
    """The SQNR of one output, added up batch by batch; see OutputCheck for what counts how."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0
        self._broken = False

    def add(self, original: np.ndarray, candidate: np.ndarray) -> None:
        """Take in one batch of the output."""
        if original.shape != candidate.shape:
            self._broken = True
        elif not (np.issubdtype(original.dtype, np.number) or original.dtype == bool):
            self._broken |= not np.array_equal(original, candidate)
        else:
            valid = np.isfinite(original)
            x, y = original[valid].astype(np.float64), candidate[valid].astype(np.float64)
            self._broken |= not np.isfinite(y).all()
            self._signal += float(np.sum(np.square(x)))
            self._noise += float(np.sum(np.square(x - y)))

    def merge(self, other: Noise) -> Noise:
        """What both have taken in, as a new one."""
        merged = Noise()
        merged._signal, merged._noise = self._signal + other._signal, self._noise + other._noise
        merged._broken = self._broken or other._broken
        return merged

    @property
    def db(self) -> float:
        """Between -EXACT_DB and EXACT_DB."""
        return -EXACT_DB if self._broken else _decibel(self._signal, self._noise)


def sqnr_db(signal: np.ndarray, other: np.ndarray) -> float:
    """10 log10(sum x^2 / sum (x - y)^2) in dB, clamped to +-EXACT_DB; EXACT_DB where there is no noise."""
    return _decibel(float(np.sum(np.square(signal))), float(np.sum(np.square(signal - other))))


def _decibel(power: float, noise: float) -> float:
    if noise == 0:
        return EXACT_DB
    return max(-EXACT_DB, min(EXACT_DB, 10 * math.log10(power / noise))) if power else -EXACT_DB


def _agreements(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """For each row, whether the largest value in ``y`` is one of the largest in ``x`` too."""
    chosen = np.take_along_axis(x, np.argmax(y, axis=-1, keepdims=True), axis=-1)
    agreed: np.ndarray = chosen >= x.max(axis=-1, keepdims=True)
    return agreed

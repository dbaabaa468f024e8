"""Ranges of activations from examples: histograms made in one pass, and the methods that choose a range from them.

What is measured is what each RequantizationRange node stands for. Where :class:`.passes.QuantizeNodes` makes that node,
it is the result of the float operation; in a file that is in 8 bits already, the qint32 tensor that the node reads. For
:class:`.passes.FuseInt8` it is what that pass asks for: the float results that it keeps in 8 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.measure import METHODS, RangeHistogram
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.ranges_file import Limits
from compressor_gui.core.recipe import Recipe, Replayer, Step

BINS = 2048
"""Bins of a histogram."""

PERCENTILE = 99.99
"""Percent of the values that the method ``percentile`` keeps below the maximum, and above the minimum."""

_FINE_BITS = 13  # 2^13 is 4 * BINS: the step to bins twice as wide leaves at least 2 * BINS in use
_NARROWEST = -1000  # 2^-1000 and its inverse are floats yet; no activation is so small
_LEVELS = 256
_SMALLEST = 0.01
"""The maximum where all values are 0: any range has a code for them, but it must not be empty."""


# -- what has to be measured ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CalibrationPlan:
    """What to run for a recipe's ranges.

    ``tensors``: RequantizationRange node (for fuse_int8: float node) -> what to fetch from ``graph``: a float tensor,
    or a qint32 one with its minimum and maximum. ``recipe`` has a step quantize_nodes or fuse_int8; ``notes`` are
    sentences for the user.
    """

    graph: ModelGraph
    tensors: Mapping[str, tuple[str, ...]]
    recipe: Recipe
    notes: tuple[str, ...] = ()


def plan_calibration(
    source: ModelGraph, recipe: Recipe, progress: Callable[[int, int, str], None] | None = None
) -> CalibrationPlan:
    """Find the activations whose range is found at run time, and the float graph that computes them.

    A recipe without fuse_int8 and quantize_nodes is completed with the latter, unless the graph is in 8 bits already.
    Raises CompressorError where nothing is requantized.
    """
    notes: tuple[str, ...] = ()
    at = _quantizing_step(recipe)
    if at is None:
        replay = Replayer(source).replay(_without_ranges(recipe, 0), progress)
        if _range_nodes(replay.graph):
            return CalibrationPlan(replay.graph, _range_inputs(replay.graph), recipe)
        if any(node.op == "Requantize" for node in replay.graph.nodes):
            words = "its ranges are stored already: no activation is requantized over a range found at run time"
            raise CompressorError(words, where="calibration", hint="open the float model to measure them anew")
        at = len(recipe.steps)
        recipe = recipe.adding(QuantizeNodes())
        notes = ("The recipe does not quantize layers: quantize_nodes was added at its end.",)
    fuse = recipe.steps[at].transform
    if isinstance(fuse, FuseInt8):
        before = Replayer(source).replay(replace(recipe, steps=recipe.steps[:at]), progress).graph
        return CalibrationPlan(before, {name: (f"{name}:0",) for name in fuse.activations(before)}, recipe)
    stage = Replayer(source).replay(replace(recipe, steps=recipe.steps[: at + 1]), progress).stages[-1]
    made = [name for name in _range_nodes(stage.after) if name not in stage.before]
    tensors = _range_inputs(stage.before) | {name: (f"{stage.result.origins[name][0]}:0",) for name in made}
    if not tensors:
        raise CompressorError(
            "no activation of this model is requantized over a range found at run time",
            where="quantize_nodes",
            hint="take its fallback range away, or choose a model with operations that have an 8-bit kernel",
        )
    return CalibrationPlan(stage.before, tensors, recipe, notes)


def with_ranges(recipe: Recipe, ranges: Mapping[str, Limits]) -> Recipe:
    """The recipe with these ranges, in place of others: stored in fuse_int8, or else right behind quantize_nodes
    (without one, at the end)."""
    at = _quantizing_step(recipe)
    fuse = recipe.steps[at].transform if at is not None else None
    if at is not None and isinstance(fuse, FuseInt8):
        return recipe.replacing(at, replace(recipe.steps[at], transform=replace(fuse, ranges=tuple(ranges.items()))))
    recipe = _without_ranges(recipe, 0 if at is None else at)
    return recipe.adding(FreezeRequantizationRanges(tuple(ranges.items())), None if at is None else at + 1)


def _quantizing_step(recipe: Recipe) -> int | None:
    found = (n for n, s in enumerate(recipe.steps) if s.enabled and isinstance(s.transform, QuantizeNodes | FuseInt8))
    return next(found, None)


def _without_ranges(recipe: Recipe, start: int) -> Recipe:
    def kept(number: int, step: Step) -> bool:
        return number < start or not isinstance(step.transform, FreezeRequantizationRanges)

    return replace(recipe, steps=tuple(step for number, step in enumerate(recipe.steps) if kept(number, step)))


def _range_nodes(graph: ModelGraph) -> list[str]:
    return [node.name for node in graph.nodes if node.op == "RequantizationRange"]


def _range_inputs(graph: ModelGraph) -> dict[str, tuple[str, ...]]:
    return {name: tuple(f"{ref.name}:{ref.port}" for ref in graph[name].data_refs[:3]) for name in _range_nodes(graph)}


# -- counting ----------------------------------------------------------------------------------------


class Collector:
    """Counts the values of one activation, batch after batch.

    Bins are a power of two wide and begin at its multiples, and only the extremes seen so far (0 among them, as in the
    range of the 8-bit kernels) decide how wide. When a value lies outside, neighbours are put together. So no batch has
    to be seen twice, and what is counted in parts is, once merged, what is counted in one run.
    """

    def __init__(self) -> None:
        self._seen: Limits = (0.0, 0.0)
        self._bins = _Bins.of(self._seen)
        self._counts = np.zeros(self._bins.size, np.int64)
        self._batches = 0
        self._sums = (0.0, 0.0)

    def add(self, values: np.ndarray) -> None:
        """Count a batch of finite values, of any shape but not empty."""
        flat = values.reshape(-1).astype(np.float64)
        low, high = float(flat.min()), float(flat.max())
        self._batches += 1
        self._sums = (self._sums[0] + low, self._sums[1] + high)
        self._widen((low, high))
        places = np.floor(flat * 2.0**-self._bins.exponent).astype(np.int64) - self._bins.first
        self._counts += np.bincount(places, minlength=self._bins.size)

    def merge(self, other: Collector) -> Collector:
        """What both have counted, as a new collector. Ends and counts are exactly those of one run over all batches,
        the means but for the order in which floats are summed.
        """
        merged = Collector()
        for part in (self, other):
            merged._widen(part._seen)
            merged._counts += merged._bins.taking(part._counts, part._bins)
        merged._batches = self._batches + other._batches
        merged._sums = (self._sums[0] + other._sums[0], self._sums[1] + other._sums[1])
        return merged

    def histogram(self) -> RangeHistogram:
        """What was counted, in even bins from the smallest to the largest value (or 0). Raises ValueError if nothing
        was."""
        if not self._batches:
            raise ValueError("nothing was counted")
        low, high = self._seen
        total = np.concatenate(([0], np.cumsum(self._counts)))
        inner = np.linspace(low, high, BINS + 1)[1:-1]
        found = np.interp(inner, self._bins.edges, total)
        counts = np.diff(np.concatenate(([0], np.rint(found).astype(np.int64), [total[-1]])))
        mean_low, mean_high = (total / self._batches for total in self._sums)
        return RangeHistogram(low, high, tuple(counts.tolist()), mean_low, mean_high)

    def _widen(self, seen: Limits) -> None:
        """Make room for these values."""
        low, high = min(self._seen[0], seen[0]), max(self._seen[1], seen[1])
        if (low, high) != self._seen:
            bins = _Bins.of((low, high))
            self._counts = bins.taking(self._counts, self._bins)
            self._seen, self._bins = (low, high), bins


@dataclass(frozen=True)
class _Bins:
    """``size`` bins of the width 2^exponent, of which the first begins at ``first`` times the width."""

    exponent: int
    first: int
    size: int

    @staticmethod
    def of(seen: Limits) -> _Bins:
        """The narrowest for these extremes: at least 2 * BINS, at most twice as many and one."""
        low, high = seen
        exponent = max(math.frexp(high - low)[1] - _FINE_BITS, _NARROWEST) if low < high else _NARROWEST
        first, last = (math.floor(math.ldexp(end, -exponent)) for end in seen)
        return _Bins(exponent, first, last - first + 1)

    @property
    def edges(self) -> np.ndarray:
        return (self.first + np.arange(self.size + 1)) * 2.0**self.exponent

    def taking(self, counts: np.ndarray, bins: _Bins) -> np.ndarray:
        """What is counted in narrower bins, or as narrow ones, in these."""
        shift = min(self.exponent - bins.exponent, 62)  # no place is left of 0 and -1 then
        taken = np.zeros(self.size, np.int64)
        np.add.at(taken, ((bins.first + np.arange(bins.size)) >> shift) - self.first, counts)
        return taken


# -- choosing ----------------------------------------------------------------------------------------


def choose_range(histogram: RangeHistogram, method: str, percentile: float = PERCENTILE) -> Limits:
    """The range of an activation, which includes 0 and is not empty, by one of METHODS.

    - ``minmax``: all values.
    - ``moving_average``: the means of the batches' minima and maxima.
    - ``percentile``: what is below the percentile at each end is cut.
    - ``kl``: the cut whose 8-bit form has the least Kullback-Leibler divergence from what was measured, at the same
      distance of 0 on both sides (S. Migacz, 8-bit Inference with TensorRT, 2017, has it for magnitudes).
    - ``mse``: the cut with the least squared error, of the values that are cut off and of the rounding (its square is
      step^2 / 12 in the mean), over all pairs of ends.
    """
    if method not in METHODS:
        raise CompressorError(f"there is no method {method!r}", hint=f"there are {', '.join(METHODS)}")
    if method == "moving_average":
        low, high = histogram.mean_low, histogram.mean_high
    elif method == "minmax" or histogram.low == histogram.high:
        low, high = histogram.low, histogram.high
    elif method == "percentile":
        low, high = _percentile(histogram, percentile)
    else:
        low, high = (_least_divergence if method == "kl" else _least_error)(histogram)
    low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if low < high else (0.0, _SMALLEST)


def choose_ranges(
    histograms: Mapping[str, RangeHistogram], method: str, percentile: float = PERCENTILE
) -> dict[str, Limits]:
    """Node -> range, for all histograms."""
    return {name: choose_range(histogram, method, percentile) for name, histogram in histograms.items()}


def _edges(histogram: RangeHistogram) -> np.ndarray:
    return np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)


def _below(values: np.ndarray) -> np.ndarray:
    """The sums of all values before each edge."""
    return np.concatenate(([0.0], np.cumsum(values)))


def _percentile(histogram: RangeHistogram, percentile: float) -> Limits:
    below = _below(np.asarray(histogram.counts, np.float64))
    share = min(max(percentile / 100, 0.5), 1.0) * below[-1]
    edges = _edges(histogram)
    low = int(np.searchsorted(below, below[-1] - share, "right")) - 1
    high = int(np.searchsorted(below, share, "left"))
    return float(edges[low]), float(edges[high])


def _least_error(histogram: RangeHistogram) -> Limits:
    counts = np.asarray(histogram.counts, np.float64)
    edges = _edges(histogram)
    middles = (edges[1:] + edges[:-1]) / 2
    count, total, squares = _below(counts), _below(counts * middles), _below(counts * middles**2)
    cut_below = squares - 2 * edges * total + edges**2 * count
    cut_above = (squares[-1] - squares) - 2 * edges * (total[-1] - total) + edges**2 * (count[-1] - count)
    lows, highs = np.flatnonzero(edges <= 0), np.flatnonzero(edges >= 0)
    step = (edges[highs] - edges[lows, None]) / (_LEVELS - 1)
    error = cut_below[lows, None] + cut_above[highs] + (count[highs] - count[lows, None]) * step**2 / 12
    low, high = np.unravel_index(np.argmin(error), error.shape)
    return float(edges[lows[low]]), float(edges[highs[high]])


def _least_divergence(histogram: RangeHistogram) -> Limits:
    counts = np.asarray(histogram.counts, np.float64)
    edges, size = _edges(histogram), len(counts)
    zero = -histogram.low / (histogram.high - histogram.low) * size
    best, found = np.inf, (0, size)
    for distance in range(size, _LEVELS // 2, -_LEVELS // 32):  # the widest of equals comes first
        low, high = max(int(zero - distance), 0), min(int(np.ceil(zero + distance)), size)
        if high - low < _LEVELS:
            break
        divergence = _divergence(counts, low, high)
        if divergence < best:
            best, found = divergence, (low, high)
    return float(edges[found[0]]), float(edges[found[1]])


def _divergence(counts: np.ndarray, low: int, high: int) -> float:
    """The divergence, in nats, of bins ``low`` to ``high`` in 256 levels from all bins, those outside moved to the
    ends."""
    inside = counts[low:high]
    measured = inside.copy()
    measured[0] += counts[:low].sum()
    measured[-1] += counts[high:].sum()
    level = np.arange(high - low) * _LEVELS // (high - low)
    sums, used = np.bincount(level, inside), np.bincount(level, inside > 0)
    coded = np.where(inside > 0, sums[level] / np.maximum(used[level], 1), 0)
    if not coded.any():
        return float(np.inf)
    p, q = measured / measured.sum(), coded / coded.sum()
    here = p > 0
    return float(np.sum(p[here] * np.log(p[here] / np.maximum(q[here], 1e-10))))

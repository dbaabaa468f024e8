"""Which 8-bit regions of a network make it faster, found by timing: what the job and the command line share.

A model of the cost (:mod:`.passes.int8.cost`) guesses what pays; processors differ. So each region is timed against
itself in float, within the whole network, and what makes the network slower is left in float.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from compressor_gui.core.caution import Cautious, Ran
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.recipe import Recipe

SURE = 0.75
"""The part of the pairs that has to be faster without a region, for it to be left in float: noise makes half so."""

Kept = frozenset[int]
"""Numbers of the regions that are in 8 bits."""
Pairs = Sequence[tuple[float, float]]
"""Seconds of two graphs that ran in turns."""


@dataclass(frozen=True)
class RegionGain:
    """A region of the int8 graph: the float ``operations`` that it stands for (what ``skip`` takes); how many times
    longer the network takes with the region in float, ``gain``, and how many ``milliseconds`` (below 1 and below 0: it
    is faster then); whether it is ``kept`` in 8 bits."""

    operations: tuple[str, ...]
    gain: float
    milliseconds: float
    kept: bool


@dataclass(frozen=True)
class ChosenRegions(Ran):
    """What to ``skip`` in fuse_int8, beside what was skipped before; the median milliseconds of one run of the float
    graph, of the one with all regions in 8 bits, and of the chosen one. ``lacking``: sentences on what the TensorFlow
    that runs has no kernel for; what needs it is in ``skip`` without having been timed."""

    skip: tuple[str, ...]
    regions: tuple[RegionGain, ...]
    float_ms: float
    fused_ms: float
    chosen_ms: float
    batch: int
    runs: int
    lacking: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """How many regions are kept in 8 bits."""
        return sum(region.kept for region in self.regions)

    @property
    def speedup(self) -> float:
        """How many times faster than float the chosen graph is."""
        return self.float_ms / self.chosen_ms


@dataclass(frozen=True)
class ChooseRegions(Cautious[ChosenRegions]):
    """Time the regions that the step fuse_int8 of the model's recipe makes. ``runs``: how many pairs for each."""

    name: ClassVar[str] = "choose_regions"
    timed: ClassVar[bool] = True
    answer: ClassVar[type] = ChosenRegions

    model: ModelRef
    batch: int = 1
    runs: int = 20


@dataclass(frozen=True)
class Choice:
    """The regions to keep; for each, seconds with and without it; seconds of all in 8 bits and of float; seconds of the
    chosen ones and of float."""

    kept: Kept
    regions: tuple[Pairs, ...]
    whole: Pairs
    chosen: Pairs


def choose(count: int, compare: Callable[[Kept, Kept], Pairs]) -> Choice:
    """Of ``count`` regions, those that don't make the network slower; none where it is slower than float with them.

    ``compare`` runs the graphs with these regions in turns.
    """
    everything: Kept = frozenset(range(count))
    whole = compare(everything, frozenset())
    regions = [whole] if count == 1 else [compare(everything, everything - {one}) for one in range(count)]
    kept = frozenset(one for one in everything if not _surely_slower(regions[one]))
    chosen = whole if kept == everything else compare(kept, frozenset())
    if ratio(chosen) < 1:
        kept, chosen = frozenset(), [(without, without) for _, without in whole]
    return Choice(kept, tuple(regions), whole, chosen)


def ratio(pairs: Pairs) -> float:
    """How many times longer the second takes, in the median of the pairs."""
    return statistics.median(second / first for first, second in pairs)


def answer(choice: Choice, operations: Sequence[tuple[str, ...]], batch: int, runs: int) -> ChosenRegions:
    """The choice, told by the ``operations`` of each region."""
    gains = []
    for number, (names, pairs) in enumerate(zip(operations, choice.regions, strict=True)):
        saved = statistics.median(second - first for first, second in pairs)
        gains.append(RegionGain(names, ratio(pairs), 1e3 * saved, number in choice.kept))
    return ChosenRegions(
        skip=tuple(name for region in gains if not region.kept for name in region.operations),
        regions=tuple(gains),
        float_ms=1e3 * statistics.median(without for _, without in choice.whole),
        fused_ms=1e3 * statistics.median(with_it for with_it, _ in choice.whole),
        chosen_ms=1e3 * statistics.median(with_it for with_it, _ in choice.chosen),
        batch=batch,
        runs=runs,
    )


def fusing_step(recipe: Recipe) -> int:
    """Where the recipe's fuse_int8 is. Raises CompressorError where it has none."""
    for number, step in enumerate(recipe.steps):
        if step.enabled and isinstance(step.transform, FuseInt8):
            return number
    hint = "calibrate with --for fuse_int8 and --save-recipe makes one"
    raise CompressorError("the recipe has no step fuse_int8", where="choosing regions", hint=hint)


def with_skipped(recipe: Recipe, names: Sequence[str]) -> Recipe:
    """The recipe, its fuse_int8 leaving these operations in float too. Raises CompressorError where it has none."""
    at = fusing_step(recipe)
    step = recipe.steps[at]
    assert isinstance(step.transform, FuseInt8)
    skip = tuple(dict.fromkeys((*step.transform.skip, *names)))
    return recipe.replacing(at, replace(step, transform=replace(step.transform, skip=skip)))


def _surely_slower(pairs: Pairs) -> bool:
    return sum(without < with_it for with_it, without in pairs) >= SURE * len(pairs)

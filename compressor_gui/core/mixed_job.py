"""What the engine is asked for the cheapest precision of each layer, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from compressor_gui.core import units
from compressor_gui.core.caution import Cautious, Ran
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.mixed import Path, chosen, estimates
from compressor_gui.core.passes import Pass
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.mixed_precision import WIDTHS, MixedPrecision
from compressor_gui.core.recipe import Recipe

TARGET_DB = 25.0
"""What every output shall reach unless something else is asked."""

OFFERED = (32, 16, 12, 10, 8, 7, 6, 5, 4, 3, 2)
"""The numbers of bits that layers may have unless others are asked for."""

HIGHEST_DB = 200.0
"""More than float32 can tell."""


@dataclass(frozen=True)
class LayerOptions:
    """What one layer can be: its ``bits``, what each costs, and the SQNR in dB of the worst output with this layer
    alone so (EXACT_DB: nothing changes)."""

    name: str
    bits: tuple[int, ...]
    cost: tuple[int, ...]
    db: tuple[float, ...]


@dataclass(frozen=True)
class MeasuredPoint:
    """A point of the path as it was measured: the metric, the bytes of the whole file, and each output's SQNR in dB."""

    at: int
    value: float
    bytes: int
    outputs: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Precision(Ran):
    """The path of assignments, from the best to the cheapest, and what was measured on it.

    ``metric`` is ``sqnr_db`` (of the worst output) or ``top1`` (a fraction), of which ``target`` is the least allowed
    and ``baseline`` the untouched model's on the same ``n`` examples. Costs are the file's bytes, or where ``fused``
    the multiply-adds that are left in float.
    """

    metric: str
    target: float
    baseline: float
    n: int
    fused: bool
    layers: tuple[LayerOptions, ...]
    path: Path
    measured: tuple[MeasuredPoint, ...]
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def values(self) -> dict[int, float]:
        """Place on the path -> the metric measured there."""
        return {point.at: point.value for point in self.measured}

    @property
    def estimates(self) -> tuple[float, ...]:
        """The metric of each point: measured, or estimated."""
        return estimates(self.path, self.values, self.baseline if self.metric == "top1" else None)

    @property
    def chosen(self) -> int:
        """The place of the cheapest point that was measured to meet the target; of the best one where none does."""
        return chosen(self.values, self.target)[0]

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return chosen(self.values, self.target)[1]

    @property
    def lack(self) -> str:
        """What the best point lacks of a target that no point meets; empty where one does."""
        if self.met:
            return ""
        best = max(self.measured, key=lambda point: point.value)
        if self.metric == "top1":
            have, less = units.percent(best.value), units.percent(self.target - best.value)
            return f"the best point found has {have} top-1, {less} less than the target"
        worst = min(best.outputs, key=lambda output: output[1])
        missing = units.decibel(self.target - worst[1])
        return f"the best point found has {units.decibel(worst[1])} on {worst[0]}, {missing} less than the target"


@dataclass(frozen=True)
class FindPrecision(Cautious[Precision]):
    """Find the cheapest number of bits for each layer of ``model`` with which every output keeps ``min_sqnr_db``, or
    top-1 falls by ``max_drop`` (a fraction) at most: exactly one is given.

    ``bits``: the numbers that weights may have. ``fused``: layers are computed by ``fuse_int8`` over ``ranges`` (as its
    parameters say), or stay in float; ``bits`` is not used then. ``cache`` as in :class:`.measure.Sensitivity`.
    """

    name: ClassVar[str] = "mixed_precision"
    answer: ClassVar[type] = Precision

    model: ModelRef
    data: DataSpec
    min_sqnr_db: float | None = None
    max_drop: float | None = None
    bits: tuple[int, ...] = OFFERED
    fused: bool = False
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    without_vnni: bool = False
    batch: int = 8
    activation_bytes: int = 1_000_000_000
    cache: str = ""

    def check(self) -> None:
        """Raise CompressorError where what is asked makes no sense."""
        if (self.min_sqnr_db is None) == (self.max_drop is None):
            raise CompressorError("the target is either an SQNR or a drop of top-1", hint="give exactly one")
        if self.min_sqnr_db is not None and not 0 <= self.min_sqnr_db <= HIGHEST_DB:
            words = f"an SQNR of {self.min_sqnr_db:g} dB is no target: it must be between 0 and {HIGHEST_DB:g}"
            raise CompressorError(words, hint=f"{TARGET_DB:g} dB is hard to tell from float")
        if self.max_drop is not None and not 0 <= self.max_drop < 1:
            raise CompressorError("the drop of top-1 must be at least 0 and less than 100 percentage points")
        strange = [bits for bits in self.bits if bits not in WIDTHS]
        if strange or not self.bits:
            words = f"weights can't have {strange[0]} bits" if strange else "no number of bits is given"
            raise CompressorError(words, hint="there are 2 to 16, and 32")
        if self.fused and not self.ranges:
            hint = "compressor-cli calibrate --for fuse_int8 measures them"
            raise CompressorError("fused int8 needs the ranges of activations", hint=hint)

    def step(self, bits: Mapping[str, int]) -> Pass | None:
        """The pass that gives each layer its bits; None where all stay in float."""
        if self.fused:
            skip = tuple(name for name, its in bits.items() if its == 32)
            ranges = tuple(self.ranges.items())
            made = FuseInt8(ranges=ranges, skip=skip, without_vnni=self.without_vnni)
            return None if len(skip) == len(bits) else made
        stored = tuple((name, float(its)) for name, its in bits.items() if its < 32)
        return MixedPrecision(bits=stored) if stored else None

    def model_with(self, step: Pass | None) -> ModelRef:
        """The model with one more step."""
        recipe = Recipe.from_json(self.model.recipe) if self.model.recipe else Recipe()
        return self.model if step is None else replace(self.model, recipe=recipe.adding(step).to_json())

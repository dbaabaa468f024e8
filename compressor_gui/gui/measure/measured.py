"""What was measured, as a part of the document's state: each result with the recipe and data it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Generic, TypeVar

from compressor_gui.core import units
from compressor_gui.core.data import DataSpec
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.measure import (
    Calibration,
    Evaluation,
    LatencyResult,
    LayerCurve,
    Predictions,
    PreviewResult,
    RangeHistogram,
    SensitivityResult,
    Timing,
)
from compressor_gui.core.noise import LayerNoiseResult
from compressor_gui.core.recipe import Recipe

T = TypeVar("T")
_KEPT = 8
"""How many results of a kind are remembered."""
TOP_DB = 60.0
"""The top of the scale of SQNR: what is above looks like the original."""


@dataclass(frozen=True, eq=False)
class Of(Generic[T]):
    """A result, and the recipe and data that it belongs to (None: it does not depend on them)."""

    value: T
    recipe: Recipe | None
    data: DataSpec | None

    def is_stale(self, recipe: Recipe, data: DataSpec | None) -> bool:
        """Whether the recipe or the data is another now."""
        return (self.recipe is not None and self.recipe.active != recipe.active) or (
            self.data is not None and self.data != data
        )


@dataclass(frozen=True, eq=False)
class Sweep:
    """Sensitivity curves of the original's layers, as far as they are known."""

    curves: Mapping[str, LayerCurve]
    layers: int
    """How many layers there are to sweep."""
    finished: SensitivityResult | None = None

    @cached_property
    def metric(self) -> str:
        """``top1`` or ``sqnr_db``. While the answer is not there, the untouched point tells: 999 dB is no share."""
        if self.finished is not None:
            return self.finished.metric
        values = [value for curve in self.curves.values() for value in (*curve.value, *curve.bits_value)]
        return "sqnr_db" if any(not 0 <= value <= 1 for value in values) else "top1"

    @cached_property
    def baseline(self) -> float:
        """The value of the model as it is: what every curve starts from."""
        if self.metric == "sqnr_db":
            return EXACT_DB
        if self.finished is not None:
            return self.finished.baseline
        return max((value for curve in self.curves.values() for value in curve.value), default=1.0)

    def height(self, value: float) -> float:
        """A value on the scale from 0 to 1 that curves are drawn on: top-1 itself, decibels as a part of 60 dB."""
        return min(max(value / TOP_DB if self.metric == "sqnr_db" else value, 0.0), 1.0)

    def losses(self, layer: str) -> tuple[tuple[float, float], ...]:
        """A layer's (sparsity, part of the baseline that is lost), from 0 to 1."""
        curve = self.curves.get(layer)
        top = self.height(self.baseline) or 1.0
        points = zip(curve.sparsity, curve.value, strict=True) if curve else ()
        return tuple((at, min(max(1 - self.height(value) / top, 0.0), 1.0)) for at, value in points)

    def words(self, value: float) -> str:
        """``top-1 98.1 %`` or ``31.2 dB``."""
        if self.metric == "top1":
            return f"top-1 {units.percent(value)}"
        return "equal" if value >= EXACT_DB else f"{value:.1f} dB"

    @property
    def heading(self) -> str:
        """What the curves show: ``top-1 on 1,000 examples``."""
        what = "top-1" if self.metric == "top1" else "SQNR"
        return f"{what} on {self.finished.n:,} examples" if self.finished and self.finished.n else what

    def with_curves(self, curves: Iterable[LayerCurve]) -> Sweep:
        """The same with curves that have grown."""
        return replace(self, curves={**self.curves, **{curve.name: curve for curve in curves}})


@dataclass(frozen=True, eq=False)
class Measured:
    """Everything that was measured on a model; of each kind the newest first, one a recipe and data."""

    preview: Of[PreviewResult] | None = None
    evaluations: tuple[Of[Evaluation], ...] = ()
    predictions: Of[Predictions] | None = None
    pictures: Mapping[str, str] = field(default_factory=dict)
    """Source of an example -> its PNG in base64, as the network sees it."""
    sweep: Of[Sweep] | None = None
    calibration: Of[Calibration] | None = None
    calibrated_on: int = 0
    """How many examples the calibration was asked for; 0: all."""
    histograms: Mapping[str, RangeHistogram] = field(default_factory=dict)
    """Node -> what its activations were when they were last measured, also on another day."""
    latencies: tuple[Of[LatencyResult], ...] = ()
    noises: tuple[Of[LayerNoiseResult], ...] = ()
    range_notes: Mapping[tuple, str] = field(default_factory=dict)
    """Stored ranges -> where they come from: ``10 images, minmax``."""
    trained_on: Mapping[str, DataSpec] = field(default_factory=dict)
    """SHA-256 of weights that were trained here -> the examples that they have learned from."""

    def evaluation(self, recipe: Recipe, data: DataSpec | None) -> Of[Evaluation] | None:
        """The evaluation of this recipe on this data; where there is none, the newest, which is stale then."""
        return _of(self.evaluations, recipe, data)

    def latency(self, recipe: Recipe) -> Of[LatencyResult] | None:
        """The latency of what this recipe makes; where there is none, the newest, which is stale then."""
        return _of(self.latencies, recipe, None)

    def noise(self, recipe: Recipe, data: DataSpec | None) -> Of[LayerNoiseResult] | None:
        """The noise of each layer of what this recipe makes on this data; where there is none, the newest."""
        return _of(self.noises, recipe, data)

    def timing(self, recipe: Recipe) -> Timing | None:
        """The times of what this recipe makes, or None; every measurement has those of the original."""
        found = self.latency(recipe)
        if found is None:
            return None
        if not recipe.active:
            return found.value.against or found.value.model
        return None if found.is_stale(recipe, None) else found.value.model

    def with_evaluation(self, new: Of[Evaluation]) -> Measured:
        """The same with another evaluation, in place of one of the same recipe."""
        return replace(self, evaluations=_with(self.evaluations, new))

    def with_calibration(self, new: Of[Calibration], count: int) -> Measured:
        """The same with another calibration, which ``count`` examples (0: all) were asked for."""
        histograms = {**self.histograms, **new.value.histograms}
        return replace(self, calibration=new, calibrated_on=count, histograms=histograms)

    def with_latency(self, new: Of[LatencyResult]) -> Measured:
        """The same with another latency, in place of one of the same recipe."""
        return replace(self, latencies=_with(self.latencies, new))

    def with_noise(self, new: Of[LayerNoiseResult]) -> Measured:
        """The same with another noise, in place of one of the same recipe and data."""
        return replace(self, noises=_with(self.noises, new))

    def learned_from(self, recipe: Recipe | None, data: DataSpec | None) -> bool:
        """Whether weights of this recipe were trained on some of this data: then its accuracy there says too much."""
        known = filter(None, map(self.trained_on.get, recipe.weights if recipe else ()))
        return data is not None and data.split != "test" and any(train.path == data.path for train in known)

    def recipe_words(self, recipe: Recipe | None) -> str:
        """A recipe in a few words, to tell evaluations apart."""
        steps = recipe.active if recipe else ()
        words = []
        for step in steps:
            note = self.range_notes.get(getattr(step, "ranges", ()), "")
            words.append(f"ranges of {note}" if note else step.name)
        return " · ".join(words) or "original"


def _of(results: tuple[Of[T], ...], recipe: Recipe, data: DataSpec | None) -> Of[T] | None:
    """The result of a recipe and data, else the newest."""
    return next((one for one in results if not one.is_stale(recipe, data)), results[0] if results else None)


def _with(results: tuple[Of[T], ...], new: Of[T]) -> tuple[Of[T], ...]:
    """The results with a new one in front, in place of one of the same recipe and data."""
    assert new.recipe is not None
    return (new, *(old for old in results if old.is_stale(new.recipe, new.data)))[:_KEPT]

"""What the window asks the engine to measure, and where the answers go: into the document's state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from PySide6.QtCore import QObject, QTimer, Signal

from compressor_gui.core.data import DataSpec, load_or_guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.histograms_file import read_histograms, write_histograms
from compressor_gui.core.measure import (
    Calibrate,
    Calibration,
    Evaluate,
    Evaluation,
    LabelImage,
    Latency,
    LatencyResult,
    LayerCurve,
    ModelRef,
    Predictions,
    Preview,
    PreviewResult,
    RangeHistogram,
    Sensitivity,
    SensitivityResult,
)
from compressor_gui.core.memory import parse_bytes
from compressor_gui.core.noise import LayerNoise, LayerNoiseResult
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.protocol import Request
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.trust import untrusted_ops
from compressor_gui.gui.document import Document
from compressor_gui.gui.engine_link import EngineLink
from compressor_gui.gui.measure.measured import Of, Sweep
from compressor_gui.gui.samples import sample_data
from compressor_gui.gui.settings import Settings
from compressor_gui.gui.state import Source, State

Kind = Literal["preview", "evaluate", "predict", "pictures", "sensitivity", "calibrate", "latency", "noise"]

NOISE_EXAMPLES = 64
"""How many examples tell the SQNR of a layer well enough: each has thousands of its values."""
FRAME = 100
"""Milliseconds between two looks at the pieces that arrive."""
_PICTURE_BYTES = 8_000_000
"""The pixels that are asked for at once: a message has to stay below the protocol's 16 MB."""


class Measurer(QObject):
    """Starts and cancels measurements of the document's model; ``changed`` says that one began or ended.

    A kind of measurement runs once at a time. ``failed(kind, error)`` and the document's ``failed`` say what went
    wrong; what was measured before stays.
    """

    changed = Signal()
    failed = Signal(str, object)

    def __init__(self, document: Document, engine: EngineLink, settings: Settings) -> None:
        super().__init__(document)
        self.document, self.engine, self.settings = document, engine, settings
        self.running: dict[Kind, int] = {}
        self.allow_unsafe = False
        """Whether ops that are not known to be harmless may run in this model."""
        self._grown: dict[str, LayerCurve] = {}
        self._frame = QTimer(self, interval=FRAME)
        self._frame.timeout.connect(self._take_pieces)
        document.changed.connect(self._changed)
        if settings.engine_memory:
            with contextlib.suppress(CompressorError):  # edited by hand: as if it were not there
                engine.client.memory_bytes = parse_bytes(settings.engine_memory)

    # -- data ----------------------------------------------------------------------------------------------------

    def _changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            for kind in tuple(self.running):
                self.cancel(kind)
            self.allow_unsafe = False
            self._recall(new)

    def _recall(self, state: State) -> None:
        """The data that was used with this model before; a sample has its own."""
        source = state.source
        if source is None:
            return
        self._recall_histograms(source)
        text = self.settings.data(source.sha256)
        if text:
            try:
                self.document.set(data=DataSpec.from_json(text))
                return
            except CompressorError:
                pass  # written by another version: as if there were none
        digits = sample_data(source.path)
        if digits is not None:
            self.guess(str(digits), lambda spec: self.document.set(data=self.document.state.data or spec), _ignore)

    def guess(self, path: str, done: Callable[[DataSpec], None], failed: Callable[[CompressorError], None]) -> None:
        """Describe the data at ``path``, in the background."""
        source = self.document.state.source
        assert source is not None

        def deliver(spec: DataSpec) -> None:
            if self.document.state.source is source:
                done(spec)

        def fail(error: Exception) -> None:
            if not isinstance(error, CompressorError):
                raise error
            failed(error)

        self.document.background.run(lambda: load_or_guess(path, source.graph), deliver, fail)

    def set_data(self, spec: DataSpec, seen: PreviewResult | None = None) -> None:
        """Use this data from now on, and remember it for this model; ``seen`` is its preview, where there is one."""
        source = self.document.state.source
        assert source is not None
        self.settings.set_data(source.sha256, spec.to_json())
        measured = self.document.state.measured
        preview = Of(seen, None, spec) if seen is not None else None
        self.document.set(data=spec, measured=replace(measured, preview=preview))

    # -- models --------------------------------------------------------------------------------------------------

    @property
    def untrusted(self) -> tuple[str, ...]:
        """The ops of the model, as it was opened and as the recipe makes it, that may do more than compute."""
        state = self.document.state
        graphs = [one.graph for one in (state.source, state.made) if one is not None]
        return tuple(sorted({op for graph in graphs for _, op in untrusted_ops(graph)}))

    def original(self) -> ModelRef:
        """The model as it was opened."""
        source = self.document.state.source
        assert source is not None
        return ModelRef(str(source.path), "", source.graph.outputs, self.allow_unsafe, source.sha256)

    def compressed(self, recipe: Recipe) -> ModelRef:
        """What a recipe makes of it."""
        return replace(self.original(), recipe=recipe.to_json() if recipe.active else "")

    def _pair(self) -> dict[str, Any]:
        """The compressed model against the original, or the original alone where the recipe does nothing."""
        recipe = self.document.state.recipe
        return {"model": self.compressed(recipe), "against": self.original() if recipe.active else None}

    # -- measuring -----------------------------------------------------------------------------------------------

    def preview(self, spec: DataSpec, done: Callable[[PreviewResult], None], failed: Callable[[CompressorError], None],
                count: int = 12) -> None:  # fmt: skip
        """The first examples as the network will see them; a preview that is under way is cancelled."""
        self.cancel("preview")
        self._submit("preview", Preview(self.original(), spec, count), "Looking at the data", done, failed)

    def evaluate(self) -> None:
        """Accuracy of the compressed model and the original, on the same examples."""
        data, recipe = self._data(), self.document.state.recipe

        def done(result: Evaluation) -> None:
            self._keep(lambda m: m.with_evaluation(Of(result, recipe, data)))

        self._submit(
            "evaluate",
            Evaluate(data=data, scheduler=self.settings.scheduler, **self._pair()),
            "Measuring accuracy",
            done,
        )

    def predict(self, count: int = 500) -> None:
        """What both models say of the first examples, and their pictures."""
        data, recipe = self._data(), self.document.state.recipe
        pixels = max(data.height * data.width * max(data.channels, 1), 784)
        count = max(12, min(count, _PICTURE_BYTES // pixels, data.limit or count))
        few = replace(data, limit=count)

        def done(result: Predictions) -> None:
            self._keep(lambda m: replace(m, predictions=Of(result, recipe, data)))

        def seen(result: PreviewResult) -> None:
            self._keep(lambda m: replace(m, pictures={item.source: item.png for item in result.items}))

        self._submit("predict", LabelImage(data=few, **self._pair()), "Predicting", done)
        self._submit("pictures", Preview(self.original(), few, count), "Reading pictures", seen)

    def sweep(self) -> None:
        """Sensitivity curves of every layer; goes on where a sweep that was cancelled stopped."""
        data, source = self._data(), self.document.state.source
        assert source is not None
        known = self.document.state.measured.sweep
        layers = sum(layer.tensor.dtype.is_floating for layer in source.layers)
        start = known.value if known is not None and known.data == data else Sweep({}, layers)
        self._keep(lambda m: replace(m, sweep=Of(replace(start, finished=None), None, data)))
        self._grown = {}

        def piece(curve: LayerCurve) -> None:
            self._grown[curve.name] = curve
            if not self._frame.isActive():
                self._frame.start()

        def done(result: SensitivityResult) -> None:
            self._grown = {}
            curves = {curve.name: curve for curve in result.layers}
            self._keep(lambda m: replace(m, sweep=Of(Sweep(curves, layers, result), None, data)))

        self._submit(
            "sensitivity",
            Sensitivity(self.original(), data, scheduler=self.settings.scheduler),
            "Measuring sensitivity",
            done,
            piece=piece,
        )

    def _take_pieces(self) -> None:
        grown, self._grown = self._grown, {}
        sweep = self.document.state.measured.sweep
        if not grown:
            self._frame.stop()
        elif sweep is not None:
            found = Of(sweep.value.with_curves(grown.values()), None, sweep.data)
            self._keep(lambda m: replace(m, sweep=found))

    def calibrate(self, count: int, method: str) -> None:
        """The ranges that ``count`` examples (0: all) give; the recipe's stored ranges are left out of the model."""
        data, recipe = self._data(), without_ranges(self.document.state.recipe)
        few = replace(data, limit=count)

        def done(result: Calibration) -> None:
            self.keep_calibration(Of(result, recipe, data), count)

        title = f"Calibrating on {count:,} images" if count else "Calibrating on all images"
        request = Calibrate(self.compressed(recipe), few, method, scheduler=self.settings.scheduler)
        self._submit("calibrate", request, title, done)

    def keep_calibration(self, found: Of[Calibration], count: int) -> None:
        """Remember a calibration on ``count`` examples (0: all), its histograms also for another day."""
        self._keep(lambda m: m.with_calibration(found, count))
        source, histograms = self.document.state.source, self.document.state.measured.histograms
        assert source is not None
        path = self.settings.histograms(source.sha256)
        self.document.background.run(lambda: write_histograms(path, histograms), _done, _ignore)

    def _recall_histograms(self, source: Source) -> None:
        def keep(found: dict[str, RangeHistogram]) -> None:
            if found and self.document.state.source is source:
                self._keep(lambda m: replace(m, histograms={**found, **m.histograms}))

        path = self.settings.histograms(source.sha256)
        self.document.background.run(lambda: read_histograms(path), keep, _ignore)

    def time(self, batch: int = 1, threads: int = 0) -> None:
        """Milliseconds of both models."""
        recipe = self.document.state.recipe

        def done(result: LatencyResult) -> None:
            self._keep(lambda m: m.with_latency(Of(result, recipe, None)))

        self._submit("latency", Latency(batch=batch, threads=threads, **self._pair()), "Measuring latency", done)

    def compare_layers(self) -> None:
        """The noise of each layer: what the recipe makes of the model beside the model, on the first examples."""
        data, recipe = self._data(), self.document.state.recipe
        few = replace(data, limit=min(data.limit or NOISE_EXAMPLES, NOISE_EXAMPLES))

        def done(result: LayerNoiseResult) -> None:
            self._keep(lambda m: m.with_noise(Of(result, recipe, data)))

        self._submit(
            "noise", LayerNoise(self.original(), self.compressed(recipe), few), "Comparing layer by layer", done
        )

    def cancel(self, kind: Kind) -> None:
        """Stop a measurement; what it found so far stays."""
        if kind in self.running:
            self.engine.cancel(self.running[kind])

    # -- the engine ----------------------------------------------------------------------------------------------

    def _data(self) -> DataSpec:
        data = self.document.state.data
        assert data is not None
        return data

    def _keep(self, change: Callable[[Any], Any]) -> None:
        self.document.set(measured=change(self.document.state.measured))

    def _submit(
        self,
        kind: Kind,
        request: Request,
        title: str,
        done: Callable[[Any], None],
        failed: Callable[[CompressorError], None] | None = None,
        piece: Callable[[Any], None] | None = None,
    ) -> None:
        if kind in self.running and kind != "preview":
            return
        source = self.document.state.source
        number = 0

        def ended(then: Callable[[], None]) -> None:
            if self.running.get(kind) == number:
                del self.running[kind]
            if self._grown and kind == "sensitivity":
                self._take_pieces()
            if self.document.state.source is source:
                then()
            self.changed.emit()

        def fail(error: CompressorError) -> None:
            self.failed.emit(kind, error)
            (failed or self.document.failed.emit)(error)

        number = self.engine.submit(
            request,
            title,
            lambda result: ended(lambda: done(result)),
            lambda error: ended(lambda: fail(error)),
            lambda: ended(lambda: None),
            (lambda part: piece(part) if self.document.state.source is source else None) if piece else None,
        )
        self.running[kind] = number
        self.changed.emit()


def without_ranges(recipe: Recipe) -> Recipe:
    """A recipe without the steps that store ranges."""
    steps = tuple(step for step in recipe.steps if not isinstance(step.transform, FreezeRequantizationRanges))
    return replace(recipe, steps=steps)


def _done(_result: None) -> None:
    """Written: nothing to say."""


def _ignore(_error: Exception) -> None:
    """What is only remembered, or comes with a sample, and can't be read or written: there is none then."""

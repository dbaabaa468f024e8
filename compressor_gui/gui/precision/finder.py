"""The search for each layer's precision, as the window runs it: it goes on when the dialog that shows it is closed."""

from __future__ import annotations

from dataclasses import replace

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.mixed_job import FindPrecision, Precision
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.mixed_precision import MixedPrecision
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.engine_link import RunningJob
from compressor_gui.gui.measure.document_work import DocumentWork
from compressor_gui.gui.measure.measurer import Measurer


class PrecisionFinder(DocumentWork):
    """The document's search, running or done: ``found`` is what the ``request`` was answered with."""

    def __init__(self, measurer: Measurer) -> None:
        super().__init__(measurer)
        self.found: Precision | None = None
        self.request: FindPrecision | None = None
        self._asked: FindPrecision | None = None

    @property
    def is_running(self) -> bool:
        """Whether a search is under way."""
        return self._asked is not None

    @property
    def job(self) -> RunningJob | None:
        """What is under way, and how far it is."""
        return self.engine.jobs.get(self._job) if self.is_running else None

    @property
    def fused_step(self) -> FuseInt8 | None:
        """The recipe's fuse_int8, where it has ranges."""
        steps = (step for step in self.document.state.recipe.active if isinstance(step, FuseInt8) and step.ranges)
        return next(steps, None)

    @property
    def is_stale(self) -> bool:
        """Whether what was found is of other data, or other steps, than the document has now."""
        state, request = self.document.state, self.request
        if request is None or state.source is None:
            return False
        model = self.measurer.compressed(_without(state.recipe, fused=request.fused))
        return request.data != state.data or request.model != model

    def start(self, *, min_sqnr_db: float | None = None, max_drop: float | None = None, fused: bool = False) -> None:
        """Search for a target; ``fused``: layers in the recipe's fuse_int8 or in float, else bits of weights."""
        state = self.document.state
        assert state.data is not None
        if self.is_running:
            return
        step = self.fused_step if fused else None
        asked = FindPrecision(
            self.measurer.compressed(_without(state.recipe, fused=fused)),
            state.data,
            min_sqnr_db,
            max_drop,
            fused=fused,
            ranges=dict(step.ranges) if step else {},
            without_vnni=step is not None and step.without_vnni,
        )
        self._asked, self.error = asked, None
        self._job = self.engine.submit(
            asked,
            "Finding each layer's precision",
            lambda found: self._end(asked, found),
            lambda error: self._end(asked, None, error),
            lambda: self._end(asked, None),
        )
        self.changed.emit()

    def cancel(self) -> None:
        """Stop; the sensitivities so far are remembered by the engine."""
        self.engine.cancel(self._job)

    def forget(self) -> None:
        """Forget what was found."""
        self.found, self.request, self._asked = None, None, None

    def recipe(self, at: int) -> Recipe:
        """The document's recipe with a point of the path as its step, in the place of the one it had."""
        assert self.found is not None
        assert self.request is not None
        recipe, step = self.document.state.recipe, self.request.step(self.found.path.bits(at))
        kind = FuseInt8 if self.request.fused else MixedPrecision
        places = [n for n, one in enumerate(recipe.steps) if one.enabled and isinstance(one.transform, kind)]
        if step is None:
            return recipe if not places else recipe.removing(places[0])
        return recipe.replacing(places[0], replace(recipe.steps[places[0]], transform=step)) if places else (
            recipe.adding(step))  # fmt: skip

    def _end(self, asked: FindPrecision, found: object, error: CompressorError | None = None) -> None:
        if asked is not self._asked:
            return
        self._asked, self.error = None, error
        if isinstance(found, Precision):
            self.found, self.request = found, asked
        self.changed.emit()


def _without(recipe: Recipe, *, fused: bool) -> Recipe:
    """The steps that the search starts from: those that it finds are left out."""
    kinds = (MixedPrecision, FuseInt8) if fused else (MixedPrecision,)
    return replace(recipe, steps=tuple(step for step in recipe.steps if not isinstance(step.transform, kinds)))

"""A run of pruning and retraining, as the window conducts it."""

from __future__ import annotations

import time
from dataclasses import replace

from compressor_gui.core.channel_pruning import ChannelPoint, ChannelsPruned, PruneChannels, opened
from compressor_gui.core.measure import Accuracy, Evaluation
from compressor_gui.core.metrics import wilson_interval
from compressor_gui.core.protocol import Word
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.training import Point, PruneRetrain, Retrained, train_and_test, weights_step
from compressor_gui.gui.measure.measured import Of
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.training.course import Course
from compressor_gui.gui.training.training_run import TrainingRun

Ask = PruneRetrain | PruneChannels
Found = Retrained | ChannelsPruned
AnyPoint = Point | ChannelPoint


class Retrainer(TrainingRun):
    """The document's run, going or ended.

    Nothing in the document changes until :meth:`use` is called. Pieces of a run that was broken off stay, and the same
    request goes on from its last epoch.
    """

    request: Ask | None
    found: Found | None

    def __init__(self, measurer: Measurer) -> None:
        self._base = Recipe()
        self.course = Course()
        self.paused = False
        self._pace: tuple[int, float] | None = None
        """How many batches were done, and when, at the first piece since it began, or was let go on."""
        super().__init__(measurer)

    # -- the run ------------------------------------------------------------------------------------------------------

    @property
    def is_stale(self) -> bool:
        """Whether the recipe has become another since the run began, and none of its points: then what is shown is of
        another model."""
        recipe = self.document.state.recipe
        return self.request is not None and recipe not in (self._base, *map(self.recipe, self.points))

    @property
    def can_go_on(self) -> bool:
        """Whether there is a checkpoint."""
        return isinstance(self.request, PruneRetrain) and bool(self.course.checkpoint)

    @property
    def seconds_left(self) -> float | None:
        """About how long the planned rest takes; None before it can be told, while it waits, and when channels are
        removed: nobody knows how many steps that takes."""
        last = self.course.last
        if isinstance(self.request, PruneChannels) or last is None or self._pace is None:
            return None
        if self.paused or not self.is_running:
            return None
        gone, spent = last.done - self._pace[0], time.monotonic() - self._pace[1]
        return spent / gone * (last.total - last.done) if gone > 0 else None

    def start(self, request: Ask) -> None:
        """Begin; a run that is under way stays."""
        if not self.is_running:
            self._start(request, self.document.state.recipe)

    def start_again(self) -> None:
        """Ask the same of the same model once more: it goes on from the last epoch."""
        if not self.is_running and self.request is not None:
            self._start(self.request, self._base)

    def _start(self, request: Ask, base: Recipe) -> None:
        self._base = base
        self.submit(request, "Retrain" if isinstance(request, PruneRetrain) else "Remove channels and retrain")

    def clear(self) -> None:
        """Forget the pieces."""
        self.course, self.paused, self._pace = Course(), False, None

    def pause(self) -> None:
        """Let it wait behind the batches under way."""
        self._say("pause", paused=True)

    def go_on(self) -> None:
        """Let it go on."""
        self._say("go_on", paused=False)

    def finish(self) -> None:
        """End it with what it has; its best point goes into the recipe then."""
        self.paused, self._pace = False, None
        super().finish()

    def _say(self, word: Word, *, paused: bool) -> None:
        if self.is_running:
            self.engine.tell(self._job, word)
            self.paused, self._pace = paused, None
            self.changed.emit()

    def take(self, piece: object) -> None:
        """Keep a piece."""
        self.course.take(piece)
        last = self.course.last
        if last is not None and (self._pace is None or last.done < self._pace[0]):
            self._pace = (last.done, time.monotonic())

    def use_answer(self) -> None:
        """Where the run was stopped to be kept, its point goes into the recipe."""
        assert self.found is not None
        if self.finishing and self.recipe(self.found.point) != self._base:
            self.use(self.found.point)

    def _ended(self) -> None:
        self.paused = False
        super()._ended()

    # -- points -------------------------------------------------------------------------------------------------------

    @property
    def points(self) -> tuple[AnyPoint, ...]:
        """All points so far, the model as it came first."""
        return tuple(self.course.channel_points or self.course.points)

    def recipe(self, point: AnyPoint) -> Recipe:
        """The recipe that opens a point: the one that the run began with and a step of weights, or the point's own."""
        if isinstance(point, ChannelPoint):
            return opened(point)
        return self._base.adding(weights_step(point)) if point.sha256 else self._base

    def use(self, point: AnyPoint) -> None:
        """Open a point: the recipe gets it, as one step to undo, and its accuracy counts as measured."""
        recipe, found = self.recipe(point), self.found
        self._remember_data(recipe)
        self.document.set_recipe(recipe, step=None)
        if found is None or found.metric != "top1" or point not in found.points:
            return
        before = None if self._base.active else _accuracy(found.points[0].value, found.test_n)
        known = Of(Evaluation(_accuracy(point.value, found.test_n), before), recipe, None)
        self.document.set(measured=self.document.state.measured.with_evaluation(known))

    def _remember_data(self, recipe: Recipe) -> None:
        """Note what the weights of a point have learned from."""
        assert self.request is not None
        train, _ = train_and_test(self.request.data, self.request.test)
        measured = self.document.state.measured
        known = {**measured.trained_on, **dict.fromkeys(set(recipe.weights) - set(self._base.weights), train)}
        self.document.set(measured=replace(measured, trained_on=known))


def _accuracy(top1: float, n: int) -> Accuracy:
    """Of a point, on ``n`` test examples."""
    return Accuracy(n, top1, top1_interval=wilson_interval(round(top1 * n), n) if n else None)

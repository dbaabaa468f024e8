"""A run of pruning and retraining, as the window conducts it: it goes on whatever is shown meanwhile."""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, QTimer, Signal

from compressor_gui.core.channel_pruning import ChannelPoint, ChannelsPruned, PruneChannels, opened
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import Accuracy, Evaluation
from compressor_gui.core.metrics import wilson_interval
from compressor_gui.core.protocol import Word
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.training import Point, PruneRetrain, Retrained, weights_step
from compressor_gui.gui.engine_link import RunningJob
from compressor_gui.gui.measure.measured import Of
from compressor_gui.gui.measure.measurer import FRAME, Measurer
from compressor_gui.gui.retrain.course import Course
from compressor_gui.gui.state import State

Ask = PruneRetrain | PruneChannels
Found = Retrained | ChannelsPruned
AnyPoint = Point | ChannelPoint


class Retrainer(QObject):
    """The document's run, going or ended.

    ``changed`` says that it has begun, got on (at most ten times a second) or ended; ``error`` is why it ended without
    an answer, ``found`` the answer. Nothing in the document changes until :meth:`use` is called. Pieces of a run that
    was broken off stay, and the same request goes on from its last epoch.
    """

    changed = Signal()

    def __init__(self, measurer: Measurer) -> None:
        super().__init__(measurer)
        self.measurer, self.document, self.engine = measurer, measurer.document, measurer.engine
        self.request: Ask | None = None
        self.course = Course()
        self.found: Found | None = None
        self.error: CompressorError | None = None
        self.paused = False
        self.finishing = False
        self._base = Recipe()
        self._job = -1
        self._pace: tuple[int, float] | None = None
        """How many batches were done, and when, at the first piece since it began, or was let go on."""
        self._heard = False
        self._keeps = True
        self._frame = QTimer(self, interval=FRAME)
        self._frame.timeout.connect(self._tell)
        self.document.changed.connect(self._document_changed)

    # -- the run ------------------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether a run is under way."""
        return self._job in self.engine.jobs

    @property
    def job(self) -> RunningJob | None:
        """The engine's job, while it runs."""
        return self.engine.jobs.get(self._job)

    @property
    def is_stale(self) -> bool:
        """Whether the recipe has become another since the run began, and none of its points: then what is shown is of
        another model."""
        recipe = self.document.state.recipe
        return self.request is not None and recipe not in (self._base, *map(self.recipe, self.points))

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
        self.request, self._base = request, base
        self.course, self.found, self.error = Course(), None, None
        self.paused, self.finishing, self._keeps, self._pace = False, False, True, None
        title = "Retrain" if isinstance(request, PruneRetrain) else "Remove channels and retrain"
        self._job = self.engine.submit(request, title, self._done, self._failed, self._stopped, self._take)
        self._frame.start()
        self.changed.emit()

    def pause(self) -> None:
        """Let it wait behind the batches under way."""
        self._say("pause", paused=True)

    def go_on(self) -> None:
        """Let it go on."""
        self._say("go_on", paused=False)

    def finish(self) -> None:
        """End it with what it has; its best point goes into the recipe then."""
        if self.is_running:
            self.finishing = True
            self._say("finish", paused=False)

    def discard(self) -> None:
        """End it; nothing of it is used."""
        self._keeps = False
        self.engine.cancel(self._job)
        self.changed.emit()

    def forget(self) -> None:
        """Leave the ended run."""
        if not self.is_running:
            self.request, self.course, self.found, self.error = None, Course(), None, None
            self.changed.emit()

    def _say(self, word: Word, *, paused: bool) -> None:
        if self.is_running:
            self.engine.tell(self._job, word)
            self.paused, self._pace = paused, None
            self.changed.emit()

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
        self.document.set_recipe(recipe, step=None)
        if found is None or found.metric != "top1" or point not in found.points:
            return
        before = None if self._base.active else _accuracy(found.points[0].value, found.test_n)
        known = Of(Evaluation(_accuracy(point.value, found.test_n), before), recipe, None)
        self.document.set(measured=self.document.state.measured.with_evaluation(known))

    # -- what the engine tells ----------------------------------------------------------------------------------------

    def _take(self, piece: object) -> None:
        self.course.take(piece)
        last = self.course.last
        if last is not None and (self._pace is None or last.done < self._pace[0]):
            self._pace = (last.done, time.monotonic())
        self._heard = True

    def _tell(self) -> None:
        if self._heard:
            self._heard = False
            self.changed.emit()

    def _ended(self) -> None:
        self._frame.stop()
        self._heard = False
        self.paused = self.finishing = False
        self.changed.emit()

    def _done(self, answer: object) -> None:
        assert isinstance(answer, Retrained | ChannelsPruned)
        self.found = answer
        if self.finishing and self._keeps and self.recipe(answer.point) != self._base:
            self.use(answer.point)
        self._ended()

    def _failed(self, error: CompressorError) -> None:
        self.error = error
        self._ended()

    def _stopped(self) -> None:
        self._ended()
        if not self._keeps:
            self.forget()

    def _document_changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            if self.is_running:
                self.discard()
            else:
                self.forget()


def _accuracy(top1: float, n: int) -> Accuracy:
    """Of a point, on ``n`` test examples."""
    return Accuracy(n, top1, top1_interval=wilson_interval(round(top1 * n), n) if n else None)

"""A run of pruning and retraining, as the window conducts it: it goes on whatever is shown meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from PySide6.QtCore import QObject, QTimer, Signal

from compressor_gui.core.channel_pruning import ChannelNews, ChannelPoint, ChannelsPruned, PruneChannels, opened
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.protocol import Word
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.training import Batches, Epoch, News, Point, PruneRetrain, Retrained, weights_step
from compressor_gui.gui.engine_link import RunningJob
from compressor_gui.gui.measure.measurer import FRAME, Measurer
from compressor_gui.gui.state import State

Ask = PruneRetrain | PruneChannels
Found = Retrained | ChannelsPruned


@dataclass
class Course:
    """What a run has told so far."""

    batches: list[Batches] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    channel_points: list[ChannelPoint] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, piece: object) -> None:
        """Add a piece."""
        if isinstance(piece, ChannelNews):
            if piece.point is not None:
                self.channel_points.append(piece.point)
            piece = piece.news
        if not isinstance(piece, News):
            return
        if piece.batches is not None:
            self.batches.append(piece.batches)
        if piece.epoch is not None:
            self.epochs.append(piece.epoch)
        if piece.point is not None:
            self.points.append(piece.point)
        if piece.note:
            self.notes.append(piece.note)


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
        self._began = 0.0
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
        """About how long the planned rest takes; None before it can be told, or while it waits."""
        if not self.is_running or self.paused or not self.course.batches:
            return None
        last = self.course.batches[-1]
        first = self.course.batches[0]
        gone, spent = last.done - first.done, time.monotonic() - self._began
        return spent / gone * (last.total - last.done) if gone > 0 else None

    def start(self, request: Ask) -> None:
        """Begin; a run that is under way stays."""
        if self.is_running:
            return
        self.request, self._base = request, self.document.state.recipe
        self.course, self.found, self.error = Course(), None, None
        self.paused, self.finishing, self._keeps = False, False, True
        self._began = time.monotonic()
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
        """End it with what it has; the best point is there to be used then."""
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
            self.paused = paused
            self.changed.emit()

    # -- points -------------------------------------------------------------------------------------------------------

    @property
    def points(self) -> tuple[Point | ChannelPoint, ...]:
        """All points so far, the model as it came first."""
        return tuple(self.course.channel_points or self.course.points)

    def recipe(self, point: Point | ChannelPoint) -> Recipe:
        """The recipe that opens a point: the one that the run began with and a step of weights, or the point's own."""
        if isinstance(point, ChannelPoint):
            return opened(point)
        return self._base.adding(weights_step(point)) if point.sha256 else self._base

    def use(self, point: Point | ChannelPoint) -> None:
        """Open a point: the recipe gets it, as one step to undo."""
        self.document.set_recipe(self.recipe(point), step=None)

    # -- what the engine tells ----------------------------------------------------------------------------------------

    def _take(self, piece: object) -> None:
        self.course.take(piece)
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

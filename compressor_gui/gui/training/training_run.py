"""A training in the engine, as the window conducts it: it goes on whatever is shown meanwhile."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.protocol import Request
from compressor_gui.gui.engine_link import RunningJob
from compressor_gui.gui.measure.measurer import FRAME, Measurer
from compressor_gui.gui.state import State


class TrainingRun(QObject):
    """The document's run of one kind, going or ended; a kind of training says what becomes of pieces and the answer.

    ``changed`` says that it has begun, got on (at most ten times a second) or ended; ``error`` is why it ended without
    an answer, ``found`` the answer.
    """

    changed = Signal()

    request: Request[Any] | None
    found: Any

    def __init__(self, measurer: Measurer) -> None:
        super().__init__(measurer)
        self.measurer, self.document, self.engine = measurer, measurer.document, measurer.engine
        self.request = self.found = None
        self.error: CompressorError | None = None
        self.finishing = False
        self._job = -1
        self._heard = False
        self._keeps = True
        self._frame = QTimer(self, interval=FRAME)
        self._frame.timeout.connect(self._tell)
        self.clear()
        self.document.changed.connect(self._document_changed)

    @property
    def is_running(self) -> bool:
        """Whether a run is under way."""
        return self._job in self.engine.jobs

    @property
    def can_go_on(self) -> bool:
        """Whether the same request, asked anew, goes on from where this one has got to."""
        return False

    @property
    def job(self) -> RunningJob | None:
        """The engine's job, while it runs."""
        return self.engine.jobs.get(self._job)

    def submit(self, request: Request[Any], title: str) -> None:
        """Begin."""
        self.request, self.found, self.error = request, None, None
        self.finishing, self._keeps = False, True
        self.clear()
        self._job = self.engine.submit(request, title, self._done, self._failed, self._stopped, self._take)
        self._frame.start()
        self.changed.emit()

    def finish(self) -> None:
        """End it with what it has."""
        if self.is_running:
            self.finishing = True
            self.engine.tell(self._job, "finish")
            self.changed.emit()

    def discard(self) -> None:
        """End it; nothing of it is used."""
        self._keeps = False
        self.engine.cancel(self._job)
        self.changed.emit()

    def forget(self) -> None:
        """Leave the ended run."""
        if not self.is_running:
            self.request, self.found, self.error = None, None, None
            self.clear()
            self.changed.emit()

    # -- what a kind of training adds --------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget the pieces."""
        raise NotImplementedError

    def take(self, piece: object) -> None:
        """Keep a piece."""
        raise NotImplementedError

    def use_answer(self) -> None:
        """What becomes of the answer, ``found``."""

    # -- what the engine tells ---------------------------------------------------------------------------------------

    def _take(self, piece: object) -> None:
        self.take(piece)
        self._heard = True

    def _tell(self) -> None:
        if self._heard:
            self._heard = False
            self.changed.emit()

    def _ended(self) -> None:
        self._frame.stop()
        self._heard = self.finishing = False
        self.changed.emit()

    def _done(self, answer: object) -> None:
        if not self._keeps:  # it was on its way when the run was discarded
            self._stopped()
            return
        self.found = answer
        self.use_answer()
        self._ended()

    def _failed(self, error: CompressorError) -> None:
        if not self._keeps:
            self._stopped()
            return
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

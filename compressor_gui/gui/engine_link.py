"""The engine, seen from the GUI thread: its jobs, their progress and their end as signals."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject, Signal

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import Cancelled, Died, Done, EngineClient, Event, Failed, Progress
from compressor_gui.core.protocol import Piece, Request, Word


@dataclass(frozen=True)
class RunningJob:
    """A job that has not ended: what it does and how far it is (``total`` 0: unknown)."""

    number: int
    title: str
    started: float
    done: float = 0
    total: float = 0
    message: str = ""


@dataclass(frozen=True)
class _Callbacks:
    done: Callable[[object], None]
    failed: Callable[[CompressorError], None]
    cancelled: Callable[[], None]
    piece: Callable[[object], None] | None


class EngineLink(QObject):
    """Submits jobs to the engine's process; ``changed`` says that the list of jobs or the engine's state did."""

    changed = Signal()
    _arrived = Signal(int, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.client = EngineClient(self._arrived.emit, background=True)
        self.jobs: dict[int, RunningJob] = {}
        self.status = "TensorFlow not started"
        self._callbacks: dict[int, _Callbacks] = {}
        self._arrived.connect(self._deliver)

    def submit(
        self,
        request: Request,
        title: str,
        done: Callable[[object], None],
        failed: Callable[[CompressorError], None],
        cancelled: Callable[[], None],
        piece: Callable[[object], None] | None = None,
    ) -> int:
        """Queue a job; one of the callbacks is called in the GUI thread when it ends, ``piece`` with parts before."""
        number = self.client.submit(request)
        self.jobs[number] = RunningJob(number, title, time.monotonic())
        self._callbacks[number] = _Callbacks(done, failed, cancelled, piece)
        self.status = "TensorFlow working"
        self.changed.emit()
        return number

    def cancel(self, number: int) -> None:
        """Ask a job to stop; the engine is ended when it does not within two seconds."""
        if number in self.jobs:
            self.jobs[number] = replace(self.jobs[number], message="stopping …")
            self.changed.emit()
            self.client.cancel(number)

    def tell(self, number: int, word: Word) -> None:
        """Let a job that is under way wait, go on, or come to its end with what it has."""
        if number in self.jobs:
            self.client.tell(number, word)

    def _deliver(self, number: int, event: Event) -> None:
        if number not in self.jobs:
            return
        if isinstance(event, Progress):
            job = self.jobs[number]
            begins = bool(event.total) and not job.total  # what it took to get ready says nothing of the rest
            started = time.monotonic() if begins else job.started
            self.jobs[number] = replace(job, started=started, done=event.done, total=event.total, message=event.message)
            self.changed.emit()
            return
        if isinstance(event, Piece):
            if piece := self._callbacks[number].piece:
                piece(event.part)
            return
        del self.jobs[number]
        callbacks = self._callbacks.pop(number)
        self.status = "TensorFlow working" if self.jobs else "TensorFlow ready"
        if isinstance(event, Died):
            self.status = "TensorFlow ended; it starts again with the next job"
        self.changed.emit()
        if isinstance(event, Done):
            callbacks.done(event.result)
        elif isinstance(event, Cancelled):
            callbacks.cancelled()
        elif isinstance(event, Failed):
            callbacks.failed(CompressorError(event.what, where=event.where, hint=event.hint))
        else:
            callbacks.failed(CompressorError(event.reason, hint="the window and your work are untouched; try again"))

    def close(self) -> None:
        """End the engine."""
        self._arrived.disconnect(self._deliver)
        self.client.close()

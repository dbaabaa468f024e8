"""Work off the GUI thread, one piece at a time, its result handed back in the GUI thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from PySide6.QtCore import QObject, Signal

T = TypeVar("T")


class Superseded(Exception):  # noqa: N818 (no error: newer work made this one needless)
    """Raised inside a piece of work whose result nobody wants any more."""


class Background(QObject):
    """A single worker thread.

    ``run`` queues a function; its result, or the exception it raised, reaches the callback in the GUI thread. Callbacks
    of work that ended after :meth:`close` are dropped.
    """

    _finished = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="compressor-work")
        self._finished.connect(self._deliver)
        self._closed = False

    def run(self, work: Callable[[], T], done: Callable[[T], None], failed: Callable[[Exception], None]) -> None:
        """Queue ``work``; call ``done(result)`` or ``failed(error)`` in the GUI thread."""

        def report(future: Future[T]) -> None:
            if not self._closed and not future.cancelled():
                self._finished.emit(future, (done, failed))

        self._pool.submit(work).add_done_callback(report)

    def _deliver(
        self, future: Future[Any], callbacks: tuple[Callable[[Any], None], Callable[[Exception], None]]
    ) -> None:
        if self._closed:
            return
        error = future.exception()
        if error is None:
            callbacks[0](future.result())
        elif isinstance(error, Superseded):
            return
        elif isinstance(error, Exception):
            callbacks[1](error)
        else:
            raise error

    def close(self, *, wait: bool = True) -> None:
        """Drop what is queued, and wait for what runs, or let it end by itself."""
        self._closed = True
        self._pool.shutdown(wait=wait, cancel_futures=True)

"""The loop of a worker process: reads requests from standard input, does one at a time, answers on standard output."""

from __future__ import annotations

import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.protocol import (
    Cancelled,
    Done,
    Event,
    Failed,
    Piece,
    Progress,
    ProtocolError,
    Request,
    Word,
    event_line,
    parse_request,
    read_line,
)


class Stop(Exception):  # noqa: N818 - a wish, not an error
    """The client wants the job to end."""


class Job:
    """What a handler sees of its job: a way to report progress, which raises :class:`Stop` once it is cancelled."""

    def __init__(self, number: int, send: Callable[[int, Event], None]) -> None:
        self.number = number
        self.cancelled = threading.Event()
        self.finishing = threading.Event()
        """Set once the client wants the job to end with what it has."""
        self._going = threading.Event()
        self._going.set()
        self._send = send

    def cancel(self) -> None:
        """Let the next check raise Stop, also that of a job that waits."""
        self.cancelled.set()
        self._going.set()

    def tell(self, word: Word) -> None:
        """What the client says meanwhile: to wait, to go on, to finish."""
        if word == "pause":
            self._going.clear()
        else:
            self._going.set()
        if word == "finish":
            self.finishing.set()

    @property
    def paused(self) -> bool:
        """Whether the client wants the job to wait."""
        return not self._going.is_set()

    def wait(self) -> None:
        """Return at once, or when a job that was paused is to go on. Raises Stop if it has been cancelled."""
        self._going.wait()
        self.check()

    def check(self) -> None:
        """Raise Stop if the job has been cancelled."""
        if self.cancelled.is_set():
            raise Stop

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Report ``done`` of ``total`` steps. Raises Stop if the job has been cancelled."""
        self.check()
        self._send(self.number, Progress(done, total, message))

    def piece(self, part: object) -> None:
        """Send a part of the answer ahead. Raises Stop if the job has been cancelled."""
        self.check()
        self._send(self.number, Piece(part))


Handlers = Mapping[type[Request], Callable[[Any, Job], Any]]
"""Request -> function of the request and its job that returns an instance of the request's ``answer``."""


def serve(handlers: Handlers) -> None:
    """Answer requests until standard input ends, which also ends a job that is under way.

    Standard output is the protocol's alone: what libraries print goes to standard error, C++ included.
    """
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    _Server(handlers, requests, answers).run()


class _Server:
    def __init__(self, handlers: Handlers, requests: BinaryIO, answers: BinaryIO) -> None:
        self._handlers = handlers
        self._requests = requests
        self._answers = answers
        self._write_lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[Job, Request]] = queue.SimpleQueue()
        self._jobs: dict[int, Job] = {}

    def run(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()
        while True:
            job, request = self._queue.get()
            self._send(job.number, self._outcome(job, request))
            del self._jobs[job.number]

    def _read(self) -> None:
        while True:
            try:
                line = read_line(self._requests)
                if not line:
                    os._exit(0)  # the client is gone; nobody waits for the job that is under way
                number, request = parse_request(line, self._handlers)
            except ProtocolError as error:
                self._send(0, Failed(str(error)))
                continue
            if isinstance(request, Request):
                self._jobs[number] = Job(number, self._send)
                self._queue.put((self._jobs[number], request))
            elif number in self._jobs and request is None:
                self._jobs[number].cancel()
            elif number in self._jobs and request is not None:
                self._jobs[number].tell(request)

    def _outcome(self, job: Job, request: Request) -> Event:
        try:
            job.check()
            return Done(self._handlers[type(request)](request, job))
        except Stop:
            return Cancelled()
        except CompressorError as error:
            return Failed(error.what, error.where, error.hint)
        except MemoryError:
            return Failed("there is not enough memory", hint="close other programs and try again")
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            return Failed(f"internal error: {type(error).__name__}: {error}")

    def _send(self, number: int, event: Event) -> None:
        try:
            line = event_line(number, event)
        except ProtocolError as error:
            line = event_line(number, Failed(str(error)))
        with self._write_lock:
            try:
                self._answers.write(line)
                self._answers.flush()
            except OSError:
                os._exit(0)  # the client is gone

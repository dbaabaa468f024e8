"""The client of a worker process: starts it when there is work, one job at a time, and survives its death."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import compressor_gui
from compressor_gui.core import units
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.memory import MemoryWatch
from compressor_gui.core.names import elide
from compressor_gui.core.protocol import (
    Cancelled,
    Died,
    Done,
    Event,
    Failed,
    Piece,
    Progress,
    ProtocolError,
    Request,
    Word,
    cancel_line,
    parse_event,
    read_line,
    request_line,
    word_line,
)

R = TypeVar("R")
Listener = Callable[[int, Event], None]
"""Called with the job's number and each of its events, the last neither Progress nor Piece. The calls come from a
thread of the worker's, or from the one that cancels."""

_CRASHES = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP"}
_NICE = 10
_LAST_WORDS = 240
"""Characters of a worker's last line that an error shows."""
_log = logging.getLogger(__name__)


class JobCancelled(Exception):  # noqa: N818 - an outcome, not an error
    """The job that :meth:`Worker.run` waited for was cancelled."""


class WorkerDied(CompressorError):  # noqa: N818 - named as the event is
    """The worker's process ended during the job; ``details`` are the last lines that it wrote."""

    def __init__(self, died: Died) -> None:
        last = died.details.rpartition("\n")[2].strip()
        super().__init__(died.reason, hint=f"its last words: {elide(last, _LAST_WORDS)}" if last else "")
        self.details = died.details


@dataclass(eq=False)
class _Job:
    number: int
    request: Request
    listener: Listener
    cancelled: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class _Process:
    """One run of the worker's program, the last lines of its standard error at hand."""

    def __init__(self, module: str, environment: dict[str, str], memory_bytes: int, background: bool) -> None:
        self.environment, self.background = environment, background
        self.words = _words(module)
        package = str(Path(compressor_gui.__file__).parent.parent)
        paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        self.popen = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Its own session: Ctrl+C in a terminal is the client's to handle. A safe path: no numpy.py of the user's.
            start_new_session=True,
            env={**os.environ, **environment, "PYTHONPATH": paths, "PYTHONSAFEPATH": "1"},
        )
        if background:
            _give_way(self.popen.pid)
        self.stdin = cast(BinaryIO, self.popen.stdin)
        self.stdout = cast(BinaryIO, self.popen.stdout)
        self._stderr = cast(BinaryIO, self.popen.stderr)
        self._tail: deque[bytes] = deque(maxlen=40)
        self._drain = threading.Thread(target=self._keep_tail, daemon=True)
        self._drain.start()
        self._end = threading.Thread(target=self._end_children, daemon=True)
        self._end.start()
        self.memory = MemoryWatch(self.popen.pid, memory_bytes, self.kill) if memory_bytes else None

    def _keep_tail(self) -> None:
        while line := self._stderr.readline(4096):
            self._tail.append(line)

    def _end_children(self) -> None:
        """When it dies: they hold its output open, whose end is how its death is noticed.

        It is not reaped here, so that its number stays its group's. Windows has no groups, macOS waitid since 3.13.
        """
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOWAIT)
            self._kill_all()

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        """End it and what it started; :meth:`wait` has to follow."""
        if self.running:
            self._kill_all()

    def _kill_all(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.popen.pid, signal.SIGKILL)
            else:
                self.popen.kill()

    def wait(self, reason: str = "") -> Died:
        """Reap the process, which has ended or closed its output; ``reason`` replaces what its exit code says."""
        try:
            code = self.popen.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self.popen.wait()
        self._end.join()
        self._drain.join()
        if self.memory:
            self.memory.close()
        for stream in (self.stdin, self.stdout, self._stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        name = _signal_name(-code)
        crashed = name in _CRASHES or code >= 0xC0000000  # the latter is how Windows reports a crash
        end = f"was ended by {name}" if name else f"ended with exit code {code}"
        return Died(f"{self.words} {reason or end}", crashed, b"".join(self._tail).decode("utf-8", "replace").strip())


def _words(module: str) -> str:
    """What the user knows a worker's process as."""
    return f"the {module.rpartition('.')[2]}'s process"


def _give_way(pid: int) -> None:
    """Let other processes go first, above all the client's: a window that waits for a processor does not move.

    Linux shares processors between sessions before it looks at the priority within one, so that both are lowered.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, pid, _NICE)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(_NICE))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


class Worker:
    """Asks ``python -m module`` to do jobs, one at a time, in the order in which they were submitted.

    The process starts with the first job. When it dies, the running job ends with :class:`Died` (or is asked again as
    :meth:`Request.after_crash` says), and the next job starts a new one. Its methods may be called from any thread.
    """

    def __init__(
        self,
        module: str,
        on_event: Listener | None = None,
        *,
        patience: float = 2.0,
        memory_bytes: int = 0,
        background: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``patience``: seconds that a running job has to answer a cancel before its process is killed.

        ``environment``: variables of its processes beside this one's own; a request's come before them.

        ``background``: the process gives way to others wherever processors are short, but while it takes times.
        ``memory_bytes``: what the process may have, 0 for no limit. It may be set at any time, and holds for the
        processes that are started from then on.
        """
        self.module = module
        self.memory_bytes = memory_bytes
        self._background = background
        self._environment = dict(environment or {})
        self._on_event = on_event or (lambda job, event: None)
        self._patience = patience
        self._numbers = itertools.count(1)
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._jobs: dict[int, _Job] = {}
        self._current: _Job | None = None
        self._process: _Process | None = None
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancellers: list[threading.Thread] = []
        self._closed = False

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process's number, or None while none runs."""
        process = self._process
        return process.popen.pid if process is not None and process.running else None

    def submit(self, request: Request, listener: Listener | None = None) -> int:
        """Queue a request and return its job's number; events go to ``listener``, or to the worker's own."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the worker is closed")
            job = _Job(next(self._numbers), request, listener or self._on_event)
            self._jobs[job.number] = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve_queue, name=self.module, daemon=True)
                self._thread.start()
            self._queue.put(job)
        return job.number

    def cancel(self, number: int) -> None:
        """Cancel a job: a waiting one at once, a running one when it answers, or its process is killed for it."""
        with self._lock:
            job = self._jobs.get(number)
            if job is None or job.cancelled:
                return
            job.cancelled = True
            running = job is self._current
            if running:
                canceller = threading.Thread(target=self._insist, args=(job, self._process), daemon=True)
                self._cancellers = [*(thread for thread in self._cancellers if thread.is_alive()), canceller]
                canceller.start()
            else:
                del self._jobs[number]
        if not running:
            self._tell(job, Cancelled())

    def tell(self, number: int | None, word: Word) -> None:
        """Say a word to a job that is under way (None: whichever is); one that waits or has ended hears nothing."""
        with self._lock:
            job = self._current if self._current and number in (None, self._current.number) else None
            process = self._process if job else None
        if job is not None and process is not None:
            self._write(process, word_line(job.number, word))

    def run(
        self,
        request: Request[R],
        on_progress: Callable[[Progress], None] | None = None,
        on_piece: Callable[[Any], None] | None = None,
    ) -> R:
        """Do a job and wait for its answer. Raises CompressorError, WorkerDied or JobCancelled."""
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        number = self.submit(request, lambda _, event: events.put(event))
        try:
            while isinstance(event := events.get(), Progress | Piece):
                if isinstance(event, Piece):
                    if on_piece:
                        on_piece(event.part)
                elif on_progress:
                    on_progress(event)
        except BaseException:
            self.cancel(number)
            raise
        if isinstance(event, Failed):
            raise CompressorError(event.what, where=event.where, hint=event.hint)
        if isinstance(event, Died):
            raise WorkerDied(event)
        if isinstance(event, Cancelled):
            raise JobCancelled
        answer: R = event.result
        return answer

    def close(self) -> None:
        """Cancel all jobs, end the process and the threads. It can't be used any more."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for job in self._jobs.values():
                job.cancelled = True
            if self._process:
                self._process.kill()
            self._queue.put(None)
        for thread in filter(None, [self._thread, *self._cancellers]):
            thread.join()

    def _insist(self, job: _Job, process: _Process | None) -> None:
        """Ask for the end of a running job, and enforce it."""
        if process is None:
            return  # it has not been started yet: the worker's thread will see the flag
        asking = threading.Thread(target=self._write, args=(process, cancel_line(job.number)), daemon=True)
        asking.start()
        if not job.ended.wait(self._patience):
            with self._lock:
                if self._current is job:
                    process.kill()
        asking.join()

    def _write(self, process: _Process, line: bytes) -> None:
        with self._write_lock, contextlib.suppress(OSError, ValueError):  # a dead process shows at the reading end
            process.stdin.write(line)
            process.stdin.flush()

    def _serve_queue(self) -> None:
        while job := self._queue.get():
            with self._lock:
                if job.number not in self._jobs:  # cancelled while it waited
                    continue
                self._current = job
            event = Cancelled() if job.cancelled else self._do(job)
            with self._lock:
                self._current = None
                del self._jobs[job.number]
            job.ended.set()
            self._tell(job, event)
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _do(self, job: _Job) -> Event:
        """Do one job to its last event, in as many processes as it takes."""
        request = job.request
        while True:
            event = self._ask(job, request)
            if job.cancelled and not isinstance(event, Done):
                return Cancelled()
            if not isinstance(event, Died) or not event.crashed:
                return event
            again = request.after_crash()
            if again is None:
                return replace(event, reason=request.given_up(event.reason))
            request = again
            self._tell(job, Progress(0, 0, f"{event.reason}; trying again"))

    def _ask(self, job: _Job, request: Request) -> Event:
        """One request to one process; its last event."""
        try:
            line = request_line(job.number, request)
        except ProtocolError as error:
            return Failed(str(error))
        try:
            environment = {**self._environment, **request.environment()}
            process = self._started(environment, self._background and not request.timed)
        except OSError as error:
            return Died(f"{_words(self.module)} can't be started: {error.strerror or error}")
        if process is None:
            return Cancelled()
        self._write(process, line)
        reason = ""
        try:
            while answer := read_line(process.stdout):
                number, event = parse_event(answer, type(request))
                if number not in (0, job.number):  # 0: the worker could not tell, and there is only this one
                    continue
                if not isinstance(event, Progress | Piece):
                    return event
                self._tell(job, event)
        except ProtocolError as error:
            reason = f"broke the protocol: {error}"
            process.kill()
        with self._lock:
            self._process = None
        died = process.wait(reason)
        if process.memory and process.memory.exceeded:
            words = f"this needs more memory than the {units.size(process.memory.limit)} that it may have"
            return Failed(words, hint="allow more, or take smaller batches")
        return died

    def _started(self, environment: dict[str, str], background: bool) -> _Process | None:
        """A running process with these variables and this priority, which can't be raised once it is lowered; None
        when the worker has been closed or the job cancelled."""
        with self._lock:
            fits = self._process and (self._process.environment, self._process.background) == (environment, background)
            if self._process and not (fits and self._process.running):
                self._process.kill()
                self._process.wait()
                self._process = None
            if self._closed or (self._current and self._current.cancelled):
                return None
            if self._process is None:
                self._process = _Process(self.module, environment, self.memory_bytes, background)
            return self._process

    def _tell(self, job: _Job, event: Event) -> None:
        try:
            job.listener(job.number, event)
        except Exception:
            _log.exception("a listener failed on %s", event)

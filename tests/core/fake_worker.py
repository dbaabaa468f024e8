"""A worker process that misbehaves on request: ``python -m tests.core.fake_worker``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from typing import ClassVar

from compressor_gui.core.caution import ONEDNN, REMAPPER, Cautious
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.protocol import Request
from compressor_gui.core.serve import Job, serve


@dataclass(frozen=True)
class Answer:
    value: str
    pid: int


@dataclass(frozen=True)
class Run(Cautious[Answer]):
    """As :class:`Do`, of the kind that is asked again more cautiously after a crash."""

    name: ClassVar[str] = "run"
    answer: ClassVar[type] = Answer

    what: str = "crash_unless_off"
    value: str = ""


@dataclass(frozen=True)
class Do(Request[Answer]):
    """``what`` names a function below; ``retry`` is what to do after a crash."""

    name: ClassVar[str] = "do"
    answer: ClassVar[type] = Answer

    what: str = "echo"
    value: str = ""
    retry: str = ""

    def after_crash(self) -> Do | None:
        return replace(self, what=self.retry, retry="") if self.retry else None


def echo(request: Do, job: Job) -> str:
    for step in range(3):
        job.progress(step, 3, f"step {step}")
    return request.value


def wait_politely(request: Do, job: Job) -> str:
    job.progress(0, 0, "waiting")
    job.cancelled.wait()
    job.check()
    return "not reached"


def wait_stubbornly(request: Do, job: Job) -> str:
    job.progress(0, 0, "waiting")
    threading.Event().wait()
    return "not reached"


def wait_for_words(request: Do, job: Job) -> str:
    """Wait while paused, until there is to be an end."""
    job.progress(0, 0, "working")
    while not job.paused:
        job.check()
    job.progress(0, 0, "paused")
    job.wait()
    job.progress(0, 0, "going on")
    job.finishing.wait()
    return "finished"


def crash(request: Do, job: Job) -> str:
    print("about to crash", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
    return "not reached"


def crash_unless_off(request: Do | Run, job: Job) -> str:
    """What TensorFlow does on a graph that it only runs without a part of it."""
    wanted = request.value.split()
    if any(os.environ.get(name) != "0" for name in wanted):
        os.kill(os.getpid(), signal.SIGABRT)
    return " ".join(name for name in (REMAPPER, ONEDNN) if os.environ.get(name) == "0")


def take_memory(request: Do, job: Job) -> str:
    """Take so many MB and keep them."""
    taken = b"x" * (int(request.value) << 20)
    threading.Event().wait()
    return f"not reached with {len(taken)}"


def take_memory_elsewhere(request: Do, job: Job) -> str:
    """The same in a process of its own."""
    program = f"taken = b'x' * ({request.value} << 20); import threading; threading.Event().wait()"
    subprocess.run([sys.executable, "-c", program])
    return "not reached"


def crash_with_a_child(request: Do, job: Job) -> str:
    """The child has this process's output, and never ends by itself."""
    program = "import os, threading; os.write(2, b'child\\n'); threading.Event().wait()"
    subprocess.Popen([sys.executable, "-c", program], stdout=2)
    os.kill(os.getpid(), signal.SIGSEGV)
    return "not reached"


def leave(request: Do, job: Job) -> str:
    os._exit(3)


def babble(request: Do, job: Job) -> str:
    """Write on the protocol's own descriptor, which is the highest that is open for writing."""
    os.write(int(request.value), b"this is not JSON\n")
    return "not reached"


def print_much(request: Do, job: Job) -> str:
    """What libraries print, from Python and from below it."""
    print("hello from Python")
    os.write(1, b"hello from C\n")
    return input() if request.value == "read" else "printed"


def refuse(request: Do, job: Job) -> str:
    raise CompressorError("it is blue", where="node 'sky'", hint="paint it")


def fail(request: Do, job: Job) -> str:
    raise ZeroDivisionError("by zero")


def too_much(request: Do, job: Job) -> str:
    return "x" * (17 << 20)


ACTIONS = {
    f.__name__: f
    for f in (
        echo,
        wait_politely,
        wait_stubbornly,
        wait_for_words,
        crash,
        crash_unless_off,
        crash_with_a_child,
        take_memory,
        take_memory_elsewhere,
        leave,
        babble,
        print_much,
        refuse,
        fail,
        too_much,
    )
}


def do(request: Do | Run, job: Job) -> Answer:
    return Answer(ACTIONS[request.what](request, job), os.getpid())


if __name__ == "__main__":
    serve({Do: do, Run: do})

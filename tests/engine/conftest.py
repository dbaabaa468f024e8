"""TensorFlow, runs of pruning with retraining, and a Dask cluster on this machine."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.engine.retraining import Ask
from tests.support import tensorflow


@dataclass
class Cluster:
    """A scheduler and two workers; the first can be killed."""

    client: Any
    first: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """The scheduler's."""
        return str(self.client.scheduler.address)

    @property
    def workers(self) -> int:
        """How many are alive, as the scheduler knows."""
        return len(self.client.scheduler_info()["workers"])

    def kill_one(self) -> None:
        """By SIGKILL."""
        self.first.kill()
        self.first.wait()


@contextmanager
def _running(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", module, *arguments, "--no-dashboard"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    distributed = pytest.importorskip("distributed")
    where = str(tmp_path / "scheduler.json")
    local = ("--host", "127.0.0.1", "--scheduler-file", where)
    worker = ("distributed.cli.dask_worker", "--no-nanny", "--nthreads", "1", *local)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_running("distributed.cli.dask_scheduler", "--port", "0", *local))
        first, _ = stack.enter_context(_running(*worker)), stack.enter_context(_running(*worker))
        client = stack.enter_context(distributed.Client(scheduler_file=where, set_as_default=False))
        client.wait_for_workers(2, timeout=60)
        yield Cluster(client, first)


@pytest.fixture(scope="module")
def quiet_tensorflow() -> Any:
    return tensorflow()


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    return Ask(tmp_path / "checkpoints")

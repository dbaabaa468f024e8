"""One network trained by two processes, as it would be by two machines."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.protocol import Died, Done, Event, Failed, Piece, Progress
from compressor_gui.core.serve import Job
from compressor_gui.core.training import MULTI_WORKER, Goal, News, Optimizing, PruneRetrain, Retrained

SAMPLES = Path(__file__).parents[2] / "resources" / "samples"

pytestmark = pytest.mark.tensorflow


def asked(folder: Path, **changes: Any) -> PruneRetrain:
    """LeNet-300-100 on 300 digits, of which a part is held out."""
    images, labels = (str(SAMPLES / f"t10k-1000-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    request = PruneRetrain(
        model=ModelRef(str(SAMPLES / "lenet-300-100.pb")),
        data=DataSpec("idx", images, labels, height=28, width=28, channels=1, limit=300),
        goal=Goal(ratio=12),
        epochs=2,
        schedule="iterative",
        optimizing=Optimizing(batch=50),
        checkpoint=str(folder),
    )
    return replace(request, **changes)


@dataclass
class Workers:
    """Engines that are told of each other, the first of them the chief."""

    stack: contextlib.ExitStack
    monkeypatch: pytest.MonkeyPatch
    engines: list[EngineClient] = field(default_factory=list)
    events: list[queue.SimpleQueue[Event]] = field(default_factory=list)

    def start(self, *requests: PruneRetrain) -> None:
        addresses = [f"localhost:{port}" for port in free_ports(len(requests))]
        for at, request in enumerate(requests):
            told = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": at}}
            self.monkeypatch.setenv("TF_CONFIG", json.dumps(told))
            engine = self.stack.enter_context(EngineClient())
            events: queue.SimpleQueue[Event] = queue.SimpleQueue()
            engine.submit(request, lambda _, event, events=events: events.put(event))  # type: ignore[misc]
            assert isinstance(events.get(), Progress)  # it has been started, with its variable
            self.engines.append(engine)
            self.events.append(events)

    def end(self, at: int, on_news: Callable[[News], None] = lambda news: None) -> Event:
        """The last event of a worker."""
        while isinstance(event := self.events[at].get(timeout=300), Progress | Piece):
            if isinstance(event, Piece):
                on_news(event.part)
        return event


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Any:
    with contextlib.ExitStack() as stack:
        yield Workers(stack, monkeypatch)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody has.

    They lie below those that systems give away by themselves (from 32768 or 49152 on), or one that is free here might
    be another program's when TensorFlow opens it.
    """
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        for port in random.SystemRandom().sample(range(20_000, 32_768), 100):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("localhost", port)))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise AssertionError("no port of this machine is free")


def test_two_workers_train_as_one(workers: Workers, tmp_path: Path) -> None:
    from compressor_gui.engine.train.prune_retrain import prune_retrain

    workers.start(*[asked(tmp_path / "a", strategy=MULTI_WORKER)] * 2)
    whole = prune_retrain(asked(tmp_path / "b"), Job(1, lambda number, event: None))
    chief, other = workers.end(0), workers.end(1)
    assert isinstance(chief, Done), chief
    assert isinstance(other, Done), other
    found: Retrained = chief.result
    assert other.result.helped
    assert not found.helped
    assert [epoch.loss for epoch in found.epochs] == pytest.approx([epoch.loss for epoch in whole.epochs], rel=1e-4)
    assert [point.nonzero for point in found.points] == [point.nonzero for point in whole.points]
    assert [point.value for point in found.points] == pytest.approx([p.value for p in whole.points], abs=0.01)


def test_two_workers_that_were_asked_different_things_both_say_so(workers: Workers, tmp_path: Path) -> None:
    workers.start(*[asked(tmp_path, strategy=MULTI_WORKER, epochs=epochs) for epochs in (2, 3)])
    for at in range(2):
        event = workers.end(at)
        assert isinstance(event, Failed), event
        assert event.what == "the workers were not asked the same"


def test_an_error_before_the_first_batch_ends_the_waiting_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compressor_gui.engine.train import prune_retrain as runs
    from compressor_gui.engine.train.devices import Team

    def masks(*_: object) -> None:
        raise CompressorError("there is no memory for masks")

    told: list[bool] = []
    monkeypatch.setattr(runs, "Masks", masks)
    monkeypatch.setattr(Team, "dismiss", lambda team, *, failed: told.append(failed))
    with pytest.raises(CompressorError, match="no memory for masks"):
        runs.prune_retrain(asked(tmp_path), Job(1, lambda number, event: None))
    assert told == [True]


def test_a_worker_that_is_killed_ends_the_others(workers: Workers, tmp_path: Path) -> None:
    workers.start(*[asked(tmp_path, strategy=MULTI_WORKER, epochs=10_000)] * 2)

    def kill(news: News) -> None:
        pid = workers.engines[1].pid
        if news.epoch is not None and news.epoch.epoch == 2 and pid is not None:
            os.kill(pid, signal.SIGKILL)

    event = workers.end(0, kill)
    assert isinstance(event, Failed)
    assert event.what == "worker 1 has ended, or can't be reached any more"
    assert "goes on from its last epoch" in event.hint
    assert isinstance(workers.end(1), Died)


@pytest.mark.parametrize(
    "words",
    [
        "Collective ops is aborted by: Error reported from /job:worker/task:0: The following tasks are unhealthy"
        " (stopped sending heartbeats): /job:worker/replica:0/task:0 The tasks have crashed.",
        "Collective ops is aborted by: recvmsg:Connection reset by peer Additional GRPC error information from remote"
        " target /job:worker/replica:0/task:0 while calling /tensorflow.WorkerService/RecvBuf",
    ],
)
def test_what_tensorflow_says_of_a_worker_that_is_gone_names_it(words: str) -> None:
    from compressor_gui.engine.train.devices import lost

    found = lost(ValueError(words))
    assert found is not None
    assert found.what.startswith("worker 0 has ended")
    assert lost(ValueError("Matrix size-incompatible: /job:worker/replica:0/task:0")) is None


def test_workers_that_were_asked_different_things_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from compressor_gui.engine.train.devices import Team

    team, mine = Team(workers=2), "ab" * 32
    other = np.zeros(4, np.int64)
    monkeypatch.setattr(team, "_sum", lambda values: [values[0] + other])
    with pytest.raises(CompressorError, match="the workers were not asked the same"):
        team.agree(mine)
    other = np.full(4, 0xABABABAB)
    team.agree(mine)


def test_a_wish_of_any_worker_finishes_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from compressor_gui.engine.train.devices import Team
    from compressor_gui.engine.train.prune_retrain import prune_retrain

    monkeypatch.setattr(Team, "tell", lambda team, order: order.epoch == 2)
    found = prune_retrain(asked(tmp_path), Job(1, lambda number, event: None))
    assert "stopped" in found.stopped
    assert (len(found.epochs), len(found.points)) == (1, 2)


def test_an_order_is_heard_as_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from compressor_gui.engine.train.devices import Order, Team

    chief, other = Team(workers=2), Team(workers=2, chief=False)
    sent: list[list[np.ndarray]] = []
    wish = np.array([0, 0, 0, 0, 0, 1])

    def told(values: list[np.ndarray]) -> list[np.ndarray]:
        sent.append(values)
        return [value + wish[: value.size] for value in values]

    monkeypatch.setattr(chief, "_sum", told)
    monkeypatch.setattr(other, "_sum", lambda values: sent.pop(0))
    order = Order(3, 20, np.array([0.5, 0.25], np.float32), aligned=True)
    assert chief.tell(order)
    heard = other.hear(finish=True)
    assert heard is not None
    np.testing.assert_array_equal(heard.rates, order.rates)
    assert replace(heard, rates=order.rates) == order
    chief.dismiss(failed=False)
    assert other.hear(finish=False) is None
    chief.dismiss(failed=True)
    with pytest.raises(CompressorError, match="the first worker ended with an error"):
        other.hear(finish=False)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("", "the variable TF_CONFIG is not set"),
        ("{", "TF_CONFIG does not say which workers there are"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "which of them this is"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}', "which workers"),
    ],
)
def test_bad_variables_are_named(told: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from compressor_gui.engine.train.devices import open_team

    monkeypatch.setenv("TF_CONFIG", told)
    with pytest.raises(CompressorError, match=sentence):
        open_team(MULTI_WORKER, 50)

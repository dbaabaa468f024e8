"""What is counted in parts, by other processes or machines, is what one run counts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import Calibrate, Calibration, Evaluate, Evaluation, ModelRef
from compressor_gui.core.passes import make
from compressor_gui.core.pbio import read_graph, write_graph
from compressor_gui.core.protocol import Event, Progress
from compressor_gui.core.recipe import Recipe, Step
from compressor_gui.core.serve import Job, Stop
from tests.core.test_data import SAMPLES
from tests.engine.conftest import Cluster
from tests.support import conv_net, tensorflow

pytestmark = pytest.mark.tensorflow

LENET = ModelRef(str(SAMPLES / "lenet-5.pb"))
PRUNED = dataclasses.replace(LENET, recipe=Recipe((Step(make("prune", {"sparsity": 0.97})),)).to_json())
TOLERANCE = 1e-6
"""Relative: sums of floats are added in another order, and TensorFlow's threads may divide the work differently."""


@pytest.fixture(scope="module", autouse=True)
def quiet_tensorflow() -> Any:
    return tensorflow()


@pytest.fixture
def in_turn(monkeypatch: pytest.MonkeyPatch) -> str:
    """A scheduler whose one worker is a thread of this process; its address."""
    from compressor_gui.engine import parts, scheduler

    @contextmanager
    def executor(address: str, key: str, shared: object) -> Iterator[Executor]:
        scheduler._share(key, shared)
        with ThreadPoolExecutor(1) as threads:
            try:
                yield threads
            finally:
                threads.shutdown(cancel_futures=True)
                scheduler._forget(key)

    monkeypatch.setattr(parts, "open_executor", executor)
    return "here"


def digits(count: int) -> DataSpec:
    return dataclasses.replace(guess(read_graph(LENET.path), SAMPLES), limit=count)


def ask(request: Any, hear: Callable[[Event], None] = lambda _: None) -> Any:
    from compressor_gui.engine.calibrate import calibrate
    from compressor_gui.engine.evaluate import evaluate

    return (evaluate if isinstance(request, Evaluate) else calibrate)(request, Job(1, lambda _, event: hear(event)))


def same(there: Evaluation | Calibration, here: Evaluation | Calibration) -> None:
    if isinstance(there, Calibration) and isinstance(here, Calibration):
        assert (there.n, there.skipped, there.ranges.keys()) == (here.n, here.skipped, here.ranges.keys())
        for name, limits in here.ranges.items():
            assert there.ranges[name] == pytest.approx(limits, rel=TOLERANCE)
            counts, found = (np.cumsum(side.histograms[name].counts) for side in (here, there))
            assert np.abs(counts - found).max() <= counts[-1] * 1e-3  # values beside a border may change their bin
        return
    assert isinstance(there, Evaluation)
    assert isinstance(here, Evaluation)
    assert _numbers(there) == pytest.approx(_numbers(here), rel=TOLERANCE)
    assert (there.skipped, there.classes) == (here.skipped, here.classes)
    assert [one.check.equal for one in there.fidelity] == [one.check.equal for one in here.fidelity]


def _numbers(found: Evaluation) -> dict[str, float]:
    """All that there are; ``None`` is left out on both sides."""
    numbers = {"p": found.mcnemar_p}
    for side, accuracy in (("model", found.accuracy), ("against", found.against)):
        for key, value in dataclasses.asdict(accuracy).items() if accuracy else ():
            numbers |= {f"{side} {key} {at}": number for at, number in enumerate(np.ravel(value).tolist())}
    for at, one in enumerate(found.fidelity):
        numbers |= {f"sqnr {at}": one.check.sqnr_db, f"same {at}": one.check.argmax_agreement, f"kl {at}": one.kl}
    return {key: value for key, value in numbers.items() if value is not None}


REQUESTS = (
    Evaluate(PRUNED, digits(60), LENET, batch=4),
    Calibrate(LENET, digits(60), "kl", batch=4),
)
BOTH = pytest.mark.parametrize("request_", REQUESTS, ids=["evaluate", "calibrate"])


# --- equal to one run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [4, 7, 100])
@pytest.mark.parametrize("method", ["moving_average", "mse"])
def test_calibrating_in_parts(in_turn: str, batch: int, method: str) -> None:
    request = Calibrate(LENET, digits(60), method, batch=batch)
    same(ask(dataclasses.replace(request, scheduler=in_turn)), ask(request))


@pytest.mark.parametrize("batch", [4, 7, 100])
@pytest.mark.parametrize(("model", "against"), [(LENET, None), (PRUNED, LENET), (LENET, LENET)])
def test_evaluating_in_parts(in_turn: str, batch: int, model: ModelRef, against: ModelRef | None) -> None:
    request = Evaluate(model, digits(60), against, batch)
    same(ask(dataclasses.replace(request, scheduler=in_turn)), ask(request))


def test_merging_leaves_tallies_as_they_are() -> None:
    from compressor_gui.engine.models import load_model
    from compressor_gui.engine.runner import Runner, open_examples
    from compressor_gui.engine.tally import Tally

    with load_model(PRUNED) as pruned, load_model(LENET) as lenet:
        model, original = Runner(pruned), Runner(lenet)
        batches = list(open_examples(digits(60), original.graph, 8))
        whole = Tally(DataSpec("numpy", ""), (), "")
        for batch in batches:
            whole.add(batch, model, original)
        parts = [whole.emptied() for _ in range(3)]
        for at, batch in enumerate(batches):
            parts[at // 3].add(batch, model, original)
    before = [part.evaluation() for part in parts]
    merged = parts[0].merge(parts[1].merge(parts[2]))
    same(merged.merge(whole.emptied()).evaluation(), whole.evaluation())
    same(parts[0].merge(parts[1]).merge(parts[2]).evaluation(), whole.evaluation())
    assert [part.evaluation() for part in parts] == before


@pytest.mark.parametrize("limit", [0, 10, 17, 50])
def test_a_limit_is_one_of_pictures_that_are_whole(in_turn: str, tmp_path: Path, limit: int) -> None:
    tf = tensorflow()
    random = np.random.default_rng(0)
    for at in range(24):
        pixels = tf.io.encode_png(random.integers(0, 255, (8, 8, 3), np.uint8)).numpy()
        (tmp_path / f"{at:02}.png").write_bytes(b"words" if at in (2, 3, 11, 16, 23) else pixels)
    write_graph(conv_net(), tmp_path / "model.pb")
    model = ModelRef(str(tmp_path / "model.pb"))
    spec = dataclasses.replace(guess(conv_net(), tmp_path), limit=limit)
    for request in (Calibrate(model, spec, batch=3), Evaluate(model, spec, model, batch=3)):
        here = ask(request)
        same(ask(dataclasses.replace(request, scheduler=in_turn)), here)
        assert len(here.skipped) == {10: 3, 17: 4}.get(limit, 5)


def test_an_example_that_is_not_finite_is_left_out(in_turn: str, tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((20, 8, 8, 3), np.float32)
    values[5, 0, 0, 0] = np.nan
    np.save(tmp_path / "values.npy", values)
    write_graph(conv_net(), tmp_path / "model.pb")
    data = guess(conv_net(), tmp_path / "values.npy")
    request = Calibrate(ModelRef(str(tmp_path / "model.pb")), data, batch=4)
    here = ask(request)
    same(ask(dataclasses.replace(request, scheduler=in_turn)), here)
    assert (here.n, len(here.skipped)) == (19, 1)


# --- errors and cancel -----------------------------------------------------------------------------------------------


def test_errors_of_a_part_are_those_of_one_run(in_turn: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((6, 28, 28, 1), np.float32), y=np.array([0, 1, 2, 3, 12, 5]))
    spec = guess(read_graph(LENET.path), tmp_path / "data.npz")
    with pytest.raises(CompressorError, match=r"data\.npz\[4\]: the label is 12, but the output 'output' has 10"):
        ask(Evaluate(LENET, spec, batch=2, scheduler=in_turn))
    for at in range(3):
        (tmp_path / f"{at}.png").write_bytes(b"words")
    pictures = dataclasses.replace(digits(0), kind="images", path=str(tmp_path))
    for request in (Evaluate(LENET, pictures, LENET), Calibrate(LENET, pictures)):
        with pytest.raises(CompressorError, match="none of the 3 examples can be read"):
            ask(dataclasses.replace(request, scheduler=in_turn))


@BOTH
@pytest.mark.parametrize("scheduler", ["nowhere", "processes:0"])
def test_what_is_no_scheduler_is_said(request_: Any, scheduler: str) -> None:
    with pytest.raises(CompressorError, match="this is no scheduler"):
        ask(dataclasses.replace(request_, scheduler=scheduler))


@BOTH
def test_it_can_be_cancelled_on_its_way(in_turn: str, request_: Any) -> None:
    from compressor_gui.engine.calibrate import calibrate
    from compressor_gui.engine.evaluate import evaluate

    def hear(_: int, event: Event) -> None:
        if isinstance(event, Progress) and event.done:
            job.cancelled.set()

    job = Job(1, hear)
    with pytest.raises(Stop):
        (evaluate if isinstance(request_, Evaluate) else calibrate)(
            dataclasses.replace(request_, scheduler=in_turn), job
        )


# --- other processes, other machines ---------------------------------------------------------------------------------


@BOTH
def test_own_processes_give_the_same(request_: Any) -> None:
    seen: list[Event] = []
    there = ask(dataclasses.replace(request_, scheduler="processes:2"), seen.append)
    same(there, ask(request_))
    done = [event.done for event in seen if isinstance(event, Progress) and "processes:2" in event.message]
    assert done == sorted(done)
    assert 0 < done[-1] <= 60


@BOTH
def test_a_cluster_gives_the_same_though_a_worker_dies(request_: Any, cluster: Cluster) -> None:
    middle: list[int] = []

    def kill(event: Event) -> None:
        if isinstance(event, Progress) and cluster.address in event.message and event.done and not middle:
            middle.append(event.done)
            cluster.kill_one()

    there = ask(dataclasses.replace(request_, scheduler=cluster.address), kill)
    assert middle[0] < 60
    assert cluster.workers == 1
    same(there, ask(request_))


@pytest.mark.parametrize("command", ["evaluate", "calibrate"])
def test_the_commands_take_a_scheduler(command: str) -> None:
    arguments = (command, str(SAMPLES / "lenet-300-100.pb"), "--data", str(SAMPLES), "--scheduler", "nowhere", "--json")
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["where"] == "nowhere"

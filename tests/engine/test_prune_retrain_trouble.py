"""Pruning with retraining that is killed, stopped, goes astray, or is asked for what can't be done."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compressor_gui.core import pbio, weight_store
from compressor_gui.core.data import guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EngineClient, WorkerDied
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.core.serve import Job, Stop
from compressor_gui.core.training import Augmenting, Epoch, Goal, News, Optimizing, PruneRetrain, Retrained
from compressor_gui.core.values import DType
from tests.engine.retraining import LENET, SAMPLES, Ask, digits, open_batches
from tests.support import Net

pytestmark = pytest.mark.tensorflow


def same_curve(one: Retrained, other: Retrained) -> bool:
    """Whether losses, values and weights are equal to the last bit."""

    def told(epoch: Epoch) -> Epoch:
        return replace(epoch, seconds=0, checkpoint="")

    points = [[replace(point, seconds=0) for point in run.points] for run in (one, other)]
    return list(map(told, one.epochs)) == list(map(told, other.epochs)) and points[0] == points[1]


# --- killed, stopped, gone astray ------------------------------------------------------------------------------------


def test_a_run_that_was_broken_off_goes_on_with_the_same_curve(ask: Ask, tmp_path: Path) -> None:
    options: dict[str, Any] = {"augmenting": Augmenting(shift=1), "seed": 3, "keep": "best"}
    whole = Ask(tmp_path / "whole")(**options)

    def stop(news: News, _: Job) -> None:
        if news.epoch is not None and news.epoch.epoch == 3:
            raise Stop

    ask.on_news = stop
    with pytest.raises(Stop):
        ask(**options)
    ask.on_news = lambda news, job: None
    resumed = ask(**options)
    assert resumed.resumed == 3
    assert len(resumed.epochs) == 4
    assert same_curve(resumed, whole)
    assert same_curve(ask(**options), whole)  # nothing is left to do


def test_masks_that_change_are_resumed_too(ask: Ask, tmp_path: Path) -> None:
    whole = Ask(tmp_path / "whole")(schedule="rigl")

    def stop(news: News, _: Job) -> None:
        if news.epoch is not None:
            raise Stop

    ask.on_news = stop
    with pytest.raises(Stop):
        ask(schedule="rigl")
    ask.on_news = lambda news, job: None
    assert same_curve(ask(schedule="rigl"), whole)


def test_a_killed_engine_goes_on_from_the_last_epoch_and_two_devices_train_as_one(tmp_path: Path) -> None:
    request = PruneRetrain(
        model=ModelRef(str(LENET)),
        data=digits(),
        goal=Goal(ratio=12),
        epochs=2,
        schedule="iterative",
        optimizing=Optimizing(),
        checkpoint=str(tmp_path / "a"),
    )
    with EngineClient() as engine:

        def kill(news: News) -> None:
            if news.epoch is not None and news.epoch.epoch == 2 and engine.pid is not None:
                os.kill(engine.pid, signal.SIGKILL)

        with pytest.raises(WorkerDied, match="SIGKILL"):
            engine.run(request, on_piece=kill)
        resumed = engine.run(request)
        parts = engine.run(replace(request, strategy="mirrored:2", checkpoint=str(tmp_path / "c")))
    whole = Ask(tmp_path / "b")()
    assert resumed.resumed in (2, 3, 4)  # the engine goes on until the signal arrives
    assert same_curve(resumed, whole)
    assert [epoch.loss for epoch in parts.epochs] == pytest.approx([epoch.loss for epoch in whole.epochs], rel=1e-4)


def test_stop_and_keep_loses_nothing(ask: Ask) -> None:
    def finish(news: News, job: Job) -> None:
        if news.batches is not None and news.batches.epoch == 2:
            job.tell("finish")

    ask.on_news = finish
    found = ask()
    assert "stopped" in found.stopped
    assert [point.step for point in found.points] == [0, 1]
    assert len(found.epochs) == 1
    assert weight_store.load(found.points[1].sha256)
    ask.on_news = lambda news, job: None
    assert [point.step for point in ask().points] == [0, 1, 2]


def test_a_loss_that_is_no_number_goes_back_to_the_last_good_point(ask: Ask) -> None:
    found = ask(optimizing=Optimizing("sgd", learning_rate=100, momentum=0.99), epochs=30)
    assert "NaN (not a number) in epoch" in found.stopped
    assert "back to the model as it came" in found.stopped
    assert found.lacks
    assert found.point.value > 0.95
    assert any("smaller learning rate" in note for note in ask.notes)


def test_a_full_disk_costs_the_checkpoints_only_and_weights_are_stored_at_the_end(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask.folder.write_text("no folder")
    monkeypatch.setenv(weight_store.FOLDER, str(tmp_path / "store"))
    (tmp_path / "store").write_text("no folder")

    def make_room(news: News, _: Job) -> None:
        if news.point is not None and news.point.step == 2:
            (tmp_path / "store").unlink()

    ask.on_news = make_room
    found = ask(rewind="none", epochs=1, optimizing=Optimizing(rate="constant"))
    assert [epoch.learning_rate for epoch in found.epochs] == pytest.approx([1e-3, 1e-4])
    assert found.chosen == 2
    assert any("no checkpoint could be written" in note for note in found.notes)
    assert {epoch.checkpoint for epoch in found.epochs} == {""}
    assert any("kept in memory" in note for note in found.notes)
    assert all(weight_store.load(point.sha256) for point in found.points[1:])


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "classes", "data": digits(targets="", path="plain")}, "have no labels"),
        (
            {"data": digits(label_offset=5)},
            r"\[\d+\]: the label is 1\d, but the (network|output 'output') has 10 classes",
        ),
        ({"data": digits(limit=60)}, "to train on, beside those held out, fewer than a batch of 100 .choose a smaller"),
        ({"data": digits(split="train")}, "only its train part is given"),
        ({"layers": ("fc9",)}, "there is no layer 'fc9'"),
        ({"freeze": ("fc9",)}, r"there is no layer 'fc9' \(did you mean "),
        ({"freeze": ("fc1",)}, "'fc1/MatMul' is to be pruned and frozen"),
        ({"logits": "nothing"}, "there is no node 'nothing'"),
        ({"output": "nothing"}, "there is no output 'nothing'"),
        ({"goal": Goal()}, "there is no target"),
        ({"goal": Goal(ratio=2, sparsity=0.5)}, "two targets, ratio and sparsity"),
        ({"goal": Goal(sparsity=1.0)}, "sparsity is 1"),
        ({"goal": Goal(ratio=0.5)}, "ratio is 0.5"),
        ({"criterion": "luck"}, "criterion is 'luck' .use global"),
        ({"epochs": 0}, "epochs is 0"),
        ({"strategy": "luck"}, "there is no strategy 'luck' .use mirrored"),
        ({"strategy": "mirrored:x"}, "'mirrored:x' is no strategy"),
        ({"loss": "fidelity", "goal": Goal(max_drop=0.1)}, "no top-1 that may drop"),
    ],
)
def test_bad_requests_are_said_in_a_sentence(ask: Ask, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    if options.get("data") is not None and options["data"].path == "plain":
        plain = tmp_path / "images.npy"
        np.save(plain, np.zeros((300, 28, 28, 1), np.float32))
        options = {**options, "data": replace(options["data"], kind="numpy", path=str(plain), label_feature="")}
    with pytest.raises(CompressorError, match=words):
        ask(**options)


def test_a_class_without_a_picture_is_told(ask: Ask, tmp_path: Path) -> None:
    batches = open_batches(digits(limit=0), pbio.read_graph(LENET))
    images = np.concatenate([batch.feeds["input"] for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches])
    np.savez(tmp_path / "few.npz", image=images[labels != 7], label=labels[labels != 7])
    data = guess(pbio.read_graph(LENET), tmp_path / "few.npz")
    found = ask(data=data, epochs=1, goal=Goal(ratio=2))
    assert found.notes == ("there is no training example of the class '7': the network will forget it",)


def test_a_size_is_met_and_a_goal_that_cant_be_met_gives_the_nearest_point(ask: Ask) -> None:
    found = ask(goal=Goal(bytes=150_000), epochs=1, steps=1)
    assert (found.chosen, found.lacks) == (1, "")
    assert 149_000 < found.point.bytes <= 150_000
    found = ask(goal=Goal(max_drop=0.0), epochs=1, optimizing=Optimizing("sgd", learning_rate=20), steps=2)
    assert found.chosen == 0
    assert "lost" in found.lacks


def test_the_op_that_is_in_the_way_is_named(ask: Ask, tmp_path: Path) -> None:
    quantized = (
        Replayer(pbio.read_graph(SAMPLES / "lenet-5.pb")).replay(Recipe.of(QuantizeNodes(skip=("conv1",)))).graph
    )
    pbio.write_graph(quantized, tmp_path / "q.pb")
    with pytest.raises(CompressorError, match=r"the op Quant.* has no gradient \(retrain before quantizing"):
        ask(tmp_path / "q.pb", layers=("conv1",))

    net = Net((-1, 8, 8, 1)).conv(4).then("Relu").flatten().dense(6)
    net.const("axis", 1, DType.INT32)
    net.then("ArgMax", "axis", name="best", Tidx=DType.INT32, output_type=DType.INT64)
    net.then("Cast", name="back", SrcT=DType.INT64, DstT=DType.FLOAT)
    net.const("one", np.array((-1, 1)), DType.INT32)
    net.then("Reshape", "one", name="column", Tshape=DType.INT32)
    net.shape = (-1, 1)
    pbio.write_graph(net.dense(10, name="last").build(), tmp_path / "argmax.pb")
    np.save(tmp_path / "data.npy", np.zeros((300, 8, 8, 1), np.float32))
    data = guess(pbio.read_graph(tmp_path / "argmax.pb"), tmp_path / "data.npy")
    with pytest.raises(CompressorError, match=r"'conv' gets no gradient: (ArgMax|Cast)"):
        ask(tmp_path / "argmax.pb", data)

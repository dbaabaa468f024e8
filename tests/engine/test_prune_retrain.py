"""Pruning with retraining, on LeNet-300-100 and the 1,000 digits that come with it, and on small networks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compressor_gui.core import pbio, weight_store
from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EngineClient, WorkerDied
from compressor_gui.core.layers import find_layers
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.protocol import Event, Piece
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.core.serve import Job, Stop
from compressor_gui.core.training import (
    Augmenting,
    Epoch,
    Goal,
    News,
    Optimizing,
    PruneRetrain,
    Retrained,
    weights_step,
)
from compressor_gui.core.values import DType
from tests.support import Net, run_tf, sqnr_db

SAMPLES = Path(__file__).parents[2] / "resources" / "samples"
LENET = SAMPLES / "lenet-300-100.pb"

pytestmark = pytest.mark.tensorflow


def digits(**changes: Any) -> DataSpec:
    """MNIST's first test digits; a part is held out to measure on."""
    images, labels = (str(SAMPLES / f"t10k-1000-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    return replace(DataSpec("idx", images, labels, height=28, width=28, channels=1, limit=600), **changes)


@dataclass
class Ask:
    """Runs in this process; what was told on the way is in ``news``."""

    folder: Path
    on_news: Callable[[News, Job], None] = lambda news, job: None
    news: list[News] = field(default_factory=list)

    def __call__(self, model: Path = LENET, data: DataSpec | None = None, **options: Any) -> Retrained:
        from compressor_gui.engine.train.prune_retrain import prune_retrain

        def hear(_: int, event: Event) -> None:
            if isinstance(event, Piece):
                self.news.append(event.part)
                self.on_news(event.part, job)

        wanted: dict[str, Any] = {"goal": Goal(ratio=12), "epochs": 2, "checkpoint": str(self.folder)}
        wanted |= {"schedule": "iterative", "optimizing": Optimizing()}
        job = Job(1, hear)
        return prune_retrain(PruneRetrain(model=ModelRef(str(model)), data=data or digits(), **(wanted | options)), job)

    @property
    def notes(self) -> list[str]:
        return [news.note for news in self.news if news.note]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    return Ask(tmp_path / "checkpoints")


def same_curve(one: Retrained, other: Retrained) -> bool:
    """Whether losses, values and weights are equal to the last bit."""

    def told(epoch: Epoch) -> Epoch:
        return replace(epoch, seconds=0, checkpoint="")

    points = [[replace(point, seconds=0) for point in run.points] for run in (one, other)]
    return list(map(told, one.epochs)) == list(map(told, other.epochs)) and points[0] == points[1]


# --- the loop --------------------------------------------------------------------------------------------------------


def test_the_recipe_of_a_point_is_the_network_that_was_measured(ask: Ask) -> None:
    found = ask(augmenting=Augmenting(shift=1), epochs=4)
    graph = pbio.read_graph(LENET)
    assert (found.metric, found.chosen, found.lacks, found.stopped) == ("top1", 2, "", "")
    assert (found.train_n, found.test_n) == (600, 203)
    assert [point.nonzero for point in found.points] == [266200, 76845, 22183]
    assert found.point.value > 0.85

    pruned = Replayer(graph).replay(Recipe.of(weights_step(found.point))).graph
    layers = find_layers(pruned)
    assert sum(layer.nonzero for layer in layers) == 266200 // 12
    assert {layer.name: layer.nonzero / layer.parameters for layer in layers} == found.point.densities
    value = float(np.mean(answers(pruned) == held_out_labels()))
    assert value == pytest.approx(found.point.value)


def originals() -> dict[str, np.ndarray]:
    graph = pbio.read_graph(LENET)
    found = {f"fc{at}/{kind}": graph[f"fc{at}/{kind}"].tensor for at in (1, 2, 3) for kind in ("kernel", "bias")}
    return {name: tensor.array for name, tensor in found.items() if tensor is not None}


def held_out() -> list[Any]:
    from compressor_gui.engine.dataset import open_dataset

    return list(open_dataset(digits(split="test"), pbio.read_graph(LENET), 100))


def held_out_labels() -> np.ndarray:
    return np.concatenate([batch.labels for batch in held_out()])


def answers(graph: ModelGraph) -> np.ndarray:
    return np.concatenate([run_tf(graph, batch.feeds)["output"].argmax(axis=1) for batch in held_out()])


@pytest.mark.parametrize(
    ("schedule", "criterion"),
    [
        ("one_shot", "taylor"),
        ("cubic", "sensitivity"),
        ("surgery", "scaled"),
        ("rigl", "global"),
    ],
)
def test_every_schedule_ends_where_it_shall_and_learns(ask: Ask, schedule: str, criterion: str) -> None:
    found = ask(schedule=schedule, criterion=criterion, epochs=8, goal=Goal(sparsity=0.9))
    assert len(found.points) == 2
    assert found.point.nonzero == 26620
    assert found.epochs[-1].sparsity == pytest.approx(0.9)
    assert found.point.value > 0.6
    weights = weight_store.load(found.point.sha256)
    assert sum(np.count_nonzero(weights[f"fc{at}/kernel"]) for at in (1, 2, 3)) == 26620
    for name, original in originals().items():
        assert (weights[name] != original).any()
        if name.endswith("kernel") and schedule in ("surgery", "rigl"):  # some that were small have come back
            kept = weights[name] != 0
            assert np.abs(original[~kept]).max() > np.abs(original[kept]).min()


def test_rewinding_goes_back_to_the_weights_of_an_epoch_of_the_dense_network(ask: Ask) -> None:
    found = ask(rewind="weights", rewind_epoch=1, optimizing=Optimizing(learning_rate=1e-12), epochs=1)
    assert [epoch.step for epoch in found.epochs] == [0, 1, 2]
    assert found.epochs[0].sparsity == 0
    for name, weights in weight_store.load(found.point.sha256).items():
        kept = weights != 0
        np.testing.assert_allclose(weights[kept], originals()[name][kept], atol=1e-9)


def test_layers_that_are_not_named_are_not_pruned_and_frozen_ones_not_trained(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compressor_gui.engine.train import trainer

    monkeypatch.setattr(trainer, "_has_bfloat16", lambda: False)
    found = ask(layers=("fc2",), freeze=("fc1",), goal=Goal(ratio=3), epochs=1, mixed_precision=True)
    assert found.notes == ("this processor has no bfloat16 (AVX512_BF16 or AMX): everything was trained in float32",)
    assert found.point.weights == 30000
    assert set(weight_store.load(found.point.sha256)) == {"fc2/kernel", "fc2/bias", "fc3/kernel", "fc3/bias"}


def test_the_best_epoch_makes_the_point_and_patience_ends_a_step(ask: Ask) -> None:
    found = ask(
        keep="best",
        patience=2,
        epochs=8,
        goal=Goal(ratio=2),
        optimizing=Optimizing(learning_rate=0.02, rate="constant"),
    )
    values = [epoch.value for epoch in found.epochs]
    assert found.point.value == max(values)
    assert len(values) == min(8, values.index(max(values)) + 3)


def test_a_drop_that_may_not_be_exceeded(ask: Ask) -> None:
    found = ask(goal=Goal(max_drop=0.05), epochs=1, steps=4)
    good = [p for p in found.points if found.baseline - p.value <= 0.05]
    assert found.point.nonzero == min(p.nonzero for p in good)
    assert found.points[-1].ratio > 3


# --- speed and gradients ---------------------------------------------------------------------------------------------


def test_a_batch_moves_the_weights_as_keras_does(ask: Ask) -> None:
    from compressor_gui.engine.session import tf

    optimizing = Optimizing("sgd", learning_rate=0.5, rate="constant", momentum=0.9, batch=100)
    data = digits(limit=0)
    found = ask(data=replace(data, limit=100), test=data, goal=Goal(ratio=1.0001), epochs=3, optimizing=optimizing)
    trained = weight_store.load(found.point.sha256)

    graph = pbio.read_graph(LENET)
    dense = [tf.keras.layers.Dense(n, activation=a) for n, a in ((300, "relu"), (100, "relu"), (10, None))]
    network = tf.keras.Sequential([tf.keras.Input((784,)), *dense])
    names = [f"fc{at}/{kind}" for at in (1, 2, 3) for kind in ("kernel", "bias")]
    network.set_weights([graph[name].tensor.array for name in names])  # type: ignore[union-attr]
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(tf.keras.optimizers.SGD(0.5, momentum=0.9), loss)
    (batch,) = open_batches(replace(data, limit=100), graph)
    images = batch.feeds["input"].reshape(100, 784)
    for _ in range(3):
        network.train_on_batch(images, batch.labels)
    for name, expected in zip(names, network.get_weights(), strict=True):
        kept = trained[name] != 0
        np.testing.assert_allclose(trained[name][kept], expected[kept], rtol=1e-4, atol=1e-6)


def open_batches(data: DataSpec, graph: ModelGraph) -> list[Any]:
    from compressor_gui.engine.dataset import open_dataset

    return list(open_dataset(data, graph, 100))


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


# --- what it is trained for ------------------------------------------------------------------------------------------


@pytest.fixture
def arrays(tmp_path: Path) -> tuple[Path, DataSpec]:
    """A network of batch 16 with batch normalisation and a shortcut, and 90 arrays without labels."""
    grown = Net((16, 8, 8, 3), seed=1).conv(6).batch_norm().then("Relu")
    shortcut = grown.top
    model = grown.conv(6).bias().then("AddV2", shortcut, name="sum").then("Relu6").flatten().dense(5).build()
    pbio.write_graph(model, tmp_path / "net.pb")
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(90, 8, 8, 3)).astype(np.float32))
    return tmp_path / "net.pb", guess(model, tmp_path / "data.npy")


def test_the_original_teaches_its_pruned_self_as_far_as_the_labels_do_not(ask: Ask) -> None:
    """Where weights do not move the loss is the mean of both parts; what has hardly changed answers as before."""
    still = Optimizing(learning_rate=0.0)

    def loss(ratio: float, labels: float) -> float:
        return ask(goal=Goal(ratio=ratio), epochs=1, labels=labels, optimizing=still).epochs[0].loss

    alone, mixed, taught = (loss(20, labels) for labels in (1.0, 0.25, 0.0))
    assert taught > 1e-2
    assert mixed == pytest.approx(0.25 * alone + 0.75 * taught, rel=1e-5)
    assert abs(loss(1.001, 0.0)) < 1e-5


def test_without_labels_it_is_trained_to_do_as_the_original_does(ask: Ask, arrays: tuple[Path, DataSpec]) -> None:
    path, data = arrays
    how = Optimizing(learning_rate=3e-3)
    lazy, found = (ask(path, data, goal=Goal(ratio=2), epochs=n, optimizing=replace(how, learning_rate=rate))
                   for n, rate in ((1, 0.0), (20, 3e-3)))  # fmt: skip
    assert found.metric == "sqnr_db"
    assert found.baseline == 999
    assert found.notes == ("the graph fixes the batch: 16 examples, not 100",)
    assert found.train_n + found.test_n == 90
    assert found.point.value > lazy.point.value + 3
    pruned = Replayer(pbio.read_graph(path)).replay(Recipe.of(weights_step(found.point))).graph
    some = {"input": np.load(path.with_name("data.npy"))[:16]}
    assert sqnr_db(run_tf(pbio.read_graph(path), some)["dense"], run_tf(pruned, some)["dense"]) > lazy.point.value


def test_a_regression_comes_nearer_to_its_targets(ask: Ask, arrays: tuple[Path, DataSpec], tmp_path: Path) -> None:
    path, data = arrays
    values = np.load(tmp_path / "data.npy")
    np.save(tmp_path / "targets.npy", values.reshape(90, -1)[:, :5])
    data = replace(data, targets=str(tmp_path / "targets.npy"))
    found = ask(path, data, loss="regression", epochs=10, optimizing=Optimizing(learning_rate=0.01))
    assert found.metric == "mse"
    assert found.epochs[-1].loss < found.epochs[0].loss
    with pytest.raises(CompressorError, match="there are no targets"):
        ask(path, replace(data, targets="", label_feature=""), loss="regression")


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

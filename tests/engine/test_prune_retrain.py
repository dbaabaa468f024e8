"""Pruning with retraining, on LeNet-300-100 and the 1,000 digits that come with it, and on small networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compressor_gui.core import pbio, weight_store
from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import find_layers
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.core.training import Augmenting, Goal, Optimizing, weights_step
from tests.engine.retraining import LENET, Ask, digits, open_batches
from tests.support import Net, run_tf, sqnr_db

pytestmark = pytest.mark.tensorflow


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

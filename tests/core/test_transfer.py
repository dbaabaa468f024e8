from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.new_top import Top, find_bottleneck, pooled, train_top, with_top
from compressor_gui.core.transfer import Transfer, part_of
from tests.support import Net, conv_net, node, run_tf, synthetic_feeds


def test_parts_depend_on_the_name_alone_and_variants_stay_together() -> None:
    names = [f"pictures/cat/{number}.jpg" for number in range(2000)]
    parts = [part_of(name, 10, 20) for name in names]
    assert parts == [part_of(name.replace("cat", "elsewhere"), 10, 20) for name in names]
    shares = [parts.count(part) / len(parts) for part in ("validation", "test", "train")]  # type: ignore[arg-type]
    np.testing.assert_allclose(shares, (0.1, 0.2, 0.7), atol=0.03)
    for name in names[:50]:
        first = part_of(f"{name}_nohash_0.jpg", 10, 20)
        assert {part_of(f"{name}_nohash_{at}.jpg", 10, 20) for at in range(5)} == {first}
    assert all(part_of(name, 0, 0) == "train" for name in names[:50])


def test_the_trunk_ends_before_the_last_layer() -> None:
    assert find_bottleneck(conv_net()) == "flatten"
    head = Net((1, 1, 1, 8)).conv(4, kernel=1, name="classes").then("Softmax").build()
    assert find_bottleneck(head) == "input"
    assert find_bottleneck(conv_net(), "relu:0") == "relu"
    with pytest.raises(CompressorError, match="there is no node 'nope'"):
        find_bottleneck(conv_net(), "nope")
    with pytest.raises(CompressorError, match="no classifier is found"):
        find_bottleneck(Net().conv(3).build())


def separable() -> tuple[np.ndarray, np.ndarray]:
    """Three classes in five features of very different sizes."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    centres = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)[labels]
    values = np.concatenate([centres, centres[:, :2]], axis=1) + random.normal(0, 0.2, (300, 5))
    return (values * (1, 100, 0.01, 1, 5) + (0, 1000, 0, 0, 0)).astype(np.float32), labels


def test_a_top_learns_and_its_weights_take_the_features_as_they_are() -> None:
    values, labels = separable()
    told = list(train_top(values, labels, 3, steps=300, rate=0.05, batch=50, every=100))
    assert [step.step for step in told] == [100, 200, 300]
    assert told[-1].loss < told[0].loss
    assert told[-1].top.accuracy(values, labels) > 0.97
    again = list(train_top(values, labels, 3, steps=300, rate=0.05, batch=50, every=300))
    np.testing.assert_array_equal(again[-1].top.weights, told[-1].top.weights)


@pytest.mark.tensorflow
def test_the_graph_of_trunk_and_top_computes_the_top_s_scores() -> None:
    model = conv_net()
    random = np.random.default_rng(1)
    top = Top(random.normal(0, 0.1, (128, 3)).astype(np.float32), np.array([0, 1, -1], np.float32))
    made = with_top(model, "flatten", top, "final_result")
    assert made.outputs == ("final_result",)
    assert "dense" not in made
    assert "dense/weights" not in made
    feeds = synthetic_feeds(model)
    scores = top.scores(run_tf(model, feeds, ["flatten"])["flatten"])
    shares = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(run_tf(made, feeds)["final_result"], shares, rtol=1e-4)


@pytest.mark.tensorflow
def test_a_picture_as_bottleneck_is_averaged_in_the_graph_too() -> None:
    model = conv_net()
    top = Top(np.eye(8, 3, dtype=np.float32), np.zeros(3, np.float32))
    made = with_top(model, "relu", top, "final_result")
    feeds = synthetic_feeds(model)
    scores = top.scores(pooled(run_tf(model, feeds, ["relu"])["relu"]))
    np.testing.assert_allclose(run_tf(made, feeds)["final_result"], np.exp(scores) / np.exp(scores).sum(), rtol=1e-4)


def test_a_name_that_is_taken_is_refused() -> None:
    top = Top(np.zeros((128, 2), np.float32), np.zeros(2, np.float32))
    with pytest.raises(CompressorError, match="has a node 'relu' already"):
        with_top(conv_net(), "flatten", top, "relu")
    net = Net().conv(2)
    net.add(node("final", "Neg", net.top))
    with pytest.raises(CompressorError, match="not one vector or picture"):
        pooled(np.zeros((2, 3, 4), np.float32))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"how_many_training_steps": 0}, "how_many_training_steps is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1"),
        (
            {"validation_percentage": 50, "testing_percentage": 50},
            "validation and testing take at most 90 %",
        ),
        ({"test_batch_size": 0}, "test_batch_size is 0 .*-1 for all"),
        ({"validation_batch_size": -2}, "validation_batch_size is -2"),
        ({"final_tensor_name": ""}, "final_tensor_name is empty"),
    ],
)
def test_bad_requests(changes: dict, words: str) -> None:
    request = Transfer(
        model=ModelRef("m.pb"), data=DataSpec("images", "p"), output_graph="o.pb", output_labels="o.txt", **changes
    )
    with pytest.raises(CompressorError, match=words):
        request.check()


def test_targets_are_tried_first(tmp_path: Path) -> None:
    model = tmp_path / "m.pb"
    model.write_bytes(b"")

    def check(graph: str, labels: str) -> None:
        where = {"output_graph": str(tmp_path / graph), "output_labels": str(tmp_path / labels)}
        Transfer(model=ModelRef(str(model)), data=DataSpec("images", "p"), **where).check_targets()

    check("o.pb", "o.txt")
    for graph, labels in (("m.pb", "o.txt"), ("o.pb", "m.pb")):
        with pytest.raises(CompressorError, match="the file that was opened"):
            check(graph, labels)
    with pytest.raises(CompressorError, match="it can't be written"):
        check("o.pb", "nowhere/o.txt")
    with pytest.raises(CompressorError, match="can't go to one file"):
        check("o.pb", "o.pb")
    assert list(tmp_path.iterdir()) == [model]  # nothing is left of trying

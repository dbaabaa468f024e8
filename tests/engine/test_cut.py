from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import find_layers
from compressor_gui.core.values import DType
from compressor_gui.engine.cut import Cut, cut_behind
from tests.support import (
    Net,
    concat_net,
    const,
    conv_net,
    graph,
    graphs,
    node,
    placeholder,
    residual_net,
    run_tf,
    synthetic_feeds,
)


def test_a_chain_is_cut_in_one_place() -> None:
    model = conv_net()
    assert cut_behind(model, "conv/weights") == Cut(("input:0",), ("softmax",))
    assert cut_behind(model, "dense/weights") == Cut(("flatten:0",), ("softmax",))


def test_a_shortcut_enters_beside_the_layer() -> None:
    model = residual_net()
    assert cut_behind(model, "conv_2/weights").tensors == ("relu:0", "relu_1:0")
    assert cut_behind(concat_net(), "conv_1/weights").tensors == ("input:0", "relu:0")


def test_what_is_constant_is_not_fed() -> None:
    model = graph(
        placeholder("x", (1, 2)),
        const("w", [[1.0, 2.0], [3.0, 4.0]]),
        const("b", [1.0, 2.0]),
        node("b2", "Neg", "b"),
        node("product", "MatMul", "x", "w"),
        node("sum", "AddV2", "product", "b2"),
    )
    assert cut_behind(model, "w") == Cut(("x:0",), ("sum",))


def test_outputs_beside_the_layer_are_left_out() -> None:
    net = Net().conv(4)
    side = net.top
    model = net.flatten().dense(3).build([side, "dense"])
    assert cut_behind(model, "dense/weights") == Cut(("flatten:0",), ("dense",))
    assert cut_behind(model, "conv/weights").outputs == (side, "dense")


def test_a_weight_that_no_output_needs_has_no_cut() -> None:
    net = Net().conv(4)
    side = net.top
    assert cut_behind(net.flatten().dense(3).build([side]), "dense/weights") == Cut((), ())


def test_what_can_not_be_fed_is_run_again() -> None:
    model = residual_net()
    assert cut_behind(model, "conv_2/weights", lambda tensor: tensor != "relu_1:0").tensors == ("relu:0", "bias_1:0")
    assert cut_behind(model, "conv_2/weights", lambda _: False).tensors == ("input:0",)


def test_nothing_is_fed_into_a_branch() -> None:
    model = graph(
        placeholder("x", (1, 2)),
        placeholder("flag", (), DType.BOOL),
        node("neg", "Neg", "x"),
        node("switch", "Switch", "neg", "flag"),
        const("w", [[1.0, 2.0], [3.0, 4.0]]),
        node("product", "MatMul", "switch:1", "w"),
        node("merge", "Merge", "switch", "product", N=2),
        outputs=["merge"],
    )
    assert cut_behind(model, "w") == Cut(("flag:0", "neg:0"), ("merge",))


def branches() -> ModelGraph:
    """A layer in a branch, behind an operation that has no value where the other branch is taken; the branch waits for
    a placeholder that it does not read."""
    return graph(
        placeholder("x", (1, 2)),
        placeholder("flag", (), DType.BOOL),
        placeholder("before", ()),
        node("switch", "Switch", "x", "flag"),
        node("neg", "Neg", "switch:1", "^before"),
        const("w", [[1.0, 2.0], [3.0, 4.0]]),
        node("product", "MatMul", "neg", "w"),
        node("merge", "Merge", "switch", "product", N=2),
        node("abs", "Abs", "merge"),
        const("v", [[1.0, 2.0], [3.0, 4.0]]),
        node("last", "MatMul", "abs", "v"),
        outputs=["last"],
    )


def test_nothing_in_a_branch_is_fed() -> None:
    assert cut_behind(branches(), "w") == Cut(("x:0", "flag:0", "before:0"), ("last",))
    assert cut_behind(branches(), "v") == Cut(("abs:0",), ("last",))


@pytest.mark.tensorflow
@pytest.mark.parametrize("flag", [True, False])
def test_a_layer_whose_branch_is_not_taken_changes_nothing(flag: bool) -> None:
    model = branches()
    feeds = {"x": np.array([[1, -2]], np.float32), "flag": np.bool_(flag), "before": np.float32(0)}
    weights = np.zeros((2, 2), np.float32)
    cut = cut_behind(model, "w")
    held = run_tf(model, feeds, cut.tensors)
    (zero,) = run_tf(model, {**held, "w": weights}, cut.outputs).values()
    assert np.array_equal(zero, run_tf(model, feeds)["last"]) is not flag


@pytest.mark.tensorflow
@given(graphs())
def test_the_part_behind_the_cut_computes_the_same(model: ModelGraph) -> None:
    feeds = synthetic_feeds(model)
    whole = run_tf(model, feeds)
    for layer in find_layers(model):
        cut = cut_behind(model, layer.weight)
        if cut.outputs:
            held = run_tf(model, feeds, cut.tensors) if cut.tensors else {}
            again = run_tf(model, {**held, layer.weight: layer.tensor.array}, cut.outputs)
            for name, value in again.items():
                assert value == pytest.approx(whole[name], rel=1e-4, abs=1e-5)

"""Which chains are folded, into what, and which are left with a reason; tests/engine compares the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.values import DType
from tests.support import Net, applied, batch_norm_net, const, conv, graph, graphs, node, placeholder


def chain(*behind: Node, layer: Node | None = None, outputs: tuple[str, ...] | None = None) -> ModelGraph:
    """A 1x1 convolution of 3 channels to 2 (weights 0..5), and the nodes behind it."""
    return graph(
        placeholder("x", (1, 2, 2, 3)),
        const("w", np.arange(6).reshape(1, 1, 3, 2)),
        layer or conv("conv", "x", "w"),
        const("s", [2.0, 3.0]),
        const("b", [10.0, 20.0]),
        *behind,
        outputs=outputs,
    )


def test_fused_batch_norms_become_bias_adds_of_the_same_name() -> None:
    before = batch_norm_net()
    done = applied(FoldBatchNorms(), before)
    ops = [n.op for n in done.graph.nodes if n.op != "Const"]
    assert ops == ["Placeholder", "Conv2D", "BiasAdd", "Relu6", "DepthwiseConv2dNative", "BiasAdd", "Relu6"]
    assert done.graph["bn"].inputs == ("conv", "conv_bn_offset")
    assert done.graph["relu6"] is before["relu6"]
    assert "bn/gamma" in done.removed
    assert "bn/gamma" in done.origins["bn"]
    assert not done.notes


def test_the_scale_goes_into_the_weights_and_the_offset_into_the_bias() -> None:
    before = chain(
        node("add", "BiasAdd", "conv", "b", data_format=b"NHWC"),
        node("mul", "Mul", "s", "add"),
        const("c", 5.0),
        node("sub", "Sub", "mul", "c"),
        node("y", "Relu", "sub"),
    )
    done = applied(FoldBatchNorms(), before)
    assert list(done.graph) == ["x", "w", "conv", "conv_bn_offset", "sub", "y"]
    np.testing.assert_array_equal(done.graph["w"].tensor.array.reshape(3, 2), [[0, 3], [4, 9], [8, 15]])
    np.testing.assert_array_equal(done.graph["conv_bn_offset"].tensor.array, [2 * 10 - 5, 3 * 20 - 5])


def test_a_bare_product_gives_the_layer_its_name() -> None:
    done = applied(FoldBatchNorms(), chain(node("mul", "Mul", "conv", "s"), node("y", "Relu", "mul")))
    assert set(done.removed) == {"conv", "s"}
    assert (done.graph["mul"].op, done.graph["mul"].inputs) == ("Conv2D", ("x", "w"))


def test_additions_alone_are_left() -> None:
    assert not applied(FoldBatchNorms(), chain(node("y", "AddV2", "conv", "b"))).changed


@pytest.mark.parametrize(
    ("behind", "outputs"),
    [
        ((node("mul", "Mul", "conv", "s"), node("y", "Add", "mul", "conv")), ("y",)),  # the layer has two readers
        ((node("mul", "Mul", "conv", "s"), node("y", "Relu", "mul")), ("y", "conv")),  # the layer is an output
        ((const("wide", [1.0, 2.0, 3.0]), node("y", "Mul", "conv", "wide")), None),  # would not be per channel
        ((const("rows", np.ones((2, 1, 1))), node("y", "Mul", "conv", "rows")), None),
        ((node("y", "Mul", "conv", "s", "^b"),), None),  # it waits for something
        ((const("zero", 0.0), node("y", "RealDiv", "conv", "zero")), None),
    ],
)
def test_what_is_not_folded(behind: tuple[Node, ...], outputs: tuple[str, ...] | None) -> None:
    assert not applied(FoldBatchNorms(), chain(*behind, outputs=outputs)).changed


def norm(op: str = "FusedBatchNorm", source: str = "conv", **attrs: object) -> tuple[Node, ...]:
    fixed = {"is_training": False, "epsilon": 0.0, "data_format": b"NHWC", **attrs}
    return const("v", [4.0, 16.0]), const("m", [1.0, 2.0]), node("bn", op, source, "s", "b", "m", "v", **fixed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("behind", "reason"),
    [
        (norm(is_training=True), "training mode"),
        (norm(data_format=b"NCHW"), "data_format"),
        ((*norm(), node("y", "Neg", "bn:1")), "statistics are read"),
        (norm(source="x"), "does not stand behind a layer"),
        ((const("v", [-1.0, 1.0]), *norm()[1:]), "not a number"),
        ((placeholder("v", (2,)), *norm()[1:]), "not constants"),
    ],
)
def test_a_batch_norm_that_stays_says_why(behind: tuple[Node, ...], reason: str) -> None:
    done = applied(FoldBatchNorms(), chain(*behind))
    assert not done.changed
    assert len(done.notes) == 1
    assert done.notes[0].startswith("bn stays: ")
    assert reason in done.notes[0]


@pytest.mark.parametrize("scaling", [True, False])
def test_the_oldest_form_takes_its_inputs_in_another_order(scaling: bool) -> None:
    form = node(
        "bn", "BatchNormWithGlobalNormalization", "conv", "m", "v", "b", "s",
        variance_epsilon=0.0, scale_after_normalization=scaling,
    )  # fmt: skip
    done = applied(FoldBatchNorms(), chain(*norm()[:2], form))
    scale = np.array([2 / 2, 3 / 4]) if scaling else np.array([1 / 2, 1 / 4])
    np.testing.assert_allclose(done.graph["w"].tensor.array.reshape(3, 2), np.arange(6).reshape(3, 2) * scale)
    np.testing.assert_allclose(done.graph["conv_bn_offset"].tensor.array, [10 - scale[0], 20 - 2 * scale[1]])


def test_channels_first() -> None:
    layer = conv("conv", "x", "w", data_format=b"NCHW", strides=(1, 1, 1, 1))
    per_channel = const("p", np.reshape([2.0, 3.0], (2, 1, 1)))
    done = applied(
        FoldBatchNorms(),
        chain(per_channel, node("mul", "Mul", "conv", "p"), *norm(source="mul", data_format=b"NCHW"), layer=layer),
    )
    assert done.graph["bn"].text("data_format") == "NCHW"
    np.testing.assert_allclose(done.graph["w"].tensor.array.reshape(3, 2), np.arange(6).reshape(3, 2) * [2, 9 / 4])
    assert not applied(FoldBatchNorms(), chain(node("mul", "Mul", "conv", "s"), layer=layer)).changed  # along the width


def test_weights_that_others_read_are_copied() -> None:
    before = chain(node("mul", "Mul", "conv", "s"), node("other", "Conv2D", "x", "w"), outputs=("mul", "other"))
    done = applied(FoldBatchNorms(), before)
    assert done.graph["w"] is before["w"]
    assert done.graph["mul"].inputs == ("x", "conv_bn_weights")


def test_nodes_that_move_values_stay_where_they_are() -> None:
    before = chain(
        node("read", "Identity", "w"),
        node("same", "Identity", "conv"),
        node("add", "AddV2", "same", "b"),
        const("block", [1, 1], DType.INT32),
        const("crops", np.zeros((2, 2)), DType.INT32),
        node("apart", "BatchToSpaceND", "add", "block", "crops"),
        node("mul", "Mul", "apart", "s"),
        node("last", "Identity", "mul"),
        layer=conv("conv", "x", "read"),
    )
    done = applied(FoldBatchNorms(), before)
    assert done.graph["apart"].inputs == ("same", "block", "crops")
    assert (done.graph["mul"].op, done.graph["mul"].inputs) == ("BiasAdd", ("apart", "conv_bn_offset"))
    assert done.graph["last"] is before["last"]


def test_transposed_products_scale_their_rows() -> None:
    before = graph(
        placeholder("x", (1, 3)),
        const("w", np.arange(6).reshape(2, 3)),
        node("dense", "MatMul", "x", "w", transpose_b=True),
        const("s", [[2.0, 3.0]]),
        node("y", "Mul", "dense", "s"),
    )
    done = applied(FoldBatchNorms(), before)
    np.testing.assert_array_equal(done.graph["w"].tensor.array, [[0, 2, 4], [9, 12, 15]])


def test_what_a_loop_ties_its_weights_to_ties_the_bias_too() -> None:
    before = chain(*norm())
    anchored = graph(*(n.with_(inputs=["^x"]) if n.name == "w" else n for n in before.nodes))
    done = applied(FoldBatchNorms(), anchored)
    assert done.graph["conv_bn_offset"].inputs == ("^x",)


def test_one_layer_after_the_other() -> None:
    before = Net().conv(4).batch_norm(op="FusedBatchNorm").conv(4).bias().batch_norm(op="FusedBatchNormV2").build()
    done = applied(FoldBatchNorms(), before)
    assert [n.op for n in done.graph.nodes if n.op != "Const"] == [
        "Placeholder",
        "Conv2D",
        "BiasAdd",
        "Conv2D",
        "BiasAdd",
    ]


@given(graphs())
def test_any_graph(model: ModelGraph) -> None:
    done = applied(FoldBatchNorms(), model)
    assert not applied(FoldBatchNorms(), done.graph).changed
    assert done.graph.outputs == model.outputs

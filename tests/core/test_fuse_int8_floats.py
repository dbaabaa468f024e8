"""What ``fuse_int8`` leaves in float, and why."""

from __future__ import annotations

import pytest

from compressor_gui.core.errors import PassError
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.values import DType
from tests.core.fusing import CONV, DEPTHWISE, fused, ops
from tests.support import Net, applied, conv, conv_net, graph, placeholder, residual_net


def test_a_concatenation_of_relu_and_a_signed_tensor_stays_in_float() -> None:
    made = Net((1, 8, 8, 4)).conv(4, kernel=1).then("Relu")
    left = made.top
    made.top, made.shape = "input", (1, 8, 8, 4)
    made.conv(4, kernel=1).concat(left, channels=8)
    after = fused(made.build())
    assert after.graph["concat"].dtype("T") == DType.FLOAT
    assert "ConcatV2 of tensors whose ranges have no common codes: concat stays in float." in after.notes


@pytest.mark.parametrize(
    ("attrs", "words"),
    [
        ({"data_format": b"NCHW"}, "Conv2D in NCHW: c stays in float."),
        ({"strides": (1, 1, 1, 2)}, "Conv2D across the batch or the channels: c stays in float."),
    ],
)
def test_what_has_no_kernel_is_named(attrs: dict, words: str) -> None:
    weights = Net((1, 8, 8, 4))
    weights.weights("w", 3, 3, 4, 4)
    model = graph(placeholder("x", (1, 8, 8, 4)), weights.nodes["w"], conv("c", "x", "w", **attrs))
    done = applied(FuseInt8({"x": (0.0, 1.0)}, everywhere=True), model)  # type: ignore[arg-type]
    assert not done.changed
    assert done.notes[0].startswith(words)


def test_batch_norms_that_are_left_are_named() -> None:
    done = fused(Net((1, 8, 8, 4)).then("Relu").batch_norm().conv(4).build())
    assert done.notes[0] == "Batch norms are left, run fold_batch_norms first: bn."


def test_what_only_links_stays_in_float_where_there_is_nothing_to_link() -> None:
    net = Net((1, 8, 8, 4))
    net.then("Mul", net.vector("factor", 4)).conv(6, kernel=1).then("Relu").batch_norm()
    model = net.build()
    done = fused(model, 0.0, 2.0)
    assert ops(done.graph) == {"Mul": 1, "QuantizeV2": 1, CONV: 1, "Dequantize": 1, "FusedBatchNormV3": 1}
    assert FuseInt8(everywhere=True).activations(model) == ("mul", "relu")


def test_what_costs_more_than_it_gains_stays_in_float() -> None:
    small, large = Net((1, 8, 8, 4)).depthwise().then("Relu").build(), Net((1, 56, 56, 64)).conv(64).build()
    done = fused(small, everywhere=False)
    assert not done.changed
    words = "DepthwiseConv2dNative that would gain less than its conversions cost: depthwise stays in float."
    assert words in done.notes
    assert ops(fused(large, everywhere=False).graph)[CONV] == 1


@pytest.mark.parametrize("swish", [False, True])
def test_an_activation_that_only_float_layers_take_in_counts(swish: bool) -> None:
    net = Net((1, 56, 56, 96)).conv(96, kernel=1).bias()
    linear = net.top
    net.then("Sigmoid" if swish else "Tanh")
    if swish:
        net.then("Mul", linear)
    assert fused(net.build(), everywhere=False).changed is not swish


def test_a_region_pays_where_its_parts_do_not() -> None:
    net = Net((1, 28, 28, 32)).depthwise().then("Relu")
    alone = net.build()
    for _ in range(4):
        net.conv(32, kernel=1).then("Relu").depthwise().then("Relu")
    assert not fused(alone, everywhere=False).changed
    assert ops(fused(net.build(), everywhere=False).graph) == {
        "QuantizeV2": 1, "Bitcast": 2, "PadV2": 1, CONV: 4, DEPTHWISE: 5, "Dequantize": 1,
    }  # fmt: skip


def test_skipped_layers_stay_in_float_and_need_no_range() -> None:
    net = Net((1, 8, 8, 4)).conv(4).then("Relu").conv(4).then("Relu").build()
    assert "relu_1" not in FuseInt8(skip=("conv_1",)).activations(net)
    assert fused(net, skip=("conv_1",)).graph["conv_1"] is net["conv_1"]


def test_layers_without_a_range_stay_in_float() -> None:
    net = Net((1, 8, 8, 4)).conv(4).then("Relu").conv(4).then("Relu").build()
    done = applied(FuseInt8({"input": (0.0, 1.0), "relu": (0.0, 1.0)}, everywhere=True), net)  # type: ignore[arg-type]
    assert ops(done.graph)[CONV] == 1
    assert "No range was measured for what it reads or puts out: conv_1 stays in float." in done.notes


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "no range is given"),
        ({"ranges": {"elsewhere": (0.0, 1.0)}}, "there is no node 'elsewhere', of which a range is given"),
        ({"ranges": {"relu": (1.0, 0.0)}}, "reversed"),
        ({"ranges": {"relu": (1.0, 1.0)}}, "empty"),
        ({"ranges": {"relu": (0.0, float("nan"))}}, "not finite"),
        ({"ranges": {"relu": (0.0, 1.0)}, "skip": ("cnv",)}, "there is no node or scope 'cnv' to skip"),
    ],
)
def test_bad_parameters_are_one_sentence(values: dict, words: str) -> None:
    with pytest.raises(PassError, match=words):
        FuseInt8(**values).run(conv_net())


def test_branches_stay_in_float() -> None:
    net = Net((1, 8, 8, 4)).conv(4).then("Relu")
    net.const("which", True, DType.BOOL)
    net.then("Switch", "which", name="switch").conv(4, name="inside")
    net.then("Merge", name="merge", N=1).conv(4, name="behind")
    assert FuseInt8().activations(net.build()) == ("input", "relu", "merge", "behind")


def test_what_reads_a_pool_that_stays_in_float_knows_its_range() -> None:
    net = Net((1, 64, 64, 2)).pool().conv(64).then("Relu").conv(64).build()
    done = fused(net, everywhere=False)
    assert done.graph["maxpool"] is net["maxpool"]
    assert done.graph["maxpool_int8"].op == "QuantizeV2"


def test_control_flow_stays_in_float() -> None:
    net = Net((1, 8, 8, 4))
    net.then("Enter", name="enter", frame_name=b"loop").conv(4)
    model = net.build()
    assert FuseInt8().activations(model) == ()


def test_a_quantized_graph_has_nothing_to_fuse() -> None:
    once = fused(residual_net()).graph
    with pytest.raises(PassError, match="the graph is quantized already"):
        applied(FuseInt8({"input": (0.0, 1.0)}), once)  # type: ignore[arg-type]

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.base import PassResult
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.int8.formats import Format
from compressor_gui.core.ranges import plan_calibration, with_ranges
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.core.rounding import encode_symmetric
from compressor_gui.core.values import DType
from tests.support import Net, applied, concat_net, conv, conv_net, graph, graphs, placeholder, residual_net

CONV, SUM = "QuantizedConv2DWithBiasAndReluAndRequantize", "QuantizedConv2DWithBiasSumAndReluAndRequantize"
DEPTHWISE = "QuantizedDepthwiseConv2DWithBiasAndReluAndRequantize"


def fused(model: ModelGraph, low: float = -3.0, high: float = 5.0, **values: object) -> PassResult:
    """Everything that has a kernel in int8, all ranges the same."""
    values = {"everywhere": True, **values}
    wanted = FuseInt8(**values).activations(model)  # type: ignore[arg-type]
    return applied(FuseInt8(dict.fromkeys(wanted, (low, high)), **values), model)  # type: ignore[arg-type]


def ops(model: ModelGraph) -> Counter[str]:
    """How often each operation is there, constants and the placeholder not counted."""
    return Counter(made.op for made in model.nodes if made.op not in ("Const", "Placeholder"))


def value(model: ModelGraph, name: str, index: int) -> np.ndarray:
    found = model.constant(model[name], index)
    assert found is not None
    return found.array


def test_a_layer_with_bias_and_relu_is_one_operation() -> None:
    net = Net((1, 8, 8, 4)).conv(6).bias().then("Relu6")
    made = fused(net.build(), 0.0, 9.0).graph
    assert ops(made) == {"QuantizeV2": 1, CONV: 1, "Dequantize": 1}
    layer = made["relu6_int8"]
    assert [layer.dtype(key) for key in ("Tinput", "Tfilter", "Tbias", "out_type")] == [
        DType.QUINT8, DType.QINT8, DType.FLOAT, DType.QUINT8,
    ]  # fmt: skip
    weights = net.nodes["conv/weights"].tensor
    assert weights is not None
    peaks = np.abs(weights.array).max(axis=(0, 1, 2))
    np.testing.assert_allclose(value(made, layer.name, 6), peaks, rtol=1e-4)
    np.testing.assert_allclose(value(made, layer.name, 1) * peaks / 127, weights.array, atol=1.01 * peaks.max() / 127)
    assert [float(value(made, layer.name, index)) for index in (3, 4, 7, 8)] == [0, 9, 0, 6]  # Relu6 is the range's end


def test_the_graph_keeps_its_outputs_in_float() -> None:
    before = residual_net()
    after = fused(before)
    assert after.graph.outputs == before.outputs
    assert after.graph[before.outputs[0]].op == "Dequantize"


def test_a_residual_sum_with_relu_goes_into_the_later_convolution() -> None:
    made = fused(residual_net(), -3.0, 9.0).graph
    assert ops(made) == {"QuantizeV2": 1, CONV: 2, SUM: 1, "Dequantize": 1, "Bitcast": 2, "PadV2": 1}
    assert made["relu6_int8"].inputs[9] == "relu_int8"


def test_a_sum_of_two_layers_goes_into_one_of_them() -> None:
    net = Net((1, 8, 8, 4)).conv(6, kernel=1).bias()
    left = net.top
    net.top, net.shape = "input", (1, 8, 8, 4)
    net.conv(6, kernel=1).bias().then("AddV2", left, name="sum").then("Relu")
    assert ops(fused(net.build()).graph) == {"QuantizeV2": 1, CONV: 1, SUM: 1, "Dequantize": 1}


@pytest.mark.parametrize("sum_op", ["AddV2", "AddN"])
def test_the_bias_may_stand_behind_the_sum(sum_op: str) -> None:
    net = Net((1, 8, 8, 4)).conv(4, kernel=1)
    shortcut = net.top
    extra = {"N": 2} if sum_op == "AddN" else {}
    net.conv(4, kernel=1).then(sum_op, shortcut, name="sum", **extra).bias(op="AddV2").then("Relu")
    made = fused(net.build(), 0.0, 2.0).graph
    assert ops(made) == {"QuantizeV2": 1, CONV: 1, "QuantizedAvgPool": 1, SUM: 1, "Dequantize": 1}
    added = net.nodes["bias/values"].tensor
    assert added is not None
    np.testing.assert_allclose(value(made, "relu_int8", 2), added.array, rtol=1e-6)


def test_sums_without_relu_are_fused_by_a_shift_in_the_bias() -> None:
    net = Net((1, 8, 8, 4)).conv(4, kernel=1)
    shortcut = net.top
    net.conv(4, kernel=1).then("AddV2", shortcut, name="sum").conv(4, kernel=1)
    made = fused(net.build(), -2.0, 2.0).graph
    assert ops(made) == {"QuantizeV2": 1, CONV: 2, "QuantizedAvgPool": 1, SUM: 1, "Dequantize": 1}
    format = Format.of(-2.0, 2.0)
    codes, peaks = value(made, "sum_int8", 1), value(made, "sum_int8", 6)
    sums = (codes * (peaks / 127)).sum(axis=(0, 1, 2))
    # What it reads is shifted, what it adds is, and so is what it puts out: the latter two cancel each other.
    np.testing.assert_allclose(value(made, "sum_int8", 2), -format.shift * sums, rtol=1e-4, atol=1e-6)


def bottlenecks(blocks: int) -> ModelGraph:
    """ResNet's shape: blocks of 1x1, 3x3 and 1x1 convolutions with batch norms, the first with a projection, a mean and
    a dense layer."""
    net = Net((1, 32, 32, 8)).conv(16, kernel=1).batch_norm().then("Relu")
    for number in range(blocks):
        shortcut, shape = net.top, net.shape
        if number == 0:
            shortcut = net.conv(32, kernel=1).batch_norm().top
            net.top, net.shape = "relu", shape
        net.conv(8, kernel=1).batch_norm().then("Relu").conv(8).batch_norm().then("Relu")
        net.conv(32, kernel=1).batch_norm().then("AddV2", shortcut, name="sum").then("Relu")
    net.const("axes", np.array((1, 2)), DType.INT32)
    net.then("Mean", "axes", keep_dims=False, Tidx=DType.INT32)
    net.shape = (1, 32)
    return net.dense(10).bias().then("Softmax").build()


@pytest.mark.parametrize("folded", [False, True])
def test_a_residual_network_has_one_way_back_to_float(folded: bool) -> None:
    source = bottlenecks(4)
    made = fused(applied(parse("fold_batch_norms"), source).graph if folded else source, 0.0, 6.0).graph
    counts = ops(made)
    assert counts["Dequantize"] == 1
    assert counts["RequantizationRange"] == counts["Requantize"] == counts["QuantizedAvgPool"] == 0
    assert (counts[CONV], counts[SUM]) == (10, 4)
    assert made["mean"].inputs[0] == "relu_12"


def test_padding_with_zeros_is_written_out_where_zero_is_not_code_zero() -> None:
    net = Net((1, 8, 8, 4)).depthwise().then("Relu")
    shifted, plain = fused(net.build(), -1.0, 3.0).graph, fused(net.build(), 0.0, 3.0).graph
    assert ops(shifted) == {"QuantizeV2": 1, DEPTHWISE: 1, "Dequantize": 1, "Bitcast": 2, "PadV2": 1}
    assert ops(plain) == {"QuantizeV2": 1, DEPTHWISE: 1, "Dequantize": 1}
    pad = next(made for made in shifted.nodes if made.op == "PadV2")
    assert value(shifted, pad.name, 1).tolist() == [[0, 0], [1, 1], [1, 1], [0, 0]]
    assert int(value(shifted, pad.name, 2)) == 64  # zero lies a quarter of the way from -1 to 3
    assert shifted["relu_int8"].text("padding") == "VALID"


@pytest.mark.parametrize(("widths", "attrs"), [((0, 1), {"padding": b"SAME"}), ((1, 1), {"padding": b"VALID"})])
@pytest.mark.parametrize("explicit", [False, True])
def test_a_border_of_zeros_is_part_of_the_layer(widths: tuple[int, int], attrs: dict, explicit: bool) -> None:
    net, whole = Net((1, 8, 8, 4)), ((0, 0), widths, widths, (0, 0))
    net.weights("w", 3, 3, 4, 4)
    flat = tuple(width for both in whole for width in both)
    if explicit:
        net.top = net.add(conv("c", "input", "w", stride=2, padding="EXPLICIT", explicit_paddings=flat))
    else:
        net.const("widths", np.array(whole), DType.INT32)
        net.then("Pad", "widths", Tpaddings=DType.INT32)
        net.top = net.add(conv("c", net.top, "w", stride=2, padding="VALID"))
    plain, shifted = fused(net.build(), 0.0, 2.0).graph, fused(net.build(), -2.0, 2.0).graph
    assert ops(plain) == {"QuantizeV2": 1, CONV: 1, "Dequantize": 1}
    assert plain["c_int8"].attrs["padding"] == attrs["padding"]
    assert plain["c_int8"].ints("padding_list") == (() if widths == (0, 1) else flat)
    assert ops(shifted) == {"QuantizeV2": 1, "Bitcast": 2, "PadV2": 1, CONV: 1, "Dequantize": 1}
    assert not {"widths", "w", "pad"} & set(plain)


def test_a_border_of_channels_is_not_part_of_the_layer() -> None:
    net = Net((1, 8, 8, 4))
    net.const("widths", np.array(((0, 0), (0, 0), (0, 0), (0, 2))), DType.INT32)
    net.then("Pad", "widths", Tpaddings=DType.INT32)
    net.weights("w", 1, 1, 6, 4)
    net.top = net.add(conv("c", net.top, "w", padding="VALID"))
    assert ops(fused(net.build(), 0.0, 2.0).graph)["PadV2"] == 1


def test_a_matrix_product_has_a_step_for_each_column() -> None:
    net = Net((2, 12)).dense(5).bias()
    made = fused(net.build(), -1.0, 1.0).graph
    assert ops(made) == {"QuantizeV2": 1, "QuantizedMatMulWithBiasAndDequantize": 1, "Mul": 1, "BiasAdd": 1}
    weights = net.nodes["dense/weights"].tensor
    assert weights is not None
    steps = value(made, "dense", 1)
    np.testing.assert_allclose(steps, np.abs(weights.array).max(axis=0) / 127, rtol=1e-4)
    sums = value(made, "dense_int8", 1).astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(value(made, "dense_int8", 2), -Format.of(-1.0, 1.0).shift * sums, rtol=1e-5)


def test_pools_reshapes_and_concatenations_work_on_codes() -> None:
    counts = ops(fused(conv_net()).graph)
    assert counts["QuantizedMaxPool"] == 1
    assert counts["QuantizeV2"] == 1  # the MatMul reads the pool's codes, reshaped
    made = fused(concat_net(), 0.0, 3.0).graph
    joined = next(made_node for made_node in made.nodes if made_node.op == "ConcatV2")
    assert joined.dtype("T") == DType.QUINT8
    assert ops(made)["QuantizeV2"] == 1


def test_what_a_concatenation_reads_has_one_range() -> None:
    made = Net((1, 8, 8, 4)).conv(4, kernel=1).then("Relu")
    left = made.top
    made.top, made.shape = "input", (1, 8, 8, 4)
    made.conv(4, kernel=1).then("Relu").concat(left, channels=8)
    model = made.build()
    ranges = {"input": (0.0, 1.0), "relu": (0.0, 2.0), "relu_1": (0.0, 5.0)}
    after = applied(FuseInt8(ranges, everywhere=True), model).graph  # type: ignore[arg-type]
    assert {float(value(after, f"{name}_int8", 8)) for name in ("relu", "relu_1")} == {5.0}


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


def test_a_batch_norm_behind_a_layer_is_part_of_it() -> None:
    net = Net((1, 8, 8, 4)).conv(6).batch_norm().then("Relu").depthwise(2).batch_norm()
    made = fused(net.build(), 0.0, 9.0).graph
    assert ops(made) == {"QuantizeV2": 1, CONV: 1, DEPTHWISE: 1, "Dequantize": 1}
    folded = applied(parse("fold_batch_norms"), net.build()).graph
    expected = fused(folded, 0.0, 9.0).graph
    for name, before in (("relu_int8", "relu_int8"), ("bn_1_int8", folded.outputs[0] + "_int8")):
        for at in (1, 2, 6):
            np.testing.assert_allclose(value(made, name, at), value(expected, before, at), rtol=1e-5, atol=1e-6)


def test_batch_norms_that_are_left_are_named() -> None:
    done = fused(Net((1, 8, 8, 4)).then("Relu").batch_norm().conv(4).build())
    assert done.notes[0] == "Batch norms are left, run fold_batch_norms first: bn."


@pytest.mark.parametrize("between", [(), ("MaxPool",)])
@pytest.mark.parametrize("steps", ["norm", "mul and add", "sub"])
def test_a_batch_norm_behind_a_relu_is_a_depthwise_layer_of_one_pixel(between: tuple[str, ...], steps: str) -> None:
    net = Net((1, 8, 8, 4)).conv(6, kernel=1).then("Relu")
    if steps == "norm":
        net.batch_norm()
    elif steps == "sub":
        net.then("Sub", net.vector("low", 6))
    else:
        net.then("Mul", net.vector("factor", 6, -1, 1)).then("AddV2", net.vector("low", 6)).then("Relu6")
    scaled = net.top
    for op in between:
        net.pool(op)
    made = fused(net.conv(4, kernel=1).build(), -2.0, 6.0).graph
    counts = ops(made)
    assert (counts[CONV], counts[DEPTHWISE], counts["QuantizeV2"], counts["Dequantize"]) == (2, 1, 1, 1)
    assert counts.total() == 5 + len(between)
    layer = made[f"{scaled}_int8"]
    assert set(np.abs(value(made, layer.name, 1)).ravel()) == {127}
    scale = value(made, layer.name, 1).ravel() / 127 * value(made, layer.name, 6)
    if steps == "norm":
        gamma, _, _, variance = (value(net.build([scaled]), scaled, at) for at in range(1, 5))
        np.testing.assert_allclose(scale, gamma / np.sqrt(variance + 1e-3), rtol=1e-5)
    elif steps == "sub":
        np.testing.assert_allclose(scale, 1)
    else:
        np.testing.assert_allclose(scale, value(net.build([scaled]), "mul", 1), rtol=1e-5)


def test_what_only_links_stays_in_float_where_there_is_nothing_to_link() -> None:
    net = Net((1, 8, 8, 4))
    net.then("Mul", net.vector("factor", 4)).conv(6, kernel=1).then("Relu").batch_norm()
    model = net.build()
    done = fused(model, 0.0, 2.0)
    assert ops(done.graph) == {"Mul": 1, "QuantizeV2": 1, CONV: 1, "Dequantize": 1, "FusedBatchNormV3": 1}
    assert FuseInt8(everywhere=True).activations(model) == ("mul", "relu")


def test_a_shape_is_read_from_the_codes() -> None:
    net = Net((-1, 8, 8, 4)).conv(6, kernel=1).then("Relu")
    net.then("Shape", out_type=DType.INT32)
    net.top = "relu"
    made = fused(net.conv(4, kernel=1).build(["shape", "conv_1"]), 0.0, 2.0).graph
    assert (made["shape"].inputs, made["shape"].dtype("T")) == (("relu_int8",), DType.QUINT8)
    assert ops(made)["Dequantize"] == 1


@pytest.mark.parametrize("padded", [False, True])
def test_a_sum_of_unknown_but_equal_size_is_part_of_the_layer(padded: bool) -> None:
    net = Net((-1, -1, -1, 4)).conv(6, kernel=3, stride=2).then("Relu")
    shortcut = net.top
    if padded:
        net.const("widths", np.array(((0, 0), (1, 1), (1, 1), (0, 0))), DType.INT32)
        net.then("Pad", "widths", Tpaddings=DType.INT32)
        net.weights("w", 3, 3, 6, 6)
        net.top = net.add(conv("c", net.top, "w", padding="VALID"))
    else:
        net.conv(6, kernel=3)
    net.then("AddV2", shortcut, name="sum").then("Relu")
    assert ops(fused(net.build(), 0.0, 2.0).graph)[SUM] == 1


def block(reader: str) -> ModelGraph:
    """A residual block, and another ``reader`` of its shortcut: the layer that is added, one that runs before the sum,
    one beside it, one behind it, a float operation, or the caller."""
    net = Net((1, 8, 8, 4)).conv(6, kernel=1).then("Relu")
    shortcut, outputs = net.top, []
    if reader == "before":
        net.conv(6, kernel=1).then("Relu")
    else:
        net.top = "input"
        net.shape = (1, 8, 8, 4)
        net.conv(6, kernel=1, name="start").then("Relu")
    net.top = shortcut if reader == "the layer" else net.top
    net.conv(6, kernel=1, name="last").then("AddV2", shortcut, name="sum").then("Relu")
    outputs.append(net.top)
    if reader == "behind":
        net.concat(shortcut, channels=12).conv(4, kernel=1)
        outputs = [net.top]
    elif reader in ("beside", "float"):
        net.top = shortcut
        outputs.append((net.conv(6, kernel=1) if reader == "beside" else net.then("Sigmoid")).top)
    elif reader == "caller":
        outputs.append(shortcut)
    return net.build(outputs)


READERS = {"none": 0, "before": 0, "the layer": 1, "beside": 1, "behind": 1, "float": 1, "caller": 1}


@pytest.mark.parametrize("reader", READERS)
def test_a_summand_is_copied_where_others_may_still_read_it(reader: str) -> None:
    made = fused(block(reader), 0.0, 2.0).graph
    assert ops(made)[SUM] == 1
    assert ops(made)["QuantizedAvgPool"] == READERS[reader]


def test_a_sum_of_perhaps_unequal_sizes_stays_in_float() -> None:
    net = Net((-1, -1, -1, 4)).conv(4, kernel=1).then("Relu")
    shortcut = net.top
    net.weights("w", 3, 3, 4, 4)
    net.top = net.add(conv("smaller", shortcut, "w", padding="VALID"))
    net.then("AddV2", shortcut, name="sum")
    assert ops(fused(net.build(), 0.0, 2.0).graph)["AddV2"] == 1


MOVES = {
    "Identity": ({}, {}, (1, 8, 8, 4)),
    "Slice": ({"begin": (0, 0, 0, 0), "size": (1, 4, 4, 4)}, {"Index": DType.INT32}, (1, 4, 4, 4)),
    "Transpose": ({"perm": (0, 2, 1, 3)}, {"Tperm": DType.INT32}, (1, 8, 8, 4)),
    "StridedSlice": (
        {"begin": (0, 1, 1, 0), "end": (1, 7, 7, 4), "strides": (1, 2, 2, 1)},
        {"Index": DType.INT32, "begin_mask": 0, "end_mask": 0, "ellipsis_mask": 0, "new_axis_mask": 0,
         "shrink_axis_mask": 0},
        (1, 3, 3, 4),
    ),
    "DepthToSpace": ({}, {"block_size": 2, "data_format": b"NHWC"}, (1, 16, 16, 1)),
    "SpaceToDepth": ({}, {"block_size": 2, "data_format": b"NHWC"}, (1, 4, 4, 16)),
}  # fmt: skip


def moved(op: str) -> ModelGraph:
    """A move between two layers."""
    constants, attrs, shape = MOVES[op]
    net = Net((1, 8, 8, 4)).conv(4, kernel=1)
    names = [net.const(f"{op}/{key}", np.array(numbers), DType.INT32) for key, numbers in constants.items()]
    net.then(op, *names, **attrs)
    net.shape = shape
    return net.conv(4, kernel=1).build()


@pytest.mark.parametrize("op", MOVES)
def test_moves_work_on_codes(op: str) -> None:
    bytes_too = {"Bitcast": 2} if op in ("Transpose", "DepthToSpace", "SpaceToDepth") else {}
    assert ops(fused(moved(op)).graph) == {"QuantizeV2": 1, CONV: 2, op: 1, **bytes_too, "Dequantize": 1}


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


def test_weights_that_are_all_zero_or_not_finite() -> None:
    net = Net((1, 8, 8, 4))
    net.const("w", np.zeros((1, 1, 4, 4), np.float32))
    net.const("bad", np.full((1, 1, 4, 4), np.inf, np.float32))
    net.add(conv("zero", "input", "w"))
    net.add(conv("infinite", "zero", "bad"))
    done = fused(net.build(["infinite"]))
    assert not value(done.graph, "zero_int8", 1).any()
    assert "Conv2D whose weights are empty or not finite: infinite stays in float." in done.notes


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


def test_a_shared_weight_is_stored_once() -> None:
    net = Net((1, 8, 8, 4))
    net.weights("w", 1, 1, 4, 4)
    net.add(conv("a", "input", "w"))
    net.top = net.add(conv("b", "a", "w"))
    made = fused(net.build()).graph
    assert made["a_int8"].inputs[1] == made["b_int8"].inputs[1]
    assert "w" not in made


def test_calibration_asks_for_float_nodes_and_stores_their_ranges() -> None:
    source = Net((1, 8, 8, 4)).conv(4).batch_norm().then("Relu").build()
    recipe = Recipe.of(parse("fold_batch_norms"), FuseInt8(everywhere=True))
    plan = plan_calibration(source, recipe)
    assert plan.tensors == {"input": ("input:0",), "relu": ("relu:0",)}
    assert "bn" not in [made.name for made in plan.graph.nodes if made.op == "FusedBatchNormV3"]
    stored = with_ranges(plan.recipe, {"input": (0.0, 1.0), "relu": (0.0, 2.0)})
    assert len(stored.steps) == 2
    assert ops(Replayer(source).replay(stored).graph)[CONV] == 1


@given(st.floats(-100, 0), st.floats(0, 100))
def test_formats_reach_both_ends_and_have_a_code_for_zero(low: float, high: float) -> None:
    found = Format.of(low, high)
    assert 0 <= found.zero <= 255
    slack = found.step * 0.5000001
    assert -found.shift <= low + slack
    assert found.span - found.shift >= high - slack
    assert found.step * 255 <= max((high - low) * 255 / 253, 1e-29) * 1.01


@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 1000))
def test_symmetric_codes_are_within_a_step(rows: int, channels: int, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(rows, channels)).astype(np.float32)
    codes, peaks = encode_symmetric(weights, 1)
    assert codes.dtype == np.int8
    assert codes.shape == weights.shape
    assert np.abs(codes.astype(int)).max() <= 127
    steps = peaks / 127
    assert (np.abs(codes * steps - weights) <= steps * 1.001).all()
    assert (np.abs((codes * steps - weights).sum(axis=0)) <= steps * 1.001).all()


@given(graphs(), st.floats(-4, 0), st.floats(0.5, 8))
@settings(deadline=None)
def test_any_network_is_rewritten_soundly(model: ModelGraph, low: float, high: float) -> None:
    if FuseInt8().activations(model):
        made = fused(model, low, high).graph
        read = {ref.name for one in made.nodes for ref in one.refs}
        assert all(one.name in read or made.is_output(one.name) for one in made.nodes if one.name.endswith("_int8"))

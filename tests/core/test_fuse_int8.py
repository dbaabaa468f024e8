"""``fuse_int8``: sums and moves between layers work on codes, and every network is rewritten soundly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.int8.formats import Format
from compressor_gui.core.ranges import plan_calibration, with_ranges
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.core.rounding import encode_symmetric
from compressor_gui.core.values import DType
from tests.core.fusing import CONV, SUM, fused, ops, value
from tests.support import Net, applied, concat_net, conv, conv_net, graphs, residual_net


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

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.eightbit.constants import store
from compressor_gui.core.passes.eightbit.kernels import KERNELS
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.passes.remove_nodes import RemoveNodes
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.values import Attr, DType, Tensor
from tests.support import (
    MODEL_FILES,
    Net,
    applied,
    const,
    conv,
    conv_net,
    graph,
    graphs,
    needs_shared,
    node,
    placeholder,
)

# What quantize_graph --mode=eightbit of TensorFlow 1.x makes of conv_net(): read off its source, and the same when run.
CLASSIC = """
Placeholder input
Const conv/weights_quint8_const
Const conv/weights_min
Const conv/weights_max
Const conv_eightbit_reshape_dims
Const conv_eightbit_reduction_dims
Reshape conv_eightbit_reshape_input <- input conv_eightbit_reshape_dims
Min conv_eightbit_min_input <- conv_eightbit_reshape_input conv_eightbit_reduction_dims
Max conv_eightbit_max_input <- conv_eightbit_reshape_input conv_eightbit_reduction_dims
QuantizeV2 conv_eightbit_quantize_input <- input conv_eightbit_min_input conv_eightbit_max_input
QuantizedConv2D conv_eightbit_quantized_conv <- conv_eightbit_quantize_input conv/weights_quint8_const \
conv_eightbit_quantize_input:1 conv_eightbit_quantize_input:2 conv/weights_min conv/weights_max
RequantizationRange conv_eightbit_requant_range <- conv_eightbit_quantized_conv conv_eightbit_quantized_conv:1 \
conv_eightbit_quantized_conv:2
Requantize conv_eightbit_requantize <- conv_eightbit_quantized_conv conv_eightbit_quantized_conv:1 \
conv_eightbit_quantized_conv:2 conv_eightbit_requant_range conv_eightbit_requant_range:1
Const bias/values_quint8_const
Const bias/values_min
Const bias/values_max
QuantizedBiasAdd bias_eightbit_quantized_bias_add <- conv_eightbit_requantize bias/values_quint8_const \
conv_eightbit_requantize:1 conv_eightbit_requantize:2 bias/values_min bias/values_max
RequantizationRange bias_eightbit_requant_range <- bias_eightbit_quantized_bias_add \
bias_eightbit_quantized_bias_add:1 bias_eightbit_quantized_bias_add:2
Requantize bias_eightbit_requantize <- bias_eightbit_quantized_bias_add bias_eightbit_quantized_bias_add:1 \
bias_eightbit_quantized_bias_add:2 bias_eightbit_requant_range bias_eightbit_requant_range:1
QuantizedRelu relu_eightbit_quantized <- bias_eightbit_requantize bias_eightbit_requantize:1 bias_eightbit_requantize:2
QuantizedMaxPool maxpool_eightbit_quantized <- relu_eightbit_quantized relu_eightbit_quantized:1 \
relu_eightbit_quantized:2
Const flatten/shape
QuantizedReshape flatten_eightbit_quantized_reshape <- maxpool_eightbit_quantized flatten/shape \
maxpool_eightbit_quantized:1 maxpool_eightbit_quantized:2
Const dense/weights_quint8_const
Const dense/weights_min
Const dense/weights_max
QuantizedMatMul dense_eightbit_quantized_mat_mul <- flatten_eightbit_quantized_reshape dense/weights_quint8_const \
flatten_eightbit_quantized_reshape:1 flatten_eightbit_quantized_reshape:2 dense/weights_min dense/weights_max
RequantizationRange dense_eightbit_requant_range <- dense_eightbit_quantized_mat_mul \
dense_eightbit_quantized_mat_mul:1 dense_eightbit_quantized_mat_mul:2
Requantize dense_eightbit_requantize <- dense_eightbit_quantized_mat_mul dense_eightbit_quantized_mat_mul:1 \
dense_eightbit_quantized_mat_mul:2 dense_eightbit_requant_range dense_eightbit_requant_range:1
Const dense_bias/values_quint8_const
Const dense_bias/values_min
Const dense_bias/values_max
QuantizedBiasAdd dense_bias_eightbit_quantized_bias_add <- dense_eightbit_requantize dense_bias/values_quint8_const \
dense_eightbit_requantize:1 dense_eightbit_requantize:2 dense_bias/values_min dense_bias/values_max
RequantizationRange dense_bias_eightbit_requant_range <- dense_bias_eightbit_quantized_bias_add \
dense_bias_eightbit_quantized_bias_add:1 dense_bias_eightbit_quantized_bias_add:2
Requantize dense_bias_eightbit_requantize <- dense_bias_eightbit_quantized_bias_add \
dense_bias_eightbit_quantized_bias_add:1 dense_bias_eightbit_quantized_bias_add:2 dense_bias_eightbit_requant_range \
dense_bias_eightbit_requant_range:1
Dequantize dense_bias <- dense_bias_eightbit_requantize dense_bias_eightbit_requantize:1 \
dense_bias_eightbit_requantize:2
Softmax softmax <- dense_bias
"""

Q, WIDE, FLOAT = DType.QUINT8, DType.QINT32, DType.FLOAT
WINDOW = (1, 2, 2, 1)
CLASSIC_ATTRS: dict[str, dict[str, Attr]] = {
    "conv_eightbit_reshape_input": {"T": FLOAT},
    "conv_eightbit_min_input": {"T": FLOAT, "keep_dims": False},
    "conv_eightbit_quantize_input": {"T": Q, "mode": b"MIN_FIRST"},
    "conv_eightbit_quantized_conv": {
        "Tinput": Q, "Tfilter": Q, "out_type": WIDE, "strides": (1, 1, 1, 1), "padding": b"SAME",
    },
    "conv_eightbit_requant_range": {"Tinput": WIDE},
    "conv_eightbit_requantize": {"Tinput": WIDE, "out_type": Q},
    "bias_eightbit_quantized_bias_add": {"T1": Q, "T2": Q, "out_type": WIDE},
    "relu_eightbit_quantized": {"Tinput": Q},
    "maxpool_eightbit_quantized": {"T": Q, "ksize": WINDOW, "strides": WINDOW, "padding": b"SAME"},
    "flatten_eightbit_quantized_reshape": {"T": Q},
    "dense_eightbit_quantized_mat_mul": {
        "T1": Q, "T2": Q, "Toutput": WIDE, "transpose_a": False, "transpose_b": False,
    },
    "dense_bias": {"T": Q, "mode": b"MIN_FIRST"},
}  # fmt: skip


def lines(model: ModelGraph) -> list[str]:
    return [f"{n.op} {n.name}" + (f" <- {' '.join(n.inputs)}" if n.inputs else "") for n in model.nodes]


def eightbit(model: ModelGraph, **values: object) -> ModelGraph:
    return applied(QuantizeNodes(**values), model).graph  # type: ignore[arg-type]


def ops(model: ModelGraph) -> set[str]:
    return {n.op for n in model.nodes}


def value(model: ModelGraph, name: str) -> np.ndarray:
    tensor = model[name].tensor
    assert tensor is not None
    return tensor.array


# --- the classic picture ---------------------------------------------------------------------------------------------


def test_node_by_node_what_the_old_tool_makes() -> None:
    after = eightbit(conv_net())
    assert sorted(lines(after)) == sorted(CLASSIC.strip().splitlines())
    for name, attrs in CLASSIC_ATTRS.items():
        assert dict(after[name].attrs) == attrs, name
    assert value(after, "conv_eightbit_reshape_dims").tolist() == [-1]
    assert value(after, "conv_eightbit_reduction_dims").tolist() == [0]
    assert after.outputs == ("softmax",)


def test_origins_and_reasons() -> None:
    done = applied(QuantizeNodes(), conv_net())
    assert done.origins["conv_eightbit_quantized_conv"] == ("conv",)
    assert done.origins["conv_eightbit_min_input"] == ("conv", "input")
    assert done.origins["conv/weights_max"] == ("conv/weights",)
    assert done.origins["dense_bias"] == ("dense_bias",)
    assert "cancelled" in done.removed["relu"]
    assert "conv/weights_quint8_const" in done.removed["conv/weights"]
    assert done.notes == ()


def test_a_second_run_finds_nothing_to_do() -> None:
    once = eightbit(conv_net())
    assert not applied(QuantizeNodes(), once).changed


def test_concat_has_its_axis_first_and_its_ranges_apart() -> None:
    net = Net().conv(4).then("Relu")
    other = net.top
    net.conv(2).then("Relu").concat(other, channels=6)
    after = eightbit(net.build())
    assert after["concat_eightbit_quantized_concat"].op == "QuantizedConcat"
    assert after["concat_eightbit_quantized_concat"].inputs == (
        "concat/axis",
        "relu_1_eightbit_quantized",
        "relu_eightbit_quantized",
        "relu_1_eightbit_quantized:1",
        "relu_eightbit_quantized:1",
        "relu_1_eightbit_quantized:2",
        "relu_eightbit_quantized:2",
    )
    assert dict(after["concat_eightbit_quantized_concat"].attrs) == {"N": 2, "T": DType.QUINT8}


def test_a_concat_axis_counts_from_the_front() -> None:
    axis = const("axis", -1, DType.INT32)
    join = node("y", "ConcatV2", "x", "x", "axis", N=2, Tidx=DType.INT32)
    done = applied(QuantizeNodes(), graph(placeholder("x", (2, 3, 4)), axis, join))
    assert done.graph["y_eightbit_quantized_concat"].inputs[0] == "y_eightbit_concat_dim"
    assert value(done.graph, "y_eightbit_concat_dim") == 2
    assert done.origins["y_eightbit_concat_dim"] == ("y", "axis")
    unknown = graph(placeholder("x", None), axis, join)
    assert not applied(QuantizeNodes(), unknown).changed
    read = graph(*unknown.nodes, placeholder("w", (1, 1, 2, 2)), conv("read", "y", "w"))
    assert value(eightbit(read), "y_eightbit_concat_dim") == 3  # a convolution reads images only


def test_batch_norm_has_each_range_behind_its_tensor() -> None:
    vectors = [const(name, np.float32([0.5, 0.6])) for name in ("mean", "variance", "beta", "gamma")]
    norm = node("bn", "BatchNormWithGlobalNormalization", "x", "mean", "variance", "beta", "gamma",
                variance_epsilon=0.001, scale_after_normalization=True)  # fmt: skip
    after = eightbit(graph(placeholder("x", (1, 2, 2, 2)), *vectors, norm))
    made = after["bn_eightbit_quantized_batch_norm"]
    assert made.op == "QuantizedBatchNormWithGlobalNormalization"
    assert made.inputs[:6] == (
        "bn_eightbit_quantize_x", "bn_eightbit_quantize_x:1", "bn_eightbit_quantize_x:2",
        "mean_quint8_const", "mean_min", "mean_max",
    )  # fmt: skip
    assert dict(made.attrs) == {
        "Tinput": DType.QUINT8, "out_type": DType.QINT32, "variance_epsilon": 0.001, "scale_after_normalization": True,
    }  # fmt: skip
    assert after["bn"].inputs == ("bn_eightbit_requantize", "bn_eightbit_requantize:1", "bn_eightbit_requantize:2")


def test_fallback_range_replaces_the_one_found_at_run_time() -> None:
    after = eightbit(conv_net(), fallback_min=-3.0, fallback_max=5.0)
    assert "RequantizationRange" not in ops(after)
    for name in ("conv", "bias", "dense", "dense_bias"):
        assert after[f"{name}_eightbit_requantize"].inputs[3:] == (
            "fallback_quantization_min_value",
            "fallback_quantization_max_value",
        )
    assert value(after, "fallback_quantization_min_value") == -3
    assert value(after, "fallback_quantization_max_value") == 5


def test_a_quantized_input_is_read_as_it_is() -> None:
    after = eightbit(conv_net(), quantized_input=True, input_min=-1.0, input_max=1.0)
    assert after["input"].op == "Placeholder"
    assert after["input"].dtype("dtype") == DType.QUINT8
    assert {"QuantizeV2", "Min", "Max"}.isdisjoint(ops(after))
    inputs = after["conv_eightbit_quantized_conv"].inputs
    assert (inputs[0], *inputs[2:4]) == ("input", "quantized_input_min_value", "quantized_input_max_value")
    assert value(after, "quantized_input_min_value") == -1


def test_float_readers_of_a_quantized_input_get_a_dequantize() -> None:
    net = Net()
    net.then("Neg", name="float").conv(2)
    net.add(node("relu", "Relu", "input"))
    net.add(placeholder("index", (), DType.INT32))
    net.add(node("twice", "Add", "index", "index", T=DType.INT32))
    after = eightbit(net.build(["conv", "relu", "twice"]), quantized_input=True)
    assert after["input_dequantize"].inputs == ("input", "quantized_input_min_value", "quantized_input_max_value")
    assert after["float"].inputs == ("input_dequantize",)
    assert after["relu_eightbit_quantized"].inputs[0] == "input"
    assert after["index"].dtype("dtype") == DType.INT32


# --- borders ---------------------------------------------------------------------------------------------------------


def test_only_borders_keep_the_pair() -> None:
    net = Net().conv(4).bias().then("Relu")
    net.then("Tanh", name="float").conv(4).then("Relu6")
    after = eightbit(net.build())
    assert {n.name for n in after.nodes if n.op == "Dequantize"} == {"relu", "relu6"}
    assert after["float"].inputs == ("relu",)
    assert {n.name for n in after.nodes if n.op == "QuantizeV2"} == {
        "conv_eightbit_quantize_input",
        "conv_1_eightbit_quantize_float",
    }


def test_an_output_in_the_midst_of_a_region_stays_readable_in_float() -> None:
    net = Net().conv(4).bias().then("Relu").pool()
    after = eightbit(net.build(["bias", "maxpool"]))
    assert after["bias"].op == after["maxpool"].op == "Dequantize"
    assert after["relu_eightbit_quantized"].inputs[0] == "bias_eightbit_requantize"


def test_an_operation_that_reads_a_tensor_twice_quantizes_it_once() -> None:
    net = Net()
    net.concat("input", channels=6)
    after = eightbit(net.build())
    assert after["concat_eightbit_quantized_concat"].inputs[1:3] == ("concat_eightbit_quantize_input",) * 2


def test_ports_stand_in_the_names() -> None:
    before = graph(placeholder("x", (4, 4)), const("axis", 0, DType.INT32),
                   node("split", "Split", "axis", "x", num_split=2), node("relu", "Relu", "split:1"))  # fmt: skip
    after = eightbit(before)
    assert after["relu_eightbit_quantize_split__port__1"].inputs[0] == "split:1"


def test_identities_in_an_8_bit_region_are_seen_through() -> None:
    net = Net().conv(4).then("Identity").then("Relu").then("CheckNumerics", message=b"")
    net.then("Identity", name="seen").then("Tanh")
    before = net.build()
    after = eightbit(before)
    assert after["relu_eightbit_quantized"].inputs[0] == "conv_eightbit_requantize"
    assert "identity" not in after
    assert after["seen"].inputs == ("checknumerics",)  # float readers still pass by them
    assert after["checknumerics"].inputs == ("relu",)
    cleaned = eightbit(applied(RemoveNodes(), before).graph)
    assert {n.name for n in after.nodes} - {n.name for n in cleaned.nodes} == {"seen", "checknumerics"}


def test_a_constant_that_float_reads_too_is_dequantized_under_its_name() -> None:
    net = Net().conv(3, kernel=1)
    net.add(node("other", "Conv2D", "input", "conv/weights", T=DType.DOUBLE))
    net.then("BiasAdd", net.vector("bias", 3), name="sum").then("Mul", "bias")
    after = eightbit(net.build())
    assert after["bias"].op == "Dequantize"
    assert after["bias"].inputs == ("bias_quint8_const", "bias_min", "bias_max")
    assert after["mul"].inputs == ("sum", "bias")


def test_control_inputs_stay() -> None:
    net = Net().conv(4)
    net.nodes["conv"] = net.nodes["conv"].with_(inputs=["input", "conv/weights", "^waits"])
    net.then("Relu").then("Tanh")
    net.add(node("waits", "Neg", "input"))
    net.add(Node.make("late", "NoOp", ["^conv", "^conv/weights"]))
    after = eightbit(net.build())
    assert after["conv_eightbit_quantized_conv"].inputs[-1] == "^waits"
    assert after["late"].inputs == ("^conv_eightbit_requantize", "^conv/weights_quint8_const")


def test_names_that_are_taken() -> None:
    net = Net().conv(2)
    net.const("conv/weights_min", np.float32([1, 2]))
    net.then("Mul", "conv/weights_min")
    after = eightbit(net.build())
    assert after["conv_eightbit_quantized_conv"].inputs[4] == "conv/weights_min_1"
    assert value(after, "conv/weights_min").tolist() == [1, 2]


# --- constants -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([-1.0, 3.0], -1, 3),
        ([2.0, 3.0], 0, 3),
        ([-3.0, -2.0], -3, 0),
        ([0.0, 0.0], 0, 1),
        ([5.0, 5.0], 0, 5),
        ([-5.0, -5.0], -5, 0),
    ],
)
def test_the_range_of_a_constant_includes_zero(values: list[float], low: float, high: float) -> None:
    net = Net((1, 2)).then("BiasAdd", "b")
    net.const("b", np.float32(values))
    after = eightbit(net.build())
    assert (value(after, "b_min"), value(after, "b_max")) == (low, high)
    step = (high - low) / 255
    found = value(after, "b_quint8_const") * step + low
    np.testing.assert_allclose(found, values, atol=step / 2 + 1e-6)


finite = st.floats(-(2.0**60), 2.0**60, width=32)


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=5), elements=finite))
def test_codes_are_within_a_step_of_the_values(values: np.ndarray) -> None:
    stored = store(Tensor.of(values, DType.FLOAT))
    low, high = np.float64(stored.low.array), np.float64(stored.high.array)
    assert low <= 0 <= high
    assert low <= values.min()
    assert values.max() <= high
    step = (high - low) / 255
    assert np.abs(stored.codes.array * step + low - values).max() <= step * 1.001
    zero = np.round(-low / step) * step + low
    assert abs(zero) <= step


# --- FakeQuant -------------------------------------------------------------------------------------------------------


def fake_quant(name: str, source: str, **attrs: Attr) -> Node:
    return Node.make(name, "FakeQuantWithMinMaxVars", (source, f"{name}/min", f"{name}/max"), **attrs)  # type: ignore[arg-type]


def with_fake_quant(net: Net, name: str, low: float, high: float, **attrs: Attr) -> Net:
    net.const(f"{name}/min", np.float32(low))
    net.const(f"{name}/max", np.float32(high))
    net.top = net.add(fake_quant(name, net.top, **attrs))
    return net


def test_a_fake_quant_gives_its_range_and_name() -> None:
    net = with_fake_quant(Net().conv(4), "fq", -1, 2).then("Tanh")
    after = eightbit(net.build())
    assert after["conv_eightbit_requantize"].inputs[3:] == ("fq/min", "fq/max")
    assert after["fq"].op == "Dequantize"
    assert after["fq"].inputs[0] == "conv_eightbit_requantize"
    assert "conv" not in after


def test_a_fake_quant_behind_relu_and_pool_gives_its_range_to_the_requantize() -> None:
    net = with_fake_quant(Net().conv(4).bias().then("Relu").pool(), "fq", 0, 6).conv(2)
    after = eightbit(net.build())
    assert after["bias_eightbit_requantize"].inputs[3:] == ("fq/min", "fq/max")
    assert after["conv_eightbit_requantize"].inputs[3] == "conv_eightbit_requant_range"
    assert after["conv_1_eightbit_quantized_conv"].inputs[0] == "maxpool_eightbit_quantized"
    assert "fq" not in after


def test_weights_behind_a_fake_quant_are_stored_over_its_range() -> None:
    net = Net().conv(4)
    net.const("fq/min", np.float32(-0.25))
    net.const("fq/max", np.float32(0.5))
    net.add(fake_quant("fq", "conv/weights"))
    net.nodes["conv"] = net.nodes["conv"].with_(inputs=["input", "fq"])
    before = net.build()
    after = eightbit(before)
    assert value(after, "fq_min") == -0.25
    assert value(after, "fq_max") == 0.5
    assert {"fq", "conv/weights", "fq/min", "fq/max"}.isdisjoint(after)
    assert after["conv_eightbit_quantized_conv"].inputs[1] == "fq_quint8_const"


@pytest.mark.parametrize("attrs", [{"num_bits": 4}, {"narrow_range": True}])
def test_other_fake_quants_stay(attrs: dict[str, Attr]) -> None:
    after = eightbit(with_fake_quant(Net().conv(4), "fq", -1, 2, **attrs).then("Relu").build())
    assert after["fq"].op == "FakeQuantWithMinMaxVars"
    assert after["fq"].inputs[0] == "conv"
    assert after["conv"].op == "Dequantize"
    assert "relu_eightbit_min_fq" in after


def simulated(net: Net, op: str, source: str, low: float, high: float) -> str:
    """What quantization-aware training puts behind ``source``."""
    ends = [net.const(f"{source}/{end}", np.float32(limit)) for end, limit in (("low", low), ("high", high))]
    if op == "FakeQuantWithMinMaxArgs":
        made = Node.make("sim", op, [source], min=low, max=high)
    elif op == "FakeQuantWithMinMaxVarsPerChannel":
        wide = [net.const(f"{source}/{at}", np.full(4, limit, np.float32)) for at, limit in enumerate((low, high))]
        made = Node.make("sim", op, [source, *wide])
    else:
        bits = [net.const(f"{source}/bits", 8, DType.INT32)] if op.endswith("V3") else []
        made = node("sim", op, source, *ends, *bits, range_given=True, signed_input=True)
    return net.add(made)


ROUND_TRIPS = ("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4")


@pytest.mark.parametrize("op", ["FakeQuantWithMinMaxArgs", *ROUND_TRIPS])
def test_what_else_simulates_eight_bits_gives_its_range_too(op: str) -> None:
    net = Net().conv(4)
    net.top = simulated(net, op, "conv", -1.0, 1.0)
    after = eightbit(net.conv(2).build())
    names = ("sim_eightbit_min_value", "sim_eightbit_max_value")
    assert after["conv_eightbit_requantize"].inputs[3:] == names
    assert {"sim", "conv"}.isdisjoint(after)
    low, high = (float(value(after, name)) for name in names)
    assert -1.01 < low <= -1 < 0 < 0.99 < high < 1.01
    assert round(-low / (high - low) * 255, 3) == round(round(-low / (high - low) * 255), 3)  # 0 has a code


@pytest.mark.parametrize("op", ["FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVarsPerChannel", *ROUND_TRIPS])
def test_weights_whose_eight_bits_were_simulated_are_stored(op: str) -> None:
    net = Net().conv(4)
    source = simulated(net, op, "conv/weights", -0.5, 0.5)
    net.nodes["conv"] = net.nodes["conv"].with_(inputs=["input", source])
    after = eightbit(net.build())
    assert after["conv_eightbit_quantized_conv"].inputs[1] == "sim_quint8_const"
    assert {"sim", "conv/weights"}.isdisjoint(after)


def test_a_float_fake_quant_gives_its_range_to_the_quantize_behind_it() -> None:
    after = eightbit(with_fake_quant(Net().then("Tanh"), "fq", -1, 2).conv(2).build())
    assert after["conv_eightbit_quantize_fq"].inputs == ("fq", "fq/min", "fq/max")
    assert {"Min", "Max"}.isdisjoint(ops(after))


# --- what stays in float ---------------------------------------------------------------------------------------------


def refused_conv(depth: int = 2, **attrs: Attr) -> ModelGraph:
    return graph(placeholder("x", (1, 8, 8, depth)), const("w", np.ones((3, 3, 2, 2), np.float32)),
                 conv("layer", "x", "w", **attrs))  # type: ignore[arg-type]  # fmt: skip


def refused_bias(values: np.ndarray, **attrs: Attr) -> ModelGraph:
    return graph(placeholder("x", (1, 2)), const("b", values), node("layer", "BiasAdd", "x", "b", **attrs))


def pool(op: str, window: tuple[int, ...], **attrs: Attr) -> ModelGraph:
    given: dict[str, Attr] = {"ksize": window, "strides": (1, 1, 1, 1), "padding": b"VALID", **attrs}
    return graph(placeholder("x", (1, 8, 8, 2)), node("layer", op, "x", **given))


ONES = np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (refused_conv(dilations=(1, 2, 2, 1)), "dilations"),
        (refused_conv(padding="EXPLICIT", explicit_paddings=(0, 0, 1, 1, 1, 1, 0, 0)), "explicit padding"),
        (refused_conv(strides=(1, 1, 2, 1)), "unequal strides"),
        (refused_conv(data_format=b"NCHW"), "NCHW"),
        (refused_conv(depth=4), "groups"),
        (refused_bias(ONES, data_format=b"NCHW"), "NCHW"),
        (refused_bias(np.float32([np.nan, 1])), "not finite"),
        (refused_bias(np.zeros(0, np.float32)), "empty"),
        (pool("MaxPool", (1, 1, 1, 2)), "channels"),
        (pool("AvgPool", (2, 1, 1, 1)), "batch"),
    ],
)
def test_what_has_no_kernel_stays_with_a_note(before: ModelGraph, reason: str) -> None:
    done = applied(QuantizeNodes(), before)
    assert not done.changed
    assert reason in done.notes[0]
    assert "layer" in done.notes[0]


def test_other_types_stay() -> None:
    before = graph(placeholder("x", (2, 2), DType.INT32), node("y", "MatMul", "x", "x", T=DType.INT32))
    done = applied(QuantizeNodes(), before)
    assert not done.changed
    assert done.notes == ("No operation of this graph has a classic 8-bit kernel.",)


def test_a_computed_axis_stays() -> None:
    before = graph(placeholder("x", (2, 2)), placeholder("axis", (), DType.INT32),
                   node("y", "ConcatV2", "x", "x", "axis", N=2, Tidx=DType.INT32))  # fmt: skip
    done = applied(QuantizeNodes(), before)
    assert not done.changed
    assert "axis" in done.notes[0]


def test_loops_stay() -> None:
    before = graph(
        placeholder("x", (2, 2)),
        Node.make("enter", "Enter", ["x"], T=DType.FLOAT, frame_name=b"loop"),
        Node.make("merge", "Merge", ["enter", "next"], T=DType.FLOAT, N=2),
        Node.make("go", "LoopCond", ["test"]),
        Node.make("test", "IsFinite", ["merge"], T=DType.FLOAT),
        Node.make("switch", "Switch", ["merge", "go"], T=DType.FLOAT),
        node("inside", "Relu", "switch:1"),
        Node.make("next", "NextIteration", ["inside"], T=DType.FLOAT),
        Node.make("exit", "Exit", ["switch"], T=DType.FLOAT),
        node("outside", "Relu", "exit"),
        outputs=["outside"],
    )
    done = applied(QuantizeNodes(), before)
    assert done.graph["inside"].op == "Relu"
    assert done.graph["outside"].op == "Dequantize"
    assert "loop: inside" in done.notes[0]


def test_skipped_operations_and_scopes_stay() -> None:
    net = Net()
    net.conv(2, name="head/conv").bias(name="head/bias").then("Relu", name="headless").conv(2)
    before = net.build()
    after = eightbit(before, skip=("head", "conv"))
    assert {name for name in before if after.get(name) is before[name]} >= {"head/conv", "head/bias", "conv"}
    assert "headless_eightbit_quantized" in after


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("quantize_nodes(mode='test')", "not one of eightbit"),
        ("quantize_nodes(fallback_min=-1)", "fallback_max is missing"),
        ("quantize_nodes(fallback_min=1, fallback_max=-1)", "is reversed"),
        ("quantize_nodes(fallback_min=1, fallback_max=2)", "does not include 0"),
        ("quantize_nodes(quantized_input=true, input_min=0, input_max=0)", "empty"),
    ],
)
def test_wrong_parameters_say_so(call: str, words: str) -> None:
    with pytest.raises(PassError, match=words):
        parse(call)


def test_skipping_what_is_not_there_says_so() -> None:
    with pytest.raises(PassError, match="did you mean conv"):
        QuantizeNodes(skip=("comv",)).run(conv_net())


def test_a_layer_is_skipped_by_its_short_name() -> None:
    weight = [const("w", np.ones((4, 4), np.float32)), const("v", np.ones((4, 4), np.float32))]
    layers = [node("model/a/MatMul", "MatMul", "x", "w"), node("model/b/MatMul", "MatMul", "model/a/MatMul", "v")]
    model = graph(placeholder("x", (1, 4)), *weight, *layers)
    after = QuantizeNodes(skip=("a",)).run(model).graph
    assert (after["model/a/MatMul"].op, after["model/b/MatMul"].op) == ("MatMul", "Dequantize")


# --- everywhere ------------------------------------------------------------------------------------------------------


@given(graphs(), st.booleans(), st.booleans())
def test_random_graphs(before: ModelGraph, quantized_input: bool, fallback: bool) -> None:
    limits = {"fallback_min": -2.0, "fallback_max": 3.0} if fallback else {}
    done = applied(QuantizeNodes(quantized_input=quantized_input, **limits), before)
    after = done.graph
    assert {n.op for n in after.nodes if n.name not in before or after[n.name] is not before[n.name]}.isdisjoint(
        set(KERNELS) - {"Reshape"}
    )
    covered = {n.name for n in before.nodes if n.op in KERNELS}
    assert covered == {name for name in covered if after.get(name) is not before[name]}
    read = {ref.name for n in after.nodes for ref in n.refs}
    unread = {n.name for n in after.nodes if n.name not in read and n.name not in before}
    assert not unread
    assert not applied(QuantizeNodes(), after).changed or quantized_input


@needs_shared
@pytest.mark.parametrize("path", MODEL_FILES, ids=lambda path: path.stem)
def test_real_models(path: object) -> None:
    before = read_graph(path)  # type: ignore[arg-type]
    done = applied(QuantizeNodes(), before)
    assert {"QuantizedConv2D", "Dequantize"} <= ops(done.graph)
    left = {n.op for n in done.graph.nodes if n.op in KERNELS and n.dtype() == DType.FLOAT and n.name in before}
    assert left <= {"ConcatV2"}
    assert all(done.graph[name].op == before[name].op or done.graph[name].op == "Dequantize" for name in before.outputs)

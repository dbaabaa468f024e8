from __future__ import annotations

import contextlib

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
from tests.core.eightbit import eightbit, ops, value
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


def test_a_second_run_is_refused() -> None:
    with pytest.raises(PassError, match="is quantized already"):
        QuantizeNodes().run(eightbit(conv_net()))


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
    with contextlib.suppress(PassError):  # nothing is left to do, and that is refused
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

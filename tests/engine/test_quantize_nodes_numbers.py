"""The classic 8-bit graph, against TensorFlow: it loads, runs, and computes what the float graph does, but for noise.

Tolerances are signal to noise ratios in dB, which the 8 bits of every tensor on the way bound; those of small random
networks are low as their few values make ranges that fit badly.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.eightbit.constants import store
from compressor_gui.core.passes.eightbit.kernels import KERNELS
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.values import Attr, DType, Tensor
from tests.support import (
    MODEL_FILES,
    Net,
    applied,
    batch_norm_net,
    concat_net,
    const,
    conv,
    conv_net,
    graph,
    graphs,
    needs_shared,
    node,
    placeholder,
    residual_net,
    run_tf,
    sqnr_db,
    synthetic_feeds,
    tensorflow,
)

pytestmark = pytest.mark.tensorflow

RANDOM = np.random.default_rng(5)


def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
    return RANDOM.normal(0, scale, shape).astype(np.float32)


def assert_close(
    before: ModelGraph, at_least: float, feeds: dict[str, np.ndarray] | None = None, **values: object
) -> None:
    """The worst output's SQNR is ``at_least`` dB."""
    after = applied(QuantizeNodes(**values), before).graph  # type: ignore[arg-type]
    feeds = synthetic_feeds(before) if feeds is None else feeds
    expected, found = run_tf(before, feeds), run_tf(after, feeds)
    for name in before.outputs:
        assert found[name].dtype == np.float32
        assert sqnr_db(expected[name], found[name]) >= at_least, name


# --- the arithmetic of constants -------------------------------------------------------------------------------------


def code_distance(scale: float, shift: float) -> int:
    """How far our codes are from those of the QuantizeV2 that this process has, which has the same range."""
    tf = tensorflow()
    values = RANDOM.normal(shift, 1, 5000).astype(np.float16).astype(np.float32) * np.float32(scale)
    stored = store(Tensor.of(values, DType.FLOAT))
    low, high = stored.low.array, stored.high.array
    codes, kernel_low, kernel_high = tf.raw_ops.QuantizeV2(
        input=values, min_range=low, max_range=high, T=tf.quint8, mode="MIN_FIRST"
    )
    assert (kernel_low, kernel_high) == (low, high)
    return int(np.abs(tf.bitcast(codes, tf.uint8).numpy().astype(int) - stored.codes.array).max())


SCALES, SHIFTS = (0.1, 1.0, 50.0, 1e6), (-1.0, 0.0, 1.0)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shift", SHIFTS)
def test_constants_are_stored_as_quantize_v2_does(scale: float, shift: float) -> None:
    assert code_distance(scale, shift) <= 1  # oneDNN's kernel rounds some values to the code beside


def test_constants_are_stored_to_the_bit_as_tensorflows_own_quantize_v2_does() -> None:
    script = (
        "from tests.engine.test_quantize_nodes_numbers import SCALES, SHIFTS, code_distance\n"
        "assert not any(code_distance(scale, shift) for scale in SCALES for shift in SHIFTS)"
    )
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", script], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- one operation at a time -----------------------------------------------------------------------------------------


def one(op: str, shape: tuple[int, ...], *constants: np.ndarray, **attrs: Attr) -> ModelGraph:
    names = [f"c{index}" for index in range(len(constants))]
    types = {np.dtype(np.float32): DType.FLOAT, np.dtype(np.int32): DType.INT32, np.dtype(np.int64): DType.INT64}
    made = [const(name, v, types[v.dtype]) for name, v in zip(names, constants, strict=True)]
    return graph(placeholder("x", shape), *made, node("y", op, "x", *names, **attrs))


IMAGE = (2, 7, 6, 3)
WINDOWED: dict[str, Attr] = {"ksize": (1, 3, 2, 1), "strides": (1, 2, 1, 1), "padding": b"SAME"}
CASES = {
    "Conv2D": graph(placeholder("x", IMAGE), const("w", normal(3, 2, 3, 5)), conv("y", "x", "w", stride=2)),
    "Conv2D valid": graph(placeholder("x", IMAGE), const("w", normal(3, 3, 3, 4)),
                          conv("y", "x", "w", padding="VALID")),
    "Conv2D small weights": graph(placeholder("x", IMAGE), const("w", normal(3, 3, 3, 4, scale=1e-5)),
                                  conv("y", "x", "w")),
    "Conv2D positive weights": graph(placeholder("x", IMAGE), const("w", 2 + normal(3, 3, 3, 4, scale=0.1)),
                                     conv("y", "x", "w")),
    "Conv2D computed weights": graph(placeholder("x", IMAGE), placeholder("v", (3, 3, 3, 4)), conv("y", "x", "v")),
    "MatMul": one("MatMul", (3, 4), normal(4, 5), transpose_a=False, transpose_b=False),
    "MatMul a": one("MatMul", (4, 3), normal(4, 5), transpose_a=True, transpose_b=False),
    "MatMul b": one("MatMul", (3, 4), normal(5, 4), transpose_a=False, transpose_b=True),
    "MatMul ab": one("MatMul", (4, 3), normal(5, 4), transpose_a=True, transpose_b=True),
    "BiasAdd": one("BiasAdd", (3, 5), normal(5), data_format=b"NHWC"),
    "BiasAdd negative": one("BiasAdd", (3, 5), -np.abs(normal(5)) - 1),
    "BiasAdd 5-D": one("BiasAdd", (2, 3, 2, 2, 3), normal(3)),
    "MaxPool": one("MaxPool", IMAGE, **WINDOWED),
    "AvgPool": one("AvgPool", IMAGE, **WINDOWED),
    "Relu": one("Relu", IMAGE),
    "Relu6": one("Relu6", (4,)),
    "Reshape": one("Reshape", IMAGE, np.int32([6, -1])),
    "Reshape int64": one("Reshape", IMAGE, np.int64([6, -1]), Tshape=DType.INT64),
    "Concat": graph(placeholder("x", (2, 3)), const("axis", 1, DType.INT32), const("c", normal(2, 2)),
                    node("y", "Concat", "axis", "x", "c", N=2)),
    "ConcatV2": graph(placeholder("x", (2, 3)), const("axis", 0, DType.INT32), const("c", 9 * normal(4, 3)),
                      node("y", "ConcatV2", "x", "c", "x", "axis", N=3, Tidx=DType.INT32)),
    "ConcatV2 from the end": graph(placeholder("x", (2, 3)), const("axis", -1, DType.INT32), const("c", normal(2, 2)),
                                   node("y", "ConcatV2", "x", "c", "axis", N=2, Tidx=DType.INT32)),
    "BatchNormWithGlobalNormalization": one(
        "BatchNormWithGlobalNormalization", IMAGE, normal(3), np.abs(normal(3)) + 1, normal(3), normal(3),
        variance_epsilon=0.001, scale_after_normalization=True),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_kernel_computes_what_the_float_operation_does(name: str) -> None:
    before = CASES[name]
    feeds = {n: normal(*before[n].shape().dims) for n in before.inputs}  # type: ignore[union-attr, misc]
    at_least = 20 if name.startswith("BatchNorm") else 30
    assert_close(before, at_least, feeds)
    after = QuantizeNodes().run(before).graph
    assert sum(n.op == KERNELS[before["y"].op].op for n in after.nodes) == 1


@pytest.mark.parametrize("values", [np.zeros, np.ones], ids=["zeros", "ones"])
def test_weights_and_inputs_without_a_range(values: object) -> None:
    weight = values((3, 3, 2, 4), np.float32)  # type: ignore[operator]
    net = Net((1, 4, 4, 2)).conv(4).then("Relu").conv(3, kernel=1).flatten().dense(2)
    net.nodes["conv/weights"] = const("conv/weights", weight)
    before = net.build()
    after = applied(QuantizeNodes(), before).graph
    for feed in (np.zeros((1, 4, 4, 2), np.float32), np.ones((1, 4, 4, 2), np.float32)):
        expected, found = run_tf(before, {"input": feed}), run_tf(after, {"input": feed})
        scale = max(1, np.abs(expected["dense"]).max())
        np.testing.assert_allclose(found["dense"], expected["dense"], atol=0.05 * scale)


# --- whole networks --------------------------------------------------------------------------------------------------

NETS = {
    "conv_net": (conv_net(), 20),
    "residual_net": (residual_net(), 18),
    "concat_net": (concat_net(), 25),
    "batch_norm_net": (batch_norm_net(), 25),
}


@pytest.mark.parametrize("name", NETS)
def test_networks(name: str) -> None:
    assert_close(*NETS[name])


def test_a_quantized_input_takes_the_codes() -> None:
    before = conv_net()
    after = applied(QuantizeNodes(quantized_input=True, input_min=-1, input_max=1), before).graph
    codes = RANDOM.integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)
    floats = (codes / 127.5 - 1).astype(np.float32)
    expected = run_tf(before, {"input": floats})["softmax"]
    assert sqnr_db(expected, run_tf(after, {"input": codes})["softmax"]) >= 20


def test_fallback_and_frozen_ranges_that_fit_cost_little() -> None:
    before = Net().conv(4).bias().then("Relu").build()
    feeds = synthetic_feeds(before)
    exact = run_tf(before, feeds, ["conv", "bias", "relu"])
    low = float(min(exact["conv"].min(), exact["bias"].min()))
    high = float(max(exact["conv"].max(), exact["bias"].max()))
    assert_close(before, 25, feeds, fallback_min=low, fallback_max=high)
    eightbit = QuantizeNodes().run(before).graph
    frozen = applied(FreezeRequantizationRanges(ranges={"conv": (low, high), "bias": (low, high)}), eightbit).graph  # type: ignore[arg-type]
    assert sqnr_db(exact["relu"], run_tf(frozen, feeds)["relu"]) >= 25


def fake_quant(net: Net, name: str, low: float, high: float) -> Net:
    net.const(f"{name}/min", np.float32(low))
    net.const(f"{name}/max", np.float32(high))
    net.top = net.add(Node.make(name, "FakeQuantWithMinMaxVars", (net.top, f"{name}/min", f"{name}/max")))
    return net


def test_ranges_that_training_simulated_are_those_of_the_result() -> None:
    """The 8-bit graph rounds where training did: what is left is the noise of the input and of the weights."""
    net = Net().conv(4)
    ends = [net.const(name, np.float32(limit)) for name, limit in (("low", -3.0), ("high", 3.0))]
    net.then("QuantizeAndDequantizeV2", *ends, name="simulated", range_given=True, signed_input=True)
    assert_close(net.then("Relu").conv(3).build(), 28)


def test_fake_quant_ranges_are_those_of_the_result() -> None:
    net = fake_quant(Net().conv(4).bias().then("Relu").pool(), "clamped", 0, 0.5).conv(3).bias()
    before = fake_quant(fake_quant(net, "last", -1, 1).then("Tanh"), "float", -0.5, 0.5).conv(2).build()
    assert_close(before, 18)
    after = QuantizeNodes().run(before).graph
    assert run_tf(after, synthetic_feeds(before), ["maxpool_eightbit_quantized:2"]).popitem()[1] == 0.5


def test_branches_run() -> None:
    before = graph(
        placeholder("x", (1, 4)),
        placeholder("pred", (), DType.BOOL),
        const("w", normal(4, 4)),
        Node.make("switch", "Switch", ["x", "pred"], T=DType.FLOAT),
        const("bias", normal(4)).with_(inputs=["^off"]),
        node("off", "Identity", "switch"),
        node("mul", "MatMul", "off", "w"),
        node("add", "BiasAdd", "mul", "bias"),
        node("on", "Relu", "switch:1"),
        Node.make("merge", "Merge", ["add", "on"], T=DType.FLOAT, N=2),
        node("y", "Relu", "merge"),
    )
    for pred in (True, False):
        assert_close(before, 25, {"x": normal(1, 4), "pred": np.array(pred)})


@settings(max_examples=12)
@given(graphs())
def test_random_graphs_run(before: ModelGraph) -> None:
    after = applied(QuantizeNodes(), before).graph
    feeds = synthetic_feeds(before)
    expected, found = run_tf(before, feeds), run_tf(after, feeds)
    for name in before.outputs:
        scale = float(np.abs(expected[name]).max()) or 1.0
        assert np.isfinite(found[name]).all()
        assert np.abs(found[name] - expected[name]).max() <= 0.25 * scale


# --- real models -----------------------------------------------------------------------------------------------------


@needs_shared
@pytest.mark.parametrize("path", MODEL_FILES, ids=lambda path: path.stem)
def test_real_models_run_and_are_finite(path: Path) -> None:
    before = read_graph(path)
    found = run_tf(QuantizeNodes().run(before).graph, synthetic_feeds(before))
    assert list(found) == list(before.outputs)
    assert all(np.isfinite(value).all() for value in found.values())

"""The fused int8 graph, against TensorFlow: its operations are registered as the table says; it loads, runs, and
computes what the float graph does, but for noise.

With ``without_vnni``, so that the numbers are those of any processor.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from compressor_gui.core.data import DataSpec
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import Calibrate, ModelRef
from compressor_gui.core.passes import apply, parse
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.int8 import kernels
from compressor_gui.core.ranges import plan_calibration, with_ranges
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.core.values import DType
from compressor_gui.engine.dataset import open_dataset
from tests.core.test_carried_ranges import KINDS_AND_WEIGHTS, trained
from tests.core.test_fuse_int8 import MOVES, READERS, block, moved
from tests.support import (
    SHARED,
    Net,
    applied,
    batch_norm_net,
    concat_net,
    conv,
    conv_net,
    graphs,
    needs_shared,
    real_model,
    residual_net,
    run_tf,
    sqnr_db,
    synthetic_feeds,
    tensorflow,
)

pytestmark = pytest.mark.tensorflow

TABLE = [value for value in vars(kernels).values() if isinstance(value, kernels.Kernel)]


@pytest.fixture(autouse=True, scope="module")
def _onednn() -> None:
    tensorflow()
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        pytest.skip("oneDNN is off, and has the only fused int8 kernels")


@pytest.mark.parametrize("kernel", [*TABLE, *kernels.POOLS.values()], ids=lambda kernel: kernel.op)
def test_the_table_is_what_tensorflow_has_registered(kernel: kernels.Kernel) -> None:
    tensorflow()
    from tensorflow.python.framework import op_def_registry

    registered = {attr.name: attr for attr in op_def_registry.get(kernel.op).attr}
    assert {*kernel.attrs, *kernel.copied} <= registered.keys()
    for name, value in kernel.attrs.items():
        allowed = registered[name].allowed_values.list
        if isinstance(value, DType):
            assert registered[name].type == "type"
            assert not allowed.type or int(value) in allowed.type
        elif isinstance(value, bytes):
            assert not allowed.s or value in allowed.s
    needed = {name for name, attr in registered.items() if not attr.HasField("default_value")}
    assert needed <= {*kernel.attrs, *kernel.copied}


def ranges_of(model: ModelGraph, feeds: dict[str, np.ndarray], **values: Any) -> dict[str, tuple[float, float]]:
    """What a calibration on these inputs finds."""
    found = run_tf(model, feeds, FuseInt8(**values).activations(model))
    limits = {name: (min(float(v.min()), 0.0), max(float(v.max()), 0.0)) for name, v in found.items()}
    return {name: (low, high if low < high else 0.01) for name, (low, high) in limits.items()}


def worst_sqnr(before: ModelGraph, **values: Any) -> float:
    """Of the outputs, everything that has a kernel in int8."""
    feeds = synthetic_feeds(before)
    values = {"everywhere": True, "without_vnni": True, **values}
    after = applied(FuseInt8(ranges_of(before, feeds, **values), **values), before).graph  # type: ignore[arg-type]
    expected, found = run_tf(before, feeds), run_tf(after, feeds)
    assert all(found[name].dtype == np.float32 for name in before.outputs)
    assert all(found[name].shape == expected[name].shape for name in before.outputs)
    return min(sqnr_db(expected[name], found[name]) for name in before.outputs)


def mobile_blocks() -> ModelGraph:
    """Inverted residuals, their sums without Relu, one of them read by a depthwise layer with SAME padding."""
    net = Net((2, 14, 14, 8)).conv(16, kernel=1).bias()
    for _ in range(2):
        shortcut = net.top
        net.conv(48, kernel=1).bias().then("Relu6").depthwise().bias().then("Relu6").conv(16, kernel=1).bias()
        net.then("AddV2", shortcut, name="sum")
    return net.depthwise().bias().then("Relu6").conv(16, kernel=3, stride=2).bias().build()


@pytest.mark.parametrize(
    "model",
    [conv_net(), residual_net(), concat_net(), apply(parse("fold_batch_norms"), batch_norm_net()).graph],
    ids=["conv", "residual", "concat", "depthwise"],
)
def test_small_networks(model: ModelGraph) -> None:
    assert worst_sqnr(model) > 20


def test_shifts_are_exact() -> None:
    assert worst_sqnr(mobile_blocks()) > 20


def test_matrix_products() -> None:
    net = Net((4, 64)).dense(48).bias().then("Relu").dense(10).bias()
    assert worst_sqnr(net.build()) > 30


@pytest.mark.parametrize("widths", [(0, 1), (1, 1), (2, 0)])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("depthwise", [False, True])
def test_borders_of_zeros(widths: tuple[int, int], signed: bool, depthwise: bool) -> None:
    net = Net((2, 8, 8, 8)).conv(8, kernel=1)
    if not signed:
        net.then("Relu")
    net.const("widths", np.array(((0, 0), widths, widths, (0, 0))), DType.INT32)
    net.then("Pad", "widths", Tpaddings=DType.INT32)
    weights = net.weights("w", 3, 3, 8, 1 if depthwise else 8)
    op = "DepthwiseConv2dNative" if depthwise else "Conv2D"
    net.top = net.add(conv("layer", net.top, weights, op=op, stride=2, padding="VALID"))
    assert worst_sqnr(net.build()) > 25


def test_a_stride_and_an_odd_size_are_padded_as_in_float() -> None:
    assert worst_sqnr(Net((1, 9, 7, 8)).conv(8, kernel=1).conv(8, kernel=3, stride=2).build()) > 25


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("attrs", [{"dilations": (1, 2, 2, 1)}, {"strides": (1, 1, 2, 1)}], ids=["dilated", "unequal"])
def test_dilations_and_unequal_strides(attrs: dict, signed: bool, depthwise: bool) -> None:
    net = Net((2, 9, 12, 8)).conv(8, kernel=1)
    if not signed:
        net.then("Relu")
    weights = net.weights("w", 3, 3, 8, 1 if depthwise else 8)
    op = "DepthwiseConv2dNative" if depthwise else "Conv2D"
    net.top = net.add(conv("layer", net.top, weights, op=op, **attrs))
    assert worst_sqnr(net.build()) > 25


def test_batch_norms_behind_relus_pools_and_sums() -> None:
    net = Net((2, 12, 12, 8)).conv(16, kernel=1).then("Relu").batch_norm()
    shortcut = net.top
    net.conv(16).then("AddV2", shortcut, name="sum").batch_norm().then("Relu").pool()
    net.then("Mul", net.vector("factor", 16, -1, 1)).then("Sub", net.vector("low", 16))
    assert worst_sqnr(net.conv(8).build()) > 25


@pytest.mark.parametrize("reader", READERS)
def test_summands_that_others_read(reader: str) -> None:
    """TensorFlow's kernel ends the process where something still holds the summand's memory."""
    assert worst_sqnr(block(reader)) > 25


def test_sizes_that_are_known_at_run_time_only() -> None:
    net = Net((-1, -1, -1, 4)).conv(8, stride=2).then("Relu")
    shortcut = net.top
    net.conv(8).then("AddV2", shortcut, name="sum").then("Relu").then("Shape", out_type=DType.INT32)
    net.top = "relu_1"
    assert worst_sqnr(net.conv(4, kernel=1).build()) > 25


@pytest.mark.parametrize("op", MOVES)
def test_moves(op: str) -> None:
    assert worst_sqnr(moved(op)) > 25


@given(graphs())
@settings(deadline=None, max_examples=15)
def test_any_network_runs(model: ModelGraph) -> None:
    if FuseInt8().activations(model):
        assert worst_sqnr(model) > 3


PICTURES = DataSpec("images", str(SHARED / "images"), input="image", height=385, width=385, mean=127.5, std=127.5)


@needs_shared
def test_posenet_is_as_accurate_as_other_tools_make_it() -> None:
    """Ranges from 10 photographs, by the engine; noise on all 15. Other tools get 22.3, 15.7, 15.8 and 8.0 dB, with
    VNNI; ``without_vnni`` costs 1 to 2 dB of that."""
    source = real_model("posenet")
    recipe = Recipe.of(parse("fold_batch_norms"), FuseInt8(without_vnni=True))
    model = ModelRef(str(SHARED / "models" / "posenet.pb"), recipe.to_json())
    with EngineClient() as engine:
        found = engine.run(Calibrate(model, replace(PICTURES, limit=10), batch=1))
    assert found.ranges.keys() == plan_calibration(source, recipe).tensors.keys()
    made = Replayer(source).replay(with_ranges(recipe, found.ranges)).graph
    assert made.op_counts["Dequantize"] == len(source.outputs)
    assert made.op_counts["QuantizeV2"] == 1
    feeds = [dict(batch.feeds) for batch in open_dataset(PICTURES, source, 1)]
    pairs = [(run_tf(source, fed), run_tf(made, fed)) for fed in feeds]
    least = {"heatmap_2": 21, "displacement_fwd_2": 14.5, "displacement_bwd_2": 14.5, "offset_2": 7}
    for name, bound in least.items():
        output = f"MobilenetV1/{name}/BiasAdd"
        expected, result = (np.concatenate([pair[side][output] for pair in pairs]) for side in (0, 1))
        assert sqnr_db(expected, result) > bound, name


@pytest.mark.parametrize(("kind", "weights"), KINDS_AND_WEIGHTS)
def test_what_was_trained_with_simulated_quantization_is_computed_as_it_was_trained(kind: str, weights: str) -> None:
    """Both round to the same levels, so that hardly a code differs."""
    model = trained(kind, weights)
    feeds = synthetic_feeds(model)
    after = applied(FuseInt8(everywhere=True, without_vnni=True), model).graph
    (expected,), (found,) = run_tf(model, feeds).values(), run_tf(after, feeds).values()
    assert sqnr_db(expected, found) > 40
    assert np.abs(expected - found).max() < 2.1 * 8 / 255

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from compressor_gui.core import passes
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import Layer, find_layers, layer_weights
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.values import DType, Shape
from tests.support import Net, const, conv_net, graph, graphs, node, placeholder


def only(model: ModelGraph) -> Layer:
    (layer,) = find_layers(model)
    return layer


def behind(op: str, weight_shape: tuple[int, ...], *inputs: str, **attrs: object) -> Layer:
    """The layer of one operation ``op`` that reads the placeholder ``x`` and the constant ``w``."""
    w = const("w", np.ones(weight_shape))
    return only(graph(placeholder("x", (1, 4, 4, 3)), w, node("op", op, *(inputs or ("x", "w")), **attrs)))  # type: ignore[arg-type]


def test_a_network_has_its_layers_in_order() -> None:
    first, second = find_layers(conv_net())
    assert (first.name, first.op, first.weight, first.bias) == ("conv", "Conv2D", "conv/weights", "bias/values")
    assert (second.name, second.op, second.bias) == ("dense", "MatMul", "dense_bias/values")
    assert first.shape == Shape((3, 3, 3, 8))
    assert (first.parameters, first.bytes, first.nonzero, first.sparsity) == (216, 864, 216, 0.0)
    assert (first.channel_axis, second.channel_axis) == (3, 1)


@pytest.mark.parametrize(
    ("op", "shape", "attrs", "axis"),
    [
        ("Conv2D", (3, 3, 3, 8), {}, 3),
        ("Conv3D", (2, 3, 3, 3, 8), {}, 4),
        ("DepthwiseConv2dNative", (3, 3, 3, 1), {}, 2),
        ("DepthwiseConv2dNative", (3, 3, 1, 4), {}, 3),
        ("MatMul", (5, 6), {}, 1),
        ("MatMul", (5, 6), {"transpose_b": True}, 0),
        ("BatchMatMulV2", (2, 5, 6), {}, 2),
        ("BatchMatMulV2", (2, 5, 6), {"adj_y": True}, 1),
    ],
)
def test_output_channels_lie_along(op: str, shape: tuple[int, ...], attrs: dict[str, object], axis: int) -> None:
    assert behind(op, shape, **attrs).channel_axis == axis


def test_a_weight_may_stand_on_the_left() -> None:
    assert behind("MatMul", (5, 4), "w", "x").channel_axis == 0
    assert behind("MatMul", (5, 4), "w", "x", transpose_a=True).channel_axis == 1


def test_the_filter_of_a_transposed_convolution() -> None:
    sizes = const("sizes", [1, 8, 8, 5], DType.INT32)
    back = node("op", "Conv2DBackpropInput", "sizes", "w", "x")
    layer = only(graph(placeholder("x", (1, 4, 4, 3)), sizes, const("w", np.ones((2, 2, 5, 3))), back))
    assert (layer.weight, layer.channel_axis) == ("w", 2)


def test_weights_are_found_behind_what_passes_them_through() -> None:
    nodes = [
        placeholder("x", (1, 5)),
        const("w", np.ones((6, 5))),
        node("read", "Identity", "w"),
        const("order", [1, 0], DType.INT32),
        node("turned", "Transpose", "read", "order", Tperm=DType.INT32),
        node("op", "MatMul", "x", "turned"),
    ]
    layer = only(graph(*nodes))
    assert (layer.weight, layer.channel_axis) == ("w", 0)


def test_a_shared_weight_is_one_layer_with_two_users() -> None:
    nodes = [
        placeholder("x", (1, 5)),
        const("w", np.ones((5, 5))),
        node("a", "MatMul", "x", "w"),
        node("b", "MatMul", "a", "w"),
    ]
    layer = only(graph(*nodes))
    assert (layer.name, layer.users, layer.names) == ("a", ("a", "b"), ("a", "b", "w"))


def test_computed_weights_are_no_layer() -> None:
    nodes = [placeholder("x", (1, 5)), placeholder("y", (5, 5)), node("op", "MatMul", "x", "y")]
    assert find_layers(graph(*nodes)) == ()


@pytest.mark.parametrize("op", ["FusedBatchNorm", "FusedBatchNormV3"])
def test_batch_norm_behind_a_bias(op: str) -> None:
    layer = only(Net().conv(4).bias().batch_norm(op=op).then("Relu").build())
    assert (layer.bias, layer.batch_norm) == ("bias/values", "bn")


def test_unfused_batch_norm() -> None:
    net = Net().conv(4)
    net.then("Mul", net.vector("scale", 4), name="scaled").then("AddV2", net.vector("shift", 4), name="shifted")
    layer = only(net.build())
    assert (layer.bias, layer.batch_norm) == (None, "scaled")


def test_an_addition_of_two_computed_tensors_is_no_bias() -> None:
    net = Net((1, 8, 8, 4)).conv(4)
    assert only(net.then("AddV2", "input").build()).bias is None


def test_weights_stored_in_8_bits_are_seen_as_floats() -> None:
    net = Net((1, 64)).dense(32)
    before = net.build()
    for per_channel in (True, False):
        after = passes.apply(passes.make("quantize_weights", {"per_channel": per_channel}), before).graph
        layer = only(after)
        assert layer.weight == "dense/weights_quantized_const"
        assert layer.bytes == 64 * 32 + (32 if per_channel else 1) * 8
        exact = only(before).weights
        assert np.abs(layer.weights - exact).max() < np.ptp(exact) / 255 * 1.1
        assert (layer_weights(after, only(before)) == layer.weights).all()


def test_layer_weights_follow_a_later_version() -> None:
    model = conv_net()
    layer = find_layers(model)[0]
    pruned = passes.apply(passes.make("prune", {"sparsity": 0.5}), model).graph
    assert (layer_weights(model, layer) != 0).all()
    assert np.mean(layer_weights(pruned, layer) == 0) == 0.5


@given(graphs())
def test_every_layer_reads_its_weight(model: ModelGraph) -> None:
    for layer in find_layers(model):
        assert model[layer.weight].tensor is layer.tensor
        assert all(user in model for user in layer.users)
        assert layer.channel_axis is not None


def test_layers_of_real_models_hold_nearly_all_weights(shared_models: dict) -> None:
    for path in shared_models.values():
        model = read_graph(path)
        floats = sum(n.tensor.array.size for n in model.nodes if n.tensor is not None and n.tensor.dtype.is_floating)
        assert sum(layer.parameters for layer in find_layers(model)) > 0.98 * floats


@pytest.mark.parametrize("kind", ["conv", "depthwise", "dense"])
def test_a_layer_of_fused_operations_has_weights_and_zeros(kind: str) -> None:
    net = Net((1, 8, 8, 4))
    grow = {"conv": net.conv, "depthwise": net.depthwise, "dense": lambda n: net.flatten().dense(n)}[kind]
    pruned = passes.apply(Prune(sparsity=0.5), grow(2).bias().then("Relu").build()).graph
    step = FuseInt8(everywhere=True)
    step = FuseInt8(dict.fromkeys(step.activations(pruned), (-3.0, 5.0)), everywhere=True)
    done = passes.apply(step, pruned)
    before, after = only(pruned), only(done.graph)
    assert after.tensor.dtype == DType.QINT8
    assert after.dequantizer is not None
    assert np.all(np.abs(after.weights - before.weights) <= after.dequantizer.maximum.array / 127 * 1.01)
    assert before.nonzero * 0.95 <= after.nonzero <= before.nonzero
    assert (after.channel_axis, after.multiply_adds) == (before.channel_axis, before.multiply_adds)
    assert done.origins[after.weight] == (before.weight,)
    assert after.batch_norm is None

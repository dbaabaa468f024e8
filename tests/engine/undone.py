"""What exporters and training leave in a graph, put into real models that have none of it: so that the passes that take
it out have work there. Each of these computes what the model did, up to rounding, unless it says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.layers import find_layers
from compressor_gui.core.passes.padding import CONVOLUTIONS, padding_of, windows
from compressor_gui.core.passes.readers import redirect
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import Attr, DType, Tensor
from tests.support import run_tf


def checked(graph: ModelGraph) -> ModelGraph:
    """A CheckNumerics and an Identity behind every Relu, as a debugged training writes them."""
    edit = Edit(graph)
    for node in _read(graph, ("Relu", "Relu6")):
        check = Node.make(f"{node.name}/check", "CheckNumerics", [node.name], T=DType.FLOAT, message=b"not finite")
        _behind(edit, node, [check, Node.make(f"{node.name}/identity", "Identity", [check.name], T=DType.FLOAT)])
    return edit.finish(graph.outputs)


def with_a_loss(graph: ModelGraph) -> ModelGraph:
    """The sum of the squares of all weights, which no output reads."""
    edit = Edit(graph)
    squares = [
        edit.add(Node.make(f"{name}/square", "L2Loss", [name], T=DType.FLOAT), [name])
        for name in dict.fromkeys(layer.weight for layer in find_layers(graph))
    ]
    edit.add(Node.make("weight_decay", "AddN", squares, N=len(squares), T=DType.FLOAT), [])
    return edit.finish(graph.outputs)


def normalized(graph: ModelGraph) -> ModelGraph:
    """A FusedBatchNorm in the place of each bias of a convolution, whose weights make up for its scale."""
    edit = Edit(graph)
    random = np.random.default_rng(0)
    for bias in graph.nodes:
        layer = graph.producer(bias, 0) if bias.op == "BiasAdd" else None
        if layer is None or layer.op not in CONVOLUTIONS or len(graph.consumers[layer.name]) != 1:
            continue
        weights, offset = graph.constant(layer, 1), graph.constant(bias, 1)
        assert weights is not None
        assert offset is not None
        mean, scale = random.uniform(-0.5, 0.5, offset.array.size), random.uniform(0.5, 1.5, offset.array.size)
        variance = random.uniform(0.5, 2, offset.array.size)
        by = scale / np.sqrt(variance + 0.001)
        along = by[:, None] if layer.op == "DepthwiseConv2dNative" else by
        grown = _const(edit, f"{layer.name}/grown", weights.array / along)
        edit.replace(layer.with_(inputs=(layer.inputs[0], grown)))
        parts = {"scale": scale, "offset": offset.array + mean * by, "mean": mean, "variance": variance}
        inputs = [layer.name, *(_const(edit, f"{bias.name}/{name}", values) for name, values in parts.items())]
        attrs: dict[str, Attr] = {"epsilon": 0.001, "is_training": False, "data_format": b"NHWC", "T": DType.FLOAT}
        edit.replace(Node.make(bias.name, "FusedBatchNorm", inputs, **attrs))
    return edit.finish(graph.outputs)


def padded(graph: ModelGraph) -> ModelGraph:
    """A Pad in front of each convolution that pads by the same number whatever the size of its input."""

    def pad(edit: Edit, node: Node) -> None:
        found = windows(node, _filter(graph, node))
        assert found is not None
        zeros = padding_of(node, found)
        assert zeros is not None
        around = np.array([(0, 0), *zeros, (0, 0)])
        read = _add(edit, node, "pad", "Pad", node.inputs[0], {"around": around}, T=DType.FLOAT, Tpaddings=DType.INT32)
        edit.replace(node.with_(inputs=(read, *node.inputs[1:]), attrs={"padding": b"VALID"}))

    return _with_same_convolutions(graph, pad)


def dilated(graph: ModelGraph) -> ModelGraph:
    """Twice as far apart: what 3x3 convolutions of known size read, as TensorFlow 1.x writes dilation. This is another
    network, of which nothing is known but that it runs."""

    def spread(edit: Edit, node: Node) -> None:
        dims = infer_shapes(graph)[node.name][0].dims
        if _filter(graph, node)[:2] != (3, 3) or dims is None or min(dims[1:3]) < 0:
            return
        rest = [-size % 2 for size in dims[1:3]]
        start = {"block": np.array([2, 2]), "paddings": np.array([(2, 2 + more) for more in rest])}
        end = {"block": np.array([2, 2]), "crops": np.array([(0, more) for more in rest])}
        types = {"T": DType.FLOAT, "Tblock_shape": DType.INT32}
        blocks = _add(edit, node, "blocks", "SpaceToBatchND", node.inputs[0], start, **types, Tpaddings=DType.INT32)
        inner = node.with_(name=f"{node.name}/inner", inputs=(blocks, *node.inputs[1:]), attrs={"padding": b"VALID"})
        edit.add(inner, [node.name], before=node.name)
        joined = _inputs(edit, node, "joined", end)
        edit.replace(Node.make(node.name, "BatchToSpaceND", [inner.name, *joined], **types, Tcrops=DType.INT32))

    return _with_same_convolutions(graph, spread)


def trained_for_8_bits(graph: ModelGraph) -> ModelGraph:
    """A FakeQuant behind each concatenation of floats, over the range that it has on the test's picture: what it puts
    out is rounded, as training for 8 bits does."""
    joins = [node for node in _read(graph, ("ConcatV2",)) if node.dtype("T") == DType.FLOAT]
    values = run_tf(graph, outputs=[node.name for node in joins])
    edit = Edit(graph)
    for node in joins:
        low, high = min(float(values[node.name].min()), 0), max(float(values[node.name].max()), 0.01)
        ends = [_const(edit, f"{node.name}/{end}", value) for end, value in (("min", low), ("max", high))]
        fake = Node.make(f"{node.name}/fake_quant", "FakeQuantWithMinMaxVars", [node.name, *ends], num_bits=8)
        _behind(edit, node, [fake])
    return edit.finish(graph.outputs)


def _read(graph: ModelGraph, ops: Iterable[str]) -> list[Node]:
    """The nodes of these ops that others read and that are no outputs."""
    return [node for node in graph.nodes if node.op in ops and not graph.is_output(node.name)]


def _behind(edit: Edit, node: Node, chain: list[Node]) -> None:
    """Let what reads ``node`` read the last of ``chain``."""
    first = edit.graph.consumers[node.name][0][0]
    for made in chain:
        edit.add(made, [node.name], before=first)
    redirect(edit, node.name, chain[-1].name)


def _with_same_convolutions(graph: ModelGraph, change: Callable[[Edit, Node], None]) -> ModelGraph:
    """With each convolution changed that has padding SAME, stride 1 and a filter of more than one pixel."""
    edit = Edit(graph)
    for node in graph.nodes:
        plain = node.op in CONVOLUTIONS and node.text("padding") == "SAME" and set(node.ints("strides")) == {1}
        if plain and max(_filter(graph, node)[:2]) > 1:
            change(edit, node)
    return edit.finish(graph.outputs)


def _filter(graph: ModelGraph, node: Node) -> tuple[int, ...]:
    dims = infer_shapes(graph)[node.data_refs[1].name][0].dims
    assert dims is not None
    return dims


def _const(edit: Edit, name: str, values: np.ndarray | float, dtype: DType = DType.FLOAT) -> str:
    return edit.add(Node.const(edit.free_name(name), Tensor.of(values, dtype)), [])


def _inputs(edit: Edit, node: Node, name: str, values: dict[str, np.ndarray]) -> list[str]:
    return [_const(edit, f"{node.name}/{name}_{key}", value, DType.INT32) for key, value in values.items()]


def _add(edit: Edit, node: Node, name: str, op: str, source: str, values: dict[str, np.ndarray], **attrs: Attr) -> str:
    made = Node.make(f"{node.name}/{name}", op, [source, *_inputs(edit, node, name, values)], **attrs)
    return edit.add(made, [node.name], before=node.name)

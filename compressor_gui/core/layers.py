"""The weighted layers: which constant is whose weight, bias and batch norm.

A layer is a weight constant together with the operations that read it; a constant that two operations share is one
layer with two users.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from compressor_gui.core import stats
from compressor_gui.core.dequantize import Dequantizer
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.memo import by_identity
from compressor_gui.core.names import short_names
from compressor_gui.core.packing import packed_size, unpacked
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import Shape, Tensor

FUSED_OPS = (
    "QuantizedConv2DWithBiasAndReluAndRequantize",
    "QuantizedConv2DWithBiasSumAndReluAndRequantize",
    "QuantizedDepthwiseConv2DWithBiasAndReluAndRequantize",
    "QuantizedMatMulWithBiasAndDequantize",
)
"""What ``fuse_int8`` makes: the weights are codes, and the bias is one of the inputs."""

_WEIGHT_INPUTS = {
    **dict.fromkeys(FUSED_OPS, (1,)),
    "Conv2D": (1,),
    "DepthwiseConv2dNative": (1,),
    "Conv2DBackpropInput": (1,),
    "Conv3D": (1,),
    "MatMul": (1, 0),
    "BatchMatMul": (1, 0),
    "BatchMatMulV2": (1, 0),
    "BatchMatMulV3": (1, 0),
    "QuantizedConv2D": (1,),
    "QuantizedMatMul": (1,),
}
"""Operation -> which of its inputs may be the weight, the usual one first."""

_QUANTIZED_RANGE = {"QuantizedConv2D": (4, 5), "QuantizedMatMul": (4, 5)}
"""Operation -> the inputs that hold the weight's range."""

_SAME_VALUES = ("Identity", "ReadVariableOp", "StopGradient", "CheckNumerics", "Snapshot", "Cast", "Dequantize")
_SAME_BYTES = ("Reshape", "ExpandDims", "Squeeze")
_ADDITIONS = ("BiasAdd", "BiasAddV1", "Add", "AddV2", "QuantizedBiasAdd")
_BATCH_NORMS = (
    "FusedBatchNorm",
    "FusedBatchNormV2",
    "FusedBatchNormV3",
    "BatchNormWithGlobalNormalization",
)


@dataclass(frozen=True, eq=False)
class Layer:
    """A weight constant and who reads it.

    ``name`` and ``op`` are those of the first of ``users``; ``short`` is the name as people read it, which nothing else
    in the layers goes by. ``weight``, ``bias`` name Const nodes, ``batch_norm`` the operation that normalises the
    output (the Mul, where it is unfused). ``channel_axis`` is the axis of the constant along which the output channels
    lie, None where they can't be told apart along one. ``multiply_adds`` is for one element of the batch, over all
    users; None where shapes are unknown. ``packed_bytes`` is what packed codes take (None: they are plain), ``weight``
    names the node that unpacks them.
    """

    name: str
    short: str
    op: str
    users: tuple[str, ...]
    weight: str
    bias: str | None
    batch_norm: str | None
    tensor: Tensor
    dequantizer: Dequantizer | None
    channel_axis: int | None
    multiply_adds: int | None
    packed_bytes: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What a user may call this layer: its operations, its weight constant, and its short name."""
        return tuple(dict.fromkeys((*self.users, self.weight, self.short)))

    @property
    def shape(self) -> Shape:
        """The weight's shape, as it is stored."""
        return Shape(tuple(self.tensor.array.shape))

    @property
    def parameters(self) -> int:
        """How many weights there are, the bias not counted."""
        return int(self.tensor.array.size)

    @property
    def bytes(self) -> int:
        """What the weight takes in the file, its range included."""
        weights = self.tensor.nbytes if self.packed_bytes is None else self.packed_bytes
        return weights + (self.dequantizer.nbytes if self.dequantizer else 0)

    @property
    def weights(self) -> np.ndarray:
        """The weights as float32; computed anew at each call where they are stored otherwise."""
        if self.dequantizer:
            return self.dequantizer(self.tensor)
        return self.tensor.array.astype(np.float32, copy=False)

    @cached_property
    def summary(self) -> stats.WeightSummary:
        """Counts and moments of :attr:`weights`."""
        return stats.summarize(self.weights) if self.dequantizer else stats.summary(self.tensor)

    @property
    def nonzero(self) -> int:
        """How many weights are not zero."""
        return self.summary.nonzero

    @property
    def sparsity(self) -> float:
        """The share of weights that are zero, 0..1."""
        return self.summary.sparsity


def layer_weights(graph: ModelGraph, layer: Layer) -> np.ndarray:
    """The weights of ``layer`` as float32, also where ``graph`` is a later version that changed them."""
    current = next((found for found in find_layers(graph) if found.name == layer.name), layer)
    return current.weights


@by_identity
def find_layers(graph: ModelGraph) -> tuple[Layer, ...]:
    """Every weighted layer, in topological order of its first user."""
    users: dict[str, list[tuple[Node, int, list[Node]]]] = {}
    for node in graph.topological():
        for index in _WEIGHT_INPUTS.get(node.op, ()):
            way = _way_to_constant(graph, node, index)
            if way is not None and way[-1].tensor is not None and way[-1].tensor.array.ndim >= 2:
                users.setdefault(way[-1].name, []).append((node, index, way))
                break
    constant = _constant_nodes(graph) if users else frozenset()
    shapes = infer_shapes(graph) if users else {}
    short = short_names(found[0][0].name for found in users.values())
    taken = {name for weight, found in users.items() for name in (weight, *(user.name for user, _, _ in found))}
    return tuple(
        _layer(graph, found, name if name not in taken else full, constant, shapes)
        for found, (full, name) in zip(users.values(), short.items(), strict=True)
    )


def _layer(
    graph: ModelGraph,
    found: list[tuple[Node, int, list[Node]]],
    short: str,
    constant: frozenset[str],
    shapes: Mapping[str, tuple[Shape, ...]],
) -> Layer:
    node, index, way = found[0]
    const = way[-1]
    assert const.tensor is not None
    bias, batch_norm = (node.data_refs[2].name, None) if node.op in FUSED_OPS else _followers(graph, node, constant)
    counts = [_multiply_adds(user, at, shapes) for user, at, _ in found]
    return Layer(
        name=node.name,
        short=short,
        op=node.op,
        users=tuple(user.name for user, _, _ in found),
        weight=const.name,
        bias=bias,
        batch_norm=batch_norm,
        tensor=const.tensor,
        dequantizer=_dequantizer(graph, node, way),
        channel_axis=_channel_axis(graph, node, index, way),
        multiply_adds=None if None in counts else sum(count for count in counts if count is not None),
        packed_bytes=packed_size(graph, graph[const.name]),
    )


def _way_to_constant(graph: ModelGraph, node: Node, index: int) -> list[Node] | None:
    """The nodes between ``node`` and the constant that its input is, which comes last; None where it is computed.

    For packed codes what unpacks them counts as the constant.
    """
    way: list[Node] = []
    found = graph.producer(node, index)
    while found is not None and len(way) < 100:
        way.append(found)
        if found.op == "Const":
            return way
        codes = unpacked(graph, found)
        if codes is not None:
            way[-1] = Node.const(found.name, codes)
            return way
        if found.op not in (*_SAME_VALUES, *_SAME_BYTES, "Transpose"):
            return None
        found = graph.producer(found, 0)
    return None


def _dequantizer(graph: ModelGraph, node: Node, way: list[Node]) -> Dequantizer | None:
    tensor = way[-1].tensor
    if tensor is None or not tensor.dtype.is_quantized:
        return None
    reader = next((passed for passed in way if passed.op == "Dequantize"), None)
    if reader is not None:
        return Dequantizer.of(graph, reader)
    if node.op in FUSED_OPS:
        return Dequantizer.of_fused(graph, node, tensor)
    return Dequantizer.of(graph, node, *_QUANTIZED_RANGE[node.op]) if node.op in _QUANTIZED_RANGE else None


def _channel_axis(graph: ModelGraph, node: Node, index: int, way: list[Node]) -> int | None:
    """The output channels' axis, from the operation's view of its weight back to the constant's."""
    shapes = [_known_dims(graph, way, at) for at in range(len(way))]
    dims = shapes[0]
    if dims is None:
        return None
    axis: int | None = _axis_seen_by(node, index, dims)
    for at, passed in enumerate(way[:-1]):
        behind = shapes[at + 1]
        if axis is None or behind is None:
            return None
        axis = _axis_behind(graph, passed, axis, shapes[at] or (), behind)
    return axis


def _axis_seen_by(node: Node, index: int, dims: tuple[int, ...]) -> int:
    rank = len(dims)
    if "Depthwise" in node.op:  # height, width, channels, multiplier: the channel of output is both
        return 3 if dims[2] == 1 else 2
    if node.op == "Conv2DBackpropInput":  # the filter of the convolution that it undoes
        return 2
    if "MatMul" in node.op:
        turned = node.flag("transpose_b" if index else "transpose_a") or node.flag("adj_y" if index else "adj_x")
        return rank - 1 if bool(index) != turned else rank - 2
    return rank - 1


def _axis_behind(
    graph: ModelGraph, passed: Node, axis: int, dims: tuple[int, ...], behind: tuple[int, ...]
) -> int | None:
    """Where ``axis`` of what ``passed`` puts out lies in what it reads."""
    if passed.op == "Transpose":
        order = graph.constant(passed, 1)
        return int(order.array.reshape(-1)[axis]) if order is not None else None
    if passed.op not in _SAME_BYTES:
        return axis
    inner = math.prod(dims[axis + 1 :])
    fits = (a for a in range(len(behind)) if behind[a] == dims[axis] and math.prod(behind[a + 1 :]) == inner)
    return next(fits, None)


def _known_dims(graph: ModelGraph, way: list[Node], at: int) -> tuple[int, ...] | None:
    """The shape of what ``way[at]`` puts out, from the constant forward."""
    tensor = way[-1].tensor
    assert tensor is not None
    dims: tuple[int, ...] = tuple(tensor.array.shape)
    for passed in reversed(way[at:-1]):
        if passed.op == "Transpose":
            order = graph.constant(passed, 1)
            if order is None or order.array.size != len(dims):
                return None
            dims = tuple(dims[int(i)] for i in order.array.reshape(-1))
        elif passed.op in _SAME_BYTES:
            found = infer_shapes(graph).get(passed.name, (Shape(None),))[0].dims
            if found is None or any(d < 0 for d in found):
                return None
            dims = found
    return dims


def _constant_nodes(graph: ModelGraph) -> frozenset[str]:
    """The nodes that are computed from constants alone."""
    found: set[str] = set()
    for node in graph.topological():
        refs = node.data_refs
        if node.op == "Const" or (refs and node.op != "Merge" and all(ref.name in found for ref in refs)):
            found.add(node.name)
    return frozenset(found)


def _followers(graph: ModelGraph, node: Node, constant: frozenset[str]) -> tuple[str | None, str | None]:
    """The bias and the batch norm directly behind ``node``."""
    bias = batch_norm = None
    step = _next_step(graph, node)
    if step is not None and step.op in _ADDITIONS:
        at = 1 if step.op.startswith(("Bias", "Quantized")) or step.data_refs[1].name in constant else 0
        source = _way_to_constant(graph, step, at)
        if source is not None:
            bias = source[-1].name
            step = _next_step(graph, step)
    if step is not None and (step.op in _BATCH_NORMS or _is_unfused_batch_norm(graph, step, constant)):
        batch_norm = step.name
    return bias, batch_norm


def _next_step(graph: ModelGraph, node: Node) -> Node | None:
    """The one operation that reads ``node``'s outputs: 8-bit ones have three, values and range."""
    readers = [graph[name] for name, at in graph.consumers[node.name] if not graph[name].refs[at].control]
    distinct = list({reader.name: reader for reader in readers}.values())
    return distinct[0] if len(distinct) == 1 and len(distinct[0].data_refs) >= 2 else None


def _is_unfused_batch_norm(graph: ModelGraph, node: Node, constant: frozenset[str]) -> bool:
    """Whether ``node`` is a Mul by a constant whose result gets a constant added."""
    if node.op != "Mul" or not any(ref.name in constant for ref in node.data_refs):
        return False
    shift = _next_step(graph, node)
    return (
        shift is not None
        and shift.op in ("Add", "AddV2", "Sub", "BiasAdd")
        and any(ref.name in constant for ref in shift.data_refs)
    )


def _multiply_adds(node: Node, index: int, shapes: Mapping[str, tuple[Shape, ...]]) -> int | None:
    """For one element of the batch; None where shapes are unknown."""
    weight = _dims(shapes, node, index)
    out = shapes.get(node.name, (Shape(None),))[0].dims
    if weight is None or out is None or -1 in weight:
        return None
    if "MatMul" in node.op:
        turned = node.flag("transpose_b" if index else "transpose_a") or node.flag("adj_y" if index else "adj_x")
        return _times(out, weight[-2] if bool(index) != turned else weight[-1])
    if node.op == "Conv2DBackpropInput":  # every element that comes in is spread over the filter
        return _times(_dims(shapes, node, 2), math.prod(weight[:3]))
    if "Depthwise" in node.op:
        return _times(out, math.prod(weight[:2]))
    return _times(out, math.prod(weight[:-1]))


def _times(dims: tuple[int, ...] | None, each: int) -> int | None:
    """``each`` for every element of a tensor of shape ``dims``, an unknown batch counted as 1."""
    if dims is None or -1 in dims[1:]:
        return None
    return math.prod(max(d, 1) if at == 0 else d for at, d in enumerate(dims)) * each


def _dims(shapes: Mapping[str, tuple[Shape, ...]], node: Node, index: int) -> tuple[int, ...] | None:
    ref = node.data_refs[index]
    found = shapes.get(ref.name, ())
    return found[ref.port].dims if ref.port < len(found) else None

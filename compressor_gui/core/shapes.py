"""Static shapes: what the placeholders' shapes and the constants say about every edge.

-1 is a dimension that is not known, ``Shape(None)`` a rank that is not. Small vectors of integers (a shape that is cut
apart and put together again for a Reshape) are followed as far as the common operations do that.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping

import numpy as np

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.memo import by_identity
from compressor_gui.core.values import Shape

Dims = tuple[int, ...] | None
_Vector = tuple[int, ...]
_LONGEST_VECTOR = 32


@by_identity
def infer_shapes(graph: ModelGraph) -> Mapping[str, tuple[Shape, ...]]:
    """Node -> the shapes of its outputs; an operation that is not known gives one ``Shape(None)``."""
    walk = _Walk(graph)
    for node in graph.topological():
        walk.visit(node)
    return {name: tuple(Shape(dims) for dims in found) for name, found in walk.shapes.items()}


class _Walk:
    """The shapes, and the integer vectors, of the nodes seen so far."""

    def __init__(self, graph: ModelGraph) -> None:
        self.graph = graph
        self.shapes: dict[str, tuple[Dims, ...]] = {}
        self.vectors: dict[str, _Vector] = {}

    def visit(self, node: Node) -> None:
        """Find the shapes of ``node``, all of whose inputs were visited (but for loops' back edges)."""
        stated = node.attrs.get("_output_shapes")
        if isinstance(stated, tuple) and stated and all(isinstance(shape, Shape) for shape in stated):
            self.shapes[node.name] = tuple(shape.dims for shape in stated if isinstance(shape, Shape))
            return
        try:
            self.shapes[node.name] = self._outputs(node)
            vector = self._vector(node)
        except (IndexError, ValueError, TypeError, ZeroDivisionError, OverflowError):
            self.shapes[node.name], vector = (None,), None  # inputs that the operation would refuse
        if vector is not None and len(vector) <= _LONGEST_VECTOR:
            self.vectors[node.name] = vector

    def dims(self, node: Node, index: int) -> Dims:
        """The shape of a data input."""
        ref = node.data_refs[index]
        found = self.shapes.get(ref.name, ())
        return found[ref.port] if ref.port < len(found) else None

    def ints(self, node: Node, index: int) -> _Vector | None:
        """The integers that a data input holds, -1 where one is not known."""
        return self.vectors.get(node.data_refs[index].name)

    def _outputs(self, node: Node) -> tuple[Dims, ...]:
        if node.op in ("Split", "SplitV", "Unpack"):
            return _split(self, node)
        if node.op in SAME_AS_FIRST:
            return (self.dims(node, 0),) * (2 if node.op == "Switch" else 1)
        if node.op in BROADCAST:
            return (_broadcast([self.dims(node, index) for index in range(len(node.data_refs))]),)
        rule = _RULES.get(node.op)
        return (rule(self, node) if rule else None,)

    def _vector(self, node: Node) -> _Vector | None:
        """The integers that ``node`` puts out, where it is a scalar or a short vector of them."""
        tensor = node.tensor
        if tensor is not None:
            small = tensor.array.ndim <= 1 and tensor.array.size <= _LONGEST_VECTOR and tensor.array.dtype.kind in "iu"
            return tuple(int(v) for v in tensor.array.reshape(-1)) if small else None
        if node.op == "Shape":
            return self.dims(node, 0)
        if node.op in ("Identity", "Cast", "Squeeze", "ExpandDims", "Reshape"):
            return self.ints(node, 0)
        parts = [self.ints(node, index) for index in range(len(node.data_refs))]
        if node.op == "StridedSlice" and all(part is not None for part in parts[:4]):
            source, begin, end, stride = (part or () for part in parts[:4])
            if len(begin) != 1:
                return None
            if node.number("shrink_axis_mask"):
                return (source[begin[0]],)
            start = None if node.number("begin_mask") else begin[0]
            return source[start : None if node.number("end_mask") else end[0] : stride[0]]
        if node.op == "Pack" and all(part is not None and len(part) == 1 for part in parts):
            return tuple(part[0] for part in parts if part)
        if node.op == "ConcatV2" and all(part is not None for part in parts):
            return tuple(value for part in parts[:-1] for value in part or ())
        if node.op in ("Mul", "Add", "AddV2", "Sub") and len(parts) == 2 and parts[0] and parts[1]:
            return _elementwise(node.op, parts[0], parts[1])
        return None


def _elementwise(op: str, left: _Vector, right: _Vector) -> _Vector:
    size = max(len(left), len(right))
    pairs = zip(left * (size // len(left)), right * (size // len(right)), strict=True)
    compute = operator.mul if op == "Mul" else operator.sub if op == "Sub" else operator.add
    return tuple(-1 if -1 in (a, b) else compute(a, b) for a, b in pairs)


def _split(walk: _Walk, node: Node) -> tuple[Dims, ...]:
    value, at = (1, 0) if node.op == "Split" else (0, 2)
    dims = walk.dims(node, value)
    count = int(node.number("num" if node.op == "Unpack" else "num_split"))
    axis = (int(node.number("axis")),) if node.op == "Unpack" else walk.ints(node, at)
    if dims is None or not axis:
        return (None,) * count
    place = axis[0] % len(dims)
    before, behind = dims[:place], dims[place + 1 :]
    if node.op == "Unpack":
        return ((*before, *behind),) * count
    even = dims[place] // count if dims[place] >= 0 else -1
    sizes = (even,) * count if node.op == "Split" else walk.ints(node, 1) or (-1,) * count
    return tuple((*before, size, *behind) for size in sizes)


def _broadcast(shapes: list[Dims]) -> Dims:
    known = [dims for dims in shapes if dims is not None]
    if len(known) != len(shapes):
        return None
    rank = max(len(dims) for dims in known)
    padded = [(1,) * (rank - len(dims)) + dims for dims in known]
    return tuple(
        next((d for d in column if d > 1), 0 if 0 in column else -1 if -1 in column else 1)
        for column in zip(*padded, strict=True)
    )


def _window(walk: _Walk, node: Node, sizes: _Vector, channels: int, steps: _Vector) -> Dims:
    """Slide a window of ``sizes`` over the axes of space."""
    dims = walk.dims(node, 0)
    if dims is None:
        return None
    space = _space(node, len(dims))
    out = list(dims)
    out[_channel(node, len(dims))] = channels
    stretch = node.ints("dilations") or (1,) * len(dims)
    border = node.ints("explicit_paddings") or node.ints("padding_list")
    for axis, size in zip(space, sizes, strict=True):
        if dims[axis] < 0:
            continue
        reach = (size - 1) * stretch[axis] + 1
        length = dims[axis] + (border[2 * axis] + border[2 * axis + 1] if border else 0)
        same = node.text("padding") == "SAME"
        out[axis] = -(-length // steps[axis]) if same else -(-(length - reach + 1) // steps[axis])
    return tuple(out)


def _channel(node: Node, rank: int) -> int:
    return 1 if node.text("data_format", "NHWC").startswith("NC") else rank - 1


def _space(node: Node, rank: int) -> tuple[int, ...]:
    channel = _channel(node, rank)
    return tuple(axis for axis in range(1, rank) if axis != channel)


def _convolution(walk: _Walk, node: Node) -> Dims:
    weight = walk.dims(node, 1)
    if weight is None:
        return None
    depthwise = "Depthwise" in node.op
    channels = weight[-1] * weight[-2] if depthwise else weight[-1]
    return _window(walk, node, weight[:-2], channels, node.ints("strides"))


def _pool(walk: _Walk, node: Node) -> Dims:
    dims = walk.dims(node, 0)
    if dims is None:
        return None
    window = node.ints("ksize")
    sizes = tuple(window[axis] for axis in _space(node, len(dims)))
    return _window(walk, node, sizes, dims[_channel(node, len(dims))], node.ints("strides"))


def _matmul(walk: _Walk, node: Node) -> Dims:
    left, right = walk.dims(node, 0), walk.dims(node, 1)
    if left is None or right is None:
        return None
    rows = left[-1] if node.flag("transpose_a") or node.flag("adj_x") else left[-2]
    columns = right[-2] if node.flag("transpose_b") or node.flag("adj_y") else right[-1]
    batch = _broadcast([left[:-2], right[:-2]])
    return None if batch is None else (*batch, rows, columns)


def _reshape(walk: _Walk, node: Node) -> Dims:
    dims, wanted = walk.dims(node, 0), walk.ints(node, 1)
    if wanted is None:
        return None
    rest = math.prod(d for d in wanted if d >= 0)
    if wanted.count(-1) == 1 and dims is not None and -1 not in dims and rest:
        return tuple(math.prod(dims) // rest if d < 0 else d for d in wanted)
    return wanted


def _reduce(walk: _Walk, node: Node) -> Dims:
    dims, axes = walk.dims(node, 0), walk.ints(node, 1)
    if dims is None or axes is None:
        return None
    gone = {axis % len(dims) for axis in axes}
    if node.flag("keep_dims"):
        return tuple(1 if axis in gone else d for axis, d in enumerate(dims))
    return tuple(d for axis, d in enumerate(dims) if axis not in gone)


def _squeeze(walk: _Walk, node: Node) -> Dims:
    dims = walk.dims(node, 0)
    if dims is None:
        return None
    named = {axis % len(dims) for axis in node.ints("squeeze_dims")}
    if not named and -1 in dims:
        return None
    return tuple(d for axis, d in enumerate(dims) if (axis not in named if named else d != 1))


def _expand(walk: _Walk, node: Node) -> Dims:
    dims, axis = walk.dims(node, 0), walk.ints(node, 1)
    if dims is None or not axis:
        return None
    place = axis[0] % (len(dims) + 1)
    return (*dims[:place], 1, *dims[place:])


def _transpose(walk: _Walk, node: Node) -> Dims:
    dims, order = walk.dims(node, 0), walk.ints(node, 1)
    return None if dims is None or order is None else tuple(dims[axis] for axis in order)


def _pad(walk: _Walk, node: Node) -> Dims:
    dims, border = walk.dims(node, 0), walk.graph.constant(node, 1)
    if dims is None or border is None:
        return None
    return tuple(d if d < 0 else d + int(sum(both)) for d, both in zip(dims, np.asarray(border.array), strict=True))


def _concat(walk: _Walk, node: Node) -> Dims:
    first, count = 0, len(node.data_refs) - 1
    axis = walk.ints(node, count)
    if node.op in ("Concat", "QuantizedConcat"):
        first, count, axis = 1, int(node.number("N")), walk.ints(node, 0)
    shapes = [walk.dims(node, index) for index in range(first, first + count)]
    known = [dims for dims in shapes if dims is not None]
    if not axis or len(known) != len(shapes):
        return None
    place = axis[0] % len(known[0])
    sizes = [dims[place] for dims in known]
    joined = [max(column) for column in zip(*known, strict=True)]
    joined[place] = -1 if -1 in sizes else sum(sizes)
    return tuple(joined)


def _bitcast(walk: _Walk, node: Node) -> Dims:
    sizes = [kind.numpy.itemsize for kind in (node.dtype("T"), node.dtype("type")) if kind and kind.numpy]
    return walk.dims(node, 0) if len(sizes) == 2 and sizes[0] == sizes[1] else None


def _resize(walk: _Walk, node: Node) -> Dims:
    dims, size = walk.dims(node, 0), walk.ints(node, 1) or (-1, -1)
    return None if dims is None else (dims[0], *size, dims[-1])


def _gather(walk: _Walk, node: Node) -> Dims:
    table, places, axis = walk.dims(node, 0), walk.dims(node, 1), walk.ints(node, 2) or (0,)
    if table is None or places is None or node.number("batch_dims"):
        return None
    at = axis[0] % len(table)
    return (*table[:at], *places, *table[at + 1 :])


def _pack(walk: _Walk, node: Node) -> Dims:
    dims = walk.dims(node, 0)
    if dims is None:
        return None
    place = int(node.number("axis")) % (len(dims) + 1)
    return (*dims[:place], len(node.data_refs), *dims[place:])


def _shape(walk: _Walk, node: Node) -> Dims:
    dims = walk.dims(node, 0)
    return (-1,) if dims is None else (len(dims),)


def _stated(walk: _Walk, node: Node) -> Dims:
    found = node.shape()
    return found.dims if found is not None else None


def _constant(walk: _Walk, node: Node) -> Dims:
    return tuple(node.tensor.array.shape) if node.tensor is not None else None


def _slice_of_vector(walk: _Walk, node: Node) -> Dims:
    """Only what is cut from a vector: a number or a shorter one."""
    if node.number("shrink_axis_mask") == 1 and len(walk.dims(node, 0) or ()) == 1:
        return ()
    return None


SAME_AS_FIRST = {
    "Abs", "BatchNormWithGlobalNormalization", "BiasAdd", "BiasAddV1", "Cast", "CheckNumerics", "Cos", "Dequantize",
    "Elu", "Enter", "Erf", "Exit", "Exp", "FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars",
    "FakeQuantWithMinMaxVarsPerChannel", "Floor", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3",
    "Identity", "Inv", "LRN", "LeakyRelu", "Log", "LogSoftmax", "LogicalNot", "Merge", "Neg", "NextIteration",
    "OnesLike", "PlaceholderWithDefault", "QuantizeAndDequantizeV2",
    "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4", "QuantizeV2", "QuantizedBatchNormWithGlobalNormalization",
    "QuantizedBiasAdd", "QuantizedRelu", "QuantizedRelu6", "Reciprocal", "Relu", "Relu6", "Requantize", "ReverseV2",
    "Rint", "Round", "Rsqrt", "Selu", "Sigmoid", "Sign", "Sin", "Snapshot", "Softmax", "Softplus", "Softsign", "Sqrt",
    "Square", "StopGradient", "Switch", "Tanh", "ZerosLike",
}  # fmt: skip
"""Ops whose first output has the shape of their first input."""
BROADCAST = {
    "Add", "AddN", "AddV2", "Div", "Equal", "FloorDiv", "FloorMod", "Greater", "GreaterEqual", "Less",
    "LessEqual", "LogicalAnd", "LogicalOr", "Maximum", "Minimum", "Mul", "NotEqual", "Pow", "RealDiv",
    "SelectV2", "SquaredDifference", "Sub",
}  # fmt: skip
"""Ops whose output has the shape that all their inputs are broadcast to."""
_EIGHT_BIT_CONVOLUTIONS = (
    "QuantizedConv2D", "QuantizedConv2DWithBiasAndReluAndRequantize", "QuantizedConv2DWithBiasSumAndReluAndRequantize",
    "QuantizedDepthwiseConv2D", "QuantizedDepthwiseConv2DWithBiasAndReluAndRequantize",
)  # fmt: skip
_RULES: dict[str, Callable[[_Walk, Node], Dims]] = {
    "Placeholder": _stated,
    "PlaceholderV2": _stated,
    "Const": _constant,
    **dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative", *_EIGHT_BIT_CONVOLUTIONS), _convolution),
    "Conv2DBackpropInput": lambda walk, node: walk.ints(node, 0),
    **dict.fromkeys(("MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D", "QuantizedMaxPool", "QuantizedAvgPool"), _pool),
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _matmul),
    **dict.fromkeys(("QuantizedMatMul", "QuantizedMatMulWithBiasAndDequantize"), _matmul),
    "Bitcast": _bitcast,
    "Reshape": _reshape,
    "QuantizedReshape": _reshape,
    **dict.fromkeys(
        ("QuantizedAdd", "QuantizedMul"), lambda walk, node: _broadcast([walk.dims(node, 0), walk.dims(node, 1)])
    ),
    "BroadcastTo": lambda walk, node: walk.ints(node, 1),
    "Fill": lambda walk, node: walk.ints(node, 0),
    **dict.fromkeys(("Mean", "Sum", "Max", "Min", "Prod", "All", "Any"), _reduce),
    "Squeeze": _squeeze,
    "ExpandDims": _expand,
    "Transpose": _transpose,
    "Pad": _pad,
    "PadV2": _pad,
    "MirrorPad": _pad,
    **dict.fromkeys(("Concat", "ConcatV2", "QuantizedConcat"), _concat),
    "ResizeBilinear": _resize,
    "QuantizedResizeBilinear": _resize,
    "ResizeNearestNeighbor": _resize,
    "GatherV2": _gather,
    "Pack": _pack,
    "Shape": _shape,
    "StridedSlice": _slice_of_vector,
}

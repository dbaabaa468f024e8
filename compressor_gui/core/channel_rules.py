"""How channels go through an operation, op by op: a rule gets the labels of the inputs, and gives the output's.

A rule says at the same time what has to be one (:meth:`Walk.unify`), which constants hold an entry for each channel
(:meth:`Walk.hold`), and what can't be followed and therefore stays (:meth:`Walk.keep`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from compressor_gui.core.channel_walk import Labels, Walk
from compressor_gui.core.evaluate import PASS_THROUGH
from compressor_gui.core.graph import Node
from compressor_gui.core.shapes import infer_shapes

_Inputs = Sequence[Labels | None]
_Rule = Callable[[Walk, Node, _Inputs], Labels | None]


def labels_of(walk: Walk, node: Node) -> Labels | None:
    """What the first output's channels are, by the rule of the operation; without a rule all that it reads stays."""
    found = _constant(walk, node) if node.op == "Const" else None
    if not node.data_refs or node.op == "Shape":  # what a Shape tells follows the channels by itself
        return found
    inputs = [walk.read(node, index) for index in range(len(node.data_refs))]
    rule = _RULES.get(node.op)
    if rule is not None:
        return rule(walk, node, inputs)
    walk.keep_all(inputs, f"{node.op} ({node.name}) needs all of them")
    return found


def _constant(walk: Walk, node: Node) -> Labels | None:
    """The entries of a vector, of whatever rank."""
    if node.tensor is None or not node.tensor.dtype.is_floating:
        return None
    shape = node.tensor.array.shape
    long = [axis - len(shape) for axis, size in enumerate(shape) if size > 1]
    if len(long) != 1:
        return None
    ids = walk.fresh(shape[long[0]])
    walk.hold(node, long[0], ids)
    return Labels(long[0], ids)


def _weight(walk: Walk, node: Node) -> Node | None:
    """The constant that is a layer's weight, where only layers read it, as their weight."""
    found = walk.graph.producer(node, 1)
    while found is not None:
        for reader, index in walk.graph.consumers[found.name]:
            weighs = walk.graph[reader].op in _LAYERS and index == 1
            if not (weighs or walk.graph[reader].op in PASS_THROUGH or walk.graph[reader].refs[index].control):
                return None
        if found.op not in PASS_THROUGH:
            break
        found = walk.graph.producer(found, 0)
    good = found is not None and found.tensor is not None and found.tensor.dtype.is_floating
    return found if good and found is not None and not walk.graph.is_output(found.name) else None


def _channel_axis(node: Node) -> int:
    return -3 if node.text("data_format", "NHWC") == "NCHW" else -1


def _layer(walk: Walk, node: Node, source: Labels | None, axes: tuple[int, int], channel: int) -> Labels | None:
    """A layer that reads the channels along the first of ``axes`` of its weight, and makes those along the second."""
    weight = _weight(walk, node)
    if weight is None or weight.tensor is None:
        walk.keep(source, f"the weights of {node.name} are not a constant of its own")
        return None
    shape = weight.tensor.array.shape
    if source is not None and (source.axis != channel or len(source.ids) != shape[axes[0]]):
        walk.keep(source, f"{node.name} reads them in groups or along another axis")
        source = None
    known = walk.held.get((weight.name, axes[0]))
    if source is None:
        source = Labels(channel, known if known is not None else walk.fresh(shape[axes[0]]))
        walk.keep(source, f"what {node.name} reads stays as it is")
    walk.hold(weight, axes[0], source.ids)
    made = walk.held.get((weight.name, axes[1]))
    if made is None:
        made = walk.fresh(shape[axes[1]])
        walk.hold(weight, axes[1], made)
    walk.made[node.name] = made
    walk.weights[node.name] = (weight.name, axes[1])
    return Labels(channel, made)


def _convolution(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    channel, source = _channel_axis(node), inputs[0]
    made = _layer(walk, node, source, (-2, -1), channel)
    if made is not None:
        dims = walk.dims(node, 0)
        there = len(source.ids) if source is not None and source.axis == channel else dims[channel] if dims else -1
        _keep_groups(walk, node, made, there, walk.held[walk.weights[node.name][0], -2].size)
    return made


def _keep_groups(walk: Walk, node: Node, made: Labels, there: int, of_a_filter: int) -> None:
    """A convolution whose filters see a part of the channels that are ``there`` (-1: not known) makes groups of equal
    size, each from its own part, so that what it makes has to stay."""
    if there < 0:
        walk.keep(made, f"it is not known whether {node.name} works in groups")
    elif there != of_a_filter:
        walk.keep(made, f"{node.name} works in groups")


def _transposed(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    size = walk.graph.producer(node, 0)
    if size is None or size.op != "Const":  # the channels that it makes stand in a shape that is computed
        walk.keep(inputs[2], f"the size of {node.name} is computed")
        return None
    channel = _channel_axis(node)
    made = _layer(walk, node, inputs[2], (-1, -2), channel)
    if made is None or size.tensor is None:
        return made
    there = int(size.tensor.array[channel])
    if there != made.ids.size:  # a filter is shared by the groups: its entries are not the channels that are made
        walk.keep_all((made, inputs[2]), f"{node.name} works in groups")
        return None
    walk.reshapes[node.name] = channel
    return made


def _matmul(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    if node.flag("transpose_a") or (walk.dims(node, 1) is not None and len(walk.dims(node, 1) or ()) != 2):
        walk.keep_all(inputs, f"{node.name} multiplies by something else than a constant matrix")
        return None
    return _layer(walk, node, inputs[0], (-1, -2) if node.flag("transpose_b") else (-2, -1), -1)


def _depthwise(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    source, weight = inputs[0], _weight(walk, node)
    if source is None or weight is None or weight.tensor is None or source.axis != _channel_axis(node):
        walk.keep(source, f"the weights of {node.name} are not a constant of its own")
        return None
    walk.hold(weight, -2, source.ids)
    return Labels(source.axis, np.repeat(source.ids, weight.tensor.array.shape[-1]))


def _elementwise(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    """Operations that join the entries at the same place, with broadcasting."""
    widest = max((found for found in inputs if found is not None), key=lambda found: len(found.ids), default=None)
    if widest is None:
        return None
    for index, found in enumerate(inputs):
        if found is None:
            dims = walk.dims(node, index)
            if dims is None or (len(dims) >= -widest.axis and dims[widest.axis] != 1):
                walk.keep(widest, f"{node.name} joins them with something else")
        elif found.axis == widest.axis and len(found.ids) == len(widest.ids):
            walk.unify(widest.ids, found.ids)
        elif len(found.ids) > 1:
            walk.keep_all((widest, found), f"{node.name} joins different axes")
    return widest


def _bias(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    return _vectors(walk, node, inputs, _channel_axis(node))


def _vectors(walk: Walk, node: Node, inputs: _Inputs, axis: int) -> Labels | None:
    """The first input's channels have an entry each in all the others, which are vectors."""
    source = inputs[0]
    for found in inputs[1:]:
        if source is not None and found is not None and source.axis == axis and len(source.ids) == len(found.ids):
            walk.unify(source.ids, found.ids)
        elif source is None or len(source.ids) > 1:
            walk.keep_all((source, found), f"{node.name} adds something that is not a constant vector")
    return source


def _window(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    source, window = inputs[0], node.ints("ksize")
    if source is not None and len(window) >= -source.axis and window[source.axis] != 1:
        walk.keep(source, f"{node.name} pools over the channels")
    return source


def _pad(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    source, border = inputs[0], walk.graph.constant(node, 1)
    if source is not None and (border is None or border.array.reshape(-1, 2)[source.axis].any()):
        walk.keep(source, f"{node.name} pads the channels")
        return None
    return source


def _blocks(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    """SpaceToBatchND and its inverse: axes behind those of the blocks stay."""
    source, block = inputs[0], walk.graph.constant(node, 1)
    dims = walk.dims(node, 0)
    if source is not None and (block is None or dims is None or len(dims) + source.axis <= block.array.size):
        walk.keep(source, f"{node.name} moves the channels")
        return None
    return source


def _neighbours(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    walk.keep(inputs[0], f"{node.name} mixes neighbours")
    return inputs[0]


def _resize(_walk: Walk, _node: Node, inputs: _Inputs) -> Labels | None:
    return inputs[0]


def _reduce(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    source, axes, dims = inputs[0], walk.graph.constant(node, 1), walk.dims(node, 0)
    if source is None:
        return None
    if axes is None or dims is None:
        walk.keep(source, f"the axes of {node.name} are computed")
        return None
    gone = {int(axis) % len(dims) - len(dims) for axis in axes.array.reshape(-1)}
    if source.axis in gone:
        walk.keep(source, f"{node.name} needs all of them")
        return None
    behind = 0 if node.flag("keep_dims") else sum(axis > source.axis for axis in gone)
    return Labels(source.axis + behind, source.ids)


def _squeeze(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    source, dims = inputs[0], walk.dims(node, 0)
    if source is None:
        return None
    if dims is None or (not node.ints("squeeze_dims") and -1 in dims):
        walk.keep(source, f"the shape of {node.name} is not known")
        return None
    rank = len(dims)
    named = [axis % rank - rank for axis in node.ints("squeeze_dims")]
    gone = named or [axis - rank for axis, size in enumerate(dims) if size == 1]
    return None if source.axis in gone else Labels(source.axis + sum(axis > source.axis for axis in gone), source.ids)


def _expand(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    source, axis, dims = inputs[0], walk.graph.constant(node, 1), walk.dims(node, 0)
    if source is None:
        return None
    if axis is None or dims is None:
        walk.keep(source, f"the shape of {node.name} is not known")
        return None
    place = int(axis.array.reshape(-1)[0]) % (len(dims) + 1) - len(dims) - 1
    return Labels(source.axis - (place > source.axis - 1), source.ids)


def _transpose(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    source, order = inputs[0], walk.graph.constant(node, 1)
    if source is None:
        return None
    if order is None:
        walk.keep(source, f"the order of {node.name} is computed")
        return None
    rank = order.array.size
    return Labels([int(axis) - rank for axis in order.array.reshape(-1)].index(source.axis) - rank, source.ids)


def _reshape(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    """Axes that are laid together at the end, a picture that is flattened, and axes of 1 that come or go."""
    source, dims = inputs[0], walk.dims(node, 0)
    if source is None:
        return None
    shapes = infer_shapes(walk.graph).get(node.name, ())
    behind = shapes[0].dims if shapes else None
    stated = _last_stated(walk, node)
    if dims is None or stated is None:
        walk.keep(source, f"the shape that {node.name} makes is not known")
        return None
    inner, size = dims[source.axis :], behind[-1] if behind else stated
    joined = 0
    while -source.axis + joined <= len(dims) and -1 not in inner and math.prod(inner) < size:
        joined += 1
        inner = dims[source.axis - joined :]
    if -1 in inner or math.prod(inner) != size:
        walk.keep(source, f"{node.name} takes them apart")
        return None
    if stated >= 0:
        walk.reshapes[node.name] = -1
    before, after = math.prod(dims[source.axis - joined : source.axis]), math.prod(dims[source.axis :][1:])
    return Labels(-1, np.tile(np.repeat(source.ids, after), before))


def _last_stated(walk: Walk, node: Node) -> int | None:
    """The last number of the shape that a Reshape is told: -1 where it is left to find, None where it is computed."""
    told = walk.graph.producer(node, 1)
    if told is not None and told.op == "Pack":
        last = walk.graph.constant(told, len(told.data_refs) - 1)
        return -1 if last is not None and int(last.array) == -1 else None
    if told is None or told.op != "Const" or told.tensor is None or not told.tensor.array.size:
        return None
    return int(told.tensor.array.reshape(-1)[-1])


def _concat(walk: Walk, node: Node, inputs: _Inputs) -> Labels | None:
    parts, axis = inputs[:-1], walk.graph.constant(node, len(inputs) - 1)
    shapes = [walk.dims(node, index) for index in range(len(parts))]
    first = next((part for part in parts if part is not None), None)
    if first is None:
        return None
    if axis is None or None in shapes or any(part is not None and part.axis != first.axis for part in parts):
        walk.keep_all(parts, f"{node.name} joins them with something else")
        return None
    rank = len(shapes[0] or ())
    if int(axis.array) % rank - rank != first.axis:
        return _elementwise(walk, node, parts)
    ids = []
    for part, dims in zip(parts, shapes, strict=True):
        size = (dims or ())[first.axis]
        if part is None and size < 0:
            walk.keep_all(parts, f"{node.name} joins them with something else")
            return None
        ids.append(part.ids if part is not None else walk.fresh(size))
        if part is None:
            walk.keep(Labels(first.axis, ids[-1]), f"what {node.name} joins is not made by a layer")
    return Labels(first.axis, np.concatenate(ids))


_LAYERS = frozenset({"Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "MatMul"})
_RULES: dict[str, _Rule] = {
    "Conv2D": _convolution,
    "Conv2DBackpropInput": _transposed,
    "MatMul": _matmul,
    "DepthwiseConv2dNative": _depthwise,
    "BiasAdd": _bias,
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _bias),
    **dict.fromkeys(("MaxPool", "AvgPool"), _window),
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), _pad),
    **dict.fromkeys(("SpaceToBatchND", "BatchToSpaceND"), _blocks),
    "LRN": _neighbours,
    **dict.fromkeys(("ResizeBilinear", "ResizeNearestNeighbor"), _resize),
    **dict.fromkeys(("Mean", "Sum", "Max", "Min", "Prod"), _reduce),
    "Squeeze": _squeeze,
    "ExpandDims": _expand,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "ConcatV2": _concat,
    **dict.fromkeys(
        ("Abs", "Cast", "CheckNumerics", "Elu", "Erf", "Exp", "FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars",
         "FakeQuantWithMinMaxVarsPerChannel", "Floor", "Identity", "LeakyRelu", "Log", "Neg", "PreventGradient",
         "Reciprocal", "Relu", "Relu6", "Round", "Rsqrt", "Selu", "Sigmoid", "Snapshot", "Softplus", "Softsign",
         "Sqrt", "Square", "StopGradient", "Tanh",
         "Add", "AddN", "AddV2", "Div", "Maximum", "Minimum", "Mul", "Pow", "RealDiv", "SquaredDifference", "Sub"),
        _elementwise,
    ),
}  # fmt: skip

"""Batch normalisation at inference is one multiplication and one addition per channel; both go into the layer before.

Behind a layer with constant weights stands a chain of nodes of which each reads only the one before and constants:
multiplications and additions per channel, the fused operations, and nodes that only move values about. Whatever wrote
it (FusedBatchNorm, Keras 3's Mul, Sub, AddV2, Rsqrt and Reshape, a bare Mul as the Graph Transform Tool expects), the
chain is one affine map ``scale * x + offset``: the weights take the scale, a BiasAdd the offset. The constants'
arithmetic (Rsqrt of the variance, ...) is done as ``fold_constants`` does it, the rest in double precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.evaluate import PASS_THROUGH, Constant, constant_values
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.base import Pass, PassResult, result
from compressor_gui.core.passes.unread import remove_unread
from compressor_gui.core.passes.weights import store_weights
from compressor_gui.core.values import Attr, Tensor

_FUSED = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
_NORMS = _FUSED | {"BatchNormWithGlobalNormalization"}
_LAYERS = frozenset({"Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "MatMul"})
_MOVES = PASS_THROUGH | {"BatchToSpaceND"}
"""Keep every value in its channel: BatchToSpaceND stands behind dilated convolutions."""


class _UnfoldableError(Exception):
    """Why a chain stays as it is, in words for the user."""


_Step = tuple[np.ndarray | float, np.ndarray | float, bool]
"""Factor and summand of one node, and whether it multiplies."""


@dataclass
class _Chain:
    """A layer, the nodes behind it that it can swallow, and what they compute: a value for each output channel.

    ``constants`` are the names of what they read; the last node keeps its name, and so do those that move values.
    """

    layer: Node
    channels: int
    scale: np.ndarray
    offset: np.ndarray
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, None] = field(default_factory=dict)
    multiplies: bool = False
    shifts: bool = False


@dataclass(frozen=True)
class FoldBatchNorms(Pass):
    """Does what the Graph Transform Tool's ``fold_batch_norms`` and ``fold_old_batch_norms`` do, and more forms."""

    name: ClassVar[str] = "fold_batch_norms"
    title: ClassVar[str] = "Fold batch norms"
    summary: ClassVar[str] = (
        "Works the multiplication and addition of batch normalisation into the weights and bias of the layer before it."
    )

    def run(self, graph: ModelGraph) -> PassResult:
        """The last node of a chain keeps its name, so that outputs and readers stay; the weights keep theirs."""
        return fold_norms(graph)


def fold_norms(graph: ModelGraph, single_ops_only: bool = False) -> PassResult:
    """Fold every chain behind a layer, or only those in which a batch norm is one operation."""
    known = constant_values(graph)
    edit = Edit(graph)
    reasons: dict[str, str] = {}
    freed: dict[str, None] = {}
    for node in graph.nodes:
        if node.op not in _LAYERS:
            continue
        chain = _follow(graph, known, node, reasons)
        if chain is None or (single_ops_only and not any(member.op in _NORMS for member in chain.nodes)):
            continue
        try:
            _fold(graph, known, edit, chain)
        except _UnfoldableError as reason:
            reasons[chain.nodes[-1].name] = str(reason)
            continue
        freed |= chain.constants
    remove_unread(edit, freed, "folded into the weights and bias of the layer before it")
    left = [name for name, node in graph.items() if node.op in _NORMS and name in edit and edit[name] is node]
    alone = "it does not stand behind a layer with constant weights that nothing else reads"
    notes = {name: reasons.get(name, alone) for name in (*reasons, *left)}
    return result(edit, [f"{name} stays: {reason}." for name, reason in notes.items()])


def _follow(graph: ModelGraph, known: Mapping[str, Constant], layer: Node, reasons: dict[str, str]) -> _Chain | None:
    """The chain behind ``layer``; None where nothing in it multiplies."""
    weight = known.get(layer.data_refs[1].name) if len(layer.data_refs) > 1 else None
    if weight is None or not weight.tensor.dtype.is_floating:
        return None
    channels = _channels(layer, weight.tensor.array)
    if channels is None:
        return None
    chain = _Chain(layer, channels, np.ones(channels), np.zeros(channels))
    node = layer
    while (reader := _only_reader(graph, node)) is not None:
        try:
            multiplies = _absorb(known, chain, node, reader)
        except _UnfoldableError as reason:
            reasons[reader.name] = str(reason)
            break
        if multiplies is None:
            break
        chain.nodes.append(reader)
        chain.multiplies |= multiplies
        node = reader
    while chain.nodes and chain.nodes[-1].op in _MOVES:
        chain.nodes.pop()
    return chain if chain.multiplies else None


def _only_reader(graph: ModelGraph, node: Node) -> Node | None:
    """Who reads ``node``'s first output, where that is one node only and nothing else needs the value."""
    users = graph.consumers[node.name]
    if len(users) != 1 or graph.is_output(node.name):
        return None
    reader = graph[users[0][0]]
    ref = reader.refs[users[0][1]]
    if ref.control or ref.port or len(reader.data_refs) < len(reader.refs):
        return None
    return reader


def _channels(layer: Node, weight: np.ndarray) -> int | None:
    rank = 2 if layer.op == "MatMul" else 4
    if weight.ndim != rank:
        return None
    if layer.op == "MatMul":
        return int(weight.shape[0 if layer.flag("transpose_b") else 1])
    if layer.op == "Conv2DBackpropInput":
        return int(weight.shape[2])
    return int(weight.shape[2] * weight.shape[3] if layer.op == "DepthwiseConv2dNative" else weight.shape[3])


def _scaled(layer: Node, weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The weights times one factor for each output channel, in the weights' type."""
    if layer.op == "MatMul":
        factor = scale[:, None] if layer.flag("transpose_b") else scale
    elif layer.op == "Conv2DBackpropInput":
        factor = scale[:, None]
    elif layer.op == "DepthwiseConv2dNative":
        factor = scale.reshape(weight.shape[2:])
    else:
        factor = scale
    return np.asarray((weight.astype(np.float64) * factor).astype(weight.dtype))


def _absorb(known: Mapping[str, Constant], chain: _Chain, before: Node, node: Node) -> bool | None:
    """Take ``node`` into the chain's scale and offset: whether it multiplies, or None when it isn't of that kind."""
    if node.op in _MOVES:
        return None if node.data_refs[0].name != before.name else False
    if node.op in _NORMS:
        step: _Step | None = _norm(known, chain, node)
    else:
        step = _arithmetic(known, chain, before, node)
    if step is None:
        return None
    scale, shift, multiplies = step
    with np.errstate(all="ignore"):
        chain.scale = chain.scale * scale
        chain.offset = chain.offset * scale + shift
    chain.shifts |= bool(np.any(chain.offset))
    chain.constants.update(dict.fromkeys(ref.name for ref in node.data_refs if ref.name != before.name))
    return multiplies


def _arithmetic(known: Mapping[str, Constant], chain: _Chain, before: Node, node: Node) -> _Step | None:
    """Mul, RealDiv, Add, Sub or BiasAdd with a constant; None for anything else."""
    if node.op not in ("Mul", "RealDiv", "Add", "AddV2", "Sub", "BiasAdd"):
        return None
    at = next(index for index, ref in enumerate(node.data_refs) if ref.name == before.name)
    if at and node.op in ("RealDiv", "Sub", "BiasAdd"):
        return None
    other = known.get(node.data_refs[1 - at].name)
    if other is None:
        return None
    array = other.tensor.array
    if node.op == "BiasAdd":
        if array.shape != (chain.channels,) or node.text("data_format", "NHWC") != _format(chain.layer):
            return None
        return 1.0, array.astype(np.float64), False
    values = _per_channel(chain, array)
    if values is None:
        return None
    if node.op in ("Mul", "RealDiv"):
        with np.errstate(all="ignore"):
            return values if node.op == "Mul" else 1 / values, 0.0, True
    return 1.0, -values if node.op == "Sub" else values, False


def _format(layer: Node) -> str:
    return "NHWC" if layer.op == "MatMul" else layer.text("data_format", "NHWC")


def _per_channel(chain: _Chain, array: np.ndarray) -> np.ndarray | None:
    """``array`` as one value per channel, where broadcasting makes that of it; None where it does not."""
    rank = 2 if chain.layer.op == "MatMul" else 4
    axis = 1 if _format(chain.layer) == "NCHW" else rank - 1
    shape = (1,) * (rank - array.ndim) + array.shape
    if len(shape) != rank or shape[axis] not in (1, chain.channels) or math.prod(shape) != shape[axis]:
        return None
    return np.broadcast_to(array.astype(np.float64).reshape(-1), (chain.channels,))


def _norm(known: Mapping[str, Constant], chain: _Chain, node: Node) -> _Step:
    """A batch norm in one operation. Raises _UnfoldableError."""
    inputs = [known.get(ref.name) for ref in node.data_refs[1:]]
    values = [entry.tensor.array.astype(np.float64) for entry in inputs if entry is not None]
    if len(values) != 4 or any(value.shape != (chain.channels,) for value in values):
        raise _UnfoldableError("its parameters are not constants with one value for each channel")
    if node.op in _FUSED:
        if node.flag("is_training", True):
            raise _UnfoldableError("it is in training mode, where it measures the statistics of each batch")
        if node.text("data_format", "NHWC") != _format(chain.layer):
            raise _UnfoldableError("its data_format differs from the layer's")
        gamma, beta, mean, variance = values
        epsilon = node.number("epsilon", 1e-4)
    else:
        mean, variance, beta, gamma = values
        epsilon = node.number("variance_epsilon")
        if not node.flag("scale_after_normalization"):
            gamma = np.ones(chain.channels)
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + epsilon)
        return scale, beta - mean * scale, True


def _fold(graph: ModelGraph, known: Mapping[str, Constant], edit: Edit, chain: _Chain) -> None:
    """Put scaled weights and a BiasAdd in the chain's place. Raises _UnfoldableError, having changed nothing."""
    layer, last = chain.layer, chain.nodes[-1]
    if any(graph[user].refs[index].port > 0 for user, index in graph.consumers[last.name]):
        raise _UnfoldableError("its statistics are read")
    weight = known[layer.data_refs[1].name]
    with np.errstate(all="ignore"):
        scaled = _scaled(layer, weight.tensor.array, chain.scale)
        bias = chain.offset.astype(weight.tensor.dtype.numpy)
    if not (np.all(np.isfinite(bias)) and np.all(np.isfinite(scaled) | ~np.isfinite(weight.tensor.array))):
        raise _UnfoldableError("its scale or offset is infinite or not a number")
    origins = [layer.name, *(node.name for node in chain.nodes), *chain.constants]
    stored = Constant(Tensor(weight.tensor.dtype, scaled), weight.control)
    weight_name = store_weights(graph, edit, layer, stored, origins, "bn_weights")
    chain.constants[layer.data_refs[1].name] = None

    tail: list[Node] = [layer]  # what stays; each reads the one before it
    inputs = {layer.name: [layer.inputs[0], weight_name, *layer.inputs[2:]]}
    for node in chain.nodes:
        if node.op in _MOVES:
            inputs[node.name] = [tail[-1].name, *node.inputs[1:]]
            tail.append(node)
        elif node is not last:
            edit.remove(node.name, f"folded into {layer.name}")
    if chain.shifts:
        bias_name = edit.free_name(f"{layer.name}_bn_offset")
        made = Node.const(bias_name, Tensor(weight.tensor.dtype, bias), layer.device)
        edit.add(made.with_(inputs=weight.control), origins, before=last.name)
        attrs: dict[str, Attr] = {"T": weight.tensor.dtype, "data_format": _format(layer).encode()}
        final = Node.make(last.name, "BiasAdd", (tail[-1].name, bias_name), last.device, **attrs)
    else:
        final = tail.pop()
        edit.remove(final.name, f"takes the name of {last.name}, which was folded into it")
        final = final.with_(name=last.name, inputs=inputs[final.name])
    for node in tail:
        if list(node.inputs) != inputs[node.name]:
            edit.replace(node.with_(inputs=inputs[node.name]))
    edit.replace(final, origins)

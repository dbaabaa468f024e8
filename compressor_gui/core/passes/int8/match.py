"""Finds the operations of a float graph that have a fused 8-bit form, with the ones that it swallows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from compressor_gui.core.graph import ModelGraph, Node, Ref
from compressor_gui.core.memo import by_identity
from compressor_gui.core.passes.carried_ranges import carrier, weights_of
from compressor_gui.core.passes.eightbit.plan import loop_nodes, scopes
from compressor_gui.core.passes.int8.affine import Affine, affine, unchanged
from compressor_gui.core.passes.int8.kernels import MATMUL, MOVES
from compressor_gui.core.passes.int8.sizes import symbolic_sizes
from compressor_gui.core.passes.int8.weights import by_channel
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import DType

Kind = Literal["conv", "depthwise", "matmul", "affine", "pool", "move", "pad"]

_KINDS: dict[str, Kind] = {
    "Conv2D": "conv",
    "DepthwiseConv2dNative": "depthwise",
    "MatMul": "matmul",
    "MaxPool": "pool",
    "AvgPool": "pool",
    **dict.fromkeys(MOVES, "move"),
    "Pad": "pad",
}
_BATCH_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "BatchNormWithGlobalNormalization")
_CLAMPS = {"Relu": float("inf"), "Relu6": 6.0}
_SUMS = ("Add", "AddV2", "AddN")
_UNUSED_KERNELS = {
    "ResizeBilinear": "the 8-bit kernel of ResizeBilinear gains nothing, conversions counted",
    **dict.fromkeys(("Split", "SplitV"), "codes are handed on from first outputs only, and a split has several"),
}
"""Operations with an 8-bit kernel that is not used -> why."""
_AFFINE = (*_BATCH_NORMS[:3], *_CLAMPS, "Mul", "Div", "RealDiv", "Add", "AddV2", "Sub", "BiasAdd")

Pads = tuple[tuple[int, int], ...]
"""Along each axis, how many zeros are put before and behind."""


@dataclass(frozen=True, eq=False)
class Op:
    """What one 8-bit operation stands for: ``nodes``, the first of which is ``head`` and the last ``tail``.

    ``sources``: the nodes whose first outputs are read as codes. For a layer with a residual sum they are its input and
    the ``summand``. ``clamp`` is where the Relu ends (None: there is none). ``affine`` is what is done to each channel
    behind the layer (bias, batch norm), or without one. ``border``: zeros that are put around the first source, by
    ``pad`` or by the layer itself (SAME padding not meant).
    """

    kind: Kind
    nodes: tuple[Node, ...]
    sources: tuple[str, ...]
    affine: Affine | None = None
    summand: str | None = None
    clamp: float | None = None
    pad: Node | None = None
    border: Pads | None = None

    @property
    def head(self) -> Node:
        """The layer, or the only operation."""
        return self.nodes[0]

    @property
    def tail(self) -> Node:
        """Whose value the 8-bit operation computes."""
        return self.nodes[-1]

    @property
    def swallowed(self) -> tuple[Node, ...]:
        """All that goes away, the last first."""
        return (*reversed(self.nodes), *((self.pad,) if self.pad is not None else ()))

    @property
    def in_codes(self) -> bool:
        """Whether the result is codes too."""
        return self.kind != "matmul"

    @property
    def is_layer(self) -> bool:
        """Whether it chooses the range of its result; others hand on that of what they read."""
        return self.kind in ("conv", "depthwise", "matmul", "affine")

    @property
    def only_links(self) -> bool:
        """Whether it gains nothing by itself, but by what is 8-bit on both sides."""
        return self.kind == "affine" or (self.kind == "move" and len(self.sources) == 1)


class Matcher:
    """The search in one graph. ``refused``: why covered operations stay in float -> their names."""

    def __init__(self, graph: ModelGraph, skip: Iterable[str] = ()) -> None:
        self.graph = graph
        self.refused: dict[str, list[str]] = {}
        self._skip = frozenset(skip)
        self._taken: set[str] = set()

    @cached_property
    def _place(self) -> dict[str, int]:
        return {node.name: at for at, node in enumerate(self.graph.topological())}

    def find(self) -> tuple[Op, ...]:
        """All, in topological order of their results. The last of two layers that are added takes in the sum."""
        found: list[Op] = []
        for node in reversed(self.graph.topological()):
            kind = _KINDS.get(node.op)
            if kind is None or node.name in self._taken or not _is_float(node) or self._is_skipped(node):
                continue
            place = _place(self.graph, node)
            reason = f"{node.op} in {place}" if place else self._refusal(node, kind)
            if reason is not None:
                if kind not in ("move", "pad"):
                    self.refused.setdefault(reason, []).append(node.name)
                continue
            found.append(self._matched(node, kind))
        self._taken.update(op.head.name for op in found)
        found += self._affine_ops()
        return _linking(sorted(found, key=lambda op: self._place[op.tail.name]))

    def dims(self, ref: Ref) -> tuple[int, ...] | None:
        """The shape of a tensor, -1 for what is not known; None where the rank isn't."""
        shapes = infer_shapes(self.graph).get(ref.name, ())
        return shapes[ref.port].dims if ref.port < len(shapes) else None

    def _is_free(self, node: Node) -> bool:
        whole = _is_float(node) or self._carries(node)
        return whole and node.name not in self._taken and not self._is_skipped(node)

    def _is_skipped(self, node: Node) -> bool:
        return not self._skip.isdisjoint(scopes(node.name))

    def _refusal(self, node: Node, kind: Kind) -> str | None:
        """Why a covered operation stays in float, as the beginning of a sentence."""
        data = node.data_refs[:-1] if node.op == "ConcatV2" else node.data_refs[:1]
        if len(data) < len(node.refs) and any(ref.control for ref in node.refs):
            return f"{node.op} that waits for another operation"
        if any(ref.port for ref in data):
            return f"{node.op} of a second output"
        if kind in ("conv", "depthwise", "pool"):
            return self._refused_window(node) or (None if kind == "pool" else self._refused_weights(node, 4))
        if kind == "matmul":
            return f"{node.op} of a transposed input" if node.flag("transpose_a") else self._refused_weights(node, 2)
        return "Pad of an unknown width" if kind == "pad" and self.border(node) is None else None

    def border(self, node: Node) -> Pads | None:
        """The zeros that a Pad puts around its input; None where that is not known."""
        widths = self.graph.constant(node, 1)
        if widths is None or widths.dtype != DType.INT32 or widths.array.ndim != 2:
            return None
        return tuple((int(before), int(behind)) for before, behind in widths.array)

    def _refused_window(self, node: Node) -> str | None:
        strides, window = node.ints("strides"), node.ints("ksize") or (1, 1, 1, 1)
        if node.text("data_format", "NHWC") not in ("NHWC", ""):
            return f"{node.op} in {node.text('data_format')}"
        if node.text("padding") not in ("SAME", "VALID") and "ksize" in node.attrs:
            return f"{node.op} with explicit padding"
        if len(strides) != 4 or strides[0] != 1 or strides[3] != 1 or window[0] != 1 or window[3] != 1:
            return f"{node.op} across the batch or the channels"
        if strides[1] != strides[2] and "ksize" in node.attrs:
            return f"{node.op} with unequal strides"
        return None

    def _refused_weights(self, node: Node, rank: int) -> str | None:
        weights = weights_of(self.graph, node)
        if weights is None or weights.dtype != DType.FLOAT or weights.array.ndim != rank:
            return f"{node.op} whose weights are not a float32 constant"
        if not weights.array.size or not np.isfinite(weights.array).all():
            return f"{node.op} whose weights are empty or not finite"
        dims = self.dims(node.data_refs[0])
        if node.op == "Conv2D" and dims is not None and dims[-1] not in (-1, weights.array.shape[2]):
            return "Conv2D in groups"
        return None

    def _matched(self, node: Node, kind: Kind) -> Op:
        """``node`` with what follows it."""
        carried = carrier(self.graph, node)
        if carried is not None:
            return Op(kind, self._rounding(node), (carried.source.name,))
        if kind not in ("conv", "depthwise"):
            count = len(node.data_refs) - 1 if node.op == "ConcatV2" else 1
            return Op(kind, (node,), tuple(ref.name for ref in node.data_refs[:count]))
        weights = weights_of(self.graph, node)
        assert weights is not None
        nodes, start = [node], unchanged(node.data_refs[0], by_channel(node, weights.array).shape[1])
        whole, summand, clamp = self._followed(nodes, start, kind)
        self._taken.update(step.name for step in nodes[1:])
        pad, border = self._border_before(node)
        self._taken.update(step.name for step in (pad,) if step is not None)
        source = (pad or node).data_refs[0].name
        sources = (source, *((summand,) if summand is not None else ()))
        return Op(kind, tuple(nodes), sources, whole, summand, clamp, pad, border)

    def _followed(self, nodes: list[Node], whole: Affine, kind: Kind) -> tuple[Affine, str | None, float | None]:
        """Add to ``nodes`` what follows them: what they compute then, what is added to it, where its Relu ends."""
        summand, clamp = None, _CLAMPS.get(nodes[-1].op)
        for step in self._readers(nodes[-1]):
            ends = self._carries(step)
            more = affine(self.graph, step, len(whole.scale)) if clamp is None and not ends else None
            if more is not None and (summand is None or (more.scale == 1).all()):
                whole = whole.then(more)
            elif clamp is None and step.op in _CLAMPS:
                clamp = _CLAMPS[step.op]
            elif clamp is None and summand is None and self._is_residual(step, nodes[-1], kind):
                summand = next(ref.name for ref in step.data_refs if ref.name != nodes[-1].name)
            elif not ends:
                break
            nodes += self._rounding(step) if ends else [step]
            if ends:
                break
        return whole, summand, clamp

    def _carries(self, node: Node) -> bool:
        found = carrier(self.graph, node)
        return found is not None and found.range is not None and found.source.port == 0

    def _rounding(self, node: Node) -> tuple[Node, ...]:
        """A carrier, and the QuantizeV2 before it that only it reads."""
        maker = self.graph[node.data_refs[0].name]
        readers = {name for name, _ in self.graph.consumers[maker.name]}
        return (maker, node) if maker.op == "QuantizeV2" and readers == {node.name} else (node,)

    def _affine_ops(self) -> Iterator[Op]:
        """What stands apart from layers."""
        for node in self.graph.topological():
            if node.op not in _AFFINE or not self._is_free(node) or _place(self.graph, node):
                continue
            sizes = symbolic_sizes(self.graph).get(node.name, ())
            channels = sizes[-1] if len(sizes) == 4 else None
            if isinstance(channels, int) and (op := self._matched_affine(node, channels)) is not None:
                self._taken.update(step.name for step in op.nodes)
                yield op

    def _matched_affine(self, node: Node, channels: int) -> Op | None:
        """``node`` with what follows it."""
        if len(node.data_refs) < len(node.refs):
            return None
        source, sizes = node.data_refs[0], symbolic_sizes(self.graph)
        whole = unchanged(source, channels) if node.op in _CLAMPS else affine(self.graph, node, channels)
        if whole is None or whole.source.port or sizes.get(whole.source.name) != sizes[node.name]:
            return None
        nodes = [node]
        whole, _, clamp = self._followed(nodes, whole, "affine")
        if any(self.graph[user].refs[at].port > 0 for n in nodes for user, at in self.graph.consumers[n.name]):
            return None  # a batch norm's statistics are read
        return Op("affine", tuple(nodes), (whole.source.name,), whole, clamp=clamp)

    def _border_before(self, layer: Node) -> tuple[Node | None, Pads | None]:
        """A Pad that only ``layer`` reads, and the zeros that it or the layer's explicit padding puts around."""
        widths = layer.ints("explicit_paddings")
        if layer.text("padding") != "VALID":
            return None, tuple(zip(widths[::2], widths[1::2], strict=True)) or None
        pad = self.graph[layer.data_refs[0].name]
        alone = len(self.graph.consumers[pad.name]) == 1 and not self.graph.is_output(pad.name)
        if pad.op != "Pad" or not alone or self._is_skipped(pad) or self._refusal(pad, "pad") is not None:
            return None, None
        border = self.border(pad)
        in_space = border is not None and len(border) == 4 and border[0] == border[3] == (0, 0)
        return (pad, border) if in_space else (None, None)

    def _readers(self, node: Node) -> Iterator[Node]:
        """The only reader, its only reader, ...; as far as nobody else needs the value and none is taken. Of a
        QuantizeV2 and its Dequantize, the latter."""
        while True:
            users = self.graph.consumers[node.name]
            if len(users) != 1 or self.graph.is_output(node.name):
                return
            reader = self.graph[users[0][0]]
            ref = reader.refs[users[0][1]]
            if ref.control or ref.port or len(reader.data_refs) < len(reader.refs):
                return
            if reader.op == "QuantizeV2":
                ends = {name for name, _ in self.graph.consumers[reader.name]}
                reader = self.graph[ends.pop()] if len(ends) == 1 else reader
                if not self._carries(reader):
                    return
            if not self._is_free(reader):
                return
            yield reader
            node = reader

    def _is_residual(self, step: Node, before: Node, kind: Kind) -> bool:
        """Whether a sum of two tensors of one shape can be part of the layer."""
        refs = step.data_refs
        if step.op not in _SUMS or kind != "conv" or len(refs) != 2 or any(ref.port for ref in refs):
            return False
        if refs[0] == refs[1] or any(self.graph.constant(step, at) for at in (0, 1)):
            return False
        sizes = [symbolic_sizes(self.graph).get(ref.name, ()) for ref in refs]
        return len(sizes[0]) == 4 and sizes[0][1:] == sizes[1][1:]


def _linking(ops: Iterable[Op]) -> tuple[Op, ...]:
    """Without those that only link, where there is nothing to link: what they would read, or their reader, is float."""
    kept = list(ops)
    while True:
        made = {op.tail.name for op in kept if op.in_codes}
        read = {source for op in kept for source in op.sources}
        linking = [op for op in kept if not op.only_links or (op.sources[0] in made and op.tail.name in read)]
        if len(linking) == len(kept):
            return tuple(kept)
        kept = linking


def why_float(graph: ModelGraph, node: Node) -> str:
    """Why a float operation is not part of an 8-bit one, as the beginning of a sentence.

    For one that could be, why it may have been left: that depends on ranges, and on what is around it.
    """
    kind = _KINDS.get(node.op)
    if not _is_float(node):
        return f"{node.op} of another type than float32 has no 8-bit kernel"
    if node.op in _BATCH_NORMS:
        return f"{node.op} is not folded into its layer"
    if kind is None:
        return _why_no_part(graph, node)
    place = _place(graph, node)
    reason = f"{node.op} in {place}" if place else Matcher(graph)._refusal(node, kind)
    if reason is not None:
        return f"no 8-bit kernel for {reason}"
    return f"{node.op} whose range is not known, or which would gain less than its conversions cost"


def _why_no_part(graph: ModelGraph, node: Node) -> str:
    """Of an operation that only can be a part of the layer in front of it."""
    if node.op in (*_SUMS, "Mul", "Sub", "RealDiv"):
        if node.op == "Mul" and any(graph[ref.name].op == MATMUL.op for ref in node.data_refs):
            return "the kernel of MatMul puts out float, and this Mul brings its columns back to their ranges"
        shapes = [infer_shapes(graph).get(ref.name, ()) for ref in node.data_refs]
        dims = {
            found[ref.port].dims for found, ref in zip(shapes, node.data_refs, strict=True) if ref.port < len(found)
        }
        if len(dims - {None}) > 1:
            return f"no 8-bit kernel for {node.op} with a broadcast"
        if node.op == "Mul" and not any(graph.constant(node, at) for at in (0, 1)):
            return "no fused 8-bit kernel for Mul of two tensors, as in a hard swish or a gate"
    if node.op in (*_CLAMPS, *_SUMS, "BiasAdd"):
        return f"{node.op} is 8-bit only as part of the layer in front of it"
    return _UNUSED_KERNELS.get(node.op, f"{node.op} has no 8-bit kernel")


def _place(graph: ModelGraph, node: Node) -> str:
    """Where an operation may not be replaced."""
    return "a while loop" if node.name in loop_nodes(graph) else "a branch" if node.name in _branch_nodes(graph) else ""


@by_identity
def _branch_nodes(graph: ModelGraph) -> frozenset[str]:
    """The nodes that do not run each time: what is reached from a Switch without passing a Merge (or out of a loop)."""
    found: set[str] = set()
    waiting = [node.name for node in graph.nodes if node.op in ("Switch", "RefSwitch")]
    while waiting:
        for name, _ in graph.consumers[waiting.pop()]:
            if name not in found and graph[name].op not in ("Merge", "RefMerge", "Exit", "RefExit"):
                found.add(name)
                waiting.append(name)
    return frozenset(found)


def norms_left(graph: ModelGraph, ops: Iterable[Op]) -> list[str]:
    """Batch norms that are in no operation."""
    taken = {node.name for op in ops for node in op.nodes}
    return [node.name for node in graph.nodes if node.op in _BATCH_NORMS and node.name not in taken]


def _is_float(node: Node) -> bool:
    return node.dtype("T") == DType.FLOAT or (node.op == "MaxPool" and "T" not in node.attrs)

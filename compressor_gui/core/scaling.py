"""Which tensors of a network can be scaled channel by channel without changing what the network computes.

A layer's output channel times a factor, and the same channel divided by it where the next layers read it, cancel out,
as long as what stands between them is positively homogeneous: f(s x) = s f(x) for s > 0, as Relu, pools and sums are.
Sums tie their summands together, so that what is scaled is a *group*: all tensors that are added up or handed on, the
layers that make them and the layers that read them.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV 2019), have this for pairs
of layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from compressor_gui.core.evaluate import PASS_THROUGH
from compressor_gui.core.graph import ModelGraph, Node, Ref
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import DType

LAYERS = frozenset({"Conv2D", "DepthwiseConv2dNative", "MatMul"})
_SUMS = frozenset({"Add", "AddV2", "AddN"})
_HOMOGENEOUS = PASS_THROUGH | {"Relu", "Relu6", "LeakyRelu", "MaxPool", "AvgPool", "ResizeBilinear",
                               "ResizeNearestNeighbor", "Pad"}  # fmt: skip
"""Relu6 is so only below its 6: see :attr:`Group.clamped`."""


@dataclass(frozen=True)
class Group:
    """Tensors that share the factors of their ``channels``.

    ``tensors``: the nodes whose first outputs they are; ``makers`` and ``readers``: the layers that make and read them,
    in topological order; ``biases``: nodes -> the constant vectors that they add; ``clamped``: those of ``tensors``
    that a Relu6 makes.
    """

    channels: int
    tensors: tuple[str, ...]
    makers: tuple[str, ...]
    readers: tuple[str, ...]
    biases: Mapping[str, Ref]
    clamped: tuple[str, ...]


def out_channels(layer: Node, weights: np.ndarray) -> np.ndarray:
    """A view of a layer's weights with a row for each output channel: of shape (channels, the others)."""
    if layer.op == "DepthwiseConv2dNative":
        return weights.reshape(-1, weights.shape[2] * weights.shape[3]).T
    if layer.op == "MatMul" and layer.flag("transpose_b"):
        return weights
    return weights.reshape(-1, weights.shape[-1]).T


def in_channels(layer: Node, weights: np.ndarray) -> np.ndarray:
    """The same with a row for each channel that the layer reads."""
    if layer.op == "MatMul":
        return weights.T if layer.flag("transpose_b") else weights
    return np.moveaxis(weights, 2, 0).reshape(weights.shape[2], -1)


def scaled(layer: Node, weights: np.ndarray, made: np.ndarray | None, read: np.ndarray | None) -> np.ndarray:
    """A layer's weights times ``made`` for each output channel and divided by ``read`` for each that it reads."""
    result = weights.astype(np.float64)
    if made is not None:
        if layer.op == "DepthwiseConv2dNative":
            result = result * made.reshape(weights.shape[2:])
        else:
            result = result * (made[:, None] if layer.flag("transpose_b") else made)
    if read is not None:
        if layer.op == "MatMul":
            result = result / (read if layer.flag("transpose_b") else read[:, None])
        else:
            result = result / read[:, None]
    return result.astype(weights.dtype)


def find_groups(graph: ModelGraph) -> tuple[Group, ...]:
    """The groups that can be scaled, in topological order: those that no output, no input of the graph and no other
    operation needs as they are."""
    return _Search(graph).run()


@dataclass
class _Search:
    graph: ModelGraph
    _parent: dict[str, str] = field(default_factory=dict)
    _fixed: set[str] = field(default_factory=set)
    _biases: dict[str, Ref] = field(default_factory=dict)
    _readers: dict[str, list[str]] = field(default_factory=dict)
    _channels: dict[str, int] = field(default_factory=dict)

    def run(self) -> tuple[Group, ...]:
        for node in self.graph.topological():
            self._visit(node)
        members: dict[str, list[str]] = {}
        for name in self._parent:
            members.setdefault(self._root(name), []).append(name)
        fixed = {self._root(name) for name in (*self._fixed, *filter(self._parent.__contains__, self.graph.outputs))}
        return tuple(self._groups({root: names for root, names in members.items() if root not in fixed}))

    def _groups(self, members: Mapping[str, list[str]]) -> Iterator[Group]:
        place = {node.name: at for at, node in enumerate(self.graph.topological())}
        for names in members.values():
            makers = tuple(name for name in names if name in self._channels)
            readers = {reader for name in names for reader in self._readers.get(name, ())}
            channels = {self._channels[name] for name in makers}
            if not readers or len(channels) != 1:
                continue
            yield Group(
                channels.pop(),
                tuple(names),
                makers,
                tuple(sorted(readers, key=place.__getitem__)),
                {name: self._biases[name] for name in names if name in self._biases},
                tuple(name for name in names if self.graph[name].op == "Relu6"),
            )

    def _visit(self, node: Node) -> None:
        if not node.data_refs:
            return
        source = node.data_refs[0].name
        if node.op in LAYERS and self._is_layer(node):
            self._parent[node.name] = node.name
            weights = self.graph.constant(node, 1)
            assert weights is not None
            self._channels[node.name] = len(out_channels(node, weights.array))
            if source in self._parent and node.data_refs[0].port == 0:
                self._readers.setdefault(source, []).append(node.name)
                return
        elif source in self._parent and self._adds_vector(node):
            self._join(node, (source,))
            self._biases[node.name] = node.data_refs[1]
            return
        elif self._hands_on(node):
            count = None if node.op in _SUMS else 1
            self._join(node, [ref.name for ref in node.data_refs[:count]])
            return
        self._fixed.update(ref.name for ref in node.data_refs if ref.name in self._parent)

    def _is_layer(self, node: Node) -> bool:
        weights = self.graph.constant(node, 1)
        if weights is None or weights.dtype != DType.FLOAT or not np.isfinite(weights.array).all():
            return False
        if node.op == "MatMul":
            return weights.array.ndim == 2 and not node.flag("transpose_a")
        return weights.array.ndim == 4 and weights.array.size > 0 and _is_nhwc(node) and self._is_whole(node)

    def _is_whole(self, node: Node) -> bool:
        """Whether a convolution is not in groups."""
        weights, dims = self.graph.constant(node, 1), self._dims(node.data_refs[0])
        assert weights is not None
        return node.op != "Conv2D" or dims is None or dims[-1] in (-1, weights.array.shape[2])

    def _dims(self, ref: Ref) -> tuple[int, ...] | None:
        shapes = infer_shapes(self.graph).get(ref.name, ())
        return shapes[ref.port].dims if ref.port < len(shapes) else None

    def _adds_vector(self, node: Node) -> bool:
        """Whether a node adds a constant with a value for each channel (behind the tensor, where both are inputs)."""
        if node.op not in ("BiasAdd", "Add", "AddV2") or not _is_nhwc(node):
            return False
        value, dims = self.graph.constant(node, 1), self._dims(node.data_refs[0])
        if value is None or dims is None or not np.isfinite(value.array).all():
            return False
        shape = value.array.shape
        return len(shape) <= len(dims) and (shape or (0,))[-1] == dims[-1] == value.array.size

    def _hands_on(self, node: Node) -> bool:
        if node.op in _SUMS:
            shapes = [self._dims(ref) for ref in node.data_refs]
            return shapes[0] is not None and all(shape == shapes[0] for shape in shapes)
        window = node.ints("ksize")
        return node.op in _HOMOGENEOUS and _is_nhwc(node) and (not window or window[-1] == 1)

    def _join(self, node: Node, sources: list[str] | tuple[str, ...]) -> None:
        """``node`` has the factors of all ``sources``."""
        known = [name for name in sources if name in self._parent]
        if not known:
            return
        self._parent[node.name] = self._root(known[0])
        for name in known[1:]:
            self._parent[self._root(name)] = self._root(node.name)
        if len(known) < len(sources) or any(ref.port for ref in node.data_refs):
            self._fixed.add(node.name)

    def _root(self, name: str) -> str:
        while (parent := self._parent[name]) != name:
            self._parent[name] = self._parent[parent]
            name = parent
        return name


def _is_nhwc(node: Node) -> bool:
    return node.text("data_format", "NHWC") in ("NHWC", "")

"""Which tensor of a compressed graph stands for a value of the original, as a float or in 8 bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from compressor_gui.core.captions import ACTIVATIONS, AFFINE, BRIEF, WEIGHTED
from compressor_gui.core.dequantize import Dequantizer
from compressor_gui.core.graph import ModelGraph, Node, parse_ref
from compressor_gui.core.passes.eightbit.kernels import KERNELS, REQUANTIZE_SUFFIX
from compressor_gui.core.passes.eightbit.links import LINKS
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.recipe import Replay
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import DType, Shape, Tensor

MOVES = frozenset(
    ("Identity", "StopGradient", "Snapshot", "Reshape", "Squeeze", "ExpandDims", "Transpose", "Slice", "StridedSlice",
     "Split", "SplitV", "Unpack", "Placeholder", "PlaceholderWithDefault")
)  # fmt: skip
"""Ops that put out what they read: their noise is that of their input."""
_OUT_OF = ("Merge", "RefMerge", "Exit", "RefExit")
_INTO = ("Switch", "RefSwitch", "Enter", "RefEnter")


@dataclass(frozen=True)
class Chain:
    """A layer: operations of which each only hands on to the next, until the value that others read."""

    nodes: tuple[Node, ...]

    @property
    def head(self) -> Node:
        """The operation that it begins with."""
        return self.nodes[0]

    @property
    def end(self) -> str:
        """The node whose value others read."""
        return self.nodes[-1].name

    @property
    def what(self) -> str:
        """``Conv2D · Bias · Relu6``, as boxes of the picture are labelled."""
        if len(self.nodes) == 1:
            return self.head.op
        return " · ".join(BRIEF.get(node.op, node.op) for node in self.nodes)


def chains(graph: ModelGraph) -> tuple[Chain, ...]:
    """What is computed from the graph's inputs, but for mere moves and what runs in loops and branches, in topological
    order. Biases and batch norms, and the activation behind them, belong to what they follow, as in :mod:`.fold`."""
    varying, conditional = set(graph.inputs), _conditional(graph)
    ending: dict[str, list[Node]] = {}
    for node in graph.topological():
        computed = [ref.name for ref in node.data_refs if ref.name in varying]
        if not computed:
            continue
        varying.add(node.name)
        if node.op in MOVES or node.name in conditional:
            continue
        before = computed[0] if _goes_on(graph, node, computed) else ""
        ending[node.name] = [*ending.pop(before, ()), node]
    return tuple(Chain(tuple(nodes)) for nodes in ending.values())


def _goes_on(graph: ModelGraph, node: Node, computed: list[str]) -> bool:
    """Whether a node belongs to the layer that it reads, which nobody else does."""
    if len(computed) != 1 or (node.op not in ACTIVATIONS and node.op not in AFFINE):
        return False
    before = graph[computed[0]]
    ended = before.op not in WEIGHTED and before.op not in AFFINE
    return not ended and len(graph.consumers[before.name]) == 1 and not graph.is_output(before.name)


def _conditional(graph: ModelGraph) -> set[str]:
    """The nodes that do not run once each time: what is reached from a Switch or an Enter without passing a Merge or
    an Exit."""
    found = {node.name for node in graph.nodes if node.op in _INTO}
    waiting = list(found)
    while waiting:
        for name, _ in graph.consumers[waiting.pop()]:
            if name not in found and graph[name].op not in _OUT_OF:
                found.add(name)
                waiting.append(name)
    return found


@dataclass(frozen=True)
class Place:
    """Where a value is: ``tensor`` (``name`` or ``name:port``), in codes where there are ``limits``: what the lowest
    and the highest code stand for, as numbers or as the names of tensors. ``mode`` as in :class:`.Dequantizer`.
    ``factors``: by what the original's value is multiplied along the last axis (None: nothing)."""

    tensor: str
    limits: tuple[str | float, str | float] | None = None
    mode: str = "MIN_COMBINED"
    factors: np.ndarray | None = field(default=None, compare=False)

    @property
    def fetched(self) -> tuple[str, ...]:
        """The tensors that have to be known to tell the value."""
        return (self.tensor, *(limit for limit in self.limits or () if isinstance(limit, str)))

    @property
    def made_with(self) -> tuple[str, ...]:
        """Those of them that one node makes: the tensor, and limits that are found at run time."""
        name = parse_ref(self.tensor).name
        return tuple(tensor for tensor in self.fetched if parse_ref(tensor).name == name)


class Codes:
    """How floats become codes and back, over the limits that a :class:`Place` has."""

    def __init__(self, place: Place, dtype: DType, limits: Mapping[str, np.ndarray]) -> None:
        """``limits``: name of a tensor -> its value, a scalar."""
        assert place.limits is not None
        ends = [float(limits[end].reshape(-1)[0]) if isinstance(end, str) else end for end in place.limits]
        low, high = (Tensor.of(end, DType.FLOAT) for end in ends)
        self._integer = np.iinfo(Tensor.of(0, dtype).array.dtype)
        table = Dequantizer(low, high, place.mode)(Tensor.of(np.array([0, 1]), dtype)).astype(np.float64)
        self._zero, self._step = float(table[0]), float(table[1] - table[0])

    def values(self, codes: np.ndarray) -> np.ndarray:
        """What the codes stand for, float32."""
        return np.asarray(codes * np.float32(self._step) + np.float32(self._zero), np.float32)

    def codes(self, values: np.ndarray) -> np.ndarray:
        """The nearest codes."""
        if not self._step or not math.isfinite(self._step):
            return np.zeros(values.shape, self._integer.dtype)
        places = np.rint((np.nan_to_num(values) - self._zero) / self._step)
        return np.asarray(np.clip(places, self._integer.min, self._integer.max), self._integer.dtype)


def places(replay: Replay, wanted: Mapping[str, Node]) -> dict[str, Place]:
    """Where the values of ``wanted``, nodes of an original by name, are in what a recipe made; some are nowhere.

    The names tell: every pass keeps that of a value that stays float, and names codes after the float that they stand
    for. A graph that was compressed elsewhere is a replay without stages.
    """
    graph = replay.graph
    spans: dict[str, tuple[float, float]] = {}
    factors: dict[str, np.ndarray] = {}
    for stage in replay.stages:
        if isinstance(stage.transform, FuseInt8):
            spans |= stage.transform.limits(stage.before)
        for name, by in stage.transform.factors(stage.before).items():
            factors[name] = factors.get(name, np.float64(1)) * by
    found = {name: _place(graph, node, spans) for name, node in wanted.items()}
    return {name: replace(place, factors=factors.get(name)) for name, place in found.items() if place is not None}


def _place(graph: ModelGraph, node: Node, spans: Mapping[str, tuple[float, float]]) -> Place | None:
    here = graph.get(node.name)
    if here is not None:
        if here.op != "Dequantize":
            return Place(here.name)
        codes, *limits = here.data_refs
        # Where the codes are computed, 8-bit operations read them, not the float behind.
        if graph[codes.name].op == "Const" or here.number("axis", -1) >= 0:
            return Place(here.name)
        return Place(str(codes), (str(limits[0]), str(limits[1])), here.text("mode", "MIN_COMBINED"))
    for name in (node.name + suffix for suffix in _classic_suffixes(node)):
        if name in graph:
            ends = _limits_of(graph, graph[name])
            return ends and Place(name, ends, "MIN_FIRST")
    fused = f"{node.name}_int8"
    return Place(fused, spans[node.name]) if fused in graph and node.name in spans else None


def _classic_suffixes(node: Node) -> tuple[str, ...]:
    """By what ``quantize_nodes`` may lengthen a name for codes that stand for the node's value, the last it makes
    first."""
    kernel = KERNELS.get(node.op) or LINKS.get(node.op)
    if kernel is None:
        return (REQUANTIZE_SUFFIX,)
    return (REQUANTIZE_SUFFIX, f"{kernel.suffix}_squeeze", kernel.suffix)


def _limits_of(graph: ModelGraph, node: Node | None) -> tuple[str, str] | None:
    """The limits of the codes that a node puts out: behind them, or those of what it moves."""
    while node is not None and not node.op.startswith(("Quantize", "Requantize")):
        computed = (graph.get(ref.name) for ref in node.data_refs)
        node = next((source for source in computed if source is not None and source.op != "Const"), None)
    return None if node is None else (f"{node.name}:1", f"{node.name}:2")


def with_given(graph: ModelGraph, given: Mapping[str, tuple[DType, Shape]]) -> tuple[ModelGraph, dict[str, str]]:
    """``graph`` where those who read certain tensors read placeholders instead, and tensor -> placeholder.

    ``given``: tensor -> its type and shape. What computes it is still there.
    """
    names = {tensor: f"given_values/{at}" for at, tensor in enumerate(given)}
    added = [
        Node.make(names[tensor], "Placeholder", dtype=dtype, shape=shape) for tensor, (dtype, shape) in given.items()
    ]
    known = {parse_ref(tensor): name for tensor, name in names.items()}
    nodes = [
        node.with_(inputs=[known.get(ref, text) for ref, text in zip(node.refs, node.inputs, strict=True)])
        if any(ref in known for ref in node.refs)
        else node
        for node in graph.nodes
    ]
    return ModelGraph([*added, *nodes], graph.extras, graph.outputs), names


def bytes_of(graph: ModelGraph, names: Mapping[str, Node]) -> int:
    """Bytes of the float values of some nodes for one example, as far as the shapes are known."""
    shapes = infer_shapes(graph)
    dims = (shapes[name][0].dims for name in names if shapes.get(name))
    return sum(4 * math.prod(size for size in found[1:] if size > 0) for found in dims if found)

"""The 8-bit regions of a graph, and the float islands that tear them apart: why each is float, and what it costs.

For graphs that ``quantize_nodes`` (the classic kernels) or ``fuse_int8`` (oneDNN's) made. The reasons are those that
the two passes themselves decide by: :func:`.eightbit.plan.why_float` and :func:`.int8.match.why_float`, and what a
pass recorded because the graph does not show it (a layer skipped by name, a range that is not known).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from compressor_gui.core.graph import CONTROL_FLOW, ModelGraph, Node, Ref
from compressor_gui.core.op_outputs import output_types
from compressor_gui.core.packing import packed_size
from compressor_gui.core.passes.eightbit import plan as classic
from compressor_gui.core.passes.int8 import match as fused
from compressor_gui.core.passes.int8.kernels import FUSED_OPS
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import DType

BORDERS = ("QuantizeV2", "Dequantize")
"""The conversions between float and 8 bits."""

_CODES = frozenset((DType.QUINT8, DType.QINT8, DType.QINT32))
_INTEGERS = frozenset((DType.UINT8, DType.INT8, DType.INT32))
"""What a Bitcast makes of codes, for operations that have no kernel for these."""
_ASK = ("ArgMax", "ArgMin", "Rank", "Shape", "Size")
"""Read codes, and put out other integers."""
_FLOATS = frozenset((DType.FLOAT, DType.HALF, DType.BFLOAT16, DType.DOUBLE))
_TOLD = 4
_CONVERTED_BYTES = 5
"""A number is read and written once, in 4 bytes and in 1."""


@dataclass(frozen=True)
class Island:
    """Connected float operations on a path from one 8-bit operation to another.

    ``reasons``: why it is float -> the nodes of which that is true. ``conversions``: the Dequantize and QuantizeV2
    nodes at its shore; ``elements``: the numbers that they convert for one example, None where a shape is not known.
    """

    nodes: tuple[str, ...]
    reasons: Mapping[str, tuple[str, ...]]
    conversions: tuple[str, ...]
    elements: int | None

    @property
    def reason(self) -> str:
        """The reasons as one sentence without its full stop, the first of many."""
        named = list(self.reasons)
        if len(named) > _TOLD:
            named = [*named[: _TOLD - 1], f"and {len(named) - _TOLD + 1} more reasons"]
        return "; ".join(named)

    @property
    def bytes(self) -> int | None:
        """The bytes that the conversions read and write for one example."""
        return None if self.elements is None else self.elements * _CONVERTED_BYTES

    def to_json(self) -> dict[str, Any]:
        """As ``inspect --regions --json`` prints it."""
        return {
            "nodes": list(self.nodes),
            "reason": self.reason,
            "reasons": {reason: list(names) for reason, names in self.reasons.items()},
            "conversions": list(self.conversions),
            "elements": self.elements,
            "bytes": self.bytes,
        }


@dataclass(frozen=True)
class Region:
    """Nodes that pass 8-bit tensors among them, conversions included, constants not.

    ``fused``: it has a fused oneDNN kernel. ``islands``: what comes out of it or leads into it; an island between two
    regions is in both, as one object.
    """

    nodes: frozenset[str]
    fused: bool = False
    islands: tuple[Island, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """As ``inspect --regions --json`` prints it."""
        return {
            "nodes": sorted(self.nodes),
            "fused": self.fused,
            "islands": [island.to_json() for island in self.islands],
        }


def regions(graph: ModelGraph, left: Mapping[str, str] | None = None) -> tuple[Region, ...]:
    """The regions of ``graph``, in topological order of their first nodes.

    ``left``: node -> why a pass left it in float, as :attr:`.Replay.left` collects it; without it, what the graph does
    not show is named as what it may be. Time is linear in nodes and edges.
    """
    return _Search(graph, left or {}).regions()


def islands(found: Iterable[Region]) -> tuple[Island, ...]:
    """The islands of all regions, each once."""
    return tuple({id(island): island for region in found for island in region.islands}.values())


class _Search:
    def __init__(self, graph: ModelGraph, left: Mapping[str, str]) -> None:
        self.graph = graph
        self.left = left
        self._place = {name: at for at, name in enumerate(graph)}
        self.coded = self._eight_bit_nodes()
        self._inland: set[str] = set()

    def regions(self) -> tuple[Region, ...]:
        groups = [names for names in self._components(self.coded, self._passes_codes) if self._computes(names)]
        home = {name: at for at, names in enumerate(groups) for name in names}
        fused_ = [any(self.graph[name].op in FUSED_OPS for name in names) for names in groups]
        found: list[list[Island]] = [[] for _ in groups]
        for names in self._components(self._between(home), lambda source, _: source in self._inland):
            before = {ref.name for name in names for ref in self.graph[name].data_refs if ref.name in home}
            behind = {user for name in names for user in self._readers(name) if user in home}
            around = sorted({home[name] for name in chain(before, behind)})
            made_by_fuse = any(fused_[home[name]] for name in before)
            island = self._island(names, before | behind, fused.why_float if made_by_fuse else classic.why_float)
            for at in around:
                found[at].append(island)
        return tuple(Region(frozenset(names), fused_[at], tuple(found[at])) for at, names in enumerate(groups))

    # -- 8 bits ----------------------------------------------------------------------------------------------------

    def _eight_bit_nodes(self) -> dict[str, frozenset[int]]:
        """8-bit node -> which of its outputs are 8-bit. A constant, packed or not, is none: stored weights join
        nothing."""
        found: dict[str, frozenset[int]] = {}
        for node in self.graph.topological():
            if node.op == "Const" or node.op in CONTROL_FLOW or packed_size(self.graph, node) is not None:
                continue
            reads = any(ref.port in found.get(ref.name, ()) for ref in node.data_refs)
            carried = _CODES | _INTEGERS if reads and node.op not in _ASK else _CODES
            makes = frozenset(at for at, kind in enumerate(output_types(node) or ()) if kind in carried)
            if makes or reads:
                found[node.name] = makes
        return found

    def _passes_codes(self, source: str, port: int) -> bool:
        return port in self.coded.get(source, ())

    def _computes(self, names: Iterable[str]) -> bool:
        return any(self.graph[name].op not in BORDERS for name in names)

    # -- float -----------------------------------------------------------------------------------------------------

    def _between(self, home: Mapping[str, int]) -> list[str]:
        """The float nodes on paths between regions, in topological order."""
        order = self.graph.topological()
        behind: set[str] = set()
        for node in order:
            reached = any(ref.name in behind or self._puts_out_float(ref, home) for ref in node.data_refs)
            if reached and node.name not in home and self._is_float(node):
                behind.add(node.name)
        for node in reversed(order):
            if node.name in behind and any(user in home or user in self._inland for user in self._readers(node.name)):
                self._inland.add(node.name)
        return [node.name for node in order if node.name in self._inland]

    def _puts_out_float(self, ref: Ref, home: Mapping[str, int]) -> bool:
        """Whether that is the value of an 8-bit node, and not an end of its range."""
        value = ref.port == 0 and self.graph[ref.name].op != "RequantizationRange"
        return value and ref.name in home and ref.port not in self.coded[ref.name]

    def _is_float(self, node: Node) -> bool:
        """Whether a node carries floats on; one that only finds the range of a QuantizeV2 is part of the conversion."""
        types = output_types(node)
        return (types is None or any(t in _FLOATS for t in types)) and not classic.finds_range(self.graph, node)

    def _readers(self, name: str) -> list[str]:
        users = self.graph.consumers[name]
        return [user for user, at in users if not self.graph[user].refs[at].control]

    def _island(self, names: list[str], shore: set[str], why_float: Callable[[ModelGraph, Node], str]) -> Island:
        reasons: dict[str, list[str]] = {}
        for name in names:
            reason = self.left.get(name) or why_float(self.graph, self.graph[name])
            reasons.setdefault(reason, []).append(name)
        conversions = sorted((n for n in shore if self.graph[n].op in BORDERS), key=self._place.__getitem__)
        sizes = [self._elements(name) for name in conversions]
        elements = None if None in sizes else sum(size for size in sizes if size is not None)
        return Island(
            tuple(names), {reason: tuple(found) for reason, found in reasons.items()}, tuple(conversions), elements
        )

    def _elements(self, name: str) -> int | None:
        """The numbers of one example: the first axis of a tensor with two or more is the batch."""
        dims = infer_shapes(self.graph)[name][0].dims
        if dims is None:
            return None
        size = dims[1:] if len(dims) > 1 else dims
        return None if -1 in size else math.prod(size)

    # -- both ------------------------------------------------------------------------------------------------------

    def _components(self, names: Iterable[str], joined: Callable[[str, int], bool]) -> list[list[str]]:
        """``names``, in topological order, in groups that hang together by the outputs that are ``joined``."""
        parent = {name: name for name in names}

        def root(name: str) -> str:
            while parent[name] != name:
                parent[name] = parent[parent[name]]
                name = parent[name]
            return name

        for name in parent:
            for ref in self.graph[name].data_refs:
                if ref.name in parent and joined(ref.name, ref.port):
                    parent[root(name)] = root(ref.name)
        groups: dict[str, list[str]] = {}
        for name in parent:
            groups.setdefault(root(name), []).append(name)
        return list(groups.values())

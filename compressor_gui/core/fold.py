"""A graph as people want to see it: constants inside their readers, a layer as one box, closed name scopes as one box.

No positions here (:mod:`.layout` has them), and nothing is hidden for good: every node belongs to a box.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from compressor_gui.core import units
from compressor_gui.core.captions import ACTIVATIONS, AFFINE, BRIEF, WEIGHTED, detail, family, title
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.names import shared_scope
from compressor_gui.core.packing import packed_size
from compressor_gui.core.region_boxes import IslandBoxes, RegionBoxes, island_boxes, region_boxes
from compressor_gui.core.regions import Region, regions
from compressor_gui.core.values import DType

Kind = Literal["op", "fused", "scope"]

PURE = {
    "Identity", "Cast", "Bitcast", "Reshape", "Transpose", "ExpandDims", "Squeeze", "Dequantize", "DecodeCompressed",
    "DecodeRaw", "Gather", "GatherV2", "Add", "AddV2", "Sub", "Mul", "RealDiv", "Neg", "Rsqrt", "Sqrt", "Pack",
    "Concat", "ConcatV2", "Fill", "Range", "Pad", "Slice", "StridedSlice",
}  # fmt: skip
"""Ops whose result is a constant where all that they read is: how weights are stored, and arithmetic on them."""
OPEN_UP_TO = 200
"""A graph of at most so many boxes starts with all scopes open; in a larger one scopes open while it stays below."""
AT_LEAST = 12
"""A start with fewer boxes than this says nothing, so that scopes are opened whatever their size."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box of the picture.

    ``id`` is the name of its first node, or the scope with its slash; ``label`` what it does, ``title`` what it is
    called, without the scope that all nodes share; ``members`` all nodes in it, the one that gives it its name first;
    ``constants`` how many of them, at the end, are constants; ``scope`` the parent scope (``a/b/``); ``bytes`` of all
    constants in it; ``stored`` the 8-bit type of a weight that a Dequantize among its constants turns to float.
    """

    id: str
    kind: Kind
    family: str
    label: str
    title: str
    members: tuple[str, ...]
    constants: int
    scope: str
    bytes: int
    stored: str = ""

    @property
    def ops(self) -> tuple[str, ...]:
        """The members that compute."""
        return self.members[: len(self.members) - self.constants]


@dataclass(frozen=True, eq=False)
class Folded:
    """Boxes and the edges between them.

    ``edges``: int32 of shape (edges, 2), box indices of producer and consumer, no doubles and no loops;
    ``tensors``: for each edge the tensors (``name``, ``name:1``) that flow along it, none where it is control only.
    ``owner``: node -> index of its box. ``scopes``: scope -> how many boxes of the unfolded picture lie in it, the ones
    worth a box of their own only. ``open_scopes``: those of them that are open.
    """

    boxes: tuple[Box, ...]
    edges: NDArray[np.int32]
    tensors: tuple[tuple[str, ...], ...]
    owner: Mapping[str, int]
    regions: tuple[RegionBoxes, ...]
    islands: tuple[IslandBoxes, ...]
    scopes: Mapping[str, int]
    open_scopes: frozenset[str]

    def index(self, identity: str) -> int:
        """The index of the box with an id, or -1."""
        return self._by_id.get(identity, -1)

    @property
    def _by_id(self) -> dict[str, int]:
        known: dict[str, int] = self.__dict__.setdefault("_ids", {box.id: i for i, box in enumerate(self.boxes)})
        return known


@dataclass(eq=False)
class _Group:
    """Nodes that are drawn as one box when all scopes are open."""

    ops: list[Node]
    constants: list[Node] = field(default_factory=list)
    scope: str = ""


def fold(
    graph: ModelGraph,
    open_scopes: Iterable[str] | None = None,
    *,
    constants: bool = False,
    chains: bool = True,
    apart: Collection[str] = (),
    found: Sequence[Region] | None = None,
) -> Folded:
    """Fold a graph; ``open_scopes`` None opens what :func:`readable_scopes` would. ``found``: its 8-bit regions, where
    they are known already.

    ``constants``: draw constants as boxes. ``chains``: draw a layer (convolution, bias, activation) as one box, but for
    the nodes in ``apart``, which keep boxes of their own.
    """
    groups = _groups(graph, constants, chains, apart)
    scopes, paths = _scopes(groups)
    opened = frozenset(scopes) & (readable_scopes(scopes, paths) if open_scopes is None else frozenset(open_scopes))
    shared = shared_scope(group.ops[0].name for group in groups)

    boxes: list[Box] = []
    owner: dict[str, int] = {}
    scope_box: dict[str, list[_Group]] = {}
    visible: list[str] = []
    for group, path in zip(groups, paths, strict=True):
        closed = next((scope for scope in path if scope not in opened), "")
        visible.append(closed)
        if closed:
            scope_box.setdefault(closed, []).append(group)
    placed: set[str] = set()
    for group, path, closed in zip(groups, paths, visible, strict=True):
        if closed in placed:
            continue
        if closed:
            placed.add(closed)
            parent = path[path.index(closed) - 1] if path.index(closed) else ""
            boxes.append(_scope_box(closed, parent, shared, scope_box[closed]))
        else:
            boxes.append(_box(group, shared, path[-1] if path else "", graph))
        owner.update(dict.fromkeys(boxes[-1].members, len(boxes) - 1))
    inside = {name for box in boxes for name in box.members[len(box.ops) :]}
    edges, tensors = _edges(graph, owner, inside)
    found = regions(graph) if found is None else found
    inner = region_boxes(graph, found, owner), island_boxes(found, owner)
    return Folded(tuple(boxes), edges, tensors, owner, *inner, scopes, opened)


# --- boxes -----------------------------------------------------------------------------------------------------------


def _groups(graph: ModelGraph, constants: bool, chains: bool, apart: Collection[str]) -> list[_Group]:
    order = graph.topological()
    readers = {name: {user for user, _ in users} for name, users in graph.consumers.items()}
    wanted = set(graph.outputs)
    folded: set[str] = set()
    if not constants:
        for node in order:
            refs = node.data_refs
            constant = node.op == "Const" or (node.op in PURE and refs and all(ref.name in folded for ref in refs))
            if constant and readers[node.name] and node.name not in wanted:
                folded.add(node.name)

    group_of: dict[str, _Group] = {}
    groups: list[_Group] = []
    for node in order:
        if node.name in folded:
            continue
        into = _chain_of(node, graph, group_of, readers, folded) if chains and node.name not in apart else None
        if into is not None and into.ops[-1].name in apart:
            into = None
        if into is None:
            into = _Group([])
            groups.append(into)
        into.ops.append(node)
        group_of[node.name] = into
    if chains:
        groups = _with_quantizers(graph, groups, group_of, readers)
    for node in reversed(order):  # readers come before what they read, so that chains of constants find their end
        if node.name in folded:
            reader = min(readers[node.name])
            group_of[node.name] = group_of[reader]
            group_of[reader].constants.append(node)
    for group in groups:
        group.scope = _common_scope([node.name for node in group.ops])
    return groups


def _chain_of(
    node: Node, graph: ModelGraph, group_of: Mapping[str, _Group], readers: Mapping[str, set[str]], folded: set[str]
) -> _Group | None:
    """The group that ``node`` continues: what it reads is computed for it alone, and the rest are constants."""
    if node.op in ("Requantize", "RequantizePerChannel"):
        found = next((graph.get(ref.name) for ref in node.data_refs if ref.port == 0 and ref.name in group_of
                      and graph[ref.name].op.startswith("RequantizationRange")), None)  # fmt: skip
        return group_of[found.name] if found is not None and readers[found.name] == {node.name} else None
    if node.op not in AFFINE and node.op not in ACTIVATIONS:
        return None
    computed = [ref.name for ref in node.refs if ref.name not in folded]
    if len(computed) != 1 or readers[computed[0]] != {node.name} or computed[0] in graph.outputs:
        return None
    group = group_of.get(computed[0])
    last = group.ops[-1].op if group else ""
    can_go_on = last in WEIGHTED or last in AFFINE
    is_affine = node.op in AFFINE and (len(node.data_refs) > 1)
    return group if can_go_on and (is_affine or node.op in ACTIVATIONS) else None


def _with_quantizers(
    graph: ModelGraph, groups: list[_Group], group_of: dict[str, _Group], readers: Mapping[str, set[str]]
) -> list[_Group]:
    """Put the Reshape, Min and Max that measure a float input into the box of the QuantizeV2 that they serve."""
    gone: set[int] = set()
    for group in groups:
        head = group.ops[0]
        if head.op != "QuantizeV2":
            continue
        measures = [graph[ref.name] for ref in head.data_refs[1:] if ref.name in graph]
        measures = [m for m in measures if m.op in ("Min", "Max") and readers[m.name] == {head.name}]
        names = {m.name for m in measures}
        flat = {m.data_refs[0].name for m in measures if m.data_refs}
        flat = {name for name in flat if graph[name].op == "Reshape" and readers[name] <= names}
        for node in [*measures, *(graph[name] for name in sorted(flat))]:
            gone.add(id(group_of[node.name]))
            group.ops.append(node)
            group_of[node.name] = group
    return [group for group in groups if id(group) not in gone]


def _box(group: _Group, shared: str, scope: str, graph: ModelGraph) -> Box:
    head = group.ops[0]
    ops = [node.op for node in group.ops]
    if head.op == "QuantizeV2" and len(ops) > 1:
        label = "Min · Max · QuantizeV2"
    elif len(ops) > 1:
        label = " · ".join(BRIEF.get(op, op) for op in ops)
    else:
        label = head.op
    kind: Kind = "fused" if len(ops) > 1 else "op"
    of = family(head.op)
    if of == "other" and len(ops) > 1 and all(op in AFFINE for op in ops):
        of = "normalisation"
    stored = _stored(group, graph)
    about = " · ".join(filter(None, (detail(head, graph), stored)))
    members = (*(node.name for node in group.ops), *(node.name for node in group.constants))
    caption = title(head.name.removeprefix(shared), head.op, about)
    return Box(head.name, kind, of, label, caption, members, len(group.constants), scope, _bytes(group), stored)


def _stored(group: _Group, graph: ModelGraph) -> str:
    """The type of the largest 8-bit tensor, packed or not, that a Dequantize among the constants reads."""
    best, most = "", 0
    for node in group.constants:
        codes = graph.producer(node, 0) if node.op == "Dequantize" else None
        if codes is None:
            continue
        size = codes.tensor.nbytes if codes.tensor is not None else packed_size(graph, codes) or 0
        dtype = node.dtype("T")
        if size > most and dtype in (DType.QINT8, DType.QUINT8):
            best, most = dtype.label, size
    return best


def _bytes(group: _Group) -> int:
    tensors = (node.tensor for node in (*group.ops, *group.constants))
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def _scope_box(scope: str, parent: str, shared: str, groups: list[_Group]) -> Box:
    ops = [node for group in groups for node in group.ops]
    constants = [node for group in groups for node in group.constants]
    families = Counter(family(group.ops[0].op) for group in groups if family(group.ops[0].op) != "other")
    of = families.most_common(1)[0][0] if families else "other"
    label = scope.removeprefix(parent or shared).rstrip("/")
    members = (*(node.name for node in ops), *(node.name for node in constants))
    size = sum(map(_bytes, groups))
    caption = f"{len(groups)} boxes" + (f" · {units.size(size)}" if size else "")
    return Box(scope, "scope", of, label, caption, members, len(constants), parent, size)


# --- scopes ----------------------------------------------------------------------------------------------------------


def _common_scope(names: list[str]) -> str:
    parts = [name.split("/")[:-1] for name in names]
    low, high = min(parts), max(parts)
    depth = 0
    while depth < min(len(low), len(high)) and low[depth] == high[depth]:
        depth += 1
    return "".join(part + "/" for part in low[:depth])


def _scopes(groups: list[_Group]) -> tuple[dict[str, int], list[tuple[str, ...]]]:
    """The scopes that are worth a box, with their sizes, and for each group those it lies in, outermost first.

    Not worth one are scopes of a single box, those that hold (nearly) everything, and those that hold only one other.
    """
    size: Counter[str] = Counter()
    every: list[list[str]] = []
    for group in groups:
        path, at = [], group.scope.find("/")
        while at >= 0:
            path.append(group.scope[: at + 1])
            at = group.scope.find("/", at + 1)
        every.append(path)
        size.update(path)
    scoped = sum(1 for path in every if path)
    worth: dict[str, int] = {}
    for path in every:
        for outer, inner in zip(path, [*path[1:], ""], strict=False):
            if size[outer] > 1 and size[outer] < scoped and (not inner or size[inner] < size[outer]):
                worth[outer] = size[outer]
    return worth, [tuple(scope for scope in path if scope in worth) for path in every]


def readable_scopes(scopes: Mapping[str, int], paths: Iterable[tuple[str, ...]]) -> frozenset[str]:
    """The scopes to open at first: all in a small graph; else the largest first, while the picture stays readable."""
    children: dict[str, set[str]] = {}
    own: Counter[str] = Counter()
    total = 0
    for path in paths:
        total += 1
        own[path[-1] if path else ""] += 1
        for outer, inner in zip(("", *path), path, strict=False):
            children.setdefault(outer, set()).add(inner)
    if total <= OPEN_UP_TO:
        return frozenset(scopes)
    opened: set[str] = set()
    seen = own[""] + len(children.get("", ()))
    waiting = [(-scopes[scope], scope) for scope in children.get("", ())]
    heapq.heapify(waiting)
    while waiting:
        _, scope = heapq.heappop(waiting)
        more = own[scope] + len(children.get(scope, ())) - 1
        if seen + more > OPEN_UP_TO and seen >= AT_LEAST:
            continue
        opened.add(scope)
        seen += more
        for inner in children.get(scope, ()):
            heapq.heappush(waiting, (-scopes[inner], inner))
    return frozenset(opened)


# --- edges -----------------------------------------------------------------------------------------------------------


def _edges(
    graph: ModelGraph, owner: Mapping[str, int], inside: Collection[str]
) -> tuple[NDArray[np.int32], tuple[tuple[str, ...], ...]]:
    """The edges between boxes. Constants ``inside`` a box have none, to other readers neither: a weight that two layers
    share would look like something that one computes for the other."""
    flows: dict[tuple[int, int], dict[str, None]] = {}
    for node in graph.nodes:
        target = owner[node.name]
        for ref in node.refs:
            source = owner.get(ref.name)
            if source is None or source == target or ref.name in inside:
                continue
            found = flows.setdefault((source, target), {})
            if not ref.control:
                found[str(ref)] = None
    edges = np.array(list(flows), np.int32).reshape(-1, 2)
    return edges, tuple(tuple(found) for found in flows.values())

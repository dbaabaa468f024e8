"""Which node of one graph is which of another, where no recipe joins the two files.

By name first; then by name without the prefix that all left-over nodes share; then by structure: from placeholders and
weights that are alike, and from every pair already found, to the neighbours that have the same op in the same place.
Every pair is looked at a bounded number of times, so the work is linear in nodes and edges.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Mapping

import numpy as np

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.names import shared_scope
from compressor_gui.core.values import Attr, DType, Tensor

TELLING_BYTES = 64
"""A constant this large is recognised by its content alone; smaller ones (axes, paddings) look alike everywhere."""


def match_nodes(before: ModelGraph, after: ModelGraph) -> dict[str, str]:
    """Node of ``after`` -> the node of ``before`` that it is; what has no counterpart is left out."""
    matcher = _Matcher(before, after)
    for name in after:
        if name in before:
            matcher.pair(name, name)
    if not matcher.done:
        matcher.by_prefix()
        matcher.by_content()
        matcher.spread()
    return matcher.pairs


class _Matcher:
    def __init__(self, before: ModelGraph, after: ModelGraph) -> None:
        self.before, self.after = before, after
        self.pairs: dict[str, str] = {}
        self.left_before = dict.fromkeys(before)
        self.left_after = dict.fromkeys(after)
        self.fresh: deque[tuple[str, str]] = deque()

    @property
    def done(self) -> bool:
        return not self.left_before or not self.left_after

    def pair(self, old: str, new: str) -> None:
        self.pairs[new] = old
        del self.left_before[old], self.left_after[new]
        if self.before[old].op == self.after[new].op:  # neighbours of a node that became another op prove nothing
            self.fresh.append((old, new))

    def pair_unique(self, old: Mapping[str, Hashable], new: Mapping[str, Hashable]) -> None:
        """Pair the names whose keys occur once on either side."""
        once_old = _once(old)
        for key, name in _once(new).items():
            if key in once_old:
                self.pair(once_old[key], name)

    def by_prefix(self) -> None:
        """Names that are equal without the scope in which all left-over nodes of a graph lie."""
        self.pair_unique(_inner_names(self.before, self.left_before), _inner_names(self.after, self.left_after))

    def by_content(self) -> None:
        """Placeholders and large constants that are alike; other nodes when the last part of the name agrees too."""
        self.pair_unique(
            {name: _content(self.before[name]) for name in self.left_before},
            {name: _content(self.after[name]) for name in self.left_after},
        )

    def spread(self) -> None:
        """Walk from each pair to its neighbours; where several fit equally, wait until nothing else is left."""
        ambiguous: deque[tuple[str, str]] = deque()
        while (self.fresh or ambiguous) and not self.done:
            if self.fresh:
                old, new = self.fresh.popleft()
                self._match_inputs(old, new)
                if self._match_readers(old, new, in_order=False):
                    ambiguous.append((old, new))
            else:
                self._match_readers(*ambiguous.popleft(), in_order=True)

    def _match_inputs(self, old: str, new: str) -> None:
        for a, b in zip(self.before[old].refs, self.after[new].refs, strict=False):
            if a.name not in self.left_before or b.name not in self.left_after or a[1:] != b[1:]:
                continue
            if self.before[a.name].op == self.after[b.name].op:
                self.pair(a.name, b.name)

    def _match_readers(self, old: str, new: str, *, in_order: bool) -> bool:
        """Pair the readers of two nodes; tells whether some were left because several fit equally."""
        olds = _readers(self.before, old, self.left_before)
        news = _readers(self.after, new, self.left_after)
        unsure = False
        for key in olds.keys() & news.keys() if len(olds) > 1 else olds:
            ours, theirs = olds[key], news.get(key, [])
            if len(ours) == len(theirs) and (in_order or len(ours) == 1):
                for a, b in zip(ours, theirs, strict=True):
                    if a in self.left_before and b in self.left_after:
                        self.pair(a, b)
            elif theirs:
                unsure = True
        return unsure


def _once(keys: Mapping[str, Hashable]) -> dict[Hashable, str]:
    """Key -> name for the keys that one name alone has; None is no key."""
    counts = Counter(keys.values())
    return {key: name for name, key in keys.items() if key is not None and counts[key] == 1}


def _inner_names(graph: ModelGraph, names: Iterable[str]) -> dict[str, Hashable]:
    rooted = {name: f"/{name}" for name in names}  # so that a name without a scope counts as well
    scope = shared_scope(rooted.values())
    return {name: (path.removeprefix(scope), graph[name].op) for name, path in rooted.items()}


def _readers(graph: ModelGraph, name: str, left: Mapping[str, None]) -> dict[tuple[str, int, int], list[str]]:
    """The readers that are still unpaired, by op, place among their inputs, and output read."""
    found: dict[tuple[str, int, int], list[str]] = {}
    for reader, index in graph.consumers[name]:
        if reader in left:
            node = graph[reader]
            found.setdefault((node.op, index, node.refs[index].port), []).append(reader)
    return found


def _content(node: Node) -> Hashable:
    """What a node is apart from its name and neighbours; small constants have nothing of their own to tell."""
    told = tuple((key, _digest(node.attrs[key])) for key in sorted(node.attrs) if not key.startswith("_"))
    tensor = node.tensor
    if (tensor is not None and tensor.nbytes >= TELLING_BYTES) or node.op.startswith("Placeholder"):
        return node.op, told
    return node.op, told, node.name.rpartition("/")[2]


def _digest(value: Attr) -> Hashable:
    if not isinstance(value, Tensor):
        return value
    if value.dtype == DType.STRING:
        return value.dtype, value.array.shape, tuple(value.array.ravel().tolist())
    content = np.ascontiguousarray(value.array).reshape(-1).view(np.uint8)
    return value.dtype, value.array.shape, hashlib.sha256(content.data).digest()

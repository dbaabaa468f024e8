"""Numbers for the channels of a graph, carried along it: what is known of each tensor, and which numbers are one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.shapes import Dims, infer_shapes


class Labels(NamedTuple):
    """Along which axis of a tensor its channels lie (negative: counted from the last), and their numbers, in order."""

    axis: int
    ids: np.ndarray


@dataclass
class Walk:
    """What is known so far of the channels of ``graph``.

    ``parent`` is the forest of numbers that are one (union-find), ``kept`` the numbers that have to stay and why,
    ``labels`` what each operation's first output holds; the rest as in :class:`~compressor_gui.core.channels.Channels`,
    with numbers in place of classes.
    """

    graph: ModelGraph
    parent: list[int] = field(default_factory=list)
    kept: list[tuple[np.ndarray, str]] = field(default_factory=list)
    labels: dict[str, Labels] = field(default_factory=dict)
    made: dict[str, np.ndarray] = field(default_factory=dict)
    weights: dict[str, tuple[str, int]] = field(default_factory=dict)
    held: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)
    reshapes: dict[str, int] = field(default_factory=dict)

    # -- numbers ------------------------------------------------------------------------------------------------------

    def fresh(self, count: int) -> np.ndarray:
        """As many numbers that nobody has yet."""
        start = len(self.parent)
        self.parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def root(self, number: int) -> int:
        """The least of the numbers that are one with ``number``."""
        parent = self.parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def unify(self, left: np.ndarray, right: np.ndarray) -> None:
        """Number by number, the two are one."""
        if left is right:
            return
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            a, b = self.root(a), self.root(b)
            self.parent[max(a, b)] = min(a, b)

    def keep(self, found: Labels | None, why: str) -> None:
        """These channels have to stay."""
        if found is not None:
            self.kept.append((found.ids, why))

    def keep_all(self, inputs: Iterable[Labels | None], why: str) -> None:
        """All of these channels have to stay."""
        for found in inputs:
            self.keep(found, why)

    def hold(self, constant: Node, axis: int, ids: np.ndarray) -> None:
        """``constant`` has an entry for each of ``ids`` along ``axis``."""
        known = self.held.setdefault((constant.name, axis), ids)
        self.unify(known, ids)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def dims(self, node: Node, index: int) -> Dims:
        """The dimensions of the ``index``-th data input, None where the rank is not known."""
        ref = node.data_refs[index]
        shapes = infer_shapes(self.graph).get(ref.name, ())
        return shapes[ref.port].dims if ref.port < len(shapes) else None

    def read(self, node: Node, index: int) -> Labels | None:
        """The labels of the ``index``-th data input; channels that are read as another than the first output stay."""
        ref = node.data_refs[index]
        found = self.labels.get(ref.name)
        if found is not None and ref.port > 0:
            self.keep(found, f"{node.name} reads another output of {ref.name}")
            return None
        return found

"""Which channels of a network belong together, so that one can be taken out of all layers, constants and shapes.

Every output channel of a layer gets a number, and the numbers are carried along the graph: behind an addition two
channels are one (residual partners), a concatenation lines them up, a flattened picture repeats them, a depthwise
filter, a bias and a batch norm hold one entry for each. What is left are classes of channels that can only go together,
the constants that hold an entry for each of them, and channels that have to stay since something needs them all.

The same idea as the dependency graph of G. Fang et al. ("DepGraph: Towards Any Structural Pruning", CVPR 2023), kept to
single channels: which layers are grouped follows from the classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compressor_gui.core.channel_rules import labels_of
from compressor_gui.core.channel_walk import Labels, Walk
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.memo import by_identity


@dataclass(frozen=True)
class Channels:
    """The channels of a graph; every array holds classes, which are the numbers, below ``count``, that channels have in
    common.

    ``made``: layer operation -> its output channels; ``weights``: its Const, and their axis there. ``held``: (Const,
    axis from the last) -> whose entries lie there. ``outputs``: operation -> what its first output's channels are.
    ``reshapes``: the operations whose stated shape counts channels -> where in that shape, from the last. ``reasons``:
    class that has to stay -> why, in words that finish the sentence "Kept, as ...".
    """

    count: int
    made: dict[str, np.ndarray]
    weights: dict[str, tuple[str, int]]
    held: dict[tuple[str, int], np.ndarray]
    outputs: dict[str, Labels]
    reshapes: dict[str, int]
    reasons: dict[int, str]

    def groups(self) -> list[tuple[str, ...]]:
        """The layers that share channels, directly or through others, in the order of the graph."""
        group_of: dict[int, list[str]] = {}
        groups: list[list[str]] = []
        for layer, ids in self.made.items():
            met = {id(found): found for one in ids.tolist() if (found := group_of.get(one)) is not None}
            merged = [layer]
            for found in met.values():
                merged = found + merged
                groups.remove(found)
            groups.append(merged)
            for member in merged:
                group_of.update(dict.fromkeys(self.made[member].tolist(), merged))
        order = {layer: at for at, layer in enumerate(self.made)}
        ordered = [tuple(sorted(group, key=order.__getitem__)) for group in groups]
        return sorted(ordered, key=lambda group: order[group[0]])


@by_identity
def find_channels(graph: ModelGraph) -> Channels:
    """Follow the channels of every layer (Conv2D, its transpose, MatMul) whose weights are a constant."""
    walk = Walk(graph)
    for node in graph.topological():
        found = labels_of(walk, node)
        if found is not None:
            walk.labels[node.name] = found
    for name in graph.outputs:
        walk.keep(walk.labels.get(name), "they are an output of the graph")
    return _classes(walk)


def _classes(walk: Walk) -> Channels:
    """The numbers that are one become a class, named by the least of them."""
    roots = np.array([walk.root(number) for number in range(len(walk.parent))], np.int64)
    reasons: dict[int, str] = {}
    for ids, why in walk.kept:
        for one in np.unique(roots[ids]).tolist():
            reasons.setdefault(one, why)
    return Channels(
        len(walk.parent),
        {layer: roots[ids] for layer, ids in walk.made.items()},
        walk.weights,
        {place: roots[ids] for place, ids in walk.held.items()},
        {name: Labels(found.axis, roots[found.ids]) for name, found in walk.labels.items()},
        walk.reshapes,
        reasons,
    )

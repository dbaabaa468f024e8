"""The ways through the pictures: from match to match of a search, and from difference to difference."""

from __future__ import annotations

import re
from collections.abc import Sequence

from compressor_gui.core.diff import Diff, NodeDiff
from compressor_gui.core.graph import ModelGraph
from compressor_gui.gui.canvas.picture import Picture


def matching(pictures: Sequence[Picture], pattern: re.Pattern[str] | None) -> list[str]:
    """The nodes whose name or op matches, from the top of the pictures on."""
    if pattern is None:
        return []
    found: dict[str, tuple[float, float, int]] = {}
    for picture in pictures:
        for index, box in enumerate(picture.folded.boxes):
            place = (float(picture.layout.y[index]), float(picture.layout.x[index]))
            for order, node in enumerate(box.members):
                if pattern.search(node) or pattern.search(picture.graph[node].op):
                    found.setdefault(node, (*place, order))
    return sorted(found, key=found.__getitem__)


def differing(pictures: Sequence[Picture], diff: Diff) -> list[str]:
    """The nodes that differ, each once, from the top of the pictures on; what is in no picture is left out.

    A removed node is looked for in the picture of the original, any other in the last one.
    """
    orders = [{name: at for box in p.folded.boxes for at, name in enumerate(box.members)} for p in pictures]
    found: list[tuple[float, int, float, int, str]] = []
    for node in diff.nodes:
        if node.change == "unchanged":
            continue
        side = 0 if node.change == "removed" else len(pictures) - 1
        picture = pictures[side]
        box = picture.folded.owner.get(node.name, -1)
        if box >= 0 and (node.change != "removed" or node.name not in pictures[-1].graph or len(pictures) == 1):
            place = (float(picture.layout.y[box]), side, float(picture.layout.x[box]))
            found.append((*place, orders[side][node.name], node.name))
    return list(dict.fromkeys(name for *_, name in sorted(found)))


def step_from(nodes: Sequence[str], chosen: str, step: int) -> int:
    """The index ``step`` behind the chosen one; the first (going back: the last) where that is not among them."""
    if chosen in nodes:
        return (nodes.index(chosen) + step) % len(nodes)
    return 0 if step > 0 else len(nodes) - 1


def counterpart(node: str, graph: ModelGraph, diff: Diff | None) -> str:
    """The node of ``graph`` that a node of the other graph came from or became; nothing where there is none.

    Of several origins it is the first, of several heirs the one that computes.
    """
    if node in graph or not node or diff is None:
        return node if node in graph else ""
    entry = diff.by_name.get(node)
    origins = [name for name in entry.origins if name in graph] if entry is not None else []
    if origins:
        return origins[0]
    heirs = [other for other in diff.nodes if node in other.origins and other.name in graph]
    return max(heirs, key=_likeness, default=_NOBODY).name


def heirs(graph: ModelGraph, diff: Diff | None) -> dict[str, str]:
    """Node of the original that is gone -> the node of ``graph`` that it became: the one that computes."""
    found: dict[str, NodeDiff] = {}
    for node in diff.nodes if diff is not None else ():
        if node.change in ("unchanged", "removed") or node.name not in graph:
            continue
        for origin in node.origins:
            if origin not in found or _likeness(node) > _likeness(found[origin]):
                found[origin] = node
    return {origin: node.name for origin, node in found.items()}


_NOBODY = NodeDiff("", "", "unchanged", ())


def _likeness(heir: NodeDiff) -> tuple[bool, bool]:
    """Whether an heir is what does the work: not a constant, and a QuantizedConv2D rather than its Requantize."""
    return heir.op != "Const", heir.op.startswith("Quantized")

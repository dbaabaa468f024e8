"""What the canvas shows: a folded graph, where its boxes are, and how each differs. Made off the GUI thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compressor_gui.core.aligned import aligned
from compressor_gui.core.diff import Diff
from compressor_gui.core.fold import Folded, fold
from compressor_gui.core.graph import ModelGraph, Node, parse_ref
from compressor_gui.core.layout import Layout, layout
from compressor_gui.core.regions import Region, regions
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import DType, Shape

SAME, ADDED, REMOVED, CHANGED = range(4)
"""How a box differs."""
_CHANGE = {"unchanged": SAME, "added": ADDED, "removed": REMOVED, "changed": CHANGED}

Marks = NDArray[np.int8]


@dataclass(frozen=True)
class Folding:
    """How a graph is folded: the scopes that are open (None: as many as stay readable), and what is unfolded."""

    open_scopes: frozenset[str] | None = None
    constants: bool = False
    chains: bool = True


@dataclass(frozen=True, eq=False)
class Picture:
    """A graph that has been folded and laid out; ``marks``: how each box differs from the graph it is compared with."""

    graph: ModelGraph
    folded: Folded
    layout: Layout
    marks: Marks

    shapes: dict[str, tuple[Shape, ...]] = field(default_factory=dict)
    """Node -> the shapes of its outputs, once :meth:`find_shapes` has been called: a picture does not wait for them."""

    def find_shapes(self) -> None:
        """Work out the tensors' shapes. Takes a while in a large graph."""
        if not self.shapes:
            self.shapes.update(infer_shapes(self.graph))

    def tensor_text(self, edge: int) -> str:
        """What flows along an edge: its type where it is not float, and its shape where it is known."""
        tensors = self.folded.tensors[edge]
        if not tensors:
            return "control"
        texts = []
        for text in tensors[:3]:
            ref = parse_ref(text)
            outputs = self.shapes.get(ref.name, ())
            shape = outputs[ref.port] if ref.port < len(outputs) else None
            known = str(shape) if shape is not None and shape.dims is not None else ""
            texts.append(f"{tensor_type(self.graph[ref.name], ref.port)} {known}".strip())
        ranges = [text.split(" ")[0] for text in texts if text.startswith(("min", "max"))]
        main = [text for text in texts if not text.startswith(("min", "max"))]
        return ", ".join(filter(None, dict.fromkeys(main or ranges)))


def tensor_type(node: Node, port: int) -> str:
    """The type of an output, empty for float; ``min`` and ``max`` for the two floats behind an 8-bit tensor."""
    op = node.op
    if op.startswith("RequantizationRange"):
        return ("min", "max")[min(port, 1)]
    if port in (1, 2) and op.startswith(("Quantize", "Requantize")):
        return ("min", "max")[port - 1]
    keys = {"Dequantize": ("dtype",), "QuantizeV2": ("T",), "Shape": ("out_type",), "Cast": ("DstT",)}
    if op == "Dequantize" and node.dtype("dtype") is None:
        return ""
    for key in keys.get(op, ("out_type", "Toutput", "dtype", "output_type", "Tparams", "T")):
        found = node.dtype(key)
        if found is not None:
            return "" if found == DType.FLOAT else str(found.label)
    return "quint8" if op.startswith("Quantized") else ""


# --- making them -----------------------------------------------------------------------------------------------------


def single(
    graph: ModelGraph,
    folding: Folding,
    diff: Diff | None = None,
    *,
    before: bool = False,
    found: Sequence[Region] | None = None,
) -> Picture:
    """One graph; with a diff, its boxes are marked (``before``: the graph is the one compared from). ``found``: its
    8-bit regions, where they are known already.

    A layer whose nodes were taken apart has a box for each, so that it can be seen what became of them.
    """
    changes = {} if diff is None else node_changes(diff, before)
    folded = _fold(graph, folding, changes, found)
    return Picture(graph, folded, layout(folded), box_marks(folded, changes))


def _fold(graph: ModelGraph, folding: Folding, changes: Mapping[str, int], found: Sequence[Region] | None) -> Folded:
    apart = {name for name, change in changes.items() if change == REMOVED}
    return fold(
        graph, folding.open_scopes, constants=folding.constants, chains=folding.chains, apart=apart, found=found
    )


def pair(
    before: ModelGraph, after: ModelGraph, diff: Diff, folding: Folding, found: Sequence[Region] | None = None
) -> tuple[Picture, Picture]:
    """Two graphs whose corresponding boxes stand at the same height. ``found``: the 8-bit regions of ``after``."""
    left = single(before, folding, diff, before=True)
    if folding.open_scopes is None:
        folding = Folding(
            left.folded.open_scopes | _new_scopes(left, after, folding), folding.constants, folding.chains
        )
    right = single(after, folding, diff, found=found)
    pairs = corresponding(left, right, diff)
    layouts = aligned(left.layout, right.layout, pairs)
    return (
        Picture(before, left.folded, layouts[0], left.marks),
        Picture(after, right.folded, layouts[1], right.marks),
    )


def _new_scopes(left: Picture, after: ModelGraph, folding: Folding) -> frozenset[str]:
    """Scopes of the compressed graph that are none in the original: open, where all of the original's are."""
    if len(left.folded.open_scopes) < len(left.folded.scopes):
        return frozenset()
    return frozenset(fold(after, (), constants=folding.constants, chains=folding.chains).scopes)


def overlay(
    before: ModelGraph, after: ModelGraph, diff: Diff, folding: Folding, found: Sequence[Region] | None = None
) -> Picture:
    """Both graphs in one: everything of the compressed one, and what was removed where it stood. ``found``: the 8-bit
    regions of ``after``."""
    union = united(before, after, diff)
    changes = {**node_changes(diff, True), **node_changes(diff, False)}
    folded = _fold(union, folding, changes, regions(after) if found is None else found)
    return Picture(union, folded, layout(folded), box_marks(folded, changes))


def united(before: ModelGraph, after: ModelGraph, diff: Diff) -> ModelGraph:
    """A graph for drawing only: a kept node also reads what it read before, as long as that is drawn and no cycle."""
    removed = [node.name for node in diff.nodes if node.change == "removed" and node.name not in after]
    gone = set(removed)
    order = {name: index for index, name in enumerate([*(node.name for node in after.topological())])}
    nodes: list[Node] = []
    for name in removed:
        node = before[name]
        # A removed node's inputs that were renamed or replaced are left out: nothing of that name is drawn.
        inputs = [
            text for text, ref in zip(node.inputs, node.refs, strict=True) if ref.name in gone or ref.name in order
        ]
        nodes.append(node if len(inputs) == len(node.inputs) else node.with_(inputs=inputs))
    reached = _reached(before, gone, order)
    for node in after.nodes:
        old = before.get(node.name)
        extra = [ref.name for ref in old.refs if ref.name in gone] if old is not None and old is not node else []
        extra = [name for name in extra if reached.get(name, -1) < order[node.name]]
        nodes.append(node.with_(inputs=[*node.inputs, *(f"^{name}" for name in extra)]) if extra else node)
    return ModelGraph(nodes, outputs=after.outputs)


def _reached(before: ModelGraph, gone: set[str], order: Mapping[str, int]) -> dict[str, int]:
    """Removed node -> the last place in the new order of a kept node that it depends on."""
    reached: dict[str, int] = {}
    for node in before.topological():
        if node.name in gone:
            reached[node.name] = max((order.get(r.name, reached.get(r.name, -1)) for r in node.refs), default=-1)
    return reached


# --- differences -----------------------------------------------------------------------------------------------------


def node_changes(diff: Diff, before: bool) -> dict[str, int]:
    """Node of one side -> how it differs; those that don't are left out."""
    found: dict[str, int] = {}
    for node in diff.nodes:
        if node.change == "unchanged" or node.change == ("added" if before else "removed"):
            continue
        names: Iterable[str] = node.origins if before and node.change == "changed" and node.origins else (node.name,)
        for name in names:
            found.setdefault(name, _CHANGE[node.change])
    return found


def box_marks(folded: Folded, changes: Mapping[str, int]) -> Marks:
    """How boxes differ: added (removed) where a member was, constants included; changed, where both or neither were."""
    marks = np.zeros(len(folded.boxes), np.int8)
    here: dict[int, set[int]] = {}
    for name, change in changes.items():
        if name in folded.owner:
            here.setdefault(folded.owner[name], set()).add(change)
    for box, kinds in here.items():
        strong = kinds - {CHANGED}
        marks[box] = strong.pop() if len(strong) == 1 else CHANGED
    return marks


def corresponding(before: Picture, after: Picture, diff: Diff) -> list[tuple[int, int]]:
    """Pairs of boxes of which one came from the other, as often as that pair is worth being at the same height.

    The same node counts most, and what does the same in 8 bits (Conv2D, QuantizedConv2D) as much; ranges and the like
    that also came from it least.
    """
    worth: dict[tuple[int, int], int] = {}
    for node in diff.nodes:
        here = after.folded.owner.get(node.name) if node.change != "removed" else None
        if here is None:
            continue
        for origin in node.origins or (node.name,):
            there = before.folded.owner.get(origin)
            if there is None:
                continue
            old, new = before.graph[origin].op, after.graph[node.name].op
            value = 6 if new in (old, f"Quantized{old}") and old != "Const" else 2 if origin == node.name else 1
            worth[there, here] = max(value, worth.get((there, here), 0))
    return [pair for pair, value in worth.items() for _ in range(value)]

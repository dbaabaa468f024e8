"""Which tensors have the same shape, also where a size is known only at run time.

An unknown size is a symbol: it is taken over from what is read, a border adds to it, a window takes from it, and a
stride makes a new symbol of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.memo import by_identity
from compressor_gui.core.passes.carried_ranges import weights_of
from compressor_gui.core.shapes import BROADCAST, SAME_AS_FIRST, infer_shapes


class Unknown(NamedTuple):
    """A size of which is known how much more it is than another one."""

    base: Hashable
    more: int = 0


Size = int | Unknown
Sizes = tuple[Size, ...]
_WINDOWS = ("Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool")
_PADS = ("Pad", "PadV2", "MirrorPad")
_CHOOSES = ("Switch", "Merge", "Enter", "Exit", "NextIteration")
"""Put out what they read, but not always that of the first input."""


@by_identity
def symbolic_sizes(graph: ModelGraph) -> Mapping[str, Sizes]:
    """Node -> the shape of its first output. What has no known rank is left out."""
    known: dict[str, Sizes] = {}
    shapes = infer_shapes(graph)
    for node in graph.topological():
        found = shapes.get(node.name, ())
        dims = found[0].dims if found else None
        if dims is not None:
            taken = _taken_over(graph, node, known, len(dims)) if -1 in dims else dims
            known[node.name] = tuple(d if d >= 0 else taken[axis] for axis, d in enumerate(dims))
    return known


def _taken_over(graph: ModelGraph, node: Node, known: Mapping[str, Sizes], rank: int) -> Sizes:
    """The sizes that follow from those of what ``node`` reads."""
    own = tuple(Unknown((node.name, axis)) for axis in range(rank))
    sources = [known.get(ref.name) if ref.port == 0 else None for ref in node.data_refs]
    if node.op in BROADCAST:
        whole = [(1,) * (rank - len(source)) + source for source in sources if source is not None]
        if len(whole) < len(sources) or any(len(source) != rank for source in whole):
            return own
        return tuple(map(_broadcast, own, zip(*whole, strict=True)))
    first = sources[0] if sources else None
    if first is None or len(first) != rank or node.op in _CHOOSES:
        return own
    if node.op in _WINDOWS:
        return _slid(graph, node, first) or own
    if node.op in _PADS:
        border = graph.constant(node, 1)
        if border is None or border.array.shape != (rank, 2):
            return own
        return tuple(_plus(size, int(sum(widths))) for size, widths in zip(first, border.array, strict=True))
    return first if node.op in SAME_AS_FIRST else own


def _broadcast(own: Size, column: tuple[Size, ...]) -> Size:
    wide = {size for size in column if size != 1}
    return wide.pop() if len(wide) == 1 else own


def _slid(graph: ModelGraph, node: Node, sizes: Sizes) -> Sizes:
    """What is left when a window is slid over all but the batch and the channels; empty where that is not so."""
    weights = weights_of(graph, node)
    window = node.ints("ksize") or (1, *(weights.array.shape[:2] if weights is not None else ()), 1)
    if not len(sizes) == len(window) == len(node.ints("strides")) == 4 or node.text("data_format", "NHWC") != "NHWC":
        return ()
    found = list(sizes)
    for axis in (1, 2):
        size, stride = sizes[axis], node.ints("strides")[axis]
        if node.text("padding") != "SAME":
            reach = (window[axis] - 1) * (node.ints("dilations") or (1, 1, 1, 1))[axis]
            border = node.ints("explicit_paddings")[2 * axis : 2 * axis + 2]
            size = _plus(size, sum(border) - reach)
        found[axis] = size if stride == 1 else Unknown((size, "by", stride))
    return tuple(found)


def _plus(size: Size, more: int) -> Size:
    return Unknown(size.base, size.more + more) if isinstance(size, Unknown) else size + more

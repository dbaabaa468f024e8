"""Networks in which one operation stands between two convolutions, for the tests of 8-bit links."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.values import DType
from tests.support import Net

_I = DType.INT32


def between(*then: Callable[[Net], object], channels: int = 4) -> ModelGraph:
    """input 2x8x8x3 -> convolution (``front``), Relu, what ``then`` adds, convolution (``back``).

    ``then`` keeps ``shape[-1]`` of the net right for the convolution behind.
    """
    net = Net((2, 8, 8, 3), seed=3).conv(channels, name="front").then("Relu", name="start")
    for grow in then:
        grow(net)
    return net.conv(3, kernel=1, name="back").build()


def ints(net: Net, name: str, *values: int) -> str:
    return net.const(name, np.array(values), _I)


def _add(net: Net) -> None:
    start = net.top
    net.conv(4, kernel=3, name="branch").then("AddV2", start, name="link")


def _relued_add(net: Net) -> None:
    _add(net)
    net.then("Relu", name="end")


def _mul(net: Net) -> None:
    start = net.top
    net.conv(4, kernel=3, name="branch").then("Mul", start, name="link")


def _split(net: Net) -> None:
    axis, start = net.const("axis", 3, _I), net.top
    net.top = axis
    net.then("Split", start, name="link", num_split=2)
    net.then("Relu", name="left")
    net.top = "link:1"
    net.then("Relu", name="right").concat("left", channels=4)


def _slice(net: Net) -> None:
    net.then("Slice", ints(net, "begin", 0, 1, 2, 1), ints(net, "size", 2, 5, 4, 2), name="link", Index=_I)
    net.shape = (2, 5, 4, 2)


def _strided(net: Net) -> None:
    ends = [ints(net, n, *v) for n, v in (("b", (0, 0, 1, 0)), ("e", (2, 8, 8, 4)), ("s", (1, 2, 1, 1)))]
    net.then("StridedSlice", *ends, name="link", Index=_I)


def _there_and_back(op: str, way: tuple[int, ...], back: tuple[int, ...]) -> Callable[[Net], object]:
    def grow(net: Net) -> None:
        net.then(op, ints(net, "way", *way), name="link", Tperm=_I).then(
            op, ints(net, "return", *back), name="link_back", Tperm=_I
        )

    return grow


def _squeeze(net: Net) -> None:
    net.then("ExpandDims", net.const("axis", 1, _I), name="link", Tdim=_I)
    net.then("Squeeze", name="link_back", squeeze_dims=(1,))


def _mean(keep: bool) -> Callable[[Net], object]:
    def grow(net: Net) -> None:
        net.then("Mean", ints(net, "axes", 1, 2), name="link", keep_dims=keep, Tidx=_I)
        if not keep:
            net.then("Reshape", ints(net, "shape", 2, 1, 1, 4), Tshape=_I)

    return grow


def _largest(net: Net) -> None:
    net.then("Max", ints(net, "axes", 1, 2), name="link", keep_dims=True, Tidx=_I)


def _pad(op: str, **attrs: bytes) -> Callable[[Net], object]:
    def grow(net: Net) -> None:
        border = net.const("border", np.array(((0, 0), (1, 2), (2, 0), (0, 0))), _I)
        net.then(op, border, name="link", Tpaddings=_I, **attrs)

    return grow


def _resize(op: str, **attrs: bool) -> Callable[[Net], object]:
    return lambda net: net.then(op, ints(net, "size", 12, 16), name="link", **attrs)


def _blocks(net: Net) -> None:
    net.then("SpaceToDepth", name="link", block_size=2).then("DepthToSpace", name="link_back", block_size=2)


def _shape(net: Net) -> None:
    source = net.top
    net.top = net.then("Shape", name="link", out_type=_I).top
    size, net.top = net.top, source
    net.then("Reshape", size, Tshape=_I)


def _vector(op: str, *values: float) -> Callable[[Net], object]:
    return lambda net: net.then(op, net.const("values", np.array(values, np.float32).squeeze()), name="link")


LINKED: dict[str, Callable[[Net], object]] = {
    "AddV2": _add,
    "AddV2 Relu": _relued_add,
    "AddV2 vector": _vector("AddV2", 0.5, -1, 2, 0),
    "Add number": _vector("Add", 0.75),
    "Mul": _mul,
    "Mul vector": _vector("Mul", 0.5, -1, 2, 1),
    "Mul number": _vector("Mul", -2.5),
    "Split": _split,
    "Slice": _slice,
    "StridedSlice": _strided,
    "Transpose": _there_and_back("Transpose", (0, 3, 1, 2), (0, 2, 3, 1)),
    "Squeeze": _squeeze,
    "Mean": _mean(False),
    "Mean keep_dims": _mean(True),
    "Max": _largest,
    "Pad": _pad("Pad"),
    "MirrorPad": _pad("MirrorPad", mode=b"REFLECT"),
    "ResizeBilinear": _resize("ResizeBilinear", align_corners=False, half_pixel_centers=True),
    "ResizeNearestNeighbor": _resize("ResizeNearestNeighbor", align_corners=False, half_pixel_centers=True),
    "SpaceToDepth": _blocks,
    "Shape": _shape,
}
"""What stands between -> how it is made. Each of them is one 8-bit region, conversions at its ends only."""

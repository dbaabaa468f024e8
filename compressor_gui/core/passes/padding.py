"""Zero padding of convolutions: what the attribute ``padding`` means in numbers, and how numbers are written.

TensorFlow's CPU kernels of Conv2D and DepthwiseConv2dNative take EXPLICIT padding, Eigen's and oneDNN's alike (2.21).
"""

from __future__ import annotations

from typing import NamedTuple

from compressor_gui.core.graph import ModelGraph, Node, parse_ref
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import Attr

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
Pads = tuple[tuple[int, int], tuple[int, int]]
"""Zeros above and below, and left and right."""


class Window(NamedTuple):
    """One axis of a convolution: how far its kernel reaches (with dilation), and its stride."""

    reach: int
    stride: int

    def same(self, size: int | None) -> tuple[int, int] | None:
        """What SAME pads an axis of ``size`` with; None where that depends on a size that isn't known."""
        if self.stride > 1 and size is None:
            return None
        total = self.reach - 1
        if self.stride > 1 and size is not None:
            total = max((-(-size // self.stride) - 1) * self.stride + self.reach - size, 0)
        return total // 2, total - total // 2


def space(node: Node) -> tuple[int, int]:
    """The axes of height and width."""
    return (2, 3) if node.text("data_format", "NHWC") == "NCHW" else (1, 2)


def windows(node: Node, kernel: tuple[int, ...]) -> tuple[Window, Window] | None:
    """The windows of a convolution whose filter has the shape ``kernel``; None where its attributes make no sense."""
    strides, dilations = node.ints("strides"), node.ints("dilations") or (1, 1, 1, 1)
    if len(kernel) != 4 or len(strides) != 4 or len(dilations) != 4 or min(*strides, *dilations) < 1:
        return None
    y, x = space(node)
    return (
        Window((kernel[0] - 1) * dilations[y] + 1, strides[y]),
        Window((kernel[1] - 1) * dilations[x] + 1, strides[x]),
    )


def padding_of(node: Node, found: tuple[Window, Window]) -> Pads | None:
    """The zeros that a convolution adds, whatever the size of its input; None where they depend on it."""
    padding = node.text("padding")
    if padding == "VALID":
        return (0, 0), (0, 0)
    if padding == "SAME":
        rows, columns = (window.same(None) for window in found)
        return (rows, columns) if rows and columns else None
    explicit = node.ints("explicit_paddings")
    if padding != "EXPLICIT" or len(explicit) != 8:
        return None
    y, x = space(node)
    return (explicit[2 * y], explicit[2 * y + 1]), (explicit[2 * x], explicit[2 * x + 1])


def padding_attrs(
    graph: ModelGraph, source: str, node: Node, found: tuple[Window, Window], pads: Pads
) -> dict[str, Attr | None]:
    """The attributes that make ``node``, reading ``source``, add these zeros: VALID or SAME where that says it."""
    plain: dict[str, Attr | None] = {"explicit_paddings": None}
    if pads == ((0, 0), (0, 0)):
        return {"padding": b"VALID", **plain}
    y, x = space(node)
    ref = parse_ref(source)
    shapes = infer_shapes(graph).get(ref.name, ())
    dims = shapes[ref.port].dims if ref.port < len(shapes) else None
    sizes = [dims[axis] if dims and len(dims) == 4 and dims[axis] >= 0 else None for axis in (y, x)]
    if tuple(window.same(size) for window, size in zip(found, sizes, strict=True)) == pads:
        return {"padding": b"SAME", **plain}
    explicit = [0] * 8
    explicit[2 * y : 2 * y + 2], explicit[2 * x : 2 * x + 2] = pads
    return {"padding": b"EXPLICIT", "explicit_paddings": tuple(explicit)}

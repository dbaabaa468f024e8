"""Operations that the old tool leaves in float, and that tear 8-bit regions apart: sums, products, paddings, resizes,
means, and those that only move numbers.

They become 8-bit where they link: where what they read is 8-bit already, and so is something that reads them. Elsewhere
their conversions would cost time and accuracy for nothing. That each kernel computes what it should was probed in
TensorFlow 2.21, with oneDNN and without: ``tests/engine/test_quantize_nodes_links.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from compressor_gui.core.graph import Attrs, ModelGraph, Node
from compressor_gui.core.passes.eightbit.constants import Stored
from compressor_gui.core.passes.eightbit.kernels import EightBit, Kernel
from compressor_gui.core.passes.int8.sizes import Sizes, symbolic_sizes
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import Attr, DType, Tensor

_Q = DType.QUINT8
_PAIR: Mapping[str, Attr] = {"T1": _Q, "T2": _Q, "Toutput": DType.QINT32}
_SUFFIX = "_eightbit_quantized"

_MOVES = ("ExpandDims", "MirrorPad", "Slice", "SplitV", "Squeeze", "StridedSlice")
"""Have a kernel for quint8 itself."""
_BYTE_MOVES = ("DepthToSpace", "Max", "ResizeNearestNeighbor", "SpaceToDepth", "Transpose")
"""Have one for uint8 only: a Bitcast stands in front and behind. The largest code is that of the largest number."""

_MOST_AVERAGED = 1 << 13
"""QuantizedAdd puts out numbers of 17 bits and a sign, whose sum has to fit into 31."""
_NOTHING = Stored(*(Tensor.of(value, dtype) for value, dtype in ((0, _Q), (0.0, DType.FLOAT), (1e-6, DType.FLOAT))))
"""A zero in 8 bits, over a range that is too narrow to widen that of a sum."""

LINKS: Mapping[str, Kernel] = {
    **dict.fromkeys(("Add", "AddV2"), Kernel("QuantizedAdd", f"{_SUFFIX}_add", wide=True, types=_PAIR)),
    "Mul": Kernel("QuantizedMul", f"{_SUFFIX}_mul", wide=True, types=_PAIR),
    "ResizeBilinear": Kernel(
        "QuantizedResizeBilinear",
        f"{_SUFFIX}_resize",
        types={"T": _Q},
        copied=("align_corners", "half_pixel_centers"),
        plain=1,
    ),
    "Mean": Kernel("QuantizedAdd", _SUFFIX, wide=True, only=0, form="mean"),
    "Pad": Kernel("PadV2", _SUFFIX, only=0, form="pad"),
    "Split": Kernel("Split", _SUFFIX, only=1, form="codes"),
    **{op: Kernel(op, _SUFFIX, only=0, form="codes") for op in _MOVES},
    **{op: Kernel(op, _SUFFIX, only=0, form="bytes") for op in _BYTE_MOVES},
}

NO_KERNEL: Mapping[str, str] = {
    "DepthwiseConv2dNative": "DepthwiseConv2dNative has no 8-bit kernel that runs without oneDNN and knows MIN_FIRST",
}
"""Why there is none, where more is to be said than that."""


def refused_link(graph: ModelGraph, node: Node) -> str | None:
    """Why an operation of :data:`LINKS` can't be 8-bit, as the beginning of a sentence; None where it can."""
    if node.op in ("Add", "AddV2", "Mul"):
        return _refused_pair(graph, node)
    if node.op == "Mean" and not 0 < (_averaged(graph, node) or 0) <= _MOST_AVERAGED:
        return "Mean of many or an unknown number of numbers has no 8-bit kernel"
    return None


def _averaged(graph: ModelGraph, node: Node) -> int | None:
    """How many numbers a Mean takes the mean of; None where that is not known."""
    axes, ref = graph.constant(node, 1), node.data_refs[0]
    shapes = infer_shapes(graph).get(ref.name, ())
    dims = shapes[ref.port].dims if ref.port < len(shapes) else None
    if axes is None or dims is None:
        return None
    sizes = [dims[int(axis)] for axis in axes.array.reshape(-1)]
    return math.prod(sizes) if min(sizes, default=0) > 0 else None


def _refused_pair(graph: ModelGraph, node: Node) -> str | None:
    """The kernels take two tensors of one shape, or a tensor and a number or a vector along its last axis."""
    sizes = [_sizes(graph, node, index) for index in (0, 1)]
    if all(graph.constant(node, index) is not None for index in (0, 1)):
        return f"{node.op} of two constants"
    left, right = sizes
    if left is None or right is None:
        return f"{node.op} of tensors whose shapes are not known"
    short, long = sorted((_without_ones(left), _without_ones(right)), key=len)
    if left == right or short == () or (len(short) == 1 and short[0] == long[-1]):
        return None
    return f"no 8-bit kernel for {node.op} with a broadcast"


def _sizes(graph: ModelGraph, node: Node, index: int) -> Sizes | None:
    value, ref = graph.constant(node, index), node.data_refs[index]
    if value is not None:
        return value.array.shape
    if ref.port == 0:
        return symbolic_sizes(graph).get(ref.name)
    shapes = infer_shapes(graph).get(ref.name, ())
    dims = shapes[ref.port].dims if ref.port < len(shapes) else None
    return dims if dims is not None and -1 not in dims else None


def _without_ones(sizes: Sizes) -> Sizes:
    """A shape without the ones at its front, which say nothing."""
    at = next((at for at, size in enumerate(sizes) if size != 1), len(sizes))
    return sizes[at:]


class LinkBuilder:
    """Makes the nodes of links whose kernels take codes alone; ``add`` puts one into the graph and tells its name."""

    def __init__(self, graph: ModelGraph, add: Callable[[Node], str]) -> None:
        self._graph = graph
        self._add = add

    def build(self, node: Node, kernel: Kernel, source: EightBit, inputs: Sequence[str]) -> EightBit:
        """The 8-bit form of ``node``; ``inputs`` are its own, the codes already in their place."""
        if kernel.form == "mean":
            return self._mean(node, kernel, source, inputs)
        name, controls = node.name + kernel.suffix, inputs[len(node.data_refs) :]
        if kernel.form == "pad":
            zero = self._zero(node, source)
            made = self._like(node, name, "PadV2", (*inputs[:2], zero, *controls), _Q)
        elif kernel.form == "bytes":
            whole = self._cast(f"{node.name}_eightbit_bytes", source.codes, _Q, DType.UINT8)
            moved = self._like(node, f"{name}_bytes", node.op, (whole, *inputs[1:]), DType.UINT8)
            made = self._cast(name, moved, DType.UINT8, _Q)
        else:
            made = self._like(node, name, node.op, inputs, _Q)
        return EightBit(made, source.low, source.high)

    def _mean(self, node: Node, kernel: Kernel, source: EightBit, inputs: Sequence[str]) -> EightBit:
        """The mean of 32-bit numbers, which adding nothing makes of codes: QuantizedAvgPool would round to the steps of
        what it reads, and lose the bits that a mean gains."""
        name = node.name + kernel.suffix
        nothing = [
            self._add(Node.const(f"{node.name}_eightbit_nothing_{part}", value))
            for part, value in zip(("quint8_const", "min", "max"), _NOTHING, strict=True)
        ]
        ends = (source.low, source.high, *nothing[1:])
        wide = EightBit.of(self._add(Node(f"{name}_add", kernel.op, (source.codes, nothing[0], *ends), Attrs(_PAIR))))
        whole = self._cast(f"{name}_int32", wide.codes, DType.QINT32, DType.INT32)
        mean = self._like(node, f"{name}_mean", node.op, (whole, *inputs[1:]), DType.INT32)
        return EightBit(self._cast(name, mean, DType.INT32, DType.QINT32), wide.low, wide.high)

    def _zero(self, node: Node, source: EightBit) -> str:
        """The code of zero, which depends on a range that may be found at run time."""
        value = self._add(Node.const(f"{node.name}_eightbit_pad_value", Tensor.of(0.0, DType.FLOAT)))
        inputs = (value, source.low, source.high)
        return self._add(Node.make(f"{node.name}_eightbit_zero", "QuantizeV2", inputs, T=_Q, mode=b"MIN_FIRST"))

    def _like(self, node: Node, name: str, op: str, inputs: Sequence[str], dtype: DType) -> str:
        return self._add(node.with_(name=name, op=op, inputs=inputs, attrs={"T": dtype}))

    def _cast(self, name: str, source: str, before: DType, after: DType) -> str:
        return self._add(Node.make(name, "Bitcast", (source,), T=before, type=after))

"""Which float operation has which classic 8-bit kernel, what its node looks like, and where it can't stand in.

Signatures and limits are those of TensorFlow 2.21's op registry and CPU kernels; names, attributes and order of inputs
those of TensorFlow 1.x's ``quantize_graph``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from compressor_gui.core.graph import ModelGraph, Node, Ref
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import Attr, DType

RANGE_SUFFIX, REQUANTIZE_SUFFIX = "_eightbit_requant_range", "_eightbit_requantize"


class EightBit(NamedTuple):
    """References to a quint8 tensor and to the two float scalars that its codes 0 and 255 stand for."""

    codes: str
    low: str
    high: str

    @staticmethod
    def of(name: str) -> EightBit:
        """What a node puts out that has codes, minimum and maximum as its three outputs."""
        return EightBit(name, f"{name}:1", f"{name}:2")


Arrange = Callable[[Sequence[EightBit], Sequence[str]], list[str]]
"""8-bit tensors and the inputs that stay as they are (a shape, an axis) -> the kernel's inputs."""


def _ranges_behind(tensors: Sequence[EightBit], plain: Sequence[str]) -> list[str]:
    return [*(t.codes for t in tensors), *plain, *(limit for t in tensors for limit in (t.low, t.high))]


def _ranges_between(tensors: Sequence[EightBit], plain: Sequence[str]) -> list[str]:
    return [text for tensor in tensors for text in tensor]


def _axis_first(tensors: Sequence[EightBit], plain: Sequence[str]) -> list[str]:
    return [*plain, *(t.codes for t in tensors), *(t.low for t in tensors), *(t.high for t in tensors)]


@dataclass(frozen=True)
class Kernel:
    """The 8-bit form of a float operation.

    ``suffix`` is appended to the operation's name; ``wide`` says that the result is qint32 and has to be requantized;
    ``types`` are attributes that are always the same, ``copied`` those taken from the float operation. ``plain`` is the
    index of the one data input that stays as it is (negative: from the end), or None; ``only`` that of the one that
    does not. ``form``: ``ranged`` kernels read and put out ranges beside the codes; see :class:`.LinkBuilder` for the
    others.
    """

    op: str
    suffix: str
    wide: bool = False
    types: Mapping[str, Attr] = field(default_factory=dict)
    copied: tuple[str, ...] = ()
    plain: int | None = None
    only: int | None = None
    form: Literal["ranged", "codes", "bytes", "pad", "mean"] = "ranged"
    arrange: Arrange = _ranges_behind

    def tensor_inputs(self, node: Node) -> list[int]:
        """The indices of the data inputs that are quantized."""
        if self.only is not None:
            return [self.only]
        count = len(node.data_refs)
        return [index for index in range(count) if self.plain is None or index != self.plain % count]

    def attrs(self, node: Node) -> dict[str, Attr]:
        """The attributes of the 8-bit node that stands for ``node``."""
        out = {**self.types, **{key: node.attrs[key] for key in self.copied if key in node.attrs}}
        if self.arrange is _axis_first:
            out["N"] = len(self.tensor_inputs(node))
        if out.get("Tshape") == DType.INT32:
            del out["Tshape"]  # the default, which the old tool does not write
        return out


_Q, _WIDE = DType.QUINT8, DType.QINT32
_POOL = {"types": {"T": _Q}, "copied": ("ksize", "strides", "padding")}

KERNELS: Mapping[str, Kernel] = {
    "Conv2D": Kernel(
        "QuantizedConv2D",
        "_eightbit_quantized_conv",
        wide=True,
        types={"Tinput": _Q, "Tfilter": _Q, "out_type": _WIDE},
        copied=("strides", "padding"),
    ),
    "MatMul": Kernel(
        "QuantizedMatMul",
        "_eightbit_quantized_mat_mul",
        wide=True,
        types={"T1": _Q, "T2": _Q, "Toutput": _WIDE},
        copied=("transpose_a", "transpose_b"),
    ),
    "BiasAdd": Kernel(
        "QuantizedBiasAdd",
        "_eightbit_quantized_bias_add",
        wide=True,
        types={"T1": _Q, "T2": _Q, "out_type": _WIDE},
    ),
    "BatchNormWithGlobalNormalization": Kernel(
        "QuantizedBatchNormWithGlobalNormalization",
        "_eightbit_quantized_batch_norm",
        wide=True,
        types={"Tinput": _Q, "out_type": _WIDE},
        copied=("scale_after_normalization", "variance_epsilon"),
        arrange=_ranges_between,
    ),
    "MaxPool": Kernel("QuantizedMaxPool", "_eightbit_quantized", **_POOL),  # type: ignore[arg-type]
    "AvgPool": Kernel("QuantizedAvgPool", "_eightbit_quantized", **_POOL),  # type: ignore[arg-type]
    "Relu": Kernel("QuantizedRelu", "_eightbit_quantized", types={"Tinput": _Q}),
    "Relu6": Kernel("QuantizedRelu6", "_eightbit_quantized", types={"Tinput": _Q}),
    "Reshape": Kernel(
        "QuantizedReshape", "_eightbit_quantized_reshape", types={"T": _Q}, copied=("Tshape",), plain=1
    ),
    "Concat": Kernel(
        "QuantizedConcat", "_eightbit_quantized_concat", types={"T": _Q}, plain=0, arrange=_axis_first
    ),
    "ConcatV2": Kernel(
        "QuantizedConcat", "_eightbit_quantized_concat", types={"T": _Q}, plain=-1, arrange=_axis_first
    ),
}  # fmt: skip

_WINDOWED = ("Conv2D", "MaxPool", "AvgPool")


def is_float(node: Node) -> bool:
    """Whether an operation works on float32 (MaxPool's type may be left out and is float32 then)."""
    return node.dtype("T") == DType.FLOAT or (node.op == "MaxPool" and "T" not in node.attrs)


def refusal(graph: ModelGraph, node: Node) -> str | None:
    """Why a covered float operation must stay in float, as the beginning of a sentence; None where it need not."""
    if node.text("data_format", "NHWC") not in ("NHWC", ""):
        return f"{node.op} in {node.text('data_format')} has no 8-bit kernel"
    if node.op in _WINDOWED:
        return _refused_window(graph, node)
    if node.op in ("Concat", "ConcatV2") and concat_axis(graph, node) is None:
        return f"{node.op} along an axis that is not a known int32 constant"
    return None


def _refused_window(graph: ModelGraph, node: Node) -> str | None:
    strides, window = node.ints("strides"), node.ints("ksize") or (1, 1, 1, 1)
    if node.text("padding") not in ("SAME", "VALID"):
        return f"{node.op} with explicit padding has no 8-bit kernel"
    if len(strides) != 4 or len(window) != 4 or strides[0] != 1 or strides[3] != 1 or window[0] != 1 or window[3] != 1:
        return f"{node.op} across the batch or the channels has no 8-bit kernel"
    if node.op != "Conv2D":
        return None
    if strides[1] != strides[2]:
        return "Conv2D with unequal strides has no 8-bit kernel"
    if any(dilation != 1 for dilation in node.ints("dilations")):
        return "Conv2D with dilations has no 8-bit kernel"
    source, weight = node.data_refs[0], graph.constant(node, 1)
    dims = _dims(graph, source)
    if weight is not None and dims is not None and len(dims) == 4 and dims[3] > weight.array.shape[2]:
        return "Conv2D in groups has no 8-bit kernel"
    return None


def concat_axis(graph: ModelGraph, node: Node) -> int | None:
    """The axis of a Concat, counted from the front as QuantizedConcat needs it; None where it isn't known."""
    refs = node.data_refs
    at = 0 if node.op == "Concat" else len(refs) - 1
    axis = graph.constant(node, at)
    if axis is None or axis.dtype != DType.INT32 or axis.array.size != 1 or axis.array.ndim:
        return None
    found = int(axis.array)
    if found >= 0:
        return found
    ranks = [len(dims) for index, ref in enumerate(refs) if index != at and (dims := _dims(graph, ref)) is not None]
    readers = [graph[name] for name, index in graph.consumers[node.name] if index == 0]
    ranks += [4 for reader in readers if reader.op in (*_WINDOWED, "DepthwiseConv2dNative")]
    return found + ranks[0] if ranks else None


def _dims(graph: ModelGraph, ref: Ref) -> tuple[int, ...] | None:
    shapes = infer_shapes(graph).get(ref.name, ())
    return shapes[ref.port].dims if ref.port < len(shapes) else None

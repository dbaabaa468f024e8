"""The operations of an int8 graph, with the attributes that never change.

Signatures are those of TensorFlow 2.21's op registry; a test holds this table against it. The kernels behind them are
oneDNN's: TensorFlow uses these on processors with AVX-512 VNNI, AVX-VNNI or AMX, and elsewhere where the environment
has ``TF_ENABLE_ONEDNN_OPTS=1``. Without them such a graph loads, but does not run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from compressor_gui.core.graph import Attrs, Node
from compressor_gui.core.values import Attr, DType

_CODES, _WEIGHTS, _FLOAT = DType.QUINT8, DType.QINT8, DType.FLOAT


_DEFAULTS: dict[str, Attr] = {"dilations": (1, 1, 1, 1)}
"""Not written out, for the sake of the file's size."""


@dataclass(frozen=True)
class Kernel:
    """An operation, the attributes that are always the same, and those copied from the float operation."""

    op: str
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    copied: tuple[str, ...] = ()

    def node(self, name: str, inputs: Iterable[str], source: Node | None = None, **attrs: Attr) -> Node:
        """A node of this kind; ``source`` is the float operation."""
        theirs = source.attrs if source is not None else {}
        copied = {key: theirs[key] for key in self.copied if key in theirs and theirs[key] != _DEFAULTS.get(key)}
        device = source.device if source is not None else ""
        return Node(name, self.op, tuple(inputs), Attrs({**self.attrs, **copied, **attrs}), device)


_LAYER: dict[str, Attr] = {"Tinput": _CODES, "Tfilter": _WEIGHTS, "Tbias": _FLOAT, "out_type": _CODES}

_WINDOW = ("strides", "padding", "dilations")

CONV = Kernel("QuantizedConv2DWithBiasAndReluAndRequantize", _LAYER, _WINDOW)
"""Inputs: codes, weights, bias, range of the codes, of the weights (one for each output channel), of the result. The
Relu is at the lowest code, and the result is clipped at the end of its range: Relu6 where that is 6."""

CONV_SUM = Kernel("QuantizedConv2DWithBiasSumAndReluAndRequantize", {**_LAYER, "Tsummand": _CODES}, _WINDOW)
"""As CONV; then the summand and its range."""

DEPTHWISE = Kernel("QuantizedDepthwiseConv2DWithBiasAndReluAndRequantize", _LAYER, _WINDOW)

MATMUL = Kernel(
    "QuantizedMatMulWithBiasAndDequantize",
    {"T1": _CODES, "T2": _WEIGHTS, "Tbias": _FLOAT, "Toutput": _FLOAT, "input_quant_mode": b"SCALED"},
)
"""One range for all weights; the result is float. (With mode MIN_FIRST and a float bias it is nonsense.)"""

POOLS = {op: Kernel(f"Quantized{op}", {"T": _CODES}, ("ksize", "strides", "padding")) for op in ("MaxPool", "AvgPool")}
FUSED_OPS = frozenset(kernel.op for kernel in (CONV, CONV_SUM, DEPTHWISE, MATMUL))
"""What no classic 8-bit graph has."""

COPY = POOLS["AvgPool"]
"""Of one pixel: the quickest kernel that does not hand on the memory of what it reads."""
QUANTIZE = Kernel("QuantizeV2", {"T": _CODES, "mode": b"MIN_COMBINED", "ensure_minimum_range": 0.0})
DEQUANTIZE = Kernel("Dequantize", {"T": _CODES, "mode": b"MIN_COMBINED"})

TO_BYTES = Kernel("Bitcast", {"T": _CODES, "type": DType.UINT8})
FROM_BYTES = Kernel("Bitcast", {"T": DType.UINT8, "type": _CODES})
PAD = Kernel("PadV2", {"T": DType.UINT8, "Tpaddings": DType.INT32})
"""Around bytes: PadV2 of quint8 is 7 to 30 times slower (1.1 against 0.15 ms on 1x224x224x3)."""

BYTES = ("Transpose", "DepthToSpace", "SpaceToDepth")
"""Moves that have no kernel for quint8, but one for bytes."""
MOVES = ("ConcatV2", "Identity", "Reshape", "Squeeze", "ExpandDims", "Slice", "StridedSlice", *BYTES)
"""Operations that work on codes as they are."""

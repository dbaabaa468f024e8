"""The arithmetic of TensorFlow's ``Dequantize``, so that weights stored in 8 bits can be looked at.

The formulas are those of the op's documentation
(https://www.tensorflow.org/api_docs/cc/class/tensorflow/ops/dequantize).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.values import DType, Tensor


@dataclass(frozen=True)
class Dequantizer:
    """How stored codes become weights: ``minimum`` and ``maximum`` are scalars, have a value for each slice of
    ``axis``, or the codes' rank; ``mode`` is MIN_COMBINED, MIN_FIRST or SCALED."""

    minimum: Tensor
    maximum: Tensor
    mode: str = "MIN_COMBINED"
    narrow_range: bool = False
    axis: int = -1

    @staticmethod
    def of(graph: ModelGraph, node: Node, low: int = 1, high: int = 2) -> Dequantizer | None:
        """What ``node`` does, whose range is at the inputs ``low`` and ``high``; None where that is not constant."""
        minimum, maximum = graph.constant(node, low), graph.constant(node, high)
        if minimum is None or maximum is None or minimum.array.shape != maximum.array.shape:
            return None
        axis = int(node.number("axis", -1))
        if minimum.array.ndim > 1 or (minimum.array.ndim == 1 and axis < 0 and minimum.array.size != 1):
            return None
        mode = node.text("mode", "MIN_COMBINED" if node.op == "Dequantize" else "MIN_FIRST")
        return Dequantizer(minimum, maximum, mode, node.flag("narrow_range"), axis)

    @staticmethod
    def of_fused(graph: ModelGraph, node: Node, codes: Tensor) -> Dequantizer | None:
        """Of a fused int8 operation, whose weights have a range for each output channel; None where it is not constant.

        A matrix product has one range for all; a Mul behind it has the step of each column.
        """
        low, high = graph.constant(node, 5), graph.constant(node, 6)
        if low is None or high is None:
            return None
        limits = [low.array, high.array]
        if "MatMul" in node.op:
            behind = [graph[name] for name, _ in graph.consumers[node.name]]
            steps = graph.constant(behind[0], 1) if [reader.op for reader in behind] == ["Mul"] else None
            limits = [limit * steps.array for limit in limits] if steps is not None else limits
        space = codes.array.ndim - (2 if "Depthwise" in node.op else 1)
        shape = (*[1] * space, *codes.array.shape[space:])
        if any(limit.size not in (1, math.prod(shape)) for limit in limits):
            return None
        minimum, maximum = (Tensor.of(x.reshape(shape if x.size > 1 else ()), DType.FLOAT) for x in limits)
        return Dequantizer(minimum, maximum, "SCALED")

    @property
    def nbytes(self) -> int:
        """Bytes that the ranges take."""
        return self.minimum.nbytes + self.maximum.nbytes

    def __call__(self, codes: Tensor) -> np.ndarray:
        """The weights, float32."""
        limits = np.iinfo(codes.array.dtype)
        low, high = (self._beside(t.array, codes.array.ndim) for t in (self.minimum, self.maximum))
        if self.mode == "SCALED":
            bottom = limits.min + self.narrow_range
            step = np.maximum(low / np.float32(bottom), high / np.float32(limits.max)) if bottom else high / limits.max
            return np.asarray(codes.array * step, np.float32)
        step = (high - low) / np.float32(limits.max - limits.min)
        offset = np.float32(limits.min) if codes.dtype in (DType.QINT8, DType.QINT16, DType.QINT32) else np.float32(0)
        if self.mode == "MIN_FIRST":  # TensorFlow's kernels round the minimum to a step, so that zero has a code
            return np.asarray((codes.array - offset + np.round(low / step)) * step, np.float32)
        return np.asarray((codes.array - offset) * step + low, np.float32)

    def _beside(self, limits: np.ndarray, rank: int) -> np.ndarray:
        """The range's end, shaped so that it meets its slices."""
        if limits.size == 1:
            return limits.reshape(())
        if limits.ndim == rank:
            return limits
        return limits.reshape([-1 if axis == self.axis else 1 for axis in range(rank)])

"""Constants in 8 bits by ``QuantizeV2``'s modes MIN_FIRST and MIN_COMBINED, to the bit as TensorFlow's kernel makes
them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from compressor_gui.core.memo import by_identity
from compressor_gui.core.values import DType, Tensor

_CHUNK = 1 << 20
_BELOW_HALF = np.nextafter(np.float32(0.5), np.float32(0))
_NARROWEST = np.float32(1e-30)
"""A narrower range would make the scale, 255 / range, overflow float32."""


class Stored(NamedTuple):
    """A constant in 8 bits: quint8 codes and the real numbers (float32 scalars) that 0 and 255 stand for."""

    codes: Tensor
    low: Tensor
    high: Tensor


@by_identity
def can_be_stored(tensor: Tensor) -> bool:
    """Whether a constant has a range: float32, not empty, everything finite."""
    if tensor.dtype != DType.FLOAT or tensor.array.size == 0:
        return False
    return bool(np.isfinite(np.min(tensor.array)) and np.isfinite(np.max(tensor.array)))


def store(tensor: Tensor, limits: tuple[float, float] | None = None, combined: bool = False) -> Stored:
    """Quantize ``tensor`` over its own range, or over ``limits`` (values outside are clipped).

    MIN_FIRST, where zero has a code, unless ``combined``: MIN_COMBINED, where the codes begin at the minimum exactly.

    The range always includes zero, as the kernels need; that of a constant that is all zeros is [0, 1].
    """
    values = tensor.array
    low, high = limits or (float(values.min()), float(values.max()))
    bottom, top = np.float32(min(low, 0.0)), np.float32(max(high, 0.0))
    if top == bottom:
        top = np.float32(1)
    elif top - bottom < _NARROWEST:
        top = bottom + _NARROWEST
    codes = Tensor(DType.QUINT8, (_min_combined if combined else _min_first)(values, bottom, top))
    return Stored(codes, Tensor.of(bottom, DType.FLOAT), Tensor.of(top, DType.FLOAT))


def _min_first(values: np.ndarray, low: np.float32, high: np.float32) -> np.ndarray:
    scale = np.float32(255 / (np.float64(high) - np.float64(low)))
    first = _rounded(np.asarray(low * scale))
    return _coded(values, lambda part: np.clip(_rounded(part * scale) - first, 0, 255))


def _min_combined(values: np.ndarray, low: np.float32, high: np.float32) -> np.ndarray:
    scale = np.float32(255 / (np.float64(high) - np.float64(low)))
    return _coded(values, lambda part: _rounded((np.clip(part, low, high) - low) * scale))


def _coded(values: np.ndarray, code: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    codes = np.empty(values.shape, np.uint8)
    source, target = np.ascontiguousarray(values).reshape(-1), codes.reshape(-1)
    for start in range(0, source.size, _CHUNK):  # so that the scratch space stays in the cache
        part = slice(start, start + _CHUNK)
        target[part] = code(source[part])
    return codes


def _rounded(values: np.ndarray) -> np.ndarray:
    """The nearest whole numbers, halves away from zero (numpy's own rounding goes to the even one)."""
    rounded: np.ndarray = np.trunc(values + np.copysign(_BELOW_HALF, values))
    return rounded

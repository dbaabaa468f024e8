"""Linear 8-bit codes for weights, without data: a range for each output channel, rounding that keeps sums.

Weights are rounded to ``(code - zero) * step``, codes 0..255. Rounding each weight to the nearest level makes the least
squared error in the weights, but not in what the layer computes: its inputs mostly have a mean above zero (they come
from a Relu, or are pixels) and neighbouring pixels are alike, so that errors of one sign add up. Therefore the weights
that lie closest to the middle between two levels are rounded the other way where that brings the sum of the errors of
each kernel, and then of each output channel, back to nearly zero, as SQuant does (Guo et al., "SQuant: On-the-Fly
Data-Free Quantization via Diagonal Hessian Approximation", ICLR 2022).

Clipping the ranges at fewer squared errors was tried, and changes nothing at 8 bits and a range a channel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TOP = 255
_BLOCK = 1 << 20
"""Weights rounded in one go, to keep temporary arrays small."""


class Codes(NamedTuple):
    """Codes in the shape of the weights, and what the lowest and the highest code stand for: float32 scalars, or one
    value for each output channel."""

    codes: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray


def encode(weights: np.ndarray, axis: int | None, per_channel: bool, kernel_axes: tuple[int, ...] = ()) -> Codes:
    """Round float32 weights, all finite, to uint8 codes.

    ``axis`` is the one along which the output channels lie (None: none is told apart), ``kernel_axes`` are those along
    which a filter slides. ``per_channel``: a range for each channel. Zero is kept exactly.
    """
    if axis is None:
        step, zero = _grid(weights.min(keepdims=True), weights.max(keepdims=True))
        codes = _nearest(weights, step, zero) + zero
        return Codes(codes.astype(np.uint8), *_ends(step.reshape(()), zero.reshape(())))
    inner = [a for a in range(weights.ndim) if a != axis and a not in kernel_axes]
    order = (axis, *inner, *(a for a in kernel_axes if a != axis))
    turned = weights.transpose(order)
    kernel = int(np.prod([weights.shape[a] for a in kernel_axes if a != axis], dtype=np.int64))
    rows = np.ascontiguousarray(turned).reshape(turned.shape[0], -1)
    if per_channel:
        step, zero = _grid(rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True))
    else:
        step, zero = _grid(rows.min(keepdims=True), rows.max(keepdims=True))
    codes = np.empty(rows.shape, np.uint8)
    at_once = max(1, _BLOCK // rows.shape[1])
    for start in range(0, len(rows), at_once):
        part = slice(start, start + at_once)
        scale, offset = (step[part], zero[part]) if per_channel else (step, zero)
        codes[part] = _balanced(rows[part], scale, offset, kernel) + offset
    ends = _ends(step[:, 0], zero[:, 0]) if per_channel else _ends(step.reshape(()), zero.reshape(()))
    return Codes(np.ascontiguousarray(codes.reshape(turned.shape).transpose(np.argsort(order))), *ends)


def _grid(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The finest step, and the code of zero, whose 256 levels reach from ``low`` to ``high`` and include zero."""
    low, high = np.minimum(low, 0).astype(np.float64), np.maximum(high, 0).astype(np.float64)
    zero = np.rint(-low / np.where(high > low, high - low, 1) * TOP)
    below, above = -low / np.maximum(zero, 1), high / np.maximum(TOP - zero, 1)
    step = _sixteen_bits(np.maximum(below, above).astype(np.float32))
    return np.where(step > 0, step, np.float32(1)), zero.astype(np.float32)


def _sixteen_bits(step: np.ndarray) -> np.ndarray:
    """Round up to 16 significant bits: then code * step, the range's ends and their difference are exact in float32,
    hence so is zero, however Dequantize computes."""
    return ((step.view(np.uint32) + 0xFF) & 0xFFFFFF00).astype(np.uint32).view(np.float32)


def _ends(step: np.ndarray, zero: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(-zero * step), np.asarray((TOP - zero) * step)


def _nearest(weights: np.ndarray, step: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """Levels counted from zero."""
    levels: np.ndarray = np.clip(np.rint(weights / step), -zero, TOP - zero)
    return levels


def _balanced(rows: np.ndarray, step: np.ndarray, zero: np.ndarray, kernel: int) -> np.ndarray:
    """Levels counted from zero, for rows of whole output channels, each of kernels of ``kernel`` weights."""
    levels = _nearest(rows, step, zero)
    error = rows / step - levels
    error[rows == 0] = 0
    open_up, open_down = levels < TOP - zero, levels > -zero
    for width in (kernel, rows.shape[1]):
        if width > 1:
            shape = (-1, width)
            _flip(*(part.reshape(shape) for part in (levels, error, open_up, open_down)))
    return levels


def _flip(levels: np.ndarray, error: np.ndarray, open_up: np.ndarray, open_down: np.ndarray) -> None:
    """Move levels by one, in place, so that every row's errors sum to less than a step; the largest errors first."""
    total = error.sum(axis=1, keepdims=True)
    sign = np.sign(total)
    gain = error * sign
    gain[~np.where(sign > 0, open_up, open_down) | (gain > 0.5)] = 0  # above 0.5: was moved already
    count = np.minimum(np.rint(np.abs(total)), (gain > 0).sum(axis=1, keepdims=True)).astype(np.intp)
    ranked = np.sort(gain, axis=1)
    least = np.take_along_axis(ranked, np.maximum(gain.shape[1] - count, 0) % gain.shape[1], axis=1)
    moved = gain > np.where(count > 0, least, np.float32(2))
    ties = (gain == least) & (count > 0)
    moved |= ties & (np.cumsum(ties, axis=1) <= count - moved.sum(axis=1, keepdims=True))
    change = moved * sign
    levels += change
    error -= change

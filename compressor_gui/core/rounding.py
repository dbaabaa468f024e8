"""Linear 8-bit codes for weights, without data: a range for each output channel, rounding that keeps sums.

Weights are rounded to whole numbers of steps. Rounding each weight to the nearest makes the least squared error in the
weights, but not in what the layer computes: its inputs mostly have a mean above zero (they come from a Relu, or are
pixels), so that errors of one sign add up. Therefore the weights that lie closest to the middle between two levels are
rounded the other way where that brings the sum of the errors of each output channel back to nearly zero, as SQuant does
(Guo et al., "SQuant: On-the-Fly Data-Free Quantization via Diagonal Hessian Approximation", ICLR 2022).

Tried and left out: doing so for each kernel first, as SQuant does, which cost small networks 1 to 7 dB; ranges clipped
for a smaller squared error, which change nothing at 8 bits and a range a channel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SYMMETRIES = ("automatic", "symmetric", "asymmetric")
"""Where the levels lie: evenly around zero; with a zero point, so that they reach from the least weight to the
greatest; or so where that is worth its bytes."""

_BLOCK = 1 << 16
"""Weights rounded in one go: the temporary arrays stay in the processor's cache, which halves the time."""

_SHARES = tuple(np.linspace(1.0, 0.2, 9))
"""The ranges of a channel in few bits that are tried, as shares of its greatest magnitude."""

_SHORT_CHANNEL = 16
_WORTHWHILE = 1.12
"""A symmetric range takes half the bytes of one with a zero point. So the latter is for channels of at least
``_SHORT_CHANNEL`` weights (8 bytes are half their size), where its steps are finer by this factor (geometric mean)."""


class Codes(NamedTuple):
    """Codes in the shape of the weights, what the lowest and the highest stand for, and Dequantize's mode.

    ``codes`` are uint8, or int8 where ``mode`` is SCALED; ``minimum`` and ``maximum`` float32 scalars, or one value for
    each output channel. A SCALED range is its maximum: its minimum is zeros, stored as one value, which the kernel
    passes over as it takes the larger of the scales that both ends ask for.
    """

    codes: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    mode: str


class Clipping(NamedTuple):
    """Of each row: the ``step`` between two levels (float32), the sum of squared ``errors`` with it, and of those
    ``unclipped``, where the levels reach to the greatest magnitude (float64). All of shape (rows,)."""

    step: np.ndarray
    errors: np.ndarray
    unclipped: np.ndarray


@dataclass(frozen=True)
class _Grid:
    """``step`` between two levels, and the numbers of the ``lowest`` and ``highest`` level; level 0 is zero.

    All float32, of shape (channels, 1), or (1, 1) where one range serves all.
    """

    step: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray

    def __getitem__(self, part: slice) -> _Grid:
        return self if len(self.step) == 1 else _Grid(self.step[part], self.lowest[part], self.highest[part])

    def nearest(self, weights: np.ndarray) -> np.ndarray:
        """The number of each weight's level."""
        levels: np.ndarray = np.clip(np.rint(weights / self.step), self.lowest, self.highest)
        return levels


def encode(weights: np.ndarray, axis: int | None, per_channel: bool, symmetry: str = "automatic") -> Codes:
    """Round float32 weights, all finite, to 8-bit codes. Zero is kept exactly.

    ``axis`` is the one along which the output channels lie (None: none is told apart). ``per_channel``: a range for
    each channel, unless one for all fits better, as it does where weights were in 8 bits before; else one for all (mode
    MIN_FIRST, or SCALED where it is symmetric). ``symmetry``: one of SYMMETRIES.
    """
    one_grid = _one_symmetric if symmetry == "symmetric" else _with_zero_point
    if axis is None:
        rows = weights.reshape(1, -1)
        grid = one_grid(rows)
        levels = grid.nearest(rows).astype(np.int16)
        return _codes(levels.reshape(weights.shape), grid, per_channel=False)
    turned = np.moveaxis(weights, axis, 0)
    rows = np.ascontiguousarray(turned).reshape(turned.shape[0], -1)
    grid = one_grid(rows)
    if per_channel:
        own = _own_grids(rows, symmetry)
        per_channel = not _fits_every_row(grid, own, rows)
        grid = own if per_channel else grid
    codes = _codes(_rounded(rows, grid, np.int16), grid, per_channel)
    return codes._replace(codes=np.ascontiguousarray(np.moveaxis(codes.codes.reshape(turned.shape), 0, axis)))


def encode_symmetric(
    weights: np.ndarray, axis: int, least_peaks: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Round float32 weights, all finite, to int8 codes from -127 to 127, with a step for each channel along ``axis``:
    the codes, and what 127 stands for (float32, one for each channel; at least ``least_peaks``)."""
    turned = np.moveaxis(weights, axis, 0)
    rows = np.ascontiguousarray(turned).reshape(turned.shape[0], -1)
    grid = _symmetric(rows, least_peaks)
    levels = _rounded(rows, grid, np.int8)
    codes = np.ascontiguousarray(np.moveaxis(levels.reshape(turned.shape), 0, axis))
    return codes, grid.step[:, 0] * np.float32(127)


def encode_bits(weights: np.ndarray, axis: int | None, bits: int) -> Codes:
    """Round float32 weights, all finite, to codes of ``bits`` (2 to 15) bits, in one or two bytes each (mode SCALED).

    The 2^bits - 1 levels of a channel along ``axis`` lie evenly around zero; its range is clipped where that makes the
    squared error least, which at few bits it does. The maximum is what the highest code of the type stands for, 127 or
    32767, whether or not there is a level for it. Levels of more than 8 bits are shifted up, so that the upper byte has
    8 of them and the lower one the rest: together they compress well.
    """
    kind, shift = (np.int8, 0) if bits <= 8 else (np.int16, 16 - bits)
    turned = weights.reshape(1, -1) if axis is None else np.moveaxis(weights, axis, 0)
    rows = np.ascontiguousarray(turned).reshape(turned.shape[0], -1)
    steps = clip(rows, bits, _SHARES).step
    levels = _rounded(rows, _symmetric_levels(steps[:, None], 2 ** (bits - 1) - 1), kind)
    shaped = (levels << shift).reshape(turned.shape)
    codes = shaped.reshape(weights.shape) if axis is None else np.ascontiguousarray(np.moveaxis(shaped, 0, axis))
    highest = (steps / np.float32(2**shift) * np.float32(np.iinfo(kind).max)).reshape(() if axis is None else (-1,))
    return Codes(codes, np.broadcast_to(np.float32(0), highest.shape), highest, "SCALED")


def simulate(weights: np.ndarray, axis: int | None, bits: int) -> np.ndarray:
    """What float32 weights, all finite, become by :func:`encode_bits`."""
    found = encode_bits(weights, axis, bits)
    steps = found.maximum / np.float32(np.iinfo(found.codes.dtype).max)
    if axis is not None:
        steps = steps.reshape([-1 if at == axis else 1 for at in range(weights.ndim)])
    rounded: np.ndarray = found.codes * steps
    return rounded


def clip(rows: np.ndarray, bits: int, shares: Sequence[float], counts: np.ndarray | None = None) -> Clipping:
    """The 2^``bits`` - 1 levels evenly around zero with the least squared error for each row, of those that reach to
    these ``shares`` of its greatest magnitude, the first of which is 1: what lies beyond counts as clipped.

    ``counts``: how often each column's values occur; once unless given.
    """
    parts = [_clip(rows[part], 2 ** (bits - 1) - 1, shares, counts) for part in _blocks(rows)]
    return Clipping(*map(np.concatenate, zip(*parts, strict=True)))


def _clip(rows: np.ndarray, top: int, shares: Sequence[float], counts: np.ndarray | None) -> Clipping:
    peak = np.abs(rows).max(axis=1, keepdims=True).astype(np.float64)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for share in shares:
        grid = _symmetric_levels(short_step(peak * share / top), top)
        squares = np.square(grid.nearest(rows) * grid.step - rows)
        errors = squares.sum(axis=1, dtype=np.float64) if counts is None else squares @ counts
        found.append((grid.step[:, 0], errors))
    steps, errors = (np.array(column) for column in zip(*found, strict=True))
    best = errors.argmin(axis=0), np.arange(len(rows))
    return Clipping(steps[best], errors[best], errors[0])


def _blocks(rows: np.ndarray) -> Iterator[slice]:
    """Rows that are rounded in one go."""
    at_once = max(1, _BLOCK // max(1, rows.shape[1]))
    return (slice(start, start + at_once) for start in range(0, len(rows), at_once))


def _symmetric_levels(step: np.ndarray, top: int) -> _Grid:
    """The levels -top to top."""
    return _Grid(step, np.full_like(step, -top), np.full_like(step, top))


def _own_grids(rows: np.ndarray, symmetry: str) -> _Grid:
    """A grid for each row; ``symmetry`` automatic: with zero points where they are worth their bytes."""
    if symmetry == "symmetric" or (symmetry == "automatic" and rows.shape[1] < _SHORT_CHANNEL):
        return _symmetric(rows)
    grid = _with_zero_point(rows, along=1)
    if symmetry == "asymmetric":
        return grid
    symmetric = _symmetric(rows)
    finer = math.exp(float(np.log(symmetric.step / grid.step).mean()))
    return symmetric if finer < _WORTHWHILE else grid


def _fits_every_row(whole: _Grid, own: _Grid, rows: np.ndarray) -> bool:
    """Whether ``whole`` makes no row's squared error larger than ``own`` does, by whose steps weights that lie anywhere
    between two levels would be rounded."""
    expected = np.square(own.step[:, 0], dtype=np.float64) / 12 * rows.shape[1]
    for part in _blocks(rows):
        error = np.square(whole.nearest(rows[part]) * whole.step - rows[part]).sum(axis=1, dtype=np.float64)
        if (error > expected[part]).any():
            return False
    return True


def _with_zero_point(rows: np.ndarray, along: int | None = None) -> _Grid:
    """The finest 256 levels that reach from the least to the greatest weight, of all or ``along`` 1 of each row, and
    include zero."""
    low = np.minimum(rows.min(axis=along, keepdims=True), 0).astype(np.float64)
    high = np.maximum(rows.max(axis=along, keepdims=True), 0).astype(np.float64)
    zero = np.rint(-low / np.where(high > low, high - low, 1) * 255)
    step = short_step(np.maximum(-low / np.maximum(zero, 1), high / np.maximum(255 - zero, 1)))
    return _Grid(step, (-zero).astype(np.float32), (255 - zero).astype(np.float32))


def _symmetric(rows: np.ndarray, least_peaks: np.ndarray | None = None) -> _Grid:
    """The finest levels -127 to 127 that reach to the greatest magnitude of each row, or to ``least_peaks``."""
    peak = np.maximum(rows.max(axis=1, keepdims=True), -rows.min(axis=1, keepdims=True))
    if least_peaks is not None:
        peak = np.maximum(peak, least_peaks[:, None])
    return _symmetric_levels(short_step(peak.astype(np.float64) / 127), 127)


def _one_symmetric(rows: np.ndarray) -> _Grid:
    """The same for all rows together."""
    return _symmetric(rows.reshape(1, -1))


def short_step(step: np.ndarray) -> np.ndarray:
    """Round up to 16 significant bits (1 where it is 0): then level * step and the differences of two such are exact in
    float32, hence so is zero, in whatever order Dequantize computes."""
    bits = step.astype(np.float32).view(np.uint32)
    short = ((bits + np.uint32(0xFF)) & np.uint32(0xFFFFFF00)).view(np.float32)
    return np.where(short > 0, short, np.float32(1))


def _codes(levels: np.ndarray, grid: _Grid, per_channel: bool) -> Codes:
    """``per_channel``: ``grid`` has a row for each channel."""
    shape = (-1,) if per_channel else ()
    low, high = (grid.lowest * grid.step).reshape(shape), (grid.highest * grid.step).reshape(shape)
    lowest = grid.lowest.astype(np.int16) if per_channel else np.int16(grid.lowest.item())
    if (grid.lowest == -127).all() and (grid.highest == 127).all():
        return Codes(levels.astype(np.int8), np.broadcast_to(np.float32(0), low.shape), high, "SCALED")
    return Codes((levels - lowest).astype(np.uint8), low, high, "MIN_COMBINED" if per_channel else "MIN_FIRST")


def _rounded(rows: np.ndarray, grid: _Grid, kind: type[np.signedinteger]) -> np.ndarray:
    """The :func:`_balanced` levels of rows that are whole output channels, as numbers of this type."""
    levels = np.empty(rows.shape, kind)
    for part in _blocks(rows):
        levels[part] = _balanced(rows[part], grid[part])
    return levels


def _balanced(rows: np.ndarray, grid: _Grid) -> np.ndarray:
    """The levels of rows that are whole output channels: nearest, then moved by one, the largest errors first, until
    the errors of each row sum to less than a step."""
    levels = grid.nearest(rows)
    error = rows / grid.step - levels
    total = error.sum(axis=1, keepdims=True)
    sign = np.sign(total)
    gain = error * sign
    gain[~np.where(sign > 0, levels < grid.highest, levels > grid.lowest) | (rows == 0)] = 0
    count = np.minimum(np.rint(np.abs(total)), (gain > 0).sum(axis=1, keepdims=True)).astype(np.intp)
    ranked = np.sort(gain, axis=1)
    least = np.take_along_axis(ranked, np.maximum(gain.shape[1] - count, 0) % gain.shape[1], axis=1)
    moved = gain > np.where(count > 0, least, np.float32(2))
    ties = (gain == least) & (count > 0)
    moved |= ties & (np.cumsum(ties, axis=1) <= count - moved.sum(axis=1, keepdims=True))
    moved_levels: np.ndarray = levels + moved * sign
    return moved_levels

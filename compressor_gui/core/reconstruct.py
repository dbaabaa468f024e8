"""Weights rounded to 8 bits such that a layer's results, not its weights, stay as they are.

A layer is linear in its weights, so the error of its results on examples is a quadratic form whose matrix is H = X^T X,
the products of what it reads. Three steps, each of them exact or closed form:

- *refit*: the float weights with which the layer, reading what the quantized layers before it make, comes nearest to
  the results of the float network (least squares, drawn towards the old weights). That takes back part of the noise
  that has gathered so far.
- *rounding*: weight by weight, in the order of their importance, each error made good by the weights that still can be
  changed (Frantar et al., "GPTQ", ICLR 2023; the idea is that of Hassibi & Stork's optimal brain surgeon).
- *bias*: what is left as the mean of the error goes into the bias.

The aim is AdaRound's (Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020):
rounding that is learnt on examples, layer by layer, with the quantized layers before. AdaRound finds it by 10,000 steps
of gradient descent a layer; this takes one factorisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from compressor_gui.core.rounding import short_step

_DRAWN = 0.01
"""How strongly the refit is drawn to the old weights, as a part of H's mean diagonal, where rows are many."""
_FEW = 10.0
"""How many times that is added for as many inputs as rows: the less examples say about each weight, the more the old
one counts. Else deep layers, with a few places a picture, learn these pictures by heart."""
_DAMPED = 0.01
"""What is added to H's diagonal for the rounding, as a part of its mean."""
_TOP = 127
_PAIR = 126
"""As in int8/weights.py."""


class Rounded(NamedTuple):
    """``weights`` of shape (groups, inputs, outputs), float32 on a grid of int8 with a step for each output; ``bias``,
    float64 of shape (groups, outputs)."""

    weights: np.ndarray
    bias: np.ndarray


@dataclass
class Moments:
    """Sums over examples of what a layer reads and of what it should make of it.

    ``groups``: 1 for dense layers, a depthwise layer's channels; ``inputs`` and ``outputs``: of each group.
    """

    groups: int
    inputs: int
    outputs: int

    def __post_init__(self) -> None:
        self.count = 0
        self._products = np.zeros((self.groups, self.inputs, self.inputs))
        self._aims = np.zeros((self.groups, self.inputs, self.outputs))
        self._read = np.zeros((self.groups, self.inputs, 1))
        self._aim = np.zeros((self.groups, 1, self.outputs))

    def add(self, read: np.ndarray, aim: np.ndarray) -> None:
        """Take in rows: ``read`` of shape (groups, rows, inputs), ``aim`` of shape (groups, rows, outputs)."""
        read, aim = read.astype(np.float64), aim.astype(np.float64)
        turned = np.ascontiguousarray(np.swapaxes(read, 1, 2))
        self.count += read.shape[1]
        self._products += turned @ read
        self._aims += turned @ aim
        self._read += turned.sum(axis=2, keepdims=True)
        self._aim += aim.sum(axis=1, keepdims=True)

    def solve(self, weights: np.ndarray, biased: bool, channels: int = 0) -> Rounded:
        """The rounded weights in the place of ``weights``, of shape (groups, inputs, outputs), and their bias: zeros
        unless the layer is ``biased``, so that it can take the mean error; ``channels`` as for :func:`round_on`."""
        count = max(self.count, 1)
        read, aim = self._read / count, self._aim / count
        if not biased:
            read, aim = np.zeros_like(read), np.zeros_like(aim)
        products = self._products / count - read * np.swapaxes(read, 1, 2)
        aims = self._aims / count - read * aim
        drawn = _DRAWN * (1 + _FEW * self.inputs / count)
        rounded = round_on(products, _refitted(products, aims, weights.astype(np.float64), drawn), channels)
        left = aim - np.swapaxes(read, 1, 2) @ rounded
        return Rounded(rounded.astype(np.float32), left[:, 0, :])


def _refitted(products: np.ndarray, aims: np.ndarray, weights: np.ndarray, drawn: float) -> np.ndarray:
    """The minimum of |X w - y|^2 / n + drawn |w - weights|^2, ``drawn`` as a part of H's mean diagonal."""
    pull = _part_of_diagonal(products, drawn)
    found: np.ndarray = np.linalg.solve(products + pull * np.eye(products.shape[1]), aims + pull * weights)
    return found


def round_on(products: np.ndarray, weights: np.ndarray, channels: int = 0) -> np.ndarray:
    """``weights``, float64 of shape (groups, inputs, outputs), on the grid that :func:`.int8.weights.encode` finds
    again: the greatest magnitude of each output lies at its end. ``products`` is H, of shape (groups, inputs, inputs).

    ``channels``, where it is not 0: how many neighbouring inputs are channels of one place; the levels of two
    neighbours then add up to at most 126, as encode's ``without_vnni`` asks.
    """
    size = products.shape[1]
    grid = _paired_grid(weights, channels) if channels else _plain_grid(weights)
    order = np.argsort(-np.diagonal(products, axis1=1, axis2=2).mean(axis=0), kind="stable")
    damped = products + _part_of_diagonal(products, _DAMPED) * np.eye(size)
    spread = np.swapaxes(np.linalg.cholesky(np.linalg.inv(damped[:, order][:, :, order])), 1, 2)
    rest = (weights / grid.step)[:, order]
    levels = np.zeros_like(weights)
    for at, place in enumerate(order):
        level = np.clip(np.rint(rest[:, at]), *grid.bounds(levels, place))
        level = np.where(np.isnan(grid.fixed[:, place]), level, grid.fixed[:, place])
        error = (rest[:, at] - level) / spread[:, at, at, None]
        rest[:, at + 1 :] -= spread[:, at, at + 1 :, None] * error[:, None, :]
        levels[:, place] = level
    rounded: np.ndarray = levels * grid.step
    return rounded


class _Grid(NamedTuple):
    """``step`` of each output; ``fixed``: the levels of the weights by which the grid is found again, else NaN; the
    ``partner`` of each input, itself where it has none, and None where partners don't matter."""

    step: np.ndarray
    fixed: np.ndarray
    partner: np.ndarray | None = None

    def bounds(self, levels: np.ndarray, place: int) -> tuple[np.ndarray | int, np.ndarray | int]:
        """The lowest and the highest level of an input, given those of its partner (0: not known yet)."""
        if self.partner is None:
            return -_TOP, _TOP
        other = levels[:, self.partner[place]]
        return -_PAIR - np.minimum(other, 0), _PAIR - np.maximum(other, 0)


def _plain_grid(weights: np.ndarray) -> _Grid:
    peak = np.abs(weights).max(axis=1, keepdims=True)
    ends = (np.abs(weights) == peak) & (peak > 0)
    step = short_step(peak / _TOP).astype(np.float64)
    return _Grid(step, np.where(ends, np.sign(weights) * _TOP, np.nan))


def _paired_grid(weights: np.ndarray, channels: int) -> _Grid:
    inputs = np.arange(weights.shape[1])
    channel = inputs % channels
    partner = np.where(channel % 2, inputs - 1, np.where(channel + 1 < channels, inputs + 1, inputs))
    alone = (partner == inputs)[:, None]
    others = np.where(alone, 0, weights[:, partner])
    alike = np.where(np.sign(others) == np.sign(weights), np.abs(others), 0)
    sums = np.abs(weights) + alike
    largest = sums.max(axis=1, keepdims=True)
    step = short_step(largest / _PAIR).astype(np.float64)
    first = np.argmax(sums, axis=1)[:, None]
    level = np.rint(np.take_along_axis(weights, first, 1) / step)
    sign = np.sign(np.take_along_axis(weights, first, 1))
    paired = np.take_along_axis(alike, first, 1) > 0
    fixed = np.full(weights.shape, np.nan)
    np.put_along_axis(fixed, partner[first], np.where(paired, sign * _PAIR - level, np.nan), 1)
    np.put_along_axis(fixed, first, np.where(largest > 0, np.where(paired, level, sign * _PAIR), np.nan), 1)
    return _Grid(step, fixed, partner)


def _part_of_diagonal(products: np.ndarray, part: float) -> np.ndarray:
    mean = np.trace(products, axis1=1, axis2=2) / products.shape[1]
    return np.asarray(part * mean + 1e-12)[:, None, None]

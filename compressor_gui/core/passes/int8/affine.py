"""Multiplications and additions per channel: biases and batch norms, which a layer takes in.

Behind a Relu, a pool or a sum they stand apart. In codes they are a depthwise layer of one pixel then, whose weights
need no rounding: each channel has a step of its own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from compressor_gui.core.graph import ModelGraph, Node, Ref

_FUSED_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_SUMS = ("Add", "AddV2", "BiasAdd")
_QUOTIENTS = ("Div", "RealDiv")


class Affine(NamedTuple):
    """``source * scale + offset``: both float64 vectors with a value for each channel."""

    source: Ref
    scale: np.ndarray
    offset: np.ndarray

    def then(self, other: Affine) -> Affine:
        """This, and ``other`` behind it."""
        scale, offset = self.scale * other.scale, self.offset * other.scale + other.offset
        return Affine(self.source, scale, offset)


def unchanged(source: Ref, channels: int) -> Affine:
    """The source as it is."""
    return Affine(source, np.ones(channels), np.zeros(channels))


def affine(graph: ModelGraph, node: Node, channels: int) -> Affine | None:
    """What ``node`` computes, where that is affine for each of the last axis's ``channels`` and finite."""
    found = _norm(graph, node, channels) if node.op in _FUSED_NORMS else _arithmetic(graph, node, channels)
    return found if found is not None and np.isfinite([found.scale, found.offset]).all() else None


def _arithmetic(graph: ModelGraph, node: Node, channels: int) -> Affine | None:
    if len(node.data_refs) != 2 or node.text("data_format", "NHWC") not in ("NHWC", ""):
        return None
    at = 0 if graph.constant(node, 0) is not None else 1
    constant = graph.constant(node, at)
    if constant is None or graph.constant(node, 1 - at) is not None:
        return None
    value = _per_channel(constant.array, channels)
    if value is None:
        return None
    source, one = node.data_refs[1 - at], np.ones(channels)
    if node.op == "Mul":
        return Affine(source, value, 0 * one)
    if node.op in _SUMS:
        return Affine(source, one, value)
    if node.op == "Sub":
        return Affine(source, one, -value) if at == 1 else Affine(source, -one, value)
    if node.op in _QUOTIENTS and at == 1 and value.all():
        return Affine(source, 1 / value, 0 * one)
    return None


def _norm(graph: ModelGraph, node: Node, channels: int) -> Affine | None:
    if node.flag("is_training", True) or node.text("data_format", "NHWC") not in ("NHWC", ""):
        return None
    constants = [graph.constant(node, at) for at in range(1, 5)]
    values = [constant.array.astype(np.float64) for constant in constants if constant is not None]
    if len(values) != 4 or any(value.shape != (channels,) for value in values):
        return None
    gamma, beta, mean, variance = values
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + node.number("epsilon", 1e-4))
        offset = beta - mean * scale
    return Affine(node.data_refs[0], scale, offset)


def _per_channel(array: np.ndarray, channels: int) -> np.ndarray | None:
    size = math.prod(array.shape)
    if array.dtype != np.float32 or array.ndim > 4 or size not in (1, channels) or (array.shape or (1,))[-1] != size:
        return None
    return np.broadcast_to(array.reshape(-1).astype(np.float64), (channels,))

"""The weights of a layer as int8 codes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from compressor_gui.core.graph import Node
from compressor_gui.core.rounding import encode_symmetric

_LARGEST_PAIR = 126
"""255 times 126, and once more for each code that is rounded up, is below 2^15: the sum of the products of two such
weights with any two codes of an activation fits 16 bits."""


class Weights(NamedTuple):
    """``codes`` in the shape of the weights; for each output channel ``peaks``, what code 127 stands for (float32), and
    ``sums``, the sum of the weights that the codes stand for."""

    codes: np.ndarray
    peaks: np.ndarray
    sums: np.ndarray


def by_channel(layer: Node, weights: np.ndarray) -> np.ndarray:
    """A layer's weights (a MatMul's not transposed) as a matrix with a column for each output channel."""
    shape = weights.shape
    return weights.reshape(-1, shape[2] * shape[3] if layer.op == "DepthwiseConv2dNative" else shape[-1])


def encode(layer: Node, weights: np.ndarray, without_vnni: bool, steps: np.ndarray | None = None) -> Weights:
    """Symmetric codes with a step for each output channel; not finer than ``steps``, one for each channel, which are
    those of weights that were rounded before.

    Before VNNI, the processor's instruction (``vpmaddubsw``) adds the products of two neighbours of the input channels
    in 16 bits, and clips. ``without_vnni`` makes steps so wide that this does not happen. A depthwise layer does not
    add that way.
    """
    matrix = by_channel(layer, weights)
    least = _pairs(weights) / _LARGEST_PAIR * 127 if without_vnni and layer.op != "DepthwiseConv2dNative" else None
    if steps is not None:
        least = np.maximum(steps * 127, 0 if least is None else least)
    codes, peaks = encode_symmetric(matrix, 1, least)
    sums = codes.sum(axis=0, dtype=np.int64) * (peaks.astype(np.float64) / 127)
    return Weights(codes.reshape(weights.shape), peaks, sums)


def rounded(layer: Node, weights: np.ndarray, without_vnni: bool = False) -> np.ndarray:
    """What the codes of a layer's weights (as the layer has them) stand for, float32 of their shape."""
    turned = layer.flag("transpose_b")
    found = encode(layer, weights.T if turned else weights, without_vnni)
    values = by_channel(layer, found.codes) * (found.peaks.astype(np.float64) / 127)
    shaped = values.reshape(found.codes.shape)
    return np.asarray(shaped.T if turned else shaped, np.float32)


def _pairs(weights: np.ndarray) -> np.ndarray:
    """The largest magnitude, for each output channel, of the sum of two neighbours of one sign along the input
    channels."""
    rows = weights.reshape(-1, *weights.shape[-2:])
    whole = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2), (0, 0)))
    pairs = whole.reshape(-1, 2, whole.shape[2])
    positive, negative = np.maximum(pairs, 0).sum(axis=1), np.minimum(pairs, 0).sum(axis=1)
    largest: np.ndarray = np.maximum(positive.max(axis=0), -negative.min(axis=0))
    return largest

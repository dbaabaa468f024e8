"""Which weights stay: scores by a criterion, masks of the best, and masks that change while the network trains.

Everything here is pure numpy. A score or mask has the shape of its layer's weight; a mask is True where a weight stays.

Sources. ``magnitude``, ``sensitivity``: S. Han et al., "Learning both Weights and Connections for Efficient Neural
Networks", 2015. ``scaled``: J. Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning" (LAMP), 2021.
``taylor``: P. Molchanov et al., "Importance Estimation for Neural Network Pruning", 2019. :func:`cubic`: M. Zhu and S.
Gupta, "To Prune, or Not to Prune", 2017. :func:`surgery`: Y. Guo et al., "Dynamic Network Surgery for Efficient DNNs",
2016. :func:`moved`: U. Evci et al., "Rigging the Lottery: Making All Tickets Winners" (RigL), 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

Arrays = Sequence[np.ndarray]

PER_LAYER = frozenset({"magnitude"})
"""The criteria by which every layer keeps the same share; the others compare the weights of all layers."""

_MARGIN = 0.1
"""How far from the threshold t a weight must be for :func:`surgery` to change its mind (Guo et al.: 0.9 t, 1.1 t)."""
_MOVED = 0.3
"""The share of connections that RigL moves at first."""


def scores(criterion: str, weights: Arrays, gradients: Arrays = (), seed: int = 0) -> list[np.ndarray]:
    """How much each weight is worth, float32.

    ``global`` and ``magnitude``: \\|w\\|. ``scaled``: w² over the sum of all w² of its layer that are as large (LAMP).
    ``sensitivity``: \\|w\\| over the standard deviation of its layer's weights that are not zero, so that one quality
    factor gives each layer its threshold. ``taylor``: \\|w g\\|, where ``gradients`` holds the mean \\|g\\| of some
    batches. ``random``: any, the control.
    """
    magnitudes = [np.abs(w.astype(np.float32, copy=False)) for w in weights]
    match criterion:
        case "scaled":
            return [_lamp(m) for m in magnitudes]
        case "sensitivity":
            return [m / _deviation(w) for m, w in zip(magnitudes, weights, strict=True)]
        case "taylor":
            return [m * np.abs(g) for m, g in zip(magnitudes, gradients, strict=True)]
        case "random":
            random = np.random.default_rng(seed)
            return [np.where(m > 0, 1 + random.random(m.shape, np.float32), 0).astype(np.float32) for m in magnitudes]
        case _:
            return magnitudes


def kept(found: Arrays, count: int, *, per_layer: bool = False) -> list[np.ndarray]:
    """Masks of exactly ``count`` weights with the best scores, those first in position where some are equal; but every
    layer keeps one at least. ``per_layer``: every layer keeps the same share, to within one weight (where that is
    none, one: the count may be exceeded so).
    """
    sizes = [score.size for score in found]
    count = min(max(count, len(sizes)), sum(sizes))
    if per_layer:
        ends = [round(count * end / sum(sizes)) for end in np.cumsum(sizes).tolist()]
        shares = np.diff([0, *ends])
        return [_best(s.reshape(-1), max(1, int(n))).reshape(s.shape) for s, n in zip(found, shares, strict=True)]
    joined = np.concatenate([np.nan_to_num(score.reshape(-1), nan=np.inf) for score in found])
    starts = np.cumsum([0, *sizes])
    for start, stop in pairwise(starts):
        joined[start + int(joined[start:stop].argmax())] = np.inf
    return _cut(_best(joined, count), found)


def surgery(found: Arrays, masks: Arrays, count: int) -> list[np.ndarray]:
    """About ``count`` weights: as :func:`kept` has it where a score is clearly above or below the threshold, as before
    where it is within a tenth of it. ``found`` are scores of the dense weights, so that what was cut may come back."""
    joined = np.concatenate([score.reshape(-1) for score in found])
    threshold = np.partition(joined, joined.size - count)[joined.size - count]
    low, high = threshold * (1 - _MARGIN), threshold * (1 + _MARGIN)
    return [(score >= high) | (mask & (score >= low)) for score, mask in zip(found, masks, strict=True)]


def moved(weights: Arrays, masks: Arrays, gradients: Arrays, share: float) -> list[np.ndarray]:
    """The same number of weights in each layer: of those that stay, the ``share`` of least magnitude gives way to those
    of the largest gradient. Weights that come new are zero and have to be trained."""
    out = []
    for weight, mask, gradient in zip(weights, masks, gradients, strict=True):
        active, inactive = int(mask.sum()), int(mask.size - mask.sum())
        count = min(int(share * active), inactive)
        magnitude = np.where(mask, np.abs(weight), -1.0).reshape(-1)
        stay = _best(magnitude, active - count)
        grown = _best(np.where(stay, -1.0, np.abs(gradient).reshape(-1)), count)
        out.append((stay | grown).reshape(mask.shape))
    return out


def moved_share(progress: float) -> float:
    """The share that RigL moves, ``progress`` 0..1 into the training: a cosine that falls to nothing."""
    return _MOVED / 2 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))


def cubic(start: float, end: float, progress: float) -> float:
    """The density at ``progress`` 0..1 on the way from ``start`` to ``end``: fast at first, then ever slower."""
    left = 1 - min(1.0, max(0.0, progress))
    return end + (start - end) * left**3


def _best(values: np.ndarray, count: int) -> np.ndarray:
    """A mask of the ``count`` largest values, the first ones where some are equal."""
    mask = np.zeros(values.size, bool)
    if count <= 0:
        return mask
    if count >= values.size:
        return ~mask
    last = np.partition(values, values.size - count)[values.size - count]
    mask = values > last
    ties = np.flatnonzero(values == last)
    mask[ties[: count - np.count_nonzero(mask)]] = True
    return np.asarray(mask)


def _cut(mask: np.ndarray, like: Arrays) -> list[np.ndarray]:
    """A flat mask, in the layers' shapes."""
    ends = np.cumsum([score.size for score in like])[:-1]
    return [part.reshape(score.shape) for part, score in zip(np.split(mask, ends), like, strict=True)]


def _lamp(magnitude: np.ndarray) -> np.ndarray:
    squares = magnitude.reshape(-1).astype(np.float64) ** 2
    order = np.argsort(squares, kind="stable")
    falling = squares[order][::-1]
    as_large = np.cumsum(falling)[::-1]
    found = np.zeros(squares.size, np.float32)
    found[order] = np.divide(squares[order], as_large, out=np.zeros_like(squares), where=as_large > 0)
    return found.reshape(magnitude.shape)


def _deviation(weight: np.ndarray) -> float:
    alive = weight[weight != 0]
    return max(float(alive.std()), 1e-12) if alive.size else 1.0

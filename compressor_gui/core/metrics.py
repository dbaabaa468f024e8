"""What is counted and tested when a network's answers are compared with the truth, or with another network's."""

from __future__ import annotations

import math

import numpy as np

_Z95 = 1.959963984540054
"""The normal distribution's quantile of a two-sided 95 % interval."""


def wilson_interval(hits: int, n: int, z: float = _Z95) -> tuple[float, float]:
    """The interval of a proportion of which ``hits`` of ``n`` were seen (E. B. Wilson, JASA 1927); (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def mcnemar_p(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test: how likely so uneven a split is where both are equally good.

    ``only_first`` and ``only_second`` count the examples that just one of the two gets right; the split is binomial
    with p = 1/2 (Q. McNemar, Psychometrika 1947, the exact form).
    """
    n, least = only_first + only_second, min(only_first, only_second)
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(least + 1)]
    tail = math.fsum(math.exp(value - n * math.log(2)) for value in logs)
    return min(1.0, 2 * tail)


def is_distribution(rows: np.ndarray, tolerance: float = 0.05) -> bool:
    """Whether every row (last axis) is a distribution: not negative, and 1 in sum but for a rounding (8 bits)."""
    if rows.ndim < 2 or rows.shape[-1] < 2 or rows.size == 0 or not np.isfinite(rows).all():
        return False
    return bool((rows >= -1e-6).all() and (np.abs(rows.sum(axis=-1, dtype=np.float64) - 1) <= tolerance).all())


def _normalized(rows: np.ndarray) -> np.ndarray:
    floor = np.maximum(rows.astype(np.float64), 1e-12)  # so that a class of probability 0 costs much, not everything
    normalized: np.ndarray = floor / floor.sum(axis=-1, keepdims=True)
    return normalized


def kl_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The Kullback-Leibler divergence of ``q`` from ``p`` in nats, for each row of distributions (last axis)."""
    p, q = _normalized(p), _normalized(q)
    divergence: np.ndarray = np.maximum(np.sum(p * (np.log(p) - np.log(q)), axis=-1), 0)
    return divergence


def cross_entropy(scores: np.ndarray, labels: np.ndarray, *, probabilities: bool) -> np.ndarray:
    """The loss of each row: -log of what the true class gets, in nats; ``scores`` are logits unless they are
    ``probabilities``. ``scores`` n x classes, ``labels`` n."""
    at = np.arange(len(labels))
    loss: np.ndarray
    if probabilities:
        loss = -np.log(_normalized(scores)[at, labels])
        return loss
    rows = scores.astype(np.float64)
    rows = rows - rows.max(axis=1, keepdims=True)
    loss = np.log(np.exp(rows).sum(axis=1)) - rows[at, labels]
    return loss


def ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes stand before the true one in each row (0: it is the top one). ``scores`` n x classes.

    Of equal scores the lower class comes first, as in ``tf.math.top_k``; a score that is no number comes last.
    """
    at = np.arange(len(labels))
    scores = np.where(np.isnan(scores), -np.inf, scores)
    true = scores[at, labels][:, None]
    before = (scores > true) | ((scores == true) & (np.arange(scores.shape[1]) < labels[:, None]))
    counts: np.ndarray = before.sum(axis=1)
    return np.where(true[:, 0] == -np.inf, scores.shape[1], counts)


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """The classes of the ``k`` largest scores of each row, best first; ties as in :func:`ranks`."""
    keys = -np.where(np.isnan(scores), -np.inf, scores)
    best: np.ndarray = np.argsort(keys, axis=-1, kind="stable")[..., :k]
    return best


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How often class ``row`` was taken for class ``column``; ``classes`` x ``classes``, int64."""
    counts = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)

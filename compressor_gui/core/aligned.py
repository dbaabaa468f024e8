"""Two layouts beside each other: what corresponds stands at the same height."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from compressor_gui.core.layout import ROW, Layout


def aligned(left: Layout, right: Layout, pairs: Sequence[tuple[int, int]]) -> tuple[Layout, Layout]:
    """Stretch two layouts so that boxes that correspond stand at the same height.

    ``pairs`` are indices of corresponding boxes. Rows keep their order: the heaviest increasing chain of corresponding
    rows is aligned, and between two of them the shorter side is spread out.
    """
    if not pairs:
        return left, right
    a, b = np.array(pairs).T
    rows = (left.rows, right.rows)
    chain = _heaviest_chain(rows[0][a], rows[1][b])
    heights = [0.0]
    for before, after in pairwise(chain):
        heights.append(heights[-1] + max(after[0] - before[0], after[1] - before[1]) * ROW)
    top = max(chain[0]) * ROW
    stretched = []
    for side, found in enumerate((left, right)):
        anchors = np.array([pair[side] for pair in chain], np.float64)
        every = np.arange(int(rows[side].max()) + 1, dtype=np.float64)
        places = np.interp(every, anchors, heights)
        places += (np.minimum(every - anchors[0], 0) + np.maximum(every - anchors[-1], 0)) * ROW + top
        stretched.append(found.with_rows_at(places))
    return stretched[0], stretched[1]


def _heaviest_chain(left: NDArray[np.int64], right: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of rows, increasing on both sides, that hold as many of the corresponding boxes as possible."""
    pairs, weight = np.unique(np.stack([left, right], 1), axis=0, return_counts=True)
    size = int(right.max()) + 2
    best = [(0, -1)] * size  # a binary indexed tree: the heaviest chain that ends at or before a right row
    link: list[int] = []
    pending: list[tuple[int, tuple[int, int]]] = []
    row = -1
    for index, ((a, b), w) in enumerate(zip(pairs.tolist(), weight.tolist(), strict=True)):
        if a != row:  # chains of one left row must not continue each other
            _raise(best, pending)
            row = a
        at, found = b, (0, -1)
        while at > 0:
            found = max(found, best[at])
            at -= at & -at
        link.append(found[1])
        pending.append((b + 1, (found[0] + w, index)))
    _raise(best, pending)
    at, end = size - 1, (0, -1)
    while at > 0:
        end = max(end, best[at])
        at -= at & -at
    chain, index = [], end[1]
    while index >= 0:
        chain.append((int(pairs[index][0]), int(pairs[index][1])))
        index = link[index]
    return chain[::-1]


def _raise(best: list[tuple[int, int]], pending: list[tuple[int, tuple[int, int]]]) -> None:
    for at, value in pending:
        while at < len(best):
            best[at] = max(best[at], value)
            at += at & -at
    pending.clear()

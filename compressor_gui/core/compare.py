"""How far a compressed graph's outputs are from the original's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from compressor_gui.core.jobs import EXACT_DB, OutputCheck


def compare_output(name: str, originals: Sequence[np.ndarray], candidates: Sequence[np.ndarray]) -> OutputCheck:
    """Compare what one output was for several inputs; see OutputCheck for the measures and their units."""
    pairs = list(zip(originals, candidates, strict=True))
    shape = tuple(originals[0].shape)
    if any(x.shape != y.shape for x, y in pairs):
        return OutputCheck(name, -EXACT_DB, None, False, False, shape)
    if not all(np.issubdtype(a.dtype, np.number) or a.dtype == bool for pair in pairs for a in pair):
        equal = all(np.array_equal(x, y) for x, y in pairs)
        return OutputCheck(name, EXACT_DB if equal else -EXACT_DB, None, True, equal, shape)
    x = np.stack([a for a, _ in pairs]).astype(np.float64)
    y = np.stack([b for _, b in pairs]).astype(np.float64)
    valid = np.isfinite(x)
    finite = bool(np.isfinite(y[valid]).all())
    equal = np.array_equal(x, y, equal_nan=True)
    sqnr = EXACT_DB if equal else sqnr_db(x[valid], y[valid]) if finite else -EXACT_DB
    agreement = _argmax_agreement(x, y) if np.issubdtype(originals[0].dtype, np.floating) else None
    return OutputCheck(name, sqnr, agreement, finite, equal, shape)


class Noise:
    """The SQNR of one output, added up batch by batch; see OutputCheck for what counts how."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0
        self._broken = False

    def add(self, original: np.ndarray, candidate: np.ndarray) -> None:
        """Take in one batch of the output."""
        if original.shape != candidate.shape:
            self._broken = True
        elif not (np.issubdtype(original.dtype, np.number) or original.dtype == bool):
            self._broken |= not np.array_equal(original, candidate)
        else:
            valid = np.isfinite(original)
            x, y = original[valid].astype(np.float64), candidate[valid].astype(np.float64)
            self._broken |= not np.isfinite(y).all()
            self._signal += float(np.sum(np.square(x)))
            self._noise += float(np.sum(np.square(x - y)))

    @property
    def db(self) -> float:
        """Between -EXACT_DB and EXACT_DB."""
        return -EXACT_DB if self._broken else _decibel(self._signal, self._noise)


def sqnr_db(signal: np.ndarray, other: np.ndarray) -> float:
    """10 log10(sum x^2 / sum (x - y)^2) in dB, clamped to +-EXACT_DB; EXACT_DB where there is no noise."""
    return _decibel(float(np.sum(np.square(signal))), float(np.sum(np.square(signal - other))))


def _decibel(power: float, noise: float) -> float:
    if noise == 0:
        return EXACT_DB
    return max(-EXACT_DB, min(EXACT_DB, 10 * math.log10(power / noise))) if power else -EXACT_DB


def _argmax_agreement(x: np.ndarray, y: np.ndarray) -> float | None:
    """The share of rows whose largest value in ``y`` is one of the largest in ``x`` too; 0..1."""
    if x.ndim < 2 or x.shape[-1] < 2 or x.size == 0:
        return None
    chosen = np.take_along_axis(x, np.argmax(y, axis=-1, keepdims=True), axis=-1)
    return float(np.mean(chosen >= x.max(axis=-1, keepdims=True)))

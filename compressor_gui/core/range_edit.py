"""Ranges edited by hand: what one cuts off, how finely it tells values apart, and the history of the edits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from compressor_gui.core.measure import RangeHistogram
from compressor_gui.core.ranges_file import Limits

LEVELS = 256
"""How many values 8 bits tell apart."""


def clipped_share(histogram: RangeHistogram, limits: Limits) -> float:
    """The share of the values, from 0 to 1, that lie outside; a bin that an end cuts counts in part."""
    total = np.concatenate(([0.0], np.cumsum(np.asarray(histogram.counts, np.float64))))
    if total[-1] == 0 or histogram.low == histogram.high:
        return 0.0
    edges = np.linspace(histogram.low, histogram.high, len(total))
    low, high = np.interp(limits, edges, total)
    return float(1 - (high - low) / total[-1])


def step_size(limits: Limits) -> float:
    """The distance of two neighbouring 8-bit values."""
    return (limits[1] - limits[0]) / (LEVELS - 1)


def moved(limits: Limits, end: int, value: float, narrowest: float) -> Limits:
    """The range with its minimum (``end`` 0) or maximum (1) at ``value``, or as near as a range can have it.

    A range includes 0, as the 8-bit kernels ask, and is at least ``narrowest`` wide: neither empty nor reversed.
    """
    low, high = limits
    if end == 0:
        return min(value, 0.0, high - narrowest), high
    return low, max(value, 0.0, low + narrowest)


@dataclass(frozen=True)
class RangeEdits:
    """Ranges of nodes, those they began as, and what can be undone and redone; every method gives another one."""

    chosen: Mapping[str, Limits]
    ranges: Mapping[str, Limits]
    _past: tuple[Mapping[str, Limits], ...] = ()
    _future: tuple[Mapping[str, Limits], ...] = ()

    @staticmethod
    def of(chosen: Mapping[str, Limits]) -> RangeEdits:
        """As they were chosen."""
        return RangeEdits(chosen, chosen)

    @property
    def edited(self) -> frozenset[str]:
        """The nodes whose range was changed by hand."""
        return frozenset(name for name, limits in self.ranges.items() if limits != self.chosen[name])

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit before."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether an edit was undone."""
        return bool(self._future)

    def with_range(self, name: str, limits: Limits) -> RangeEdits:
        """With another range of a node; the same one is no edit."""
        if limits == self.ranges[name]:
            return self
        return replace(self, ranges={**self.ranges, name: limits}, _past=(*self._past, self.ranges), _future=())

    def reset(self, name: str) -> RangeEdits:
        """With a node's range as it was chosen."""
        return self.with_range(name, self.chosen[name])

    def undone(self) -> RangeEdits:
        """One edit back."""
        if not self._past:
            return self
        return replace(self, ranges=self._past[-1], _past=self._past[:-1], _future=(self.ranges, *self._future))

    def redone(self) -> RangeEdits:
        """One edit forward."""
        if not self._future:
            return self
        return replace(self, ranges=self._future[0], _past=(*self._past, self.ranges), _future=self._future[1:])

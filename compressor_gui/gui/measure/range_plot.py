"""An activation's histogram with the range that is chosen."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg

from compressor_gui.core import units
from compressor_gui.core.measure import RangeHistogram
from compressor_gui.core.ranges_file import Limits
from compressor_gui.gui.inspector.plot import Cut, Plot
from compressor_gui.gui.theme import Theme

COLUMNS = 128
"""Bars that a histogram is drawn with."""


class RangePlot(Plot):
    """Logarithmic counts; what the range cuts off is grey, and its ends are lines."""

    def __init__(self, theme: Theme, height: int) -> None:
        super().__init__(theme, height)
        self._bars = (pg.BarGraphItem(x=[], height=[], width=1), pg.BarGraphItem(x=[], height=[], width=1))
        self.cuts = (Cut(self, movable=False), Cut(self, movable=False))
        for item in (*self._bars, *self.cuts):
            self.addItem(item)
        self._shown: tuple[RangeHistogram, Limits] | None = None
        theme.changed.connect(self._draw)

    def show_range(self, histogram: RangeHistogram, limits: Limits) -> None:
        """Show a histogram and the range chosen from it."""
        self._shown = (histogram, limits)
        self._draw()

    def _draw(self) -> None:
        if self._shown is None:
            return
        histogram, (low, high) = self._shown
        counts = np.asarray(histogram.counts, np.float64)
        edges = np.linspace(histogram.low, histogram.high, len(counts) + 1)
        columns = min(COLUMNS, max(len(counts), 1))
        if len(counts) > columns:  # sums of neighbours, so that a bar is some pixels wide
            total = np.concatenate(([0.0], np.cumsum(counts)))
            coarse = np.linspace(histogram.low, histogram.high, columns + 1)
            counts, edges = np.diff(np.interp(coarse, edges, total)), coarse
        middles, width = (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0]) if len(edges) > 1 else 1.0
        heights = np.log1p(counts) / max(float(np.log1p(counts).max(initial=0.0)), 1e-9)
        kept = (middles >= low) & (middles <= high)
        for bars, mask, token in zip(self._bars, (kept, ~kept), ("histogram_kept", "histogram_zeroed"), strict=True):
            bars.setOpts(x=middles[mask], height=heights[mask], width=width * 0.86,
                         brush=self.theme.color(token), pen=None)  # fmt: skip
        for cut, place in zip(self.cuts, (low, high), strict=True):
            cut.setValue(place)
        left, right = min(histogram.low, low), max(histogram.high, high)
        margin = (right - left) * 0.04 or 1.0
        self.view((left - margin, right + margin), (0.0, 1.05))
        self.ticks(
            [(place, units.number(place)) for place in _apart((left, low, 0.0, high, right), (right - left) * 0.12)]
        )


def _apart(places: tuple[float, ...], distance: float) -> list[float]:
    """The places that have room for a number: the chosen ends first."""
    left, low, zero, high, right = places
    kept: list[float] = []
    for place in (low, high, zero, left, right):
        if all(abs(place - other) >= distance for other in kept):
            kept.append(place)
    return kept

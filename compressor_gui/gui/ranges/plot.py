"""An activation's histogram with its range, whose ends can be dragged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal

from compressor_gui.core import units
from compressor_gui.core.measure import RangeHistogram
from compressor_gui.core.range_edit import moved, step_size
from compressor_gui.core.ranges_file import Limits
from compressor_gui.gui.inspector.plot import Cut, Plot
from compressor_gui.gui.theme import Theme

COLUMNS = 128
"""Bars that a histogram is drawn with."""
_ROOM = 0.06
"""What is shown beyond the values, as a part of their span: room to drag an end outwards."""
_KEY_STEPS = 4
"""How many 8-bit steps an arrow key moves an end, with Shift ten times as many."""


class RangePlot(Plot):
    """Logarithmic counts; what the range cuts off is grey. Its ends are lines that can be dragged, or moved with the
    arrow keys (Up and Down, or Tab, change which).

    ``moving(limits)`` is emitted while an end moves, ``moved_to(limits)`` once it rests.
    """

    moving = Signal(object)
    moved_to = Signal(object)

    def __init__(self, theme: Theme, height: int) -> None:
        super().__init__(theme, height)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Histogram and range")
        self._bars = tuple(pg.BarGraphItem(x=[], height=[], width=1) for _ in range(2))
        self._chosen = tuple(pg.InfiniteLine(angle=90) for _ in range(2))
        self.cuts = (Cut(self), Cut(self))
        for item in (*self._bars, *self._chosen, *self.cuts):
            self.addItem(item)
        for end, cut in enumerate(self.cuts):
            cut.sigDragged.connect(lambda _cut, end=end: self._dragged(end))
            cut.sigPositionChangeFinished.connect(lambda _cut, end=end: self._rest(end))
        self._histogram: RangeHistogram | None = None
        self._limits: Limits = (0.0, 1.0)
        self._first: Limits = (0.0, 1.0)
        self._end = 1
        self._key_moved = False
        self.key_pressed.connect(self._key)
        self.key_released.connect(self._key_let_go)
        theme.changed.connect(self._draw)

    def show_range(self, histogram: RangeHistogram | None, limits: Limits, chosen: Limits | None = None) -> None:
        """Show a histogram (None: there is none), its range, and dashed the one that was ``chosen`` for it."""
        self._histogram, self._limits, self._first = histogram, limits, chosen or limits
        self._draw()

    # -- moving an end -------------------------------------------------------------------------------------------

    def _move(self, end: int, value: float) -> None:
        self._end = end
        self._limits = moved(self._limits, end, value, step_size(self._first))
        for cut, place in zip(self.cuts, self._limits, strict=True):
            cut.setValue(place)
        self._color()
        self.moving.emit(self._limits)

    def _dragged(self, end: int) -> None:
        low, high = self.getPlotItem().getViewBox().viewRange()[0]
        self._move(end, min(max(float(self.cuts[end].value()), low), high))

    def _rest(self, _end: int) -> None:
        self._draw()  # the part that is shown grows where an end lies beyond it
        self.moved_to.emit(self._limits)

    def _key(self, event: Any) -> None:
        key = event.key()
        if key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self._end = int(key == Qt.Key.Key_Up)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            many = 10 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1
            way = (1 if key == Qt.Key.Key_Right else -1) * many * _KEY_STEPS
            self._move(self._end, self._limits[self._end] + way * step_size(self._first))
            self._key_moved = True
        else:
            return
        event.accept()

    def _key_let_go(self) -> None:
        if self._key_moved:
            self._key_moved = False
            self._rest(self._end)

    # -- drawing -------------------------------------------------------------------------------------------------

    @property
    def _span(self) -> Limits:
        """The smallest and largest value that is shown."""
        found = self._histogram
        ends = (*self._limits, *self._first, *((found.low, found.high) if found else ()))
        return min(ends), max(ends)

    def _draw(self) -> None:
        left, right = self._span
        room = (right - left) * _ROOM or 1.0
        self.view((left - room, right + room), (0.0, 1.05))
        for line, cut, place, first in zip(self._chosen, self.cuts, self._limits, self._first, strict=True):
            line.setPen(self.pen("text_disabled_and_edges", 1.0, dashed=True))
            line.setValue(first)
            line.setVisible(first != place)
            cut.setValue(place)
        self._color()

    def _color(self) -> None:
        """The bars inside the range and those outside, and the numbers below."""
        middles, heights, width = columns(self._histogram, COLUMNS)
        low, high = self._limits
        kept = (middles >= low) & (middles <= high)
        for bars, mask, token in zip(self._bars, (kept, ~kept), ("histogram_kept", "histogram_zeroed"), strict=True):
            bars.setOpts(x=middles[mask], height=heights[mask], width=width * 0.86,
                         brush=self.theme.color(token), pen=None)  # fmt: skip
        left, right = self._span
        places = _apart((left, low, 0.0, high, right), (right - left) * 0.12)
        self.ticks([(place, units.number(place)) for place in places])


def columns(histogram: RangeHistogram | None, count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """A histogram in at most ``count`` columns: their middles, their heights from 0 to 1 on a logarithmic scale, and
    their width."""
    if histogram is None or not histogram.counts:
        return np.zeros(0), np.zeros(0), 1.0
    counts = np.asarray(histogram.counts, np.float64)
    edges = np.linspace(histogram.low, histogram.high, len(counts) + 1)
    if len(counts) > count:  # sums of neighbours, so that a column is some pixels wide
        total = np.concatenate(([0.0], np.cumsum(counts)))
        coarse = np.linspace(histogram.low, histogram.high, count + 1)
        counts, edges = np.diff(np.interp(coarse, edges, total)), coarse
    heights = np.log1p(counts)
    return (edges[:-1] + edges[1:]) / 2, heights / max(float(heights.max()), 1e-9), float(edges[1] - edges[0])


def _apart(places: tuple[float, ...], distance: float) -> list[float]:
    """The places that have room for a number: the chosen ends first."""
    left, low, zero, high, right = places
    kept: list[float] = []
    for place in (low, high, zero, left, right):
        if all(abs(place - other) >= distance for other in kept):
            kept.append(place)
    return kept

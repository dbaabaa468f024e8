"""The Pareto curve: what each point costs and how good it is, measured or estimated; a click chooses one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal

from compressor_gui.core import units
from compressor_gui.core.mixed_job import Precision
from compressor_gui.gui.inspector.plot import Plot
from compressor_gui.gui.theme import SMALL, Theme, font

TOP_DB = 60.0
BOTTOM_DB = -5.0
"""The ends of the scale of SQNR: nobody tells what is above from the original, and nobody uses what is below."""

_ANY_HEIGHT = (1 << 24) - 1
"""Qt's word for a widget that may be as large as there is room; PySide6 has no name for it."""

_ROOM = 0.05
"""What is shown beyond the points, as a part of the span."""

_NEAR = 0.06
"""How far from a point a click may be, as a part of the plot's width and height."""


class ParetoPlot(Plot):
    """Measured points are filled, estimated ones hollow; a ring is around the one that is selected, and the cheapest
    one that meets the target, which is the dashed line, is in the accent's colour.

    ``selected(at)``: the user chose a point by a click or with the arrow keys (Left: cheaper; Home and End; Space: back
    to the cheapest one that meets the target).
    """

    selected = Signal(int)

    def __init__(self, theme: Theme, height: int) -> None:
        super().__init__(theme, height)
        self.setMaximumHeight(_ANY_HEIGHT)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Pareto curve")
        self._found: Precision | None = None
        self._at = 0
        self._x = self._y = np.zeros(0)
        self._levels: list[tuple[pg.InfiniteLine, pg.TextItem]] = []
        self._line = pg.PlotCurveItem()
        self._estimated, self._measured, self._best, self._ring = (pg.ScatterPlotItem() for _ in range(4))
        self._target = pg.InfiniteLine(angle=0)
        self._word = pg.TextItem("", anchor=(1, 1))
        self._word.setFont(font(SMALL))
        items = (self._target, self._line, self._estimated, self._measured, self._best, self._ring, self._word)
        for depth, item in enumerate(items, 1):
            item.setZValue(depth)
            self.addItem(item)
        self.clicked.connect(self._clicked)
        for dots in (self._estimated, self._measured, self._best, self._ring):  # they swallow the clicks on them
            dots.sigClicked.connect(
                lambda _dots, points, _event: self._clicked(points[0].pos().x(), points[0].pos().y())
            )
        self.key_pressed.connect(self._key)
        theme.changed.connect(self._draw)

    def show_found(self, found: Precision | None, at: int) -> None:
        """Show a path, and the point that is selected."""
        self._found, self._at = found, at
        self._draw()

    # -- drawing -------------------------------------------------------------------------------------------------

    def height_of(self, value: float) -> float:
        """Where a metric lies on the scale: dB, or percent."""
        assert self._found is not None
        return 100 * value if self._found.metric == "top1" else min(max(value, BOTTOM_DB), TOP_DB)

    def _draw(self) -> None:
        found = self._found
        if found is None:
            return
        self._x = np.array(found.path.costs, float)
        self._y = np.array([self.height_of(value) for value in found.estimates])
        measured = np.array(sorted(found.values))
        color = self.theme.color
        self._line.setData(self._x, self._y, pen=self.pen("hairline", 1.5))
        edge, text, accent = (color(name) for name in ("text_disabled_and_edges", "text", "accent_and_threshold"))
        self._dots(self._estimated, np.setdiff1d(np.arange(len(self._x)), measured), 6, color("panel"), edge)
        self._dots(self._measured, measured, 9, text, text)
        self._dots(self._best, np.array([found.chosen] if found.met else [], int), 11, accent, accent)
        self._dots(self._ring, np.array([self._at]), 17, None, accent)
        self._frame(found)

    def _dots(self, item: pg.ScatterPlotItem, places: np.ndarray, size: int, brush: Any, edge: Any) -> None:
        pen = pg.mkPen(edge, width=1.5 * self.devicePixelRatioF())
        item.setData(self._x[places], self._y[places], size=size, brush=pg.mkBrush(brush), pen=pen)

    def _frame(self, found: Precision) -> None:
        """Axis, levels, and the target."""
        target = self.height_of(found.target)
        left, right = float(self._x.min()), float(self._x.max())
        low, high = min(float(self._y.min()), target), max(float(self._y.max()), target)
        wide, tall = (right - left or 1.0) * _ROOM, (high - low or 1.0) * _ROOM
        self.view((left - 2 * wide, right + wide), (low - tall, high + 2 * tall))
        amount = units.amount if found.fused else units.size
        self.ticks([(x, amount(x)) for x in _levels(left, right)])
        for line, words in self._levels:
            self.removeItem(line)
            self.removeItem(words)
        self._levels = []
        percent = found.metric == "top1"
        for level in _levels(low, high):
            line = pg.InfiniteLine(level, angle=0, pen=self.pen("hairline"))
            words = pg.TextItem(f"{level:g} {'%' if percent else 'dB'}", color=self.theme.color("text_secondary"))
            words.setFont(font(SMALL))
            words.setPos(left - 2 * wide, level)
            words.setAnchor((0, 1))
            self._levels.append((line, words))
            self.addItem(line)
            self.addItem(words)
        self._target.setValue(target)
        self._target.setPen(self.pen("accent_and_threshold", 1.2, dashed=True))
        self._word.setText("target")
        self._word.setColor(self.theme.color("accent_and_threshold"))
        self._word.setPos(right + wide, target)

    # -- choosing ------------------------------------------------------------------------------------------------

    def _clicked(self, x: float, y: float) -> None:
        (left, right), (low, high) = self.getPlotItem().getViewBox().viewRange()
        if self._found is None:
            return
        distance = np.hypot((self._x - x) / (right - left), (self._y - y) / (high - low))
        nearest = int(distance.argmin())
        if distance[nearest] <= _NEAR:
            self.setFocus()
            self.selected.emit(nearest)

    def _key(self, event: Any) -> None:
        if self._found is None:
            return
        last = len(self._x) - 1
        places = {
            Qt.Key.Key_Left: self._at + 1,
            Qt.Key.Key_Right: self._at - 1,
            Qt.Key.Key_Home: last,
            Qt.Key.Key_End: 0,
            Qt.Key.Key_Space: self._found.chosen,
        }
        if event.key() in places:
            event.accept()
            self.selected.emit(min(max(places[event.key()], 0), last))


def _levels(low: float, high: float) -> list[float]:
    """Round numbers between two others, three to eight of them."""
    span = high - low or 1.0
    power = 10.0 ** np.floor(np.log10(span / 7))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 7)
    return [float(round(n * step, 6)) for n in range(int(np.ceil(low / step)), int(high // step) + 1)]

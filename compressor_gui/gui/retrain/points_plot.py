"""The points of a run, size against value; they are opened by a click or with the arrow keys and Enter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal

from compressor_gui.gui.inspector.plot import Plot
from compressor_gui.gui.theme import SMALL, Theme, font

_ROOM = 0.24
_BESIDE = (66, 24)
"""Pixels left of the points, for the least and the greatest value, and right of them."""
_NEAR = 0.08
"""How far from a point a click may be, as a part of the plot's width and height."""


@dataclass(frozen=True)
class Spots:
    """What is drawn: ``x`` (above 0, on a logarithmic axis) and ``y`` of every point, what stands at the axes, the
    goal in the direction that it has (None: in neither), and which point is the run's answer, and which is in the
    recipe (-1: none)."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    x_words: tuple[str, ...]
    y_words: str
    goal_x: float | None = None
    goal_y: float | None = None
    chosen: int = -1
    used: int = -1


class PointsPlot(Plot):
    """Every point is a dot; the answer's is in the accent's colour, the selected one has a ring, the one in the recipe
    is a square. The goal is a dashed line.

    ``hinted(at)``: the mouse or the arrow keys are at a point; ``opened(at)``: it was clicked, or Enter pressed.
    """

    hinted = Signal(int)
    opened = Signal(int)

    def __init__(self, theme: Theme, height: int) -> None:
        super().__init__(theme, height)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Points of the run")
        self._spots: Spots | None = None
        self._at = -1
        self._x = self._y = np.zeros(0)
        self._line = pg.PlotCurveItem()
        self._dots, self._ring = pg.ScatterPlotItem(), pg.ScatterPlotItem()
        self._goal_x, self._goal_y = pg.InfiniteLine(angle=90), pg.InfiniteLine(angle=0)
        self._ends = [pg.TextItem("", anchor=(0, 0)), pg.TextItem("", anchor=(0, 1))]
        self._word = pg.TextItem("goal")
        for text in (*self._ends, self._word):
            text.setFont(font(SMALL))
        items = (self._goal_x, self._goal_y, self._line, self._dots, self._ring, *self._ends, self._word)
        for depth, item in enumerate(items, 1):
            item.setZValue(depth)
            self.addItem(item)
        for dots in (self._dots, self._ring):  # they swallow the clicks on them
            dots.sigClicked.connect(lambda _dots, found, _event: self._clicked(found[0].pos().x(), found[0].pos().y()))
        self.clicked.connect(self._clicked)
        self.hovered.connect(self._hovered)
        self.key_pressed.connect(self._key)
        theme.changed.connect(self._draw)

    @property
    def spots(self) -> Spots | None:
        """What is drawn."""
        return self._spots

    def show_spots(self, spots: Spots, at: int) -> None:
        """Show points, and the one that is selected (-1: none)."""
        if (spots, at) != (self._spots, self._at):
            self._spots, self._at = spots, at
            self._draw()

    def place(self, at: int) -> tuple[float, float]:
        """Where a point lies, in the plot's coordinates."""
        return float(self._x[at]), float(self._y[at])

    # -- drawing ---------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        spots = self._spots
        if spots is None:
            return
        self._x, self._y = np.log10(np.maximum(spots.x, 1e-9)), np.array(spots.y, float)
        self._line.setData(self._x, self._y, pen=self.pen("hairline", 1.5))
        text, accent = self.theme.color("text"), self.theme.color("accent_and_threshold")
        colors = [accent if at == spots.chosen else text for at in range(len(self._x))]
        self._dots.setData(
            self._x,
            self._y,
            size=[11 if at in (spots.chosen, spots.used) else 8 for at in range(len(self._x))],
            symbol=["s" if at == spots.used else "o" for at in range(len(self._x))],
            brush=[pg.mkBrush(color) for color in colors],
            pen=pg.mkPen(None),
        )
        ring = [self._at] if 0 <= self._at < len(self._x) else []
        pen = pg.mkPen(accent, width=1.5 * self.devicePixelRatioF())
        self._ring.setData(self._x[ring], self._y[ring], size=18, brush=pg.mkBrush(None), pen=pen)
        self._frame(spots)

    def _frame(self, spots: Spots) -> None:
        """Axis, the values' ends, and the goal."""
        goal_x = math.log10(spots.goal_x) if spots.goal_x else None
        x = np.append(self._x, [goal_x] if goal_x is not None else [])
        y = np.append(self._y, [spots.goal_y] if spots.goal_y is not None else [])
        left, right, low, high = (float(end) for end in (x.min(), x.max(), y.min(), y.max()))
        if right - left < 0.1:
            left, right = left - 0.3, right + 0.3
        tall = (high - low or abs(high) * 0.01 or 1.0) * _ROOM
        self.view((left, right), (low - tall, high + tall), _BESIDE)
        self.ticks(_spread(self._x.tolist(), spots.x_words, (right - left) / 4))
        for words, at, edge in zip(self._ends, (high, low), (high + tall, low - tall), strict=True):
            words.setText(spots.y_words.format(at) if high - low > 1e-6 or at == high else "")
            words.setColor(self.theme.color("text_secondary"))
            words.setPos(self.left_edge, edge)
        pen = self.pen("accent_and_threshold", 1.2, dashed=True)
        for line, goal in ((self._goal_x, goal_x), (self._goal_y, spots.goal_y)):
            line.setVisible(goal is not None)
            line.setPen(pen)
            if goal is not None:
                line.setValue(goal)
        self._word.setVisible(goal_x is not None or spots.goal_y is not None)
        self._word.setColor(self.theme.color("accent_and_threshold"))
        upright = goal_x is not None
        self._word.setAnchor((0, 0) if upright else (1, 1))
        self._word.setPos(*((goal_x, high + tall) if upright else (right, spots.goal_y or 0.0)))

    # -- choosing --------------------------------------------------------------------------------------------------

    def _nearest(self, x: float, y: float) -> int:
        (left, right), (low, high) = self.getPlotItem().getViewBox().viewRange()
        if not len(self._x):
            return -1
        distance = np.hypot((self._x - x) / (right - left), (self._y - y) / (high - low))
        nearest = int(distance.argmin())
        return nearest if distance[nearest] <= _NEAR else -1

    def _clicked(self, x: float, y: float) -> None:
        nearest = self._nearest(x, y)
        if nearest >= 0:
            self.setFocus()
            self.opened.emit(nearest)

    def _hovered(self, x: float, y: float) -> None:
        nearest = self._nearest(x, y)
        self.setCursor(Qt.CursorShape.PointingHandCursor if nearest >= 0 else Qt.CursorShape.ArrowCursor)
        if nearest >= 0 and nearest != self._at:
            self.hinted.emit(nearest)

    def _key(self, event: Any) -> None:
        if not len(self._x):
            return
        last, at = len(self._x) - 1, max(self._at, 0)
        order = np.argsort(self._x, kind="stable").tolist()
        rank = order.index(min(at, last))
        places = {
            Qt.Key.Key_Left: order[max(rank - 1, 0)],
            Qt.Key.Key_Right: order[min(rank + 1, last)],
            Qt.Key.Key_Home: order[0],
            Qt.Key.Key_End: order[last],
        }
        if event.key() in places:
            event.accept()
            self.hinted.emit(places[event.key()])
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            event.accept()
            self.opened.emit(at)


def _spread(places: Sequence[float], words: Sequence[str], gap: float) -> list[tuple[float, str]]:
    """The marks that have room beside each other, the last and the first before all others."""
    order = [len(places) - 1, 0, *range(len(places) - 2, 0, -1)] if len(places) > 1 else range(len(places))
    kept: list[tuple[float, str]] = []
    for at in order:
        if all(abs(places[at] - other) >= gap for other, _ in kept):
            kept.append((float(places[at]), words[at]))
    return kept

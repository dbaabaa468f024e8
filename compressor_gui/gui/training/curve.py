"""One curve of a run as it comes, and the marks of its axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from compressor_gui.gui.inspector.plot import Plot
from compressor_gui.gui.theme import MARGIN, SMALL, UNIT, Theme, font
from compressor_gui.gui.training.course import Course
from compressor_gui.gui.widgets import label

MOST_POINTS = 400
"""A curve is drawn with at most so many points: more than the plot has pixels."""
_AXIS = 20
_SAME = 1e-6
"""Values that differ by less are one."""
_BESIDE = (52, 12)
"""Pixels left of a curve, for its least and greatest value, and right of it."""
_LEAST = 1e-6
"""What a loss below it is drawn as: the axis is logarithmic."""
_ROOM = 0.12
"""What is left free above and below a curve, as a part of its span."""


def thinned(pairs: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """A curve of at most ``most`` points: the means of as many neighbours as it takes."""
    curve = np.array(pairs, float).reshape(-1, 2)
    many = -(-len(curve) // most) if len(curve) else 1
    if many > 1:
        starts = np.arange(0, len(curve), many)
        counts = np.diff(np.append(starts, len(curve)))[:, None]
        curve = np.add.reduceat(curve, starts) / counts
    return curve[:, 0], curve[:, 1]


def marks(end: float, name: str) -> list[tuple[float, str]]:
    """Labels of an axis from 0 to ``end``: what it counts, and about six whole numbers."""
    step = next(s * 10**p for p in range(8) for s in (1, 2, 5) if end / (s * 10**p) <= 7)
    numbers = [(float(at), f"{at:,}") for at in range(step, int(end) + 1, step)]
    return [(0.0, name), *numbers] if numbers and end > 2 else numbers


def epoch_marks(course: Course, end: float) -> list[tuple[float, str]]:
    """Whole epochs for the axis, once it is known where they are."""
    return marks(end, "epoch") if course.counts_epochs else []


class Curve(QWidget):
    """One plot: its name and newest value above, its least and largest value at the left."""

    def __init__(
        self, theme: Theme, name: str, height: int, *, logarithmic: bool = False, margin: int = MARGIN
    ) -> None:
        super().__init__()
        self._theme, self._height, self._logarithmic = theme, height, logarithmic
        column = QVBoxLayout(self)
        column.setContentsMargins(margin, 0, margin, 0)
        column.setSpacing(0)
        row = QHBoxLayout()
        row.setSpacing(UNIT * 2)
        self.name = label(name, "small")
        self.now = label("", "strong")
        self.more = label("", "small")
        row.addWidget(self.name)
        row.addStretch(1)
        row.addWidget(self.more)
        row.addWidget(self.now)
        column.addLayout(row)
        self.plot = Plot(theme, height)
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.plot.setAccessibleName(name)
        self.set_axis(on=False)
        column.addWidget(self.plot)
        self._steps: list[pg.InfiniteLine] = []
        self._pale, self._line = pg.PlotCurveItem(), pg.PlotDataItem()
        self._goal, self._before = pg.PlotCurveItem(), pg.PlotCurveItem()
        self._ends = [pg.TextItem("", anchor=(0, 0)), pg.TextItem("", anchor=(0, 1))]
        for item in (self._before, self._goal, self._pale, self._line, *self._ends):
            self.plot.addItem(item)
        for text in self._ends:
            text.setFont(font(SMALL))
        self.plot.getPlotItem().getViewBox().sigXRangeChanged.connect(self._place_ends)

    def _place_ends(self) -> None:
        """The greatest and the least value stay at the left edge, also when the plot gets another width."""
        for text in self._ends:
            text.setX(self.plot.left_edge)

    def set_axis(self, *, on: bool) -> None:
        """Show the axis of epochs below, or not."""
        self.plot.getPlotItem().showAxis("bottom", on)
        self.plot.setFixedHeight(self._height + (_AXIS if on else 0))

    def show_curve(
        self,
        strong: Sequence[tuple[float, float]],
        pale: Sequence[tuple[float, float]] = (),
        *,
        end: float,
        steps: Sequence[float] = (),
        goal: float | None = None,
        before: float | None = None,
        words: tuple[str, str] = ("", ""),
    ) -> None:
        """Show a strong curve over a pale one. ``end``: the right end of the axis; ``steps``: places of thin lines;
        ``goal`` and ``before``: levels; ``words``: what stands for the greatest and the least value ({} is it)."""
        (strong_x, strong_y), (pale_x, pale_y) = self._scaled(strong), self._scaled(pale)
        color = self._theme.color
        self._pale.setData(pale_x, pale_y, pen=self.plot.pen("histogram_kept", 1.2))
        dots = {"symbol": "o", "symbolSize": 5} if len(strong_x) <= 60 else {"symbol": None}
        accent = color("accent_and_threshold")
        self._line.setData(
            strong_x,
            strong_y,
            pen=self.plot.pen("accent_and_threshold", 1.6),
            symbolBrush=accent,
            symbolPen=None,
            **dots,
        )
        self._level(self._goal, goal, end, "accent_and_threshold")
        self._level(self._before, before, end, "text_disabled_and_edges")
        levels = [level for level in (goal, before) if level is not None]
        values = np.concatenate([strong_y, pale_y, levels])
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        room = (high - low or abs(high) or 1.0) * _ROOM
        self.plot.view((0, end), (low - room, high + room), _BESIDE)
        left = self.plot.left_edge
        for text, at, word in zip(self._ends, (high, low), words, strict=True):
            text.setText(word.format(10**at if self._logarithmic else at) if values.size and high - low > _SAME else "")
            text.setColor(color("text_secondary"))
            text.setPos(left, at + (room if at == high else -room))
        self._mark(steps)

    def _scaled(self, pairs: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
        x, y = thinned(pairs)
        return x, np.log10(np.maximum(y, _LEAST)) if self._logarithmic else y

    def _level(self, line: pg.PlotCurveItem, at: float | None, end: float, token: str) -> None:
        x, y = ([0.0, end], [at, at]) if at is not None else ([], [])
        line.setData(x, y, pen=self.plot.pen(token, 1.2, dashed=True))

    def _mark(self, places: Sequence[float]) -> None:
        """Thin upright lines where a step began."""
        while len(self._steps) > len(places):
            self.plot.removeItem(self._steps.pop())
        while len(self._steps) < len(places):
            self._steps.append(pg.InfiniteLine(angle=90))
            self.plot.addItem(self._steps[-1])
        for line, place in zip(self._steps, places, strict=True):
            line.setValue(place)
            line.setPen(self.plot.pen("hairline"))
            line.setZValue(-1)

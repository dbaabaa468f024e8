"""The curve of a layer: what every rank keeps of its weights, and what it saves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal

from compressor_gui.core import units
from compressor_gui.core.low_rank import Spectrum
from compressor_gui.core.passes.factorize import Candidate
from compressor_gui.gui.inspector.plot import Cut, Plot
from compressor_gui.gui.theme import SMALL, Theme, font

_ANY_HEIGHT = (1 << 24) - 1
"""Qt's word for a widget that may be as large as there is room; PySide6 has no name for it."""
_LEVELS = (0.25, 0.5, 0.75, 1.0)
_BESIDE = (44, 66)
"""Pixels for the percentages at the left and the bytes at the right."""
_FEW = 40
"""Curves of at most so many ranks have a dot at each."""


class RankPlot(Plot):
    """Energy kept and error of the weights (left) and what is saved (right) against the rank. From the break-even on,
    which is a dashed line, two factors are not smaller.

    ``rank_chosen(rank)``: by a click, by the line that is dragged, or by the keys: Left and Right, with Shift ten on,
    Home and End.
    """

    rank_chosen = Signal(int)

    def __init__(self, theme: Theme, height: int) -> None:
        super().__init__(theme, height)
        self.setMaximumHeight(_ANY_HEIGHT)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Rank curve")
        self._candidate: Candidate | None = None
        self._spectrum: Spectrum | None = None
        self._rank: int | None = None
        self._first = 1
        self.getPlotItem().showAxes((True, False, True, True), showValues=(True, False, True, True))
        self._kept_axis, self._saved_axis = (self.getPlotItem().getAxis(side) for side in ("left", "right"))
        for axis, width in zip((self._kept_axis, self._saved_axis), _BESIDE, strict=True):
            axis.setStyle(tickFont=font(SMALL), tickLength=0, tickTextOffset=6)
            axis.setWidth(width)
        self._lines = [pg.InfiniteLine(level, angle=0) for level in _LEVELS]
        self._beyond = pg.LinearRegionItem(movable=False)
        self._even = pg.InfiniteLine(angle=90)
        self._word = pg.TextItem("", anchor=(1, 0))
        self._saved, self._error, self._energy = pg.PlotDataItem(), pg.PlotDataItem(), pg.PlotDataItem()
        self._dots = pg.ScatterPlotItem()
        self.cut = Cut(self)
        self._word.setFont(font(SMALL))
        items = (self._beyond, *self._lines, self._even, self._saved, self._error, self._energy, self._word, self._dots)
        for depth, item in enumerate(items):
            item.setZValue(depth - len(items))
            self.addItem(item)
        self.addItem(self.cut)
        self._word.setZValue(self.cut.zValue() + 1)
        self.cut.sigDragged.connect(lambda cut: self._choose(float(cut.value())))
        self.clicked.connect(lambda x, _y: self._clicked(x))
        self._dots.sigClicked.connect(lambda _dots, points, _event: self._clicked(points[0].pos().x()))
        self.key_pressed.connect(self._key)
        theme.changed.connect(self._draw)

    def show_curve(self, candidate: Candidate, spectrum: Spectrum, rank: int | None, first: int) -> None:
        """Show a layer's curve and its rank (None: it stays whole); ``first`` is where the keys begin then."""
        same = candidate is self._candidate and spectrum is self._spectrum
        self._candidate, self._spectrum, self._rank, self._first = candidate, spectrum, rank, first
        if same:
            self._mark()
        else:
            self._draw()

    @property
    def rank(self) -> int | None:
        """The rank that is marked."""
        return self._rank

    # -- drawing -------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        candidate, spectrum = self._candidate, self._spectrum
        if candidate is None or spectrum is None:
            return
        ranks = np.arange(len(spectrum.errors))
        dots = {"symbol": "o", "symbolSize": 4} if len(ranks) <= _FEW else {"symbol": None}
        for line, values, token, dashed in (
            (self._energy, spectrum.energy, "text", False),
            (self._error, spectrum.errors, "text_secondary", True),
        ):
            line.setData(ranks, values, pen=self.pen(token, 1.6 if not dashed else 1.3, dashed=dashed),
                         symbolBrush=self.theme.color(token), symbolPen=None, **dots)  # fmt: skip
        even = candidate.shape[0] * candidate.shape[1] / sum(candidate.shape)
        self._saved.setData([0.0, even], [1.0, 0.0], pen=self.pen("change_added", 1.6))
        self._frame(candidate, float(ranks[-1]), even)
        self._mark()

    def _frame(self, candidate: Candidate, last: float, even: float) -> None:
        color, hairline = self.theme.color, self.pen("hairline")
        right = max(last, even) * 1.02
        self.view((0.0, right), (0.0, 1.16))
        step = next(s * 10**p for p in range(7) for s in (1, 2, 5) if last / (s * 10**p) <= 7)
        marks = [(float(at), f"{at:,}") for at in range(step, int(last) + 1, step)]
        self.ticks([(0.0, ""), *(mark for mark in marks if mark[0] < right * 0.97)])
        stored = candidate.layer.bytes
        self._kept_axis.setTicks([[(level, f"{100 * level:.0f} %") for level in _LEVELS]])
        self._saved_axis.setTicks([[(level, f"−{units.size(stored * level)}") for level in _LEVELS]])
        for axis, token in ((self._kept_axis, "text_secondary"), (self._saved_axis, "change_added")):
            axis.setPen(hairline)
            axis.setTextPen(self.pen(token))
        for line in self._lines:
            line.setPen(hairline)
        self._beyond.setRegion((even, right * 2))
        self._beyond.setBrush(color("hairline", 0.55))
        for edge in self._beyond.lines:
            edge.setPen(pg.mkPen(None))
        self._even.setValue(even)
        self._even.setPen(self.pen("text_disabled_and_edges", 1.2, dashed=True))
        self._word.setText(f"break-even {even:,.0f}")
        self._word.setColor(color("text_secondary"))
        self._word.fill = pg.mkBrush(color("panel"))
        self._word.setPos(even, 1.16)
        self.cut.setBounds((1.0, float(candidate.worth - 1)))

    def _mark(self) -> None:
        """The line at the rank, and where it cuts the curves."""
        rank, candidate, spectrum = self._rank, self._candidate, self._spectrum
        self.cut.setVisible(rank is not None)
        if rank is None or candidate is None or spectrum is None:
            self._dots.setData([], [])
            return
        self.cut.setValue(rank)
        tokens = ("text", "text_secondary", "change_added")
        heights = (spectrum.energy[rank], spectrum.errors[rank], 1 - candidate.share(rank))
        self._dots.setData(
            [rank] * 3,
            heights,
            size=9,
            brush=[pg.mkBrush(self.theme.color(token)) for token in tokens],
            pen=pg.mkPen(self.theme.color("panel"), width=1.5 * self.devicePixelRatioF()),
        )

    # -- choosing ------------------------------------------------------------------------------------------------

    def _clicked(self, x: float) -> None:
        if self._spectrum is not None and -0.5 <= x <= len(self._spectrum.errors):
            self.setFocus()
            self._choose(x)

    def _choose(self, x: float) -> None:
        """Choose the nearest rank that is smaller."""
        if self._candidate is None:
            return
        rank = min(max(round(x), 1), self._candidate.worth - 1)
        if rank == self._rank:
            self.cut.setValue(rank)  # it is dragged in whole ranks
        else:
            self.rank_chosen.emit(rank)

    def _key(self, event: Any) -> None:
        if self._candidate is None:
            return
        step = 10 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1
        at = self._rank
        places = {
            Qt.Key.Key_Left: self._first if at is None else at - step,
            Qt.Key.Key_Right: self._first if at is None else at + step,
            Qt.Key.Key_Home: 1,
            Qt.Key.Key_End: self._candidate.worth - 1,
        }
        if event.key() in places:
            event.accept()
            self._choose(places[event.key()])

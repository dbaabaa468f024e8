"""The histogram of a layer's weights, with the threshold as lines that can be dragged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from compressor_gui.core import stats, units
from compressor_gui.core.stats import Magnitudes
from compressor_gui.gui.inspector.plot import Cut, Plot
from compressor_gui.gui.inspector.section import toggle
from compressor_gui.gui.theme import MARGIN, UNIT, Theme
from compressor_gui.gui.widgets import paragraph

BINS = 72


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts (n) between edges (n + 1), ascending."""

    counts: np.ndarray
    edges: np.ndarray

    @staticmethod
    def of(array: np.ndarray) -> Histogram:
        """Count the finite values of an array in :data:`BINS` even bins."""
        return Histogram(*stats.histogram(array, BINS))

    @staticmethod
    def of_nonzero(array: np.ndarray, span: tuple[float, float]) -> Histogram:
        """Count the values within ``span`` that are not zero: a pruned layer's zeros would dwarf all others."""
        return Histogram(*np.histogram(array[array != 0], BINS, span))

    @staticmethod
    def of_magnitudes(table: Magnitudes) -> Histogram:
        """Count the logarithms (base 10) of the magnitudes that are not zero."""
        used = table.values > 0
        logs = np.log10(table.values[used].astype(np.float64))
        if not logs.size:
            return Histogram(np.zeros(BINS), np.linspace(-1.0, 0.0, BINS + 1))
        high = float(logs[-1])
        low = max(float(logs[0]), high - 6.0)  # six decades are enough to see
        counts, edges = np.histogram(logs, BINS, (low, max(high, low + 1e-3)), weights=table.counts[used])
        return Histogram(counts, edges)

    @property
    def span(self) -> tuple[float, float]:
        """The outer edges."""
        return float(self.edges[0]), float(self.edges[-1])


class WeightHistogram(QWidget):
    """Grey is set to zero, blue is kept.

    ``threshold_moved(threshold)`` is emitted while a line is dragged, ``rested()`` when it is let go.
    """

    threshold_moved = Signal(float)
    rested = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._plain: Histogram | None = None
        self._after: Histogram | None = None
        self._table: Magnitudes | None = None
        self._threshold: float | None = None
        self.log_count = toggle("log count", "Logarithmic count: rare weights stay visible", on=True)
        self.log_x = toggle("log |w|", "Magnitudes on a logarithmic axis")
        self.cumulative = toggle("sum", "Cumulative curve: the share of weights below, from 0 to 100 %")
        for button in self.toggles:
            button.toggled.connect(self._draw)

        self.plot = Plot(theme, 148)
        self._caption = paragraph("", "small")
        self._bars: Histogram | None = None
        self._zeroed = pg.BarGraphItem(x0=[], x1=[], height=[])
        self._kept = pg.BarGraphItem(x0=[], x1=[], height=[])
        self._outline = pg.PlotCurveItem()
        self._sum = pg.PlotCurveItem()
        self.cuts = (Cut(self.plot), Cut(self.plot))
        for item in (self._zeroed, self._kept, self._outline, self._sum, *self.cuts):
            self.plot.addItem(item)
        for cut in self.cuts:
            cut.sigDragged.connect(self._dragged)
            cut.sigPositionChangeFinished.connect(self._let_go)
        self.plot.hovered.connect(self._hover)
        self.plot.left.connect(lambda: self._caption.setText(self._words()))

        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, 0, MARGIN, 0)
        column.setSpacing(0)
        column.addWidget(self.plot)
        column.addWidget(self._caption)
        column.addSpacing(UNIT)
        theme.changed.connect(self._recolor)
        self._recolor()

    @property
    def toggles(self) -> tuple:
        """The switches that stand in the section's title."""
        return self.log_count, self.log_x, self.cumulative

    def show_weights(self, plain: Histogram | None, table: Magnitudes | None) -> None:
        """Show a layer's weights; without ``table`` there is no threshold and no logarithmic axis."""
        self._plain, self._table, self._after = plain, table, None
        self.log_x.setEnabled(table is not None)
        self._draw()

    def show_after(self, after: Histogram | None) -> None:
        """Draw the compressed weights' histogram over it."""
        self._after = after
        self._draw()

    def show_threshold(self, threshold: float | None) -> None:
        """Move the lines; None where the layer can't be pruned."""
        if threshold != self._threshold:
            self._threshold = threshold
            self._cut()

    # -- drawing -------------------------------------------------------------------------------------------------

    @property
    def _logarithmic(self) -> bool:
        return self.log_x.isChecked() and self._table is not None

    def _shown(self) -> Histogram | None:
        if self._logarithmic and self._table is not None:
            return Histogram.of_magnitudes(self._table)
        return self._plain

    def _heights(self, counts: np.ndarray) -> np.ndarray:
        return np.log1p(counts) if self.log_count.isChecked() else np.asarray(counts, np.float64)

    def _draw(self) -> None:
        shown = self._shown()
        self._bars = shown
        for item in (self._kept, self._zeroed, self._outline, self._sum, *self.cuts):
            item.setVisible(shown is not None)
        if shown is None:
            self._caption.setText("")
            return
        heights = self._heights(shown.counts)
        top = float(heights.max(initial=0.0)) or 1.0
        low, high = shown.span
        if not self._logarithmic and self._table is not None:
            high = max(abs(low), abs(high)) * 1.02  # symmetric, so that both lines are always in view
            low = -high
        self.plot.view((low, high), (0.0, top * 1.06))
        self._mark(low, high)
        over = self._after if not self._logarithmic else None
        self._outline.setVisible(over is not None)
        if over is not None:
            self._outline.setData(over.edges, self._heights(over.counts), stepMode="center")
        self._sum.setVisible(self.cumulative.isChecked())
        if self.cumulative.isChecked():
            total = max(float(shown.counts.sum()), 1.0)
            share = np.concatenate(([0.0], np.cumsum(shown.counts))) / total
            self._sum.setData(shown.edges, share * top)
        self._cut()

    def _mark(self, low: float, high: float) -> None:
        if self._logarithmic:
            decades = range(int(np.ceil(low)), int(np.floor(high)) + 1)
            self.plot.ticks([(d, f"{10.0**d:g}") for d in decades])
            return
        inset = (high - low) * 0.07  # so that the outer labels are not cut
        marks = [(low + inset, units.number(low)), (high - inset, units.number(high))]
        self.plot.ticks([*marks, (0.0, "0")] if low + 2 * inset < 0 < high - 2 * inset else marks)

    def _cut(self) -> None:
        """Colour the bars by the threshold, the bin that it cuts in two parts, and move the lines."""
        shown = self._bars
        if shown is None:
            return
        known = self._threshold is not None
        cut = self._place(self._threshold or 0.0)
        low = cut if self._logarithmic else -cut
        left, right = shown.edges[:-1], shown.edges[1:]
        heights = self._heights(shown.counts)
        gap = (right[0] - left[0]) * 0.12
        if self._logarithmic:
            inner = np.full_like(left, -np.inf), np.full_like(left, cut)
            outer = [(np.maximum(left, cut), right)]
        else:
            inner = np.full_like(left, -cut), np.full_like(left, cut)
            outer = [(left, np.minimum(right, low)), (np.maximum(left, cut), right)]
        if not known:
            outer, cut = [(left, right)], 0.0
        _set_bars(self._kept, outer, heights, gap)
        _set_bars(
            self._zeroed, [(np.maximum(left, inner[0]), np.minimum(right, inner[1]))] if known else [], heights, gap
        )
        self.cuts[0].setVisible(known and not self._logarithmic)
        self.cuts[1].setVisible(known)
        for line, value in zip(self.cuts, (low, cut), strict=True):
            line.setValue(value)
        self._caption.setText(self._words())

    def _place(self, threshold: float) -> float:
        """Where a threshold lies on the axis."""
        if not self._logarithmic or self._bars is None:
            return threshold
        low = self._bars.span[0]
        return max(float(np.log10(threshold)), low) if threshold > 0 else low

    def _words(self) -> str:
        parts = ["log count" if self.log_count.isChecked() else "count"]
        if self._threshold is not None:
            parts += ["grey is set to zero"] if self._after else ["grey is set to zero", "drag the blue lines"]
        if self._outline.isVisible():
            parts.append("line: compressed")
        return " · ".join(parts)

    def _recolor(self) -> None:
        for item, token in ((self._kept, "histogram_kept"), (self._zeroed, "histogram_zeroed")):
            item.setOpts(brush=self._theme.color(token), pen=pg.mkPen(None))
        self._outline.setPen(self.plot.pen("text", 1.2))
        self._sum.setPen(self.plot.pen("text_secondary", 1.2))

    # -- the mouse -----------------------------------------------------------------------------------------------

    def _dragged(self, cut: Cut) -> None:
        value = float(cut.value())
        for other in self.cuts:
            if other is not cut and not self._logarithmic:
                other.setValue(-value)
        self.threshold_moved.emit(10.0**value if self._logarithmic else abs(value))

    def _let_go(self, _cut: Cut) -> None:
        self._cut()  # on the threshold that was reached, which lies between two weights
        self.rested.emit()

    def _hover(self, x: float, _y: float) -> None:
        shown = self._bars
        if shown is None or any(cut.moving for cut in self.cuts):
            return
        index = int(np.searchsorted(shown.edges, x, "right")) - 1
        if not 0 <= index < shown.counts.size:
            return
        low, high = shown.edges[index], shown.edges[index + 1]
        if self._logarithmic:
            low, high = 10.0**low, 10.0**high
        self._caption.setText(f"{units.number(low)} … {units.number(high)}: {int(shown.counts[index]):,} weights")


def _set_bars(
    item: pg.BarGraphItem, parts: list[tuple[np.ndarray, np.ndarray]], heights: np.ndarray, gap: float
) -> None:
    """Give a bar item the parts of the bins (left, right) that are not empty."""
    left = np.concatenate([part[0] for part in parts]) if parts else np.zeros(0)
    right = np.concatenate([part[1] for part in parts]) if parts else np.zeros(0)
    tall = np.tile(heights, len(parts)) if parts else np.zeros(0)
    used = (right - left > 2 * gap) & (tall > 0)
    item.setOpts(x0=left[used] + gap, x1=right[used] - gap, height=tall[used], y0=0)

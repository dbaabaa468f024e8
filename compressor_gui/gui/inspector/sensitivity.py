"""Sensitivity, estimated from the weights alone: how much of a layer is lost at each sparsity, or number of bits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.core.memo import by_identity
from compressor_gui.core.stats import Magnitudes
from compressor_gui.gui.inspector.later import Later
from compressor_gui.gui.inspector.plot import Cut, Plot
from compressor_gui.gui.inspector.section import MARGIN, toggle
from compressor_gui.gui.theme import SMALL, UNIT, Theme, font
from compressor_gui.gui.widgets import label

SPARSITIES = np.concatenate((np.linspace(0.0, 0.9, 46), np.linspace(0.91, 0.999, 40)))
BITS = (8, 7, 6, 5, 4, 3, 2, 1)


@by_identity
def pruning_curve(table: Magnitudes) -> np.ndarray:
    """The relative error at each of :data:`SPARSITIES`."""
    return table.error_at(SPARSITIES)


@by_identity
def bits_curve(table: Magnitudes) -> np.ndarray:
    """The relative error with each of :data:`BITS`."""
    return table.quantization_errors(BITS)


class SensitivityPlot(QWidget):
    """Relative error ‖W − W'‖ / ‖W‖ against sparsity or bits, for one layer or for all.

    ``sparsity_chosen(sparsity)`` is emitted for a click on the plot and while the line is dragged, ``rested()`` after.
    """

    sparsity_chosen = Signal(float)
    rested = Signal()

    def __init__(self, theme: Theme, later: Later) -> None:
        super().__init__()
        self._theme = theme
        self._later = later
        self._tables: Mapping[str, Magnitudes] = {}
        self._names: Mapping[str, str] = {}
        self._layer = ""
        self._others: dict[str, pg.PlotCurveItem] = {}
        self.bits = toggle("bits", "Error of rounding the weights to 8 to 1 bits, instead of pruning them")
        self.everyone = toggle("all layers", "The curves of all layers; point at one to see its name")
        for button in self.toggles:
            button.toggled.connect(self._prepare)

        self.plot = Plot(theme, 132)
        self._lines = [pg.InfiniteLine(level, angle=0) for level in (0.25, 0.5, 0.75, 1.0)]
        self._top = pg.TextItem("100 % error", anchor=(0, 0))
        self._top.setFont(font(SMALL))
        self._curve = pg.PlotDataItem(symbolSize=5)
        self._pointed = pg.PlotCurveItem()
        self.cut = Cut(self.plot)
        self.cut.setBounds((0.0, 1.0))
        for item in (*self._lines, self._top, self._curve, self._pointed, self.cut):
            self.plot.addItem(item)
        self._curve.setZValue(5)
        self._pointed.setZValue(4)
        self.cut.sigDragged.connect(lambda cut: self.sparsity_chosen.emit(float(cut.value())))
        self.cut.sigPositionChangeFinished.connect(lambda _cut: self.rested.emit())
        self.plot.clicked.connect(self._clicked)
        self.plot.hovered.connect(self._hover)
        self.plot.left.connect(self._unhover)

        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, 0, MARGIN, 0)
        column.setSpacing(0)
        column.addWidget(self.plot)
        self._caption = label("", "small")
        self._caption.setWordWrap(True)
        column.addWidget(self._caption)
        column.addSpacing(UNIT)
        theme.changed.connect(self._draw)

    @property
    def toggles(self) -> tuple:
        """The switches that stand in the section's title."""
        return self.bits, self.everyone

    def show_layer(self, layer: str, tables: Mapping[str, Magnitudes], names: Mapping[str, str]) -> None:
        """Show the curve of ``layer``, one of ``tables``; ``names`` are those to read."""
        if (layer, tables) != (self._layer, self._tables) or tables is not self._tables:
            self._layer, self._tables, self._names = layer, tables, names
            self._prepare()

    def show_sparsity(self, sparsity: float | None) -> None:
        """Move the line; None where the layer can't be pruned."""
        self.cut.setVisible(sparsity is not None and not self.bits.isChecked())
        self._sparsity = sparsity
        if sparsity is not None:
            self.cut.setValue(sparsity)

    _sparsity: float | None = None

    # -- drawing -------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Draw; curves by bits take some milliseconds a layer, and are worked out in the background first."""
        table = self._tables.get(self._layer)
        if table is None or not self.bits.isChecked():
            self._draw()
            return
        tables = tuple(self._tables.values()) if self.everyone.isChecked() else (table,)
        kind = f"bits of {len(tables)}"
        self._later.ask(table, kind, lambda: [bits_curve(each) for each in tables], lambda _: self._draw())

    def _draw(self) -> None:
        for curve in self._others.values():
            self.plot.removeItem(curve)
        self._others = {}
        self._pointed.setData([], [])
        table = self._tables.get(self._layer)
        bits = self.bits.isChecked()
        if bits:
            self.plot.view((8.3, 0.7), (0.0, 1.04))
            self.plot.getPlotItem().getViewBox().invertX(True)
            self.plot.ticks([(float(b), str(b)) for b in BITS])
        else:
            self.plot.getPlotItem().getViewBox().invertX(False)
            self.plot.view((0.0, 1.0), (0.0, 1.04))
            self.plot.ticks([(0.06, "0 %"), (0.5, "50 %"), (0.93, "100 %")])
        if self.everyone.isChecked():
            pen = self.plot.pen("text_disabled_and_edges", 1.0)
            for name, other in self._tables.items():
                if name != self._layer:
                    curve = pg.PlotCurveItem(*self._points(other), pen=pen)
                    self.plot.addItem(curve)
                    self._others[name] = curve
        self._curve.setVisible(table is not None)
        if table is not None:
            self._curve.setData(*self._points(table))
        for line in self._lines:
            line.setPen(self.plot.pen("hairline"))
        self._top.setColor(self._theme.color("text_secondary"))
        self._top.setPos(8.3 if bits else 0.0, 1.0)
        self._curve.setPen(self.plot.pen("text", 1.4, dashed=True))
        self._curve.setSymbol("o" if bits else None)
        self._curve.setSymbolBrush(self._theme.color("text"))
        self._curve.setSymbolPen(None)
        self._pointed.setPen(self.plot.pen("accent_and_threshold", 2.0))
        self.cut.setVisible(self._sparsity is not None and not bits)
        self._unhover()

    def _points(self, table: Magnitudes) -> tuple[np.ndarray, np.ndarray]:
        if self.bits.isChecked():
            return np.array(BITS, float), bits_curve(table)
        return SPARSITIES, pruning_curve(table)

    def _words(self) -> str:
        if self.bits.isChecked():
            return "- - estimated from the weights, by number of bits"
        return "- - estimated from the weights · click to set"

    # -- the mouse -----------------------------------------------------------------------------------------------

    def _clicked(self, x: float, y: float) -> None:
        if self.cut.isVisible() and 0.0 <= x <= 1.0 and 0.0 <= y <= 1.05:
            self.sparsity_chosen.emit(x)
            self.rested.emit()

    def _nearest(self, x: float, y: float) -> str:
        """The layer whose curve passes nearest, within 0.05; empty where none does."""
        best, found = 0.05, ""
        for name in (self._layer, *self._others):
            table = self._tables.get(name)
            if table is None:
                continue
            xs, ys = self._points(table)
            order = slice(None, None, -1) if self.bits.isChecked() else slice(None)
            distance = abs(float(np.interp(x, xs[order], ys[order])) - y)
            if distance < best:
                best, found = distance, name
        return found

    def _hover(self, x: float, y: float) -> None:
        name = self._nearest(x, y) if self.everyone.isChecked() else self._layer
        table = self._tables.get(name)
        if table is None:
            self._unhover()
            return
        xs, ys = self._points(table)
        self._pointed.setData(*((xs, ys) if name != self._layer else ([], [])))
        if self.bits.isChecked():
            at = int(np.clip(round(x), 1, 8))
            where, error = f"{at} bits", float(ys[8 - at])
        else:
            at_x = float(np.clip(x, 0.0, 1.0))
            where, error = units.percent(at_x), float(table.error_at(at_x))
        self._caption.setText(f"{self._names.get(name, name)}: ≈{units.percent(error)} error at {where}, estimated")

    def _unhover(self) -> None:
        self._pointed.setData([], [])
        self._caption.setText(self._words())

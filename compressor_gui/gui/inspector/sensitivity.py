"""Sensitivity: what is left of a layer at each sparsity or number of bits, estimated from its weights, and measured."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.core.memo import by_identity
from compressor_gui.core.stats import Magnitudes
from compressor_gui.gui.inspector.later import Later
from compressor_gui.gui.inspector.plot import Cut, Plot
from compressor_gui.gui.inspector.section import toggle
from compressor_gui.gui.measure.measured import Sweep
from compressor_gui.gui.sparsity_slider import snapped, step_by_key
from compressor_gui.gui.theme import MARGIN, SMALL, UNIT, Theme, font
from compressor_gui.gui.widgets import paragraph

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
    """What is left at each sparsity or number of bits, for one layer or for all: measured (solid) on the
    metric's scale, estimated (dashed) as 1 - ||W - W'|| / ||W||.

    ``sparsity_chosen(layer, sparsity)`` is emitted for a click on the plot and while the line is dragged, ``rested()``
    after.
    """

    sparsity_chosen = Signal(str, float)
    rested = Signal()

    def __init__(self, theme: Theme, later: Later, height: int = 132) -> None:
        super().__init__()
        self._theme = theme
        self._later = later
        self._tables: Mapping[str, Magnitudes] = {}
        self._names: Mapping[str, str] = {}
        self._layer = ""
        self._sweep: Sweep | None = None
        self._sparsity: float | None = None
        self._others: dict[str, tuple[pg.PlotCurveItem, tuple]] = {}
        """The other layers' curves, and what they were drawn from."""
        self.bits = toggle("bits", "What is left of the weights in 8 to 1 bits, instead of pruned")
        self.everyone = toggle("all layers", "The curves of all layers; point at one to see its name")
        for button in self.toggles:
            button.toggled.connect(self._prepare)

        self.plot = Plot(theme, height)
        self._lines = [pg.InfiniteLine(level, angle=0) for level in (0.25, 0.5, 0.75, 1.0)]
        self._scale = pg.TextItem("", anchor=(0, 0))
        self._scale.setFont(font(SMALL))
        self._curve = pg.PlotDataItem(symbolSize=5)
        self._measured = pg.PlotDataItem(symbol="o", symbolSize=6)
        self._pointed = pg.PlotCurveItem()
        self.cut = Cut(self.plot)
        self.cut.setBounds((0.0, 1.0))
        for item in (*self._lines, self._scale, self._curve, self._measured, self._pointed, self.cut):
            self.plot.addItem(item)
        self._curve.setZValue(5)
        self._measured.setZValue(6)
        self._pointed.setZValue(4)
        self.cut.sigDragged.connect(lambda cut: self._choose(self._layer, float(cut.value())))
        self.cut.sigPositionChangeFinished.connect(lambda _cut: self.rested.emit())
        self.plot.clicked.connect(self._clicked)
        self.plot.key_pressed.connect(self._key)
        self.plot.key_released.connect(self.rested)
        self.plot.hovered.connect(self._hover)
        self.plot.left.connect(self._unhover)

        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, 0, MARGIN, 0)
        column.setSpacing(0)
        column.addWidget(self.plot)
        self._caption = paragraph("", "small")
        column.addWidget(self._caption)
        column.addSpacing(UNIT)
        theme.changed.connect(self._draw)

    @property
    def toggles(self) -> tuple:
        """The switches that stand in the section's title."""
        return self.bits, self.everyone

    @property
    def caption(self) -> str:
        """What stands below."""
        return self._caption.text()

    def show_layer(
        self, layer: str, tables: Mapping[str, Magnitudes], names: Mapping[str, str], sweep: Sweep | None = None
    ) -> None:
        """Show the curves of ``layer``, one of ``tables`` (empty: none is chosen); ``names`` are those to read."""
        if layer != self._layer or tables is not self._tables or sweep is not self._sweep:
            self._layer, self._tables, self._names, self._sweep = layer, tables, names, sweep
            self._prepare()

    def show_sparsity(self, sparsity: float | None) -> None:
        """Move the line; None where the layer can't be pruned."""
        self.cut.setVisible(sparsity is not None and not self.bits.isChecked())
        self._sparsity = sparsity
        if sparsity is not None:
            self.cut.setValue(sparsity)

    # -- drawing -------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Draw; estimates by bits take some milliseconds a layer, and are worked out in the background first."""
        table = self._tables.get(self._layer)
        if table is None or not self.bits.isChecked():
            self._draw()
            return
        tables = tuple(self._tables.values()) if self.everyone.isChecked() else (table,)
        kind = f"bits of {len(tables)}"
        self._later.ask(table, kind, lambda: [bits_curve(each) for each in tables], lambda _: self._draw())

    def _draw(self) -> None:
        bits = self.bits.isChecked()
        self._draw_scale(bits)
        self._draw_others()
        table = self._tables.get(self._layer)
        self._curve.setVisible(table is not None)
        if table is not None:
            self._curve.setData(*self._estimate(self._layer))
        measured = self._measurement(self._layer)
        self._measured.setVisible(measured is not None)
        if measured is not None:
            self._measured.setData(*measured)
        self._curve.setPen(self.plot.pen("text" if measured is None else "text_disabled_and_edges", 1.4, dashed=True))
        self._curve.setSymbol("o" if bits and measured is None else None)
        self._curve.setSymbolBrush(self._theme.color("text"))
        self._curve.setSymbolPen(None)
        self._measured.setPen(self.plot.pen("text", 1.6))
        self._measured.setSymbolBrush(self._theme.color("text"))
        self._measured.setSymbolPen(None)
        self._pointed.setPen(self.plot.pen("accent_and_threshold", 2.0))
        self.cut.setVisible(self._sparsity is not None and not bits)
        self._unhover()

    def _draw_scale(self, bits: bool) -> None:
        self.plot.getPlotItem().getViewBox().invertX(bits)
        if bits:
            self.plot.view((8.3, 0.7), (0.0, 1.06))
            self.plot.ticks([(float(b), str(b)) for b in BITS])
        else:
            self.plot.view((0.0, 1.0), (0.0, 1.06))
            self.plot.ticks([(0.06, "0 %"), (0.5, "50 %"), (0.93, "100 %")])
        for line in self._lines:
            line.setPen(self.plot.pen("hairline"))
        measured = self._sweep is not None and bool(self._sweep.curves)
        decibels = measured and self._sweep is not None and self._sweep.metric == "sqnr_db"
        self._scale.setText("30 dB" if decibels else "50 %" if measured else "50 % error")
        self._scale.setColor(self._theme.color("text_secondary"))
        self._scale.setPos(8.3 if bits else 0.0, 0.5)

    def _draw_others(self) -> None:
        """The other layers' curves; their items are kept, as a sweep makes them grow ten times a second."""
        names = [name for name in self._tables if name != self._layer] if self.everyone.isChecked() else []
        for name in self._others.keys() - set(names):
            self.plot.removeItem(self._others.pop(name)[0])
        pens = [self.plot.pen("text_disabled_and_edges", 1.0, dashed=dashed) for dashed in (False, True)]
        look = (self.bits.isChecked(), self._theme.name, self.plot.devicePixelRatioF())
        for name in names:
            drawn = (self._sweep.curves.get(name) if self._sweep else None, self._tables[name], *look)
            if name not in self._others:
                self._others[name] = (pg.PlotCurveItem(), ())
                self.plot.addItem(self._others[name][0])
            item, before = self._others[name]
            if drawn != before:
                item.setData(*self._points(name), pen=pens[self._measurement(name) is None])
                self._others[name] = (item, drawn)

    def _estimate(self, layer: str) -> tuple[np.ndarray, np.ndarray]:
        table = self._tables[layer]
        if self.bits.isChecked():
            return np.array(BITS, float), 1 - bits_curve(table)
        return SPARSITIES, 1 - pruning_curve(table)

    def _measurement(self, layer: str) -> tuple[np.ndarray, np.ndarray] | None:
        """The measured points of a layer, x and height; None where there are none."""
        curve = self._sweep.curves.get(layer) if self._sweep else None
        if curve is None or self._sweep is None:
            return None
        xs, values = (curve.bits, curve.bits_value) if self.bits.isChecked() else (curve.sparsity, curve.value)
        return (np.array(xs, float), np.array([self._sweep.height(value) for value in values])) if xs else None

    def _points(self, layer: str) -> tuple[np.ndarray, np.ndarray]:
        """The curve that counts: measured where it is, else estimated."""
        return self._measurement(layer) or self._estimate(layer)

    def _words(self) -> str:
        by_bits = self.bits.isChecked()
        if self._layer and self._measurement(self._layer) is not None and self._sweep is not None:
            return f"— {self._sweep.heading}   - - estimated"
        return "- - estimated from the weights, by number of bits" if by_bits else (
            "- - estimated from the weights · click to set")  # fmt: skip

    # -- the mouse -----------------------------------------------------------------------------------------------

    def _clicked(self, x: float, y: float) -> None:
        if self.bits.isChecked() or not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.07):
            return
        layer = self._nearest(x, y) if self.everyone.isChecked() else ""
        if layer or self.cut.isVisible():
            self._choose(layer or self._layer, x)
            self.rested.emit()

    def _choose(self, layer: str, sparsity: float) -> None:
        """Choose as the sliders do: a whole percent, with Shift a tenth."""
        self.sparsity_chosen.emit(layer, snapped(sparsity, QGuiApplication.keyboardModifiers()))

    def _key(self, event: QKeyEvent) -> None:
        """The keys of the table's sliders."""
        moved = step_by_key(event, self._sparsity) if self.cut.isVisible() and self._sparsity is not None else None
        if moved is not None:
            event.accept()
            self.sparsity_chosen.emit(self._layer, moved)

    def _nearest(self, x: float, y: float) -> str:
        """The layer whose curve passes nearest, within 0.05; empty where none does."""
        best, found = 0.05, ""
        for name in (self._layer, *self._others):
            if name not in self._tables:
                continue
            xs, ys = self._points(name)
            order = slice(None, None, -1) if self.bits.isChecked() else slice(None)
            distance = abs(float(np.interp(x, xs[order], ys[order])) - y)
            if distance < best:
                best, found = distance, name
        return found

    def _hover(self, x: float, y: float) -> None:
        name = self._nearest(x, y) if self.everyone.isChecked() else self._layer
        if name not in self._tables:
            self._unhover()
            return
        self._pointed.setData(*(self._points(name) if name != self._layer else ([], [])))
        _, ys = self._estimate(name)
        if self.bits.isChecked():
            at = int(np.clip(round(x), 1, 8))
            where, error = f"{at} bits", 1 - float(ys[8 - at])
        else:
            at_x = float(np.clip(x, 0.0, 1.0))
            where, error = units.percent(at_x), float(self._tables[name].error_at(at_x))
        shown = self._names.get(name, name)
        curve = self._sweep.curves.get(name) if self._sweep else None
        points = (zip(curve.bits, curve.bits_value, strict=True) if self.bits.isChecked() else
                  zip(curve.sparsity, curve.value, strict=True)) if curve else ()  # fmt: skip
        nearest = min(points, key=lambda point: abs(point[0] - x), default=None)
        if nearest is not None and self._sweep is not None:
            where = f"{nearest[0]} bits" if self.bits.isChecked() else units.percent(nearest[0])
            self._caption.setText(f"{shown}: {self._sweep.words(nearest[1])} at {where}, measured")
        else:
            self._caption.setText(f"{shown}: ≈{units.percent(error)} error at {where}, estimated")

    def _unhover(self) -> None:
        self._pointed.setData([], [])
        self._caption.setText(self._words())

"""Latency in the measure panel: two bars with their whiskers, and the slowest operations."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QSpinBox, QWidget

from compressor_gui.core import units
from compressor_gui.core.measure import LatencyResult, Timing
from compressor_gui.gui.inspector.section import Fact, Facts
from compressor_gui.gui.measure.part import STALE, Part, dimmed
from compressor_gui.gui.measure.words import milliseconds
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import MARGIN, SMALL, Theme, font
from compressor_gui.gui.widgets import label

SLOWEST = 6
"""How many operations are listed."""


class LatencyChart(QWidget):
    """A bar for the original and one for the compressed model: the median, with a whisker to the 90th percentile."""

    _ROW = 30
    _NAME = 84
    _NUMBER = 64

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._bars: list[tuple[str, Timing, bool]] = []
        self._pale = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_result(self, result: LatencyResult, pale: bool) -> None:
        """Show a result; ``pale`` where it belongs to another recipe."""
        both = result.against is not None
        bars = [("original", result.against, False)] if result.against is not None else []
        self._bars = [*bars, ("compressed" if both else "original", result.model, both)]
        self._pale = pale
        self.setAccessibleDescription("; ".join(f"{name} {milliseconds(t.median_ms)}" for name, t, _ in self._bars))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """A row for each bar."""
        return QSize(280, self._ROW * len(self._bars) + 4)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the bars."""
        if not self._bars:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setOpacity(0.5 if self._pale else 1.0)
        painter.setFont(font(SMALL))
        left = MARGIN + self._NAME
        room = max(20.0, self.width() - left - MARGIN - self._NUMBER)
        most = max(max(timing.p90_ms, timing.median_ms) for _, timing, _ in self._bars) or 1.0
        for index, (name, timing, strong) in enumerate(self._bars):
            top = index * self._ROW
            painter.setPen(self._theme.color("text_secondary"))
            row = QRectF(MARGIN, top, self._NAME, self._ROW)
            painter.drawText(row, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, name)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self._theme.color("accent_and_threshold" if strong else "histogram_kept"))
            bar = QRectF(left, top + 8, room * timing.median_ms / most, self._ROW - 16)
            painter.drawRoundedRect(bar, 2, 2)
            painter.setPen(QPen(self._theme.color("text"), 1.2))
            end, middle = left + room * timing.p90_ms / most, bar.center().y()
            painter.drawLine(QPointF(bar.right(), middle), QPointF(end, middle))
            painter.drawLine(QPointF(end, middle - 4), QPointF(end, middle + 4))
            number = QRectF(self.width() - MARGIN - self._NUMBER, top, self._NUMBER, self._ROW)
            painter.setPen(self._theme.color("text"))
            painter.drawText(number, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                             milliseconds(timing.median_ms))  # fmt: skip
        painter.end()


class LatencyPart(Part):
    """How long a run takes, before and after."""

    kind = "latency"
    verb = "Measure"
    empty = "Milliseconds of a run, original and compressed in turns, and the operations that take longest."

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._fields = QHBoxLayout()
        self._fields.setContentsMargins(MARGIN, 0, MARGIN, 0)
        self.batch = self._spin("Batch", 1, 4096, "examples at a time")
        self.threads = self._spin("Threads", 0, 256, "0: as TensorFlow chooses")
        self.threads.setSpecialValueText("all")
        self._fields.addStretch(1)
        self.column.insertLayout(self.column.indexOf(self.content) + 1, self._fields)
        self.chart = LatencyChart(self.theme)
        self.facts = Facts(self.theme)
        self._title = label("Slowest operations", "small")
        self._title.setContentsMargins(MARGIN, 4, MARGIN, 0)
        self.slowest = Facts(self.theme)
        for widget in (self.chart, self.facts, self._title, self.slowest):
            self.body.addWidget(widget)

    def _spin(self, name: str, low: int, high: int, tip: str) -> QSpinBox:
        """A small field above the button."""
        spin = QSpinBox()
        spin.setRange(low, high)
        spin.setAccessibleName(name)
        spin.setToolTip(f"{name}: {tip}")
        spin.setFixedWidth(56)
        spin.setAlignment(Qt.AlignmentFlag.AlignRight)
        self._fields.addWidget(label(name.lower(), "secondary"))
        self._fields.addWidget(spin)
        return spin

    def show_state(self, state: State) -> None:
        """The timings of the recipe, or else the newest."""
        found = state.measured.latency(state.recipe)
        if found is None:
            self.show_content(self.empty)
            return
        result = found.value
        self.chart.show_result(result, found.is_stale(state.recipe, state.data))
        facts = []
        if result.speedup is not None:
            word = "faster" if result.speedup >= 1 else "slower"
            times = result.speedup if result.speedup >= 1 else 1 / max(result.speedup, 1e-9)
            facts.append(Fact("compressed is", f"{times:.2f} × {word}"))
        facts.append(Fact("examples a second", f"{result.model.throughput:,.0f}"))
        facts.append(Fact("runs", f"{result.runs}, batch {result.batch}, {result.threads or 'all'} threads"))
        if result.model.peak_bytes:
            facts.append(Fact("engine's peak memory", units.size(result.model.peak_bytes)))
        if result.left_out:
            facts.append(Fact("TensorFlow", "with less", result.left_out))
        facts += [Fact("note", note, note) for note in result.notes]
        self.facts.show_facts(dimmed(facts, found, state))
        nodes = result.model.nodes[:SLOWEST]
        color = STALE if found.is_stale(state.recipe, state.data) else ""
        self.slowest.show_facts([Fact(name, milliseconds(ms), f"{name} ({op})", color=color) for name, op, ms in nodes])
        self._title.setVisible(bool(nodes))
        self.slowest.setVisible(bool(nodes))
        self.show_content("")

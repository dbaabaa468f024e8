"""The ranges of all nodes: a list, the histogram of one with its ends to be dragged, the ends as numbers, undo."""

from __future__ import annotations

import math
from collections.abc import Mapping

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.core.measure import RangeHistogram
from compressor_gui.core.range_edit import LEVELS, RangeEdits, clipped_share, moved, step_size
from compressor_gui.core.ranges_file import Limits
from compressor_gui.gui.ranges.node_list import NodeList, range_words
from compressor_gui.gui.ranges.plot import RangePlot
from compressor_gui.gui.theme import UNIT, Theme
from compressor_gui.gui.widgets import ElidedLabel, label, paragraph

_LIST_WIDTH = 280


class _Number(QDoubleSpinBox):
    """An end of a range; Enter takes what was typed, and does not press the dialog's button."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take the number."""
        super().keyPressEvent(event)
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.accept()


class RangesEditor(QWidget):
    """Shows ranges with their histograms and lets them be changed. ``changed``: a range is another one now."""

    changed = Signal()

    def __init__(self, theme: Theme, height: int = 240) -> None:
        super().__init__()
        self.edits = RangeEdits.of({})
        self.histograms: Mapping[str, RangeHistogram] = {}
        self.note = ""
        """A sentence that stands below what is said of a range."""
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(20)
        self.nodes = NodeList(theme)
        self.nodes.setFixedWidth(_LIST_WIDTH)
        self.nodes.selectionModel().currentChanged.connect(lambda *_: self._show_node())
        row.addWidget(self.nodes)
        column = QVBoxLayout()
        column.setSpacing(UNIT * 2)
        self.name = ElidedLabel()
        self.name.setProperty("role", "strong")
        column.addWidget(self.name)
        self.plot = RangePlot(theme, height)
        self.plot.moving.connect(self._moving)
        self.plot.moved_to.connect(self._store)
        column.addWidget(self.plot)
        column.addLayout(self._build_numbers())
        self.words = paragraph("", "secondary")
        column.addWidget(self.words)
        column.addStretch(1)
        row.addLayout(column, 1)
        for keys, run in (("Ctrl+Z", self.undo), ("Ctrl+Shift+Z", self.redo), ("Ctrl+Y", self.redo)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(run)
        self._show_node()

    def _build_numbers(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(UNIT * 2)
        self.fields = (self._field("Minimum", 0), self._field("Maximum", 1))
        for name, field in zip(("Minimum", "Maximum"), self.fields, strict=True):
            row.addWidget(label(name, "secondary"))
            row.addWidget(field)
        row.addStretch(1)
        self.undo_button = self._tool("Undo", "Take the last change of a range back (Ctrl+Z)", self.undo)
        self.redo_button = self._tool("Redo", "Make it again (Ctrl+Shift+Z)", self.redo)
        self.reset_button = self._tool("Reset", "The range as it was chosen at first", self.reset)
        for button in (self.undo_button, self.redo_button, self.reset_button):
            row.addWidget(button)
        return row

    def _field(self, name: str, end: int) -> QDoubleSpinBox:
        field = _Number()
        field.setAccessibleName(name)
        field.setAlignment(Qt.AlignmentFlag.AlignRight)
        field.setKeyboardTracking(False)
        field.setMinimumWidth(96)
        field.valueChanged.connect(lambda value: self._typed(end, value))
        return field

    def _tool(self, text: str, tip: str, run: object) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(tip)
        button.setProperty("role", "flat")
        button.clicked.connect(run)
        return button

    # -- what is shown -------------------------------------------------------------------------------------------

    @property
    def ranges(self) -> Mapping[str, Limits]:
        """Every node's range as it is now."""
        return self.edits.ranges

    def show_ranges(self, ranges: Mapping[str, Limits], histograms: Mapping[str, RangeHistogram]) -> None:
        """Show ranges, as they were chosen or stored; the node that was selected stays so."""
        current = self.nodes.current
        self.edits, self.histograms = RangeEdits.of(ranges), histograms
        self.nodes.nodes.show(ranges, histograms)
        self.nodes.choose(current)
        self._show_node()

    def say(self, note: str) -> None:
        """Let a sentence stand below what is said of a range."""
        self.note = note
        self._describe()

    def _show_node(self) -> None:
        name = self.nodes.current
        self.setEnabled(bool(name))
        if not name:
            return
        limits, chosen = self.ranges[name], self.edits.chosen[name]
        self.name.set_whole(name)
        self.plot.show_range(self.histograms.get(name), limits, chosen)
        decimals = max(0, 3 - math.floor(math.log10(max(step_size(chosen) * LEVELS, 1e-30))))
        for field, value in zip(self.fields, limits, strict=True):
            field.blockSignals(True)
            field.setDecimals(decimals)
            field.setRange(-1e30, 1e30)
            field.setSingleStep(max(step_size(chosen), 10.0**-decimals))
            field.setValue(value)
            field.blockSignals(False)
        self.nodes.nodes.update(self.ranges, self.edits.edited)
        self.undo_button.setEnabled(self.edits.can_undo)
        self.redo_button.setEnabled(self.edits.can_redo)
        self.reset_button.setEnabled(limits != chosen)
        self._describe()

    def _describe(self, limits: Limits | None = None) -> None:
        name = self.nodes.current
        if not name:
            return
        limits = limits or self.ranges[name]
        histogram = self.histograms.get(name)
        if histogram is None:
            words = "No histogram of this node is kept: calibrate to see its values."
        else:
            share, whole = clipped_share(histogram, limits), range_words((histogram.low, histogram.high))
            words = f"Clips {units.percent(share)} of the values, which were {whole}."
        words += f" A step of the {LEVELS} is {units.number(step_size(limits))}."
        self.words.setText(f"{words} {self.note}".strip())

    # -- changing ------------------------------------------------------------------------------------------------

    def _moving(self, limits: Limits) -> None:
        for field, value in zip(self.fields, limits, strict=True):
            field.blockSignals(True)
            field.setValue(value)
            field.blockSignals(False)
        self._describe(limits)

    def _typed(self, end: int, value: float) -> None:
        name = self.nodes.current
        if name:
            self._store(moved(self.ranges[name], end, value, step_size(self.edits.chosen[name])))

    def _store(self, limits: Limits) -> None:
        self._become(self.edits.with_range(self.nodes.current, limits))

    def undo(self) -> None:
        """Take the last change back, and show the node that it was of."""
        self._become(self.edits.undone())

    def redo(self) -> None:
        """Make it again."""
        self._become(self.edits.redone())

    def reset(self) -> None:
        """The selected node's range as it was chosen."""
        self._become(self.edits.reset(self.nodes.current))

    def _become(self, edits: RangeEdits) -> None:
        if edits is self.edits:
            self._show_node()  # a number that a range can't have goes back
            return
        other = [name for name, limits in edits.ranges.items() if limits != self.ranges[name]]
        self.edits = edits
        self.nodes.choose(other[0])
        self._show_node()
        self.changed.emit()

"""The line at the bottom: before -> after, and how the engine is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QWidget

from compressor_gui.core import units
from compressor_gui.core.jobs import ExportCheck
from compressor_gui.core.sizes import sparse_size
from compressor_gui.gui.document import Document
from compressor_gui.gui.engine_link import EngineLink
from compressor_gui.gui.measure.measured import Of
from compressor_gui.gui.measure.words import headline, latency_words
from compressor_gui.gui.state import State
from compressor_gui.gui.widgets import ElidedLabel, label, restyle

T = TypeVar("T")
_MARGINS = 32
"""Pixels at both ends, and between the engine and the file."""


class StatusLine(QWidget):
    """Bytes, weights that are not zero, the last check's SQNR; dimmed while they belong to an older recipe."""

    def __init__(self, document: Document, engine: EngineLink, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("statusLine")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.document, self.engine = document, engine
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 0, 8, 0)
        row.setSpacing(0)
        self.setFixedHeight(28)
        self.bytes, self.ratio, self.sparse, self.weights, self.nodes = (label() for _ in range(5))
        self.accuracy, self.check, self.latency = (label() for _ in range(3))
        for widget, tip in (
            (self.bytes, "Bytes of the file: original → as it would be exported now"),
            (self.ratio, "Exported bytes divided by original bytes"),
            (
                self.sparse,
                "Estimate: bytes of the file if weights were stored as CSR, only their non-zeros, where smaller",
            ),
            (self.weights, "Weights that are not zero: original → compressed"),
            (self.nodes, "Nodes of the graph: original → compressed"),
            (self.accuracy, "Measured: original → compressed; pale where the recipe or the data changed since"),
            (self.check, "Worst output's signal-to-noise ratio against the original, from the last export's check"),
            (self.latency, "Measured: median time of a run, original → compressed"),
        ):
            widget.setToolTip(tip)
            row.addWidget(widget)
        self.ratio.setProperty("role", "secondary")
        self.sparse.setProperty("role", "secondary")
        row.addStretch(1)
        self.engine_label = ElidedLabel()
        self.engine_label.setProperty("role", "secondary")
        self.file = ElidedLabel()
        self.file.setProperty("role", "secondary")
        row.addWidget(self.engine_label)
        row.addSpacing(16)
        row.addWidget(self.file)
        self._checked: tuple[State, ExportCheck] | None = None
        document.changed.connect(lambda _old, _new: self._show())
        engine.changed.connect(self._show)
        self._show()

    def set_check(self, check: ExportCheck) -> None:
        """Remember what the engine measured for the present recipe."""
        self._checked = (self.document.state, check)
        self._show()

    def _show(self) -> None:
        state = self.document.state
        self.engine_label.set_whole(self.engine.status)
        labels: list[QLabel] = [self.bytes, self.ratio, self.sparse, self.weights, self.nodes]
        labels += [self.accuracy, self.check, self.latency]
        source, made = state.source, state.made
        self.file.set_whole(source.path.name if source else "")
        if source is None:
            for widget in labels:
                widget.setText("")
            self.bytes.setText(f"opening {state.loading} …" if state.loading else "no model")
            return
        size, nodes = (made.size, len(made.graph)) if made else (source.size, len(source.graph))
        kept = self.document.nonzeros()
        before, after = sum(layer.nonzero for layer in source.layers), sum(count for _, count in kept)
        about = "≈ " if state.stale else ""
        self.bytes.setText(f"{units.size(source.size)} → {units.size(size)}")
        self.ratio.setText(f"× {size / source.size:.2f}")
        self.sparse.setText(f"≈ {units.size(sparse_size(size, kept))} as CSR")
        self.weights.setText(f"{units.amount(before)} → {about}{units.amount(after)} weights ≠ 0")
        self.nodes.setText(f"{len(source.graph):,} → {nodes:,} nodes")
        for widget in (self.bytes, self.ratio, self.nodes):
            restyle(widget, stale=state.stale)
        self._show_check(state)
        self._show_measured(state)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """What has no room is left out whole."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Leave out the file's name, which the window's title has too, the engine, the estimate as room is short."""
        droppable = (self.file, self.engine_label, self.sparse)
        for widget in droppable:
            widget.show()
        parts = [widget for widget in self.findChildren(QLabel) if not widget.isHidden()]
        needed = sum(widget.sizeHint().width() for widget in parts) + _MARGINS
        for widget in droppable:
            if needed > self.width():
                widget.hide()
                needed -= widget.sizeHint().width()

    def _show_measured(self, state: State) -> None:
        measured = state.measured
        self._show_result(self.accuracy, measured.evaluation(state.recipe, state.data), headline, state)
        self._show_result(self.latency, measured.latency(state.recipe), latency_words, state)

    def _show_result(self, shown: QLabel, found: Of[T] | None, words: Callable[[T], str], state: State) -> None:
        shown.setText(words(found.value) if found else "")
        shown.setVisible(bool(shown.text()))
        restyle(shown, stale=found is not None and found.is_stale(state.recipe, state.data))

    def _show_check(self, state: State) -> None:
        if self._checked is None or self._checked[0].source is not state.source or not self._checked[1].outputs:
            self.check.hide()
            return
        worst = min(self._checked[1].outputs, key=lambda output: output.sqnr_db)
        self.check.show()
        self.check.setText("outputs equal" if worst.equal else f"SQNR {worst.sqnr_db:.0f} dB")
        restyle(self.check, stale=self._checked[0].recipe != state.recipe)

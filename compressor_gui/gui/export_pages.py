"""The pages of the export dialog: each a column above its buttons; the last shows what the check measured."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from compressor_gui.core.jobs import ExportCheck
from compressor_gui.gui.widgets import ElidedLabel, clear, label, paragraph

_MOST_OUTPUTS = 12


class Page(QWidget):
    """A page: what is put into ``column`` stands above the ``buttons``."""

    def __init__(self, buttons: Iterable[QPushButton], spacing: int = 12) -> None:
        super().__init__()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(spacing)
        self.column = QVBoxLayout()
        self.column.setSpacing(spacing)
        whole.addLayout(self.column, 1)
        row = QHBoxLayout()
        row.addStretch(1)
        for one in buttons:
            row.addWidget(one)
        whole.addLayout(row)


class ResultPage(Page):
    """What became of the export, and the outputs as they were measured."""

    def __init__(self, buttons: Iterable[QPushButton]) -> None:
        super().__init__(buttons)
        self.verdict = paragraph("", "good")
        self.column.addWidget(self.verdict)
        self._table = QGridLayout()
        self._table.setHorizontalSpacing(24)
        self._table.setVerticalSpacing(4)
        self._table.setColumnStretch(0, 1)
        self.column.addLayout(self._table)
        self.notes = paragraph("", "secondary")
        self.column.addWidget(self.notes)
        self.column.addStretch(1)

    def say(self, verdict: str, role: str) -> None:
        """Show the verdict in the colour of its role."""
        self.verdict.setText(verdict)
        self.verdict.setProperty("role", role)
        self.verdict.style().polish(self.verdict)

    def show_check(self, check: ExportCheck) -> None:
        """A row for each of the first outputs."""
        clear(self._table)
        right = Qt.AlignmentFlag.AlignRight
        for at, text in enumerate(("output", "SQNR", "same top class")):
            self._table.addWidget(label(text, "heading"), 0, at, right if at else Qt.AlignmentFlag.AlignLeft)
        for row, output in enumerate(check.outputs[:_MOST_OUTPUTS], 1):
            sqnr = "equal" if output.equal else "not finite" if not output.finite else f"{output.sqnr_db:.1f} dB"
            self._table.addWidget(ElidedLabel(output.name), row, 0)
            self._table.addWidget(label(sqnr), row, 1, right)
            self._table.addWidget(label(check.same_class(output) or "–"), row, 2, right)

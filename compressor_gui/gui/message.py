"""One line above the graph: what went wrong, or what was done."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from compressor_gui.core.errors import CompressorError
from compressor_gui.gui.widgets import paragraph, restyle

SHOWN_MS = 8000
"""How long a message that is no error stays."""


class MessageBar(QWidget):
    """Hidden until there is something to say."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(12, 8, 12, 4)
        self.frame = QFrame()
        self.frame.setObjectName("message")
        outer.addWidget(self.frame)
        row = QHBoxLayout(self.frame)
        row.setContentsMargins(12, 6, 4, 6)
        words = QVBoxLayout()
        words.setSpacing(2)
        self.what = paragraph("", "strong")
        self.what.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.more = paragraph("", "secondary")
        words.addWidget(self.what)
        words.addWidget(self.more)
        row.addLayout(words, 1)
        close = QToolButton()
        close.setText("✕")
        close.setToolTip("Close")
        close.setProperty("role", "flat")
        close.clicked.connect(self.hide)
        row.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        self.hide()

    def show_text(self, text: str) -> None:
        """Say what was done."""
        self._show("info", text, "")
        self._timer.start(SHOWN_MS)

    def show_error(self, error: CompressorError) -> None:
        """Say what is wrong, where, and what to do."""
        what = error.what[:1].upper() + error.what[1:]
        self._show("error", what, " · ".join(part for part in (error.where, error.hint) if part))

    def hide_error(self) -> None:
        """Hide an error that the next change made old."""
        if self.frame.property("kind") == "error":
            self.hide()

    def _show(self, kind: str, what: str, more: str) -> None:
        self._timer.stop()
        restyle(self.frame, kind=kind)
        self.what.setText(what)
        self.more.setText(more)
        self.more.setVisible(bool(more))
        self.show()

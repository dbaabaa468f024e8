"""What a panel shows while there is nothing to show."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from compressor_gui.gui.theme import MARGIN, UNIT
from compressor_gui.gui.widgets import label, paragraph


class EmptyPage(QWidget):
    """Says what would fill the panel, and (``offers_model``) offers what does; ``text`` may be said later."""

    open_requested = Signal()

    def __init__(self, heading: str, text: str = "", *, offers_model: bool = True, top: int = UNIT * 3) -> None:
        """``top``: pixels above the heading, as many as above that of the panel when it is full."""
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, top, MARGIN, MARGIN)
        column.addWidget(label(heading, "heading"))
        column.addStretch(1)
        self.text = paragraph(text, "secondary")
        self.text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column.addWidget(self.text)
        self.open_button = QPushButton("Open a model")
        self.open_button.setVisible(offers_model)
        self.open_button.clicked.connect(self.open_requested)
        column.addWidget(self.open_button, 0, Qt.AlignmentFlag.AlignCenter)
        column.addStretch(2)

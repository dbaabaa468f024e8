"""The page before a model is open: where to drop one, the samples, and the recent files."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtSvgWidgets import QSvgWidget
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.gui.samples import samples
from compressor_gui.gui.widgets import ElidedLabel, clear, label, paragraph, restyle


class Card(QFrame):
    """A model that can be opened with a click or Enter."""

    clicked = Signal()

    def __init__(self, title: str, text: str, detail: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(title)
        self.setFixedSize(228, 120)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(4)
        column.addWidget(label(title, "subtitle"))
        words = paragraph(text, "secondary")
        column.addWidget(words, 1, Qt.AlignmentFlag.AlignTop)
        column.addWidget(label(detail, "small"))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Open."""
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.clicked.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Open with Enter or Space."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.clicked.emit()
        else:
            super().keyPressEvent(event)


class WelcomePage(QWidget):
    """Says what the program opens, and offers it."""

    open_requested = Signal()
    path_chosen = Signal(Path)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("welcome")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        page = QVBoxLayout(self)
        page.setContentsMargins(32, 32, 32, 32)
        page.addStretch(2)
        middle = QVBoxLayout()
        middle.setSpacing(8)
        icon = QSvgWidget(str(files("resources").joinpath("icons", "compressor.svg")))
        icon.setFixedSize(56, 56)
        middle.addWidget(icon)
        middle.addSpacing(8)
        middle.addWidget(label("Make a network small, and see what it costs", "title"))
        middle.addWidget(
            label(
                "Open a frozen TensorFlow graph, drag pruning thresholds, quantize to 8 bits, compare, export.",
                "secondary",
            )
        )
        middle.addSpacing(16)
        middle.addWidget(self._drop_area())
        middle.addSpacing(16)
        self._samples_heading = label("Samples", "heading")
        middle.addWidget(self._samples_heading)
        row = QHBoxLayout()
        row.setSpacing(12)
        for sample in samples():
            card = Card(sample.title, sample.text, units.size(sample.path.stat().st_size))
            card.clicked.connect(lambda path=sample.path: self.path_chosen.emit(path))
            row.addWidget(card)
        row.addStretch(1)
        middle.addLayout(row)
        self._samples_heading.setVisible(row.count() > 1)
        middle.addSpacing(16)
        self._recent_heading = label("Recent", "heading")
        middle.addWidget(self._recent_heading)
        self._recent = QVBoxLayout()
        self._recent.setSpacing(0)
        middle.addLayout(self._recent)
        centre = QHBoxLayout()
        centre.addStretch(1)
        centre.addLayout(middle, 0)
        centre.addStretch(1)
        page.addLayout(centre)
        page.addStretch(3)
        self.set_recent([])

    def _drop_area(self) -> QFrame:
        self.drop_area = QFrame()
        self.drop_area.setObjectName("dropArea")
        self.drop_area.setFixedHeight(96)
        self.drop_area.setMinimumWidth(600)
        row = QHBoxLayout(self.drop_area)
        row.setContentsMargins(24, 16, 24, 16)
        words = QVBoxLayout()
        words.setSpacing(4)
        words.addStretch(1)
        words.addWidget(label("Drop a .pb or .pbtxt here", "subtitle"))
        words.addWidget(label("The file stays as it is; what you make is exported to another one.", "secondary"))
        words.addStretch(1)
        row.addLayout(words, 1)
        row.addSpacing(24)
        self.open_button = QPushButton("Open a model …")
        self.open_button.setProperty("role", "primary")
        self.open_button.setDefault(True)
        self.open_button.clicked.connect(self.open_requested)
        row.addWidget(self.open_button)
        return self.drop_area

    def set_drop_highlight(self, over: bool) -> None:
        """Show that a dragged file would be taken."""
        restyle(self.drop_area, over=over)

    def set_recent(self, paths: list[Path]) -> None:
        """List recent files (at most five)."""
        clear(self._recent)
        self._recent_heading.setVisible(bool(paths))
        for path in paths[:5]:
            line = QWidget()
            row = QHBoxLayout(line)
            row.setContentsMargins(0, 0, 0, 0)
            button = QPushButton(path.name)
            button.setProperty("role", "link")
            button.setCursor(Qt.CursorShape.PointingHandCursor)
            button.setToolTip(str(path))
            button.clicked.connect(lambda _checked=False, p=path: self.path_chosen.emit(p))
            folder = ElidedLabel(str(path.parent))
            folder.setProperty("role", "secondary")
            folder.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
            row.addWidget(button)
            row.addWidget(folder, 1)
            self._recent.addWidget(line)

"""What dialogs have in common: the column under their title, the buttons at their foot, and how a loss is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtWidgets import QDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from compressor_gui.gui.widgets import label, paragraph


def dialog_column(dialog: QDialog, title: str) -> QVBoxLayout:
    """The column that fills a dialog; ``title`` stands at its top."""
    column = QVBoxLayout(dialog)
    column.setContentsMargins(20, 20, 20, 20)
    column.setSpacing(12)
    column.addWidget(label(title, "subtitle"))
    return column


class Foot(QHBoxLayout):
    """The buttons at a dialog's foot: ``left`` ones, then that which closes it and that which accepts, the default."""

    def __init__(self, dialog: QDialog, accept: str, close: str = "Cancel", left: Iterable[QWidget] = ()) -> None:
        super().__init__()
        for widget in left:
            self.addWidget(widget)
        self.addStretch(1)
        self.close_button = QPushButton(close)
        self.close_button.setAutoDefault(False)
        self.close_button.clicked.connect(dialog.reject)
        self.accept_button = QPushButton(accept)
        self.accept_button.setDefault(True)
        self.accept_button.clicked.connect(dialog.accept)
        self.addWidget(self.close_button)
        self.addWidget(self.accept_button)


class Question(QDialog):
    """Asks before something is lost: Enter and Escape mean ``no``, only a click on ``yes`` accepts."""

    def __init__(self, title: str, heading: str, words: str, yes: str, no: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setFixedWidth(440)
        column = dialog_column(self, heading)
        self.words = paragraph(words, "secondary")
        column.addWidget(self.words)
        foot = Foot(self, yes, no)
        self.yes_button, self.no_button = foot.accept_button, foot.close_button
        self.yes_button.setDefault(False)
        self.yes_button.setAutoDefault(False)
        self.no_button.setDefault(True)
        column.addLayout(foot)

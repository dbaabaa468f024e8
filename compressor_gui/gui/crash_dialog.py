"""An error that nobody foresaw: said in words, its details offered, the work kept."""

from __future__ import annotations

import platform
import sys
import traceback
from types import TracebackType

from PySide6 import __version__ as pyside_version
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QPlainTextEdit, QPushButton, QWidget

from compressor_gui import __version__
from compressor_gui.gui.dialogs import dialog_column
from compressor_gui.gui.widgets import paragraph


def details(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> str:
    """What a report needs: versions and the traceback."""
    versions = f"Compressor {__version__}, Python {platform.python_version()}, PySide6 {pyside_version}, {sys.platform}"
    return versions + "\n\n" + "".join(traceback.format_exception(kind, error, trace))


class CrashDialog(QDialog):
    """Shows an unexpected exception; the program goes on."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Something went wrong")
        self.setMinimumSize(560, 0)
        column = dialog_column(self, "Something went wrong inside Compressor")
        words = paragraph(
            "Your model and your recipe are untouched, and you can go on. If it happens again, save the recipe "
            "(Ctrl+S) and start the program anew. The details help whoever mends it.",
            "secondary",
        )
        column.addWidget(words)
        self.text = QPlainTextEdit(text)
        self.text.setReadOnly(True)
        self.text.setMinimumHeight(220)
        self.text.hide()
        column.addWidget(self.text, 1)
        row = QHBoxLayout()
        self.show_button = QPushButton("Show details")
        self.show_button.clicked.connect(self._show_details)
        self.copy_button = QPushButton("Copy details")
        self.copy_button.clicked.connect(lambda: QGuiApplication.clipboard().setText(text))
        go_on = QPushButton("Go on")
        go_on.setDefault(True)
        go_on.clicked.connect(self.accept)
        row.addWidget(self.show_button)
        row.addWidget(self.copy_button)
        row.addStretch(1)
        row.addWidget(go_on)
        column.addLayout(row)

    def _show_details(self) -> None:
        self.text.setVisible(not self.text.isVisible())
        self.show_button.setText("Hide details" if self.text.isVisible() else "Show details")
        self.adjustSize()

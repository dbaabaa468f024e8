"""A table of words and numbers: the first column is text, the others are numbers at the right."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

_ROW = 26


class WordsTable(QTableWidget):
    """Without grid, as high as its rows; nothing in it is edited."""

    def __init__(self, columns: int, name: str, *, rows_seen: int = 9) -> None:
        """``name`` is told to screen readers; more rows than are seen at once scroll."""
        super().__init__(0, columns)
        self._seen = rows_seen
        self.setObjectName("wordsTable")
        self.setAccessibleName(name)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setSectionsClickable(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def show_heads(self, heads: Sequence[str], rows: int) -> None:
        """Name the columns, and make room for so many rows."""
        for column, text in enumerate(heads):
            head = QTableWidgetItem(text)
            head.setTextAlignment(_side(column))
            self.setHorizontalHeaderItem(column, head)
        self.setRowCount(rows)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + _ROW * min(rows, self._seen) + 4)

    def fill(self, row: int, words: Sequence[str], tip: str = "") -> list[QTableWidgetItem]:
        """Write a row; its items, to be changed further."""
        items = [QTableWidgetItem(text) for text in words]
        for column, item in enumerate(items):
            item.setTextAlignment(_side(column))
            item.setToolTip(tip)
            self.setItem(row, column, item)
        return items


def _side(column: int) -> Qt.AlignmentFlag:
    return (Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft) | Qt.AlignmentFlag.AlignVCenter

"""The classes of a folder of pictures: how many pictures each has for each part, and how many were right at last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from compressor_gui.core.transfer import FEW, ClassFolder, Transferred
from compressor_gui.gui.theme import Theme

_ROW = 26
_MOST = 9
"""Rows that are seen at once; more scroll."""
_HEADS = ("class", "pictures", "train", "validate", "test")


class ClassesTable(QTableWidget):
    """One row a class, few pictures in the colour of warnings."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(0, len(_HEADS))
        self._theme = theme
        self.setObjectName("classesTable")
        self.setAccessibleName("The classes of the folder")
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setSectionsClickable(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def show_classes(self, classes: Sequence[ClassFolder], found: Transferred | None) -> None:
        """Show them; ``found``: the test's pictures that came out right stand beside how many there are."""
        wrong = Counter(own for _, own, _ in found.misclassified) if found is not None else None
        heads = (*_HEADS[:-1], "right in the test" if wrong is not None else _HEADS[-1])
        for column, text in enumerate(heads):
            head = QTableWidgetItem(text)
            if not column:
                head.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
            self.setHorizontalHeaderItem(column, head)
        self.setRowCount(len(classes))
        for row, one in enumerate(classes):
            numbers = [f"{number:,}" if number else "–" for number in (one.count, one.train, one.validation, one.test)]
            if wrong is not None and one.test:
                numbers[-1] = f"{one.test - wrong[one.name]:,} of {one.test:,}"
            tip = _mistakes(one, found)
            for column, text in enumerate((one.name, *numbers)):
                item = QTableWidgetItem(text)
                side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
                item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
                item.setToolTip(tip)
                if column == 1 and one.count < FEW:
                    item.setForeground(self._theme.color("warning"))
                self.setItem(row, column, item)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + _ROW * min(len(classes), _MOST) + 4)


def _mistakes(one: ClassFolder, found: Transferred | None) -> str:
    """The test's pictures of a class that came out wrong, a line each."""
    if found is None:
        return f"fewer than {FEW} pictures" if one.count < FEW else ""
    wrong = [f"{source}: taken for {other}" for source, own, other in found.misclassified if own == one.name]
    return "\n".join(wrong[:20])

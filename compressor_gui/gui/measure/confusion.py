"""A small heat map of which classes are taken for which."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from compressor_gui.gui.measure.examples import class_name
from compressor_gui.gui.theme import MARGIN, SMALL, Theme, font

_AXIS = 44
"""Pixels for the classes' names on the left."""
_BELOW = 34
"""Pixels below for the classes' names, and for what the sides mean."""
_LABELLED = 20
"""More classes than these have no names beside the map, only in the tooltips."""

SIDES = "rows: true class · columns: taken for"


class Confusion(QWidget):
    """Rows are the true classes, columns what they are taken for; the shade is the logarithm of how often."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._rows: Sequence[Sequence[int]] = ()
        self._classes: Sequence[str] = ()
        self._pale = False
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        theme.changed.connect(self.update)

    def show_counts(self, rows: Sequence[Sequence[int]], classes: Sequence[str], pale: bool) -> None:
        """Show these counts, or nothing where there are none; ``pale`` where they belong to another recipe."""
        self._rows, self._classes, self._pale = rows, classes, pale
        self.setVisible(bool(rows))
        self.updateGeometry()
        self.update()

    def hasHeightForWidth(self) -> bool:
        """The map is square."""
        return True

    def heightForWidth(self, width: int) -> int:
        """As high as the map is wide, and two lines for words."""
        return min(max(width - 2 * MARGIN - _AXIS, 60), 200) + _BELOW

    def sizeHint(self) -> QSize:
        """As in the panel."""
        return QSize(280, self.heightForWidth(self.width() or 280))

    def _map(self) -> QRectF:
        side = min(self.height() - _BELOW, self.width() - 2 * MARGIN - _AXIS)
        return QRectF(MARGIN + _AXIS, 0, side, side)

    def _at(self, point: QPoint) -> tuple[int, int] | None:
        box, size = self._map(), len(self._rows)
        column = math.floor((point.x() - box.left()) / box.width() * size)
        row = math.floor((point.y() - box.top()) / box.height() * size)
        return (row, column) if 0 <= row < size and 0 <= column < size else None

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the cells, their counts where they fit, and the names."""
        size = len(self._rows)
        if not size:
            return
        painter = QPainter(self)
        painter.setOpacity(0.45 if self._pale else 1.0)
        painter.setFont(font(SMALL - 1))
        box = self._map()
        step = box.width() / size
        most = max(max(row) for row in self._rows) or 1
        for r, row in enumerate(self._rows):
            for c, count in enumerate(row):
                shade = math.log1p(count) / math.log1p(most)
                cell = QRectF(box.left() + c * step, box.top() + r * step, step, step)
                painter.fillRect(cell.adjusted(0.5, 0.5, -0.5, -0.5), self._theme.ramp(shade))
                if count and step >= 19:
                    painter.setPen(self._readable(self._theme.ramp(shade)))
                    painter.drawText(
                        cell, Qt.AlignmentFlag.AlignCenter, str(count) if count < 1000 else f"{count // 1000}k"
                    )
        painter.setPen(self._theme.color("text_secondary"))
        if size <= _LABELLED:
            for r in range(size):
                name = class_name(r, self._classes)
                left = QRect(MARGIN, round(box.top() + r * step), _AXIS - 6, round(step))
                short = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, left.width())
                painter.drawText(left, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, short)
                below = QRectF(box.left() + r * step, box.bottom() + 2, step, 14)
                short = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, round(step))
                painter.drawText(below, Qt.AlignmentFlag.AlignCenter, short)
        words = QRectF(MARGIN, box.bottom() + 17, self.width() - 2 * MARGIN, 16)
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, SIDES)
        painter.end()

    def _readable(self, ground: QColor) -> QColor:
        """The theme's text or panel colour, whichever stands out."""
        both = self._theme.color("text"), self._theme.color("panel")
        return max(both, key=lambda color: abs(color.lightness() - ground.lightness()))

    def event(self, event: QEvent) -> bool:
        """The tooltip says a cell in words."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent) and self._rows:
            found = self._at(event.pos())
            if found is not None:
                true, taken = (class_name(index, self._classes) for index in found)
                words = f"{self._rows[found[0]][found[1]]:,} of {sum(self._rows[found[0]]):,} of class {true}"
                QToolTip.showText(event.globalPos(), f"{words} are taken for {taken}", self)
                return True
        return super().event(event)

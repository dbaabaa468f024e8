"""Pictures of examples as the network sees them, with their classes below."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPoint, QRect, QSize, Qt
from PySide6.QtGui import QHelpEvent, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from compressor_gui.core.measure import PreviewItem
from compressor_gui.gui.theme import SMALL, UNIT, Theme, font


def pixmap(png: str) -> QPixmap:
    """A picture from PNG in base64; null where it is none."""
    out = QPixmap()
    out.loadFromData(base64.b64decode(png))
    return out


def paint_picture(painter: QPainter, box: QRect, picture: QPixmap) -> None:
    """Paint a picture as large as the box allows; small ones keep their pixels."""
    if picture.isNull():
        return
    enlarged = picture.width() < box.width()
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, not enlarged)
    size = picture.size().scaled(box.size(), Qt.AspectRatioMode.KeepAspectRatio)
    place = QRect(QPoint(0, 0), size)
    place.moveCenter(box.center())
    painter.drawPixmap(place, picture)


def class_name(label: int, classes: Sequence[str]) -> str:
    """A class's name, or its number; empty where there is none."""
    return "" if label < 0 else classes[label] if label < len(classes) else str(label)


class Examples(QWidget):
    """Tiles in rows; as many in a row as there is room for."""

    CAPTION = 16

    def __init__(self, theme: Theme, side: int, rows: int = 0) -> None:
        """``side`` is a tile's in pixels; ``rows`` is how many rows are shown at most, 0 all."""
        super().__init__()
        self._theme, self._side, self._rows = theme, side, rows
        self._tiles: list[tuple[QPixmap, str, str]] = []
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        theme.changed.connect(self.update)

    def show_items(self, items: Sequence[PreviewItem], classes: Sequence[str]) -> None:
        """Show these examples."""
        self._tiles = [(pixmap(item.png), class_name(item.label, classes), item.source) for item in items]
        self.setAccessibleDescription(", ".join(caption for _, caption, _ in self._tiles))
        self.updateGeometry()
        self.update()

    @property
    def captions(self) -> list[str]:
        """The classes that stand below the pictures."""
        return [caption for _, caption, _ in self._tiles]

    @property
    def _step(self) -> QSize:
        captioned = any(caption for _, caption, _ in self._tiles)
        return QSize(self._side + UNIT * 2, self._side + (self.CAPTION if captioned else 0) + UNIT * 2)

    def _in_a_row(self, width: int) -> int:
        return max(1, (width + UNIT * 2) // self._step.width())

    def heightForWidth(self, width: int) -> int:
        """The height of all rows."""
        rows = -(-len(self._tiles) // self._in_a_row(width))
        return self._step.height() * (min(rows, self._rows) if self._rows else rows)

    def sizeHint(self) -> QSize:
        """Four tiles' width."""
        width = 4 * self._step.width()
        return QSize(width, self.heightForWidth(max(width, self.width())))

    def _place(self, index: int) -> QRect:
        across = self._in_a_row(self.width())
        step = self._step
        return QRect(index % across * step.width(), index // across * step.height(), self._side, self._side)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the tiles."""
        painter = QPainter(self)
        painter.setFont(font(SMALL))
        for index, (picture, caption, _) in enumerate(self._tiles):
            box = self._place(index)
            if box.bottom() > self.height():
                break
            painter.fillRect(box, self._theme.color("window"))
            paint_picture(painter, box, picture)
            below = QRect(box.left(), box.bottom() + 2, box.width(), self.CAPTION)
            painter.setPen(self._theme.color("text_secondary"))
            text = painter.fontMetrics().elidedText(caption, Qt.TextElideMode.ElideRight, below.width())
            painter.drawText(below, Qt.AlignmentFlag.AlignCenter, text)
        painter.end()

    def event(self, event: QEvent) -> bool:
        """The tooltip says where an example comes from."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            for index, (_, caption, source) in enumerate(self._tiles):
                if self._place(index).contains(event.pos()):
                    QToolTip.showText(event.globalPos(), f"{source}\n{caption}".strip(), self)
                    return True
        return super().event(event)

"""What the colours and badges mean, at the bottom of a canvas."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFont, QLinearGradient, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from compressor_gui.gui.canvas.painter import SIGNS, draw_badge
from compressor_gui.gui.theme import RADIUS, SMALL, Theme, font

HEIGHT = 24
_WORDS = ("added", "removed", "changed")
_RAMP_WIDTH = 96.0


class Legend(QWidget):
    """Badges with their words, and the sequential map with the numbers at its ends, where either is in use."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._theme = theme
        self._changes = False
        self._ramp = ("", "", "")
        self.hide()
        theme.changed.connect(self.update)

    def show_what(self, *, changes: bool, ramp: tuple[str, str, str] = ("", "", "")) -> None:
        """``ramp``: what it measures, and its lowest and highest value."""
        if (changes, ramp) != (self._changes, self._ramp):
            self._changes, self._ramp = changes, ramp
            self.update()
        self.resize(16 + (224 if changes else 0) + (300 if ramp[0] else 0), HEIGHT)
        self.setVisible(changes or bool(ramp[0]))

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color("graph_canvas", 0.85))
        painter.drawRoundedRect(self.rect(), RADIUS, RADIUS)
        paint_legend(painter, self._theme, QPointF(8, 0), self._changes, self._ramp)
        painter.end()


def paint_legend(
    painter: QPainter, theme: Theme, at: QPointF, changes: bool, ramp: tuple[str, str, str] = ("", "", "")
) -> None:
    """Paint a legend whose top left corner is ``at``; the exported picture has the same one."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setFont(font(SMALL))
    x, middle = at.x(), at.y() + HEIGHT / 2
    text_at = middle + painter.fontMetrics().ascent() / 2 - 1
    if ramp[0]:
        for text in (ramp[0], ramp[1]):
            painter.setPen(theme.color("text_secondary"))
            painter.drawText(QPointF(x, text_at), text)
            x += painter.fontMetrics().horizontalAdvance(text) + 8
        shade = QLinearGradient(x, 0, x + _RAMP_WIDTH, 0)
        for step in range(11):
            shade.setColorAt(step / 10, theme.ramp(step / 10))
        painter.setPen(theme.color("hairline"))
        painter.setBrush(shade)
        painter.drawRoundedRect(QRectF(x, middle - 5, _RAMP_WIDTH, 10), 2, 2)
        x += _RAMP_WIDTH + 8
        painter.setPen(theme.color("text_secondary"))
        painter.drawText(QPointF(x, text_at), ramp[2])
        x += painter.fontMetrics().horizontalAdvance(ramp[2]) + 24
    if changes:
        for mark, word in zip(SIGNS, _WORDS, strict=True):
            draw_badge(painter, theme, QPointF(x + 6, middle), mark, 6)
            painter.setFont(font(SMALL, QFont.Weight.Normal))
            painter.setPen(theme.color("text_secondary"))
            painter.drawText(QPointF(x + 17, text_at), word)
            x += 17 + painter.fontMetrics().horizontalAdvance(word) + 16

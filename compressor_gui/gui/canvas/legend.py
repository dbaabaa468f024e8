"""What the colours and badges mean, at the bottom of a canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFont, QLinearGradient, QPainter, QPaintEvent, QPicture
from PySide6.QtWidgets import QWidget

from compressor_gui.gui.canvas.painter import PALE, SIGNS, Look, Ramp, draw_badge
from compressor_gui.gui.canvas.picture import Picture
from compressor_gui.gui.theme import SMALL, Theme, font

HEIGHT = 24
_WORDS = ("added", "removed", "changed")
_STORED = "stored in 8 bits"
_RAMP_WIDTH = 96.0


@dataclass(frozen=True)
class Key:
    """What there is to explain: the badges of changes, the bar of weights stored in 8 bits, and a sequential map,
    ``pale`` as the boxes are."""

    changes: bool = False
    stored: bool = False
    ramp: Ramp = field(default_factory=Ramp)
    pale: bool = False


def key_of(pictures: Sequence[Picture], looks: Sequence[Look]) -> Key:
    """What pictures have that needs a word."""
    stored = any(box.stored for picture in pictures for box in picture.folded.boxes)
    look = looks[-1] if looks else Look()
    return Key(any(bool(picture.marks.any()) for picture in pictures), stored, look.ramp, look.pale)


class Legend(QWidget):
    """Badges with their words, and the sequential map with the numbers at its ends, where either is in use.

    ``shown`` is what it explains.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(HEIGHT + 4)
        self._theme = theme
        self.shown = Key()
        self.hide()
        theme.changed.connect(self.update)

    def show_what(self, shown: Key) -> None:
        """Explain what is in use; hidden where nothing is."""
        self.shown = shown
        self.setVisible(shown != Key())
        words = [f"{sign} {word}" for sign, word in zip("+−•", _WORDS, strict=True) if shown.changes]
        self.setToolTip("\n".join([*words, *([f"▌ {_STORED}"] if shown.stored else [])]))
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint it; the words of the badges only where they fit."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self._theme.color("graph_canvas"))
        trial = QPicture()
        measured = QPainter(trial)
        width = paint_legend(measured, self._theme, QPointF(16, 0), self.shown)
        measured.end()
        paint_legend(painter, self._theme, QPointF(16, 0), self.shown, words=width <= self.width() - 32)
        painter.end()


def paint_legend(painter: QPainter, theme: Theme, at: QPointF, shown: Key, *, words: bool = True) -> float:
    """Paint a legend whose top left corner is ``at``, without ``words`` a short one, and return its width; the exported
    picture has the same."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setFont(font(SMALL))
    x, middle = at.x(), at.y() + HEIGHT / 2
    text_at = middle + painter.fontMetrics().ascent() / 2 - 1
    ramp = shown.ramp
    for text in filter(None, (ramp.what, ramp.low)):
        painter.setPen(theme.color("text_secondary"))
        painter.drawText(QPointF(x, text_at), text)
        x += painter.fontMetrics().horizontalAdvance(text) + 8
    if ramp.low:
        painter.setOpacity(1 - PALE if shown.pale else 1.0)
        shade = QLinearGradient(x, 0, x + _RAMP_WIDTH, 0)
        for step in range(11):
            shade.setColorAt(step / 10, theme.ramp(step / 10))
        painter.setPen(theme.color("hairline"))
        painter.setBrush(shade)
        painter.drawRoundedRect(QRectF(x, middle - 5, _RAMP_WIDTH, 10), 2, 2)
        painter.setOpacity(1.0)
        x += _RAMP_WIDTH + 8
        painter.setPen(theme.color("text_secondary"))
        painter.drawText(QPointF(x, text_at), ramp.high)
        x += painter.fontMetrics().horizontalAdvance(ramp.high)
    x += 24 if ramp.what else 0
    marks: list[tuple[int, str]] = list(zip(SIGNS, _WORDS, strict=True)) if shown.changes else []
    for mark, word in [*marks, *([(0, _STORED)] if shown.stored else [])]:
        if mark:
            draw_badge(painter, theme, QPointF(x + 6, middle), mark, 6)
        else:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("region_8bit_line"))
            painter.drawRoundedRect(QRectF(x + 5, middle - 6, 3, 12), 1.5, 1.5)
        x += 17
        if words:
            painter.setFont(font(SMALL, QFont.Weight.Normal))
            painter.setPen(theme.color("text_secondary"))
            painter.drawText(QPointF(x, text_at), word)
            x += painter.fontMetrics().horizontalAdvance(word) + 16
    return x - at.x()

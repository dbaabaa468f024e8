"""The four steps at the top: which is done, which is under way, and the way back by a click."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QSizePolicy, QWidget

from compressor_gui.gui.theme import BODY, SMALL, Theme, font

_SIDE = 24
"""A circle's diameter."""


def paint_check(painter: QPainter, centre: QPointF, size: float) -> None:
    """A check mark with the painter's pen."""
    painter.drawPolyline([centre + QPointF(x * size, y * size) for x, y in ((-0.5, 0.02), (-0.12, 0.4), (0.5, -0.36))])


class _Step(QAbstractButton):
    """A circle with a number, or a check mark once it is done, and its title."""

    def __init__(self, number: int, title: str, theme: Theme) -> None:
        super().__init__()
        self.number, self.done, self.current = number, False, False
        self._theme = theme
        self.setText(title)
        self.setAccessibleName(f"Step {number}: {title}")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """The circle and the title."""
        metrics = QFontMetrics(font(BODY, QFont.Weight.DemiBold))
        return QSize(_SIDE + 10 + metrics.horizontalAdvance(self.text()) + 8, _SIDE + 8)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint both."""
        theme, painter = self._theme, QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        circle = QRectF(2.5, (self.height() - _SIDE) / 2 + 0.5, _SIDE - 1, _SIDE - 1)
        strong = self.done or self.current
        accent = theme.color("accent_and_threshold")
        painter.setPen(QPen(accent if strong else theme.color("text_disabled_and_edges"), 1.2))
        painter.setBrush(accent if self.current else theme.color("accent_soft" if self.done else "panel"))
        painter.drawEllipse(circle)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.color("accent_and_threshold", 0.4), 3))
            painter.drawEllipse(circle.adjusted(-1, -1, 1, 1))
        if self.done and not self.current:
            painter.setPen(QPen(accent, 1.8, c=Qt.PenCapStyle.RoundCap, j=Qt.PenJoinStyle.RoundJoin))
            paint_check(painter, circle.center(), 9)
        else:
            painter.setFont(font(SMALL, QFont.Weight.DemiBold))
            painter.setPen(theme.color("on_accent" if self.current else "text_secondary"))
            painter.drawText(circle, Qt.AlignmentFlag.AlignCenter, str(self.number))
        painter.setFont(font(BODY, QFont.Weight.DemiBold if self.current else QFont.Weight.Normal))
        painter.setPen(theme.color("text" if strong else "text_secondary"))
        words = self.rect().adjusted(_SIDE + 10, 0, 0, 0)
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, self.text())
        painter.end()


class _Line(QWidget):
    """What connects two steps."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.done = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Some way, as high as a step."""
        return QSize(48, _SIDE + 8)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """A thin line."""
        painter = QPainter(self)
        painter.setPen(QPen(self._theme.color("accent_and_threshold" if self.done else "hairline"), 1.5))
        middle = self.height() / 2
        painter.drawLine(QPointF(6, middle), QPointF(self.width() - 6, middle))
        painter.end()


class StepHeader(QWidget):
    """The steps; ``wanted(index)``: an earlier one was clicked."""

    wanted = Signal(int)

    def __init__(self, titles: tuple[str, ...], theme: Theme) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        self.steps: list[_Step] = []
        self._lines: list[_Line] = []
        for index, title in enumerate(titles):
            if index:
                self._lines.append(_Line(theme))
                row.addWidget(self._lines[-1], 1)
            step = _Step(index + 1, title, theme)
            step.clicked.connect(lambda _checked=False, at=index: self.wanted.emit(at))
            self.steps.append(step)
            row.addWidget(step)
        theme.changed.connect(self.update)

    def show_step(self, current: int) -> None:
        """Say which step is under way; those before it are done."""
        for index, step in enumerate(self.steps):
            step.done, step.current = index < current, index == current
            step.setEnabled(index <= current)
            step.setCursor(Qt.CursorShape.PointingHandCursor if step.done else Qt.CursorShape.ArrowCursor)
            step.setFocusPolicy(Qt.FocusPolicy.TabFocus if step.done else Qt.FocusPolicy.NoFocus)
            step.update()
        for index, line in enumerate(self._lines):
            line.done = index < current
            line.update()

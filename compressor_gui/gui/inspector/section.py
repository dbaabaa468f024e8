"""The inspector's building blocks: sections that fold away, and tables of facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QAbstractButton,
    QHBoxLayout,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from compressor_gui.gui.theme import BODY, MARGIN, SMALL, UNIT, Theme, font
from compressor_gui.gui.widgets import scroll_area


def sections_area(sections: Iterable[Section]) -> QScrollArea:
    """Sections below each other, to scroll through."""
    page = QWidget()
    column = QVBoxLayout(page)
    column.setContentsMargins(0, UNIT, 0, UNIT * 2)
    column.setSpacing(0)
    for section in sections:
        column.addWidget(section)
    column.addStretch(1)
    return scroll_area(page)


class _Head(QAbstractButton):
    """A section's title; a click folds the section."""

    def __init__(self, title: str, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setText(title)
        self.setAccessibleName(title)
        self.setCheckable(True)
        self.setChecked(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def _font(self) -> QFont:
        out = font(SMALL, QFont.Weight.DemiBold)
        out.setLetterSpacing(QFont.SpacingType.AbsoluteSpacing, 0.8)
        return out

    def sizeHint(self) -> QSize:
        """The title's room."""
        return QSize(120, 28)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """A chevron and the title in capitals."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color = self._theme.color("text" if self.underMouse() or self.hasFocus() else "text_secondary")
        painter.setPen(QPen(color, 1.5, c=Qt.PenCapStyle.RoundCap))
        x, y = 3.5, self.height() / 2
        ends = [(-3, -1.5), (0, 1.5), (3, -1.5)] if self.isChecked() else [(-1.5, -3), (1.5, 0), (-1.5, 3)]
        painter.drawPolyline([QPointF(x + dx, y + dy) for dx, dy in ends])
        painter.setFont(self._font())
        painter.drawText(self.rect().adjusted(14, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self.text().upper())
        painter.end()


class Section(QWidget):
    """A titled part of the inspector. ``opened`` is emitted when it is unfolded: time to fill it."""

    opened = Signal()

    def __init__(self, title: str, theme: Theme, body: QWidget, *, is_open: bool = True) -> None:
        super().__init__()
        self.setObjectName("section")
        self.body = body
        self.head = _Head(title, theme)
        self._tools = QHBoxLayout()
        self._tools.setSpacing(0)
        row = QHBoxLayout()
        row.setContentsMargins(MARGIN, 0, MARGIN - UNIT, 0)
        row.setSpacing(UNIT)
        row.addWidget(self.head, 1)
        row.addLayout(self._tools)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, UNIT, 0, 0)
        column.setSpacing(0)
        column.addLayout(row)
        column.addWidget(body)
        self.head.toggled.connect(self._fold)
        self.head.setChecked(is_open)
        self._fold(is_open)

    @property
    def is_open(self) -> bool:
        """Whether its body can be seen."""
        return self.head.isChecked()

    def add_tool(self, widget: QWidget) -> None:
        """Put a widget at the right of the title; it is hidden with the body."""
        self._tools.addWidget(widget)
        widget.setVisible(self.is_open)

    def _fold(self, is_open: bool) -> None:
        self.body.setVisible(is_open)
        for index in range(self._tools.count()):
            item = self._tools.itemAt(index)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.setVisible(is_open)
        if is_open:
            self.opened.emit()


def toggle(text: str, tip: str, *, on: bool = False) -> QToolButton:
    """A small switch in a section's title."""
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setCheckable(True)
    button.setChecked(on)
    button.setProperty("role", "flat")
    button.setObjectName("plotToggle")
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


@dataclass(frozen=True)
class Fact:
    """One line: what, how much, the whole of it in the tooltip, and whether the number is only an estimate."""

    key: str
    value: str
    tip: str = ""
    estimated: bool = False
    color: str = ""
    """A theme token for the value, where it is not the text's."""


class Facts(QWidget):
    """Lines with a key on the left and a value on the right; what has no room loses its middle."""

    HEIGHT = 21

    def __init__(self, theme: Theme, *, quiet_values: bool = False) -> None:
        super().__init__()
        self._theme = theme
        self._quiet_values = quiet_values
        self.inset = MARGIN
        """Pixels left and right of the lines."""
        self._facts: tuple[Fact, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What is shown."""
        return self._facts

    def show_facts(self, facts: Iterable[Fact]) -> None:
        """Show these lines."""
        facts = tuple(facts)
        if facts == self._facts:
            return
        if len(facts) != len(self._facts):
            self.updateGeometry()
        self._facts = facts
        self.setAccessibleDescription("; ".join(f"{fact.key} {fact.value}" for fact in facts))
        self.update()

    def sizeHint(self) -> QSize:
        """All lines."""
        return QSize(280, self.HEIGHT * len(self._facts))

    def minimumSizeHint(self) -> QSize:
        """All lines, however narrow."""
        return QSize(120, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the lines."""
        painter = QPainter(self)
        painter.setFont(font(BODY))
        metrics = painter.fontMetrics()
        for index, fact in enumerate(self._facts):
            line = QRect(self.inset, index * self.HEIGHT, self.width() - 2 * self.inset, self.HEIGHT)
            key_room = max(line.width() * 2 // 5, line.width() - metrics.horizontalAdvance(fact.value) - 12)
            key = metrics.elidedText(fact.key, Qt.TextElideMode.ElideMiddle, key_room)
            painter.setPen(self._theme.color("text" if self._quiet_values else "text_secondary"))
            painter.drawText(line, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, key)
            room = line.width() - metrics.horizontalAdvance(key) - 12
            painter.setPen(self._value_color(fact))
            value = metrics.elidedText(fact.value, Qt.TextElideMode.ElideMiddle, room)
            painter.drawText(line, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, value)
        painter.end()

    def _value_color(self, fact: Fact) -> QColor:
        quiet = fact.estimated or self._quiet_values
        return self._theme.color(fact.color or ("text_secondary" if quiet else "text"))

    def event(self, event: QEvent) -> bool:
        """Each line has a tooltip of its own."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            index = event.pos().y() // self.HEIGHT
            if 0 <= index < len(self._facts):
                fact = self._facts[index]
                QToolTip.showText(event.globalPos(), fact.tip or f"{fact.key}: {fact.value}", self)
                return True
        return super().event(event)

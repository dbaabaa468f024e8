"""Small widgets that several panels share."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QLayout, QPushButton, QScrollArea, QWidget


def label(text: str = "", role: str = "", parent: QWidget | None = None) -> QLabel:
    """A label in one of the style sheet's roles: heading, secondary, small, title, subtitle, strong, error, good."""
    out = QLabel(text.upper() if role == "heading" else text, parent)
    out.setProperty("role", role)
    out.setTextFormat(Qt.TextFormat.PlainText)
    return out


def paragraph(text: str = "", role: str = "", parent: QWidget | None = None) -> QLabel:
    """A label of as many lines as the text takes."""
    out = label(text, role, parent)
    out.setWordWrap(True)
    return out


def sentence(text: str) -> str:
    """What core or engine say, with a capital and a full stop; nothing stays nothing."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


def button(text: str, run: Callable[[], object], tip: str = "", *, enter: bool = False) -> QPushButton:
    """A button that runs something; in a dialog Enter presses it only while it is the default, or, with ``enter``,
    while it has the focus."""
    out = QPushButton(text)
    out.setAutoDefault(enter)
    out.setToolTip(tip)
    out.clicked.connect(lambda _checked=False: run())
    return out


def scroll_area(page: QWidget) -> QScrollArea:
    """``page`` where it may be higher than there is room: it scrolls up and down, and is as wide as there is room."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(page)
    return area


def restyle(widget: QWidget, **properties: object) -> None:
    """Set dynamic properties and let the style sheet look at them again, where they changed."""
    changed = [key for key, value in properties.items() if widget.property(key) != value]
    for key in changed:
        widget.setProperty(key, properties[key])
    if changed:
        widget.style().unpolish(widget)
        widget.style().polish(widget)


def clear(layout: QLayout) -> None:
    """Take every widget out of a layout and delete it."""
    while (item := layout.takeAt(0)) is not None:
        if widget := item.widget():
            widget.hide()
            widget.deleteLater()


class ElidedLabel(QLabel):
    """A label that leaves out its middle where there is no room; the tooltip has the whole text."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._whole = ""
        self.setMinimumWidth(24)
        self.set_whole(text)

    def set_whole(self, text: str) -> None:
        """Set the text."""
        if text != self._whole:
            self._whole = text
            self.setToolTip(text)
            self.setAccessibleName(text)
            self.updateGeometry()
            self.update()

    def text(self) -> str:
        """The whole text."""
        return self._whole

    def sizeHint(self) -> QSize:
        """The room that the whole text takes."""
        metrics = QFontMetrics(self.font())
        return QSize(metrics.horizontalAdvance(self._whole) + 4, metrics.height() + 4)

    def minimumSizeHint(self) -> QSize:
        """A few characters' room."""
        return QSize(24, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw as much as fits."""
        painter = QPainter(self)
        text = painter.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideMiddle, self.width())
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(self.rect(), int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), text)
        painter.end()

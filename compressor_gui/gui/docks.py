"""Panels that dock: a thin grip instead of a title bar, because every panel has a heading of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QDockWidget, QWidget

from compressor_gui.gui.theme import Theme

Panel = TypeVar("Panel", bound=QWidget)


class Grip(QWidget):
    """The strip by which a panel is dragged; a double click lets it float."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("dockGrip")
        self.theme = theme
        self.setToolTip("Drag to move this panel; double-click to let it float")
        self.setCursor(Qt.CursorShape.SizeAllCursor)
        theme.changed.connect(self.update)

    def sizeHint(self) -> QSize:
        """Eight pixels high."""
        return QSize(24, 8)

    def minimumSizeHint(self) -> QSize:
        """The same."""
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Three dots, while the mouse is over it."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.theme.color("panel"))
        if self.underMouse():
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self.theme.color("text_disabled_and_edges"))
            for at in (-8, 0, 8):
                painter.drawEllipse(QPointF(self.rect().center()) + QPointF(at, 1), 1.5, 1.5)
        painter.end()

    def enterEvent(self, event: object) -> None:
        """Show the dots."""
        self.update()

    def leaveEvent(self, event: object) -> None:
        """Hide them."""
        self.update()


def dock(name: str, title: str, panel: QWidget, theme: Theme, owner: QWidget) -> QDockWidget:
    """A dock for ``panel``; ``name`` is what its place is remembered by, ``title`` stands in the View menu."""
    out = QDockWidget(title, owner)
    out.setObjectName(name)
    out.setWidget(panel)
    out.setTitleBarWidget(Grip(theme, out))
    return out


class LatePanel(Generic[Panel]):
    """A panel that is made, and put into its dock, when it is first wanted."""

    def __init__(self, holder: QDockWidget, make: Callable[[], Panel]) -> None:
        self._holder, self._make = holder, make
        self._made: Panel | None = None

    @property
    def panel(self) -> Panel:
        """The panel."""
        if self._made is None:
            self._made = self._make()
            self._holder.widget().deleteLater()
            self._holder.setWidget(self._made)
        return self._made

    def make_when_seen(self) -> None:
        """Make it as soon as the dock is visible."""
        self._holder.visibilityChanged.connect(lambda seen: self.panel if seen else None)

    def bring_to_front(self) -> Panel:
        """Show the dock in front of others."""
        self._holder.show()
        self._holder.raise_()
        return self.panel

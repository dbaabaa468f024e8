"""A plot in the program's colours: no frame, no menu, no mouse zoom; only what its owner draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QPen
from PySide6.QtWidgets import QFrame, QWidget

from compressor_gui.gui.theme import SMALL, Theme, font

pg.setConfigOptions(antialias=True, mouseRateLimit=-1)  # Qt joins moves that come too fast; none is to be dropped


class Plot(pg.PlotWidget):  # type: ignore[misc]  # pyqtgraph has no types
    """A plot with an axis at the bottom. ``clicked(x, y)`` and ``hovered(x, y)`` are in the plot's coordinates.

    ``key_pressed(event)`` accepts the keys that it uses; ``key_released()`` follows.
    """

    clicked = Signal(float, float)
    hovered = Signal(float, float)
    left = Signal()
    key_pressed = Signal(object)
    key_released = Signal()
    _view: tuple[tuple[float, float], tuple[float, float], tuple[int, int]] = ((0, 1), (0, 1), (0, 0))

    def __init__(self, theme: Theme, height: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self.setFixedHeight(height)
        self.setFrameShape(QFrame.Shape.NoFrame)
        item = self.getPlotItem()
        item.hideButtons()
        item.setMenuEnabled(False)
        item.getViewBox().setMouseEnabled(x=False, y=False)
        item.getViewBox().setDefaultPadding(0)
        item.setContentsMargins(0, 0, 0, 0)
        item.showAxes((False, False, False, True), showValues=(False, False, False, True))
        axis = item.getAxis("bottom")
        axis.setStyle(tickFont=font(SMALL), tickLength=0, tickTextOffset=4, hideOverlappingLabels=False)
        axis.setHeight(20)
        self.scene().sigMouseClicked.connect(self._scene_clicked)
        theme.changed.connect(self.restyle)
        self.restyle()

    def wheelEvent(self, event: Any) -> None:
        """The wheel scrolls the panel, not the plot."""
        event.ignore()

    def ticks(self, marks: Sequence[tuple[float, str]]) -> None:
        """The axis' labels."""
        self.getPlotItem().getAxis("bottom").setTicks([list(marks)])

    def view(self, x: tuple[float, float], y: tuple[float, float], room: tuple[int, int] = (0, 0)) -> None:
        """What part is shown; ``room`` is left free at the left and at the right of it, in pixels."""
        self._view = x, y, room
        left, right = room
        unit = (x[1] - x[0]) / max(self.width() - left - right, 1)
        shown = (x[0] - left * unit, x[1] + right * unit)
        self.getPlotItem().getViewBox().setRange(xRange=shown, yRange=y, padding=0, disableAutoRange=True)

    def resizeEvent(self, event: Any) -> None:
        """The room beside the view stays as wide as it is."""
        super().resizeEvent(event)
        if any(self._view[2]):
            self.view(*self._view)

    @property
    def left_edge(self) -> float:
        """The place at the left edge."""
        return float(self.getPlotItem().getViewBox().viewRange()[0][0])

    def restyle(self) -> None:
        """Take the theme's colours anew; the background too, which the view keeps as a picture."""
        self.setBackground(self.theme.color("panel"))
        axis = self.getPlotItem().getAxis("bottom")
        axis.setPen(self.pen("hairline"))
        axis.setTextPen(self.pen("text_secondary"))

    def pen(self, token: str, width: float = 1.0, dashed: bool = False) -> QPen:
        """A pen of a theme colour, ``width`` in pixels of the type scale: cosmetic pens count the screen's own."""
        pen = QPen(self.theme.color(token), width * self.devicePixelRatioF())
        pen.setCosmetic(True)
        if dashed:
            pen.setStyle(Qt.PenStyle.CustomDashLine)
            pen.setDashPattern([4, 3])
        return pen

    def _scene_clicked(self, event: Any) -> None:
        if event.button() == Qt.MouseButton.LeftButton and not event.isAccepted():
            at = self._plot_point(event.scenePos())
            self.clicked.emit(at.x(), at.y())

    def mouseMoveEvent(self, event: Any) -> None:
        """Say where the mouse is."""
        super().mouseMoveEvent(event)
        at = self._plot_point(self.mapToScene(event.position().toPoint()))
        self.hovered.emit(at.x(), at.y())

    def viewportEvent(self, event: QEvent) -> bool:
        """Say that the mouse is gone: the viewport knows, also where the frame around it is not left."""
        if event.type() == QEvent.Type.Leave:
            self.left.emit()
        return bool(super().viewportEvent(event))

    def keyPressEvent(self, event: Any) -> None:
        """Offer the key to the owner."""
        event.ignore()
        self.key_pressed.emit(event)
        if not event.isAccepted():
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: Any) -> None:
        """Say that a key is let go."""
        super().keyReleaseEvent(event)
        if not event.isAutoRepeat():
            self.key_released.emit()

    def _plot_point(self, scene: QPointF) -> QPointF:
        point: QPointF = self.getPlotItem().getViewBox().mapSceneToView(scene)
        return point


class Cut(pg.InfiniteLine):  # type: ignore[misc]
    """A vertical line with a handle in its middle, to be dragged; a line that can't be dragged has no handle."""

    def __init__(self, plot: Plot, *, movable: bool = True) -> None:
        super().__init__(angle=90, movable=movable)
        self._plot = plot
        self.setZValue(10)
        if movable:
            self.setCursor(Qt.CursorShape.SplitHCursor)
            self.addMarker("", 0.5, 20)  # an empty path, 20 pixels to the unit
            self.markers[0][0].addRoundedRect(QRectF(-0.5, -0.2, 1.0, 0.4), 0.12, 0.12)
        plot.theme.changed.connect(self.restyle)
        self.restyle()

    def restyle(self) -> None:
        """Take the theme's colours anew."""
        self.setPen(self._plot.pen("accent_and_threshold", 1.5))
        self.setHoverPen(self._plot.pen("accent_and_threshold", 2.5))

"""The whole picture in the corner, and the part in view as a frame that can be dragged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QWidget

from compressor_gui.core.layout import BOX_HEIGHT, BOX_WIDTH
from compressor_gui.gui.theme import RADIUS

if TYPE_CHECKING:
    from compressor_gui.gui.canvas.view import Canvas

SMALLEST, WIDEST, HIGHEST = 56, 180, 150
PADDING = 6
EDGE = 12
"""Distance from the canvas's corner."""
ROOM = 240
"""What a canvas must leave free for a box beside the minimap, in pixels."""


class Minimap(QWidget):
    """Sits in the bottom right corner of its canvas, and hides where everything is in view.

    Long graphs are squeezed, so that a chain of a thousand boxes is more than a hair.
    """

    def __init__(self, canvas: Canvas) -> None:
        super().__init__(canvas)
        self._canvas = canvas
        self._image: QPixmap | None = None
        self.hide()

    def renew(self) -> None:
        """The picture, or its colours, changed."""
        self._image = None
        scene = self._canvas.scene
        if scene is None or not scene.count:
            self.hide()
            return
        bounds = scene.bounds
        wide = int(np.clip(HIGHEST * bounds.width() / bounds.height(), SMALLEST, WIDEST))
        high = int(np.clip(wide * bounds.height() / bounds.width(), SMALLEST * 0.7, HIGHEST))
        self.resize(wide + 2 * PADDING, high + 2 * PADDING)
        self.place()

    def place(self) -> None:
        """Follow the canvas's size and view."""
        scene = self._canvas.scene
        if scene is None:
            return
        self.move(self._canvas.width() - self.width() - EDGE, self._canvas.height() - self.height() - EDGE)
        small = self._canvas.width() < 2 * self.width() + ROOM or self._canvas.height() < 1.5 * self.height()
        self.setVisible(not small and not self._canvas.view_rect().contains(scene.bounds))
        self.update()

    # -- between the two -----------------------------------------------------------------------------------------

    def _scale(self) -> tuple[QRectF, float, float]:
        scene = self._canvas.scene
        assert scene is not None
        bounds = scene.bounds
        return bounds, (self.width() - 2 * PADDING) / bounds.width(), (self.height() - 2 * PADDING) / bounds.height()

    def frame(self) -> QRectF:
        """The part in view, in the minimap's pixels."""
        bounds, across, down = self._scale()
        view = self._canvas.view_rect().intersected(bounds)
        left, top = (view.left() - bounds.left()) * across, (view.top() - bounds.top()) * down
        return QRectF(left + PADDING, top + PADDING, max(view.width() * across, 4), max(view.height() * down, 4))

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the picture, once, and the frame."""
        if self._canvas.scene is None:
            return
        theme = self._canvas.painter.theme
        if self._image is None:
            self._image = self._painted()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(theme.color("hairline"))
        painter.setBrush(theme.color("panel"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), RADIUS, RADIUS)
        painter.drawPixmap(0, 0, self._image)
        accent = theme.color("accent_and_threshold")
        painter.setPen(QPen(accent, 1.5))
        painter.setBrush(QColor(accent.red(), accent.green(), accent.blue(), 22))
        painter.drawRoundedRect(self.frame(), 2, 2)
        painter.end()

    def _painted(self) -> QPixmap:
        bounds, across, down = self._scale()
        scene = self._canvas.scene
        assert scene is not None
        ratio = self.devicePixelRatioF()
        image = QPixmap(self.size() * ratio)
        image.setDevicePixelRatio(ratio)
        image.fill(Qt.GlobalColor.transparent)
        painter = QPainter(image)
        painter.translate(PADDING, PADDING)
        painter.setPen(Qt.PenStyle.NoPen)
        wide, high = max(BOX_WIDTH * across, 2.0), max(BOX_HEIGHT * down, 1.0)
        left = (scene.x - bounds.left()) * across - wide / 2
        top = (scene.y - bounds.top()) * down - high / 2
        for color, boxes in self._canvas.painter.minimap_colors(scene, self._canvas.look):
            painter.setBrush(color)
            painter.drawRects([QRectF(left[box], top[box], wide, high) for box in boxes])
        painter.end()
        return image

    # -- the hand ------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Look at the place under the pointer."""
        self._look_at(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the view along."""
        if event.buttons():
            self._look_at(event.position())

    def _look_at(self, point: QPointF) -> None:
        bounds, across, down = self._scale()
        x = bounds.left() + (point.x() - PADDING) / across
        y = bounds.top() + (point.y() - PADDING) / down
        self._canvas.set_view(QPointF(x, y), self._canvas.zoom)

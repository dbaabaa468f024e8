"""How sliders for a sparsity move, by mouse and by key, and the one that moves all layers."""

from __future__ import annotations

import math

from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from compressor_gui.core import units
from compressor_gui.gui.layer_row import percent_text
from compressor_gui.gui.layers_delegate import ROW_HEIGHT, paint_percent, paint_slider, track_rect, value_at
from compressor_gui.gui.theme import UNIT, Theme


def step_by_key(event: QKeyEvent, value: float) -> float | None:
    """Where a key moves a slider: arrows to the next whole percent, with Shift ten on, Home and End to the ends.

    None for other keys.
    """
    step = 10 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1
    near = 1e-6  # 0.29 * 100 is 28.999…
    moved = {
        Qt.Key.Key_Left: math.ceil(value * 100 - step - near) / 100,
        Qt.Key.Key_Right: math.floor(value * 100 + step + near) / 100,
        Qt.Key.Key_Home: 0.0,
        Qt.Key.Key_End: 1.0,
    }.get(Qt.Key(event.key()))
    return None if moved is None else min(max(moved, 0.0), 1.0)


def snapped(value: float, modifiers: Qt.KeyboardModifier) -> float:
    """Where a dragged sparsity comes to stand: on whole percents, with Shift on tenths."""
    return min(max(round(value, 3 if modifiers & Qt.KeyboardModifier.ShiftModifier else 2), 0.0), 1.0)


class Grip:
    """A handle under the mouse: it follows in whole percents, with Shift ten times more slowly and in tenths."""

    def __init__(self, track: QRectF, value: float, event: QMouseEvent) -> None:
        self._width = track.width()
        self._x = event.position().x()
        handle = track.left() + self._width * value
        held = abs(self._x - handle) <= 8  # it is dragged from where it was taken; a press elsewhere moves it there
        self._value = value if held else value_at(track, self._x)
        self.value = value if held else snapped(self._value, event.modifiers())

    def move(self, event: QMouseEvent) -> float:
        """The value with the mouse where the event says."""
        fine = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        step = (event.position().x() - self._x) / self._width
        self._x = event.position().x()
        if step:  # a handle that is only clicked stays where it is
            self._value += step * (0.1 if fine else 1.0)
            self.value = snapped(self._value, event.modifiers())
        return self.value


class SparsitySlider(QWidget):
    """One slider with its number: the sparsity of all layers together."""

    moved = Signal(float)
    rested = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._value: float | None = None
        self._exact = False
        self._grip: Grip | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Sparsity of all layers")

    def sizeHint(self) -> QSize:
        """As wide as it may be, as high as a row."""
        return QSize(200, ROW_HEIGHT)

    def show_value(self, value: float | None, exact: bool) -> None:
        """Show a sparsity, 0..1; None while it is unknown."""
        if (value, exact) != (self._value, self._exact):
            self._value, self._exact = value, exact
            self.setEnabled(value is not None)
            self.setAccessibleDescription("" if value is None else units.percent(value))
            self.update()

    def track(self) -> QRectF:
        """The track, in the widget."""
        return track_rect(QRect(0, 0, self.width(), self.height()))

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the slider as the table's are."""
        if self._value is None:
            return
        painter = QPainter(self)
        paint_slider(painter, self.track(), self._value, self._theme, self.hasFocus() or self._grip is not None)
        text = percent_text(self._value, self._exact)
        paint_percent(painter, self.rect().adjusted(0, 0, -UNIT * 2, 0), text, self._exact, self._theme)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of the slider."""
        if event.button() == Qt.MouseButton.LeftButton and self._value is not None:
            self._grip = Grip(self.track(), self._value, event)
            self._follow(self._grip.value)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag it."""
        if self._grip is not None:
            self._follow(self._grip.move(event))

    def _follow(self, value: float) -> None:
        if value != self._value:
            self.moved.emit(value)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go of it."""
        if self._grip is not None and event.button() == Qt.MouseButton.LeftButton:
            self._grip = None
            self.update()
            self.rested.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The same keys as in the table."""
        moved = None if self._value is None else step_by_key(event, self._value)
        if moved is None:
            super().keyPressEvent(event)
        else:
            self.moved.emit(moved)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """A key that was let go ends a step of undo."""
        super().keyReleaseEvent(event)
        if not event.isAutoRepeat() and step_by_key(event, 0.0) is not None:
            self.rested.emit()

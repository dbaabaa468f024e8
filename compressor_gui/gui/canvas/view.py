"""The canvas: one picture under the hand. It pans, zooms, hovers, picks, moves from one layout to the next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSizeF, Qt, QVariantAnimation, Signal
from PySide6.QtGui import (
    QColor,
    QHelpEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QNativeGestureEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QStyle, QToolTip, QWidget

from compressor_gui.gui.canvas.minimap import Minimap
from compressor_gui.gui.canvas.motion import Motion, View
from compressor_gui.gui.canvas.painter import EDGE_TEXT, Look, Painter
from compressor_gui.gui.canvas.picture import Picture
from compressor_gui.gui.canvas.scene import Scene, Way
from compressor_gui.gui.canvas.tips import box_tip, edge_tip
from compressor_gui.gui.theme import Theme

MIN_ZOOM, MAX_ZOOM = 0.004, 3.0
READABLE = 0.75
"""Both lines of a box can be read from here on."""
MARGIN = 40.0
"""Pixels around what is fitted, less in narrow canvases."""
ANIMATED_UP_TO = 3000
"""Pictures of more boxes change at once."""


class Canvas(QWidget):
    """Shows a picture. ``picked``: a node (empty: nothing) was chosen; ``toggled``: a scope was opened or closed;
    ``moved``: the view was changed, or went along with a box; ``fit_requested``: the whole graph is wanted."""

    picked = Signal(str)
    toggled = Signal(str)
    moved = Signal()
    resized = Signal()
    fit_requested = Signal()
    painted = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(160, 120)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._theme = theme
        self.painter = Painter(theme)
        self.scene: Scene | None = None
        self.look = Look()
        self.center = QPointF()
        self.zoom = 1.0
        self._press: QPointF | None = None
        self._dragged = False
        self._animation = QVariantAnimation(self)
        self._animation.setStartValue(0.0)
        self._animation.setEndValue(1.0)
        self._animation.valueChanged.connect(self._animate)
        self._motion: Motion | None = None
        self.minimap = Minimap(self)
        theme.changed.connect(self._restyle)

    # -- the picture ---------------------------------------------------------------------------------------------

    @property
    def picture(self) -> Picture | None:
        """What is shown."""
        return self.scene.picture if self.scene else None

    @property
    def destination(self) -> Scene | None:
        """What is shown, with the boxes where they will be when they have arrived."""
        return self._motion.end if self._motion is not None else self.scene

    def set_picture(self, picture: Picture | None, anchor: str = "", *, fresh: bool = False) -> None:
        """Show a picture. The box that holds the node ``anchor`` stays where it is on the screen (default: the selected
        one if it is in view, else the one in the middle), unless another view is chosen; ``fresh``: without a way from
        the one before."""
        old = self.scene
        self._animation.stop()
        self._motion = None
        anchor = anchor or (self._anchor(old) if old is not None and old.count else "")
        self.look = Look()
        if picture is None or old is None or fresh or not old.count:
            self.scene = None if picture is None else Scene(picture)
        else:
            self._move_to(picture, old, anchor)
        self.minimap.renew()
        self.update()

    def _anchor(self, scene: Scene) -> str:
        chosen = self.look.selected
        if 0 <= chosen < scene.count and self.view_rect().contains(scene.rect(chosen).center()):
            return scene.picture.folded.boxes[chosen].members[0]
        return ""

    def _move_to(self, picture: Picture, old: Scene, anchor: str) -> None:
        self._motion = Motion.between(old, picture, anchor, (self.center, self.zoom))
        duration = self.style().styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration, None, self)
        if duration <= 0 or len(picture.folded.boxes) > ANIMATED_UP_TO or not self.isVisible():
            self._animate(1.0)
        else:
            self._animate(0.0)  # from now on the boxes are the new picture's
            self._animation.setDuration(duration)
            self._animation.start()

    def _animate(self, amount: float) -> None:
        motion = self._motion
        if motion is None:
            return
        self.scene, (self.center, self.zoom), self.look.edges_fade = motion.at(amount)
        if amount >= 1.0:
            self._motion = None
            self.minimap.renew()
        self.update()

    @property
    def moving(self) -> bool:
        """Whether boxes are on their way to another layout."""
        return self._motion is not None

    def finish_moving(self) -> None:
        """Go to the end of the way at once."""
        self._animation.stop()
        self._animate(1.0)

    # -- the view ------------------------------------------------------------------------------------------------

    def view_rect(self) -> QRectF:
        """What is in view, in the picture's units."""
        width, height = self.width() / self.zoom, self.height() / self.zoom
        return QRectF(self.center.x() - width / 2, self.center.y() - height / 2, width, height)

    def to_scene(self, point: QPointF) -> QPointF:
        """A point of the widget in the picture's units."""
        return self.view_rect().topLeft() + point / self.zoom

    def to_widget(self, point: QPointF) -> QPointF:
        """A point of the picture in the widget's pixels."""
        return (point - self.view_rect().topLeft()) * self.zoom

    @property
    def margin(self) -> float:
        """Pixels to leave free around what is fitted."""
        return min(MARGIN, self.width() / 14)

    def fit_zoom(self, rect: QRectF) -> float:
        """The zoom at which a rectangle fills the widget, at most 1:1."""
        wide = (self.width() - 2 * self.margin) / max(rect.width(), 1)
        high = (self.height() - 2 * self.margin) / max(rect.height(), 1)
        return float(np.clip(min(wide, high), MIN_ZOOM, 1.0))

    @property
    def last_view(self) -> View:
        """The view that is or will be, once the boxes have arrived."""
        return self._motion.last if self._motion is not None else (self.center, self.zoom)

    def shows(self, rect: QRectF, center: QPointF, zoom: float, *, whole: bool = True) -> bool:
        """Whether a rectangle is in view from a point at a zoom, ``whole`` and with a margin or at least its middle."""
        size = QSizeF(self.size()) / zoom
        view = QRectF(center - QPointF(size.width(), size.height()) / 2, size)
        edge = min(self.margin / 2 / zoom, (size.width() - rect.width()) / 2)  # in a narrow view there is no room
        return view.adjusted(edge, edge, -edge, -edge).contains(rect) if whole else view.contains(rect.center())

    def sees_boxes(self) -> bool:
        """Whether there will be anything in view."""
        scene, (center, zoom) = self.destination, self.last_view
        width, height = self.width() / zoom, self.height() / zoom
        view = QRectF(center.x() - width / 2, center.y() - height / 2, width, height)
        return scene is None or not scene.count or len(scene.boxes_in(view)) > 0

    def go_to(self, center: QPointF, zoom: float) -> None:
        """Look at a point at a zoom, by the time that the boxes have arrived."""
        if self._motion is not None:
            self._motion.goal = (center, float(np.clip(zoom, MIN_ZOOM, MAX_ZOOM)))
        else:
            self.look_at(center, zoom)

    def look_at(self, center: QPointF, zoom: float) -> None:
        """Look at a point at a zoom, at once."""
        self.center, self.zoom = center, float(np.clip(zoom, MIN_ZOOM, MAX_ZOOM))
        if self._motion is not None:
            self._motion.let_go((self.center, self.zoom))
        self.minimap.place()
        self.update()

    def set_view(self, center: QPointF, zoom: float) -> None:
        """Look at a point at a zoom, and let locked canvases follow."""
        self.look_at(center, zoom)
        self.moved.emit()

    def fit(self, rect: QRectF | None = None) -> None:
        """See the whole graph, or a rectangle of it."""
        if self.scene is not None:
            rect = rect or self.scene.bounds
            self.set_view(rect.center(), self.fit_zoom(rect))

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom about a point of the widget (default: its middle), which stays where it is."""
        at = at if at is not None else QPointF(self.width() / 2, self.height() / 2)
        zoom = float(np.clip(self.zoom * factor, MIN_ZOOM, MAX_ZOOM))
        fixed = self.to_scene(at)
        offset = at - QPointF(self.width() / 2, self.height() / 2)
        self.set_view(fixed - offset / zoom, zoom)

    def pan(self, pixels: QPointF) -> None:
        """Move the picture by pixels."""
        self.set_view(self.center - pixels / self.zoom, self.zoom)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the middle where it is, unless another view is chosen."""
        super().resizeEvent(event)
        self.minimap.place()
        self.resized.emit()

    # -- what is lit ---------------------------------------------------------------------------------------------

    def set_selected(self, node: str) -> int:
        """Outline the box that holds a node; returns it, -1 where there is none."""
        box = self.scene.picture.folded.owner.get(node, -1) if self.scene and node else -1
        if box != self.look.selected:
            self.look.selected = box
            self._light_edges()
            self.update()
        return box

    def _light_edges(self) -> None:
        """Texts for the edges that are lit up."""
        scene, look = self.scene, self.look
        lit: list[int] = []
        if scene is not None:
            if look.hovered >= 0:
                lit = [*scene.edges_from(look.hovered).tolist(), *scene.edges_to(look.hovered).tolist()][:40]
            elif look.hovered_edge >= 0:
                lit = [look.hovered_edge]
        if scene is None or self.zoom < EDGE_TEXT / 2:
            lit = []
        texts: Mapping[int, str] = {edge: scene.picture.tensor_text(edge) for edge in lit} if scene else {}
        look.edge_texts = texts

    def _hover(self, point: QPointF | None) -> None:
        box = edge = -1
        if self.scene is not None and point is not None and not self.moving:
            at = self.to_scene(point)
            box = self.scene.box_at(at)
            if box < 0 and self.zoom >= 0.2:
                edge = self.scene.edge_at(at, 5 / self.zoom)
        if (box, edge) != (self.look.hovered, self.look.hovered_edge):
            self.look.hovered, self.look.hovered_edge = box, edge
            self._light_edges()
            self.setCursor(Qt.CursorShape.PointingHandCursor if box >= 0 else Qt.CursorShape.ArrowCursor)
            self.update()

    # -- painting ------------------------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint what is in view."""
        painter = QPainter(self)
        self._paint(painter)
        painter.end()
        if self.scene is not None:
            self.painted.emit()

    def _paint(self, painter: QPainter) -> None:
        painter.fillRect(QRectF(0, 0, self.width(), self.height()), self._theme.color("graph_canvas"))
        if self.scene is not None:
            self.painter.paint(painter, self.scene, self.view_rect(), self.zoom, self.look)

    def render_frame(self) -> QImage:
        """One frame as an image of the widget's size: for benchmarks and tests."""
        image = QImage(self.size(), QImage.Format.Format_RGB32)
        painter = QPainter(image)
        self._paint(painter)
        painter.end()
        return image

    def color_at(self, node: str) -> QColor:
        """The fill on the screen of the box that holds a node, a little below its top left corner: for tests."""
        assert self.scene is not None
        rect = self.scene.rect(self.scene.picture.folded.owner[node])
        point = self.to_widget(rect.topLeft() + QPointF(5, 4)).toPoint()
        return QColor(self.render_frame().pixel(point))

    def _restyle(self) -> None:
        self.painter.renew()
        self.minimap.renew()
        self.update()

    # -- the hand ------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a drag or a click."""
        if event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            self._press, self._dragged = event.position(), event.button() == Qt.MouseButton.MiddleButton

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the picture, or light up what is under the pointer."""
        if self._press is None or not event.buttons():
            self._hover(event.position())
            return
        step = event.position() - self._press
        if self._dragged or step.manhattanLength() > 4:
            self._dragged = True
            self._press = event.position()
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
            self.pan(step)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A click picks."""
        clicked = self._press is not None and not self._dragged and event.button() == Qt.MouseButton.LeftButton
        self._press, self._dragged = None, False
        self.setCursor(Qt.CursorShape.ArrowCursor)
        if clicked and self.scene is not None:
            box = self.scene.box_at(self.to_scene(event.position()), 2 / self.zoom)
            self.picked.emit(self.scene.picture.folded.boxes[box].members[0] if box >= 0 else "")

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Open a scope, or close the one whose frame is under the pointer."""
        if self.scene is None or event.button() != Qt.MouseButton.LeftButton:
            return
        at = self.to_scene(event.position())
        box = self.scene.box_at(at)
        if box >= 0 and self.scene.picture.folded.boxes[box].kind == "scope":
            self.toggled.emit(self.scene.picture.folded.boxes[box].id)
        elif box < 0:
            inside = [frame.scope for frame in self.scene.scopes if frame.rect.contains(at)]
            if inside:
                self.toggled.emit(inside[-1])

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the pointer."""
        self._hover(None)
        super().leaveEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom to the cursor; two fingers on a touch pad pan, as everywhere."""
        pixels = event.pixelDelta()
        held = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        if not pixels.isNull() and not held:
            self.pan(QPointF(pixels))
        elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.pan(QPointF(event.angleDelta().y() or event.angleDelta().x(), 0))
        else:
            self.zoom_by(1.0015 ** event.angleDelta().y(), event.position())
        event.accept()

    def event(self, event: QEvent) -> bool:
        """Pinches and tool tips."""
        if isinstance(event, QNativeGestureEvent) and event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
            self.zoom_by(1 + event.value(), event.position())
            return True
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), self.tip(QPointF(event.pos())), self)
            return True
        return super().event(event)

    def tip(self, point: QPointF) -> str:
        """What is said of the box or the edge under a point of the widget."""
        if self.scene is None:
            return ""
        at = self.to_scene(point)
        box = self.scene.box_at(at)
        if box >= 0:
            return box_tip(self.scene.picture, box, self.look.tips.get(box, ""))
        edge = self.scene.edge_at(at, 5 / self.zoom)
        return edge_tip(self.scene.picture, edge) if edge >= 0 else ""

    # -- keys ----------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows walk along edges, Enter opens a scope, Backspace closes the one around; F fits, 1 is 1:1, + and -."""
        key, scene = event.key(), self.scene
        walks: dict[int, Way] = {
            Qt.Key.Key_Up: "up",
            Qt.Key.Key_Down: "down",
            Qt.Key.Key_Left: "left",
            Qt.Key.Key_Right: "right",
        }
        if scene is None or not scene.count:
            super().keyPressEvent(event)
        elif key in walks:
            box = scene.neighbour(self.look.selected, walks[Qt.Key(key)])
            self.picked.emit(scene.picture.folded.boxes[box].members[0])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Backspace) and self.look.selected >= 0:
            found = scene.picture.folded.boxes[self.look.selected]
            scope = found.id if found.kind == "scope" and key != Qt.Key.Key_Backspace else found.scope
            if scope:
                self.toggled.emit(scope)
        elif key == Qt.Key.Key_F:
            self.fit_requested.emit()
        elif key == Qt.Key.Key_1:
            self.zoom_by(1 / self.zoom)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            self.zoom_by(1 / 1.25 if key == Qt.Key.Key_Minus else 1.25)
        elif key == Qt.Key.Key_Escape:
            self.picked.emit("")
        else:
            super().keyPressEvent(event)

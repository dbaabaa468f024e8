"""The canvas: one picture under the hand. It pans, zooms, hovers, picks, moves from one layout to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, QVariantAnimation, Signal
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

from compressor_gui.core import units
from compressor_gui.gui.canvas.minimap import Minimap
from compressor_gui.gui.canvas.painter import EDGE_TEXT, Look, Painter
from compressor_gui.gui.canvas.picture import Picture
from compressor_gui.gui.canvas.scene import Floats, Scene
from compressor_gui.gui.theme import Theme

MIN_ZOOM, MAX_ZOOM = 0.004, 3.0
READABLE = 0.75
"""A first look is not farther away than this: a graph that does not fit is shown from its top."""
MARGIN = 40.0
ANIMATED_UP_TO = 3000
"""Pictures of more boxes change at once."""


class Canvas(QWidget):
    """Shows a picture. ``picked``: a node (empty: nothing) was chosen; ``toggled``: a scope was opened or closed;
    ``moved``: the view changed by the user's hand, by so much in the picture's units, the new zoom."""

    picked = Signal(str)
    toggled = Signal(str)
    moved = Signal(QPointF, float)
    drifted = Signal()
    """The view went along with a box that moved to another layout."""
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
        self._untouched = True
        self._animation = QVariantAnimation(self)
        self._animation.setStartValue(0.0)
        self._animation.setEndValue(1.0)
        self._animation.valueChanged.connect(self._animate)
        self._way: tuple[Picture, Floats, Floats, int, QPointF] | None = None
        self.minimap = Minimap(self)
        theme.changed.connect(self._restyle)

    # -- the picture ---------------------------------------------------------------------------------------------

    @property
    def picture(self) -> Picture | None:
        """What is shown."""
        return self.scene.picture if self.scene else None

    def set_picture(
        self, picture: Picture | None, anchor: str = "", *, fresh: bool = False, anchored: bool = True
    ) -> None:
        """Show a picture. The box that holds the node ``anchor`` stays where it is on the screen (default: the selected
        one if it is in view, else the one in the middle), unless another canvas leads and this one is not ``anchored``;
        ``fresh`` looks at it as if for the first time."""
        self._animation.stop()
        old = self.scene
        if not anchored:
            anchor = ""
        elif old is not None and old.count and not anchor:
            anchor = self._anchor(old)
        self.look = Look()
        if picture is None:
            self.scene = None
            self.minimap.renew()
            self.update()
            return
        if old is None or fresh or not old.count:
            self.scene = Scene(picture)
            self._untouched = True
            self.first_look()
        else:
            self._move_to(picture, old, anchor)
        self.minimap.renew()
        self.update()

    def _anchor(self, scene: Scene) -> str:
        inside = self.view_rect()
        chosen = self.look.selected
        if not (0 <= chosen < scene.count and inside.contains(scene.rect(chosen).center())):
            chosen = int(np.argmin(np.hypot(scene.x - self.center.x(), scene.y - self.center.y())))
        return scene.picture.folded.boxes[chosen].members[0]

    def _move_to(self, picture: Picture, old: Scene, anchor: str) -> None:
        """Move each box from where the box that held its first node was."""
        owner, folded = old.picture.folded.owner, picture.folded
        start = np.array([owner.get(box.members[0], -1) for box in folded.boxes], np.int64)
        known = start >= 0
        x, y = picture.layout.x.copy(), picture.layout.y.copy()
        x[known], y[known] = old.x[start[known]], old.y[start[known]]
        fixed = folded.owner.get(anchor, -1)
        before = old.picture.folded.owner.get(anchor, -1)
        shift = QPointF()
        if fixed >= 0 and before >= 0:
            shift = QPointF(float(old.x[before]), float(old.y[before])) - self.center
        else:
            fixed = -1
        self._way = (picture, x, y, fixed, shift)
        duration = self.style().styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration, None, self)
        if duration <= 0 or len(folded.boxes) > ANIMATED_UP_TO or not self.isVisible():
            self._animate(1.0)
        else:
            self._animate(0.0)  # from now on the boxes are the new picture's
            self._animation.setDuration(duration)
            self._animation.start()

    def _animate(self, amount: float) -> None:
        if self._way is None:
            return
        picture, x, y, fixed, shift = self._way
        done = amount >= 1.0
        ease = amount * amount * (3 - 2 * amount)
        end = picture.layout
        self.scene = Scene(picture) if done else Scene(picture, x + (end.x - x) * ease, y + (end.y - y) * ease)
        self.look.edges_fade = ease
        if fixed >= 0:
            self.center = QPointF(float(self.scene.x[fixed]), float(self.scene.y[fixed])) - shift
            self.drifted.emit()
        if done:
            self._way = None
            self.minimap.renew()
        self.update()

    @property
    def moving(self) -> bool:
        """Whether boxes are on their way to another layout."""
        return self._way is not None

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

    def fit_zoom(self, rect: QRectF) -> float:
        """The zoom at which a rectangle fills the widget, at most 1:1."""
        wide = (self.width() - 2 * MARGIN) / max(rect.width(), 1)
        high = (self.height() - 2 * MARGIN) / max(rect.height(), 1)
        return float(np.clip(min(wide, high), MIN_ZOOM, 1.0))

    def set_view(self, center: QPointF, zoom: float, *, tell: bool = True) -> None:
        """Look at a point at a zoom; ``tell`` lets locked canvases follow."""
        zoom = float(np.clip(zoom, MIN_ZOOM, MAX_ZOOM))
        step = center - self.center
        self.center, self.zoom = center, zoom
        self._untouched = False
        if tell:
            self.moved.emit(step, zoom)
        self.minimap.place()
        self.update()

    def first_look(self) -> None:
        """The whole graph where that is readable, else its top."""
        if self.scene is None:
            return
        bounds = self.scene.bounds
        zoom = self.fit_zoom(bounds)
        center = bounds.center()
        if zoom < READABLE:
            zoom = READABLE
            top = int(np.argmin(self.scene.y)) if self.scene.count else -1
            roots = np.flatnonzero(self.scene.y <= self.scene.y[top]) if top >= 0 else np.zeros(0, np.int64)
            width = self.width() / zoom
            middle = float(np.median(self.scene.x[roots])) if len(roots) else center.x()
            if bounds.width() + 2 * MARGIN > width:
                low, high = bounds.left() + width / 2 - MARGIN, bounds.right() - width / 2 + MARGIN
                middle = min(max(middle, low), max(low, high))
            else:
                middle = center.x()
            center = QPointF(middle, bounds.top() + self.height() / zoom / 2 - MARGIN / zoom)
        self.set_view(center, zoom, tell=False)
        self._untouched = True

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

    def reveal(self, box: int) -> None:
        """Bring a box into view, and no more than needed."""
        if self.scene is None or not 0 <= box < self.scene.count:
            return
        rect, view = self.scene.rect(box), self.view_rect()
        inner = view.adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
        if inner.contains(rect) and self.zoom >= 0.35:
            return
        self.set_view(rect.center(), max(self.zoom, READABLE))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the middle where it is; a view that nobody has touched yet is chosen anew."""
        if self._untouched:
            self.first_look()
        self.minimap.place()
        super().resizeEvent(event)

    # -- what is lit ---------------------------------------------------------------------------------------------

    def set_selected(self, node: str, *, reveal: bool) -> None:
        """Outline the box that holds a node; ``reveal`` brings it into view."""
        box = self.scene.picture.folded.owner.get(node, -1) if self.scene and node else -1
        if box == self.look.selected:
            return
        self.look.selected = box
        self._light_edges()
        if reveal:
            self.reveal(box)
        self.update()

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
            QToolTip.showText(event.globalPos(), self._tip(QPointF(event.pos())), self)
            return True
        return super().event(event)

    def _tip(self, point: QPointF) -> str:
        if self.scene is None:
            return ""
        picture, at = self.scene.picture, self.to_scene(point)
        box = self.scene.box_at(at)
        if box >= 0:
            found = picture.folded.boxes[box]
            name = found.id.rstrip("/")
            size = f"{units.size(found.bytes)} of constants" if found.bytes else ""
            shown = [f"{picture.graph[node].op}  {node}" for node in found.members[:12]]
            more = [f"and {len(found.members) - 12} more"] if len(found.members) > 12 else []
            return "\n".join(filter(None, [name, size, "", *shown, *more]))
        edge = self.scene.edge_at(at, 5 / self.zoom)
        return "\n".join([picture.tensor_text(edge), *picture.folded.tensors[edge]]) if edge >= 0 else ""

    # -- keys ----------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows walk along edges, Enter opens a scope, Backspace closes the one around; F fits, 1 is 1:1, + and -."""
        key, scene = event.key(), self.scene
        walks: dict[int, Literal["up", "down", "left", "right"]] = {
            Qt.Key.Key_Up: "up",
            Qt.Key.Key_Down: "down",
            Qt.Key.Key_Left: "left",
            Qt.Key.Key_Right: "right",
        }
        if scene is None or not scene.count:
            super().keyPressEvent(event)
        elif key in walks:
            box = self.neighbour(walks[Qt.Key(key)])
            self.picked.emit(scene.picture.folded.boxes[box].members[0])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Backspace) and self.look.selected >= 0:
            found = scene.picture.folded.boxes[self.look.selected]
            scope = found.id if found.kind == "scope" and key != Qt.Key.Key_Backspace else found.scope
            if scope:
                self.toggled.emit(scope)
        elif key == Qt.Key.Key_F:
            self.fit()
        elif key == Qt.Key.Key_1:
            self.zoom_by(1 / self.zoom)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            self.zoom_by(1 / 1.25 if key == Qt.Key.Key_Minus else 1.25)
        elif key == Qt.Key.Key_Escape:
            self.picked.emit("")
        else:
            super().keyPressEvent(event)

    def neighbour(self, way: Literal["up", "down", "left", "right"]) -> int:
        """The box one step from the selected one: along an edge, or beside it in its row. Without one, the top box."""
        scene, box = self.scene, self.look.selected
        assert scene is not None
        if box < 0:
            return int(np.argmin(scene.y))
        if way in ("up", "down"):
            edges = scene.edges_to(box) if way == "up" else scene.edges_from(box)
            others = scene.picture.folded.edges[edges, 0 if way == "up" else 1]
            if not len(others):
                return box
            return int(others[np.argmin(np.hypot(scene.x[others] - scene.x[box], scene.y[others] - scene.y[box]))])
        row = np.abs(scene.y - scene.y[box]) < 1
        beside = np.flatnonzero(row & ((scene.x < scene.x[box]) if way == "left" else (scene.x > scene.x[box])))
        return int(beside[np.argmin(np.abs(scene.x[beside] - scene.x[box]))]) if len(beside) else box

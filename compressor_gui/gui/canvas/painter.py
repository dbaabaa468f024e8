"""Paints a scene at any zoom: batched, culled, with less detail the farther away it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter, QPainterPath, QPen, QPolygonF

from compressor_gui.core.layout import BOX_HEIGHT, BOX_WIDTH
from compressor_gui.gui.canvas.picture import ADDED, CHANGED, REMOVED
from compressor_gui.gui.canvas.scene import Frame, Ints, Scene
from compressor_gui.gui.theme import BODY, RADIUS, SMALL, Theme, font

NO_TEXT, TWO_LINES, EDGE_TEXT = 0.35, 0.75, 0.8
"""Zooms below which boxes have no text, only one line, and edges no text."""
SMOOTH = 0.25
"""The zoom below which nothing is antialiased and edges are straight."""
DOTS = 0.06
"""The zoom below which boxes are dots in an image that numpy fills."""
RAMP_STEPS = 24
MAP_LABELS = 150
"""So many boxes at most are tried for a name when seen from afar."""

SIGNS = {ADDED: "change_added", REMOVED: "change_removed", CHANGED: "change_changed"}
"""Mark -> the token of its badge's colour; the signs are +, − and a dot."""
CHANGE_FILL = 0.22


@dataclass
class Look:
    """What is lit up: box indices, and amounts from 0 to 1 (NaN: none) where boxes are coloured by a quantity."""

    selected: int = -1
    hovered: int = -1
    hovered_edge: int = -1
    matches: NDArray[np.bool_] | None = None
    amounts: NDArray[np.float64] | None = None
    by_change: bool = False
    edges_fade: float = 1.0
    edge_texts: Mapping[int, str] = field(default_factory=dict)


class Painter:
    """Paints scenes in a theme's colours; fonts, elided texts and colours are kept between frames."""

    def __init__(self, theme: Theme) -> None:
        self.theme = theme
        self._elided: dict[tuple[str, int, int], tuple[str, float]] = {}
        self._fonts: dict[tuple[int, int], tuple[QFont, QFontMetricsF]] = {}
        self.renew()

    def renew(self) -> None:
        """Take the theme's colours anew."""
        theme = self.theme
        families = ["convolution", "matmul", "activation", "pool", "normalisation", "quantized", "other"]
        self._family = {name: index for index, name in enumerate(families)}
        self._fills = [theme.op_colors(name)[0] for name in families]
        self._texts = [theme.op_colors(name)[1] for name in families]
        ramp = [theme.ramp(i / (RAMP_STEPS - 1)) for i in range(RAMP_STEPS)]
        self._ramp_at = len(self._fills)
        self._fills += ramp
        self._texts += [QColor("#1c2430") if _lightness(color) > 0.5 else QColor("#f4f6f9") for color in ramp]
        self._change_at = len(self._fills)
        panel, text = theme.color("panel"), theme.color("text")
        for mark in (0, ADDED, REMOVED, CHANGED):
            strong = theme.color(SIGNS[mark]) if mark else theme.color("op_other_fill")
            self._fills.append(_mixed(panel, strong, CHANGE_FILL if mark else 1.0))
            self._texts.append(_mixed(text, strong, 0.4) if mark else theme.color("text_secondary"))
        self._edge = theme.color("text_disabled_and_edges")
        self._accent = theme.color("accent_and_threshold")
        self._families_of: tuple[object, Ints] = (None, np.zeros(0, np.int64))

    # -- colours -------------------------------------------------------------------------------------------------

    def _colors(self, scene: Scene, look: Look) -> Ints:
        """For each box an index into the fills and texts."""
        picture = scene.picture
        if look.by_change:
            return self._change_at + picture.marks.astype(np.int64)
        if self._families_of[0] is not picture:
            found = [self._family.get(box.family, len(self._family) - 1) for box in picture.folded.boxes]
            self._families_of = (picture, np.array(found, np.int64))
        if look.amounts is None:
            return self._families_of[1]
        known = ~np.isnan(look.amounts)
        step = np.rint(np.clip(np.nan_to_num(look.amounts), 0, 1) * (RAMP_STEPS - 1)).astype(np.int64)
        return np.where(known, self._ramp_at + step, self._change_at)

    def minimap_colors(self, scene: Scene, look: Look) -> list[tuple[QColor, list[int]]]:
        """Colours stronger than the fills, each with its boxes."""
        colors = self._colors(scene, look)
        every = np.unique(colors).tolist()
        return [(_mixed(self._fills[c], self._texts[c], 0.3), np.flatnonzero(colors == c).tolist()) for c in every]

    # -- one frame -----------------------------------------------------------------------------------------------

    def paint(self, painter: QPainter, scene: Scene, view: QRectF, scale: float, look: Look) -> None:
        """Paint what ``view`` shows at ``scale``; the painter's origin is the view's top left corner."""
        painter.save()
        painter.scale(scale, scale)
        painter.translate(-view.left(), -view.top())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, scale >= SMOOTH)
        painter.setRenderHint(QPainter.RenderHint.TextAntialiasing, True)
        self._frames(painter, scene, view, scale)
        boxes = scene.boxes_in(view)
        colors = self._colors(scene, look)
        self._edges(painter, scene, view, scale, look)
        if scale < DOTS:
            self._dots(painter, scene, boxes, colors, view, scale)
        else:
            self._boxes(painter, scene, boxes, colors, scale)
        self._lit(painter, scene, view, scale, look)
        if scale >= NO_TEXT:
            self._box_texts(painter, scene, boxes, colors, scale)
        self._badges(painter, scene, boxes, scale)
        if scale >= EDGE_TEXT or look.edge_texts:
            self._edge_texts(painter, scene, view, scale, look)
        painter.restore()
        if scale < NO_TEXT:
            self._map_labels(painter, scene, boxes, view, scale)

    # -- frames --------------------------------------------------------------------------------------------------

    def _frames(self, painter: QPainter, scene: Scene, view: QRectF, scale: float) -> None:
        for frame in scene.scopes:
            if frame.rect.intersects(view):
                painter.setPen(_cosmetic(self.theme.color("hairline")))
                painter.setBrush(self.theme.color("op_other_fill", 0.28))
                painter.drawPath(frame.path)
                self._caption(painter, frame, self.theme.color("text_secondary"), scale)
        for frame in scene.regions:
            if frame.rect.intersects(view):
                pen = _cosmetic(self.theme.color("region_8bit_line"), 1.2)
                pen.setDashPattern([4, 3])
                painter.setPen(pen)
                painter.setBrush(self.theme.color("region_8bit_fill", 0.75))
                painter.drawPath(frame.path)
                self._caption(painter, frame, self.theme.color("region_8bit_line"), scale)

    def _caption(self, painter: QPainter, frame: Frame, color: QColor, scale: float) -> None:
        if scale < NO_TEXT:
            return
        shown, metrics = self.font(SMALL if scale >= TWO_LINES else 15, QFont.Weight.DemiBold)
        painter.setFont(shown)
        painter.setPen(color)
        text = metrics.elidedText(frame.caption, Qt.TextElideMode.ElideMiddle, frame.rect.width() - 24)
        painter.drawText(frame.corner + QPointF(14, 7 + metrics.ascent()), text)

    # -- edges ---------------------------------------------------------------------------------------------------

    def _edges(self, painter: QPainter, scene: Scene, view: QRectF, scale: float, look: Look) -> None:
        color = QColor(self._edge)
        color.setAlphaF(look.edges_fade * (1.0 if scale >= SMOOTH else max(0.35, min(1.0, scale * 4))))
        if scale < SMOOTH:
            shortest = 3 / scale if scale < DOTS else 0.0  # what is shorter than a dot is under the boxes
            painter.setPen(_cosmetic(color, 0))
            painter.drawLines(scene.lines_in(view, shortest))
            return
        painter.setPen(_cosmetic(color, 1.2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        visible = scene.edges_in(view).tolist()
        for edge in visible:
            painter.drawPath(scene.path(edge))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawPath(_arrows(scene, visible))

    def _lit(self, painter: QPainter, scene: Scene, view: QRectF, scale: float, look: Look) -> None:
        """The edges of what is hovered or selected, search matches, and the outlines of both."""
        lit: list[int] = []
        for box in dict.fromkeys((look.selected, look.hovered)):
            if 0 <= box < scene.count:
                lit += [*scene.edges_from(box).tolist(), *scene.edges_to(box).tolist()]
        if look.hovered_edge >= 0:
            lit.append(look.hovered_edge)
        if lit and look.edges_fade >= 1:
            painter.setPen(_cosmetic(self._accent, 1.8))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            for edge in lit[:600]:
                painter.drawPath(scene.path(edge))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self._accent)
            if scale >= SMOOTH:
                painter.drawPath(_arrows(scene, lit[:600]))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if look.matches is not None:
            painter.setPen(_cosmetic(self.theme.color("warning"), 2))
            grow = max(3.0, 2.5 / scale)
            for box in np.flatnonzero(look.matches[scene.boxes_in(view)]).tolist():
                rect = scene.rect(int(scene.boxes_in(view)[box]))
                painter.drawRoundedRect(rect.adjusted(-grow, -grow, grow, grow), RADIUS + 3, RADIUS + 3)
        for box, width in ((look.hovered, 1.0), (look.selected, 2.0)):
            if 0 <= box < scene.count:
                painter.setPen(_cosmetic(self._accent, width))
                painter.drawRoundedRect(scene.rect(box), RADIUS, RADIUS)

    def _edge_texts(self, painter: QPainter, scene: Scene, view: QRectF, scale: float, look: Look) -> None:
        """What flows along edges, beside the arrow's end, where there is room."""
        shown, metrics = self.font(SMALL, QFont.Weight.Normal)
        painter.setFont(shown)
        chosen = look.edge_texts
        if scale >= EDGE_TEXT:
            picture = scene.picture
            chosen = {edge: picture.tensor_text(edge) for edge in scene.edges_in(view).tolist()} | dict(chosen)
        taken: set[tuple[int, int]] = set()
        strong = set(look.edge_texts)
        captions = [QRectF(f.corner.x(), f.corner.y(), 240, 20) for f in scene.frames if f.rect.intersects(view)]
        for edge in sorted(chosen, key=lambda edge: edge not in strong):
            text = chosen[edge]
            x, y = scene.edge_points(edge)[-1].tolist()
            place = (round(x / 60), round(y / 14))
            if not text or place in taken or not view.contains(QPointF(x, y)):
                continue
            if edge not in strong and any(caption.contains(QPointF(x, y - 16)) for caption in captions):
                continue
            taken.add(place)
            painter.setPen(self._accent if edge in strong else self.theme.color("text_secondary"))
            painter.drawText(QPointF(x + 8, y - 12), metrics.elidedText(text, Qt.TextElideMode.ElideRight, 110))

    # -- boxes ---------------------------------------------------------------------------------------------------

    def _boxes(self, painter: QPainter, scene: Scene, boxes: Ints, colors: Ints, scale: float) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        rects, kinds = scene.qt_rects, scene.picture.folded.boxes
        mine = colors[boxes]
        for color in np.unique(mine).tolist():
            # Fills are pale, made to be read upon; without text they need more of its strength.
            painter.setBrush(
                self._fills[color] if scale >= NO_TEXT else _mixed(self._fills[color], self._texts[color], 0.2)
            )
            chosen = boxes[mine == color].tolist()
            if scale < NO_TEXT:
                painter.drawRects([rects[box] for box in chosen])
                continue
            for box in chosen:
                if kinds[box].kind == "scope":
                    self._scope(painter, rects[box], self._texts[color])
                else:
                    painter.drawRoundedRect(rects[box], RADIUS, RADIUS)

    def _scope(self, painter: QPainter, rect: QRectF, line: QColor) -> None:
        """A closed scope: a stack of boxes, outlined."""
        pen = _cosmetic(line, 1.0)
        color = QColor(line)
        color.setAlphaF(0.55)
        pen.setColor(color)
        painter.setPen(pen)
        for offset in (5.0, 0.0):
            painter.drawRoundedRect(rect.translated(offset, offset), RADIUS, RADIUS)
        painter.setPen(Qt.PenStyle.NoPen)

    def _dots(self, painter: QPainter, scene: Scene, boxes: Ints, colors: Ints, view: QRectF, scale: float) -> None:
        width, height = math.ceil(view.width() * scale) + 1, math.ceil(view.height() * scale) + 1
        image = np.zeros((height, width), np.uint32)
        table = np.array([_mixed(a, b, 0.45).rgba() for a, b in zip(self._fills, self._texts, strict=True)], np.uint32)
        left = np.asarray((scene.x[boxes] - BOX_WIDTH / 2 - view.left()) * scale, np.int64)
        top = np.asarray((scene.y[boxes] - BOX_HEIGHT / 2 - view.top()) * scale, np.int64)
        across, down = max(1, round(BOX_WIDTH * scale)), max(1, round(BOX_HEIGHT * scale))
        value = table[colors[boxes]]
        for dy in range(down):
            for dx in range(across):
                y, x = top + dy, left + dx
                inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
                image[y[inside], x[inside]] = value[inside]
        picture = QImage(image.data, width, height, 4 * width, QImage.Format.Format_ARGB32)
        painter.save()
        painter.resetTransform()
        painter.drawImage(0, 0, picture)
        painter.restore()

    def _box_texts(self, painter: QPainter, scene: Scene, boxes: Ints, colors: Ints, scale: float) -> None:
        kinds = scene.picture.folded.boxes
        two = scale >= TWO_LINES
        # Between the zooms one line, in letters that grow as the box shrinks.
        size = BODY if two else round(min(BOX_HEIGHT * 0.42, 9.5 / scale))
        bold, _ = self.font(size, QFont.Weight.DemiBold)
        small, _ = self.font(SMALL, QFont.Weight.Normal)
        room = int(BOX_WIDTH - 18)
        painter.setFont(bold)
        mine = colors[boxes]
        for color in np.unique(mine).tolist():
            painter.setPen(self._texts[color])
            for box in boxes[mine == color].tolist():
                rect, kind = scene.rect(box), kinds[box]
                text, _ = self.elided(kind.label, size, QFont.Weight.DemiBold, room)
                if two and kind.title:
                    painter.setFont(bold)
                    painter.drawText(QPointF(rect.left() + 9, rect.top() + 18.5), text)
                    painter.setFont(small)
                    title, _ = self.elided(kind.title, SMALL, QFont.Weight.Normal, room)
                    painter.drawText(QPointF(rect.left() + 9, rect.top() + 34.5), title)
                else:
                    painter.drawText(rect.adjusted(9, 0, -9, 0), Qt.AlignmentFlag.AlignVCenter, text)

    def _badges(self, painter: QPainter, scene: Scene, boxes: Ints, scale: float) -> None:
        """Round signs at the top right corner; only dots of their colour when far away."""
        marks = scene.picture.marks[boxes]
        marked = boxes[marks > 0]
        if not len(marked) or scale < DOTS:
            return
        radius = 8.0 if scale >= NO_TEXT else min(4.0 / scale, 26.0)
        for box, mark in zip(marked.tolist(), marks[marks > 0].tolist(), strict=True):
            draw_badge(painter, self.theme, scene.rect(box).topRight(), mark, radius)

    # -- labels of the map ---------------------------------------------------------------------------------------

    def _map_labels(self, painter: QPainter, scene: Scene, boxes: Ints, view: QRectF, scale: float) -> None:
        """From afar: names of frames, scopes and the boxes with most weights, readable, over nothing else."""
        kinds = scene.picture.folded.boxes
        wanted = [
            (frame.rect.topRight() + QPointF(6 / scale, 8 / scale), frame.caption, True)
            for frame in scene.frames
            if frame.rect.intersects(view) and frame.rect.height() * scale > 26
        ]
        for box in scene.most_telling(boxes, MAP_LABELS).tolist():
            scope = kinds[box].kind == "scope"
            name = kinds[box].label if scope else kinds[box].title.partition(" · ")[0]
            wanted.append((QPointF(scene.x[box] + BOX_WIDTH / 2 + 5 / scale, scene.y[box]), name, scope))
        room = _Room(view.width() * scale, view.height() * scale)
        room.take(
            (scene.x[boxes] - BOX_WIDTH / 2 - view.left()) * scale,
            (scene.y[boxes] - BOX_HEIGHT / 2 - view.top()) * scale,
            BOX_WIDTH * scale,
            BOX_HEIGHT * scale,
        )
        for place, text, strong in wanted:
            x, y = (place.x() - view.left()) * scale, (place.y() - view.top()) * scale
            weight = QFont.Weight.DemiBold if strong else QFont.Weight.Normal
            shown, metrics = self.font(SMALL, weight)
            text, width = self.elided(text, SMALL, weight, 150)
            if room.claim(x + 3, y - 7, width, 14):
                painter.setFont(shown)
                painter.setPen(self.theme.color("text" if strong else "text_secondary"))
                painter.drawText(QPointF(x, y + metrics.ascent() / 2 - 1), text)

    # -- fonts ---------------------------------------------------------------------------------------------------

    def font(self, size: int, weight: QFont.Weight) -> tuple[QFont, QFontMetricsF]:
        """A font of the program's and its metrics, made once."""
        key = (size, int(weight))
        if key not in self._fonts:
            made = font(size, weight)
            self._fonts[key] = (made, QFontMetricsF(made))
        return self._fonts[key]

    def elided(self, text: str, size: int, weight: QFont.Weight, room: int) -> tuple[str, float]:
        """``text`` in ``room`` pixels, the middle left out, and its width; remembered."""
        key = (text, size * 1000 + int(weight), room)
        found = self._elided.get(key)
        if found is None:
            if len(self._elided) > 50_000:
                self._elided.clear()
            metrics = self.font(size, weight)[1]
            short = metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, room)
            found = self._elided[key] = (short, metrics.horizontalAdvance(short))
        return found


class _Room:
    """Which parts of the screen are taken, in cells of a few pixels."""

    WIDE, HIGH = 8, 7

    def __init__(self, width: float, height: float) -> None:
        self._taken = np.zeros((int(height / self.HIGH) + 3, int(width / self.WIDE) + 3), bool)

    def take(self, left: NDArray[np.float64], top: NDArray[np.float64], width: float, height: float) -> None:
        """Take the rectangles of one size at these corners."""
        rows, columns = self._taken.shape
        # What is smaller than a cell takes the one in its middle: near enough, and half the work.
        downs = np.arange(0, height + self.HIGH, self.HIGH) if height >= self.HIGH else [height / 2]
        acrosses = np.arange(0, width + self.WIDE, self.WIDE) if width >= self.WIDE else [width / 2]
        for down in downs:
            y = np.asarray((top + min(down, height)) // self.HIGH, np.int64)
            for across in acrosses:
                x = np.asarray((left + min(across, width)) // self.WIDE, np.int64)
                inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
                self._taken[y[inside], x[inside]] = True

    def claim(self, left: float, top: float, width: float, height: float) -> bool:
        """Take a rectangle if all of it is free; what is outside is not."""
        if left < 0 or top < 0:
            return False
        rows = slice(int(top / self.HIGH), int((top + height) / self.HIGH) + 1)
        columns = slice(int(left / self.WIDE), int((left + width) / self.WIDE) + 1)
        if (
            rows.stop > self._taken.shape[0]
            or columns.start >= self._taken.shape[1]
            or self._taken[rows, columns].any()
        ):
            return False
        self._taken[rows, columns] = True
        return True


def _cosmetic(color: QColor, width: float = 1.0) -> QPen:
    pen = QPen(color, width)
    pen.setCosmetic(True)
    return pen


def _mixed(a: QColor, b: QColor, share: float) -> QColor:
    return QColor.fromRgbF(
        a.redF() + (b.redF() - a.redF()) * share,
        a.greenF() + (b.greenF() - a.greenF()) * share,
        a.blueF() + (b.blueF() - a.blueF()) * share,
    )


def _lightness(color: QColor) -> float:
    return 0.2126 * color.redF() + 0.7152 * color.greenF() + 0.0722 * color.blueF()


def _arrows(scene: Scene, edges: list[int]) -> QPainterPath:
    """Small heads at the edges' ends; lines end upright, so do the heads."""
    path = QPainterPath()
    for edge in edges:
        points = scene.edge_points(edge)
        x, y = points[-1].tolist()
        up = -1 if points[-2][1] <= y else 1
        path.addPolygon(QPolygonF([QPointF(x, y), QPointF(x - 4, y + 9 * up), QPointF(x + 4, y + 9 * up)]))
        path.closeSubpath()
    return path


def draw_badge(painter: QPainter, theme: Theme, center: QPointF, mark: int, radius: float) -> None:
    """A round badge with its sign; the sign is drawn, not written, so that it sits in the middle in every font."""
    painter.setPen(QPen(theme.color("graph_canvas"), radius * 0.18))
    painter.setBrush(theme.color(SIGNS[mark]))
    painter.drawEllipse(center, radius, radius)
    sign = theme.color("on_accent")
    if mark == CHANGED:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(sign)
        painter.drawEllipse(center, radius * 0.3, radius * 0.3)
        return
    pen = QPen(sign, radius * 0.26)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    painter.setPen(pen)
    arm = radius * 0.45
    painter.drawLine(center - QPointF(arm, 0), center + QPointF(arm, 0))
    if mark == ADDED:
        painter.drawLine(center - QPointF(0, arm), center + QPointF(0, arm))

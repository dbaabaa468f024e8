"""Paints a scene at any zoom: batched, culled, with less detail the farther away it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QImage, QPainter, QPainterPath, QPen, QPolygonF

from compressor_gui.core.layout import BOX_HEIGHT, BOX_WIDTH
from compressor_gui.gui.canvas.labels import Letters, caption, edge_texts, map_labels
from compressor_gui.gui.canvas.picture import ADDED, CHANGED, REMOVED
from compressor_gui.gui.canvas.scene import Frames, Ints, Scene
from compressor_gui.gui.theme import BODY, RADIUS, SMALL, Theme

NO_TEXT, TWO_LINES, EDGE_TEXT = 0.35, 0.75, 0.8
"""Zooms below which boxes have no text, only one line, and edges no text."""
SMOOTH = 0.25
"""The zoom below which nothing is antialiased and edges are straight."""
DOTS = 0.06
"""The zoom below which boxes are dots in an image that numpy fills."""
RAMP_STEPS = 24
PALE = 0.6
"""How much of a pale map is the canvas."""

SIGNS = {ADDED: "change_added", REMOVED: "change_removed", CHANGED: "change_changed"}
"""Mark -> the token of its badge's colour; the signs are +, − and a dot."""
CHANGE_FILL = 0.22


@dataclass(frozen=True)
class Ramp:
    """What the sequential map measures, in words, and what its palest and its strongest end stand for."""

    what: str = ""
    low: str = ""
    high: str = ""


@dataclass
class Look:
    """What is lit up: box indices, and amounts from 0 to 1 (NaN: none) where boxes are coloured by a quantity, ``pale``
    where that is of something earlier. ``tips``: box -> what its tooltip says beside."""

    selected: int = -1
    hovered: int = -1
    hovered_edge: int = -1
    matches: NDArray[np.bool_] | None = None
    amounts: NDArray[np.float64] | None = None
    ramp: Ramp = field(default_factory=Ramp)
    pale: bool = False
    tips: Mapping[int, str] = field(default_factory=dict)
    by_change: bool = False
    edges_fade: float = 1.0
    edge_texts: Mapping[int, str] = field(default_factory=dict)


class Painter:
    """Paints scenes in a theme's colours; texts and colours are kept between frames."""

    def __init__(self, theme: Theme) -> None:
        self.theme = theme
        self.letters = Letters()
        self.renew()

    def renew(self) -> None:
        """Take the theme's colours anew."""
        theme = self.theme
        families = ["convolution", "matmul", "activation", "pool", "normalisation", "quantized", "other"]
        self._family = {name: index for index, name in enumerate(families)}
        self._fills = [theme.op_colors(name)[0] for name in families]
        self._texts = [theme.op_colors(name)[1] for name in families]
        ramp = [theme.ramp(i / (RAMP_STEPS - 1)) for i in range(RAMP_STEPS)]
        pale = [_mixed(color, theme.color("graph_canvas"), PALE) for color in ramp]
        self._ramp_at = len(self._fills)
        for colors in (ramp, pale):
            self._fills += colors
            self._texts += [QColor("#1c2430") if _lightness(color) > 0.5 else QColor("#f4f6f9") for color in colors]
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
        return np.where(known, self._ramp_at + RAMP_STEPS * look.pale + step, self._change_at)

    def minimap_colors(self, scene: Scene, look: Look) -> list[tuple[QColor, list[int]]]:
        """Colours stronger than the fills, each with its boxes."""
        colors = self._colors(scene, look)
        every = np.unique(colors).tolist()
        return [(self._stronger(c, 0.3), np.flatnonzero(colors == c).tolist()) for c in every]

    def _stronger(self, color: int, share: float) -> QColor:
        """A fill with a share of its text's colour; one of the sequential map as it is, for it has a legend."""
        fill = self._fills[color]
        return fill if self._ramp_at <= color < self._change_at else _mixed(fill, self._texts[color], share)

    # -- one frame -----------------------------------------------------------------------------------------------

    def paint(self, painter: QPainter, scene: Scene, view: QRectF, scale: float, look: Look) -> None:
        """Paint what ``view`` shows at ``scale``; the painter's origin is the view's top left corner."""
        painter.save()
        painter.scale(scale, scale)
        painter.translate(-view.left(), -view.top())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, scale >= SMOOTH)
        painter.setRenderHint(QPainter.RenderHint.TextAntialiasing, True)
        frames = scene.frames_in(view)
        self._frames(painter, frames, scale)
        boxes = scene.boxes_in(view)
        colors = self._colors(scene, look)
        self._edges(painter, scene, view, scale, look)
        if scale >= NO_TEXT:
            self._captions(painter, frames, scale)
        if scale < DOTS:
            self._dots(painter, scene, boxes, colors, view, scale)
        else:
            self._boxes(painter, scene, boxes, colors, scale)
        self._lit(painter, scene, view, scale, look)
        if scale >= NO_TEXT:
            self._box_texts(painter, scene, boxes, colors, scale)
        self._badges(painter, scene, boxes, scale)
        if scale >= EDGE_TEXT or look.edge_texts:
            texts, picture = dict(look.edge_texts), scene.picture
            if scale >= EDGE_TEXT:
                texts = {edge: picture.tensor_text(edge) for edge in scene.edges_in(view).tolist()} | texts
            lit = np.fromiter(look.edge_texts, np.int64)
            edge_texts(painter, self.letters, self.theme, scene, frames, view, texts, lit)
        painter.restore()
        if scale < NO_TEXT:
            map_labels(painter, self.letters, self.theme, scene, frames, boxes, view, scale)

    # -- frames --------------------------------------------------------------------------------------------------

    def _frames(self, painter: QPainter, frames: Frames, scale: float) -> None:
        painter.setPen(_cosmetic(self.theme.color("hairline")))
        painter.setBrush(self.theme.color("op_other_fill", 0.28))
        for frame in frames.scopes:
            painter.drawPath(frame.path)
        pen = _cosmetic(self.theme.color("region_8bit_line"), 1.2)
        if scale >= SMOOTH:
            pen.setDashPattern([4, 3])
        painter.setPen(pen)
        painter.setBrush(self.theme.color("region_8bit_fill", 0.75))
        for frame in frames.regions:
            painter.drawPath(frame.path)
        painter.setPen(_cosmetic(self.theme.color("region_8bit_line"), 1.2))
        painter.setBrush(self.theme.color("graph_canvas"))
        if scale < SMOOTH:
            painter.drawRects([frame.rect for frame in frames.islands])
            return
        for frame in frames.islands:
            painter.drawPath(frame.path)

    def _captions(self, painter: QPainter, frames: Frames, scale: float) -> None:
        theme, size = self.theme, SMALL if scale >= TWO_LINES else 15
        canvas, scope = theme.color("graph_canvas"), theme.color("op_other_fill", 0.28)
        region, line, quiet = theme.color("region_8bit_fill", 0.75), theme.color("region_8bit_line"), "text_secondary"
        for some, color, back in (
            (frames.scopes, theme.color(quiet), scope),
            (frames.regions, line, region),
            (frames.islands, theme.color(quiet), canvas),
        ):
            for frame in some:
                caption(painter, self.letters, frame, color, [canvas, back], size)

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

    # -- boxes ---------------------------------------------------------------------------------------------------

    def _boxes(self, painter: QPainter, scene: Scene, boxes: Ints, colors: Ints, scale: float) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        rects, kinds = scene.qt_rects, scene.picture.folded.boxes
        mine = colors[boxes]
        for color in np.unique(mine).tolist():
            # Fills are pale, made to be read upon; without text they need more of its strength.
            painter.setBrush(self._fills[color] if scale >= NO_TEXT else self._stronger(color, 0.2))
            chosen = boxes[mine == color].tolist()
            if scale < NO_TEXT:
                painter.drawRects([rects[box] for box in chosen])
                continue
            for box in chosen:
                if kinds[box].kind == "scope":
                    self._scope(painter, rects[box], self._texts[color])
                else:
                    painter.drawRoundedRect(rects[box], RADIUS, RADIUS)
        if scale >= NO_TEXT:
            painter.setBrush(self.theme.color("region_8bit_line"))
            for box in boxes.tolist():
                if kinds[box].stored:
                    painter.drawRoundedRect(stored_mark(rects[box]), 1.5, 1.5)

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
        table = np.array([self._stronger(color, 0.45).rgba() for color in range(len(self._fills))], np.uint32)
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
        bold, _ = self.letters.font(size, QFont.Weight.DemiBold)
        small, _ = self.letters.font(SMALL)
        room = int(BOX_WIDTH - 18)
        painter.setFont(bold)
        mine = colors[boxes]
        for color in np.unique(mine).tolist():
            painter.setPen(self._texts[color])
            for box in boxes[mine == color].tolist():
                rect, kind = scene.rect(box), kinds[box]
                text, _ = self.letters.elided(kind.label, size, QFont.Weight.DemiBold, room)
                if two and kind.title:
                    painter.setFont(bold)
                    painter.drawText(QPointF(rect.left() + 9, rect.top() + 18.5), text)
                    painter.setFont(small)
                    title, _ = self.letters.elided(kind.title, SMALL, QFont.Weight.Normal, room)
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


def stored_mark(rect: QRectF) -> QRectF:
    """The bar at a box's left side which says that its weights are stored in 8 bits."""
    return QRectF(rect.left(), rect.top() + 6, 3, rect.height() - 12)


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

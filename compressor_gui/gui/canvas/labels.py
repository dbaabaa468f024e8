"""Letters on the canvas: fonts and short texts made once, captions, what flows along edges, names seen from afar."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter

from compressor_gui.core.captions import BRIEF
from compressor_gui.core.layout import BOX_HEIGHT, BOX_WIDTH
from compressor_gui.gui.canvas.scene import Frame, Frames, Ints, Scene
from compressor_gui.gui.theme import SMALL, Theme, font

MAP_LABELS = 150
"""So many boxes at most are tried for a name when seen from afar."""
_LONGEST_NAME, _SHORTEST_NAME, _LONGEST_EDGE_TEXT = 180, 60, 110


class Letters:
    """Fonts, their metrics and elided texts, kept between frames."""

    def __init__(self) -> None:
        self._elided: dict[tuple[str, int, int], tuple[str, float]] = {}
        self._fonts: dict[tuple[int, int], tuple[QFont, QFontMetricsF]] = {}

    def font(self, size: int, weight: QFont.Weight = QFont.Weight.Normal) -> tuple[QFont, QFontMetricsF]:
        """A font of the program's and its metrics, made once."""
        key = (size, int(weight))
        if key not in self._fonts:
            made = font(size, weight)
            self._fonts[key] = (made, QFontMetricsF(made))
        return self._fonts[key]

    def elided(self, text: str, size: int, weight: QFont.Weight, room: int) -> tuple[str, float]:
        """``text`` in ``room`` pixels and its width, remembered. The middle is left out, of the name first: what stands
        behind the first ``·`` tells more."""
        key = (text, size * 1000 + int(weight), room)
        found = self._elided.get(key)
        if found is None:
            if len(self._elided) > 50_000:
                self._elided.clear()
            metrics = self.font(size, weight)[1]
            name, dot, rest = text.partition(" · ")
            left = room - metrics.horizontalAdvance(dot + rest)
            if left > room / 5:
                short = metrics.elidedText(name, Qt.TextElideMode.ElideMiddle, left) + dot + rest
            else:
                short = metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, room)
            found = self._elided[key] = (short, metrics.horizontalAdvance(short))
        return found


def caption(painter: QPainter, letters: Letters, frame: Frame, color: QColor, backs: list[QColor], size: int) -> None:
    """A frame's caption; ``backs`` are painted behind it, over the edges that would strike it through."""
    shown, metrics = letters.font(size, QFont.Weight.DemiBold)
    elide = Qt.TextElideMode.ElideMiddle if frame.scope else Qt.TextElideMode.ElideRight
    text = metrics.elidedText(frame.caption, elide, frame.rect.width() - 24)
    at = frame.corner + QPointF(14, (7 if size <= SMALL else 2) + metrics.ascent())  # large ones need the room
    painter.setPen(Qt.PenStyle.NoPen)
    for back in backs:
        painter.fillRect(metrics.boundingRect(text).translated(at).adjusted(-2, 0, 2, 0), back)
    painter.setFont(shown)
    painter.setPen(color)
    painter.drawText(at, text)


def edge_texts(
    painter: QPainter,
    letters: Letters,
    theme: Theme,
    scene: Scene,
    frames: Frames,
    view: QRectF,
    texts: Mapping[int, str],
    lit: Ints,
) -> None:
    """What flows along edges, beside the arrow's end, where there is room; the ``lit`` ones first."""
    shown, metrics = letters.font(SMALL)
    painter.setFont(shown)
    taken = [QRectF(frame.corner.x() + 10, frame.corner.y() + 4, 200, 16) for kind in frames for frame in kind]
    strong = set(lit.tolist())
    back = theme.color("graph_canvas", 0.85)
    for edge in sorted(texts, key=lambda edge: edge not in strong):
        x, y = scene.edge_points(edge)[-1].tolist()
        if not texts[edge] or not view.contains(QPointF(x, y)):
            continue
        text = metrics.elidedText(texts[edge], Qt.TextElideMode.ElideRight, _LONGEST_EDGE_TEXT)
        room = QRectF(x + 6, y - 23, metrics.horizontalAdvance(text) + 4, 14)
        if any(other.intersects(room) for other in taken):
            continue
        taken.append(room)
        painter.fillRect(room, back)
        painter.setPen(theme.color("accent_and_threshold" if edge in strong else "text_secondary"))
        painter.drawText(QPointF(x + 8, y - 12), text)


def map_labels(
    painter: QPainter,
    letters: Letters,
    theme: Theme,
    scene: Scene,
    frames: Frames,
    boxes: Ints,
    view: QRectF,
    scale: float,
) -> None:
    """From afar: names of frames and scopes, and names and ops of the boxes with most weights, over nothing else."""
    kinds, graph = scene.picture.folded.boxes, scene.picture.graph
    wanted = [
        (frame.rect.topRight() + QPointF(6 / scale, 8 / scale), frame.caption.partition(" · ")[0], True)
        for frame in (*frames.scopes, *frames.regions)
        if frame.rect.height() * scale > 26
    ]
    for box in scene.most_telling(boxes, MAP_LABELS).tolist():
        kind = kinds[box]
        scope = kind.kind == "scope"
        op = "" if scope else graph[kind.members[0]].op
        text = kind.label if scope else f"{kind.title.partition(' · ')[0]} · {BRIEF.get(op, op)}"
        wanted.append((QPointF(scene.x[box] + BOX_WIDTH / 2 + 5 / scale, scene.y[box]), text, scope))
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
        shown, metrics = letters.font(SMALL, weight)
        fits = min(_LONGEST_NAME, int(view.width() * scale - x - 8) // 20 * 20)
        if fits < _SHORTEST_NAME:
            continue
        text, width = letters.elided(text, SMALL, weight, fits)
        if room.claim(x + 3, y - 7, width, 14):
            painter.setFont(shown)
            painter.setPen(theme.color("text" if strong else "text_secondary"))
            painter.drawText(QPointF(x, y + metrics.ascent() / 2 - 1), text)


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
        inside = rows.stop <= self._taken.shape[0] and columns.stop <= self._taken.shape[1]
        if not inside or self._taken[rows, columns].any():
            return False
        self._taken[rows, columns] = True
        return True

"""A picture as arrays: what is in view, and what is under a point. Units are those of the layout (pixels at 1:1)."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRectF
from PySide6.QtGui import QPainterPath

from compressor_gui.core.layout import BOX_HEIGHT, BOX_WIDTH, ROW
from compressor_gui.gui.canvas.picture import Picture

REGION_MARGIN = 16.0
ISLAND_MARGIN = 6.0
CAPTION_SPACE = 14.0
_LARGEST_OUTLINE = 300
"""A region of more boxes is always a rectangle: joining outlines takes time that grows with their square."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Way = Literal["up", "down", "left", "right"]


@dataclass(frozen=True, eq=False)
class Frame:
    """What stands behind boxes, an 8-bit region or an open scope; its caption begins at ``corner``."""

    rect: QRectF
    path: QPainterPath
    corner: QPointF
    caption: str
    scope: str = ""


class Frames(NamedTuple):
    """Some frames, kind by kind."""

    scopes: list[Frame]
    regions: list[Frame]
    islands: list[Frame]


class Scene:
    """The geometry of one picture; ``x`` and ``y`` may be in between two layouts while it moves."""

    def __init__(self, picture: Picture, x: Floats | None = None, y: Floats | None = None) -> None:
        self.picture = picture
        self.x = picture.layout.x if x is None else x
        self.y = picture.layout.y if y is None else y
        self.count = len(self.x)
        self._paths: dict[int, QPainterPath] = {}

    # -- extent --------------------------------------------------------------------------------------------------

    @cached_property
    def bounds(self) -> QRectF:
        """The rectangle around all boxes, edges and frames."""
        if not self.count:
            return QRectF()
        xs, ys = self._corners
        box = QRectF(float(xs.min()), float(ys.min()), float(np.ptp(xs)), float(np.ptp(ys)))
        for frame in self.frames:
            box = box.united(frame.rect)
        return box

    @property
    def _corners(self) -> tuple[Floats, Floats]:
        bends = self.picture.layout.bends
        xs = np.concatenate([self.x - BOX_WIDTH / 2, self.x + BOX_WIDTH / 2, bends[:, 0]])
        ys = np.concatenate([self.y - BOX_HEIGHT / 2, self.y + BOX_HEIGHT / 2, bends[:, 1]])
        return xs, ys

    def rect(self, index: int) -> QRectF:
        """A box's rectangle."""
        return QRectF(self.x[index] - BOX_WIDTH / 2, self.y[index] - BOX_HEIGHT / 2, BOX_WIDTH, BOX_HEIGHT)

    def rect_of(self, indices: Ints | list[int]) -> QRectF:
        """The rectangle around some boxes."""
        if not len(indices):
            return QRectF()
        x, y = self.x[indices], self.y[indices]
        return QRectF(
            QPointF(x.min() - BOX_WIDTH / 2, y.min() - BOX_HEIGHT / 2),
            QPointF(x.max() + BOX_WIDTH / 2, y.max() + BOX_HEIGHT / 2),
        )

    def boxes_in(self, view: QRectF) -> Ints:
        """The boxes that a rectangle touches, in the picture's order."""
        order, y = self._from_top
        first = np.searchsorted(y, view.top() - BOX_HEIGHT / 2, "right")
        last = np.searchsorted(y, view.bottom() + BOX_HEIGHT / 2, "left")
        near = order[first:last]
        x = self.x[near]
        return np.sort(near[(x > view.left() - BOX_WIDTH / 2) & (x < view.right() + BOX_WIDTH / 2)])

    @cached_property
    def _from_top(self) -> tuple[Ints, Floats]:
        """The boxes from top to bottom, and their y."""
        order = np.argsort(self.y, kind="stable")
        return order, self.y[order]

    def most_telling(self, boxes: Ints, count: int) -> Ints:
        """Of these boxes the first ``count``: scopes, then those with most bytes."""
        here = np.zeros(self.count, bool)
        here[boxes] = True
        found: Ints = self._by_weight[here[self._by_weight]][:count]
        return found

    @cached_property
    def _by_weight(self) -> Ints:
        boxes = self.picture.folded.boxes
        weight = np.array([box.bytes for box in boxes], np.int64)
        closed = np.array([box.kind == "scope" for box in boxes], bool)
        return np.lexsort((-weight, ~closed))

    def box_at(self, point: QPointF, margin: float = 0.0) -> int:
        """The box under a point, or -1."""
        inside = np.flatnonzero(
            (np.abs(self.x - point.x()) <= BOX_WIDTH / 2 + margin)
            & (np.abs(self.y - point.y()) <= BOX_HEIGHT / 2 + margin)
        )
        return int(inside[-1]) if len(inside) else -1

    # -- edges ---------------------------------------------------------------------------------------------------

    @cached_property
    def _points(self) -> tuple[Floats, Ints]:
        """All edges' points in a row, and where each edge's begin: out of a box's bottom, bends, into a box's top.

        Edges that share an end spread along it, in the order of where they come from or go to.
        """
        edges = self.picture.folded.edges.astype(np.int64)
        layout = self.picture.layout
        counts = np.diff(layout.bend_start) + 2
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        points = np.zeros((int(starts[-1]), 2))
        middle = np.ones(len(points), bool)
        first, last = starts[:-1], starts[1:] - 1
        middle[first] = middle[last] = False
        points[middle] = layout.bends
        source, target = edges[:, 0], edges[:, 1]
        down = self.y[source] < self.y[target]  # a loop's edge leads up
        half = np.where(down, BOX_HEIGHT / 2, -BOX_HEIGHT / 2)
        points[first] = np.stack([self.x[source], self.y[source] + half], 1)
        points[last] = np.stack([self.x[target], self.y[target] - half], 1)
        if len(edges):
            points[first, 0] += _spread(source, points[first + 1, 0])
            points[last, 0] += _spread(target, points[last - 1, 0])
        return points, starts

    @cached_property
    def _boxes_of_edges(self) -> tuple[Floats, Floats, Floats, Floats]:
        points, starts = self._points
        if len(starts) < 2:
            empty = np.zeros(0)
            return empty, empty, empty, empty
        low = np.minimum.reduceat(points, starts[:-1])
        high = np.maximum.reduceat(points, starts[:-1])
        return low[:, 0], low[:, 1], high[:, 0], high[:, 1]

    def edges_in(self, view: QRectF) -> Ints:
        """The edges whose bounds a rectangle touches."""
        left, top, right, bottom = self._boxes_of_edges
        return np.flatnonzero(
            (left <= view.right()) & (right >= view.left()) & (top <= view.bottom()) & (bottom >= view.top())
        )

    @cached_property
    def segments(self) -> Floats:
        """All edges as straight pieces, (pieces, 4): x1, y1, x2, y2."""
        points, starts = self._points
        pieces = np.ones(max(len(points) - 1, 0), bool)
        pieces[starts[1:-1] - 1] = False
        found: Floats = np.concatenate([points[:-1], points[1:]], 1)[pieces]
        return found

    @cached_property
    def _segment_bounds(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        x1, y1, x2, y2 = self.segments.T
        left, top, right, bottom = np.minimum(x1, x2), np.minimum(y1, y2), np.maximum(x1, x2), np.maximum(y1, y2)
        return left, top, right, bottom, right - left + bottom - top

    def lines_in(self, view: QRectF, shortest: float) -> list[QLineF]:
        """The straight pieces that a rectangle touches, but for those shorter than ``shortest``."""
        left, top, right, bottom, length = self._segment_bounds
        inside = (left <= view.right()) & (right >= view.left()) & (top <= view.bottom()) & (bottom >= view.top())
        return [self._qt_lines[i] for i in np.flatnonzero(inside & (length >= shortest)).tolist()]

    def edge_points(self, edge: int) -> Floats:
        """An edge's points, from its producer to its consumer."""
        points, starts = self._points
        return points[starts[edge] : starts[edge + 1]]

    def path(self, edge: int) -> QPainterPath:
        """An edge as a smooth line that leaves and enters boxes upright."""
        found = self._paths.get(edge)
        if found is None:
            found = self._paths[edge] = _smooth(self.edge_points(edge).tolist())
        return found

    @cached_property
    def _edges_of_boxes(self) -> tuple[Ints, Ints, Ints, Ints]:
        edges = self.picture.folded.edges
        outgoing, incoming = np.argsort(edges[:, 0], kind="stable"), np.argsort(edges[:, 1], kind="stable")
        boxes = np.arange(self.count + 1)
        return (
            outgoing, np.searchsorted(edges[outgoing, 0], boxes),
            incoming, np.searchsorted(edges[incoming, 1], boxes),
        )  # fmt: skip

    def edges_from(self, box: int) -> Ints:
        """The edges that leave a box."""
        order, starts, _, _ = self._edges_of_boxes
        return order[starts[box] : starts[box + 1]]

    def edges_to(self, box: int) -> Ints:
        """The edges that enter a box."""
        _, _, order, starts = self._edges_of_boxes
        return order[starts[box] : starts[box + 1]]

    def edge_at(self, point: QPointF, reach: float) -> int:
        """The edge within ``reach`` of a point, or -1."""
        near = self.edges_in(QRectF(point.x() - reach, point.y() - reach, 2 * reach, 2 * reach))
        best, nearest = -1, reach
        for edge in near[:400]:
            points = self.edge_points(int(edge))
            a, b = points[:-1], points[1:]
            at = np.array([point.x(), point.y()])
            along = np.clip(_dot(at - a, b - a) / np.maximum(_dot(b - a, b - a), 1e-9), 0, 1)
            distance = float(np.min(np.hypot(*(a + along[:, None] * (b - a) - (point.x(), point.y())).T)))
            if distance < nearest:
                best, nearest = int(edge), distance
        return best

    def neighbour(self, box: int, way: Way) -> int:
        """The box one step from another: along an edge, or beside it in its row. From none (-1), the top box."""
        if box < 0:
            return int(np.argmin(self.y))
        if way in ("up", "down"):
            edges = self.edges_to(box) if way == "up" else self.edges_from(box)
            others = self.picture.folded.edges[edges, 0 if way == "up" else 1]
            if not len(others):
                return box
            return int(others[np.argmin(np.hypot(self.x[others] - self.x[box], self.y[others] - self.y[box]))])
        row = np.abs(self.y - self.y[box]) < 1
        beside = np.flatnonzero(row & ((self.x < self.x[box]) if way == "left" else (self.x > self.x[box])))
        return int(beside[np.argmin(np.abs(self.x[beside] - self.x[box]))]) if len(beside) else box

    # -- frames --------------------------------------------------------------------------------------------------

    @cached_property
    def regions(self) -> tuple[Frame, ...]:
        """The 8-bit regions: rectangles, or outlines of their boxes where a rectangle would hold strangers. A float
        island is none: it has a frame of its own in there."""
        folded = self.picture.folded
        inside = {box for island in folded.islands for box in island.boxes}
        half = (ROW - BOX_HEIGHT) / 2  # so far boxes grow until those in neighbouring rows meet
        margins = (REGION_MARGIN, REGION_MARGIN + CAPTION_SPACE, REGION_MARGIN)
        grown = (REGION_MARGIN, half, half)
        return tuple(self._frame(region.boxes, region.caption, margins, grown, inside) for region in folded.regions)

    @cached_property
    def islands(self) -> tuple[Frame, ...]:
        """The float islands, in frames so narrow that arrows show above and below."""
        margins = (ISLAND_MARGIN, ISLAND_MARGIN + CAPTION_SPACE, ISLAND_MARGIN)
        grown = (ISLAND_MARGIN, (ROW - BOX_HEIGHT) / 2, (ROW - BOX_HEIGHT) / 2)
        return tuple(self._frame(one.boxes, one.caption, margins, grown) for one in self.picture.folded.islands)

    def _frame(
        self,
        boxes: Sequence[int],
        caption: str,
        margins: tuple[float, float, float],
        grown: tuple[float, float, float],
        allowed: Set[int] = frozenset(),
    ) -> Frame:
        """A frame around boxes: a rectangle with ``margins`` (at the sides, above, below), or where that would hold
        others than the ``allowed`` ones, the outline of the boxes ``grown`` by as much."""
        side, above, below = margins
        rect = self.rect_of(list(boxes)).adjusted(-side, -above, side, below)
        path, corner = QPainterPath(), rect.topLeft()
        held = set(self.boxes_in(rect).tolist())
        if held <= allowed | set(boxes) or len(boxes) > _LARGEST_OUTLINE:
            path.addRoundedRect(rect, 10, 10)
        else:
            path = self._outline(boxes, grown, above)
            top = min(boxes, key=lambda box: (self.y[box], self.x[box]))
            corner.setX(self.rect(top).left() - side)
        return Frame(rect, path, corner, caption)

    def _outline(self, boxes: Sequence[int], grown: tuple[float, float, float], first: float) -> QPainterPath:
        """The outline of boxes that are ``grown``; the uppermost, by ``first`` upward, have room for a caption."""
        path = QPainterPath()
        side, above, below = grown
        top = self.y[list(boxes)].min()
        for box in boxes:
            one = QPainterPath()
            up = max(above, first) if self.y[box] == top else above
            one.addRect(self.rect(box).adjusted(-side, -up, side, below))
            path = path.united(one)
        return path.simplified()

    @cached_property
    def scopes(self) -> tuple[Frame, ...]:
        """The open scopes that hold their rectangle alone, outermost first: a frame around strangers would mislead.

        Left out are those whose caption would stand on another's: in an 8-bit region, or at the top of an outer scope.
        """
        folded = self.picture.folded
        inside: dict[str, list[int]] = {}
        parents = {box.id: box.scope for box in folded.boxes if box.kind == "scope"}
        for index, box in enumerate(folded.boxes):
            scope = box.scope
            while scope:
                inside.setdefault(scope, []).append(index)
                scope = self._parent(scope, parents)
        in_regions = {box for region in folded.regions for box in region.boxes}
        frames: list[Frame] = []
        for scope in sorted(inside, key=len):
            rect = self.rect_of(inside[scope])
            if len(inside[scope]) < 2 or not in_regions.isdisjoint(inside[scope]):
                continue
            if len(inside[scope]) != len(self.boxes_in(rect.adjusted(1, 1, -1, -1))):
                continue
            rect.adjust(*_margins(CAPTION_SPACE, max(13.0 - scope.count("/"), 8.0)))
            if any(f.rect.intersects(rect) and abs(f.rect.top() - rect.top()) < CAPTION_SPACE for f in frames):
                continue
            path = QPainterPath()
            path.addRoundedRect(rect, 10, 10)
            frames.append(Frame(rect, path, rect.topLeft(), scope.rstrip("/").rsplit("/", 1)[-1], scope))
        return tuple(frames)

    def _parent(self, scope: str, known: dict[str, str]) -> str:
        if scope not in known:
            scopes = self.picture.folded.scopes
            outer = scope.rstrip("/")
            while "/" in outer:
                outer = outer.rpartition("/")[0]
                if outer + "/" in scopes:
                    known[scope] = outer + "/"
                    break
            else:
                known[scope] = ""
        return known[scope]

    @property
    def frames(self) -> tuple[Frame, ...]:
        """All frames but those of islands, which stand inside or between the others."""
        return (*self.scopes, *self.regions)

    def frames_in(self, view: QRectF) -> Frames:
        """The frames that a rectangle touches: there may be thousands."""
        kinds = (self.scopes, self.regions, self.islands)
        pairs = zip(kinds, self._frame_bounds, strict=True)
        return Frames(*([frames[at] for at in _touched(bounds, view)] for frames, bounds in pairs))

    @cached_property
    def _frame_bounds(self) -> tuple[Floats, ...]:
        """For scopes, regions and islands the rectangles' (frames, 4): left, top, right, bottom."""
        kinds = (self.scopes, self.regions, self.islands)
        rects = ([f.rect.getCoords() for f in frames] for frames in kinds)
        return tuple(np.array(found, np.float64).reshape(-1, 4) for found in rects)

    # -- lists for batched drawing -------------------------------------------------------------------------------

    @cached_property
    def _qt_lines(self) -> list[QLineF]:
        return [QLineF(*row) for row in self.segments.tolist()]

    @cached_property
    def qt_rects(self) -> list[QRectF]:
        """Every box's rectangle, made once."""
        lefts, tops = (self.x - BOX_WIDTH / 2).tolist(), (self.y - BOX_HEIGHT / 2).tolist()
        return [QRectF(x, y, BOX_WIDTH, BOX_HEIGHT) for x, y in zip(lefts, tops, strict=True)]


def _touched(bounds: Floats, view: QRectF) -> list[int]:
    left, top, right, bottom = bounds.T
    inside = (left <= view.right()) & (right >= view.left()) & (top <= view.bottom()) & (bottom >= view.top())
    found: list[int] = np.flatnonzero(inside).tolist()
    return found


def _margins(caption: float, side: float = REGION_MARGIN) -> tuple[float, float, float, float]:
    return -side, -side - caption, side, side


def _dot(a: Any, b: Any) -> Any:
    return np.sum(a * b, axis=-1)


def _spread(box: Ints, toward: Floats) -> Floats:
    """Offsets along a box's side for the edges that meet it there, in the order of where they lead."""
    order = np.lexsort((toward, box))
    ordered = box[order]
    start = np.searchsorted(ordered, ordered, side="left")
    size = np.searchsorted(ordered, ordered, side="right") - start
    rank = np.arange(len(box)) - start
    step = np.minimum(14.0, (BOX_WIDTH - 24) / np.maximum(size, 1))
    offsets = np.zeros(len(box))
    offsets[order] = (rank - (size - 1) / 2) * step
    return offsets


def _smooth(points: list[list[float]]) -> QPainterPath:
    path = QPainterPath(QPointF(*points[0]))
    for (x1, y1), (x2, y2) in pairwise(points):
        if abs(x1 - x2) < 0.5:
            path.lineTo(x2, y2)
        else:
            middle = (y1 + y2) / 2
            path.cubicTo(x1, middle, x2, middle, x2, y2)
    return path

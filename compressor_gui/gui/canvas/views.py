"""What the canvases look at together: one zoom, one height, and a fixed distance sideways."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF

from compressor_gui.core.layout import BOX_WIDTH
from compressor_gui.gui.canvas.painter import NO_TEXT
from compressor_gui.gui.canvas.view import READABLE, Canvas

FIRST_ZOOM = 0.5
"""A first look is as far away as the width needs, but not farther than this."""


class Views:
    """Moves one or two canvases. ``offset`` is the second's middle as seen from the first's: usually level with it.

    Until a hand moves the view it keeps to what was asked for last, a first look or the whole graph, whatever the size
    of the canvases or the picture becomes.
    """

    def __init__(self, canvases: Sequence[Canvas]) -> None:
        self._canvases = tuple(canvases)
        self._keeps: Callable[[], None] | None = None
        self._offset = QPointF()
        for canvas in self._canvases:
            canvas.moved.connect(lambda canvas=canvas: self.follow(canvas))
            canvas.resized.connect(self._resized)

    @property
    def shown(self) -> tuple[Canvas, ...]:
        """The canvases that have a picture."""
        return tuple(canvas for canvas in self._canvases if canvas.destination is not None)

    # -- the whole -----------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """See all of both graphs."""
        bounds = self._bounds()
        if bounds:
            self._look([QPointF(rect.center()) for rect in bounds], self._zoom(bounds))
        self._keeps = self.fit

    def first_look(self) -> None:
        """See all where that is readable; else the top, and its width where that is."""
        bounds = self._bounds()
        if bounds:
            zoom = self._zoom(bounds)
            if zoom >= READABLE:
                self._look([QPointF(rect.center()) for rect in bounds], zoom)
            else:
                flat = [QRectF(rect.left(), rect.top(), rect.width(), 1) for rect in bounds]
                zoom = self._zoom(flat)
                zoom = min(zoom, READABLE) if zoom >= FIRST_ZOOM else self._readable()
                centers = [self._top(canvas, rect, zoom) for canvas, rect in zip(self.shown, bounds, strict=True)]
                self._look(centers, zoom)
        self._keeps = self.first_look

    def _bounds(self) -> list[QRectF]:
        """The pictures' bounds, all as high as the highest."""
        found = [canvas.destination.bounds for canvas in self.shown if canvas.destination is not None]
        top, bottom = min((r.top() for r in found), default=0), max((r.bottom() for r in found), default=0)
        return [QRectF(rect.left(), top, rect.width(), bottom - top) for rect in found]

    def _zoom(self, rects: Sequence[QRectF]) -> float:
        return min(canvas.fit_zoom(rect) for canvas, rect in zip(self.shown, rects, strict=True))

    def _readable(self) -> float:
        """The zoom at which a box can be read, and is in view from side to side."""
        return min([READABLE, *(canvas.fit_zoom(QRectF(0, 0, BOX_WIDTH, 1)) for canvas in self.shown)])

    @staticmethod
    def _top(canvas: Canvas, bounds: QRectF, zoom: float) -> QPointF:
        """The middle of the view that shows a picture's top; of one that is too wide, the part that something hangs on:
        boxes without an edge, as constants that nobody reads, don't count."""
        scene = canvas.destination
        assert scene is not None
        half, margin = canvas.width() / zoom / 2, canvas.margin / zoom
        x = bounds.center().x()
        if bounds.width() + 2 * margin > 2 * half and scene.count:
            sources = np.unique(scene.picture.folded.edges[:, 0])
            joined = sources if len(sources) else np.arange(scene.count)
            roots = scene.x[joined][scene.y[joined] <= scene.y[joined].min()]
            low, high = bounds.left() + half - margin, bounds.right() - half + margin
            x = float(np.clip(np.median(roots), low, max(low, high)))
        return QPointF(x, bounds.top() + canvas.height() / zoom / 2 - margin)

    def _look(self, centers: Sequence[QPointF], zoom: float) -> None:
        for canvas, center in zip(self.shown, centers, strict=True):
            canvas.go_to(center, zoom)
        self._offset = centers[-1] - centers[0]

    # -- together ------------------------------------------------------------------------------------------------

    def follow(self, leader: Canvas) -> None:
        """One canvas was moved: the other goes along, as far as it has a picture there."""
        self._keeps = None
        for canvas in self.shown:
            if canvas is not leader:
                canvas.look_at(self._beside(canvas, leader.center), leader.zoom)

    def _beside(self, canvas: Canvas, center: QPointF) -> QPointF:
        """Where a canvas looks when the other one looks at ``center``: never past its own picture's sides."""
        away = self._offset if canvas is self._canvases[-1] else -self._offset
        scene = canvas.destination
        assert scene is not None
        x = float(np.clip(center.x() + away.x(), scene.bounds.left(), scene.bounds.right()))
        return QPointF(x, center.y() + away.y())

    def _resized(self) -> None:
        if self._keeps is not None:
            self._keeps()

    # -- a new picture -------------------------------------------------------------------------------------------

    def renew(self, leader: Canvas, *, anchored: bool) -> None:
        """Pictures have been set. The view stays with what ``leader`` holds on to if that was asked for (``anchored``)
        or a hand has moved it before, as long as there is something to see in every canvas."""
        if self._keeps is not None and not anchored:
            self._keeps()
            return
        self._keeps = None
        shown = self.shown
        if len(shown) > 1:
            middles = [rect.center().x() for rect in self._bounds()]
            self._offset = QPointF(middles[-1] - middles[0], 0)
        center, zoom = leader.last_view
        for canvas in shown:
            if canvas is not leader:
                canvas.go_to(self._beside(canvas, center), zoom)
        if not all(canvas.sees_boxes() for canvas in shown):
            self.first_look()

    # -- boxes ---------------------------------------------------------------------------------------------------

    def reveal(self, boxes: Sequence[int], leader: Canvas, *, by_hand: bool = False) -> None:
        """Bring a box of each canvas into view (-1: none there), and move no more than needed.

        ``by_hand``: what was chosen in the leader stands there already, however small.
        """
        wanted = dict(zip(self.shown, boxes, strict=True))
        lead = leader if wanted.get(leader, -1) >= 0 else next((c for c, box in wanted.items() if box >= 0), None)
        if lead is None or lead.destination is None:
            return
        center, zoom = lead.last_view
        if not by_hand and zoom < NO_TEXT:
            zoom = self._readable()
        rect = lead.destination.rect(wanted[lead])
        stays = zoom == lead.last_view[1] and lead.shows(rect, center, zoom, whole=not by_hand)
        if not stays:
            center = rect.center()
            lead.look_at(center, zoom)
            self._keeps = None
        for canvas, box in wanted.items():
            if canvas is lead or canvas.destination is None:
                continue
            place = self._beside(canvas, center)
            if box >= 0:
                place = self._showing(canvas, canvas.destination.rect(box), center, zoom, [place] if stays else [])
                self._offset = place - center if canvas is self._canvases[-1] else center - place
            if (place, zoom) != canvas.last_view:
                canvas.look_at(place, zoom)
                self._keeps = None

    def _showing(
        self, canvas: Canvas, rect: QRectF, center: QPointF, zoom: float, places: Sequence[QPointF]
    ) -> QPointF:
        """The first of some places to look at from which a rectangle is in view, then level with the other canvas
        where that can be."""
        level = QPointF(self._beside(canvas, center).x(), center.y())
        tries = [*places, level, QPointF(rect.center().x(), center.y()), rect.center()]
        return next((place for place in tries if canvas.shows(rect, place, zoom)), rect.center())

"""Frames of panning and zooming, every node a box of its own: constants shown, scopes open, nothing joined."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QPointF
from PySide6.QtWidgets import QApplication

from compressor_gui.core.fold import fold
from compressor_gui.gui.canvas.picture import Folding, single
from compressor_gui.gui.canvas.view import Canvas
from compressor_gui.gui.theme import Theme, load_fonts
from tests.benchmarks.report import Row, main, median_seconds
from tests.benchmarks.synthetic import network

FRAMES = 60
THOUSAND = 1_000


def frame(move: Callable[[], None], canvas: Canvas) -> None:
    """Move and paint at once."""
    move()
    canvas.repaint()


def pan_and_zoom(canvas: Canvas) -> tuple[float, float]:
    """The median frame of panning to and fro, and of zooming in and out, in milliseconds."""
    steps = cycle([QPointF(7, 5), QPointF(-7, -5)])
    factors = cycle([1.05, 1 / 1.05])
    pan = median_seconds(partial(frame, lambda: canvas.pan(next(steps)), canvas), FRAMES)
    zoom = median_seconds(partial(frame, lambda: canvas.zoom_by(next(factors)), canvas), FRAMES)
    return 1e3 * pan, 1e3 * zoom


def look_at(canvas: Canvas, zoom: float) -> None:
    """The middle of the graph, from near or far."""
    assert canvas.scene is not None
    canvas.set_view(canvas.scene.bounds.center(), zoom)


def zoom_for(canvas: Canvas, boxes: int) -> float:
    """The zoom at which about ``boxes`` boxes are in view at the middle of the graph, found by bisection."""
    low, high = canvas.zoom, 1.0
    for _ in range(20):
        middle = (low * high) ** 0.5
        look_at(canvas, middle)
        assert canvas.scene is not None
        low, high = (middle, high) if len(canvas.scene.boxes_in(canvas.view_rect())) > boxes else (low, middle)
    return low


def rows() -> Iterator[Row]:
    """Each size from far, from the middle and from near."""
    app = QApplication([])
    app.setStyle("Fusion")
    load_fonts()
    for nodes, limit in ((10_000, 16), (100_000, 33)):
        graph = network(nodes, 1, branches=round(nodes**0.5 / 8))
        picture = single(graph, Folding(frozenset(fold(graph, ()).scopes), constants=True, chains=False))
        canvas = Canvas(Theme("light"))
        canvas.resize(1280, 800)
        canvas.show()
        canvas.set_picture(picture, fresh=True)
        canvas.fit()
        app.processEvents()
        far = canvas.zoom
        for view, zoom in (("whole graph", far), ("1,000 boxes", zoom_for(canvas, THOUSAND)), ("1:1", 1.0)):
            look_at(canvas, zoom)
            assert canvas.scene is not None
            note = f"{len(canvas.scene.boxes_in(canvas.view_rect())):,} of {canvas.scene.count:,} boxes in view"
            pan, zoom = pan_and_zoom(canvas)
            yield Row(f"{nodes:,} nodes, {view}, pan", pan, "ms", limit, note)
            yield Row(f"{nodes:,} nodes, {view}, zoom", zoom, "ms", limit)
        canvas.close()


if __name__ == "__main__":
    main("Canvas: pan and zoom frames, 1280x800, drawn by the processor", rows)

"""The canvas keeps its place and its selection while one picture turns into the next."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PySide6.QtCore import QPointF

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import apply, parse
from compressor_gui.gui.canvas.picture import Folding, Picture, single
from compressor_gui.gui.canvas.view import Canvas
from compressor_gui.gui.canvas.views import Views
from compressor_gui.gui.theme import Theme
from tests.support import const, conv_net

LAYER = "dense"


def picture(graph: ModelGraph) -> Picture:
    return single(graph, Folding())


def place(canvas: Canvas, node: str) -> QPointF:
    """Where on the screen the box stands that holds a node."""
    assert canvas.scene is not None
    return canvas.to_widget(canvas.scene.rect(canvas.scene.picture.folded.owner[node]).center())


@pytest.fixture
def canvas(theme: Theme) -> Iterator[Canvas]:
    made = Canvas(theme)
    made.resize(700, 900)
    made.show()
    made.set_picture(picture(conv_net()), fresh=True)
    Views([made]).first_look()
    made.set_selected(LAYER)
    yield made
    made.close()
    made.deleteLater()


@pytest.fixture
def longer() -> Picture:
    """The same network with boxes before the layer's, so that the layer's has another number."""
    return single(apply(parse("quantize_weights(minimum_size=1)"), conv_net()).graph, Folding(constants=True))


def test_a_node_chosen_while_boxes_move_is_the_one_outlined(canvas: Canvas, longer: Picture) -> None:
    assert canvas.picture is not None
    assert canvas.picture.folded.owner[LAYER] != longer.folded.owner[LAYER]
    canvas.set_picture(longer)
    assert canvas.moving
    canvas.set_selected(LAYER)
    canvas.finish_moving()
    assert canvas.look.selected == longer.folded.owner[LAYER]


def test_the_first_look_is_at_what_is_joined_whatever_lies_beside_it(canvas: Canvas) -> None:
    """Constants that nobody reads, more than the view is wide, don't draw it away from the input."""
    loose = [const(f"loose{at}", np.zeros(2, np.float32)) for at in range(12)]
    model = conv_net()
    canvas.set_picture(picture(ModelGraph((*loose, *model.nodes), outputs=model.outputs)), fresh=True)
    canvas.resize(500, 260)
    Views([canvas]).first_look()
    assert canvas.rect().contains(place(canvas, "input").toPoint())


def test_the_selected_box_stays_where_it_is_on_the_screen(canvas: Canvas, longer: Picture) -> None:
    before = place(canvas, LAYER)
    canvas.set_picture(longer)
    assert (place(canvas, LAYER) - before).manhattanLength() < 1
    canvas.finish_moving()
    assert (place(canvas, LAYER) - before).manhattanLength() < 1

"""Float islands in the window: framed in the picture, said why in tooltips, listed, and gone to by a click."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QModelIndex, Qt
from pytestqt.qtbot import QtBot

from compressor_gui.core.pbio import write_graph
from compressor_gui.gui.canvas.view import Canvas
from compressor_gui.gui.differences_panel import DETAIL, NODE
from compressor_gui.gui.main_window import MainWindow
from tests.gui.test_window import add_quantize_nodes, press
from tests.support import Net

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def torn(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> MainWindow:
    """A window that compares a network with what quantize_nodes makes of it: 8 bits, an Exp and a Neg, 8 bits."""
    net = Net().conv(4).bias().then("Relu").then("Exp").then("Neg").conv(4).bias().then("Relu")
    write_graph(net.build(), tmp_path / "torn.pb")
    window.open(tmp_path / "torn.pb")
    qtbot.waitUntil(lambda: bool(window.document.state.magnitudes) and window.graph.settled())
    add_quantize_nodes(qtbot, window)
    press(qtbot, window, Qt.Key.Key_3)
    qtbot.waitUntil(lambda: len(window.graph.canvases) == 2 and window.graph.settled())
    return window


def held(canvas: Canvas, frame: int) -> set[str]:
    """The nodes of the boxes that the frame of an island is around."""
    assert canvas.scene is not None
    around = canvas.scene.islands[frame].rect
    boxes = canvas.scene.picture.folded.boxes
    return {boxes[at].members[0] for at in range(canvas.scene.count) if around.contains(canvas.scene.rect(at).center())}


def group(window: MainWindow) -> QModelIndex:
    return window.differences.model.index(0, 0)


def test_an_island_is_framed_between_the_regions(torn: MainWindow) -> None:
    original, compressed = torn.graph.canvases
    assert original.scene is not None
    assert compressed.scene is not None
    assert not original.scene.islands
    assert len(compressed.scene.regions) == 2
    assert held(compressed, 0) == {"exp", "neg"}
    around = compressed.scene.islands[0].rect
    assert not any(around.intersects(region.rect) for region in compressed.scene.regions)


def test_its_tooltip_says_why_it_is_float_and_what_it_costs(torn: MainWindow) -> None:
    compressed = torn.graph.canvases[1]
    assert compressed.scene is not None
    box = compressed.scene.picture.folded.owner["exp"]
    said = compressed.tip(compressed.to_widget(compressed.scene.rect(box).center()))
    assert "Float between 8 bits: " in said
    assert "Exp" in said
    assert "It costs 2 conversions of 512 numbers for each example" in said


def test_it_is_listed_and_a_click_goes_to_it(qtbot: QtBot, torn: MainWindow) -> None:
    tree = torn.differences.tree
    assert (group(torn).data(NODE), group(torn).data(DETAIL)) == ("Float islands", "1 · numbers converted")
    tree.setCurrentIndex(group(torn))
    qtbot.keyClick(tree, Qt.Key.Key_Right)
    row = torn.differences.model.index(0, 0, group(torn))
    assert row.data(DETAIL) == "512"
    assert "Exp" in row.data(NODE)
    torn.graph.canvases[1].zoom_by(3)
    qtbot.mouseClick(tree.viewport(), LEFT, pos=tree.visualRect(row).center())
    assert torn.document.state.selected == "exp"
    compressed = torn.graph.canvases[1]
    assert compressed.scene is not None
    assert compressed.view_rect().contains(compressed.scene.rect(compressed.look.selected).center())


def test_the_overlay_has_the_islands_of_the_compressed_graph(qtbot: QtBot, torn: MainWindow) -> None:
    press(qtbot, torn, Qt.Key.Key_4)
    qtbot.waitUntil(lambda: len(torn.graph.canvases) == 1 and torn.graph.settled())
    assert {"exp", "neg"} <= held(torn.graph.canvas, 0)


def test_a_second_file_has_islands_too(qtbot: QtBot, torn: MainWindow, tmp_path: Path) -> None:
    made = torn.document.state.made
    assert made is not None
    write_graph(made.graph, tmp_path / "eight.pb")
    torn.document.compare_with(tmp_path / "eight.pb")
    qtbot.waitUntil(lambda: torn.document.state.other is not None and torn.graph.settled())
    assert held(torn.graph.canvases[1], 0) == {"exp", "neg"}
    assert group(torn).data(NODE) == "Float islands"
    torn.document.undo()
    torn.document.compare_with(None)
    qtbot.waitUntil(lambda: not torn.document.state.stale and torn.graph.settled())
    assert not torn.document.state.regions

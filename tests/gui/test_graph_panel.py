"""The graph panel by mouse and keyboard: views, scopes, selection, search, differences, colours, pictures in files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import parse
from compressor_gui.gui.canvas.graph_panel import GraphPanel
from compressor_gui.gui.canvas.picture import ADDED, CHANGED, REMOVED
from compressor_gui.gui.canvas.view import Canvas
from compressor_gui.gui.document import Document
from compressor_gui.gui.theme import Theme
from tests.gui.panels import drag, open_graph
from tests.support import conv_net, graph, node, placeholder


@pytest.fixture
def panel(qtbot: QtBot, document: Document, theme: Theme, tmp_path: Path) -> GraphPanel:
    made = GraphPanel(document, theme)
    qtbot.addWidget(made)
    made.resize(1000, 900)
    made.show()
    open_graph(qtbot, document, conv_net(), tmp_path)
    qtbot.waitUntil(lambda: made.canvas.scene is not None and made.settled())
    return made


@pytest.fixture
def quantized(qtbot: QtBot, document: Document, panel: GraphPanel) -> GraphPanel:
    """Compared with what quantize_nodes makes."""
    document.set_recipe(document.state.recipe.adding(parse("quantize_nodes")))
    document.show("compare")
    qtbot.waitUntil(lambda: not document.state.stale and len(panel.canvases) == 2 and panel.settled())
    return panel


def middle(canvas: Canvas, name: str) -> QPoint:
    assert canvas.scene is not None
    return canvas.to_widget(canvas.scene.rect(canvas.scene.picture.folded.owner[name]).center()).toPoint()


def ids(canvas: Canvas) -> set[str]:
    assert canvas.picture is not None
    return {box.id for box in canvas.picture.folded.boxes}


def test_a_click_selects_and_an_empty_place_lets_go(qtbot: QtBot, document: Document, panel: GraphPanel) -> None:
    qtbot.mouseClick(panel.canvas, Qt.MouseButton.LeftButton, pos=middle(panel.canvas, "relu"))
    assert document.state.selected == "conv"  # the box is the layer's
    assert panel.canvas.look.selected == panel.canvas.picture.folded.owner["conv"]  # type: ignore[union-attr]
    qtbot.mouseClick(panel.canvas, Qt.MouseButton.LeftButton, pos=QPoint(3, 3))
    assert document.state.selected == ""


def test_arrows_walk_along_edges(qtbot: QtBot, document: Document, panel: GraphPanel) -> None:
    for key, expected in ((Qt.Key.Key_Down, "input"), (Qt.Key.Key_Down, "conv"), (Qt.Key.Key_Up, "input")):
        qtbot.keyClick(panel.canvas, key)
        assert document.state.selected == expected


def test_dragging_pans_and_picks_nothing(document: Document, panel: GraphPanel) -> None:
    canvas = panel.canvas
    before = middle(canvas, "conv")
    drag(canvas, QPointF(before), QPointF(before) + QPointF(10, 5), QPointF(before) + QPointF(60, 30))
    assert (middle(canvas, "conv") - before - QPoint(60, 30)).manhattanLength() <= 2
    assert document.state.selected == ""


def test_the_wheel_zooms_to_the_cursor(panel: GraphPanel) -> None:
    canvas = panel.canvas
    at = QPointF(middle(canvas, "conv"))
    zoom = canvas.zoom
    canvas.zoom_by(1.7, at)
    assert canvas.zoom == pytest.approx(zoom * 1.7)
    assert (middle(canvas, "conv") - at.toPoint()).manhattanLength() <= 2


def test_the_minimap_moves_the_view(panel: GraphPanel) -> None:
    canvas = panel.canvas
    canvas.set_view(canvas.center, 2.0)
    assert canvas.minimap.isVisible()
    before = canvas.center.y()
    frame = canvas.minimap.frame().center()
    drag(canvas.minimap, frame, frame + QPointF(0, 20), frame + QPointF(0, 40))
    assert canvas.center.y() > before


def scoped() -> ModelGraph:
    nodes = [placeholder("input", (1, 4))]
    for block in range(3):
        for index in range(4):
            nodes.append(node(f"net/block{block}/op{index}", "Softmax", nodes[-1].name))
    return graph(*nodes)


def test_scopes_close_and_open_and_keep_their_place(
    qtbot: QtBot, document: Document, panel: GraphPanel, tmp_path: Path
) -> None:
    open_graph(qtbot, document, scoped(), tmp_path)
    qtbot.waitUntil(lambda: "net/block1/op2" in ids(panel.canvas) and panel.settled())
    document.select("net/block1/op0")
    qtbot.keyClick(panel.canvas, Qt.Key.Key_Backspace)
    qtbot.waitUntil(lambda: "net/block1/" in ids(panel.canvas) and panel.settled())
    assert "net/block1/op2" not in ids(panel.canvas)
    place = middle(panel.canvas, "net/block1/op0")
    qtbot.mouseDClick(panel.canvas, Qt.MouseButton.LeftButton, pos=place)
    qtbot.waitUntil(lambda: "net/block1/op2" in ids(panel.canvas) and panel.settled())
    assert (middle(panel.canvas, "net/block1/op0") - place).manhattanLength() <= 2  # nothing jumps


def test_what_is_selected_elsewhere_opens_its_scope(
    qtbot: QtBot, document: Document, panel: GraphPanel, tmp_path: Path
) -> None:
    open_graph(qtbot, document, scoped(), tmp_path)
    qtbot.waitUntil(lambda: "net/block1/op2" in ids(panel.canvas) and panel.settled())
    panel.close_all_scopes()
    qtbot.waitUntil(lambda: "net/block2/" in ids(panel.canvas) and panel.settled())
    document.select("net/block2/op3")
    qtbot.waitUntil(lambda: "net/block2/op3" in ids(panel.canvas) and panel.settled())
    picture = panel.canvas.picture
    assert picture is not None
    assert panel.canvas.look.selected == picture.folded.owner["net/block2/op3"]
    assert panel.canvas.rect().contains(middle(panel.canvas, "net/block2/op3"))


def test_search_highlights_counts_and_walks(document: Document, panel: GraphPanel) -> None:
    assert panel.set_search("^conv") == 2  # the node and its weights
    assert panel.canvas.look.matches is not None
    assert panel.canvas.look.matches.sum() == 1
    assert panel.next_match() == "conv"
    assert panel.next_match() == "conv/weights"
    assert panel.next_match(-1) == document.state.selected == "conv"
    assert panel.set_search("matmul") == 1  # an op
    assert panel.set_search("(") == -1
    assert panel.set_search("") == 0
    assert panel.canvas.look.matches is None


def test_compare_marks_both_sides_and_moves_them_together(quantized: GraphPanel) -> None:
    left, right = quantized.canvases
    assert left.picture is not None
    assert right.picture is not None
    assert set(left.picture.marks) >= {REMOVED}
    assert set(right.picture.marks) >= {ADDED}
    assert right.picture.folded.regions
    y = middle(left, "conv").y()
    assert abs(middle(right, "conv_eightbit_quantized_conv").y() - y) <= 1  # what became of it is at the same height
    right.pan(QPointF(0, -50))
    assert abs(middle(left, "conv").y() - (y - 50)) <= 1
    left.zoom_by(1.5)
    assert right.zoom == left.zoom


def test_n_walks_every_node_that_differs_and_counts(document: Document, quantized: GraphPanel) -> None:
    places: list[tuple[int, int]] = []
    quantized.walked.connect(lambda index, count: places.append((index, count)))
    diff = document.state.diff
    assert diff is not None
    differing = {entry.name for entry in diff.nodes if entry.change != "unchanged"}
    seen = [quantized.next_difference() for _ in differing]
    assert set(seen) == differing
    assert document.state.selected == seen[-1]
    assert places == [(index + 1, len(differing)) for index in range(len(differing))]
    assert quantized.next_difference() == seen[0]
    assert quantized.next_difference(-1) == seen[-1]


def test_n_in_the_original_shows_both_and_the_first_difference(
    qtbot: QtBot, document: Document, panel: GraphPanel
) -> None:
    document.set_recipe(document.state.recipe.adding(parse("quantize_weights(minimum_size=1)")))
    qtbot.waitUntil(lambda: not document.state.stale)
    assert panel.next_difference() == ""
    qtbot.waitUntil(lambda: len(panel.canvases) == 2 and panel.settled())
    assert document.state.selected.startswith("conv/")
    right = panel.canvases[1].picture
    assert right is not None
    assert right.marks[right.folded.owner["conv"]] == ADDED  # a node in the box was


def whole(canvas: Canvas) -> bool:
    assert canvas.scene is not None
    return canvas.view_rect().contains(canvas.scene.bounds)


def test_fit_shows_all_of_both_also_after_a_resize(qtbot: QtBot, quantized: GraphPanel) -> None:
    left, right = quantized.canvases
    right.pan(QPointF(900, 900))
    qtbot.keyClick(right, Qt.Key.Key_F)
    assert whole(left)
    assert whole(right)
    assert left.zoom == right.zoom
    quantized.resize(700, 500)
    assert whole(left)
    assert whole(right)
    right.zoom_by(1.2)
    zoom = right.zoom
    quantized.resize(1000, 900)
    assert right.zoom == zoom  # a hand moved the view: it stays


def test_the_counterpart_of_what_is_selected_is_in_view(document: Document, quantized: GraphPanel) -> None:
    left, right = quantized.canvases
    for zoom in (0.9, 2.0):
        left.zoom_by(zoom / left.zoom)
        for name in ("softmax", "conv", "dense_eightbit_quantized_mat_mul", "input"):
            document.select("")
            document.select(name)
            for canvas in (left, right):
                assert canvas.scene is not None
                assert canvas.look.selected >= 0
                assert canvas.view_rect().intersects(canvas.scene.rect(canvas.look.selected))
            assert left.zoom == right.zoom


def test_undo_leaves_something_in_view(qtbot: QtBot, document: Document, quantized: GraphPanel) -> None:
    right = quantized.canvases[1]
    assert right.scene is not None
    right.set_view(right.scene.bounds.bottomRight() - QPointF(60, 60), 2.0)
    document.undo()
    qtbot.waitUntil(lambda: not document.state.stale and quantized.settled())
    assert all(canvas.sees_boxes() for canvas in quantized.canvases)


def test_a_new_picture_is_fitted_while_nobody_moved_the_view(
    qtbot: QtBot, document: Document, quantized: GraphPanel
) -> None:
    quantized.fit()
    document.undo()
    qtbot.waitUntil(lambda: not document.state.stale and quantized.settled())
    assert all(whole(canvas) for canvas in quantized.canvases)


def test_overlay_shows_what_is_gone_and_what_came(qtbot: QtBot, document: Document, quantized: GraphPanel) -> None:
    document.show("overlay")
    qtbot.waitUntil(lambda: len(quantized.canvases) == 1 and quantized.settled())
    picture = quantized.canvas.picture
    assert picture is not None
    assert {"conv", "conv_eightbit_quantized_conv"} <= set(picture.graph)
    assert picture.marks[picture.folded.owner["conv"]] == REMOVED
    assert picture.marks[picture.folded.owner["conv_eightbit_quantized_conv"]] == ADDED


def test_a_pruned_layer_is_marked_and_changes_its_colour_at_once(
    qtbot: QtBot, document: Document, panel: GraphPanel
) -> None:
    panel.set_color_by("sparsity")
    before = panel.canvas.color_at("conv")
    scene = panel.canvas.scene
    layer = document.state.source.layers[0]  # type: ignore[union-attr]
    document.prune_layer(layer, 0.9)
    assert panel.canvas.color_at("conv") != before
    assert panel.canvas.scene is scene  # without a new layout
    document.show("compare")
    qtbot.waitUntil(lambda: not document.state.stale and len(panel.canvases) == 2 and panel.settled())
    picture = panel.canvases[1].picture
    assert picture is not None
    assert picture.marks[picture.folded.owner["conv"]] == CHANGED


@pytest.mark.parametrize("ending", [".svg", ".png", ".pdf"])
def test_pictures_hold_the_whole_graph(quantized: GraphPanel, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"graph{ending}"
    quantized.canvas.set_view(QPointF(), 3.0)
    quantized.export_picture(path)
    data = path.read_bytes()
    if ending == ".svg":
        assert all(text in data for text in (b"QuantizedConv2D", b"Softmax", b"8-bit region 1"))
    elif ending == ".pdf":
        assert data.startswith(b"%PDF")
    else:
        assert QImage(str(path)).height() > 1000
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ending] == [path.name]


def test_pictures_refuse_what_they_cannot_write(panel: GraphPanel, tmp_path: Path) -> None:
    for path in (tmp_path / "graph.gif", tmp_path / "missing" / "graph.png"):
        with pytest.raises(CompressorError):
            panel.export_picture(path)

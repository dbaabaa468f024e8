"""The layers panel, by mouse and keyboard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from compressor_gui.core.passes.quantize_weights import QuantizeWeights
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.document import Document
from compressor_gui.gui.layers_model import Column
from compressor_gui.gui.layers_panel import LayersPanel
from compressor_gui.gui.theme import Theme
from tests.gui.panels import drag, open_graph, settle
from tests.support import Net, conv_net, graph, node, placeholder, residual_net

CONV, DENSE = 0, 1


@pytest.fixture
def panel(qtbot: QtBot, theme: Theme, document: Document) -> LayersPanel:
    """An empty panel of the default width."""
    made = LayersPanel(document, theme)
    qtbot.addWidget(made)
    made.resize(378, 600)
    made.show()
    qtbot.waitExposed(made)
    return made


@pytest.fixture
def filled(qtbot: QtBot, panel: LayersPanel, document: Document, tmp_path: Path) -> LayersPanel:
    """The panel with the small network's two layers: conv (Conv2D) and dense (MatMul)."""
    open_graph(qtbot, document, conv_net(), tmp_path)
    panel.view.setFocus()
    return panel


def text(panel: LayersPanel, row: int, column: Column) -> str:
    return str(panel.view.proxy.index(row, column).data())


def slider_point(panel: LayersPanel, row: int, value: float) -> QPointF:
    track = panel.view.slider_rect(row)
    return QPointF(track.left() + track.width() * value, track.center().y())


def drag_slider(panel: LayersPanel, row: int, to: float, release: bool = True) -> None:
    start = panel.model.rows[row].wanted or 0.0
    way = [slider_point(panel, row, start + (to - start) * part) for part in (0.25, 0.5, 0.75, 1.0)]
    drag(panel.view.viewport(), slider_point(panel, row, start), *way, release=release)


def wheel(panel: LayersPanel, row: int, notches: int) -> None:
    viewport, at = panel.view.viewport(), slider_point(panel, row, 0.5)
    event = QWheelEvent(
        at, QPointF(viewport.mapToGlobal(at.toPoint())), QPoint(), QPoint(0, 120 * notches), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(viewport, event)


# --- what stands in it -----------------------------------------------------------------------------------------------


def test_empty_panel_says_what_fills_it_and_offers_it(qtbot: QtBot, panel: LayersPanel) -> None:
    with qtbot.waitSignal(panel.open_requested):
        qtbot.mouseClick(panel.empty.open_button, Qt.MouseButton.LeftButton)
    assert not panel.view.isVisible()


def test_graph_without_layers_says_so(qtbot: QtBot, panel: LayersPanel, document: Document, tmp_path: Path) -> None:
    open_graph(qtbot, document, graph(placeholder("x", (1, 4)), node("y", "Relu", "x")), tmp_path)
    assert not panel.view.isVisible()
    assert not panel.empty.open_button.isVisible()
    assert "net.pb" in panel.empty.text.text()


def test_rows_show_the_layers(filled: LayersPanel) -> None:
    assert filled.view.proxy.rowCount() == 2
    assert [text(filled, row, Column.NAME) for row in (0, 1)] == ["conv", "dense"]
    assert text(filled, CONV, Column.OP) == "Conv2D"
    assert text(filled, CONV, Column.SHAPE) == "3×3×3×8"
    assert text(filled, CONV, Column.SIZE) == "864 B"
    assert text(filled, DENSE, Column.SPARSITY) == "0 %"


def test_nothing_is_cut_at_the_default_width(filled: LayersPanel) -> None:
    header, viewport = filled.view.horizontalHeader(), filled.view.viewport()
    assert header.length() <= viewport.width()
    assert filled.view.horizontalScrollBar().maximum() == 0
    assert filled.view.slider_rect(CONV).width() >= 30


def test_columns_are_chosen_in_the_headers_menu(filled: LayersPanel) -> None:
    menu = filled.view.column_menu()
    action = next(action for action in menu.actions() if action.text() == "threshold")
    assert filled.view.isColumnHidden(Column.THRESHOLD)
    action.trigger()
    assert not filled.view.isColumnHidden(Column.THRESHOLD)
    action.trigger()
    assert filled.view.isColumnHidden(Column.THRESHOLD)
    menu.close()


def test_every_column_can_be_painted(filled: LayersPanel, theme: Theme) -> None:
    filled.resize(700, 600)
    for column in Column:
        filled.view.setColumnHidden(column, False)
    plain = filled.grab().toImage()
    drag_slider(filled, CONV, 0.6)
    assert filled.grab().toImage() != plain


# --- the sliders -----------------------------------------------------------------------------------------------------


def test_dragging_a_slider_prunes_the_layer_in_one_step_of_undo(
    qtbot: QtBot, filled: LayersPanel, document: Document
) -> None:
    drag_slider(filled, DENSE, 0.8)
    settle(qtbot, document)
    row = filled.model.rows[DENSE]
    assert row.exact
    assert row.sparsity == pytest.approx(0.8, abs=0.03)
    made = document.state.made
    assert made is not None
    weights = made.graph[row.layer.weight].tensor
    assert weights is not None
    assert row.sparsity == pytest.approx(1 - np.count_nonzero(weights.array) / weights.array.size)
    assert filled.model.rows[CONV].sparsity == 0

    document.undo()
    assert document.state.recipe.steps == ()
    assert not document.state.can_undo


def test_while_dragging_the_number_is_marked_as_estimated(filled: LayersPanel) -> None:
    drag_slider(filled, DENSE, 0.5, release=False)
    assert text(filled, DENSE, Column.SPARSITY).startswith("≈5")
    assert text(filled, CONV, Column.SPARSITY) == "0 %"  # it did not move: its number stays exact


def test_a_click_beside_the_handle_jumps_there(qtbot: QtBot, filled: LayersPanel, document: Document) -> None:
    qtbot.mouseClick(filled.view.viewport(), Qt.MouseButton.LeftButton, pos=slider_point(filled, CONV, 0.7).toPoint())
    assert filled.model.rows[CONV].wanted == pytest.approx(0.7, abs=0.03)


def test_a_click_on_the_handle_leaves_it(qtbot: QtBot, filled: LayersPanel, document: Document) -> None:
    at = slider_point(filled, CONV, 0.0).toPoint() + QPoint(3, 0)
    qtbot.mouseClick(filled.view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert document.state.recipe.steps == ()


def test_keys_move_the_selected_rows_slider(qtbot: QtBot, filled: LayersPanel, document: Document) -> None:
    filled.view.selectRow(DENSE)
    row = lambda: filled.model.rows[DENSE].wanted  # noqa: E731
    qtbot.keyClick(filled.view, Qt.Key.Key_Right)
    assert row() == pytest.approx(0.01)
    qtbot.keyClick(filled.view, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert row() == pytest.approx(0.11)
    qtbot.keyClick(filled.view, Qt.Key.Key_Left)
    assert row() == pytest.approx(0.10)
    qtbot.keyClick(filled.view, Qt.Key.Key_End)
    assert row() == 1
    qtbot.keyClick(filled.view, Qt.Key.Key_Home)
    assert row() == 0
    document.undo()
    assert row() == 1  # every key that was let go is a step of its own


def test_wheel_moves_the_selected_rows_slider_only_with_the_focus(
    qtbot: QtBot, filled: LayersPanel, document: Document
) -> None:
    wheel(filled, DENSE, 1)
    assert document.state.recipe.steps == ()
    filled.view.selectRow(DENSE)
    qtbot.waitUntil(filled.view.hasFocus)
    wheel(filled, DENSE, 3)
    assert filled.model.rows[DENSE].wanted == pytest.approx(0.03)
    wheel(filled, CONV, 3)
    assert filled.model.rows[CONV].wanted == 0


def test_global_slider_moves_all_layers(qtbot: QtBot, filled: LayersPanel, document: Document) -> None:
    drag_slider(filled, CONV, 0.2)
    track = filled.slider.track()
    y = track.center().y()
    assert filled.all_label.text() == "All layers, average"
    points = [QPointF(track.left() + track.width() * part, y) for part in (filled.model.overall() or 0.0, 0.3, 0.6)]
    drag(filled.slider, *points)
    assert [row.wanted for row in filled.model.rows] == pytest.approx([0.6, 0.6], abs=0.01)
    assert filled.all_label.text() == "All layers"
    assert filled.model.overall() == pytest.approx(0.6, abs=0.01)
    document.undo()
    assert filled.model.rows[CONV].wanted == pytest.approx(0.2, abs=0.03)

    filled.slider.setFocus()
    before = round(filled.model.overall() or 0.0, 2)
    qtbot.keyClick(filled.slider, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert filled.model.rows[DENSE].wanted == pytest.approx(before + 0.1, abs=0.011)


def test_quantized_layer_has_no_slider_and_says_why(
    qtbot: QtBot, panel: LayersPanel, document: Document, tmp_path: Path
) -> None:
    stored = QuantizeWeights(minimum_size=1).run(conv_net()).graph
    open_graph(qtbot, document, stored, tmp_path)
    row = panel.model.rows[CONV]
    assert "stored as q" in row.locked
    tip = panel.view.proxy.index(CONV, Column.SPARSITY).data(Qt.ItemDataRole.ToolTipRole)
    assert tip.startswith(row.locked)
    drag_slider(panel, CONV, 0.5)
    qtbot.keyClick(panel.view, Qt.Key.Key_End)
    assert document.state.recipe.steps == ()
    assert not panel.slider.isVisible()


def test_size_follows_what_the_recipe_stores(qtbot: QtBot, filled: LayersPanel, document: Document) -> None:
    document.set_recipe(Recipe.of(QuantizeWeights(minimum_size=1), sha256=document.state.recipe.sha256))
    settle(qtbot, document)
    row = filled.model.rows[DENSE]
    assert row.size < row.layer.bytes / 2
    tip = filled.view.proxy.index(DENSE, Column.SIZE).data(Qt.ItemDataRole.ToolTipRole)
    assert f"{row.layer.bytes:,} → " in tip


# --- order, filter, selection ----------------------------------------------------------------------------------------


def header_click(qtbot: QtBot, panel: LayersPanel, column: Column) -> None:
    header = panel.view.horizontalHeader()
    at = QPoint(header.sectionViewportPosition(column) + 12, header.height() // 2)
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=at)


def test_header_clicks_sort_up_down_and_back(qtbot: QtBot, filled: LayersPanel) -> None:
    names = lambda: [text(filled, row, Column.NAME) for row in (0, 1)]  # noqa: E731
    header_click(qtbot, filled, Column.SIZE)
    assert names() == ["conv", "dense"]
    header_click(qtbot, filled, Column.SIZE)
    assert names() == ["dense", "conv"]
    assert filled._heading_note.text() == "2 · by size"
    header_click(qtbot, filled, Column.SIZE)
    assert names() == ["conv", "dense"]
    assert filled._heading_note.text() == "2 · by order"


def test_row_stays_under_the_mouse_while_it_is_dragged(qtbot: QtBot, filled: LayersPanel, document: Document) -> None:
    header_click(qtbot, filled, Column.SPARSITY)
    first = text(filled, 0, Column.NAME)
    drag_slider(filled, CONV, 0.9)
    settle(qtbot, document)
    assert text(filled, 0, Column.NAME) == first


def test_filter_keeps_layers_with_all_words(qtbot: QtBot, filled: LayersPanel) -> None:
    qtbot.keyClicks(filled.filter, "matmul dens")
    assert filled.view.proxy.rowCount() == 1
    assert text(filled, 0, Column.NAME) == "dense"
    assert filled._heading_note.text().startswith("1 of 2")
    filled.filter.clear()
    assert filled.view.proxy.rowCount() == 2


def test_sliders_move_the_layer_they_show_when_sorted_and_filtered(
    qtbot: QtBot, filled: LayersPanel, document: Document
) -> None:
    qtbot.keyClicks(filled.filter, "dense")
    drag_slider(filled, DENSE, 0.5)
    assert filled.model.rows[DENSE].wanted == pytest.approx(0.5, abs=0.03)
    assert filled.model.rows[CONV].wanted == 0


def test_a_row_selects_its_node(qtbot: QtBot, filled: LayersPanel, document: Document) -> None:
    at = filled.view.visualRect(filled.view.proxy.index(DENSE, Column.NAME)).center()
    qtbot.mouseClick(filled.view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert document.state.selected == "dense"


@pytest.mark.parametrize("part", ["weight", "bias", "name"])
def test_a_node_selects_its_row_and_stays_selected(filled: LayersPanel, document: Document, part: str) -> None:
    name = getattr(filled.model.rows[DENSE].layer, part)
    document.select(name)
    assert filled.view.current_row() == DENSE
    assert document.state.selected == name
    document.select("input")
    assert filled.view.current_row() is None


def test_a_made_node_selects_the_row_that_it_came_from(qtbot: QtBot, filled: LayersPanel, document: Document) -> None:
    document.set_recipe(Recipe.of(QuantizeWeights(minimum_size=1), sha256=document.state.recipe.sha256))
    settle(qtbot, document)
    diff = document.state.diff
    assert diff is not None
    added = next(entry for entry in diff.nodes if entry.change == "added" and entry.layer == "conv")
    document.select(added.name)
    assert filled.view.current_row() == CONV


def test_another_model_replaces_the_rows(qtbot: QtBot, filled: LayersPanel, document: Document, tmp_path: Path) -> None:
    header_click(qtbot, filled, Column.SIZE)
    open_graph(qtbot, document, residual_net(), tmp_path)
    qtbot.waitUntil(lambda: len(filled.model.rows) == 3)
    assert filled._heading_note.text() == "3 · by order"


def test_shared_beginnings_are_known_for_eliding(
    qtbot: QtBot, panel: LayersPanel, document: Document, tmp_path: Path
) -> None:
    net = Net()
    for name in ("block_1_expand", "block_1_project", "block_2_expand"):
        net.conv(4, name=name)
    open_graph(qtbot, document, net.build(), tmp_path)
    assert [row.short[row.shared :] for row in panel.model.rows] == ["expand", "1_project", "2_expand"]


def test_the_dark_theme_is_taken_at_once(qtbot: QtBot, document: Document, tmp_path: Path, qapp: QApplication) -> None:
    theme = Theme("light")
    made = LayersPanel(document, theme)
    qtbot.addWidget(made)
    open_graph(qtbot, document, conv_net(), tmp_path)
    light = made.view.grab().toImage()
    theme.choose("dark")
    assert made.view.grab().toImage() != light


def test_a_narrow_panel_leaves_the_names_room(filled: LayersPanel) -> None:
    filled.resize(filled.minimumWidth(), 600)
    assert filled.view.isColumnHidden(Column.OP)
    assert filled.view.columnWidth(Column.NAME) >= 88
    filled.view.show_column(Column.OP, True)  # who asks for it gets it
    assert not filled.view.isColumnHidden(Column.OP)
    filled.resize(700, 600)
    assert not filled.view.isColumnHidden(Column.SENSITIVITY)

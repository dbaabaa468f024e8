"""A layer's row in the real window: its number typed, its slider held, its menu, and what 8 bits make of it."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QContextMenuEvent, QGuiApplication, QMouseEvent
from PySide6.QtWidgets import QApplication, QDoubleSpinBox, QMenu
from pytestqt.qtbot import QtBot

from compressor_gui.core.passes import BY_NAME
from compressor_gui.core.recipe import Recipe, Step
from compressor_gui.gui.layers_model import Column
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.pass_form import PassForm
from tests.gui.panels import drag, settle

CONV, DENSE = 0, 1


def cell(window: MainWindow, row: int, column: Column) -> QPoint:
    view = window.layers.view
    return view.visualRect(view.proxy.index(row, column)).center()


def number(window: MainWindow, row: int) -> QPoint:
    view = window.layers.view
    rect = view.visualRect(view.proxy.index(row, Column.SPARSITY))
    return QPoint(rect.right() - 14, rect.center().y())


def click(qtbot: QtBot, window: MainWindow, at: QPoint) -> None:
    qtbot.mouseClick(window.layers.view.viewport(), Qt.MouseButton.LeftButton, pos=at)


def wanted(window: MainWindow, row: int) -> float | None:
    return window.layers.model.rows[row].wanted


def field(qtbot: QtBot, window: MainWindow) -> QDoubleSpinBox:
    qtbot.waitUntil(lambda: window.layers.view.findChild(QDoubleSpinBox) is not None)
    return window.layers.view.findChild(QDoubleSpinBox)


def tip(window: MainWindow, row: int, column: Column = Column.SPARSITY) -> str:
    return str(window.layers.view.proxy.index(row, column).data(Qt.ItemDataRole.ToolTipRole))


def follow(qtbot: QtBot, window: MainWindow, *names: str, **pruned: float) -> None:
    """Make the recipe these passes with their defaults, for all layers however small; prune by ``sparsity``."""
    given = {"prune": pruned, "quantize_weights": {"minimum_size": 1}}
    made = [BY_NAME[name](**given.get(name, {})) for name in names]
    window.document.set_recipe(Recipe.of(*made, sha256=window.document.state.recipe.sha256))
    settle(qtbot, window.document)


# --- typing ----------------------------------------------------------------------------------------------------------


def test_a_double_click_on_the_number_lets_it_be_typed_over(qtbot: QtBot, opened: MainWindow) -> None:
    click(qtbot, opened, number(opened, DENSE))
    qtbot.mouseDClick(opened.layers.view.viewport(), Qt.MouseButton.LeftButton, pos=number(opened, DENSE))
    editor = field(qtbot, opened)
    qtbot.keyClicks(editor, "90")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: wanted(opened, DENSE) == pytest.approx(0.9))
    assert wanted(opened, CONV) == 0
    opened.document.undo()
    assert opened.document.state.recipe.steps == ()


def test_enter_edits_the_selected_row_and_escape_leaves_it(qtbot: QtBot, opened: MainWindow) -> None:
    click(qtbot, opened, cell(opened, DENSE, Column.NAME))
    qtbot.keyClick(opened.layers.view, Qt.Key.Key_Return)
    editor = field(qtbot, opened)
    qtbot.keyClicks(editor, "12.5")
    qtbot.keyClick(editor, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: opened.layers.view.findChild(QDoubleSpinBox) is None)
    assert opened.document.state.recipe.steps == ()
    qtbot.keyClick(opened.layers.view, Qt.Key.Key_Return)
    editor = field(qtbot, opened)
    qtbot.keyClicks(editor, "12.5")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: wanted(opened, DENSE) == pytest.approx(0.125))
    assert "12.5 %" in str(opened.layers.view.proxy.index(DENSE, Column.SPARSITY).data())


def test_digits_type_where_the_number_was_clicked_and_choose_views_elsewhere(qtbot: QtBot, opened: MainWindow) -> None:
    opened.activateWindow()
    qtbot.waitUntil(opened.isActiveWindow)
    click(qtbot, opened, cell(opened, DENSE, Column.NAME))
    qtbot.keyClick(opened.layers.view, Qt.Key.Key_3)
    assert opened.document.state.view == "compare"
    click(qtbot, opened, number(opened, DENSE))
    qtbot.keyClick(opened.layers.view, Qt.Key.Key_4)
    editor = field(qtbot, opened)
    qtbot.keyClick(editor, Qt.Key.Key_2)
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: wanted(opened, DENSE) == pytest.approx(0.42))
    assert opened.document.state.view == "compare"


# --- sliders ---------------------------------------------------------------------------------------------------------


def test_a_slider_is_wide_enough_and_stops_at_whole_percents(qtbot: QtBot, opened: MainWindow) -> None:
    opened.layers.resize(opened.layers.minimumWidth(), opened.layers.height())
    track = opened.layers.view.slider_rect(DENSE)
    assert track.width() >= 64
    at = [QPointF(track.left() + x, track.center().y()) for x in (0, 11, 23, 37)]
    drag(opened.layers.view.viewport(), *at)
    assert wanted(opened, DENSE) == round(37 / track.width(), 2)


def test_shift_drags_a_slider_ten_times_more_slowly(qtbot: QtBot, opened: MainWindow) -> None:
    track = opened.layers.view.slider_rect(DENSE)
    viewport = opened.layers.view.viewport()
    start = QPointF(track.left(), track.center().y())
    for kind, x in (
        (QEvent.Type.MouseButtonPress, 0),
        (QEvent.Type.MouseMove, 35),
        (QEvent.Type.MouseButtonRelease, 35),
    ):
        at = start + QPointF(x, 0)
        button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else Qt.MouseButton.LeftButton
        held = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseButtonRelease else Qt.MouseButton.LeftButton
        place = QPointF(viewport.mapToGlobal(at.toPoint()))
        QApplication.sendEvent(viewport, QMouseEvent(kind, at, place, button, held, Qt.KeyboardModifier.ShiftModifier))
    assert wanted(opened, DENSE) == round(3.5 / track.width(), 3)


# --- pruning and 8 bits ----------------------------------------------------------------------------------------------


def test_prune_after_8_bits_shows_what_is_and_can_be_put_right(qtbot: QtBot, opened: MainWindow) -> None:
    follow(qtbot, opened, "quantize_weights", "prune", sparsity=0.5)
    row = opened.layers.model.rows[DENSE]
    assert row.sparsity is not None
    assert row.sparsity < 0.1
    assert "step 1, quantize_weights, stores it in 8 bits before step 2, prune" in tip(opened, DENSE)
    assert not row.movable
    chip = opened.recipe.chips[1]
    assert chip.mark.isVisible()
    assert "stored in 8 bits already" in chip.mark.toolTip()

    menu = opened.layers.row_menu(DENSE)
    next(action for action in menu.actions() if action.text().startswith("Move prune")).trigger()
    menu.close()
    settle(qtbot, opened.document)
    assert [step.transform.name for step in opened.document.state.recipe.steps] == ["prune", "quantize_weights"]
    assert not opened.recipe.chips[0].mark.isVisible()
    row = opened.layers.model.rows[DENSE]
    assert row.movable
    assert row.sparsity == pytest.approx(0.5, abs=0.05)


def test_the_prune_action_comes_before_the_8_bits_as_a_slider_does(qtbot: QtBot, opened: MainWindow) -> None:
    follow(qtbot, opened, "quantize_weights")
    opened.actions_table["prune"].trigger()
    qtbot.waitUntil(lambda: opened.findChild(PassForm) is not None)
    qtbot.keyClick(opened.findChild(PassForm), Qt.Key.Key_Return)
    settle(qtbot, opened.document)
    assert [step.transform.name for step in opened.document.state.recipe.steps] == ["prune", "quantize_weights"]
    assert opened.document.state.step == 0


def test_zeros_of_8_bits_are_told_from_pruned_ones(qtbot: QtBot, opened: MainWindow) -> None:
    follow(qtbot, opened, "prune", "quantize_weights", sparsity=0.5)
    assert "zero after 8 bits" not in tip(opened, DENSE)
    follow(qtbot, opened, "quantize_weights")
    row = next(row for row in opened.layers.model.rows if row.rounded)
    words = tip(opened, opened.layers.model.rows.index(row))
    assert "pruned 0 %, " in words
    assert "zero after 8 bits" in words


# --- the menu --------------------------------------------------------------------------------------------------------


def choose(window: MainWindow, row: int, title: str) -> None:
    menu = window.layers.row_menu(row)
    next(action for action in menu.actions() if action.text().startswith(title)).trigger()
    menu.close()


def test_a_layer_is_reset_from_its_menu(qtbot: QtBot, opened: MainWindow) -> None:
    layers = [row.layer for row in opened.layers.model.rows]
    opened.document.prune_layer(layers[CONV], 0.3)
    opened.document.prune_layer(layers[DENSE], 0.6)
    choose(opened, DENSE, "Reset")
    assert (wanted(opened, CONV), wanted(opened, DENSE)) == (0.3, 0.0)
    choose(opened, CONV, "Reset")
    assert opened.document.state.recipe.steps == ()
    opened.document.prune_all(0.5)
    choose(opened, DENSE, "Reset")
    assert (wanted(opened, CONV), wanted(opened, DENSE)) == (0.5, 0.0)


def test_a_layer_is_left_in_float_from_its_menu(qtbot: QtBot, opened: MainWindow) -> None:
    follow(qtbot, opened, "quantize_nodes")
    choose(opened, DENSE, "Leave it in float")
    (step,) = opened.document.state.recipe.steps
    assert isinstance(step, Step)
    assert step.transform.skip == ("dense",)
    choose(opened, DENSE, "Leave it in float")
    assert opened.document.state.recipe.steps[0].transform.skip == ()


def test_the_menu_copies_the_name_and_shows_the_node(qtbot: QtBot, opened: MainWindow) -> None:
    choose(opened, DENSE, "Copy name")
    assert QGuiApplication.clipboard().text() == "dense"
    choose(opened, DENSE, "Show in the graph")
    assert opened.document.state.selected == "dense"
    assert opened.graph.canvas.look.selected >= 0


@pytest.mark.qt_log_ignore("This plugin does not support", extend=True)  # the off-screen one, of pop-ups
@pytest.mark.parametrize("reason", [QContextMenuEvent.Reason.Mouse, QContextMenuEvent.Reason.Keyboard])
def test_the_menu_opens_by_mouse_and_by_key(qtbot: QtBot, opened: MainWindow, reason: QContextMenuEvent.Reason) -> None:
    click(qtbot, opened, cell(opened, DENSE, Column.NAME))
    at = cell(opened, DENSE, Column.NAME)
    viewport = opened.layers.view.viewport()
    QApplication.sendEvent(viewport, QContextMenuEvent(reason, at, viewport.mapToGlobal(at)))
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    assert menu.actions()[0].text().startswith("Set sparsity")
    menu.actions()[0].trigger()
    menu.close()
    assert field(qtbot, opened).isVisible()


def test_a_click_on_the_thumbnail_shows_the_curve(qtbot: QtBot, opened: MainWindow) -> None:
    section = opened.inspector.sections["sensitivity"]
    section.head.setChecked(False)
    opened.docks["measure"].raise_()
    click(qtbot, opened, cell(opened, DENSE, Column.SENSITIVITY))
    assert opened.document.state.selected == "dense"
    assert section.is_open
    qtbot.waitUntil(lambda: opened.inspector.sensitivity.isVisible() and
                    not opened.inspector.sensitivity.visibleRegion().isEmpty())  # fmt: skip

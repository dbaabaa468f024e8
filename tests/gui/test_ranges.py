"""Ranges as plots: dragged, typed, undone, stored in the recipe's step."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from compressor_gui.core.measure import Calibrate
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.range_edit import clipped_share
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.calibrate_dialog import CalibrateDialog
from compressor_gui.gui.measure.panel import MeasurePanel
from compressor_gui.gui.ranges.dialog import RangesDialog
from compressor_gui.gui.ranges.editor import RangesEditor
from compressor_gui.gui.theme import Theme
from tests.gui.fake_engine import FakeEngine, histogram
from tests.gui.measuring import dialog
from tests.gui.panels import drag
from tests.gui.test_window import CTRL, SHIFT, press, settle

LEFT = Qt.MouseButton.LeftButton
RANGES = {"conv_eightbit_requant_range": (-1.0, 9.0), "bias_eightbit_requant_range": (-1.0, 9.0)}
FIRST, SECOND = RANGES


@pytest.fixture
def editor(qtbot: QtBot, theme: Theme) -> RangesEditor:
    made = RangesEditor(theme)
    qtbot.addWidget(made)
    made.resize(820, 440)
    made.show_ranges(RANGES, {FIRST: histogram()})
    made.show()
    qtbot.waitExposed(made)
    return made


def drag_end(editor: RangesEditor, end: int, *values: float, release: bool = True) -> None:
    """Take an end's line with the mouse to values of the axis, one after the other."""
    plot = editor.plot
    plot.grab()  # a plot knows its scale once it is painted
    box = plot.getPlotItem().getViewBox()

    def at(value: float) -> QPointF:
        return QPointF(plot.mapFromScene(box.mapViewToScene(QPointF(value, 0.3))))

    drag(plot.viewport(), at(editor.ranges[editor.nodes.current][end]), *map(at, values), release=release)


def test_an_end_is_dragged_and_says_what_it_clips(qtbot: QtBot, editor: RangesEditor) -> None:
    assert "Clips 0 %" in editor.words.text()
    drag_end(editor, 1, 6.0, 4.0, 2.0, release=False)
    assert editor.fields[1].value() == pytest.approx(2.0, abs=0.1)  # at once, while it is dragged
    assert "Clips 0.05 %" in editor.words.text() or "Clips 0.0 %" in editor.words.text()
    assert editor.ranges[FIRST] == (-1.0, 9.0)
    assert not editor.edits.can_undo
    drag_end(editor, 1, 2.0)


def test_a_drag_is_one_step_to_undo(qtbot: QtBot, editor: RangesEditor) -> None:
    drag_end(editor, 1, 6.0, 4.0, 2.0)
    low, high = editor.ranges[FIRST]
    assert (low, high) == (-1.0, pytest.approx(2.0, abs=0.1))
    assert editor.edits.edited == {FIRST}
    drag_end(editor, 0, -0.5)
    low, _ = editor.ranges[FIRST]
    assert low == pytest.approx(-0.5, abs=0.1)
    assert clipped_share(histogram(), editor.ranges[FIRST]) > 0.2
    qtbot.keyClick(editor.plot, Qt.Key.Key_Z, CTRL)
    assert editor.ranges[FIRST] == (-1.0, high)
    qtbot.mouseClick(editor.undo_button, LEFT)
    assert editor.ranges == RANGES
    assert not editor.undo_button.isEnabled()
    qtbot.keyClick(editor.plot, Qt.Key.Key_Z, CTRL | SHIFT)
    qtbot.mouseClick(editor.redo_button, LEFT)
    assert editor.ranges[FIRST] == (low, high)
    qtbot.mouseClick(editor.reset_button, LEFT)
    assert editor.ranges == RANGES


def test_a_range_can_not_be_dragged_over_its_other_end(qtbot: QtBot, editor: RangesEditor) -> None:
    drag_end(editor, 1, 3.0, -0.8)
    assert editor.ranges[FIRST] == (-1.0, 0.0)  # it includes 0, as the kernels ask
    drag_end(editor, 0, 0.0, 5.0)
    low, high = editor.ranges[FIRST]
    assert low < high == 0.0
    for field in editor.fields:
        assert editor.fields[0].value() < editor.fields[1].value(), field.accessibleName()


def test_ends_are_typed_and_moved_by_keys(qtbot: QtBot, editor: RangesEditor) -> None:
    field = editor.fields[1]
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, "12.5")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert editor.ranges[FIRST] == (-1.0, 12.5)
    field.selectAll()
    qtbot.keyClicks(field, "-3")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert editor.ranges[FIRST] == (-1.0, 0.0)
    editor.reset()
    qtbot.keyClick(editor.plot, Qt.Key.Key_Left)
    assert editor.ranges[FIRST][1] == pytest.approx(9.0 - 4 * 10 / 255)
    qtbot.keyClick(editor.plot, Qt.Key.Key_Down)
    qtbot.keyClick(editor.plot, Qt.Key.Key_Right, SHIFT)
    assert editor.ranges[FIRST][0] == pytest.approx(0.0)  # 40 steps would be past 0


def test_undo_goes_to_the_node_that_was_changed(qtbot: QtBot, editor: RangesEditor) -> None:
    qtbot.mouseClick(editor.nodes.viewport(), LEFT, pos=editor.nodes.visualRect(editor.nodes.nodes.index(1)).center())
    assert editor.nodes.current == SECOND
    assert "No histogram" in editor.words.text()
    drag_end(editor, 1, 5.0)
    assert editor.ranges[SECOND][1] == pytest.approx(5.0, abs=0.1)
    editor.nodes.choose(FIRST)
    editor.undo()
    assert editor.nodes.current == SECOND
    assert editor.ranges == RANGES


def calibrated(qtbot: QtBot, panel: MeasurePanel, window: MainWindow, engine: FakeEngine) -> CalibrateDialog:
    panel.calibrate()
    wizard = dialog(window, CalibrateDialog)
    wizard.run()
    engine.answer(Calibrate)
    return wizard  # type: ignore[no-any-return]


def test_dragged_ranges_are_stored_and_opened_again(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    wizard = calibrated(qtbot, panel, opened, engine)
    drag_end(wizard.editor, 1, 2.0)
    qtbot.mouseClick(wizard.apply_button, LEFT)
    settle(qtbot, opened)
    stored = next(step for step in opened.document.state.recipe.active if isinstance(step, FreezeRequantizationRanges))
    high = dict(stored.ranges)[FIRST][1]
    assert high == pytest.approx(2.0, abs=0.1)
    chip = opened.recipe.chips[1]
    qtbot.mouseClick(chip, LEFT)
    qtbot.keyClick(chip, Qt.Key.Key_Return, CTRL)
    again = dialog(opened, RangesDialog)
    assert not again.apply_button.isEnabled()
    again.editor.nodes.choose(FIRST)
    assert "Clips" in again.editor.words.text()  # the histogram is still there
    assert dict(again.editor.ranges) == dict(stored.ranges)
    drag_end(again.editor, 1, 1.0)
    qtbot.mouseClick(again.apply_button, LEFT)
    settle(qtbot, opened)
    assert dict(opened.document.state.recipe.active[1].ranges)[FIRST][1] == pytest.approx(1.0, abs=0.1)
    assert "edited" in panel.ranges.facts.facts[-1].value
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    settle(qtbot, opened)
    assert opened.document.state.recipe.active[1] == stored


def test_the_menu_of_a_step_opens_its_ranges(qtbot: QtBot, opened: MainWindow) -> None:
    step = FreezeRequantizationRanges((("conv_eightbit_requant_range", (-1.0, 2.0)),))
    opened.document.set_recipe(Recipe.of(QuantizeNodes(), step))
    settle(qtbot, opened)
    menus = [opened.recipe.step_menu(index) for index in (0, 1)]
    texts = [[action.text() for action in menu.actions()] for menu in menus]
    assert not any("ranges" in text for text in texts[0])
    next(action for action in menus[1].actions() if "ranges" in action.text()).trigger()
    shown = dialog(opened, RangesDialog)
    assert "No histogram" in shown.editor.words.text()
    shown.reject()
    for menu in menus:
        menu.deleteLater()


def test_histograms_are_there_when_the_model_is_opened_again(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    wizard = calibrated(qtbot, panel, opened, engine)
    wizard.reject()
    source = opened.document.state.source
    assert source is not None
    qtbot.waitUntil(opened.settings.histograms(source.sha256).exists)
    opened.open(source.path)
    qtbot.waitUntil(lambda: opened.document.state.source is not source)
    qtbot.waitUntil(lambda: bool(opened.document.state.measured.histograms))
    assert opened.document.state.measured.histograms[FIRST] == histogram()
    assert opened.document.state.measured.calibration is None
    settle(qtbot, opened)


def test_both_themes_paint_the_list_and_the_plot(qtbot: QtBot, editor: RangesEditor, theme: Theme) -> None:
    editor._store((-0.5, 3.0))
    light = editor.grab().toImage().pixelColor(400, 430).lightness()
    theme.choose("dark")
    QApplication.processEvents()
    assert editor.plot.grab().toImage().pixelColor(2, 2).lightness() < 64
    theme.choose("light")
    assert light > 128

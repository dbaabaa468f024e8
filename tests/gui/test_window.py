"""The main job through the real window: clicks, keys and drags."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QPushButton
from pytestqt.qtbot import QtBot

from compressor_gui.core import pbio
from compressor_gui.gui.crash_dialog import CrashDialog
from compressor_gui.gui.export_dialog import ExportDialog
from compressor_gui.gui.files import load_recipe
from compressor_gui.gui.help_dialog import HelpDialog
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.data_dialog import DataDialog
from compressor_gui.gui.pass_form import PassForm
from compressor_gui.gui.settings import Settings
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.welcome import Card


def settle(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: not window.document.state.stale and window.graph.settled(), timeout=20_000)


def drag_slider(qtbot: QtBot, window: MainWindow, row: int, to: float) -> None:
    """Drag a layer's slider to a fraction of its track, in three moves."""
    view = window.layers.view
    track = view.slider_rect(row)
    y = track.center().y()
    start = QPoint(round(track.left() + window.layers.model.rows[row].sparsity * track.width()), round(y))
    qtbot.mousePress(view.viewport(), Qt.MouseButton.LeftButton, pos=start)
    for part in (0.3, 0.7, 1.0):
        x = start.x() + (track.left() + to * track.width() - start.x()) * part
        qtbot.mouseMove(view.viewport(), QPoint(round(x), round(y)))
    end = QPoint(round(track.left() + to * track.width()), round(y))
    qtbot.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, pos=end)


def press(qtbot: QtBot, window: MainWindow, key: Qt.Key, *modifiers: Qt.KeyboardModifier) -> None:
    if not window.isActiveWindow():  # the off-screen platform does not go back to it when a dialog closes
        window.activateWindow()
        qtbot.waitUntil(window.isActiveWindow)
    held = Qt.KeyboardModifier.NoModifier
    for modifier in modifiers:
        held |= modifier
    qtbot.keyClick(window, key, held)


CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def add_quantize_nodes(qtbot: QtBot, window: MainWindow) -> None:
    press(qtbot, window, Qt.Key.Key_2, CTRL)
    qtbot.waitUntil(lambda: window.findChild(PassForm) is not None)
    form = window.findChild(PassForm)
    qtbot.keyClick(form, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: any(step.transform.name == "quantize_nodes" for step in window.document.state.recipe.steps))
    settle(qtbot, window)


def test_a_sample_opens_with_a_click(qtbot: QtBot, window: MainWindow) -> None:
    card = window.welcome.findChildren(Card)[0]
    qtbot.mouseClick(card, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.document.state.source is not None)
    settle(qtbot, window)
    assert window.centre.currentWidget() is window.graph
    assert window.layers.model.rowCount() == 3
    assert window.settings.recent[0].name == "lenet-300-100.pb"


def test_dragging_a_slider_changes_sparsity_sizes_and_colour(qtbot: QtBot, opened: MainWindow) -> None:
    before = opened.status.sparse.text()
    drag_slider(qtbot, opened, 1, 0.9)
    step = opened.document.prune_step()
    assert step is not None
    layer = opened.document.state.source.layers[1]
    assert opened.document.wanted_sparsity(layer) == pytest.approx(0.9, abs=0.05)
    assert opened.status.sparse.text() != before
    settle(qtbot, opened)
    made = opened.document.state.made.layers[1]
    assert made.sparsity == pytest.approx(opened.document.wanted_sparsity(layer), abs=0.01)
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)  # the whole drag is one step
    settle(qtbot, opened)
    assert not opened.document.state.recipe.steps
    assert not opened.document.state.can_undo


def test_quantize_compare_walk_undo_redo(qtbot: QtBot, opened: MainWindow) -> None:
    add_quantize_nodes(qtbot, opened)
    ops = opened.document.state.made.graph.op_counts
    assert {"QuantizeV2", "QuantizedConv2D", "RequantizationRange", "Requantize", "Dequantize"} <= set(ops)
    press(qtbot, opened, Qt.Key.Key_3)
    settle(qtbot, opened)
    assert opened.document.state.view == "compare"
    seen = []
    for _ in range(5):
        press(qtbot, opened, Qt.Key.Key_N)
        seen.append(opened.document.state.selected)
    assert len(set(seen)) == 5
    changes = opened.document.state.diff.by_name
    assert all(changes[name].change != "unchanged" for name in seen)
    press(qtbot, opened, Qt.Key.Key_P)
    assert opened.document.state.selected == seen[-2]
    assert opened.differences.model.rowCount() >= 1
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    settle(qtbot, opened)
    assert opened.document.state.diff.equal
    press(qtbot, opened, Qt.Key.Key_Z, CTRL, SHIFT)
    settle(qtbot, opened)
    assert opened.document.state.made.graph.op_counts == ops


def test_recipe_steps_are_switched_moved_and_removed_by_keys(qtbot: QtBot, opened: MainWindow) -> None:
    opened.document.prune_all(0.5)
    opened.document.end_merge()
    add_quantize_nodes(qtbot, opened)
    names = lambda: [step.transform.name for step in opened.document.state.recipe.steps]  # noqa: E731
    assert names() == ["prune", "quantize_nodes"]
    chip = opened.recipe.chips[1]
    qtbot.mouseClick(chip, Qt.MouseButton.LeftButton)
    assert opened.document.state.step == 1
    qtbot.keyClick(chip, Qt.Key.Key_Space)
    settle(qtbot, opened)
    assert "QuantizedConv2D" not in opened.document.state.made.graph.op_counts
    qtbot.keyClick(opened.recipe.chips[1], Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert names() == ["quantize_nodes", "prune"]
    qtbot.keyClick(opened.recipe.chips[0], Qt.Key.Key_Delete)
    assert names() == ["prune"]
    settle(qtbot, opened)


def test_a_step_is_edited_in_its_form(qtbot: QtBot, opened: MainWindow) -> None:
    opened.document.prune_all(0.5)
    opened.document.end_merge()
    settle(qtbot, opened)
    qtbot.keyClick(opened.recipe.chips[0], Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: opened.findChild(PassForm) is not None)
    form = opened.findChild(PassForm)
    skip = form.fields["skip"].editor
    skip.setFocus()
    qtbot.keyClicks(skip, "nobody")
    qtbot.keyClick(form, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: opened.message.isVisible())  # such a layer does not exist: the step is taken back
    assert "nobody" in opened.message.what.text() + opened.message.more.text()
    settle(qtbot, opened)
    assert opened.document.prune_step()[1].skip == ()


@pytest.mark.tensorflow
def test_export_checks_in_the_engine_and_survives_its_death(qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    opened.document.prune_all(0.5)
    opened.document.end_merge()
    settle(qtbot, opened)
    press(qtbot, opened, Qt.Key.Key_E, CTRL)
    dialog = opened.findChild(ExportDialog)
    dialog.target.setFocus()
    dialog.target.selectAll()
    qtbot.keyClicks(dialog.target, str(tmp_path / "small.pb"))
    qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: opened.engine.client.pid is not None, timeout=20_000)
    qtbot.waitUntil(lambda: dialog.finished_work, timeout=240_000)
    assert dialog.check is not None
    assert dialog.check.passed
    assert "are far from the original's" in dialog.verdict.text()  # half of random weights
    assert not (tmp_path / "small.pb").exists()
    qtbot.mouseClick(dialog.keep_button, Qt.MouseButton.LeftButton)
    assert (tmp_path / "small.pb").exists()
    assert (tmp_path / "small.recipe.json").exists()
    qtbot.mouseClick(dialog.close_button, Qt.MouseButton.LeftButton)
    assert "SQNR" in opened.status.check.text()

    press(qtbot, opened, Qt.Key.Key_E, CTRL)
    dialog = next(d for d in opened.findChildren(ExportDialog) if d.isVisible())
    dialog.target.setText(str(tmp_path / "other.pb"))
    os.kill(opened.engine.client.pid, signal.SIGSTOP)  # so that the job can't be over before it is killed
    qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(opened.engine.jobs))
    os.kill(opened.engine.client.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: dialog.finished_work, timeout=240_000)
    assert "check failed" in dialog.verdict.text()
    assert not (tmp_path / "other.pb").exists()
    qtbot.mouseClick(dialog.discard_button, Qt.MouseButton.LeftButton)
    assert not list(tmp_path.glob(".other*"))
    assert opened.isVisible()


def test_export_never_goes_over_the_source(qtbot: QtBot, opened: MainWindow, model_file: Path) -> None:
    before = model_file.read_bytes()
    press(qtbot, opened, Qt.Key.Key_E, CTRL)
    dialog = opened.findChild(ExportDialog)
    dialog.target.setText(str(model_file))
    assert not dialog.export_button.isEnabled()
    assert "never overwritten" in dialog.problem.text()
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert model_file.read_bytes() == before


def drop_on(window: MainWindow, path: Path) -> None:
    """Drag a file or folder over the window, and drop it."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    held = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(300, 300), Qt.DropAction.CopyAction, data, *held)
    QApplication.sendEvent(window, enter)
    assert enter.isAccepted()
    drop = QDropEvent(QPointF(300, 300), Qt.DropAction.CopyAction, data, *held)
    QApplication.sendEvent(window, drop)


def test_examples_that_are_dropped_become_the_data(qtbot: QtBot, opened: MainWindow, digits: Path) -> None:
    for dropped in (digits, digits / "t-images-idx3-ubyte"):
        drop_on(opened, dropped)
        asked = next(found for found in opened.findChildren(DataDialog) if found.isVisible())
        qtbot.waitUntil(asked.use_button.isEnabled)
        qtbot.mouseClick(asked.use_button, Qt.MouseButton.LeftButton)
        assert opened.document.state.data.path == str(dropped)
        assert opened.measure.isVisible()
    assert opened.document.state.source.path.name == "net.pb"


def test_examples_without_a_model_say_what_is_first(qtbot: QtBot, window: MainWindow, digits: Path) -> None:
    drop_on(window, digits)
    assert "no model" in window.message.what.text()
    assert window.document.state.source is None


def test_a_broken_file_is_said_and_nothing_is_lost(qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    drag_slider(qtbot, opened, 0, 0.6)
    settle(qtbot, opened)
    recipe = opened.document.state.recipe
    broken = tmp_path / "broken.pb"
    broken.write_bytes(b"<!doctype html><html>")
    drop_on(opened, broken)
    qtbot.waitUntil(lambda: opened.message.isVisible())
    assert "web page" in opened.message.what.text()
    assert "broken.pb" in opened.message.more.text()
    assert opened.document.state.recipe is recipe
    assert opened.document.state.source.path.name == "net.pb"


def test_search_counts_jumps_and_names_a_bad_pattern(qtbot: QtBot, opened: MainWindow) -> None:
    press(qtbot, opened, Qt.Key.Key_F, CTRL)
    search = opened.toolbar.search
    assert search.hasFocus()
    qtbot.keyClicks(search, "relu|softmax")
    assert opened.toolbar.matches.text() == "2 found"
    qtbot.keyClick(search, Qt.Key.Key_Return)
    assert opened.document.state.selected in ("relu", "softmax")
    qtbot.keyClicks(search, "(")
    assert opened.toolbar.matches.text() == "not valid"
    qtbot.keyClick(search, Qt.Key.Key_Escape)
    assert search.text() == ""


def test_a_second_file_is_compared(qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    graph = opened.document.state.source.graph
    other = tmp_path / "other.pb"
    relu = graph["relu"].with_(op="Relu6")
    pbio.write_graph(type(graph)([relu if n.name == "relu" else n for n in graph.nodes], graph.extras), other)
    opened.document.compare_with(other)
    qtbot.waitUntil(lambda: opened.document.state.other is not None)
    settle(qtbot, opened)
    assert opened.document.state.diff.by_name["relu"].change == "changed"
    opened.document.compare_with(None)
    assert opened.document.state.other is None


def test_recipe_is_saved_and_loaded(qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    opened.document.prune_all(0.5)
    opened.document.end_merge()
    opened.document.state.recipe.save(tmp_path / "r.json")
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    assert not opened.document.state.recipe.steps
    load_recipe(opened, tmp_path / "r.json")
    assert [step.transform.name for step in opened.document.state.recipe.steps] == ["prune"]
    (tmp_path / "bad.json").write_text('{"format": 1, "steps": [{"pass": "nothing"}]}')
    load_recipe(opened, tmp_path / "bad.json")
    assert "nothing" in opened.message.what.text()
    settle(qtbot, opened)


def test_panels_geometry_and_theme_are_remembered(qtbot: QtBot, theme: Theme, tmp_path: Path, model_file: Path) -> None:
    def start() -> MainWindow:
        made = MainWindow(Settings(tmp_path / "settings.ini"), theme)
        made.show()
        qtbot.waitExposed(made)
        made.open(model_file)
        qtbot.waitUntil(lambda: made.document.state.made is not None)
        return made

    first = start()
    first.resize(1111, 777)
    first.docks["differences"].close()
    first.close()
    first.document.close()
    second = start()
    assert abs(second.height() - 777) < 10  # the off-screen screen is too narrow for the width
    assert second.docks["differences"].isHidden()
    assert second.docks["layers"].isVisible()
    second.actions_table["reset_panels"].trigger()
    assert second.docks["differences"].isVisible()
    second.close()
    for made in (first, second):
        made.deleteLater()


def test_help_lists_shortcuts_and_passes(qtbot: QtBot, window: MainWindow) -> None:
    press(qtbot, window, Qt.Key.Key_F1)
    dialog = window.findChild(HelpDialog)
    assert dialog.isVisible()
    dialog.list.setCurrentRow(list(dialog.pages).index("Shortcuts"))
    assert "Ctrl+Z" in dialog.text.toPlainText()
    dialog.list.setCurrentRow(list(dialog.pages).index("Passes"))
    assert "quantize_weights" in dialog.text.toPlainText()
    dialog.close()


def test_every_action_has_a_tip_and_no_shortcut_is_taken_twice(window: MainWindow) -> None:
    seen: dict[str, str] = {}
    for spec in window.actions_table.specs:
        assert spec.tip
        for key in filter(None, spec.shortcut.split("; ")):
            assert key not in seen, f"{spec.id} and {seen[key]} share {key}"
            seen[key] = spec.id


def test_crash_dialog_shows_details_and_goes_on(qtbot: QtBot, window: MainWindow) -> None:
    dialog = CrashDialog("Traceback: the details", window)
    dialog.open()
    assert dialog.text.isHidden()
    qtbot.mouseClick(dialog.show_button, Qt.MouseButton.LeftButton)
    assert dialog.text.isVisible()
    qtbot.mouseClick(dialog.copy_button, Qt.MouseButton.LeftButton)
    assert "the details" in QApplication.clipboard().text()
    go_on = next(b for b in dialog.findChildren(QPushButton) if b.text() == "Go on")
    qtbot.mouseClick(go_on, Qt.MouseButton.LeftButton)
    assert not dialog.isVisible()
    assert window.isVisible()
    dialog.deleteLater()


def test_a_recipe_comes_back_with_its_model(qtbot: QtBot, opened: MainWindow, model_file: Path) -> None:
    opened.document.prune_all(0.5)
    opened.document.end_merge()
    recipe = opened.document.state.recipe
    card = opened.welcome.findChildren(Card)[0]
    card.clicked.emit()
    qtbot.waitUntil(lambda: opened.document.state.source.path.name == "lenet-300-100.pb")
    settle(qtbot, opened)
    assert not opened.document.state.recipe.steps
    opened.open(model_file)
    qtbot.waitUntil(lambda: opened.document.state.recipe == recipe)
    assert "Undo" in opened.message.what.text()
    settle(qtbot, opened)
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    settle(qtbot, opened)
    assert not opened.document.state.recipe.steps


def test_a_small_window_keeps_search_and_menu(qtbot: QtBot, opened: MainWindow) -> None:
    assert opened.minimumWidth() <= 1024
    assert opened.minimumHeight() <= 640
    opened.resize(opened.minimumSize())
    qtbot.waitUntil(lambda: opened.width() == opened.minimumWidth())
    qtbot.keyClicks(opened.toolbar.search, "conv")
    assert opened.toolbar.matches.text()
    for widget in (opened.toolbar.search, opened.toolbar.menu_button):
        qtbot.waitUntil(lambda widget=widget: widget.isVisible() and widget.geometry().right() <= opened.width())


def test_the_keys_reach_table_and_toolbar_in_sight(qtbot: QtBot, opened: MainWindow) -> None:
    opened.activateWindow()
    opened.layers.filter.setFocus(Qt.FocusReason.MouseFocusReason)
    for _ in range(4):
        if opened.layers.view.hasFocus():
            break
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    assert opened.layers.view.property("ring")
    opened.toolbar.search.setFocus(Qt.FocusReason.TabFocusReason)
    assert not opened.layers.view.property("ring")
    passed = []
    for _ in range(12):
        qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Backtab)
        passed.append(getattr(QApplication.focusWidget(), "text", str)())
    assert passed[:4] == ["Export", "Compare", "Measure", "Retrain"]
    assert "Open" in passed

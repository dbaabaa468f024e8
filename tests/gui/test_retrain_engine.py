"""Retraining through the window with the real engine."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from compressor_gui.gui.export_dialog import ExportDialog
from compressor_gui.gui.files import ask_export
from compressor_gui.gui.main_window import MainWindow
from tests.gui.measuring import dialog
from tests.gui.test_window import CTRL, SHIFT, press, settle

LEFT = Qt.MouseButton.LeftButton

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def lenet(qtbot: QtBot, window: MainWindow) -> MainWindow:
    """LeNet-5 with the digits that come with it."""
    window.open(Path(__file__).parents[2] / "resources/samples/lenet-5.pb")
    qtbot.waitUntil(lambda: window.document.state.data is not None)
    settle(qtbot, window)
    return window


@pytest.mark.tensorflow
def test_lenet_5_is_retrained_and_exported(qtbot: QtBot, lenet: MainWindow, tmp_path: Path) -> None:
    press(qtbot, lenet, Qt.Key.Key_P, CTRL, SHIFT)
    panel, run = lenet.retrain, lenet.retrain.retrainer
    panel.form.amount.setValue(20.0)
    panel.form.schedule.setCurrentIndex(panel.form.schedule.findData("iterative"))
    panel.form.epochs.setValue(1)
    qtbot.mouseClick(panel.start_button, LEFT)
    qtbot.waitUntil(lambda: len(run.points) == 2 or run.error is not None, timeout=240_000)
    assert run.error is None
    qtbot.mouseClick(panel.run_bar.pause_button, LEFT)
    qtbot.waitUntil(lambda: panel.weights.shown == ("fc1/MatMul", len(run.course.epochs)))
    assert panel.densities.lines
    qtbot.mouseClick(panel.run_bar.keep_button, LEFT)
    qtbot.waitUntil(lambda: not run.is_running, timeout=240_000)
    assert run.found is not None
    assert run.found.point.sparsity > 0.5
    settle(qtbot, lenet)
    state = lenet.document.state
    assert state.recipe.active[0].name == "weights"
    assert "top-1" in lenet.status.accuracy.text()
    kept = sum(layer.nonzero for layer in state.made.layers)
    assert kept == run.found.point.nonzero
    press(qtbot, lenet, Qt.Key.Key_Z, CTRL)
    settle(qtbot, lenet)
    assert lenet.document.state.recipe.active == ()
    press(qtbot, lenet, Qt.Key.Key_Z, CTRL, SHIFT)
    press(qtbot, lenet, Qt.Key.Key_3)
    settle(qtbot, lenet)
    assert lenet.document.state.view == "compare"
    assert lenet.document.state.diff.counts["changed"] > 0
    target = tmp_path / "small.pb"
    ask_export(lenet)
    asked = dialog(lenet, ExportDialog)
    asked.target.setText(str(target))
    asked.start()
    qtbot.waitUntil(lambda: asked.finished_work, timeout=120_000)
    assert target.is_file()
    asked.accept()


@pytest.mark.tensorflow
def test_a_killed_engine_goes_on_from_its_checkpoint(qtbot: QtBot, lenet: MainWindow) -> None:
    panel, run = lenet.show_retrain(), lenet.retrain.retrainer
    lenet.document.set(data=replace(lenet.document.state.data, limit=300))
    panel.form.amount.setValue(2.0)
    panel.form.epochs.setValue(3)
    qtbot.mouseClick(panel.start_button, LEFT)
    qtbot.waitUntil(lambda: len(run.course.epochs) == 1 or not run.is_running, timeout=240_000)
    os.kill(lenet.engine.client.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not run.is_running, timeout=240_000)
    if run.error is not None:  # else it was done, or had been asked again by itself
        assert "goes on after epoch" in panel.run_bar.words.text()
        qtbot.mouseClick(panel.run_bar.again_button, LEFT)
        qtbot.waitUntil(lambda: not run.is_running, timeout=240_000)
        assert run.found.resumed >= 1
    assert run.found is not None
    assert run.found.lacks == ""


@pytest.mark.tensorflow
def test_channels_of_lenet_5_are_removed_and_it_stays_open_to_more(qtbot: QtBot, lenet: MainWindow) -> None:
    panel, run = lenet.show_retrain(), lenet.retrain.retrainer
    lenet.document.set(data=replace(lenet.document.state.data, limit=300))
    panel.form.goal.setCurrentIndex(panel.form.goal.findData("speedup"))
    panel.form.amount.setValue(panel.form.amount.maximum())  # out of reach: it goes on until it is stopped
    panel.form.epochs.setValue(1)
    qtbot.mouseClick(panel.start_button, LEFT)
    qtbot.waitUntil(lambda: len(run.points) == 2 or not run.is_running, timeout=240_000)
    assert run.error is None
    qtbot.mouseClick(panel.run_bar.keep_button, LEFT)
    qtbot.waitUntil(lambda: not run.is_running, timeout=240_000)
    assert run.found is not None
    assert run.found.lacks
    settle(qtbot, lenet)
    # The fastest by the clock, which may be the model as it came.
    assert lenet.document.state.recipe.active == run.recipe(run.found.point).active
    qtbot.mouseClick(panel.points.by_bytes, LEFT)
    qtbot.keyClick(panel.points.plot, Qt.Key.Key_Home)
    assert panel.points.at == len(run.points) - 1
    qtbot.keyClick(panel.points.plot, Qt.Key.Key_Return)
    settle(qtbot, lenet)
    state = lenet.document.state
    names = [step.name for step in state.recipe.active]
    assert names[-2:] == ["remove_channels", "weights"]
    assert sum(layer.parameters for layer in state.made.layers) == run.points[-1].weights < 430_500
    while lenet.document.state.can_undo:
        press(qtbot, lenet, Qt.Key.Key_Z, CTRL)
        settle(qtbot, lenet)
    assert lenet.document.state.recipe.active == ()

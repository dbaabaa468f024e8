"""Sensitivity, suggestions and ranges, with an engine that answers what the test wants."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from compressor_gui.core.measure import (
    Calibrate,
    Evaluate,
    LayerCurve,
    Sensitivity,
)
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.protocol import Cancelled, Failed, Piece, Progress
from compressor_gui.core.ranges import choose_range
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.sweep import EXACT_DB
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.calibrate_dialog import CalibrateDialog
from compressor_gui.gui.measure.measured import Sweep
from compressor_gui.gui.measure.panel import MeasurePanel
from compressor_gui.gui.measure.suggest_dialog import SuggestDialog
from tests.gui.fake_engine import FakeEngine, histogram, layer_curve
from tests.gui.measuring import dialog, facts
from tests.gui.test_window import CTRL, press, settle

LEFT = Qt.MouseButton.LeftButton


# --- sensitivity ------------------------------------------------------------------------------------------------------


def sweep(panel: MeasurePanel, engine: FakeEngine) -> None:
    panel.measure_sensitivity()
    engine.answer(Sensitivity)


def test_curves_grow_are_cancelled_and_resumed(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    press(qtbot, opened, Qt.Key.Key_M, CTRL)
    begun = LayerCurve("conv", (0.0, 0.5), (0.95, 0.8))
    engine.say(Sensitivity, Piece(begun))
    qtbot.waitUntil(lambda: opened.document.state.measured.sweep.value.curves.get("conv") is begun)
    assert "1 of 2 layers begun" in panel.sweep.progress.text()
    assert opened.layers.model.rows[0].losses[0] == (0.0, pytest.approx(0))
    assert opened.layers.model.rows[0].losses[1] == (0.5, pytest.approx(0.15 / 0.95))
    assert opened.layers.model.rows[1].losses == ()
    qtbot.mouseClick(panel.sweep.start_button, LEFT)
    engine.say(Sensitivity, Piece(layer_curve("conv")))
    engine.say(Sensitivity, Cancelled())
    assert panel.sweep.start_button.text() == "Resume"
    assert len(opened.document.state.measured.sweep.value.curves["conv"].value) == 12  # what had arrived is kept
    qtbot.mouseClick(panel.sweep.start_button, LEFT)
    assert opened.document.state.measured.sweep.value.curves  # shown while it goes on
    engine.answer(Sensitivity)
    assert panel.sweep.start_button.text() == "Measure again"
    assert "100 examples" in panel.sweep.progress.text()
    assert all(row.losses for row in opened.layers.model.rows)
    opened.layers.view.viewport().grab()  # paints the thumbnails


def test_a_click_on_a_curve_selects_its_layer_and_sets_its_slider(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    sweep(panel, engine)
    opened.document.select("dense")
    height = float(np.interp(0.75, *[np.array(v) for v in (layer_curve("x").sparsity, layer_curve("x").value)]))
    panel.sweep.plot.plot.clicked.emit(0.75, height)
    assert opened.document.state.selected == "conv"
    assert opened.document.wanted_sparsity(opened.document.state.source.layers[0]) == pytest.approx(0.75)
    assert panel.sweep.plot.cut.value() == pytest.approx(0.75, abs=0.01)
    settle(qtbot, opened)
    panel.sweep.plot.plot.hovered.emit(0.75, height)
    assert "measured" in panel.sweep.plot.caption


def test_the_inspector_has_the_measured_curve_over_the_estimated(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    opened.document.select("conv")
    plot = opened.inspector.sensitivity
    assert not plot._measured.isVisible()
    sweep(panel, engine)
    xs, ys = plot._measured.getData()
    assert list(xs) == list(layer_curve("conv").sparsity)
    assert list(ys) == pytest.approx(list(layer_curve("conv").value))
    assert plot._curve.isVisible()
    plot.bits.setChecked(True)
    qtbot.waitUntil(lambda: len(plot._measured.getData()[0]) == 7)


def test_curves_in_decibels() -> None:
    found = Sweep({"a": LayerCurve("a", (0.0, 0.5, 0.9), (EXACT_DB, 30.0, -3.0))}, 1)
    assert found.metric == "sqnr_db"
    assert [at for at, _ in found.losses("a")] == [0.0, 0.5, 0.9]
    assert [loss for _, loss in found.losses("a")] == [0.0, 0.5, 1.0]
    assert found.words(EXACT_DB) == "equal"
    assert found.words(30.0) == "30.0 dB"
    assert found.losses("b") == ()


def test_a_suggestion_is_one_step_to_undo(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    sweep(panel, engine)
    press(qtbot, opened, Qt.Key.Key_G, CTRL)
    asked = dialog(opened, SuggestDialog)
    asked.target.setCurrentIndex(asked.target.findData("sparsity"))
    asked.amount.setValue(80.0)
    wanted = dict(asked.suggestion.layers)
    assert asked.suggestion.sparsity >= 0.8
    assert set(wanted) == {"conv", "dense"}
    qtbot.mouseClick(asked.apply_button, LEFT)
    settle(qtbot, opened)
    step = opened.document.state.recipe.steps[0].transform
    assert isinstance(step, Prune)
    assert dict(step.layers) == wanted
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    settle(qtbot, opened)
    assert not opened.document.state.recipe.steps


def test_a_suggestion_is_an_estimate_until_it_is_measured(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    sweep(panel, engine)
    panel.suggest()
    asked = dialog(opened, SuggestDialog)
    assert facts(asked.outcome)["estimated"].startswith("≈ top-1 94")
    qtbot.mouseClick(asked.apply_button, LEFT)
    assert json.loads(engine.answer(Evaluate).model.recipe)["steps"][0]["pass"] == "prune"
    settle(qtbot, opened)
    panel.suggest()
    asked = dialog(opened, SuggestDialog)
    assert facts(asked.outcome)["measured"] == "top-1 91.0 %"
    asked.amount.setValue(20.0)  # another one: not measured
    assert "estimated" in facts(asked.outcome)
    asked.amount.setValue(1.0)
    qtbot.mouseClick(asked.apply_button, LEFT)
    assert not engine.asked


def test_a_target_that_can_not_be_met_says_what_is_lacking(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    sweep(panel, engine)
    panel.suggest()
    asked = dialog(opened, SuggestDialog)
    asked.target.setCurrentIndex(asked.target.findData("bytes"))
    asked.amount.setValue(0.0)
    assert "too many" in asked.problem.text()
    assert not asked.apply_button.isEnabled()
    asked.target.setCurrentIndex(asked.target.findData("max_drop"))
    asked.amount.setValue(2.0)
    assert asked.apply_button.isEnabled()
    assert asked.problem.isHidden()
    asked.reject()


# --- ranges -----------------------------------------------------------------------------------------------------------


def test_ranges_are_measured_chosen_again_and_stored(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    press(qtbot, opened, Qt.Key.Key_B, CTRL)
    wizard = dialog(opened, CalibrateDialog)
    assert "quantize_nodes is added" in wizard.words.text()
    qtbot.mouseClick(wizard.run_button, LEFT)
    engine.say(Calibrate, Progress(3, 10, "3 of 10"))
    assert wizard.bar.value() == 300
    assert wizard.run_button.text() == "Cancel"
    request = engine.answer(Calibrate)
    assert request.data.limit == 10
    assert wizard.editor.nodes.count() == 2
    assert [cut.value() for cut in wizard.editor.plot.cuts] == [-1.0, 9.0]
    wizard.method.setCurrentIndex(wizard.method.findData("mse"))
    assert not wizard.apply_button.isEnabled()
    chosen = choose_range(histogram(), "mse")
    assert chosen[1] < 9.0
    qtbot.waitUntil(lambda: wizard.editor.plot.cuts[1].value() == pytest.approx(chosen[1]))
    assert not engine.asked  # no second run
    assert "Measured on 10 images." in wizard.editor.words.text()
    wizard.amount.setCurrentIndex(2)  # what is shown is not of what is chosen now
    assert "Press Calibrate to measure on 1,000 images" in wizard.editor.words.text()
    assert not wizard.apply_button.isEnabled()
    wizard.amount.setCurrentIndex(0)
    qtbot.mouseClick(wizard.apply_button, LEFT)
    settle(qtbot, opened)
    steps = [step.transform for step in opened.document.state.recipe.steps]
    assert [step.name for step in steps] == ["quantize_nodes", "freeze_requantization_ranges"]
    assert dict(steps[1].ranges)["conv_eightbit_requant_range"] == pytest.approx(chosen)
    assert facts(panel.ranges.facts)["in the recipe"] == "2 ranges, 10 images, mse"
    assert "of an earlier recipe" not in facts(panel.ranges.facts)  # what was added is what it was measured for
    panel.calibrate()
    wizard = dialog(opened, CalibrateDialog)
    assert "calibrate again" not in wizard.words.text()
    wizard.reject()
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    settle(qtbot, opened)
    assert not opened.document.state.recipe.steps


def test_ranges_that_are_stored_again_replace_the_step(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    opened.document.set_recipe(Recipe.of(QuantizeNodes()))
    settle(qtbot, opened)
    for place, count in ((0, 10), (2, 1000)):
        panel.calibrate()
        wizard = dialog(opened, CalibrateDialog)
        wizard.amount.setCurrentIndex(place)
        wizard.run()
        request = engine.answer(Calibrate)
        assert request.data.limit == count
        assert "freeze_requantization_ranges" not in request.model.recipe
        wizard.accept()
        settle(qtbot, opened)
        panel.evaluate()
        engine.answer(Evaluate)
    names = [step.transform.name for step in opened.document.state.recipe.steps]
    assert names == ["quantize_nodes", "freeze_requantization_ranges"]


def test_ranges_are_saved_to_a_file(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    target = tmp_path / "made.ranges.json"
    monkeypatch.setattr("PySide6.QtWidgets.QFileDialog.getSaveFileName", lambda *_: (str(target), ""))
    panel.calibrate()
    wizard = dialog(opened, CalibrateDialog)
    wizard.run()
    engine.answer(Calibrate)
    qtbot.mouseClick(wizard.save_button, LEFT)
    assert json.loads(target.read_text())["conv_eightbit_requant_range"] == [-1.0, 9.0]
    wizard.reject()


def test_a_calibration_that_fails_is_said_in_the_wizard(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    panel.calibrate()
    wizard = dialog(opened, CalibrateDialog)
    wizard.run()
    engine.say(Calibrate, Failed("no activation of this model is requantized"))
    assert wizard.problem.isVisible()
    assert wizard.run_button.text() == "Calibrate"
    assert not wizard.apply_button.isEnabled()
    wizard.reject()

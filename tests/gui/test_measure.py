"""Accuracy, predictions, latency and the tray, with an engine that answers what the test wants."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton
from pytestqt.qtbot import QtBot

from compressor_gui.core.data import DataSpec
from compressor_gui.core.measure import (
    Accuracy,
    Calibrate,
    Evaluate,
    Evaluation,
    LabelImage,
    Latency,
    Preview,
    Sensitivity,
    SensitivityResult,
)
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.passes.rename_op import RenameOp
from compressor_gui.core.protocol import Cancelled, Done, Failed, Progress
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.export_dialog import ExportDialog
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.engine_dialog import EngineDialog
from compressor_gui.gui.measure.measured import Of
from compressor_gui.gui.measure.panel import MeasurePanel
from compressor_gui.gui.measure.predictions_dialog import PredictionsDialog
from compressor_gui.gui.theme import Theme
from tests.gui.fake_engine import FakeEngine, accuracy, reply
from tests.gui.measuring import dialog, facts, prune
from tests.gui.test_window import CTRL, SHIFT, press, settle

LEFT = Qt.MouseButton.LeftButton


# --- accuracy ---------------------------------------------------------------------------------------------------------


def test_accuracy_stands_in_the_status_line_and_goes_stale(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    prune(qtbot, opened, 0.5)
    press(qtbot, opened, Qt.Key.Key_R, CTRL)
    request = engine.answer(Evaluate)
    assert json.loads(request.model.recipe)["steps"][0]["pass"] == "prune"
    assert request.against.recipe == ""
    assert opened.status.accuracy.text() == "top-1 95.0 → 91.0 %"
    assert not opened.status.accuracy.property("stale")
    found = facts(panel.accuracy.facts)
    assert found["top-1"] == "95.0 → 91.0 %"
    assert found["difference"].startswith("real")
    assert found["SQNR"] == "28.0 dB"
    assert panel.accuracy.confusion.isVisible()
    prune(qtbot, opened, 0.6)
    assert opened.status.accuracy.property("stale")
    assert facts(panel.accuracy.facts)["of an earlier recipe"] == "measure again"
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    settle(qtbot, opened)
    assert not opened.status.accuracy.property("stale")


def test_without_a_recipe_the_original_alone_is_evaluated(
    panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    panel.evaluate()
    assert engine.answer(Evaluate).against is None
    assert opened.status.accuracy.text() == "top-1 95.0 %"


def test_evaluations_of_several_recipes_stand_side_by_side(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    panel.evaluate()
    engine.answer(Evaluate)
    opened.document.set_recipe(Recipe.of(QuantizeNodes()))
    settle(qtbot, opened)
    panel.evaluate()
    engine.answer(Evaluate)
    assert facts(panel.accuracy.earlier) == {"original": "95.0 %"}
    panel.evaluate()  # again: in place of the one before
    engine.answer(Evaluate)
    assert len(opened.document.state.measured.evaluations) == 2


def test_an_evaluation_that_fails_is_said_and_the_last_one_stays(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    panel.evaluate()
    engine.answer(Evaluate)
    panel.evaluate()
    engine.say(Evaluate, Failed("the input has another size", "input", "choose 8x8"))
    assert "another size" in opened.message.what.text()
    assert opened.status.accuracy.text() == "top-1 95.0 %"
    assert panel.accuracy.start_button.text() == "Evaluate"


def test_the_button_cancels_what_it_started(qtbot: QtBot, panel: MeasurePanel, engine: FakeEngine) -> None:
    qtbot.mouseClick(panel.accuracy.start_button, LEFT)
    assert panel.accuracy.start_button.text() == "Cancel"
    qtbot.mouseClick(panel.accuracy.start_button, LEFT)
    assert engine.cancelled == [1]
    engine.say(Evaluate, Cancelled())
    assert panel.accuracy.start_button.text() == "Evaluate"
    assert not panel.measurer.running


def test_another_model_drops_the_answer_that_was_under_way(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine, model_file: Path
) -> None:
    panel.evaluate()
    before = opened.document.state.source
    opened.open(model_file)
    qtbot.waitUntil(lambda: opened.document.state.source is not before)
    settle(qtbot, opened)
    assert engine.cancelled == [1]
    engine.answer(Evaluate)
    assert not opened.document.state.measured.evaluations
    assert not panel.measurer.running


# --- predictions ------------------------------------------------------------------------------------------------------


def test_predictions_that_differ_come_first(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    prune(qtbot, opened, 0.9)
    press(qtbot, opened, Qt.Key.Key_R, CTRL, SHIFT)
    shown = dialog(opened, PredictionsDialog)
    assert shown.run_button.text() == "Cancel"
    engine.answer(LabelImage)
    engine.answer(Preview)
    assert shown.model.items[0].source == "picture 4"
    assert shown.model.rowCount() == 6
    assert "1 differ" in shown.words.text()
    assert not shown.model.picture("picture 4").isNull()
    shown.only.click()
    assert [item.source for item in shown.model.items] == ["picture 4"]
    words = shown.model.index(0).data()
    assert "original: zero" in words
    assert "compressed: one" in words
    shown.grab()  # paints the rows
    shown.reject()


# --- trust ------------------------------------------------------------------------------------------------------------


def test_what_a_recipe_makes_is_not_trusted_and_the_file_is_known(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    document = opened.document
    assert opened.measurer.untrusted == ()
    document.set_recipe(Recipe.of(RenameOp("Relu", "WriteFile")))
    settle(qtbot, opened)
    assert opened.measurer.untrusted == ("WriteFile",)
    press(qtbot, opened, Qt.Key.Key_E, CTRL)
    exporting = dialog(opened, ExportDialog)
    assert exporting.allow.isVisible()
    assert "(WriteFile)" in exporting.allow.text()
    qtbot.keyClick(exporting, Qt.Key.Key_Escape)
    opened.measurer.time()
    qtbot.waitUntil(lambda: engine.waits(Latency))
    _, asked = engine.find(Latency)
    assert document.state.source is not None
    assert asked.model.sha256 == asked.against.sha256 == document.state.source.sha256


# --- latency ----------------------------------------------------------------------------------------------------------


def test_latency_as_bars_and_as_colours(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    prune(qtbot, opened, 0.5)
    panel.latency.batch.setValue(8)
    press(qtbot, opened, Qt.Key.Key_T, CTRL)
    assert engine.answer(Latency).batch == 8
    assert opened.status.latency.text() == "latency 8.9 → 3.4 ms"
    assert facts(panel.latency.facts)["compressed is"] == "2.60 × faster"
    assert facts(panel.latency.facts)["note"] == "net.pb has a fixed batch of 1; it was timed with that"
    assert list(facts(panel.latency.slowest)) == ["conv", "dense"]
    assert panel.latency.chart.accessibleDescription() == "original 8.9 ms; compressed 3.4 ms"
    opened.graph.set_color_by("time")
    opened.document.show("compare")
    qtbot.waitUntil(lambda: len(opened.graph.canvases) == 2 and opened.graph.settled())
    amounts = lambda side, name: amount(opened, side, name)  # noqa: E731
    assert amounts(1, "conv") == pytest.approx(2 / 7)  # both on one scale, the legend's
    assert amounts(1, "dense") == pytest.approx(0.5 / 7)
    assert amounts(0, "conv") == 1.0
    prune(qtbot, opened, 0.6)
    assert opened.status.latency.property("stale")
    qtbot.waitUntil(opened.graph.settled)
    assert np.isnan(amounts(1, "conv"))
    assert amounts(0, "conv") == 1.0
    for _ in range(2):
        press(qtbot, opened, Qt.Key.Key_Z, CTRL)
        settle(qtbot, opened)
        qtbot.waitUntil(opened.graph.settled)
        assert not np.isnan(amounts(len(opened.graph.canvases) - 1, "conv"))


def amount(window: MainWindow, side: int, name: str) -> float:
    """How much of the colour's scale a node's box has."""
    canvas = window.graph.canvases[side]
    assert canvas.picture is not None
    assert canvas.look.amounts is not None
    return float(canvas.look.amounts[canvas.picture.folded.owner[name]])


def test_undo_to_what_was_measured_brings_the_measurement_back(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    for run, kind in ((panel.evaluate, Evaluate), (panel.measure_latency, Latency)):
        run()
        engine.answer(kind)
    prune(qtbot, opened, 0.5)
    for run, kind in ((panel.evaluate, Evaluate), (panel.measure_latency, Latency)):
        run()
        engine.answer(kind)
    assert opened.status.accuracy.text() == "top-1 95.0 → 91.0 %"
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    settle(qtbot, opened)
    assert opened.status.accuracy.text() == "top-1 95.0 %"
    assert not opened.status.accuracy.property("stale")
    assert facts(panel.accuracy.facts)["top-1"] == "95.0 %"
    assert facts(panel.accuracy.earlier) == {"prune": "91.0 %"}
    assert not opened.status.latency.property("stale")
    assert "compressed is" not in facts(panel.latency.facts)


# --- the tray ---------------------------------------------------------------------------------------------------------


def test_the_tray_has_every_job_with_its_own_cancel(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    for run in (panel.measure_sensitivity, panel.evaluate, panel.measure_latency):
        run()
    lines = list(opened.jobs._lines.values())
    assert [line.title.text() for line in lines] == ["Measuring sensitivity", "Measuring accuracy", "Measuring latency"]
    engine.say(Sensitivity, Progress(1, 4, "conv"))
    assert lines[0].bar.value() == 250
    assert [line.left.text() for line in lines[1:]] == ["waits", "waits"]
    qtbot.mouseClick(lines[1].findChild(QToolButton), LEFT)
    assert engine.cancelled == [2]
    assert lines[1].left.text() == "stopping …"
    engine.say(Evaluate, Cancelled())
    assert len(opened.jobs._lines) == 2
    engine.answer(Sensitivity)
    engine.answer(Latency)
    assert opened.jobs.isHidden()


def test_the_engines_memory_and_scheduler_are_set_and_used(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    opened.actions_table["engine"].trigger()
    asked = dialog(opened, EngineDialog)
    asked.memory.setText("much")
    asked.accept()
    assert "no size" in asked.problem.text()
    asked.memory.setText("3 GB")
    asked.scheduler.setText("cluster")
    asked.accept()
    assert "no scheduler" in asked.problem.text()
    asked.scheduler.setText("tcp://127.0.0.1:8786")
    qtbot.mouseClick(asked.use_button, LEFT)
    assert opened.engine.client.memory_bytes == 3 * 10**9
    panel.measure_sensitivity()
    opened.measurer.evaluate()
    opened.measurer.calibrate(10, "minmax")
    for request in (Sensitivity, Evaluate, Calibrate):
        assert engine.find(request)[1].scheduler == "tcp://127.0.0.1:8786"


# --- looks ------------------------------------------------------------------------------------------------------------


def test_everything_is_painted_in_the_dark_too(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine, theme: Theme
) -> None:
    prune(qtbot, opened, 0.5)
    for run, kind in ((panel.evaluate, Evaluate), (panel.measure_sensitivity, Sensitivity),
                      (panel.measure_latency, Latency)):  # fmt: skip
        run()
        engine.answer(kind)
    light = panel.grab().toImage().pixelColor(4, 4).lightness()
    theme.choose("dark")
    assert panel.area.widget().minimumSizeHint().width() <= panel.minimumWidth() - 10  # nothing is cut at its narrowest
    dark = panel.grab().toImage().pixelColor(4, 4).lightness()
    theme.choose("light")
    assert dark < 64 < light


def test_nothing_open_says_what_would_stand_there(qtbot: QtBot, window: MainWindow) -> None:
    window.docks["measure"].show()
    window.docks["measure"].raise_()
    assert window.measure._stack.currentIndex() == 0


def test_a_result_without_labels_says_how_often_the_class_is_the_same(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    prune(qtbot, opened, 0.5)
    panel.evaluate()
    _, request = engine.find(Evaluate)
    full = reply(request)
    engine.say(Evaluate, Done(Evaluation(Accuracy(100), fidelity=full.fidelity)))
    assert opened.status.accuracy.text() == "same class 97.0 %"
    assert not panel.accuracy.confusion.isVisible()


def test_results_belong_to_their_data() -> None:
    data, other = DataSpec("idx", "/a"), DataSpec("idx", "/b")
    one = Of(Evaluation(accuracy(0.9)), Recipe(), data)
    assert not one.is_stale(Recipe(), data)
    assert one.is_stale(Recipe(), other)
    assert one.is_stale(Recipe.of(Prune(sparsity=0.5)), data)
    assert not Of(SensitivityResult("top1", 1.0, 1, ()), None, None).is_stale(Recipe.of(Prune(sparsity=0.5)), other)

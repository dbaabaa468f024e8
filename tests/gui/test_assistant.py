"""The Quantize assistant, by clicks and keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from compressor_gui.core.adaround import Adaround
from compressor_gui.core.choose import ChooseRegions, ChosenRegions, RegionGain
from compressor_gui.core.measure import Calibrate, Evaluate, Latency, Preview
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.quantize_weights import QuantizeWeights
from compressor_gui.core.protocol import Cancelled, Done, Failed, Progress
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.assistant.dialog import AssistantDialog
from compressor_gui.gui.export_dialog import ExportDialog
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.data_dialog import DataDialog
from compressor_gui.gui.measure.panel import MeasurePanel
from compressor_gui.gui.ranges.dialog import RangesDialog
from tests.gui.assisting import answer_ranges, measure_all, open_it, to_result
from tests.gui.fake_engine import FakeEngine
from tests.gui.measuring import dialog, facts
from tests.gui.test_ranges import drag_end
from tests.gui.test_window import CTRL, press, settle

LEFT = Qt.MouseButton.LeftButton


def test_fused_from_the_button_to_the_recipe(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    before = opened.document.state
    shown = open_it(qtbot, opened)
    assert "≈" in shown.what.cards["fused"].facts.text()
    assert "in float" not in shown.what.cards["fused"].facts.text()
    assert "conv stays in float: fewer than 1,024 weights" in shown.what.cards["weights"].facts.text()
    to_result(qtbot, shown, engine)
    page = shown.result_page
    assert not shown.use_button.isEnabled()
    assert page.file.how.text() == "estimated"
    assert engine.answer(Adaround).data.limit == 10
    engine.say(Calibrate, Progress(5, 10, "measuring activations"))
    assert page.stages.bar.value() == 500
    request = answer_ranges(engine, opened)
    assert request.data.limit == 10
    assert request.method == "minmax"
    assert "ranges" in engine.answer(ChooseRegions).model.recipe
    qtbot.waitUntil(lambda: engine.waits(Evaluate))
    assert page.file.how.text() == "measured"
    asked = engine.answer(Evaluate)
    assert "fuse_int8" in asked.model.recipe
    assert asked.against.recipe == ""
    assert page.accuracy.value.text() == "91.0 %"
    assert "was 95.0 %" in page.accuracy.more.text()
    assert facts(page.outputs)["softmax"] == "28.0 dB · same class 97.0 %"
    engine.answer(Latency)
    assert page.speed.value.text() == "2.60 × faster"
    assert [stage.status for stage in page.run.stages] == ["done"] * 6
    assert "1 8-bit region, dense (0.90 ×)" in page.notes.text()
    assert opened.document.state.recipe is before.recipe  # nothing has changed yet
    assert opened.document.state.measured.evaluations == before.measured.evaluations
    qtbot.mouseClick(shown.use_button, LEFT)
    settle(qtbot, opened)
    (step,) = opened.document.state.recipe.active
    assert isinstance(step, FuseInt8)
    assert dict(step.ranges)["relu"] == (0.0, 9.0)
    assert step.skip == ("dense",)  # the one that was slower
    assert opened.status.accuracy.text() == "top-1 95.0 → 91.0 %"
    assert not opened.status.accuracy.property("stale")
    assert opened.status.latency.text() == "latency 8.9 → 3.4 ms"
    assert facts(panel.ranges.facts)["in the recipe"].endswith("10 images, minmax")
    assert "of an earlier recipe" not in facts(panel.ranges.facts)
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    settle(qtbot, opened)
    assert not opened.document.state.recipe.steps


def test_escape_changes_nothing_and_stops_the_work(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    opened.document.set_recipe(Recipe.of(Prune(sparsity=0.5)))
    settle(qtbot, opened)
    before = opened.document.state
    press(qtbot, opened, Qt.Key.Key_I, CTRL)
    shown = dialog(opened, AssistantDialog)
    qtbot.waitUntil(lambda: shown.draft.subject is not None)
    to_result(qtbot, shown, engine)
    number, _ = engine.find(Adaround)
    qtbot.keyClick(shown, Qt.Key.Key_Escape)
    assert not any(found.isVisible() for found in opened.findChildren(AssistantDialog))
    assert number in engine.cancelled
    engine.say(Adaround, Cancelled())
    assert opened.document.state.recipe is before.recipe
    assert opened.document.state.measured is before.measured
    assert opened.document.state.can_undo == before.can_undo


def test_weights_need_no_data(qtbot: QtBot, opened: MainWindow, engine: FakeEngine) -> None:
    shown = open_it(qtbot, opened)
    qtbot.mouseClick(shown.what.cards["weights"], LEFT)
    assert shown.draft.choices.goal == "weights"
    qtbot.mouseClick(shown.next_button, LEFT)
    assert shown.data.drop.isVisible()
    qtbot.mouseClick(shown.next_button, LEFT)
    box = shown.method.options["per_channel"].box
    qtbot.mouseClick(box, LEFT, pos=QPoint(8, box.height() // 2))
    qtbot.mouseClick(shown.next_button, LEFT)
    assert "no data" in shown.result_page.accuracy.more.text()
    qtbot.waitUntil(lambda: engine.waits(Latency))
    assert not engine.waits(Evaluate)
    engine.answer(Latency)
    qtbot.keyClick(shown, Qt.Key.Key_Return)  # the default button: use it
    settle(qtbot, opened)
    assert opened.document.state.recipe.active == (QuantizeWeights(per_channel=False),)


def test_fused_without_data_asks_for_it(qtbot: QtBot, opened: MainWindow, engine: FakeEngine, digits: Path) -> None:
    shown = open_it(qtbot, opened)
    qtbot.keyClick(shown, Qt.Key.Key_Return)
    assert shown.step == 1
    assert not shown.next_button.isEnabled()
    assert "choose some" in shown.hint.text()
    qtbot.mouseClick(shown.data.choose_button, LEFT)
    chooser = dialog(shown, DataDialog)
    chooser.choose(str(digits))
    qtbot.waitUntil(lambda: engine.waits(Preview))
    engine.answer(Preview)
    qtbot.mouseClick(chooser.use_button, LEFT)
    assert shown.next_button.isEnabled()
    assert len(shown.data.pictures.captions) == 6
    assert not engine.waits(Preview)  # those that were seen are shown
    shown.data.amount.setCurrentIndex(1)
    assert shown.draft.choices.images == 100
    press(qtbot, shown, Qt.Key.Key_Right, Qt.KeyboardModifier.AltModifier)
    press(qtbot, shown, Qt.Key.Key_Right, Qt.KeyboardModifier.AltModifier)
    assert shown.step == 3
    assert engine.find(Adaround)[1].data.limit == 100
    qtbot.mouseClick(shown.header.steps[1], LEFT)  # back by the header
    assert shown.step == 1
    shown.reject()


def test_classic_with_ranges_found_at_run_time(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    shown = open_it(qtbot, opened)
    qtbot.mouseClick(shown.what.cards["classic"], LEFT)
    qtbot.mouseClick(shown.next_button, LEFT)
    qtbot.mouseClick(shown.next_button, LEFT)
    engine.answer(Preview)
    qtbot.mouseClick(shown.method.found, LEFT)
    assert not shown.draft.choices.stored
    assert shown.method.method.isHidden()
    qtbot.mouseClick(shown.next_button, LEFT)
    qtbot.waitUntil(lambda: engine.waits(Evaluate))
    assert not engine.waits(Calibrate)
    engine.answer(Evaluate)
    engine.say(Latency, Failed("TensorFlow does not run it", "net.pb"))
    page = shown.result_page
    assert "TensorFlow does not run it" in page.problem.text()
    assert page.speed.more.text() == "could not be measured"
    qtbot.mouseClick(shown.use_button, LEFT)  # a measurement that failed is no obstacle
    settle(qtbot, opened)
    assert [step.name for step in opened.document.state.recipe.active] == ["quantize_nodes"]


def test_what_could_not_be_run_is_not_proposed(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    shown = open_it(qtbot, opened)
    to_result(qtbot, shown, engine)
    answer_ranges(engine, opened)
    engine.say(ChooseRegions, Failed("no kernel for it"))
    qtbot.waitUntil(lambda: engine.waits(Evaluate))
    engine.say(Evaluate, Failed("no kernel for it"))
    engine.say(Latency, Failed("no kernel for it"))
    assert "could not be run" in shown.hint.text()
    assert shown.use_button.text() == "Use it all the same"
    assert not shown.use_button.isDefault()
    qtbot.keyClick(shown, Qt.Key.Key_Return)  # goes back
    assert shown.step == 2
    assert shown.isVisible()
    assert not opened.document.state.recipe.steps
    qtbot.mouseClick(shown.next_button, LEFT)
    qtbot.mouseClick(shown.use_button, LEFT)  # who insists gets it
    settle(qtbot, opened)
    assert opened.document.state.recipe.active[-1].name == "fuse_int8"


def test_a_calibration_that_fails_ends_it(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    shown = open_it(qtbot, opened)
    to_result(qtbot, shown, engine)
    engine.say(Adaround, Failed("it does not run"))  # then weights are rounded to the nearest
    engine.say(Calibrate, Failed("no example is left", "digits"))
    assert "no example is left" in shown.result_page.problem.text()
    assert not shown.use_button.isEnabled()
    qtbot.mouseClick(shown.result_page.again_button, LEFT)
    measure_all(qtbot, shown, engine, opened)
    assert shown.use_button.isEnabled()
    assert shown.result_page.problem.isHidden()
    shown.reject()


def test_stop_keeps_what_there_is_and_the_same_choices_are_not_measured_twice(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    shown = open_it(qtbot, opened)
    to_result(qtbot, shown, engine)
    answer_ranges(engine, opened)
    engine.answer(ChooseRegions)
    qtbot.waitUntil(lambda: engine.waits(Evaluate))
    qtbot.mouseClick(shown.result_page.stop_button, LEFT)
    engine.say(Evaluate, Cancelled())
    assert [stage.status for stage in shown.result_page.run.stages] == ["done"] * 4 + ["stopped"] * 2
    assert shown.use_button.isEnabled()
    qtbot.mouseClick(shown.back_button, LEFT)
    qtbot.mouseClick(shown.next_button, LEFT)
    assert not engine.asked
    qtbot.mouseClick(shown.back_button, LEFT)
    shown.method.method.setCurrentIndex(shown.method.method.findData("mse"))
    qtbot.mouseClick(shown.next_button, LEFT)
    assert engine.find(Adaround)[1].method == "mse"
    shown.reject()


def test_where_nothing_is_faster_in_8_bits_the_network_stays_as_it_was(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    before = Recipe.of(Prune(sparsity=0.5), QuantizeWeights())
    opened.document.set_recipe(before)
    settle(qtbot, opened)
    shown = open_it(qtbot, opened)
    to_result(qtbot, shown, engine)
    answer_ranges(engine, opened)
    regions = (RegionGain(("conv", "bias"), 0.8, -0.4, False), RegionGain(("dense",), 0.9, -0.1, False))
    engine.say(ChooseRegions, Done(ChosenRegions(("conv", "bias", "dense"), regions, 3.4, 4.5, 3.4, 1, 20)))
    qtbot.waitUntil(lambda: engine.waits(Evaluate))
    assert Recipe.from_json(engine.find(Evaluate)[1].model.recipe).active == before.active
    engine.answer(Evaluate)
    engine.answer(Latency)
    assert any("nothing is put in 8 bits" in text.text() for text in shown.result_page.findChildren(QLabel))
    qtbot.mouseClick(shown.use_button, LEFT)
    settle(qtbot, opened)
    assert opened.document.state.recipe.active == before.active


def test_ranges_are_edited_before_the_recipe_is_used(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    shown = open_it(qtbot, opened)
    to_result(qtbot, shown, engine)
    measure_all(qtbot, shown, engine, opened)
    qtbot.mouseClick(shown.result_page.ranges_button, LEFT)
    edited = dialog(shown, RangesDialog)
    edited.editor.nodes.choose("relu")
    drag_end(edited.editor, 1, 4.0, 2.0)
    qtbot.mouseClick(edited.apply_button, LEFT)
    engine.say(ChooseRegions, Failed("it does not run"))  # then all regions stay in 8 bits
    qtbot.waitUntil(lambda: engine.waits(Evaluate))
    assert not engine.waits(Calibrate)
    assert shown.result_page.speed.value.text() == "–"
    engine.answer(Evaluate)
    engine.answer(Latency)
    qtbot.mouseClick(shown.use_button, LEFT)
    settle(qtbot, opened)
    (step,) = opened.document.state.recipe.active
    assert dict(step.ranges)["relu"][1] == pytest.approx(2.0, abs=0.1)
    assert facts(panel.ranges.facts)["in the recipe"].endswith("10 images, minmax, edited")


def test_use_and_export_opens_the_export(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    shown = open_it(qtbot, opened)
    to_result(qtbot, shown, engine)
    measure_all(qtbot, shown, engine, opened)
    qtbot.mouseClick(shown.export_button, LEFT)
    qtbot.waitUntil(lambda: any(d.isVisible() for d in opened.findChildren(ExportDialog)))
    exporting = dialog(opened, ExportDialog)
    assert exporting.made.recipe.active[-1].name == "fuse_int8"
    exporting.reject()
    settle(qtbot, opened)


def test_another_model_closes_it(qtbot: QtBot, opened: MainWindow, engine: FakeEngine, model_file: Path) -> None:
    open_it(qtbot, opened)
    before = opened.document.state.source
    opened.open(model_file)
    qtbot.waitUntil(lambda: opened.document.state.source is not before)
    assert not any(found.isVisible() for found in opened.findChildren(AssistantDialog))
    settle(qtbot, opened)

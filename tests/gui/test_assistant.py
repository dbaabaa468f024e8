"""The Quantize assistant, by clicks and keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from compressor_gui.core import pbio
from compressor_gui.core.adaround import Adaround, Adarounded, RoundedLayer
from compressor_gui.core.choose import ChooseRegions
from compressor_gui.core.machine import ONEDNN
from compressor_gui.core.measure import Calibrate, Calibration, Evaluate, Latency, Preview
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.quantize_weights import QuantizeWeights
from compressor_gui.core.protocol import Cancelled, Done, Failed, Progress
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.gui.assistant.dialog import AssistantDialog
from compressor_gui.gui.assistant.page import step_words
from compressor_gui.gui.export_dialog import ExportDialog
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.data_dialog import DataDialog
from compressor_gui.gui.measure.panel import MeasurePanel
from compressor_gui.gui.ranges.dialog import RangesDialog
from compressor_gui.gui.settings import Settings
from compressor_gui.gui.theme import Theme
from tests.gui.fake_engine import FakeEngine, histogram
from tests.gui.measuring import dialog, facts
from tests.gui.test_ranges import drag_end
from tests.gui.test_window import CTRL, press, settle

LEFT = Qt.MouseButton.LeftButton
PATIENCE = 300_000
"""Milliseconds that the engine may take: on a machine with much to do TensorFlow starts slowly."""


def open_it(qtbot: QtBot, window: MainWindow) -> AssistantDialog:
    """Click the toolbar's button."""
    qtbot.mouseClick(window.toolbar.quantize_button, LEFT, pos=QPoint(12, 12))
    shown: AssistantDialog = dialog(window, AssistantDialog)
    qtbot.waitUntil(lambda: shown.draft.subject is not None)
    return shown


def answer_ranges(engine: FakeEngine, window: MainWindow) -> Calibrate:
    """Answer the rounding, and a calibration with ranges of nodes that are there."""
    if engine.waits(Adaround):
        engine.answer(Adaround)
    _, request = engine.find(Calibrate)
    recipe = Recipe.from_json(request.model.recipe)
    graph = Replayer(window.document.state.source.graph).replay(Recipe(recipe.steps[:-1])).graph  # type: ignore[union-attr]
    step = recipe.active[-1]
    assert isinstance(step, FuseInt8)
    ranges = {name: (0.0, 9.0) if "relu" in name else (-1.0, 9.0) for name in step.activations(graph)}
    engine.say(Calibrate, Done(Calibration(10, request.method, ranges, dict.fromkeys(ranges, histogram()))))
    return request  # type: ignore[no-any-return]


def to_result(qtbot: QtBot, shown: AssistantDialog, engine: FakeEngine) -> None:
    """Go on to the last step."""
    for _ in range(3):
        qtbot.mouseClick(shown.next_button, LEFT)
        if engine.waits(Preview):
            engine.answer(Preview)
    assert shown.step == 3


def measure_all(qtbot: QtBot, shown: AssistantDialog, engine: FakeEngine, window: MainWindow) -> None:
    """Answer what the last step asks."""
    answer_ranges(engine, window)
    engine.answer(ChooseRegions)
    qtbot.waitUntil(lambda: engine.waits(Evaluate))
    engine.answer(Evaluate)
    engine.answer(Latency)


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


def test_the_recipe_is_shown_as_it_will_be(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    shown = open_it(qtbot, opened)
    for _ in range(2):
        qtbot.mouseClick(shown.next_button, LEFT)
    vnni = ", without_vnni=True" if shown.draft.choices.without_vnni else ""
    words = [
        "equalize_layers(10 images)",
        "weights(adaround on 10 images)",
        f"fuse_int8(ranges of 10 images, without what is slower{vnni})",
    ]
    assert [step for step, _ in shown.method.recipe.steps] == words
    box = shown.method.options["rounded"].box
    qtbot.mouseClick(box, LEFT, pos=QPoint(8, box.height() // 2))
    assert [step for step, _ in shown.method.recipe.steps] == words[2:]
    shown.reject()


def test_a_stage_that_waits_for_another_job_says_so(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    shown = open_it(qtbot, opened)
    for _ in range(3):
        qtbot.mouseClick(shown.next_button, LEFT)
    assert engine.waits(Preview)  # is read still, and the engine does one job at a time
    page = shown.result_page
    assert page.stages.bar.isHidden()
    assert page.stages.words[0].startswith("waits for: ")
    recipe = engine.find(Adaround)[1].model.recipe
    while engine.waits(Preview):  # the panel's and the assistant's
        engine.answer(Preview)
    assert not page.stages.bar.isHidden()
    engine.say(Adaround, Done(Adarounded(recipe, (RoundedLayer("conv", 30.0),), 10, {})))
    assert page.stages.words[0] == "1 of 2 layers, 10 images; the other one as it was"
    shown.reject()


def test_in_a_low_window_the_pages_scroll_and_the_buttons_stay(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    shown = open_it(qtbot, opened)
    shown.resize(900, 420)
    qtbot.waitUntil(lambda: shown.height() == 420)
    for page in shown.steps:
        assert shown.rect().contains(shown.back_button.geometry())
        assert page.isVisible()
        qtbot.mouseClick(shown.next_button, LEFT)
        if engine.waits(Preview):
            engine.answer(Preview)
    assert shown.rect().contains(shown.use_button.geometry())
    shown.reject()


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


def test_layers_without_a_check_mark_stay_in_float(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    shown = open_it(qtbot, opened)
    whole = shown.what.cards["weights"].facts.text().partition("·")[0]
    item = shown.what.layers.topLevelItem(0)
    box = shown.what.layers.visualItemRect(item)
    qtbot.mouseClick(shown.what.layers.viewport(), LEFT, pos=QPoint(box.left() + 10, box.center().y()))
    assert len(shown.draft.choices.skip) == 1
    assert shown.what.cards["weights"].facts.text().partition("·")[0] == whole  # too small to count
    qtbot.mouseClick(shown.what.ends_button, LEFT)
    assert len(shown.draft.choices.skip) == 2
    assert not shown.next_button.isEnabled()  # this network has but two
    qtbot.mouseClick(shown.what.all_button, LEFT)
    assert shown.draft.choices.skip == ()
    qtbot.mouseClick(shown.what.layers.viewport(), LEFT, pos=QPoint(box.left() + 10, box.center().y()))
    to_result(qtbot, shown, engine)
    assert '"conv"' in engine.find(Adaround)[1].model.recipe
    shown.reject()


def test_arrow_keys_go_from_card_to_card(qtbot: QtBot, opened: MainWindow, engine: FakeEngine) -> None:
    shown = open_it(qtbot, opened)
    cards = shown.what.cards
    cards["fused"].radio.setFocus()
    qtbot.keyClick(cards["fused"].radio, Qt.Key.Key_Down)
    assert shown.draft.choices.goal == "weights"
    qtbot.keyClick(cards["weights"].radio, Qt.Key.Key_Space)
    assert [card.radio.isChecked() for card in cards.values()] == [False, True, False]
    qtbot.keyClick(cards["weights"].radio, Qt.Key.Key_Up)
    assert shown.draft.choices.goal == "fused"
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


def test_a_quantized_graph_is_refused(qtbot: QtBot, opened: MainWindow, engine: FakeEngine, tmp_path: Path) -> None:
    source = opened.document.state.source
    assert source is not None
    path = tmp_path / "small.pb"
    step = QuantizeWeights(minimum_size=0)
    pbio.write_graph(Replayer(source.graph).replay(Recipe.of(step)).graph, path)
    opened.open(path)
    qtbot.waitUntil(lambda: opened.document.state.source is not source)
    settle(qtbot, opened)
    shown = open_it(qtbot, opened)
    assert "quantized already" in shown.what.refusal.text()
    assert not shown.next_button.isEnabled()
    qtbot.keyClick(shown, Qt.Key.Key_Escape)


def test_another_model_closes_it(qtbot: QtBot, opened: MainWindow, engine: FakeEngine, model_file: Path) -> None:
    open_it(qtbot, opened)
    before = opened.document.state.source
    opened.open(model_file)
    qtbot.waitUntil(lambda: opened.document.state.source is not before)
    assert not any(found.isVisible() for found in opened.findChildren(AssistantDialog))
    settle(qtbot, opened)


def test_a_step_counts_its_ranges() -> None:
    ranges = {"a": (0.0, 1.0), "b": (0.0, 2.0)}
    assert step_words(FuseInt8(ranges, skip=("c",))) == "fuse_int8(2 ranges, skip=[c])"  # type: ignore[arg-type]
    assert step_words(FuseInt8({"a": (0.0, 1.0)})) == "fuse_int8(1 range)"  # type: ignore[arg-type]
    assert step_words(QuantizeWeights()) == "quantize_weights"


def test_a_processor_without_onednn_is_said(
    qtbot: QtBot, opened: MainWindow, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ONEDNN, "0")
    shown = open_it(qtbot, opened)
    assert f"{ONEDNN}=1" in shown.what.cards["fused"].facts.text()
    monkeypatch.setenv(ONEDNN, "1")
    shown.what.show_draft()
    assert ONEDNN not in shown.what.cards["fused"].facts.text()
    shown.reject()


def test_the_menu_beside_the_button_has_the_passes(opened: MainWindow) -> None:
    texts = [action.text() for action in opened.toolbar.quantize_button.menu().actions()]
    assert texts[0].startswith("Quantize assistant")
    assert {"8-bit weights", "8-bit operations"} <= set(texts)


def test_everything_is_painted_in_both_themes(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine, theme: Theme
) -> None:
    shown = open_it(qtbot, opened)
    to_result(qtbot, shown, engine)
    measure_all(qtbot, shown, engine, opened)
    light = shown.grab().toImage().pixelColor(4, 4).lightness()
    theme.choose("dark")
    QApplication.processEvents()
    dark = shown.grab().toImage().pixelColor(4, 4).lightness()
    theme.choose("light")
    assert dark < 64 < light
    assert shown.minimumSizeHint().height() <= 680
    shown.reject()


# --- with TensorFlow --------------------------------------------------------------------------------------------------


@pytest.fixture
def lenet(qtbot: QtBot, theme: Theme, tmp_path: Path) -> Iterator[MainWindow]:
    """The window, still empty."""
    made = MainWindow(Settings(tmp_path / "settings.ini"), theme)
    made.resize(1280, 800)
    made.show()
    yield made
    made.close()
    made.deleteLater()


@pytest.mark.tensorflow
def test_from_opening_a_file_to_the_fused_graph(qtbot: QtBot, lenet: MainWindow, tmp_path: Path) -> None:
    lenet.open(Path(__file__).parents[2] / "resources/samples/lenet-5.pb")
    qtbot.waitUntil(lambda: lenet.document.state.data is not None)
    settle(qtbot, lenet)
    shown = open_it(qtbot, lenet)
    qtbot.mouseClick(shown.what.cards["fused"], LEFT)
    qtbot.mouseClick(shown.next_button, LEFT)
    qtbot.waitUntil(lambda: len(shown.data.pictures.captions) == 12, timeout=PATIENCE)
    qtbot.mouseClick(shown.next_button, LEFT)
    box = shown.method.options["measured"].box  # whether so small a network gains anything is not what this is about
    qtbot.mouseClick(box, LEFT, pos=QPoint(8, box.height() // 2))
    qtbot.mouseClick(shown.next_button, LEFT)
    page = shown.result_page
    qtbot.waitUntil(lambda: page.run.running is None, timeout=PATIENCE)
    assert [stage.status for stage in page.run.stages] == ["done"] * 5, page.problem.text()
    assert page.run.evaluation.accuracy.top1 > page.run.evaluation.against.top1 - 0.01
    assert min(one.check.sqnr_db for one in page.run.evaluation.fidelity) > 20
    qtbot.mouseClick(shown.export_button, LEFT)
    qtbot.waitUntil(lambda: any(d.isVisible() for d in lenet.findChildren(ExportDialog)))
    exporting = dialog(lenet, ExportDialog)
    target = tmp_path / "fused.pb"
    exporting.target.setText(str(target))
    qtbot.mouseClick(exporting.export_button, LEFT)
    qtbot.waitUntil(lambda: exporting.finished_work, timeout=PATIENCE)
    assert exporting.check is not None
    assert exporting.check.passed
    qtbot.mouseClick(exporting.close_button, LEFT)
    written = pbio.read_graph(target)
    assert any(op.startswith("Quantized") and "Requantize" in op for op in written.op_counts)
    assert "RequantizationRange" not in written.op_counts
    assert target.stat().st_size < 0.3 * lenet.document.state.source.size
    before = lenet.document.state.source
    lenet.open(target)  # and it opens again
    qtbot.waitUntil(lambda: lenet.document.state.source is not before)
    settle(qtbot, lenet)

"""What the Quantize assistant's pages show, and how they look."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from compressor_gui.core import pbio
from compressor_gui.core.adaround import Adaround, Adarounded, RoundedLayer
from compressor_gui.core.machine import ONEDNN
from compressor_gui.core.measure import Preview
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.quantize_weights import QuantizeWeights
from compressor_gui.core.protocol import Done
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.gui.assistant.page import step_words
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.panel import MeasurePanel
from compressor_gui.gui.theme import Theme
from tests.gui.assisting import measure_all, open_it, to_result
from tests.gui.fake_engine import FakeEngine
from tests.gui.test_window import settle

LEFT = Qt.MouseButton.LeftButton


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

"""The noise of each layer: measured by a key, coloured on the graph, listed, and stale once the recipe is another."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QTreeWidgetItem
from pytestqt.qtbot import QtBot

from compressor_gui.core.noise import LayerNoise
from compressor_gui.core.protocol import Cancelled, Progress
from compressor_gui.gui.canvas.painter import RAMP_STEPS
from compressor_gui.gui.canvas.view import Canvas
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.panel import MeasurePanel
from tests.gui.fake_engine import FakeEngine
from tests.gui.measuring import facts, prune
from tests.gui.test_window import CTRL, SHIFT, add_quantize_nodes, press

LEFT = Qt.MouseButton.LeftButton
ALT = Qt.KeyboardModifier.AltModifier


@pytest.fixture
def measured(qtbot: QtBot, opened: MainWindow, panel: MeasurePanel, engine: FakeEngine) -> MainWindow:
    """A window with the 8-bit graph beside the original, and the noise of its layers."""
    add_quantize_nodes(qtbot, opened)
    opened.document.show("compare")
    press(qtbot, opened, Qt.Key.Key_M, CTRL, SHIFT)
    engine.answer(LayerNoise)
    qtbot.waitUntil(lambda: len(opened.graph.canvases) == 2 and opened.graph.settled())
    return opened


def amount(canvas: Canvas, node: str) -> float:
    assert canvas.picture is not None
    assert canvas.look.amounts is not None
    return float(canvas.look.amounts[canvas.picture.folded.owner[node]])


def tip(canvas: Canvas, node: str) -> str:
    assert canvas.scene is not None
    box = canvas.scene.picture.folded.owner[node]
    return canvas.tip(canvas.to_widget(canvas.scene.rect(box).center()))


def rows(window: MainWindow) -> list[QTreeWidgetItem]:
    found = window.measure.noise.list
    return [item for at in range(found.topLevelItemCount()) if (item := found.topLevelItem(at)) is not None]


def test_a_key_measures_the_recipe_against_the_original_and_colours_the_graph(
    qtbot: QtBot, opened: MainWindow, panel: MeasurePanel, engine: FakeEngine
) -> None:
    assert not panel.noise.start_button.isEnabled()  # nothing to compare yet
    prune(qtbot, opened, 0.5)
    press(qtbot, opened, Qt.Key.Key_M, CTRL, SHIFT)
    assert opened.graph.color_by == "noise"
    _, request = engine.find(LayerNoise)
    assert (request.original.recipe, "prune" in request.compressed.recipe) == ("", True)
    assert request.data.limit == 64
    engine.say(LayerNoise, Progress(3, 10, "comparing layers"))
    assert panel.noise.start_button.text() == "Cancel"
    qtbot.mouseClick(panel.noise.start_button, LEFT)
    assert len(engine.cancelled) == 1
    engine.say(LayerNoise, Cancelled())
    assert opened.document.state.measured.noises == ()
    qtbot.mouseClick(panel.noise.start_button, LEFT)
    engine.answer(LayerNoise)
    assert panel.noise.start_button.text() == "Measure again"
    assert amount(opened.graph.canvas, "conv") == pytest.approx(1 - 12 / 40)


def test_both_graphs_are_coloured_and_what_has_no_value_is_neutral(measured: MainWindow) -> None:
    original, compressed = measured.graph.canvases
    for node in ("conv", "bias", "relu"):
        assert amount(original, node) == pytest.approx(1 - 12 / 40)
    assert amount(compressed, "relu_eightbit_quantized") == pytest.approx(1 - 12 / 40)
    assert amount(original, "dense") == pytest.approx(1 - 10 / 40)
    assert np.isnan(amount(original, "maxpool"))
    colours = [original.color_at(node) for node in ("conv", "maxpool", "dense")]
    assert len({colour.rgb() for colour in colours}) == 3
    assert "SQNR 12.0 dB (12.0 dB by itself)" in tip(original, "relu")
    assert "SQNR 12.0 dB" in tip(compressed, "relu_eightbit_quantized")
    assert "SQNR" not in tip(original, "maxpool")


def test_the_layer_that_adds_the_noise_is_the_strongest_by_its_own(qtbot: QtBot, measured: MainWindow) -> None:
    press(qtbot, measured, Qt.Key.Key_7, ALT)
    assert measured.graph.color_combo.currentText() == "Colour by own SQNR"
    assert measured.actions_table["colour_own_noise"].isChecked()
    assert not measured.actions_table["colour_noise"].isChecked()
    original = measured.graph.canvases[0]
    assert amount(original, "conv") > amount(original, "dense")
    press(qtbot, measured, Qt.Key.Key_1, ALT)
    assert original.look.amounts is None
    qtbot.mouseClick(measured.measure.noise.colour_button, LEFT)
    assert measured.graph.color_by == "noise"


def test_the_worst_layer_is_listed_first_and_a_click_goes_to_it(qtbot: QtBot, measured: MainWindow) -> None:
    shown = measured.measure.noise.list
    assert [[item.text(column) for column in range(3)] for item in rows(measured)] == [
        ["conv", "12.0 dB", "12.0 dB"],
        ["dense", "10.0 dB", "36.0 dB"],
    ]
    qtbot.mouseClick(shown.viewport(), LEFT, pos=shown.visualItemRect(rows(measured)[1]).center())
    assert measured.document.state.selected == "dense_bias"
    assert facts(measured.inspector.noise) == {"SQNR": "10.0 dB", "by itself": "36.0 dB"}
    measured.document.select("maxpool")
    assert facts(measured.inspector.noise) == {}


def test_another_recipe_makes_it_stale_and_undo_fresh_again(qtbot: QtBot, measured: MainWindow) -> None:
    legend, original = measured.graph.legend, measured.graph.canvases[0]
    fresh = original.color_at("conv")
    measured.document.select("conv")
    prune(qtbot, measured, 0.5)
    qtbot.waitUntil(measured.graph.settled)
    original = measured.graph.canvases[0]
    assert original.look.pale
    assert "earlier recipe, measure again" in legend.shown.ramp.what
    assert legend.shown.pale
    assert "of an earlier recipe" in tip(original, "conv")
    assert original.color_at("conv") != fresh
    assert "measure again" in measured.measure.noise.note.text()
    assert facts(measured.inspector.noise)["of an earlier recipe"] == "measure again"
    press(qtbot, measured, Qt.Key.Key_Z, CTRL)
    qtbot.waitUntil(lambda: not measured.document.state.stale and measured.graph.settled())
    assert measured.graph.canvases[0].color_at("conv") == fresh
    assert not legend.shown.pale
    assert facts(measured.inspector.noise) == {"SQNR": "12.0 dB", "by itself": "12.0 dB"}


def test_without_a_result_the_legend_says_what_to_do(qtbot: QtBot, opened: MainWindow) -> None:
    press(qtbot, opened, Qt.Key.Key_6, ALT)
    assert opened.graph.legend.isVisible()
    assert opened.graph.legend.shown.ramp.what == "SQNR: measure the noise of each layer first"
    assert not opened.graph.legend.shown.ramp.low


def test_colours_get_stronger_step_by_step(measured: MainWindow) -> None:
    """The map is even: its lightness falls (in the dark, rises) from step to step."""
    theme = measured.theme
    light = [theme.ramp(at / (RAMP_STEPS - 1)).lightnessF() for at in range(RAMP_STEPS)]
    assert all(a > b for a, b in pairwise(light))

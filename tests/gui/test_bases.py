"""Sliders behind a step that puts other weights in place of a layer's own: what they move is what is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from pytestqt.qtbot import QtBot

from compressor_gui.core import weight_store
from compressor_gui.core.passes import Pass
from compressor_gui.core.passes.factorize import Factorize
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.quantize_weights import QuantizeWeights
from compressor_gui.core.passes.stored_weights import Weights
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.gui.bases import find_bases
from compressor_gui.gui.layers_model import Column
from compressor_gui.gui.main_window import MainWindow
from tests.gui.panels import drag, settle
from tests.gui.test_layer_rows import CONV, DENSE, choose, tip
from tests.support import conv_net


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(weight_store.FOLDER, str(tmp_path / "weights"))


def trained(window: MainWindow, *rows: int, zeros: float = 0.5) -> Weights:
    """A step that puts other weights into these layers, a share of them zero."""
    arrays = {}
    for row in rows:
        layer = window.layers.model.rows[row].layer
        values = np.random.default_rng(row).normal(size=layer.weights.shape).astype(np.float32)
        values[np.abs(values) < np.quantile(np.abs(values), zeros)] = 0
        arrays[layer.weight] = values
    return Weights(weight_store.save(arrays), "retraining, 2x")


def follow(qtbot: QtBot, window: MainWindow, *steps: Pass) -> None:
    window.document.set_recipe(Recipe.of(*steps, sha256=window.document.state.recipe.sha256))
    settle(qtbot, window.document)


def names(window: MainWindow) -> list[str]:
    return [step.transform.name for step in window.document.state.recipe.steps]


def drag_row(qtbot: QtBot, window: MainWindow, row: int, *to: float) -> None:
    """Drag a slider from where it stands over some places to the last one."""
    track = window.layers.view.slider_rect(row)
    places = (window.layers.model.rows[row].wanted or 0.0, *to)
    drag(
        window.layers.view.viewport(), *(QPointF(track.left() + x * track.width(), track.center().y()) for x in places)
    )
    settle(qtbot, window.document)


def zeros(window: MainWindow, row: int) -> float:
    """What the file would have."""
    name = window.layers.model.rows[row].layer.name
    return next(layer.sparsity for layer in window.document.state.made.layers if layer.name == name)


def test_a_slider_moves_the_weights_that_retraining_left(qtbot: QtBot, opened: MainWindow) -> None:
    follow(qtbot, opened, Prune(sparsity=0.3), trained(opened, CONV, DENSE))
    row = opened.layers.model.rows[DENSE]
    assert row.wanted == pytest.approx(0.5, abs=0.01)
    before = opened.status.weights.text()
    drag_row(qtbot, opened, DENSE, 0.8)
    assert names(opened) == ["prune", "weights", "prune"]
    assert zeros(opened, DENSE) == pytest.approx(opened.layers.model.rows[DENSE].wanted, abs=0.01)
    assert zeros(opened, DENSE) == pytest.approx(0.8, abs=0.03)
    assert opened.status.weights.text() != before
    assert "retraining, 2x" in tip(opened, DENSE)
    threshold = opened.layers.model.rows[DENSE].threshold
    kept = opened.document.state.made.graph[row.layer.weight].tensor.array
    assert np.abs(kept[kept != 0]).min() >= threshold > 0


def test_a_slider_does_not_bring_weights_back_and_leaves_no_idle_step(qtbot: QtBot, opened: MainWindow) -> None:
    step = trained(opened, CONV, DENSE)
    follow(qtbot, opened, step)
    drag_row(qtbot, opened, DENSE, 0.8, 0.1)
    assert opened.layers.model.rows[DENSE].wanted == pytest.approx(0.5, abs=0.01)
    assert opened.document.state.recipe.active == (step,)
    drag_row(qtbot, opened, DENSE, 0.8)
    drag_row(qtbot, opened, CONV, 0.7)
    drag_row(qtbot, opened, DENSE, 0.0)
    ((name, _),) = opened.document.state.recipe.active[1].layers
    assert name == "conv"
    opened.document.undo()
    assert len(opened.document.state.recipe.active[1].layers) == 2


def test_all_layers_move_behind_the_weights(qtbot: QtBot, opened: MainWindow) -> None:
    follow(qtbot, opened, Prune(sparsity=0.3), trained(opened, CONV, DENSE))
    qtbot.keyClick(opened.layers.slider, Qt.Key.Key_End)
    settle(qtbot, opened.document)
    assert [zeros(opened, row) for row in (CONV, DENSE)] == [1.0, 1.0]
    assert opened.layers.model.overall() == 1.0
    assert opened.status.weights.text().endswith("0 weights ≠ 0")
    qtbot.keyClick(opened.layers.slider, Qt.Key.Key_Home)
    assert names(opened) == ["prune", "weights"]


def test_each_layer_is_pruned_where_it_counts(qtbot: QtBot, opened: MainWindow) -> None:
    """As AdaRound does, only some of the layers are replaced."""
    follow(qtbot, opened, Prune(layers=(("conv", 0.2),)), trained(opened, DENSE))
    drag_row(qtbot, opened, CONV, 0.6)
    assert names(opened) == ["prune", "weights"]
    assert zeros(opened, CONV) == pytest.approx(0.6, abs=0.05)
    qtbot.keyClick(opened.layers.slider, Qt.Key.Key_Right)
    qtbot.keyClick(opened.layers.slider, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    settle(qtbot, opened.document)
    assert names(opened) == ["prune", "weights", "prune"]
    assert zeros(opened, CONV) == pytest.approx(zeros(opened, DENSE), abs=0.02)
    drag_row(qtbot, opened, CONV, 0.1)
    assert zeros(opened, CONV) == pytest.approx(0.1, abs=0.05)


def test_a_slider_stays_before_8_bits_and_says_where_it_can_not(qtbot: QtBot, opened: MainWindow) -> None:
    step = trained(opened, CONV, DENSE)
    follow(qtbot, opened, Prune(sparsity=0.3), step, QuantizeWeights(minimum_size=1))
    drag_row(qtbot, opened, DENSE, 0.8)
    assert names(opened) == ["prune", "weights", "prune", "quantize_weights"]
    assert zeros(opened, DENSE) == pytest.approx(0.8, abs=0.03)
    follow(qtbot, opened, Prune(sparsity=0.3), step, QuantizeWeights(minimum_size=1), Prune(sparsity=0.8))
    assert not opened.layers.model.rows[DENSE].movable
    assert "step 3, quantize_weights, stores it in 8 bits before step 4, prune" in tip(opened, DENSE)
    choose(opened, DENSE, "Move prune")
    settle(qtbot, opened.document)
    assert names(opened) == ["prune", "weights", "prune", "quantize_weights"]
    assert zeros(opened, DENSE) == pytest.approx(0.8, abs=0.03)


def test_the_prune_form_comes_behind_the_weights_too(qtbot: QtBot, opened: MainWindow) -> None:
    follow(qtbot, opened, trained(opened, CONV, DENSE), QuantizeWeights(minimum_size=1))
    opened.document.add_prune(Prune(sparsity=0.7))
    assert names(opened) == ["weights", "prune", "quantize_weights"]


def test_a_layer_that_was_taken_apart_before_it_was_retrained_is_locked() -> None:
    graph = conv_net()
    apart = Recipe.of(Factorize(ranks=(("dense", 2),)))
    parts = Replayer(graph).replay(apart).graph
    arrays = {
        node.name: node.tensor.array + np.float32(0.1)
        for node in parts.nodes
        if node.op == "Const" and node.name not in graph and node.tensor.array.ndim == 2
    }
    assert len(arrays) >= 1
    found = find_bases(Replayer(graph).replay(apart.adding(Weights(weight_store.save(arrays)))))
    assert "taken apart" in found.parted["dense"]
    assert "step 2, weights" in found.parted["dense"]


def test_the_inspector_credits_each_step_with_what_it_did(qtbot: QtBot, opened: MainWindow) -> None:
    follow(
        qtbot, opened, Prune(layers=(("dense", 0.3),)), trained(opened, CONV, DENSE), Prune(layers=(("dense", 0.8),))
    )
    view = opened.layers.view
    qtbot.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(view.proxy.index(DENSE, Column.NAME)).center()
    )
    facts = [fact.value for fact in opened.inspector.origins.facts if fact.key in ("prune", "weights")]
    assert facts == ["step 1 · −30.0 % of weights", "step 2 · replaced, 50.0 % zero", "step 3 · −30.0 % of weights"]


def test_fused_layers_are_counted(qtbot: QtBot, opened: MainWindow) -> None:
    """Their weights are codes, which nothing but the fused operation reads."""
    fuse = FuseInt8(everywhere=True)
    ranges = dict.fromkeys(fuse.activations(opened.document.state.source.graph), (-3.0, 5.0))
    follow(qtbot, opened, Prune(sparsity=0.5), FuseInt8(ranges, everywhere=True))
    assert not opened.layers.model.rows[DENSE].locked
    layers = [row.layer for row in opened.layers.model.rows]
    kept = sum(count for _, count in opened.document.nonzeros())
    assert kept == pytest.approx(sum(layer.parameters for layer in layers) / 2, rel=0.05)
    for row in opened.layers.model.rows:
        assert row.exact
        assert row.size < row.layer.bytes / 2
        assert row.sparsity == pytest.approx(0.5, abs=0.05)
    opened.document.select("dense")
    qtbot.waitUntil(lambda: any(fact.key == "std" for fact in opened.inspector.facts.facts))
    facts = {fact.key: fact.value for fact in opened.inspector.facts.facts}
    assert "→" in facts["bytes"]
    assert "→" in facts["std"]
    assert facts["stored as"] == "float32 → qint8"
    came = {fact.key: fact.value for fact in opened.inspector.origins.facts}
    assert came["prune"] == "step 1 · −50.0 % of weights"
    follow(qtbot, opened, FuseInt8(ranges, everywhere=True), Prune(sparsity=0.5))
    assert "step 1, fuse_int8, stores it in 8 bits before step 2, prune" in tip(opened, DENSE)


def test_all_layers_stands_where_it_was_put_though_some_have_more_zeros(qtbot: QtBot, opened: MainWindow) -> None:
    """The average jumped away from under the mouse."""
    follow(qtbot, opened, trained(opened, CONV, zeros=0.9))
    assert opened.layers.all_label.text() == "All layers, at least"
    slider, to = opened.layers.slider, 0.5
    track = slider.track()
    at = [QPointF(track.left() + x * track.width(), track.center().y()) for x in (0.0, 0.2, to)]
    drag(slider, *at)
    settle(qtbot, opened.document)
    assert opened.layers.all_label.text() == "All layers, at least"
    assert slider.accessibleDescription() == "50.0 %"
    assert zeros(opened, CONV) == pytest.approx(0.9, abs=0.01)
    assert zeros(opened, DENSE) == pytest.approx(0.5, abs=0.01)
    assert "of all weights are zero: layers that have had more zeros keep them" in slider.toolTip()
    drag_row(qtbot, opened, DENSE, 0.7)
    assert opened.layers.all_label.text() == "All layers, at least"
    drag_row(qtbot, opened, CONV, 0.95)
    assert opened.layers.all_label.text() == "All layers, average"
    assert "the layers have different ones" in slider.toolTip()
    drag_row(qtbot, opened, DENSE, 0.95)
    assert opened.layers.all_label.text() == "All layers"

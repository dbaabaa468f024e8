"""Measuring through the window with the real engine."""

from __future__ import annotations

import gzip
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from compressor_gui.core import pbio
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.calibrate_dialog import CalibrateDialog
from compressor_gui.gui.measure.data_dialog import DataDialog
from tests.gui.measuring import dialog
from tests.gui.test_window import CTRL, press, settle
from tests.support import const, graph, node, placeholder

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def lenet(qtbot: QtBot, window: MainWindow) -> MainWindow:
    """LeNet-300-100 with 60 of its digits as data."""
    samples = Path(__file__).parents[2] / "resources/samples"
    window.open(samples / "lenet-300-100.pb")
    qtbot.waitUntil(lambda: window.document.state.data is not None)
    settle(qtbot, window)
    window.measurer.set_data(replace(window.document.state.data, limit=60))
    window.show_measure()
    return window


@pytest.mark.tensorflow
def test_a_network_is_measured_through_the_window(qtbot: QtBot, lenet: MainWindow, tmp_path: Path) -> None:
    panel, state = lenet.measure, lambda: lenet.document.state
    lenet.measurer.settings.set_data("x", "y")

    def finish() -> None:
        qtbot.waitUntil(lambda: not lenet.measurer.running, timeout=120_000)
        assert lenet.message.isHidden() or lenet.message.frame.property("kind") != "error", lenet.message.more.text()

    chooser = panel.ask_data()
    qtbot.waitUntil(lambda: len(chooser.examples.captions) == 12, timeout=60_000)
    chooser.accept()
    lenet.document.set_recipe(Recipe.of(Prune(sparsity=0.6), QuantizeNodes()))
    settle(qtbot, lenet)
    run: Callable[[], object]
    for run in (panel.evaluate, lenet.measurer.predict, panel.measure_latency):
        run()
        finish()
    assert state().measured.evaluations[0].value.accuracy.n == 60
    assert state().measured.evaluations[0].value.against.top1 > 0.9
    sources = [item.source for item in state().measured.predictions.value.items]
    assert len(sources) == 60
    assert set(sources) <= set(state().measured.pictures)
    panel.calibrate()
    wizard = dialog(lenet, CalibrateDialog)
    wizard.run()
    finish()
    wizard.accept()
    settle(qtbot, lenet)
    assert "RequantizationRange" not in state().made.graph.op_counts
    assert any(isinstance(step, FreezeRequantizationRanges) for step in state().recipe.active)


@pytest.mark.tensorflow
def test_a_sweep_goes_on_after_it_was_cancelled(qtbot: QtBot, lenet: MainWindow, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    panel = lenet.measure
    panel.measure_sensitivity()
    qtbot.waitUntil(lambda: bool(lenet.document.state.measured.sweep.value.curves), timeout=60_000)
    panel.sweep.press()
    qtbot.waitUntil(lambda: not lenet.measurer.running, timeout=60_000)
    panel.measure_sensitivity()
    qtbot.waitUntil(lambda: not lenet.measurer.running, timeout=120_000)
    found = lenet.document.state.measured.sweep.value
    assert found.finished is not None
    assert found.finished.reused > 0
    assert len(found.curves) == 3
    assert found.metric == "top1"


@pytest.mark.tensorflow
def test_a_killed_engine_loses_nothing_of_a_sweep(qtbot: QtBot, lenet: MainWindow, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    panel = lenet.measure
    panel.measure_sensitivity()
    qtbot.waitUntil(lambda: bool(lenet.document.state.measured.sweep.value.curves), timeout=60_000)
    os.kill(lenet.engine.client.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not lenet.measurer.running, timeout=60_000)
    if lenet.document.state.measured.sweep.value.finished is None:  # else it had gone on by itself, or was done
        assert lenet.message.isVisible()
        assert panel.sweep.start_button.text() == "Resume"
    qtbot.mouseClick(panel.sweep.start_button, LEFT)
    qtbot.waitUntil(lambda: not lenet.measurer.running, timeout=120_000)
    found = lenet.document.state.measured.sweep.value.finished
    assert found is not None
    assert found.reused > 0


CLOTHES = Path(__file__).parents[3] / "shared/fashion"


def trained_on_clothes() -> ModelGraph:
    """A network of one hidden layer, trained for a few seconds: 784-64-10."""
    images = np.frombuffer(gzip.decompress((CLOTHES / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((CLOTHES / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    x, y = images.reshape(-1, 784)[:20_000].astype(np.float32) / 255, labels[:20_000]
    random = np.random.default_rng(1)
    a, b = (random.normal(0, (2 / n) ** 0.5, (n, m)).astype(np.float32) for n, m in ((784, 64), (64, 10)))
    for at in np.concatenate([random.permutation(20_000) for _ in range(5)]).reshape(-1, 50):
        hidden = np.maximum(x[at] @ a, 0)
        scores = np.exp((s := hidden @ b) - s.max(axis=1, keepdims=True))
        error = scores / scores.sum(axis=1, keepdims=True) - np.eye(10, dtype=np.float32)[y[at]]
        back = (error @ b.T) * (hidden > 0)
        a -= 0.002 * x[at].T @ back
        b -= 0.002 * hidden.T @ error
    return graph(
        placeholder("input", (-1, 784)),
        const("hidden/weights", a), node("hidden", "MatMul", "input", "hidden/weights"), node("relu", "Relu", "hidden"),
        const("scores/weights", b), node("scores", "MatMul", "relu", "scores/weights"),
        node("output", "Softmax", "scores"),
    )  # fmt: skip


@pytest.mark.tensorflow
@pytest.mark.skipif(not CLOTHES.is_dir(), reason="../shared/fashion is missing")
def test_a_network_for_clothes_is_evaluated_and_swept(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "clothes.pb"
    pbio.write_graph(trained_on_clothes(), path)
    window.open(path)
    qtbot.waitUntil(lambda: window.document.state.source is not None)
    settle(qtbot, window)
    press(qtbot, window, Qt.Key.Key_R, CTRL)
    chooser = dialog(window, DataDialog)
    chooser.choose(str(CLOTHES))
    qtbot.waitUntil(lambda: len(chooser.examples.captions) == 12, timeout=60_000)
    assert chooser.form.spec(str(CLOTHES)).kind == "idx"
    assert "10,000 examples" in chooser.facts.text()  # of the two pairs of files the one for testing
    chooser.form.fields["limit"].editor.setValue(2000)
    qtbot.waitUntil(chooser.use_button.isEnabled)
    qtbot.mouseClick(chooser.use_button, LEFT)
    qtbot.waitUntil(lambda: not window.measurer.running, timeout=60_000)
    accuracy = window.document.state.measured.evaluations[0].value.accuracy
    assert accuracy.n == 2000
    assert accuracy.top1 > 0.78
    press(qtbot, window, Qt.Key.Key_M, CTRL)
    qtbot.waitUntil(lambda: not window.measurer.running, timeout=120_000)
    curves = window.document.state.measured.sweep.value.curves
    assert set(curves) == {"hidden", "scores"}
    assert curves["hidden"].value[0] == pytest.approx(accuracy.top1)
    assert min(curves["hidden"].value) < accuracy.top1 - 0.2

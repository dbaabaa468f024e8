"""Distilling through the window with the real engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from compressor_gui.core.distilling import Measured
from compressor_gui.gui.main_window import MainWindow
from tests.gui.distilling import click_student, open_by_keys
from tests.gui.test_window import settle

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def lenet(qtbot: QtBot, window: MainWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MainWindow:
    """LeNet-300-100 with some of the digits that come with it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    window.open(Path(__file__).parents[2] / "resources/samples/lenet-300-100.pb")
    qtbot.waitUntil(lambda: window.document.state.data is not None)
    settle(qtbot, window)
    window.document.set(data=replace(window.document.state.data, limit=300))  # type: ignore[type-var]
    return window


@pytest.mark.tensorflow
def test_lenet_teaches_a_smaller_network(qtbot: QtBot, lenet: MainWindow) -> None:
    shown = open_by_keys(qtbot, lenet)
    click_student(qtbot, shown, "shallow")
    shown.form.epochs.setValue(2)
    shown.form.more.fields["batch"].editor.setValue(50)  # type: ignore[attr-defined]
    qtbot.mouseClick(shown.start_button, LEFT)
    run = shown.distiller
    qtbot.waitUntil(lambda: not run.is_running, timeout=240_000)
    assert run.error is None
    found = run.taught["shallow"].found
    assert found.teacher is not None
    assert found.teacher > 0.9
    assert found.value > found.before
    assert len(run.course.epochs) == 2
    assert run.measured == Measured("top1", found.before, found.teacher)
    offer = run.offers["shallow"]
    assert offer is not None
    assert (offer.weights, offer.size) == (found.weights, found.size)  # what was shown before is what came out
    qtbot.mouseClick(shown.compare_button, LEFT)
    qtbot.waitUntil(lambda: lenet.document.state.other is not None)
    settle(qtbot, lenet)

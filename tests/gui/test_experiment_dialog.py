"""The experiment table, by clicks and keys: measured, cancelled, saved, and a row's recipe used."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from compressor_gui.core.experiment import VARIANTS
from compressor_gui.core.measure import Calibrate, Evaluate
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.protocol import Cancelled, Done, Failed, Progress
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.experiment_dialog import ExperimentDialog
from compressor_gui.gui.measure.panel import MeasurePanel
from tests.gui.fake_engine import FakeEngine, reply
from tests.gui.measuring import dialog, prune
from tests.gui.test_window import CTRL, SHIFT, press, settle

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def table(qtbot: QtBot, panel: MeasurePanel, opened: MainWindow) -> ExperimentDialog:
    """The dialog, opened by its keys."""
    press(qtbot, opened, Qt.Key.Key_T, CTRL, SHIFT)
    return dialog(opened, ExperimentDialog)


def texts(shown: ExperimentDialog, row: int) -> list[str]:
    found = [shown.table.item(row, column) for column in range(shown.table.columnCount())]
    return [item.text() for item in found if item is not None]


def go_on(qtbot: QtBot, engine: FakeEngine, shown: ExperimentDialog, until: int = 100, failing: str = "") -> None:
    """Answer requests until so many rows are done and the next is asked for, or all are done; those on a recipe with a
    step ``failing`` fail."""
    runner = shown.experimenter
    while runner.is_running:
        qtbot.waitUntil(lambda: bool(engine.asked) or not runner.is_running)
        rows = runner.table.rows if runner.table else ()
        if sum(row.latency is not None for row in rows) >= until:
            return
        for request in list(engine.asked.values()):
            fails = failing and failing in getattr(getattr(request, "model", None), "recipe", "")
            engine.say(type(request), Failed("it broke", "engine") if fails else Done(reply(request)))


def measured(qtbot: QtBot, engine: FakeEngine, shown: ExperimentDialog, failing: str = "") -> None:
    qtbot.mouseClick(shown.run_button, LEFT)
    qtbot.waitUntil(lambda: shown.experimenter.table is not None)
    go_on(qtbot, engine, shown, failing=failing)


def click_row(qtbot: QtBot, shown: ExperimentDialog, row: int, *, double: bool = False) -> None:
    place = shown.table.visualItemRect(shown.table.item(row, 0)).center()
    qtbot.mouseClick(shown.table.viewport(), LEFT, pos=place)
    if double:
        qtbot.mouseDClick(shown.table.viewport(), LEFT, pos=place)


def test_rows_fill_one_by_one_and_are_what_will_be_measured_before(
    qtbot: QtBot, table: ExperimentDialog, engine: FakeEngine
) -> None:
    assert [texts(table, row)[1] for row in range(table.table.rowCount())] == ["–"] * len(VARIANTS)
    assert not table.chart.isVisible()
    assert not table.use_button.isEnabled()
    qtbot.mouseClick(table.run_button, LEFT)
    qtbot.waitUntil(lambda: table.experimenter.table is not None)
    assert table.run_button.text() == "Cancel"
    go_on(qtbot, engine, table, until=2)
    assert "of 17" in table.words.text()
    before = table.bar.value()
    engine.say(Evaluate, Progress(1, 2, "evaluating"))
    assert table.bar.value() > before > 0
    assert [texts(table, row)[1] for row in range(3)] == ["95.00 %", "91.00 %", "–"]
    assert table.chart.isVisible()
    go_on(qtbot, engine, table)
    assert not table.bar.isVisible()
    assert texts(table, 3)[0] == "stored ranges, 10 examples"
    assert texts(table, 3)[-2:] == ["3.4", "2.60"]
    assert "2.21.0" in table.captions.text()
    table.reject()


def test_a_double_click_uses_a_rows_recipe_and_undo_takes_it_back(
    qtbot: QtBot, table: ExperimentDialog, engine: FakeEngine, opened: MainWindow
) -> None:
    table.reject()
    prune(qtbot, opened, 0.5)
    before = opened.document.state.recipe
    press(qtbot, opened, Qt.Key.Key_T, CTRL, SHIFT)
    shown = dialog(opened, ExperimentDialog)
    measured(qtbot, engine, shown)
    click_row(qtbot, shown, 4, double=True)
    settle(qtbot, opened)
    steps = [step.name for step in opened.document.state.recipe.active]
    assert steps == ["prune", "quantize_nodes", "freeze_requantization_ranges"]
    freeze = opened.document.state.recipe.active[-1]
    assert isinstance(freeze, FreezeRequantizationRanges)
    assert opened.document.state.measured.range_notes[freeze.ranges] == "1,000 images, minmax"
    press(qtbot, opened, Qt.Key.Key_Z, CTRL)
    settle(qtbot, opened)
    assert opened.document.state.recipe == before
    press(qtbot, opened, Qt.Key.Key_T, CTRL, SHIFT)  # the table is still there, and still of this model's steps
    again = dialog(opened, ExperimentDialog)
    assert texts(again, 4)[1] == "91.00 %"
    assert "double click" in again.words.text()
    again.reject()


def test_cancelling_keeps_the_rows_so_far(qtbot: QtBot, table: ExperimentDialog, engine: FakeEngine) -> None:
    qtbot.mouseClick(table.run_button, LEFT)
    qtbot.waitUntil(lambda: table.experimenter.table is not None)
    go_on(qtbot, engine, table, until=1)
    number, _ = engine.find(Evaluate)
    qtbot.mouseClick(table.run_button, LEFT)
    assert engine.cancelled == [number]
    engine.say(Evaluate, Cancelled())
    assert table.run_button.text() == "Measure"
    assert [texts(table, row)[1] for row in (0, 1)] == ["95.00 %", "–"]
    click_row(qtbot, table, 4)
    assert not table.use_button.isEnabled()  # its recipe is not known: its ranges were not measured
    click_row(qtbot, table, 1)
    assert table.use_button.isEnabled()
    measured(qtbot, engine, table)
    assert texts(table, 4)[1] == "91.00 %"
    table.reject()


def test_cancelling_in_the_tray_ends_it_too(
    qtbot: QtBot, table: ExperimentDialog, engine: FakeEngine, opened: MainWindow
) -> None:
    qtbot.mouseClick(table.run_button, LEFT)
    qtbot.waitUntil(lambda: bool(engine.asked))
    (number, request), *_ = engine.asked.items()
    opened.engine.cancel(number)
    engine.say(type(request), Cancelled())
    assert not table.experimenter.is_running
    assert table.run_button.text() == "Measure"
    table.reject()


def test_a_row_that_fails_is_marked_and_says_why(qtbot: QtBot, table: ExperimentDialog, engine: FakeEngine) -> None:
    measured(qtbot, engine, table, failing="quantize_weights")
    assert texts(table, 1)[1] == "–"
    assert table.table.item(1, 0).toolTip() == "engine: it broke"
    assert texts(table, 2)[1] == "91.00 %"
    assert "8-bit weights failed: engine: it broke" in table.captions.text()
    table.reject()


def test_without_float_the_sentence_stands_in_the_dialog(
    qtbot: QtBot, table: ExperimentDialog, engine: FakeEngine
) -> None:
    qtbot.mouseClick(table.run_button, LEFT)
    qtbot.waitUntil(lambda: bool(engine.asked))
    (request,) = engine.asked.values()
    engine.say(type(request), Failed("TensorFlow is broken", "engine"))
    qtbot.waitUntil(lambda: not table.experimenter.is_running)
    assert "TensorFlow is broken" in table.problem.text()
    assert table.run_button.text() == "Measure"
    table.reject()


def test_ranges_may_come_from_other_examples(
    qtbot: QtBot, table: ExperimentDialog, engine: FakeEngine, digits: Path, tmp_path: Path
) -> None:
    qtbot.keyClicks(table.calibration, str(tmp_path / "nowhere"))
    qtbot.mouseClick(table.run_button, LEFT)
    qtbot.waitUntil(lambda: "no such file" in table.problem.text())
    assert not table.experimenter.is_running
    shutil.copytree(digits, tmp_path / "nowhere")
    qtbot.mouseClick(table.run_button, LEFT)
    qtbot.waitUntil(lambda: table.experimenter.table is not None)
    assert not table.problem.text()
    go_on(qtbot, engine, table, until=3)
    _, request = engine.find(Calibrate)
    assert (request.data.path, request.data.limit) == (str(tmp_path / "nowhere"), 10)
    go_on(qtbot, engine, table)
    assert "from nowhere" in table.captions.text()
    table.reject()


def test_the_table_and_the_chart_are_saved(
    qtbot: QtBot, table: ExperimentDialog, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(qtbot, engine, table)
    for name, kind, start in (
        ("t", "Markdown (*.md)", "| net |"),
        ("t.csv", "Markdown (*.md)", "name,title,"),
        ("t", "Chart (*.svg)", "<svg"),
    ):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, n=name, k=kind: (str(tmp_path / n), k))
        with qtbot.waitSignal(table.saved) as saved:
            qtbot.mouseClick(table.save_button, LEFT)
        assert saved.args[0].read_text().startswith(start)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "no" / "t.md"), ""))
    qtbot.mouseClick(table.save_button, LEFT)
    assert "can't be written" in table.problem.text()
    table.reject()


def test_it_goes_on_when_closed_and_is_forgotten_with_the_model(
    qtbot: QtBot, table: ExperimentDialog, engine: FakeEngine, opened: MainWindow, model_file: Path
) -> None:
    qtbot.mouseClick(table.run_button, LEFT)
    qtbot.waitUntil(lambda: table.experimenter.table is not None)
    runner = table.experimenter
    qtbot.mouseClick(table.close_button, LEFT)
    qtbot.waitUntil(lambda: engine.asked != {})
    press(qtbot, opened, Qt.Key.Key_T, CTRL, SHIFT)
    again = dialog(opened, ExperimentDialog)
    go_on(qtbot, engine, again, until=1)
    assert texts(again, 0)[1] == "95.00 %"
    assert engine.waits(Evaluate)
    opened.open(model_file)
    settle(qtbot, opened)
    qtbot.waitUntil(lambda: not any(d.isVisible() for d in opened.findChildren(ExperimentDialog)))
    assert (runner.table, runner.is_running) == (None, False)
    assert engine.cancelled

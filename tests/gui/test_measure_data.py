"""Data is guessed, previewed, dropped and remembered, with an engine that answers what the test wants."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from compressor_gui.core.measure import Evaluate, Preview
from compressor_gui.core.protocol import Cancelled, Failed
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.data_dialog import DataDialog
from compressor_gui.gui.measure.panel import MeasurePanel
from tests.gui.fake_engine import CLASSES, FakeEngine
from tests.gui.measuring import dialog, facts
from tests.gui.test_window import CTRL, SHIFT, press, settle

LEFT = Qt.MouseButton.LeftButton


def test_data_is_guessed_previewed_used_and_remembered(
    qtbot: QtBot, opened: MainWindow, engine: FakeEngine, digits: Path, model_file: Path
) -> None:
    press(qtbot, opened, Qt.Key.Key_D, CTRL, SHIFT)
    chooser = dialog(opened, DataDialog)
    assert not chooser.use_button.isEnabled()
    qtbot.keyClicks(chooser.path, str(digits))
    qtbot.keyClick(chooser.path, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: engine.waits(Preview))
    asked = engine.answer(Preview)
    assert asked.data.kind == "idx"
    assert asked.data.input == "input"
    assert chooser.examples.captions == list(CLASSES * 2)
    assert "100 examples" in chooser.facts.text()
    assert "broken.png" in chooser.facts.text()
    qtbot.mouseClick(chooser.use_button, LEFT)
    assert opened.document.state.data == asked.data
    assert facts(opened.measure.data.facts)["examples"] == "100"
    assert facts(opened.measure.data.facts)["skipped"] == "1 files"
    opened.document.set(data=None)
    opened.open(model_file)
    qtbot.waitUntil(lambda: opened.document.state.data == asked.data)
    settle(qtbot, opened)


def test_a_field_that_changes_asks_for_another_preview(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine
) -> None:
    qtbot.mouseClick(panel.data.start_button, LEFT)
    chooser = dialog(opened, DataDialog)
    first, _ = engine.find(Preview)
    chooser.form.fields["std"].editor.setValue(128.0)
    assert not chooser.use_button.isEnabled()
    qtbot.waitUntil(lambda: first in engine.cancelled)
    engine.say(Preview, Cancelled())
    assert engine.answer(Preview).data.std == 128.0
    assert chooser.use_button.isEnabled()
    chooser.form.fields["std"].editor.setValue(0.0)
    qtbot.waitUntil(lambda: bool(chooser.problem.text()))
    assert "divides" in chooser.problem.text()
    assert not chooser.use_button.isEnabled()
    chooser.reject()
    assert opened.document.state.data.std == 255.0


def test_what_is_no_data_is_a_sentence(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine, tmp_path: Path
) -> None:
    chooser = panel.ask_data(str(tmp_path / "nothing"))
    qtbot.waitUntil(lambda: "no such file" in chooser.problem.text())
    (tmp_path / "empty").mkdir()
    chooser.choose(str(tmp_path / "empty"))
    qtbot.waitUntil(lambda: "no data that is known" in chooser.problem.text())
    assert not engine.asked
    chooser.choose(opened.document.state.data.path)
    qtbot.waitUntil(lambda: engine.waits(Preview))
    engine.say(Preview, Failed("the labels are fewer than the pictures", "labels"))
    assert chooser.problem.text().startswith("Labels: the labels are fewer") or "fewer" in chooser.problem.text()
    chooser.reject()


def test_data_is_dropped_on_the_panel(qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, digits: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(digits))])
    held = LEFT, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(40, 200), Qt.DropAction.CopyAction, data, *held)
    QApplication.sendEvent(panel, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(panel, QDropEvent(QPointF(40, 200), Qt.DropAction.CopyAction, data, *held))
    chooser = dialog(opened, DataDialog)
    qtbot.waitUntil(lambda: chooser.form is not None)
    assert chooser.path.text() == str(digits)
    chooser.reject()


@pytest.mark.parametrize(("name", "names"), [("lenet-5", ""), ("mobilenet-v2-small", "classes.txt")])
def test_a_sample_has_its_pictures(qtbot: QtBot, window: MainWindow, name: str, names: str) -> None:
    window.open(Path(__file__).parents[2] / f"resources/samples/{name}.pb")
    qtbot.waitUntil(lambda: window.document.state.data is not None)
    data = window.document.state.data
    assert Path(data.path).name == "t10k-1000-images-idx3-ubyte.gz"
    assert Path(data.path).is_file()
    assert Path(data.names).name == names
    settle(qtbot, window)


def test_a_damaged_memory_of_data_is_as_none(
    qtbot: QtBot, opened: MainWindow, model_file: Path, engine: FakeEngine
) -> None:
    opened.settings.set_data(opened.document.state.source.sha256, '{"kind": "clay"}')
    opened.open(model_file)
    settle(qtbot, opened)
    assert opened.document.state.data is None


def test_measuring_without_data_asks_for_it_and_goes_on(
    qtbot: QtBot, opened: MainWindow, engine: FakeEngine, digits: Path
) -> None:
    press(qtbot, opened, Qt.Key.Key_R, CTRL)
    chooser = dialog(opened, DataDialog)
    chooser.choose(str(digits))
    qtbot.waitUntil(lambda: engine.waits(Preview))
    engine.answer(Preview)
    qtbot.mouseClick(chooser.use_button, LEFT)
    assert engine.waits(Evaluate)

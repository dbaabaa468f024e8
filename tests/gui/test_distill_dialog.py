"""Distilling through the window, with an engine that plays what the test wants."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtWidgets import QFileDialog, QPlainTextEdit
from pytestqt.qtbot import QtBot
from shiboken6 import isValid

from compressor_gui.cli.distill import distill
from compressor_gui.core import pbio
from compressor_gui.core.data import DataSpec
from compressor_gui.core.distilling import Distill
from compressor_gui.core.measure import Imported, ImportModel
from compressor_gui.core.protocol import Cancelled, Done, Failed
from compressor_gui.core.students import STUDENTS
from compressor_gui.gui.distill.dialog import DistillDialog
from compressor_gui.gui.leaving import LeaveDialog
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.data_dialog import DataDialog
from tests.gui.distilling import answer, click_student, lesson, open_by_keys, texts, two_epochs
from tests.gui.fake_engine import FakeEngine
from tests.gui.measuring import command_s_optimizing, dialog
from tests.gui.test_window import settle
from tests.support import conv_net

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def asked(qtbot: QtBot, opened: MainWindow, engine: FakeEngine, digits: Path) -> DistillDialog:
    """The dialog for the small network, with data chosen."""
    opened.document.set(data=DataSpec("idx", str(digits), input="input"))
    return open_by_keys(qtbot, opened)


def test_students_are_chosen_by_their_size(qtbot: QtBot, asked: DistillDialog, opened: MainWindow) -> None:
    source = opened.document.state.source
    assert source is not None
    assert asked.table.rowCount() == len(STUDENTS) + 1
    assert texts(asked, 0)[3:] == ["100 %", ""]
    assert texts(asked, 1)[0] == "half the channels"
    for row, student in enumerate(STUDENTS, 1):
        offer = asked.distiller.offers[student]
        assert offer is not None
        assert texts(asked, row)[3] == f"{100 * offer.size / source.size:.1f} %"
    assert asked.table.student == "width_0.5"
    click_student(qtbot, asked, "fire")
    assert asked.table.student == "fire"
    teacher = asked.table.item(0, 0)
    assert teacher is not None
    qtbot.mouseClick(asked.table.viewport(), LEFT, pos=asked.table.visualItemRect(teacher).center())
    assert asked.table.student == "fire"  # the teacher can't be chosen
    asked.reject()


def test_choices_become_a_request(qtbot: QtBot, asked: DistillDialog, engine: FakeEngine, opened: MainWindow) -> None:
    click_student(qtbot, asked, "depthwise")
    for spin, text in ((asked.form.temperature, "2.5"), (asked.form.labels, "30"), (asked.form.epochs, "3")):
        spin.selectAll()
        qtbot.keyClicks(spin, text)
    qtbot.mouseClick(asked.form.more.button, LEFT)
    asked.form.more.fields["shift"].editor.setValue(1)  # type: ignore[attr-defined]
    hints = asked.form.more.fields["hints"].findChild(QPlainTextEdit)
    assert hints is not None
    qtbot.keyClicks(hints, "relu student")
    qtbot.mouseClick(asked.start_button, LEFT)
    assert "is not 'name: value'" in asked.outcome.text()
    hints.setPlainText("relu: student/stem")
    qtbot.mouseClick(asked.start_button, LEFT)
    request = engine.find(Distill)[1]
    assert request.hints == (("relu", "student/stem"),)
    assert (request.temperature, request.labels, request.epochs) == (2.5, 0.3, 3)
    assert (request.student, request.augmenting.shift) == ("depthwise", 1)
    assert request.teacher == opened.measurer.original()
    assert request.optimizing == command_s_optimizing(distill)
    assert (request.data, request.test) == (opened.document.state.data, None)
    asked.reject()


def test_a_lesson_is_watched_and_its_student_compared(
    qtbot: QtBot, asked: DistillDialog, engine: FakeEngine, opened: MainWindow
) -> None:
    click_student(qtbot, asked, "shallow")
    assert asked.empty.isVisible()
    assert not asked.open_button.isEnabled()
    qtbot.mouseClick(asked.start_button, LEFT)
    assert asked.state.text() == "Waits for TensorFlow"
    assert not asked.form.isEnabled()
    lesson(qtbot, asked, engine, *two_epochs())
    assert asked.curves.isVisible()
    assert asked.curves.value.more.text() == "teacher 95.00 %"
    assert asked.curves.value.now.text() == "80.00 %"
    assert asked.curves.value._goal.getData()[1].tolist() == [95.0, 95.0]
    assert asked.state.text() == "Epoch 2 · 1,234 examples a second"
    assert texts(asked, 0)[4] == "95.00 %"
    answer(engine)
    assert "10 times smaller: top-1 80.00 %, the teacher's is 95.00 % (−15.00 points)" in asked.outcome.text()
    assert texts(asked, list(STUDENTS).index("shallow") + 1)[4] == "80.00 %"
    assert opened.document.state.recipe.active == ()
    click_student(qtbot, asked, "fire")
    assert not asked.compare_button.isEnabled()
    click_student(qtbot, asked, "shallow")
    qtbot.mouseClick(asked.compare_button, LEFT)
    qtbot.waitUntil(lambda: opened.document.state.other is not None)
    assert opened.document.state.view == "compare"
    other = opened.document.state.other
    assert other is not None
    assert other.path.name == "net-shallow.pb"
    again = open_by_keys(qtbot, opened)  # what was taught is still there
    assert again.table.student == "shallow"
    assert again.open_button.isEnabled()
    opened.document.set(data=replace(opened.document.state.data, limit=5))  # type: ignore[type-var]
    item = again.table.item(list(STUDENTS).index("shallow") + 1, 4)
    assert item is not None
    assert "other examples" in item.toolTip()
    again.reject()


def test_a_student_is_saved_and_opened_by_the_user_s_name(
    qtbot: QtBot, asked: DistillDialog, engine: FakeEngine, opened: MainWindow, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    source = opened.document.state.source
    assert source is not None
    qtbot.mouseClick(asked.start_button, LEFT)
    made = answer(engine)
    offered: list[str] = []

    def choose(path: Path) -> None:
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (offered.append(a[2]), (str(path), ""))[1])

    choose(source.path)
    qtbot.mouseClick(asked.save_button, LEFT)
    qtbot.waitUntil(lambda: "never overwritten" in asked.outcome.text())
    choose(tmp_path / "small.pb")
    with qtbot.waitSignal(asked.distiller.saved):
        qtbot.mouseClick(asked.save_button, LEFT)
    assert (tmp_path / "small.pb").read_bytes() == Path(made.path).read_bytes()
    choose(tmp_path / "opened.pb")
    qtbot.mouseClick(asked.open_button, LEFT)
    qtbot.waitUntil(lambda: opened.document.state.source is not source)
    settle(qtbot, opened)
    assert opened.document.state.source is not None
    assert opened.document.state.source.path == tmp_path / "opened.pb"
    assert set(offered) == {str(source.path.with_name("net-width_0.5.pb"))}
    assert not any(one.isVisible() for one in opened.findChildren(DistillDialog))


def test_a_student_is_opened_though_the_dialog_is_closed_before_it_is_written(
    qtbot: QtBot, asked: DistillDialog, engine: FakeEngine, opened: MainWindow, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    qtbot.mouseClick(asked.start_button, LEFT)
    answer(engine)
    source, shown = opened.document.state.source, opened.message
    for path, done in (
        (tmp_path / "nowhere" / "small.pb", lambda: "can't be written" in shown.what.text()),
        (tmp_path / "small.pb", lambda: opened.document.state.source is not source),
    ):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, to=path: (str(to), ""))
        go = threading.Event()
        opened.document.background.run(lambda go=go: go.wait(30), lambda _: None, lambda _: None)
        asked = open_by_keys(qtbot, opened) if not isValid(asked) else asked
        qtbot.mouseClick(asked.open_button, LEFT)
        qtbot.mouseClick(asked.close_button, LEFT)
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        assert not isValid(asked)
        go.set()
        qtbot.waitUntil(done)
    settle(qtbot, opened)


def test_a_dialog_that_is_closed_knows_no_themes(
    qtbot: QtBot, asked: DistillDialog, engine: FakeEngine, opened: MainWindow
) -> None:
    qtbot.mouseClick(asked.start_button, LEFT)
    lesson(qtbot, asked, engine, *two_epochs())
    qtbot.mouseClick(asked.close_button, LEFT)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert not isValid(asked)
    opened.theme.changed.emit()


def test_stopping_keeps_and_cancelling_does_not(qtbot: QtBot, asked: DistillDialog, engine: FakeEngine) -> None:
    qtbot.mouseClick(asked.start_button, LEFT)
    assert not asked.stop_button.isEnabled()  # there is nothing to keep yet
    lesson(qtbot, asked, engine, *two_epochs())
    qtbot.mouseClick(asked.stop_button, LEFT)
    assert engine.told == ["finish"]
    assert asked.state.text().startswith("Stopping")
    answer(engine, "it was stopped in epoch 2")
    assert "It was stopped in epoch 2." in asked.state.text()
    assert asked.open_button.isEnabled()
    click_student(qtbot, asked, "fire")
    qtbot.mouseClick(asked.start_button, LEFT)
    assert not asked.distiller.can_go_on
    qtbot.mouseClick(asked.cancel_button, LEFT)
    assert engine.cancelled
    engine.say(Distill, Cancelled())
    assert not asked.open_button.isEnabled()
    assert asked.start_button.isVisible()
    assert set(asked.distiller.taught) == {"width_0.5"}
    asked.reject()


def test_it_goes_on_when_closed_and_ends_with_the_model(
    qtbot: QtBot, asked: DistillDialog, engine: FakeEngine, opened: MainWindow, tmp_path: Path
) -> None:
    qtbot.mouseClick(asked.start_button, LEFT)
    qtbot.mouseClick(asked.close_button, LEFT)
    again = open_by_keys(qtbot, opened)
    assert again.cancel_button.isVisible()
    lesson(qtbot, again, engine, *two_epochs())
    assert again.curves.isVisible()
    source = opened.document.state.source
    assert source is not None
    other = Path(shutil.copy(source.path, tmp_path / "other.pb"))
    opened.open(other)
    qtbot.mouseClick(dialog(opened, LeaveDialog).yes_button, LEFT)
    run = again.distiller
    qtbot.waitUntil(lambda: bool(engine.cancelled))
    engine.say(Distill, Cancelled())
    settle(qtbot, opened)
    assert not any(one.isVisible() for one in opened.findChildren(DistillDialog))
    assert run.request is None


def test_quitting_says_that_a_lesson_goes_on(
    qtbot: QtBot, asked: DistillDialog, engine: FakeEngine, opened: MainWindow
) -> None:
    qtbot.mouseClick(asked.start_button, LEFT)
    for pieces, words in (((), "is lost"), (two_epochs(), "goes on from there")):
        if pieces:
            lesson(qtbot, asked, engine, *pieces)
        opened.windowHandle().close()
        question = dialog(opened, LeaveDialog)
        assert words in question.words.text()
        qtbot.keyClick(question, Qt.Key.Key_Return)
    asked.reject()


def test_an_answer_that_overtakes_cancel_is_not_used(qtbot: QtBot, asked: DistillDialog, engine: FakeEngine) -> None:
    for overtakes in (answer, lambda engine: engine.say(Distill, Failed("the student is too small"))):
        qtbot.mouseClick(asked.start_button, LEFT)
        qtbot.mouseClick(asked.cancel_button, LEFT)
        overtakes(engine)
        assert asked.distiller.found is None
        assert asked.distiller.request is None
        assert not asked.outcome.isVisible()
        assert not asked.open_button.isEnabled()
    asked.reject()


def test_errors_stand_in_the_dialog(qtbot: QtBot, asked: DistillDialog, engine: FakeEngine) -> None:
    qtbot.mouseClick(asked.start_button, LEFT)
    engine.say(Distill, Failed("the student has 3 classes and the teacher 10", "fire"))
    assert asked.outcome.text().startswith("Fire: the student has 3 classes")
    assert asked.start_button.isVisible()
    asked.reject()


def test_without_data_it_is_asked_for(qtbot: QtBot, opened: MainWindow, engine: FakeEngine) -> None:
    shown = open_by_keys(qtbot, opened)
    assert shown.start_button.text() == "Choose data …"
    qtbot.mouseClick(shown.start_button, LEFT)
    qtbot.waitUntil(lambda: bool(opened.findChildren(DataDialog)))
    dialog(opened, DataDialog).reject()
    assert not engine.waits(Distill)
    shown.reject()


def test_students_from_files(
    qtbot: QtBot, asked: DistillDialog, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen graph as it is, a Keras file frozen first; one that is no graph says so and can't be taught."""
    good, bad, keras = tmp_path / "good.pb", tmp_path / "bad.pb", tmp_path / "small.keras"
    pbio.write_graph(conv_net(), good)
    bad.write_bytes(b"no graph")
    for path in (good, bad, keras):
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, p=path: (str(p), ""))
        qtbot.mouseClick(asked.file_button, LEFT)
    qtbot.waitUntil(lambda: str(bad) not in asked.distiller.offers)
    assert "bad.pb" in asked.outcome.text()
    assert asked.distiller.offers[str(good)] is not None
    request = engine.find(ImportModel)[1]
    assert request.source == str(keras)
    pbio.write_graph(conv_net(), request.target)
    engine.say(ImportModel, Done(Imported(request.target, ("input",), ("softmax",), ())))
    qtbot.waitUntil(lambda: asked.distiller.offers[str(keras)] is not None)
    click_student(qtbot, asked, str(keras))
    qtbot.mouseClick(asked.start_button, LEFT)
    assert engine.find(Distill)[1].student == request.target
    engine.say(Distill, Cancelled())
    click_student(qtbot, asked, str(good))
    qtbot.mouseClick(asked.start_button, LEFT)
    assert engine.find(Distill)[1].student == str(good)
    asked.reject()


def test_files_that_are_asked_for_twice_or_called_alike(
    qtbot: QtBot, asked: DistillDialog, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad.pb"
    bad.write_bytes(b"no graph")
    files = [bad, bad]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        files.append(tmp_path / name / "small.keras")
    for path in files:
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, p=path: (str(p), ""))
        qtbot.mouseClick(asked.file_button, LEFT)
    idle: list[object] = []
    asked.document.background.run(lambda: None, idle.append, lambda _: None)
    qtbot.waitUntil(lambda: bool(idle))  # both answers have come
    assert str(bad) not in asked.distiller.offers
    targets = [request.target for request in engine.asked.values() if isinstance(request, ImportModel)]
    assert len(set(targets)) == 2
    asked.reject()

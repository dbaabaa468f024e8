"""New classes through the window, with an engine that plays what the test wants."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QDoubleSpinBox, QFileDialog
from pytestqt.qtbot import QtBot

from compressor_gui.core import pbio
from compressor_gui.core.data import DataSpec
from compressor_gui.core.protocol import Cancelled, Done, Failed, Piece, Progress
from compressor_gui.core.transfer import TRAINING, TopProgress, Transfer, Transferred
from compressor_gui.gui.dialogs import Question
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.transfer.dialog import TransferDialog
from tests.gui.fake_engine import FakeEngine
from tests.gui.measuring import dialog
from tests.gui.test_window import CTRL, SHIFT, press, settle
from tests.support import conv_net

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def asked(qtbot: QtBot, opened: MainWindow, engine: FakeEngine) -> TransferDialog:
    """The dialog for the small network, opened by its keys."""
    press(qtbot, opened, Qt.Key.Key_N, CTRL, SHIFT)
    found: TransferDialog = dialog(opened, TransferDialog)
    return found


@pytest.fixture
def chosen(qtbot: QtBot, asked: TransferDialog, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> TransferDialog:
    """The folder of pictures is chosen and counted."""
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(pictures))
    qtbot.mouseClick(asked.folder_button, LEFT)
    qtbot.waitUntil(lambda: bool(asked.run.classes))
    return asked


def texts(shown: TransferDialog, row: int) -> list[str]:
    return [item.text() for item in (shown.table.item(row, column) for column in range(5)) if item is not None]


def newest(shown: TransferDialog) -> Question:
    """The question that is open."""
    return next(question for question in reversed(shown.findChildren(Question)) if question.isVisible())


def say(qtbot: QtBot, shown: TransferDialog, engine: FakeEngine, *pieces: TopProgress) -> None:
    """Let pieces come, and wait until they are shown."""
    engine.say(Transfer, Progress(0, pieces[-1].steps, TRAINING))
    with qtbot.waitSignal(shown.run.changed):
        for piece in pieces:
            engine.say(Transfer, Piece(piece))


def save_as(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Let the dialog of files answer this."""
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))


def answer(engine: FakeEngine) -> Transferred:
    """Write a network where it is asked for, and say so."""
    request = engine.find(Transfer)[1]
    pbio.write_graph(conv_net(), request.output_graph)
    Path(request.output_labels).write_text("large\nsmall\n")
    found = Transferred(
        graph=request.output_graph, labels=request.output_labels, classes=("large", "small"),
        counts={"train": 70, "validation": 10, "test": 10}, bottleneck="flatten", train=0.99, validation=0.9, test=0.8,
        test_interval=(0.49, 0.943), misclassified=(("1.png", "large", "small"), ("2.png", "large", "small")),
        cached=20, seconds=4.0,
    )  # fmt: skip
    engine.say(Transfer, Done(found))
    return found


def test_a_folder_is_dropped_and_counted(qtbot: QtBot, asked: TransferDialog, pictures: Path) -> None:
    assert asked.empty.isVisible()
    assert not asked.start_button.isEnabled()
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(pictures))])
    held = (Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    enter = QDragEnterEvent(QPoint(300, 300), Qt.DropAction.CopyAction, data, *held)
    QApplication.sendEvent(asked, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(asked, QDropEvent(QPointF(300, 300), Qt.DropAction.CopyAction, data, *held))
    qtbot.waitUntil(lambda: bool(asked.run.classes))
    assert [texts(asked, row)[0] for row in range(3)] == ["large", "small", "none"]
    assert texts(asked, 2)[1:] == ["–", "–", "–", "–"]
    assert asked.warnings.text() == "No picture in none."
    assert asked.start_button.isEnabled()
    file = QMimeData()
    file.setUrls([QUrl.fromLocalFile(str(next((pictures / "small").iterdir())))])
    enter = QDragEnterEvent(QPoint(300, 300), Qt.DropAction.CopyAction, file, *held)
    QApplication.sendEvent(asked, enter)
    assert not enter.isAccepted()
    asked.reject()


def test_few_pictures_and_none_to_train_on(qtbot: QtBot, chosen: TransferDialog, pictures: Path) -> None:
    for path in sorted((pictures / "large").iterdir())[4:]:
        path.unlink()
    qtbot.mouseClick(chosen.form.more.button, LEFT)
    share = chosen.form.more.fields["testing_percentage"].editor
    assert isinstance(share, QDoubleSpinBox)
    share.setValue(70)
    qtbot.waitUntil(lambda: chosen.run.classes[0].count == 4)
    assert "Few pictures: large (4)" in chosen.warnings.text()
    validate = chosen.form.more.fields["validation_percentage"].editor
    assert isinstance(validate, QDoubleSpinBox)
    for path in (pictures / "large").iterdir():
        if path.name != "100.png":
            path.unlink()
    shutil.copy(next((pictures / "small").iterdir()), pictures / "large" / "one.png")
    validate.setValue(20)
    qtbot.waitUntil(lambda: chosen.run.classes[0].count == 1)
    assert chosen.run.classes[0].train == 0
    assert "none is left to train on" in chosen.outcome.text()
    assert not chosen.start_button.isEnabled()
    chosen.reject()


def test_parts_that_leave_too_little_are_told_before_the_start(qtbot: QtBot, chosen: TransferDialog) -> None:
    qtbot.mouseClick(chosen.form.more.button, LEFT)
    for name, share in (("validation_percentage", 35), ("testing_percentage", 60)):
        chosen.form.more.fields[name].editor.setValue(share)  # type: ignore[attr-defined]
    qtbot.waitUntil(lambda: chosen.run.is_counted)
    assert chosen.outcome.text() == (
        "Too little is left to train on: validation and testing take at most 90 % together."
    )
    assert not chosen.start_button.isEnabled()
    chosen.form.more.fields["testing_percentage"].editor.setValue(10)  # type: ignore[attr-defined]
    qtbot.waitUntil(chosen.start_button.isEnabled)
    assert not chosen.outcome.isVisible()
    chosen.reject()


def test_a_count_that_comes_late_is_not_that_of_another_folder(
    qtbot: QtBot, chosen: TransferDialog, opened: MainWindow, tmp_path: Path
) -> None:
    (tmp_path / "bare").mkdir()
    go = threading.Event()
    opened.document.background.run(lambda: go.wait(30), lambda _: None, lambda _: None)
    qtbot.mouseClick(chosen.form.more.button, LEFT)
    chosen.form.more.fields["testing_percentage"].editor.setValue(20)  # type: ignore[attr-defined]
    chosen.path.selectAll()
    qtbot.keyClicks(chosen.path, str(tmp_path / "bare"))
    qtbot.keyClick(chosen.path, Qt.Key.Key_Return)
    go.set()
    qtbot.waitUntil(lambda: "no data that is known in this folder" in chosen.outcome.text())
    assert not chosen.run.classes
    assert not chosen.start_button.isEnabled()
    chosen.reject()


def test_a_folder_without_pictures_says_so(qtbot: QtBot, asked: TransferDialog, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    qtbot.keyClicks(asked.path, str(tmp_path / "bare"))
    qtbot.keyClick(asked.path, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: "no data that is known in this folder" in asked.outcome.text())
    assert not asked.start_button.isEnabled()
    asked.reject()


def test_choices_become_a_request(
    qtbot: QtBot, chosen: TransferDialog, engine: FakeEngine, opened: MainWindow, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    form = chosen.form
    save_as(monkeypatch, tmp_path / "new.pb")
    qtbot.mouseClick(form.target_button, LEFT)
    assert form.beside.text() == "and its classes' names to new_labels.txt"
    form.steps.selectAll()
    qtbot.keyClicks(form.steps, "50")
    qtbot.mouseClick(form.more.button, LEFT)
    form.more.fields["mean"].editor.setValue(127.5)  # type: ignore[attr-defined]
    form.more.fields["flip"].editor.setChecked(True)  # type: ignore[attr-defined]
    qtbot.mouseClick(chosen.start_button, LEFT)
    request = engine.find(Transfer)[1]
    assert request.model == opened.measurer.original()
    assert (request.output_graph, request.output_labels) == (str(tmp_path / "new.pb"), str(tmp_path / "new_labels.txt"))
    assert (request.how_many_training_steps, request.augmenting.flip, request.data.mean) == (50, True, 127.5)
    assert request.train_batch_size == sum(one.train for one in chosen.run.classes)  # fewer than a batch of 100
    chosen.reject()


def test_pictures_are_fed_as_the_models_data_is(
    qtbot: QtBot, asked: TransferDialog, opened: MainWindow, digits: Path, pictures: Path, engine: FakeEngine
) -> None:
    data = DataSpec("idx", str(digits), input="input", height=8, width=8, channels=3, mean=100.0, std=50.0, limit=3)
    opened.document.set(data=data)
    asked.choose(str(pictures))
    qtbot.waitUntil(lambda: bool(asked.run.classes))
    qtbot.mouseClick(asked.start_button, LEFT)
    fed = engine.find(Transfer)[1].data
    assert (fed.kind, fed.path, fed.limit) == ("images", str(pictures), 0)
    assert (fed.mean, fed.std, fed.height) == (100.0, 50.0, 8)
    asked.reject()


def test_a_run_is_watched_in_two_stages_and_its_network_opened(
    qtbot: QtBot, chosen: TransferDialog, engine: FakeEngine, opened: MainWindow
) -> None:
    qtbot.mouseClick(chosen.start_button, LEFT)
    first, second = chosen.stages.words
    assert first.text() == "Waits for TensorFlow"
    engine.say(Transfer, Progress(30, 90, "computing bottlenecks"))
    assert first.text() == "30 of 90 pictures"
    assert [bar.value() for bar in chosen.stages.bars] == [333, 0]
    assert not chosen.stop_button.isEnabled()
    say(qtbot, chosen, engine, *(TopProgress(at, 400, 1.0 / at, 0.9, 0.8) for at in (100, 200)))
    engine.say(Transfer, Progress(200, 400, TRAINING))
    assert first.text() == "done"
    assert second.text() == "step 200 of 400 · training pictures 90.0 %, validation 80.0 %"
    assert [bar.value() for bar in chosen.stages.bars] == [1000, 500]
    assert chosen.curve.now.text() == "validation 80.0 %"
    qtbot.mouseClick(chosen.stop_button, LEFT)
    assert engine.told == ["finish"]
    found = answer(engine)
    assert "80.0 % of 10 test pictures right; with 95 % certainty it is 49.0 to 94.3 %" in chosen.outcome.text()
    assert "20 bottlenecks were on disk" in chosen.more.text()
    large = chosen.run.classes[0]
    assert texts(chosen, 0)[4] == f"{large.test - 2} of {large.test}"
    tip = chosen.table.item(0, 0)
    assert tip is not None
    assert "1.png: taken for small" in tip.toolTip()
    qtbot.mouseClick(chosen.open_button, LEFT)
    path = opened.document.state.source
    qtbot.waitUntil(lambda: opened.document.state.source is not path)
    settle(qtbot, opened)
    assert opened.document.state.source is not None
    assert str(opened.document.state.source.path) == found.graph
    assert Path(found.graph).name == "net-digits by size.pb"


def test_cancelled_failed_and_closed(
    qtbot: QtBot, chosen: TransferDialog, engine: FakeEngine, opened: MainWindow
) -> None:
    qtbot.mouseClick(chosen.start_button, LEFT)
    qtbot.mouseClick(chosen.cancel_button, LEFT)
    assert engine.cancelled
    engine.say(Transfer, Cancelled())
    assert chosen.start_button.isVisible()
    assert not chosen.outcome.isVisible()
    qtbot.mouseClick(chosen.start_button, LEFT)
    qtbot.mouseClick(chosen.cancel_button, LEFT)
    found = answer(engine)  # it was on its way
    assert not chosen.open_button.isEnabled()
    assert not chosen.outcome.isVisible()
    Path(found.graph).unlink()
    Path(found.labels).unlink()
    qtbot.mouseClick(chosen.start_button, LEFT)
    engine.say(Transfer, Failed("no classifier is found at whose input the trunk would end", "", "name the bottleneck"))
    assert chosen.outcome.text().startswith("No classifier is found")
    qtbot.mouseClick(chosen.start_button, LEFT)
    qtbot.mouseClick(chosen.close_button, LEFT)
    press(qtbot, opened, Qt.Key.Key_N, CTRL, SHIFT)
    again = dialog(opened, TransferDialog)
    assert again.cancel_button.isVisible()
    assert again.table.rowCount() == 3
    say(qtbot, again, engine, TopProgress(100, 400, 0.5, 0.9, None))
    answer(engine)
    assert again.open_button.isEnabled()
    again.reject()


def test_a_folder_that_cannot_be_written_to_is_told_at_once(
    qtbot: QtBot, chosen: TransferDialog, engine: FakeEngine, tmp_path: Path
) -> None:
    chosen.form.set_target(tmp_path / "nowhere" / "new.pb")
    qtbot.mouseClick(chosen.start_button, LEFT)
    assert "it can't be written: No such file or directory" in chosen.outcome.text()
    assert not engine.waits(Transfer)
    chosen.reject()


def test_files_that_are_there_are_asked_for(
    qtbot: QtBot, chosen: TransferDialog, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = tmp_path / "new_labels.txt"
    labels.write_text("the user's")
    save_as(monkeypatch, tmp_path / "new.pb")
    qtbot.mouseClick(chosen.form.target_button, LEFT)
    qtbot.mouseClick(chosen.start_button, LEFT)
    question = newest(chosen)
    assert "new_labels.txt, 10 B" in question.words.text()
    assert "new.pb" not in question.words.text()  # is not there
    qtbot.keyClick(question, Qt.Key.Key_Return)  # no
    assert not engine.waits(Transfer)
    qtbot.mouseClick(chosen.start_button, LEFT)
    qtbot.mouseClick(newest(chosen).yes_button, LEFT)
    assert engine.find(Transfer)[1].output_labels == str(labels)
    chosen.reject()


def test_the_opened_model_is_never_a_target(
    qtbot: QtBot, chosen: TransferDialog, engine: FakeEngine, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_as(monkeypatch, model_file)
    qtbot.mouseClick(chosen.form.target_button, LEFT)
    qtbot.mouseClick(chosen.start_button, LEFT)
    assert "never overwritten" in chosen.outcome.text()
    assert not chosen.findChildren(Question)
    assert not engine.waits(Transfer)
    chosen.reject()


def test_a_second_network_goes_where_it_is_wanted(
    qtbot: QtBot, chosen: TransferDialog, engine: FakeEngine, opened: MainWindow, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    qtbot.mouseClick(chosen.start_button, LEFT)
    first = answer(engine)
    qtbot.mouseClick(chosen.start_button, LEFT)
    assert Path(first.graph).name in newest(chosen).words.text()  # the first network is not replaced unasked
    qtbot.keyClick(newest(chosen), Qt.Key.Key_Escape)
    save_as(monkeypatch, tmp_path / "second.pb")
    qtbot.mouseClick(chosen.form.target_button, LEFT)
    qtbot.mouseClick(chosen.form.more.button, LEFT)
    chosen.form.more.fields["validation_percentage"].editor.setValue(20)  # type: ignore[attr-defined]
    qtbot.waitUntil(chosen.start_button.isEnabled)
    qtbot.mouseClick(chosen.start_button, LEFT)
    assert engine.find(Transfer)[1].output_graph == str(tmp_path / "second.pb")
    qtbot.mouseClick(chosen.close_button, LEFT)
    press(qtbot, opened, Qt.Key.Key_N, CTRL, SHIFT)
    again = dialog(opened, TransferDialog)
    assert again.form.target == tmp_path / "second.pb"
    again.reject()


def test_a_dialog_that_is_opened_again_knows_its_folder_s_target(
    qtbot: QtBot, chosen: TransferDialog, engine: FakeEngine, opened: MainWindow
) -> None:
    target = chosen.form.target
    qtbot.mouseClick(chosen.close_button, LEFT)
    press(qtbot, opened, Qt.Key.Key_N, CTRL, SHIFT)
    again = dialog(opened, TransferDialog)
    qtbot.mouseClick(again.start_button, LEFT)
    assert engine.find(Transfer)[1].output_graph == str(target)
    again.reject()

"""The export dialog by keys and clicks: where a file goes, what it would replace, what its check says before that."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QStandardPaths, Qt
from pytestqt.qtbot import QtBot
from shiboken6 import isValid

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import CheckExport, ExportCheck, OutputCheck
from compressor_gui.core.measure import Evaluate
from compressor_gui.core.protocol import Cancelled, Done, Failed
from compressor_gui.gui import export_target
from compressor_gui.gui.export_dialog import ExportDialog
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.measure.panel import MeasurePanel
from tests.gui.fake_engine import FakeEngine
from tests.gui.measuring import dialog, prune
from tests.gui.test_window import CTRL, press

LEFT = Qt.MouseButton.LeftButton


def found(sqnr: float = 40.0, same: float = 1.0, examples: int = 0) -> ExportCheck:
    output = OutputCheck("softmax", sqnr, same, True, False, (1, 10))
    return ExportCheck((output,), ("input float32 1×8×8×3",), (), 1.0, examples=examples, labelled=bool(examples))


@pytest.fixture
def asked(qtbot: QtBot, opened: MainWindow, engine: FakeEngine) -> ExportDialog:
    """The dialog for a pruned network."""
    prune(qtbot, opened, 0.5)
    press(qtbot, opened, Qt.Key.Key_E, CTRL)
    return dialog(opened, ExportDialog)


def name(qtbot: QtBot, asked: ExportDialog, path: Path) -> None:
    """Type a path over the one that is proposed."""
    if not asked.isActiveWindow():  # the off-screen platform does not go to it where another dialog was closed
        asked.activateWindow()
        qtbot.waitUntil(asked.isActiveWindow)
    assert asked.target.hasFocus()
    asked.target.selectAll()
    qtbot.keyClicks(asked.target, str(path))


def enter(qtbot: QtBot, asked: ExportDialog) -> None:
    """Press Enter where the focus is."""
    qtbot.keyClick(asked.focusWidget() or asked, Qt.Key.Key_Return)


def checks(qtbot: QtBot, engine: FakeEngine, result: ExportCheck | CompressorError) -> CheckExport:
    """Wait for the check and answer it."""
    qtbot.waitUntil(lambda: engine.waits(CheckExport))
    _, request = engine.find(CheckExport)
    engine.say(CheckExport, Failed("CompressorError", str(result)) if isinstance(result, Exception) else Done(result))
    return request


# --- what it would replace -------------------------------------------------------------------------------------------


def test_files_of_others_are_asked_about_by_name(
    qtbot: QtBot, asked: ExportDialog, engine: FakeEngine, tmp_path: Path
) -> None:
    target, recipe = tmp_path / "x.pb", tmp_path / "x.recipe.json"
    target.write_bytes(b"another model")
    recipe.write_text("its recipe")
    name(qtbot, asked, target)
    enter(qtbot, asked)
    assert asked.question.isVisible()
    assert all(words in asked.question.text() for words in (str(tmp_path), "x.pb, 13 B", "x.recipe.json, 10 B"))
    assert asked.back_button.isDefault()
    enter(qtbot, asked)  # goes back
    assert asked.target.hasFocus()
    assert target.read_bytes() == b"another model"
    qtbot.mouseClick(asked.with_recipe, LEFT)
    enter(qtbot, asked)
    assert "recipe.json" not in asked.question.text()
    qtbot.keyClick(asked.back_button, Qt.Key.Key_Tab)
    assert asked.replace_button.hasFocus()
    enter(qtbot, asked)
    checks(qtbot, engine, found())
    qtbot.waitUntil(lambda: asked.finished_work)
    assert target.read_bytes() != b"another model"
    assert recipe.read_text() == "its recipe"
    enter(qtbot, asked)
    assert not asked.isVisible()


def test_what_was_exported_before_is_replaced_without_a_word_unless_it_changed(
    qtbot: QtBot, opened: MainWindow, asked: ExportDialog, engine: FakeEngine, tmp_path: Path
) -> None:
    target = tmp_path / "x.pb"
    for again in (False, True):
        if again:
            prune(qtbot, opened, 0.7)
            press(qtbot, opened, Qt.Key.Key_E, CTRL)
            asked = dialog(opened, ExportDialog)
        name(qtbot, asked, target)
        enter(qtbot, asked)
        assert not asked.asks_to_replace
        checks(qtbot, engine, found())
        qtbot.waitUntil(lambda: asked.finished_work)  # noqa: B023
        enter(qtbot, asked)
    target.write_bytes(b"somebody else's")
    press(qtbot, opened, Qt.Key.Key_E, CTRL)
    asked = dialog(opened, ExportDialog)
    name(qtbot, asked, target)
    enter(qtbot, asked)
    assert asked.asks_to_replace
    assert "x.recipe.json" not in asked.question.text()
    qtbot.keyClick(asked, Qt.Key.Key_Escape)


# --- where it goes ---------------------------------------------------------------------------------------------------


def test_a_folder_is_made_by_a_click_and_enter_exports_then(
    qtbot: QtBot, asked: ExportDialog, engine: FakeEngine, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "deep" / "x.pb"
    name(qtbot, asked, target)
    assert "no such folder" in asked.place.problem.text()
    assert not asked.export_button.isEnabled()
    qtbot.mouseClick(asked.place.make_button, LEFT)
    assert target.parent.is_dir()
    assert not asked.place.make_button.isVisible()
    assert asked.export_button.isEnabled()
    assert asked.export_button.isDefault()
    enter(qtbot, asked)
    assert not asked.cancel_button.isDefault()
    checks(qtbot, engine, found())
    qtbot.waitUntil(target.exists)
    enter(qtbot, asked)


def test_enter_exports_after_a_path_was_put_right(
    qtbot: QtBot, asked: ExportDialog, engine: FakeEngine, tmp_path: Path
) -> None:
    name(qtbot, asked, tmp_path / "none" / "x.pb")
    qtbot.mouseClick(asked.export_button, LEFT)
    enter(qtbot, asked)
    assert asked.target.isVisible()
    name(qtbot, asked, tmp_path / "x.pb")
    assert asked.export_button.isDefault()
    enter(qtbot, asked)
    checks(qtbot, engine, found())
    qtbot.waitUntil((tmp_path / "x.pb").exists)
    enter(qtbot, asked)


def test_without_documents_home_is_proposed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(export_target.os, "access", lambda *_: False)
    monkeypatch.setattr(QStandardPaths, "writableLocation", lambda _: str(tmp_path / "Documents"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert export_target._folder(Path("/x/net.pb")) == tmp_path
    (tmp_path / "Documents").mkdir()
    assert export_target._folder(Path("/x/net.pb")) == tmp_path / "Documents"


# --- its check -------------------------------------------------------------------------------------------------------


def test_bad_numbers_come_before_the_move(
    qtbot: QtBot, asked: ExportDialog, engine: FakeEngine, tmp_path: Path
) -> None:
    target = tmp_path / "x.pb"
    name(qtbot, asked, target)
    enter(qtbot, asked)
    assert checks(qtbot, engine, found(2.5, 0.5)).data is None
    qtbot.waitUntil(lambda: asked.finished_work)
    assert not target.exists()
    assert "2.5 dB, same top class in 2 of 4): retrain or take less away. Nothing was exported" in asked.verdict.text()
    assert "made-up inputs, which are no pictures of your data" in asked.notes.text()
    qtbot.mouseClick(asked.keep_button, LEFT)
    assert target.exists()
    assert (tmp_path / "x.recipe.json").exists()
    assert asked.verdict.text().startswith(f"Exported to {target}, but")
    enter(qtbot, asked)


def test_enter_discards_what_failed(qtbot: QtBot, asked: ExportDialog, engine: FakeEngine, tmp_path: Path) -> None:
    name(qtbot, asked, tmp_path / "x.pb")
    enter(qtbot, asked)
    checks(qtbot, engine, found(2.5))
    qtbot.waitUntil(lambda: asked.finished_work)
    assert asked.discard_button.isDefault()
    enter(qtbot, asked)
    assert not asked.isVisible()
    assert not [path for path in tmp_path.iterdir() if "x" in path.suffixes or path.name.startswith((".x", "x."))]


def left_in(folder: Path) -> list[str]:
    """What an export has written there, for a time or for good."""
    return [path.name for path in folder.iterdir() if path.name.startswith((".x", "x"))]


def test_cancelled_while_it_is_written_nothing_is_left(
    qtbot: QtBot, asked: ExportDialog, engine: FakeEngine, tmp_path: Path
) -> None:
    name(qtbot, asked, tmp_path / "x.pb")
    enter(qtbot, asked)
    with qtbot.waitSignal(asked.over):
        qtbot.keyClick(asked, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not isValid(asked))
    assert left_in(tmp_path) == []
    assert not engine.asked


@pytest.mark.parametrize("overtaken", [False, True])
def test_cancelled_while_it_is_checked_nothing_is_left(
    qtbot: QtBot, asked: ExportDialog, engine: FakeEngine, tmp_path: Path, overtaken: bool
) -> None:
    name(qtbot, asked, tmp_path / "x.pb")
    enter(qtbot, asked)
    qtbot.waitUntil(lambda: engine.waits(CheckExport))
    assert left_in(tmp_path)
    qtbot.mouseClick(asked.cancel_button, LEFT)
    assert len(engine.cancelled) == 1
    with qtbot.waitSignal(asked.over):
        engine.say(CheckExport, Done(found()) if overtaken else Cancelled())
    qtbot.waitUntil(lambda: not isValid(asked))
    assert left_in(tmp_path) == []


def test_a_recipe_that_cant_be_saved_does_not_hide_that_the_file_is_there(
    qtbot: QtBot, asked: ExportDialog, engine: FakeEngine, tmp_path: Path, opened: MainWindow
) -> None:
    name(qtbot, asked, tmp_path / "x.pb")
    enter(qtbot, asked)
    qtbot.waitUntil(lambda: engine.waits(CheckExport))
    (tmp_path / "x.recipe.json").mkdir()
    with qtbot.waitSignal(asked.exported):
        checks(qtbot, engine, found())
    assert (tmp_path / "x.pb").exists()
    assert asked.verdict.text().startswith(f"Exported to {tmp_path / 'x.pb'}, but its recipe could not be saved: ")
    assert tmp_path / "x.pb" in opened.document.state.exported
    enter(qtbot, asked)


def test_the_check_is_made_on_the_data_and_what_was_measured_is_said(
    qtbot: QtBot, panel: MeasurePanel, opened: MainWindow, engine: FakeEngine, tmp_path: Path
) -> None:
    prune(qtbot, opened, 0.5)
    opened.measurer.evaluate()
    qtbot.waitUntil(lambda: engine.waits(Evaluate))
    engine.answer(Evaluate)
    press(qtbot, opened, Qt.Key.Key_E, CTRL)
    asked = dialog(opened, ExportDialog)
    name(qtbot, asked, tmp_path / "x.pb")
    enter(qtbot, asked)
    request = checks(qtbot, engine, found(2.5, 15 / 16, examples=16))
    assert request.data == opened.document.state.data
    qtbot.waitUntil(lambda: asked.finished_work)
    assert (tmp_path / "x.pb").exists()  # 15 of 16 have their class: other numbers are no alarm
    assert asked.verdict.text().startswith("Exported to")
    assert "first 16 examples of your data" in asked.notes.text()
    assert "Measured before, on 100 examples: top-1 95.0 → 91.0 %." in asked.notes.text()
    enter(qtbot, asked)

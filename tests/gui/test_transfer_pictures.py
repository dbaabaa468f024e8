"""A folder of pictures: what is counted in it, what speaks against it, and that LeNet learns its classes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.transfer import ClassFolder, look, objections
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.transfer.dialog import TransferDialog
from tests.gui.conftest import SAMPLES
from tests.gui.measuring import dialog
from tests.gui.test_window import CTRL, SHIFT, press, settle

LEFT = Qt.MouseButton.LeftButton


# -- the folder, without a window --------------------------------------------------------------------------------------


def test_a_folder_s_classes_are_counted_by_part(pictures: Path) -> None:
    found = look(str(pictures), 10, 20)
    assert [one.name for one in found] == ["large", "small", "none"]
    assert sum(one.count for one in found) == 90
    assert found[0].train > found[0].test > 0
    assert found[2] == ClassFolder("none")
    assert all(one.validation == one.test == 0 for one in look(str(pictures), 0, 0))
    with pytest.raises(CompressorError):
        look(str(pictures / "nowhere"), 10, 10)


def test_folders_that_are_numbers_are_those_classes(pictures: Path) -> None:
    (pictures / "large").rename(pictures / "0")
    (pictures / "small").rename(pictures / "2")
    (pictures / "none").rmdir()
    assert [(one.name, one.count > 0) for one in look(str(pictures), 10, 10)] == [
        ("0", True), ("1", False), ("2", True)
    ]  # fmt: skip


def test_what_speaks_against_pictures_is_said() -> None:
    good = (ClassFolder("a", 80, 10, 10), ClassFolder("b", 18, 1, 1))
    assert objections(good) == ((), ())
    forbids, against = objections((*good, ClassFolder("c", 0, 1, 2), ClassFolder("d")))
    assert forbids == ("all pictures of 'c' validate and test: none is left to train on",)
    assert against == ("no picture in d", "few pictures: c (3); 20 or more of each class are better")
    assert objections(good[:1])[0] == ("at least two sub-folders with pictures are needed, one for each class",)
    assert objections((ClassFolder("a", 50), ClassFolder("b", 50)))[1] == (
        "no picture is for testing: the accuracy will not be known",
    )


# -- the real engine ---------------------------------------------------------------------------------------------------


@pytest.mark.tensorflow
def test_lenet_learns_new_classes(
    qtbot: QtBot, window: MainWindow, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = Path(shutil.copy(SAMPLES / "lenet-5.pb", tmp_path))
    window.open(model)
    qtbot.waitUntil(lambda: window.document.state.source is not None)
    settle(qtbot, window)
    press(qtbot, window, Qt.Key.Key_N, CTRL, SHIFT)
    shown = dialog(window, TransferDialog)
    shown.choose(str(pictures))
    qtbot.waitUntil(lambda: bool(shown.run.classes))
    shown.form.steps.setValue(200)
    shown.form.more.fields["testing_percentage"].editor.setValue(30)
    assert not shown.start_button.isEnabled()  # what the parts are now, is counted first
    qtbot.waitUntil(shown.start_button.isEnabled)
    qtbot.mouseClick(shown.start_button, LEFT)
    qtbot.waitUntil(lambda: not shown.run.is_running, timeout=240_000)
    assert shown.run.error is None
    found = shown.run.found
    assert found.test > 0.8
    counted = {one.name: one.test for one in look(str(pictures), 10, 30)}
    assert found.counts["test"] == sum(counted.values())  # what was shown before is what was tested on
    assert Path(found.labels).read_text() == "large\nsmall\n"
    qtbot.mouseClick(shown.open_button, LEFT)
    qtbot.waitUntil(lambda: str(window.document.state.source.path) == found.graph)
    settle(qtbot, window)
    assert window.document.state.source.graph.outputs == ("final_result",)

"""What the tests of distilling share."""

from __future__ import annotations

from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from compressor_gui.core import pbio
from compressor_gui.core.distilling import Distill, Distilled, Lesson, Measured
from compressor_gui.core.protocol import Done, Piece
from compressor_gui.core.training import Batches, Epoch
from compressor_gui.gui.distill.dialog import DistillDialog
from compressor_gui.gui.main_window import MainWindow
from tests.gui.fake_engine import FakeEngine
from tests.gui.measuring import dialog
from tests.gui.test_window import CTRL, SHIFT, press
from tests.support import conv_net

LEFT = Qt.MouseButton.LeftButton


def open_by_keys(qtbot: QtBot, window: MainWindow) -> DistillDialog:
    """The dialog, once it is known what the students would be."""
    press(qtbot, window, Qt.Key.Key_L, CTRL, SHIFT)
    shown: DistillDialog = dialog(window, DistillDialog)
    qtbot.waitUntil(lambda: all(offer is not None for offer in shown.distiller.offers.values()))
    return shown


def texts(shown: DistillDialog, row: int) -> list[str]:
    return [item.text() for item in (shown.table.item(row, column) for column in range(5)) if item is not None]


def click_student(qtbot: QtBot, shown: DistillDialog, student: str) -> None:
    row = list(shown.distiller.offers).index(student) + 1
    item = shown.table.item(row, 0)
    assert item is not None
    qtbot.mouseClick(shown.table.viewport(), LEFT, pos=shown.table.visualItemRect(item).center())


def lesson(qtbot: QtBot, shown: DistillDialog, engine: FakeEngine, *pieces: Lesson) -> None:
    """Let pieces come, and wait until they are shown."""
    with qtbot.waitSignal(shown.distiller.changed):
        for piece in pieces:
            engine.say(Distill, Piece(piece))


def two_epochs() -> list[Lesson]:
    """The teacher's accuracy, then two epochs of ten batches."""
    epochs = [Lesson(epoch=Epoch(0, at, 2.0 / at, 0.4 * at, 0.0, 1e-3, 1.0)) for at in (1, 2)]
    batches = [Lesson(batches=Batches(0, at, 10 * at, 20, 2.0 / at, 1e-3, 1234.0)) for at in (1, 2)]
    return [Lesson(measured=Measured("top1", 0.3, 0.95)), batches[0], epochs[0], batches[1], epochs[1]]


def answer(engine: FakeEngine, stopped: str = "") -> Distilled:
    """Write a student where it is asked for, and say so."""
    request = engine.find(Distill)[1]
    size = pbio.write_graph(conv_net(), request.output)
    found = Distilled(
        path=request.output, metric="top1", before=0.3, value=0.8, teacher=0.95, weights=200, teacher_weights=2000,
        size=size, teacher_size=10 * size, epochs=(), train_n=8, test_n=2, stopped=stopped, seconds=3.0,
    )  # fmt: skip
    engine.say(Distill, Done(found))
    return found

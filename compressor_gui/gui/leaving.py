"""The question before a training that is under way is ended: by closing the window, or by opening another model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt

from compressor_gui.gui.dialogs import Question
from compressor_gui.gui.training.training_run import TrainingRun

if TYPE_CHECKING:
    from compressor_gui.gui.main_window import MainWindow

_KEPT = "Its last epoch is kept: Start, with the same model, data and choices, goes on from there."
_LOST = "What it has found so far is lost, but for what is in the recipe or saved."


class LeaveDialog(Question):
    """Whether what was asked for happens all the same."""

    def __init__(self, run: TrainingRun, doing: str, title: str, window: MainWindow) -> None:
        words = f"{doing} ends it. {_KEPT if run.can_go_on else _LOST}"
        super().__init__(title, "A training is under way", words, f"{title} all the same", "Go on training", window)


def end_training(window: MainWindow) -> None:
    """End what is under way, for what takes its turn in the engine behind it."""
    for run in window.measurer.findChildren(TrainingRun):
        if run.is_running:
            run.discard()


def may_leave(window: MainWindow) -> bool:
    """Whether the window may close; else the question is on its way, and closes it where it is agreed to."""
    return _may(window, "Quitting", "Quit", window.leave)


def may_open(window: MainWindow, then: Callable[[], object]) -> bool:
    """Whether another model may take the place of the one that is open; else ``then`` follows where it is agreed to."""
    return _may(window, "Opening another model", "Open", then)


def _may(window: MainWindow, doing: str, title: str, then: Callable[[], object]) -> bool:
    """Whether no training is under way; else it is asked whether ``then`` shall follow."""
    run = next((run for run in window.measurer.findChildren(TrainingRun) if run.is_running), None)
    if run is None:
        return True
    dialog = LeaveDialog(run, doing, title, window)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.accepted.connect(then)
    dialog.open()
    return False

"""The question before the window closes while a training is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt

from compressor_gui.gui.dialogs import Question
from compressor_gui.gui.training.training_run import TrainingRun

if TYPE_CHECKING:
    from compressor_gui.gui.main_window import MainWindow

_KEPT = "Its last epoch is kept: Start, with the same model, data and choices, goes on from there."
_LOST = "What it has found so far is lost, but for what is in the recipe or saved."


class LeaveDialog(Question):
    """Whether the window closes all the same."""

    def __init__(self, run: TrainingRun, window: MainWindow) -> None:
        words = f"Quitting ends it. {_KEPT if run.can_go_on else _LOST}"
        super().__init__("Quit", "A training is under way", words, "Quit all the same", "Go on training", window)


def may_leave(window: MainWindow) -> bool:
    """Whether nothing would be lost; else the question is on its way, and closes the window where it is agreed to."""
    run = next((run for run in window.measurer.findChildren(TrainingRun) if run.is_running), None)
    if run is None:
        return True
    dialog = LeaveDialog(run, window)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.accepted.connect(window.leave)
    dialog.open()
    return False

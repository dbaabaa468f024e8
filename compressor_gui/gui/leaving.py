"""The question before the window closes while a training is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog

from compressor_gui.gui.dialogs import Foot, dialog_column
from compressor_gui.gui.retrain.training_run import TrainingRun
from compressor_gui.gui.widgets import paragraph

if TYPE_CHECKING:
    from compressor_gui.gui.main_window import MainWindow

_KEPT = "Its last epoch is kept: Start, with the same model, data and choices, goes on from there."
_LOST = "What it has found so far is lost, but for what is in the recipe or saved."


class LeaveDialog(QDialog):
    """Enter and Escape stay; only a click on *Quit all the same* accepts."""

    def __init__(self, run: TrainingRun, window: MainWindow) -> None:
        super().__init__(window)
        self.setWindowTitle("Quit")
        self.setFixedWidth(440)
        column = dialog_column(self, "A training is under way")
        column.addWidget(paragraph(f"Quitting ends it. {_KEPT if run.can_go_on else _LOST}", "secondary"))
        foot = Foot(self, "Quit all the same", "Go on training")
        self.quit_button, self.stay_button = foot.accept_button, foot.close_button
        self.quit_button.setDefault(False)
        self.quit_button.setAutoDefault(False)
        self.stay_button.setDefault(True)
        column.addLayout(foot)


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

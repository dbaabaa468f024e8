"""A bar that shows how far a job is."""

from __future__ import annotations

from PySide6.QtWidgets import QProgressBar

from compressor_gui.gui.engine_link import RunningJob

_STEPS = 1000


class JobBar(QProgressBar):
    """A bar without numbers; where nobody knows how much there is to do, it only moves."""

    def __init__(self) -> None:
        super().__init__()
        self.setTextVisible(False)

    def show_job(self, job: RunningJob | None) -> None:
        """Show how far a job is (None: it has not begun)."""
        self.show_amount(job.done if job is not None else 0, job.total if job is not None else 0)

    def show_amount(self, done: float, total: float) -> None:
        """Show how much is done; ``total`` is 0 where it is not known."""
        self.setRange(0, _STEPS if total else 0)
        self.setValue(int(_STEPS * done / total) if total else 0)

"""The two stages of a transfer: a line and a bar each."""

from __future__ import annotations

from PySide6.QtWidgets import QGridLayout, QWidget

from compressor_gui.core import units
from compressor_gui.gui.job_bar import JobBar
from compressor_gui.gui.transfer.transferrer import Transferrer
from compressor_gui.gui.widgets import label, paragraph

_TITLES = ("1  Bottlenecks", "2  Training")


class Stages(QWidget):
    """Shows which is under way, and how far."""

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        self.bars, self.words = [], []
        for row, title in enumerate(_TITLES):
            bar, words = JobBar(), paragraph("", "small")
            bar.setAccessibleName(title[3:])
            grid.addWidget(label(title), 2 * row, 0)
            grid.addWidget(bar, 2 * row, 1)
            grid.addWidget(words, 2 * row + 1, 0, 1, 2)
            self.bars.append(bar)
            self.words.append(words)

    def show_run(self, run: Transferrer) -> None:
        """Show how far a run is."""
        for stage, (bar, words) in enumerate(zip(self.bars, self.words, strict=True), 1):
            idle = run.stage < stage
            if run.stage == stage:
                bar.show_job(run.job)
            else:
                bar.show_amount(0 if idle else 1, 1)
            words.setText("" if idle else "done" if run.stage > stage else self._now(run))
        if not run.stage:
            self.words[0].setText("Waits for TensorFlow")

    def _now(self, run: Transferrer) -> str:
        job = run.job
        if job is None:
            return ""
        if run.finishing:
            return "Stopping: what there is, is measured"
        if run.stage == 1:
            of = f"{job.done:,.0f} of {job.total:,.0f} pictures" if job.total else job.message.capitalize()
            copies = job.message.removeprefix("computing ") if "copies" in job.message else ""
            return " · ".join(filter(None, (of, copies)))
        last = run.history[-1] if run.history else None
        if last is None:
            return ""
        told = f", validation {units.percent(last.validation)}" if last.validation is not None else ""
        return f"step {last.step:,} of {last.steps:,} · training pictures {units.percent(last.train)}{told}"

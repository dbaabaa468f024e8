"""The jobs that run in the engine: what, how far, how long still, and cancel."""

from __future__ import annotations

import time

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QToolButton, QVBoxLayout, QWidget

from compressor_gui.gui.engine_link import EngineLink, RunningJob
from compressor_gui.gui.widgets import ElidedLabel, clear, label


class JobsTray(QWidget):
    """One line a job; hidden while there is none."""

    def __init__(self, engine: EngineLink, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("jobsTray")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.engine = engine
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(8, 0, 8, 0)
        self._lines: dict[int, _Line] = {}
        engine.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        if list(self._lines) != list(self.engine.jobs):
            clear(self._row)
            self._lines = {}
            for number in self.engine.jobs:
                self._lines[number] = _Line(self.engine, number)
                self._row.addWidget(self._lines[number])
        for number, line in self._lines.items():
            line.show_job(self.engine.jobs[number])
        self.setVisible(bool(self._lines))


class _Line(QWidget):
    def __init__(self, engine: EngineLink, number: int) -> None:
        super().__init__()
        self.setFixedWidth(280)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        column = QVBoxLayout()
        column.setSpacing(2)
        words = QHBoxLayout()
        self.title = ElidedLabel()
        self.left = label("", "small")
        words.addWidget(self.title, 1)
        words.addWidget(self.left)
        column.addLayout(words)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        column.addWidget(self.bar)
        row.addLayout(column, 1)
        cancel = QToolButton()
        cancel.setText("Cancel")
        cancel.setProperty("role", "flat")
        cancel.clicked.connect(lambda: engine.cancel(number))
        row.addWidget(cancel)

    def show_job(self, job: RunningJob) -> None:
        """Show how far the job is."""
        self.title.set_whole(job.title)
        self.bar.setRange(0, 1000 if job.total else 0)
        if job.total:
            self.bar.setValue(int(1000 * job.done / job.total))
        spent = time.monotonic() - job.started
        rest = spent * (job.total / job.done - 1) if job.done and job.total else 0.0
        self.left.setText(job.message if job.message == "stopping …" else f"{rest:.0f} s left" if rest >= 1 else "")

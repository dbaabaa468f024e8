"""The jobs that run in the engine: what, how far, how long still, and cancel."""

from __future__ import annotations

import time

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QScrollArea, QToolButton, QVBoxLayout, QWidget

from compressor_gui.gui.engine_link import EngineLink, RunningJob
from compressor_gui.gui.widgets import ElidedLabel, clear, label

WIDTH = 404


class JobsTray(QWidget):
    """One line a job, the one that runs first; hidden while there is none."""

    def __init__(self, engine: EngineLink, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("jobsTray")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedWidth(WIDTH)
        self.engine = engine
        inner = QWidget()
        self._column = QVBoxLayout(inner)
        self._column.setContentsMargins(8, 0, 4, 0)
        self._column.setSpacing(0)
        self._column.setAlignment(Qt.AlignmentFlag.AlignVCenter)
        scroll = QScrollArea()
        scroll.setWidget(inner)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self._lines: dict[int, _Line] = {}
        engine.changed.connect(self._show)
        self._show()

    def sizeHint(self) -> QSize:
        """As high as the recipe's row: more than two jobs scroll."""
        return QSize(WIDTH, 52)

    def minimumSizeHint(self) -> QSize:
        """The same."""
        return self.sizeHint()

    def _show(self) -> None:
        if list(self._lines) != list(self.engine.jobs):
            clear(self._column)
            self._lines = {}
            for number in self.engine.jobs:
                self._lines[number] = _Line(self.engine, number)
                self._column.addWidget(self._lines[number])
        first = next(iter(self._lines), None)
        for number, line in self._lines.items():
            line.show_job(self.engine.jobs[number], waits=number != first)
        self.setVisible(bool(self._lines))


class _Line(QWidget):
    def __init__(self, engine: EngineLink, number: int) -> None:
        super().__init__()
        self.setFixedHeight(26)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        self.title = ElidedLabel()
        row.addWidget(self.title, 1)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(64)
        row.addWidget(self.bar)
        self.left = label("", "small")
        self.left.setFixedWidth(64)
        self.left.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.left)
        self.cancel = QToolButton()
        self.cancel.setText("Cancel")
        self.cancel.setProperty("role", "flat")
        self.cancel.clicked.connect(lambda: engine.cancel(number))
        row.addWidget(self.cancel)

    def show_job(self, job: RunningJob, waits: bool) -> None:
        """Show how far the job is; the engine does one at a time, the others wait."""
        self.title.set_whole(job.title)
        self.title.setToolTip(f"{job.title}\n{job.message}".strip())
        self.cancel.setAccessibleName(f"Cancel: {job.title}")
        idle = waits and not job.total
        self.bar.setRange(0, 1000 if job.total or idle else 0)
        self.bar.setValue(int(1000 * job.done / job.total) if job.total else 0)
        if job.message == "stopping …":
            self.left.setText(job.message)
        elif idle:
            self.left.setText("waits")
        else:
            spent = time.monotonic() - job.started
            rest = spent * (job.total / job.done - 1) if job.done and job.total else 0.0
            self.left.setText(f"{rest / 60:.0f} min left" if rest >= 90 else f"{rest:.0f} s left" if rest >= 1 else "")

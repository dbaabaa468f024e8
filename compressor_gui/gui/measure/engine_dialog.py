"""Settings of the engine: the memory it may have, and where accuracy, sensitivity and ranges are measured."""

from __future__ import annotations

from PySide6.QtWidgets import QDialog, QFormLayout, QLineEdit, QWidget

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.memory import parse_bytes
from compressor_gui.gui.dialogs import Foot, dialog_column
from compressor_gui.gui.engine_link import EngineLink
from compressor_gui.gui.measure.data_part import words_of
from compressor_gui.gui.settings import Settings
from compressor_gui.gui.widgets import label, paragraph


class EngineDialog(QDialog):
    """Edits both; what is accepted is remembered."""

    def __init__(self, settings: Settings, engine: EngineLink, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.settings, self.engine = settings, engine
        self.setWindowTitle("Engine")
        self.setMinimumWidth(460)
        column = dialog_column(self, "The process that runs TensorFlow")
        form = QFormLayout()
        form.setHorizontalSpacing(16)
        form.setVerticalSpacing(8)
        self.memory = QLineEdit(settings.engine_memory)
        self.memory.setPlaceholderText("no limit; for example 4GB")
        self.memory.setAccessibleName("Memory")
        self.scheduler = QLineEdit(settings.scheduler)
        self.scheduler.setPlaceholderText("this computer; or tcp://… of a Dask cluster")
        self.scheduler.setAccessibleName("Scheduler")
        form.addRow(label("Memory"), self.memory)
        form.addRow(label("Measure on"), self.scheduler)
        column.addLayout(form)
        words = paragraph(
            "A process that takes more memory is ended and says so. It holds from its next start.", "secondary"
        )
        column.addWidget(words)
        self.problem = paragraph("", "error")
        self.problem.hide()
        column.addWidget(self.problem)
        column.addStretch(1)
        foot = Foot(self, "Use")
        self.use_button = foot.accept_button
        column.addLayout(foot)

    def accept(self) -> None:
        """Remember both, where they make sense."""
        memory, scheduler = self.memory.text().strip(), self.scheduler.text().strip()
        try:
            limit = parse_bytes(memory or "0", "Memory")
            if scheduler and "://" not in scheduler and not scheduler.startswith("processes:"):
                raise CompressorError(
                    f"{scheduler!r} is no scheduler", hint="write tcp://host:port, or processes:2 for two of your own"
                )
        except CompressorError as error:
            self.problem.setText(words_of(error))
            self.problem.show()
            return
        self.settings.engine_memory, self.settings.scheduler = memory, scheduler
        self.engine.client.memory_bytes = limit
        super().accept()

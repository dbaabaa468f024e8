"""Export: written beside the target, loaded and run by stock TensorFlow in the engine, then moved over the target."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from PySide6.QtCore import QStandardPaths, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from compressor_gui.core import pbio, units
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import CheckExport, ExportCheck
from compressor_gui.core.trust import untrusted_ops
from compressor_gui.gui.dialogs import dialog_column
from compressor_gui.gui.document import Document
from compressor_gui.gui.engine_link import EngineLink
from compressor_gui.gui.job_bar import JobBar
from compressor_gui.gui.samples import sample_data
from compressor_gui.gui.state import Made, Source
from compressor_gui.gui.widgets import ElidedLabel, clear, label, paragraph


class ExportDialog(QDialog):
    """Asks where to, shows the work, then what was measured. ``exported`` has the target and the check."""

    exported = Signal(Path, object)

    def __init__(self, document: Document, engine: EngineLink, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        state = document.state
        assert state.source is not None
        assert state.made is not None
        self.document, self.engine = document, engine
        self.source: Source = state.source
        self.made: Made = state.made
        self._temporary: Path | None = None
        self._job: int | None = None
        self.check: ExportCheck | None = None
        self.setWindowTitle("Export")
        self.setMinimumSize(560, 320)
        column = dialog_column(self, "Export the compressed graph")
        sizes = f"{units.size(self.source.size)} → {units.size(self.made.size)}"
        column.addWidget(label(f"{sizes}, {len(self.made.graph):,} nodes", "secondary"))
        self.pages = QStackedWidget()
        column.addWidget(self.pages, 1)
        self._ask_page = self._build_ask()
        self._work_page = self._build_work()
        self._result_page = self._build_result()
        for page in (self._ask_page, self._work_page, self._result_page):
            self.pages.addWidget(page)

    # -- asking --------------------------------------------------------------------------------------------------

    def _build_ask(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(label("File"))
        row = QHBoxLayout()
        self.target = QLineEdit(str(_folder(self.source.path) / f"{self.source.path.stem}-compressed.pb"))
        self.target.setAccessibleName("File to export to")
        self.target.textChanged.connect(self._check_target)
        row.addWidget(self.target, 1)
        browse = QPushButton("Browse …")
        browse.setAutoDefault(False)
        browse.clicked.connect(self._browse)
        row.addWidget(browse)
        column.addLayout(row)
        self.with_recipe = QCheckBox("Save the recipe beside it (.recipe.json)")
        self.with_recipe.setChecked(True)
        column.addWidget(self.with_recipe)
        found = (*untrusted_ops(self.source.graph), *untrusted_ops(self.made.graph))
        names = ", ".join(sorted({op for _, op in found})[:4])
        self.allow = QCheckBox(
            f"This graph may read or write files or run code ({names}): run it to check all the same"
        )
        self.allow.setVisible(bool(found))
        column.addWidget(self.allow)
        words = paragraph(
            "The file is written beside the target, loaded and run by TensorFlow on the same input as the original, "
            "and moved over the target when that went well. The original is never touched.",
            "secondary",
        )
        column.addWidget(words)
        self.problem = paragraph("", "error")
        column.addWidget(self.problem)
        column.addStretch(1)
        row = QHBoxLayout()
        row.addStretch(1)
        cancel = QPushButton("Cancel")
        cancel.setAutoDefault(False)
        cancel.clicked.connect(self.reject)
        self.export_button = QPushButton("Export")
        self.export_button.setDefault(True)
        self.export_button.clicked.connect(self.start)
        row.addWidget(cancel)
        row.addWidget(self.export_button)
        column.addLayout(row)
        return page

    def _browse(self) -> None:
        kinds = "Frozen graph (*.pb);;Text graph (*.pbtxt)"
        path, _ = QFileDialog.getSaveFileName(self, "Export to", self.target.text(), kinds)
        if path:
            self.target.setText(path)

    def _check_target(self) -> None:
        path = Path(self.target.text())
        try:
            if not self.target.text().strip() or path.is_dir():
                raise CompressorError("name a file")
            if not path.parent.is_dir():
                raise CompressorError("there is no such folder", where=str(path.parent))
            pbio.refuse_source(path, self.source.path)
        except CompressorError as error:
            self.problem.setText(str(error))
        else:
            self.problem.setText("")
        self.export_button.setEnabled(not self.problem.text())

    # -- working -------------------------------------------------------------------------------------------------

    def _build_work(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addStretch(1)
        self.doing = label("")
        column.addWidget(self.doing)
        self.bar = JobBar()
        self.bar.show_job(None)
        column.addWidget(self.bar)
        self.detail = paragraph("", "secondary")
        column.addWidget(self.detail)
        column.addStretch(2)
        row = QHBoxLayout()
        row.addStretch(1)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.clicked.connect(self.reject)
        row.addWidget(self.cancel_button)
        column.addLayout(row)
        return page

    def start(self) -> None:
        """Write the file beside its target, in the background."""
        self._check_target()
        if self.problem.text():
            return
        self.pages.setCurrentWidget(self._work_page)
        self.doing.setText("Writing …")
        self.detail.setText(self.target.text())
        write = partial(pbio.write_beside, self.made.graph, self.target.text())
        self.document.background.run(write, self._written, self._failed)

    def _written(self, temporary: Path) -> None:
        self._temporary = temporary
        if not self.isVisible():  # cancelled meanwhile
            self._discard()
            return
        self.doing.setText("Running original and export in TensorFlow …")
        self.detail.setText("The first check starts TensorFlow, which takes a few seconds.")
        request = CheckExport(
            str(self.source.path),
            str(temporary),
            self.source.graph.outputs,
            self.made.graph.outputs,
            allow_unsafe_ops=self.allow.isChecked(),
            original_sha256=self.source.sha256,
        )
        self.engine.changed.connect(self._progress)
        title = f"Checking {Path(self.target.text()).name}"
        self._job = self.engine.submit(request, title, self._checked, self._failed, self._cancelled)

    def _progress(self) -> None:
        job = self.engine.jobs.get(self._job or -1)
        if job is not None and job.total:
            self.bar.show_job(job)
            self.detail.setText(job.message)

    def _ended(self) -> None:
        if self._job is not None:
            self._job = None
            self.engine.changed.disconnect(self._progress)

    def _checked(self, result: object) -> None:
        self._ended()
        assert isinstance(result, ExportCheck)
        self.check = result
        if result.passed:
            self.keep()
        else:
            self._show_result("An output is not what the original's is. Nothing was exported yet.", "error", ask=True)

    def _failed(self, error: Exception) -> None:
        self._ended()
        if not isinstance(error, CompressorError):
            raise error
        if self._temporary is None:
            self._show_result(str(error), "error", ask=False)
        else:
            self._show_result(f"The check failed, and nothing was exported yet: {error}", "error", ask=True)

    def _cancelled(self) -> None:
        self._ended()
        self._discard()

    def _discard(self) -> None:
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            self._temporary = None

    # -- the result ----------------------------------------------------------------------------------------------

    def _build_result(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        self.verdict = paragraph("", "good")
        column.addWidget(self.verdict)
        self._table = QGridLayout()
        self._table.setHorizontalSpacing(24)
        self._table.setVerticalSpacing(4)
        self._table.setColumnStretch(0, 1)
        column.addLayout(self._table)
        self.notes = paragraph("", "secondary")
        column.addWidget(self.notes)
        column.addStretch(1)
        row = QHBoxLayout()
        row.addStretch(1)
        self.discard_button = QPushButton("Discard")
        self.discard_button.clicked.connect(self.reject)
        self.keep_button = QPushButton("Export all the same")
        self.keep_button.clicked.connect(self.keep)
        self.close_button = QPushButton("Close")
        self.close_button.clicked.connect(self.accept)
        for button in (self.discard_button, self.keep_button, self.close_button):
            row.addWidget(button)
        column.addLayout(row)
        return page

    def keep(self) -> None:
        """Move the written file over the target, and save the recipe."""
        assert self._temporary is not None
        target = Path(self.target.text())
        temporary, self._temporary = self._temporary, None
        try:
            pbio.move_over(temporary, target, self.source.path)
            if self.with_recipe.isChecked():
                self.made.recipe.save(target.with_suffix(".recipe.json"))
        except CompressorError as error:
            self._show_result(str(error), "error", ask=False)
            return
        if self.check is not None and self.check.warning:
            self._show_result(f"Exported to {target}, but {self.check.warning}", "warning", ask=False)
        else:
            self._show_result(f"Exported to {target}", "good", ask=False)
        self.exported.emit(target, self.check)

    def _show_result(self, verdict: str, role: str, ask: bool) -> None:
        self.verdict.setText(verdict)
        self.verdict.setProperty("role", role)
        self.verdict.style().polish(self.verdict)
        self.discard_button.setVisible(ask)
        self.keep_button.setVisible(ask)
        self.close_button.setVisible(not ask)
        clear(self._table)
        if self.check is not None:
            for at, text in enumerate(("output", "SQNR", "same top class")):
                head = label(text, "heading")
                self._table.addWidget(
                    head, 0, at, Qt.AlignmentFlag.AlignLeft if at == 0 else Qt.AlignmentFlag.AlignRight
                )
            for row, output in enumerate(self.check.outputs[:12], 1):
                agreement = output.argmax_agreement
                sqnr = "equal" if output.equal else "not finite" if not output.finite else f"{output.sqnr_db:.1f} dB"
                self._table.addWidget(ElidedLabel(output.name), row, 0)
                self._table.addWidget(label(sqnr), row, 1, Qt.AlignmentFlag.AlignRight)
                share = label("–" if agreement is None else units.percent(agreement))
                self._table.addWidget(share, row, 2, Qt.AlignmentFlag.AlignRight)
            notes = [*self.check.notes, *filter(None, [self.check.left_out])]
            if self.check.inputs:
                notes.append(f"Measured on synthetic input: {', '.join(self.check.inputs[:3])}.")
            self.notes.setText("\n".join(notes))
        self.pages.setCurrentWidget(self._result_page)

    @property
    def finished_work(self) -> bool:
        """Whether there is a result to read."""
        return self.pages.currentWidget() is self._result_page

    def done(self, result: int) -> None:
        """Close; whatever was not kept is removed."""
        if self._job is not None:
            self.engine.cancel(self._job)
        else:
            self._discard()
        super().done(result)


def _folder(source: Path) -> Path:
    """Where an export is offered to go: beside the model, or to the documents where that is no place to write."""
    if os.access(source.parent, os.W_OK) and sample_data(source) is None:
        return source.parent
    return Path(QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation) or Path.home())

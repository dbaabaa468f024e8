"""Export: written beside the target, loaded and run by stock TensorFlow in the engine, then moved over the target."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QDialog, QPushButton, QStackedWidget, QWidget

from compressor_gui.core import pbio, units
from compressor_gui.core.advice import advice
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import CheckExport, ExportCheck
from compressor_gui.core.trust import untrusted_ops
from compressor_gui.gui.dialogs import dialog_column
from compressor_gui.gui.document import Document
from compressor_gui.gui.engine_link import EngineLink
from compressor_gui.gui.export_pages import Page, ResultPage
from compressor_gui.gui.export_target import ExportTarget, replacing, stamp
from compressor_gui.gui.job_bar import JobBar
from compressor_gui.gui.measure.words import headline
from compressor_gui.gui.state import Made, Source
from compressor_gui.gui.widgets import button, label, paragraph, sentence


class ExportDialog(QDialog):
    """Asks where to, shows the work, then what was measured. ``exported`` has the target and the check.

    ``over`` tells that it is closed and that none of its work is under way any more: who opened it may delete it then.
    """

    exported = Signal(Path, object)
    over = Signal()

    def __init__(self, document: Document, engine: EngineLink, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        state = document.state
        assert state.source is not None
        assert state.made is not None
        self.document, self.engine = document, engine
        self.source: Source = state.source
        self.made: Made = state.made
        self._temporary: Path | None = None
        self._writing = self._closed = False
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
        self._question_page = self._build_question()
        self._work_page = self._build_work()
        self._result_page = self._build_result()
        for page in (self._ask_page, self._question_page, self._work_page, self._result_page):
            self.pages.addWidget(page)
        self._ask()

    # -- asking --------------------------------------------------------------------------------------------------

    def _build_ask(self) -> Page:
        self.export_button = button("Export", self.start, enter=True)
        page = Page((button("Cancel", self.reject), self.export_button), spacing=8)
        self.place = ExportTarget(self.source.path)
        self.target, self.problem = self.place.field, self.place.problem
        self.place.changed.connect(self._place_changed)
        self._place_changed()
        self.with_recipe = QCheckBox("Save the recipe beside it (.recipe.json)")
        self.with_recipe.setChecked(True)
        found = (*untrusted_ops(self.source.graph), *untrusted_ops(self.made.graph))
        names = ", ".join(sorted({op for _, op in found})[:4])
        self.allow = QCheckBox(
            f"This graph may read or write files or run code ({names}): run it to check all the same"
        )
        fed = "on examples of your data" if self.document.state.data else "on made-up inputs"
        words = paragraph(
            f"The file is written beside the target, loaded and run by TensorFlow {fed} as the original is, and moved "
            "over the target when that went well. The original is never touched.",
            "secondary",
        )
        for widget in (self.place, self.with_recipe, self.allow, words):
            page.column.addWidget(widget)
        self.allow.setVisible(bool(found))
        page.column.addStretch(1)
        return page

    def _build_question(self) -> Page:
        self.back_button = button("&Back", self._ask, enter=True)
        self.replace_button = button("&Replace", self._write, enter=True)
        page = Page((self.back_button, self.replace_button))
        self.question = paragraph("", "warning")
        page.column.addWidget(self.question)
        page.column.addStretch(1)
        return page

    def _place_changed(self) -> None:
        self.export_button.setEnabled(self.place.fits)

    def _ask(self) -> None:
        self._show(self._ask_page, self.export_button)
        self.target.setFocus()

    def _show(self, page: QWidget, default: QPushButton | None) -> None:
        """Show a page, whose button ``default`` Enter presses."""
        for one in self.findChildren(QPushButton):
            one.setDefault(one is default)
        self.pages.setCurrentWidget(page)
        if default is not None and page is not self._ask_page:
            default.setFocus()

    @property
    def _recipe_path(self) -> Path:
        return self.place.path.with_suffix(".recipe.json")

    def _replaced(self) -> list[Path]:
        """The files that are there and that were not written for this model since it was opened."""
        written = self.document.state.exported
        files = [self.place.path, *([self._recipe_path] if self.with_recipe.isChecked() else [])]
        return [path for path in files if stamp(path) not in (None, written.get(path))]

    # -- working -------------------------------------------------------------------------------------------------

    def _build_work(self) -> Page:
        self.cancel_button = button("Cancel", self.reject)
        page = Page((self.cancel_button,))
        self.doing = label("")
        self.bar = JobBar()
        self.bar.show_job(None)
        self.detail = paragraph("", "secondary")
        page.column.addStretch(1)
        for widget in (self.doing, self.bar, self.detail):
            page.column.addWidget(widget)
        page.column.addStretch(2)
        return page

    def start(self) -> None:
        """Write the file, once it is known that nothing of the user's is in its way."""
        if not self.place.check():
            return
        replaced = self._replaced()
        if not replaced:
            self._write()
            return
        self.question.setText(replacing(replaced))
        self._show(self._question_page, self.back_button)

    def _write(self) -> None:
        """Write the file beside its target, in the background."""
        self._show(self._work_page, None)
        self.doing.setText("Writing …")
        self.detail.setText(str(self.place.path))
        write = partial(pbio.write_beside, self.made.graph, self.place.path)
        self._writing = True
        self.document.background.run(write, self._written, self._failed)

    def _written(self, temporary: Path) -> None:
        self._writing, self._temporary = False, temporary
        if self._closed:
            self._leave()
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
            data=self.document.state.data,
        )
        self.engine.changed.connect(self._progress)
        title = f"Checking {self.place.path.name}"
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
        if self._closed:  # the answer overtook the cancel
            self._leave()
            return
        assert isinstance(result, ExportCheck)
        self.check = result
        warning = self._warning()
        if not result.passed:
            self._show_result("An output is not what the original's is. Nothing was exported yet.", "error", ask=True)
        elif warning:
            self._show_result(f"{sentence(warning)} Nothing was exported yet.", "warning", ask=True)
        else:
            self.keep()

    def _warning(self) -> str:
        return self.check.warning(advice(self.made.recipe.active)) if self.check is not None else ""

    def _failed(self, error: Exception) -> None:
        self._writing = False
        self._ended()
        if self._closed:
            self._leave()
        if not isinstance(error, CompressorError):
            raise error
        if self._closed:
            return
        if self._temporary is None:
            self._show_result(str(error), "error", ask=False)
        else:
            self._show_result(f"The check failed, and nothing was exported yet: {error}", "error", ask=True)

    def _cancelled(self) -> None:
        self._ended()
        self._leave()

    def _leave(self) -> None:
        """Remove what was not kept, and tell that this is over where it is closed."""
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            self._temporary = None
        if self._closed:
            self.over.emit()

    # -- the result ----------------------------------------------------------------------------------------------

    def _build_result(self) -> ResultPage:
        self.discard_button = button("Discard", self.reject, enter=True)
        self.keep_button = button("Export all the same", self.keep, enter=True)
        self.close_button = button("Close", self.accept, enter=True)
        page = ResultPage((self.discard_button, self.keep_button, self.close_button))
        self.verdict, self.notes = page.verdict, page.notes
        return page

    def keep(self) -> None:
        """Move the written file over the target, and save the recipe."""
        assert self._temporary is not None
        target = self.place.path
        temporary, self._temporary = self._temporary, None
        try:
            pbio.move_over(temporary, target, self.source.path)
        except CompressorError as error:
            self._show_result(str(error), "error", ask=False)
            return
        files, problem = [target], ""
        if self.with_recipe.isChecked():
            try:
                self.made.recipe.save(self._recipe_path)
                files.append(self._recipe_path)
            except CompressorError as error:
                problem = str(error)
        written = {path: found for path in files if (found := stamp(path)) is not None}
        self.document.set(exported={**self.document.state.exported, **written})
        if problem:
            self._show_result(f"Exported to {target}, but its recipe could not be saved: {problem}", "error", ask=False)
        elif warning := self._warning():
            self._show_result(f"Exported to {target}, but {warning}.", "warning", ask=False)
        else:
            self._show_result(f"Exported to {target}", "good", ask=False)
        self.exported.emit(target, self.check)

    def _show_result(self, verdict: str, role: str, ask: bool) -> None:
        self._result_page.say(verdict, role)
        self.discard_button.setVisible(ask)
        self.keep_button.setVisible(ask)
        self.close_button.setVisible(not ask)
        if self.check is not None:
            self._result_page.show_check(self.check)
            self.notes.setText("\n".join(self._notes(self.check)))
        self._show(self._result_page, self.discard_button if ask else self.close_button)

    def _notes(self, check: ExportCheck) -> list[str]:
        """What the numbers were measured on, and what else is known of this recipe."""
        notes = [sentence(note) for note in (*check.notes, check.left_out) if note]
        if check.examples:
            notes.append(f"Measured on the first {check.fed} of your data.")
        elif check.inputs:
            inputs = ", ".join(check.inputs[:3])
            hint = "" if self.document.state.data else " With data chosen (Measure), it runs on examples of them."
            notes.append(f"Measured on {check.fed}, which are no pictures of your data: {inputs}.{hint}")
        state = self.document.state
        known = state.measured.evaluation(self.made.recipe, state.data)
        if known is not None and not known.is_stale(self.made.recipe, state.data):
            notes.append(
                f"Measured before, on {units.counted(known.value.accuracy.n, 'example')}: {headline(known.value)}."
            )
        return notes

    @property
    def asks_to_replace(self) -> bool:
        """Whether it waits to be told that files may be replaced."""
        return self.pages.currentWidget() is self._question_page

    @property
    def kept(self) -> bool:
        """Whether there is nothing written that waits to be moved over the target."""
        return self._temporary is None

    @property
    def finished_work(self) -> bool:
        """Whether there is a result to read."""
        return self.pages.currentWidget() is self._result_page

    def done(self, result: int) -> None:
        """Close; whatever was not kept is removed, once nobody works on it any more."""
        super().done(result)
        self._closed = True
        if self._job is not None:
            self.engine.cancel(self._job)
        elif not self._writing:
            self._leave()

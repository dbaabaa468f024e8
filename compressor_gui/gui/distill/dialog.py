"""Distilling: a student is chosen by its size, taught while its curves grow, then opened, saved or compared.

It is a dialog and not a part of the Retrain panel because its result is another network, not a step of the recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.core.errors import CompressorError
from compressor_gui.gui.dialogs import Foot, dialog_column
from compressor_gui.gui.distill.curves import LessonCurves
from compressor_gui.gui.distill.distiller import Distiller, Taught
from compressor_gui.gui.distill.form import LessonForm
from compressor_gui.gui.distill.students_table import StudentsTable
from compressor_gui.gui.job_bar import JobBar
from compressor_gui.gui.measure.data_part import words_of
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.training.data_choice import DataChoice
from compressor_gui.gui.training.forms import Scrolled
from compressor_gui.gui.training.words import METRICS, change_words, time_words, value_words
from compressor_gui.gui.widgets import button, paragraph, restyle, sentence

_STUDENTS = "Frozen graphs and Keras files (*.pb *.pbtxt *.keras *.h5);;All files (*)"
_GRAPHS = "Frozen graph (*.pb)"
_INTRO = (
    "A small network learns from this one's answers, which say more of each example than its label does. Choose one by "
    "its size; it is fed and asked as this one is, so that it can take its place."
)
_EMPTY = "What the student learns is drawn here, epoch by epoch, with the teacher's accuracy as a line."
_SIDE = 350
"""Pixels of the right column: it stays as it is whatever is told in it."""
_NO_DATA = "Teaching needs examples of yours: choose data."


class DistillDialog(QDialog):
    """Shows the document's lessons; one that runs goes on when this is closed, and is shown when it is opened again.

    ``compared(path)``: the student in this file is to stand beside its teacher.
    """

    compared = Signal(object)

    def __init__(self, distiller: Distiller, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.distiller, self.document, self.theme = distiller, distiller.document, theme
        self.setWindowTitle("Distil")
        self.resize(940, 600)
        self._build()
        distiller.changed.connect(self._show)
        distiller.unsaved.connect(self._unsaved)
        self.choice.changed.connect(self._show)
        self.document.changed.connect(self._document_changed)
        self._show()
        distiller.look()

    def _build(self) -> None:
        column = dialog_column(self, "A small network taught by this one")
        self.words = paragraph(_INTRO, "secondary")
        column.addWidget(self.words)
        middle = QHBoxLayout()
        middle.setSpacing(24)
        middle.addLayout(self._build_students(), 1)
        middle.addWidget(self._build_lesson())
        column.addLayout(middle, 1)
        self.save_button = button("Save …", self._save, "Write the student to a file")
        self.compare_button = button("Compare", self._compare, "Teacher and student side by side")
        foot = Foot(self, "Open the student …", "Close", [self.save_button, self.compare_button])
        self.close_button, self.open_button = foot.close_button, foot.accept_button
        self.close_button.setToolTip("A lesson that runs goes on")
        self.open_button.setToolTip("Write it to a file, and open that in this window")
        column.addLayout(foot)

    def _build_students(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(8)
        self.table = StudentsTable(self.distiller, self.theme)
        self.table.chosen.connect(self._show_lesson)
        column.addWidget(self.table)
        self.file_button = button("A student from a file …", self._ask_file, "Any frozen graph, or a Keras file")
        self.file_button.setProperty("role", "link")
        column.addWidget(self.file_button)
        self.empty = paragraph(_EMPTY, "secondary")
        column.addWidget(self.empty)
        self.curves = LessonCurves(self.theme)
        column.addWidget(self.curves)
        column.addStretch(1)
        return column

    def _build_lesson(self) -> QWidget:
        side = QWidget()
        side.setFixedWidth(_SIDE)
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        self.choice = DataChoice(self.distiller.measurer, self.theme, self)
        self.form = LessonForm(self.choice)
        column.addWidget(Scrolled(self.form))
        row = QHBoxLayout()
        self.start_button = button("Start", self.start, "")
        self.stop_button = button(
            "Stop and keep", self.distiller.finish, "Stop after the batch under way, and keep what was learnt"
        )
        self.cancel_button = button(
            "Cancel", self.distiller.discard, "Stop without a student; the same lesson would go on from its last epoch"
        )
        for one in (self.start_button, self.stop_button, self.cancel_button):
            row.addWidget(one)
        row.addStretch(1)
        column.addLayout(row)
        self.bar = JobBar()
        column.addWidget(self.bar)
        self.state, self.outcome = paragraph("", "small"), paragraph("", "error")
        column.addWidget(self.state)
        column.addWidget(self.outcome)
        column.addStretch(1)
        return side

    # -- the lesson --------------------------------------------------------------------------------------------------

    def _ask_file(self) -> None:
        folder = self.distiller.measurer.settings.folder
        path, _ = QFileDialog.getOpenFileName(self, "A student", folder, _STUDENTS)
        if path:
            self.distiller.add(path)
            self.table.choose(path)

    def start(self) -> None:
        """Begin with the student that is chosen, or first choose data."""
        data = self.choice.data
        if data is None:
            self.choice.ask()
            return
        try:
            self.distiller.ask(self.table.student, self.form.request(data, self.choice.test))
        except CompressorError as error:
            self._say(words_of(error))
        else:
            self.cancel_button.setFocus()

    def _document_changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            self.reject()

    def _show(self) -> None:
        self.table.show_students(self.choice.data, self.choice.test)
        self._show_lesson()

    def _show_lesson(self) -> None:
        run, data = self.distiller, self.choice.data
        going, student = run.is_running, self.table.student
        told = bool(run.course.losses or run.course.epochs)
        self.empty.setVisible(not told)
        self.curves.setVisible(told)
        if told:
            self.curves.show_course(run.course, run.measured)
        self.form.setEnabled(not going)
        self.start_button.setVisible(not going)
        self.start_button.setText("Start" if data is not None else "Choose data …")
        self.start_button.setEnabled(bool(student) or data is None)
        for widget in (self.stop_button, self.cancel_button, self.bar):
            widget.setVisible(going)
        self.stop_button.setEnabled(told and not run.finishing)
        taught = run.taught.get(student)
        usable = taught is not None and not going
        for one in (self.save_button, self.compare_button, self.open_button):
            one.setEnabled(usable)
        self.open_button.setDefault(usable)
        self.start_button.setDefault(not usable and not going)
        if going:
            self._show_progress()
        elif taught is not None and run.error is None:
            self._show_taught(taught)
        else:
            self.state.setText("" if data is not None else _NO_DATA)
            problem = run.error or self.choice.problem
            self._say(words_of(problem) if problem is not None else "")

    def _show_progress(self) -> None:
        run = self.distiller
        job, last = run.job, run.course.last
        self.bar.show_job(job)
        self._say("")
        if run.finishing:
            self.state.setText("Stopping: what there is, is measured")
        elif last is None:
            self.state.setText((job.message if job is not None else "").capitalize() or "Waits for TensorFlow")
        else:
            self.state.setText(f"Epoch {last.epoch} · {last.examples_per_second:,.0f} examples a second")

    def _show_taught(self, taught: Taught) -> None:
        found = taught.found
        value = f"{METRICS[found.metric]} {value_words(found.metric, found.value)}"
        words = f"{units.size(found.size)}, {found.teacher_size / max(found.size, 1):.3g} times smaller: {value}"
        if found.teacher is not None:
            change = change_words(found.metric, found.value, found.teacher) or "no point"
            words += f", the teacher's is {value_words(found.metric, found.teacher)} ({change})"
        self._say(sentence(words), "good")
        epochs = units.counted(len(found.epochs), "epoch")
        more = (*found.notes, found.stopped, found.left_out)
        counts = f"{epochs} in {time_words(found.seconds)} · {found.train_n:,} examples, {found.test_n:,} to test on."
        self.state.setText(" ".join((counts, *(sentence(one) for one in more if one))))

    def _say(self, text: str, role: str = "error") -> None:
        self.outcome.setText(text)
        self.outcome.setVisible(bool(text))
        restyle(self.outcome, role=role)

    # -- what becomes of a student -------------------------------------------------------------------------------------

    def _ask(self, then: Callable[[Path], None]) -> None:
        """Where the student is to go; ``then`` is told once it is there."""
        source, taught = self.document.state.source, self.distiller.taught[self.table.student]
        assert source is not None
        start = str(source.path.with_name(Path(taught.found.path).name))
        path, _ = QFileDialog.getSaveFileName(self, "Save the student", start, _GRAPHS)
        if path:
            self.distiller.save(self.table.student, Path(path), then)

    def _unsaved(self, error: CompressorError) -> None:
        self._say(words_of(error))

    def _save(self) -> None:
        self._ask(self.distiller.saved.emit)

    def accept(self) -> None:
        """Open the student; another model that is open closes this."""
        self._ask(self.distiller.opened.emit)

    def _compare(self) -> None:
        path = self.distiller.taught[self.table.student].found.path
        super().accept()
        self.compared.emit(Path(path))

    def done(self, result: int) -> None:
        """Close."""
        self.distiller.changed.disconnect(self._show)
        self.distiller.unsaved.disconnect(self._unsaved)
        self.document.changed.disconnect(self._document_changed)
        super().done(result)

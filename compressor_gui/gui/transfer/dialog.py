"""New classes for the network that is open: a folder of pictures, a run in two stages, and the network it makes."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.transfer import Transfer, Transferred, objections, too_much
from compressor_gui.gui.dialogs import Foot, Question, dialog_column
from compressor_gui.gui.export_target import replacing
from compressor_gui.gui.measure.data_dialog import dropped_path
from compressor_gui.gui.measure.data_part import words_of
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.training.curve import Curve, marks
from compressor_gui.gui.training.forms import Scrolled
from compressor_gui.gui.training.words import time_words
from compressor_gui.gui.transfer.classes_table import ClassesTable
from compressor_gui.gui.transfer.form import TransferForm, labels_beside
from compressor_gui.gui.transfer.stages import Stages
from compressor_gui.gui.transfer.transferrer import Transferrer
from compressor_gui.gui.widgets import button, paragraph, restyle, sentence

_INTRO = (
    "The network stays as it is up to its last layer; a new last layer learns the classes of a folder of pictures, "
    "which has a sub-folder for each class."
)
_EMPTY = "Drop a folder of pictures here, or choose one: its classes and their pictures are listed here then."
_HEIGHT = 110
_SIDE = 360
"""Pixels of the right column: it stays as it is whatever is told in it."""


class TransferDialog(QDialog):
    """Shows the document's run; it goes on when this is closed. ``opened(path)``: the user wants the new network."""

    opened = Signal(object)

    def __init__(self, transferrer: Transferrer, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.run, self.document, self.theme = transferrer, transferrer.document, theme
        self.setWindowTitle("New classes")
        self.setAcceptDrops(True)
        self.resize(900, 600)
        self._shown: object = None
        """The description of pictures that the form shows."""
        self._build()
        if self.run.request is not None:
            self.form.set_target(Path(self.run.request.output_graph))
        elif self.run.spec is not None:
            self.form.set_target(self._free_target(Path(self.run.spec.path)))
        self.run.changed.connect(self._show)
        self.document.changed.connect(self._document_changed)
        theme.changed.connect(self._show)
        self._show()

    def _build(self) -> None:
        column = dialog_column(self, "New classes for this network")
        intro = paragraph(_INTRO, "secondary")
        column.addWidget(intro)
        row = QHBoxLayout()
        self.path = QLineEdit(self.run.spec.path if self.run.spec is not None else "")
        self.path.setAccessibleName("Folder of pictures")
        self.path.setPlaceholderText("A folder with a sub-folder of pictures for each class")
        self.path.editingFinished.connect(self._path_edited)
        self.folder_button = button("Folder …", self._ask_folder)
        row.addWidget(self.path, 1)
        row.addWidget(self.folder_button)
        column.addLayout(row)
        middle = QHBoxLayout()
        middle.setSpacing(24)
        middle.addLayout(self._build_classes(), 1)
        middle.addWidget(self._build_run())
        column.addLayout(middle, 1)
        foot = Foot(self, "Open the new network", "Close")
        self.close_button, self.open_button = foot.close_button, foot.accept_button
        self.close_button.setToolTip("A run that is under way goes on")
        self.open_button.setToolTip("In this window, instead of this one")
        column.addLayout(foot)

    def _build_classes(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(8)
        self.empty = paragraph(_EMPTY, "secondary")
        self.table = ClassesTable(self.theme)
        self.warnings = paragraph("", "warning")
        self.curve = Curve(self.theme, "validation", _HEIGHT, margin=0)
        self.curve.set_axis(on=True)
        self.curve.plot.setToolTip("Right answers by step: strong on the pictures that validate, pale on training ones")
        for widget in (self.empty, self.table, self.warnings, self.curve):
            column.addWidget(widget)
        column.addStretch(1)
        return column

    def _build_run(self) -> QWidget:
        side = QWidget()
        side.setFixedWidth(_SIDE)
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        self.form = TransferForm()
        self.form.parts_changed.connect(lambda: self.run.count(*self.form.parts))
        column.addWidget(Scrolled(self.form))
        row = QHBoxLayout()
        self.start_button = button("Start", self.start)
        tip = "Stop training, and write the step that validated best"
        self.stop_button = button("Stop and keep", self.run.finish, tip)
        tip = "Stop; bottlenecks that are computed stay for the next run"
        self.cancel_button = button("Cancel", self.run.discard, tip)
        for one in (self.start_button, self.stop_button, self.cancel_button):
            row.addWidget(one)
        row.addStretch(1)
        column.addLayout(row)
        self.stages = Stages()
        column.addWidget(self.stages)
        self.outcome, self.more = paragraph("", "good"), paragraph("", "small")
        column.addWidget(self.outcome)
        column.addWidget(self.more)
        column.addStretch(1)
        return side

    # -- the pictures ------------------------------------------------------------------------------------------------

    def _ask_folder(self) -> None:
        start = self.path.text() or self.run.measurer.settings.folder
        path = QFileDialog.getExistingDirectory(self, "Pictures, a sub-folder for each class", start)
        if path:
            self.choose(path)

    def _path_edited(self) -> None:
        path = self.path.text().strip()
        if path and not (self.run.spec is not None and Path(path) == Path(self.run.spec.path)):
            self.choose(path)

    def choose(self, folder: str) -> None:
        """Look at a folder of pictures."""
        if self.run.is_running:
            return
        self.path.setText(folder)
        self.form.set_target(self._free_target(Path(folder)))
        self.run.choose(folder, *self.form.parts)

    def _free_target(self, folder: Path) -> Path:
        """A file beside the model that is not there yet, nor its labels."""
        source = self.document.state.source
        assert source is not None
        first = source.path.with_name(f"{source.path.stem}-{folder.name}.pb")
        names = (first, *(first.with_stem(f"{first.stem}-{number}") for number in range(2, 1000)))
        return next((name for name in names if not name.exists() and not labels_beside(name).exists()), first)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take one folder."""
        if Path(dropped_path(event)).is_dir() and dropped_path(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Look at it."""
        event.acceptProposedAction()
        self.choose(dropped_path(event))

    # -- the run -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, once it is known that nothing of the user's is in the way."""
        assert self.run.spec is not None
        try:
            request = self.run.prepare(self.form.request(self.run.spec, sum(one.train for one in self.run.classes)))
        except CompressorError as error:
            self._say(words_of(error), "error")
            return
        there = [path for path in map(Path, (request.output_graph, request.output_labels)) if path.exists()]
        if not there:
            self._begin(request)
            return
        question = Question("New classes", "Replace what is there?", replacing(there), "Replace", "Back", self)
        question.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        question.accepted.connect(lambda: self._begin(request))
        question.open()

    def _begin(self, request: Transfer) -> None:
        self.run.begin(request)
        self.cancel_button.setFocus()

    def _document_changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            self.reject()

    def _show(self) -> None:
        run = self.run
        going, classes = run.is_running, run.classes
        if run.spec is not None and run.spec is not self._shown:
            self._shown = run.spec
            self.form.show_spec(run.spec)
        self.empty.setVisible(not classes)
        self.table.setVisible(bool(classes))
        self.table.show_classes(classes, run.found)
        forbids, against = objections(classes) if classes else ((), ())
        if parts := too_much(*self.form.parts):
            forbids = (parts,)
        self.warnings.setText("\n".join(map(sentence, against)))
        self.warnings.setVisible(bool(against) and not run.history)
        for widget in (self.form, self.path, self.folder_button):
            widget.setEnabled(not going)
        self.start_button.setVisible(not going)
        self.start_button.setEnabled(bool(classes) and run.is_counted and not forbids)
        for one in (self.stop_button, self.cancel_button):
            one.setVisible(going)
        self.stop_button.setEnabled(bool(run.history) and not run.finishing)
        self.stages.setVisible(going)
        self.stages.show_run(run)
        self._show_curve()
        self.open_button.setEnabled(run.found is not None and not going)
        self.open_button.setDefault(run.found is not None)
        self.start_button.setDefault(run.found is None and not going)
        problem = run.error or run.problem
        if problem is not None:
            self._say(words_of(problem), "error")
        elif forbids:
            self._say("\n".join(map(sentence, forbids)), "error")
        elif run.found is not None:
            self._show_found(run.found)
        else:
            self._say("")

    def _show_curve(self) -> None:
        told = self.run.history
        self.curve.setVisible(bool(told))
        if not told:
            return
        validation = [(piece.step, 100 * piece.validation) for piece in told if piece.validation is not None]
        train = [(piece.step, 100 * piece.train) for piece in told]
        last = told[-1]
        end = last.steps if self.run.is_running else last.step
        self.curve.show_curve(validation, train, end=end, words=("{:.4g} %", "{:.4g} %"))
        self.curve.name.setText("right answers")
        self.curve.more.setText(f"training {units.percent(last.train)}")
        self.curve.now.setText("" if last.validation is None else f"validation {units.percent(last.validation)}")
        self.curve.plot.ticks([mark for mark in marks(end, "step") if mark[0] < 0.97 * end])  # wide ones are cut there

    def _show_found(self, found: Transferred) -> None:
        n = found.counts["test"]
        if found.test is None or found.test_interval is None:
            words = "Trained; no picture was for testing, so that its accuracy is not known."
        else:
            low, high = found.test_interval
            words = (
                f"{units.percent(found.test)} of {units.counted(n, 'test picture')} right; with 95 % certainty it is "
                f"{100 * low:.1f} to {100 * high:.1f} %."
            )
        cached = f", {found.cached:,} bottlenecks were on disk" if found.cached else ""
        notes = " ".join(sentence(note) for note in (*found.skipped[:3], found.left_out) if note)
        files = f"Written: {Path(found.graph).name} and {Path(found.labels).name}"
        self._say(
            words, "good", f"{files} · trunk up to {found.bottleneck} · {time_words(found.seconds)}{cached}. {notes}"
        )

    def _say(self, text: str, role: str = "good", more: str = "") -> None:
        self.outcome.setText(text)
        self.outcome.setVisible(bool(text))
        restyle(self.outcome, role=role)
        self.more.setText(more)
        self.more.setVisible(bool(more))

    def accept(self) -> None:
        """Open the new network."""
        assert self.run.found is not None
        path = Path(self.run.found.graph)
        super().accept()
        self.opened.emit(path)

    def done(self, result: int) -> None:
        """Close."""
        self.run.changed.disconnect(self._show)
        self.document.changed.disconnect(self._document_changed)
        self.theme.changed.disconnect(self._show)
        super().done(result)

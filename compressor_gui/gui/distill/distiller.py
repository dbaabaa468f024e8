"""The students of the model that is open: what each would be, the one that is taught, and what came of those before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from PySide6.QtCore import QTemporaryDir, Signal

from compressor_gui.core import pbio
from compressor_gui.core.data import DataSpec
from compressor_gui.core.distilling import Distill, Distilled, Lesson, Measured
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.formats import needs_import
from compressor_gui.core.measure import Imported, ImportModel
from compressor_gui.core.students import STUDENTS, Offer, offer
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.state import State
from compressor_gui.gui.training.course import Course
from compressor_gui.gui.training.training_run import TrainingRun


@dataclass(frozen=True)
class Taught:
    """A student that was taught, and what was asked for."""

    request: Distill
    found: Distilled

    def is_of(self, data: DataSpec | None, test: DataSpec | None) -> bool:
        """Whether it was measured on these examples."""
        return (self.request.data, self.request.test) == (data, test)


class Distiller(TrainingRun):
    """The document's lessons.

    A student is known by its name among :data:`.STUDENTS`, or by its file. ``offers`` says what each would be (None:
    nobody knows yet), ``taught`` what came of it. The students that were taught lie in a folder that goes with the
    window, until they are saved. ``saved(path)`` and ``opened(path)``: a student is in a file of the user's, and is to
    be opened from there; ``unsaved(error)``: it could not be written.
    """

    saved = Signal(object)
    opened = Signal(object)
    unsaved = Signal(object)

    request: Distill | None
    found: Distilled | None

    def __init__(self, measurer: Measurer) -> None:
        self.course = Course()
        self.measured: Measured | None = None
        self.offers: dict[str, Offer | None] = dict.fromkeys(STUDENTS)
        self.taught: dict[str, Taught] = {}
        self.student = ""
        """The one that is taught, or was last."""
        self._frozen: dict[str, str] = {}
        """Students' files that are no frozen graphs -> those made of them."""
        self._folder = QTemporaryDir()
        self._names = count()
        """For what lies in it: each file and folder has a number of its own."""
        super().__init__(measurer)
        self.engine.changed.connect(self._progressed)

    # -- students -----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Find out what the students would be, where that is not known yet."""
        for student, known in self.offers.items():
            if known is None:
                self._offer(student)

    def add(self, path: str) -> None:
        """Offer the network in a file too; one that is no frozen graph is frozen first. ``error`` says why one can't be
        read."""
        self.offers[path], self.error = None, None
        self.changed.emit()
        if not needs_import(Path(path)):
            self._offer(path)
            return
        target = self._folder.filePath(f"frozen {next(self._names)} of {Path(path).stem}.pb")
        source = self.document.state.source

        def done(found: object) -> None:
            assert isinstance(found, Imported)
            self._frozen[path] = found.path
            self._offer(path)

        def refused(problem: str) -> None:
            if self.document.state.source is source:
                self._know(path, Offer(problem=problem))

        request = ImportModel(path, target, allow_unsafe_ops=False)
        self.engine.submit(request, f"Importing {Path(path).name}", done, lambda error: refused(str(error)),
                           lambda: refused("it was not frozen"))  # fmt: skip

    def _offer(self, student: str) -> None:
        source, asked = self.document.state.source, self._frozen.get(student, student)
        assert source is not None

        def know(found: Offer) -> None:
            if self.document.state.source is source:
                self._know(student, found)

        def failed(error: Exception) -> None:
            raise error

        self.document.background.run(lambda: offer(source.graph, asked), know, failed)

    def _know(self, student: str, found: Offer) -> None:
        if found.problem and student not in STUDENTS:
            self.offers.pop(student, None)  # it may have been asked for twice
            self.error = CompressorError(found.problem)
        else:
            self.offers[student] = found
        self.changed.emit()

    # -- the lessons --------------------------------------------------------------------------------------------------

    def ask(self, student: str, how: Distill) -> None:
        """Teach a student as ``how`` says, whose teacher, student and output are filled in here.

        Raises CompressorError where it makes no sense.
        """
        source = self.document.state.source
        assert source is not None
        name = student if student in STUDENTS else Path(student).stem
        folder = Path(self._folder.path(), str(next(self._names)))
        folder.mkdir()
        request = replace(
            how,
            teacher=self.measurer.original(),
            student=self._frozen.get(student, student),
            output=str(folder / f"{source.path.stem}-{name}.pb"),
        )
        request.check()
        self.student = student
        self.submit(request, f"Distilling into {name}")

    def clear(self) -> None:
        """Forget the pieces."""
        self.course, self.measured = Course(), None

    def take(self, piece: object) -> None:
        """Keep a piece."""
        assert isinstance(piece, Lesson)
        self.measured = piece.measured or self.measured
        self.course.take(piece)

    def use_answer(self) -> None:
        """Keep what came of the student."""
        assert self.request is not None
        assert self.found is not None
        self.taught[self.student] = Taught(self.request, self.found)

    @property
    def teacher_value(self) -> float | None:
        """The teacher's accuracy, once it is measured."""
        if self.measured is not None:
            return self.measured.teacher
        return next((taught.found.teacher for taught in reversed(self.taught.values())), None)

    def save(self, student: str, path: Path, then: Callable[[Path], None]) -> None:
        """Write a student that was taught to a file of the user's, in the background; ``then`` is told it is there:
        what outlives the dialog, ``saved.emit`` or ``opened.emit``."""
        source, made = self.document.state.source, Path(self.taught[student].found.path)
        assert source is not None

        def write() -> Path:
            pbio.refuse_source(path, source.path)
            pbio.move_over(pbio.bytes_beside([pbio.read_bytes(made)], path), path)
            return path

        def fail(error: Exception) -> None:
            if not isinstance(error, CompressorError):
                raise error
            self.unsaved.emit(error)

        self.document.background.run(write, then, fail)

    @property
    def can_go_on(self) -> bool:
        """Whether an epoch has ended: each is a checkpoint."""
        return bool(self.course.epochs)

    # -- following ----------------------------------------------------------------------------------------------------

    def _progressed(self) -> None:
        if self.is_running:
            self.changed.emit()

    def _document_changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            self.offers, self.taught = dict.fromkeys(STUDENTS), {}
            self._frozen = {}
        super()._document_changed(old, new)

"""The pictures of new classes, and the run that trains a new top on them, as the window conducts it."""

from __future__ import annotations

from dataclasses import replace

from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.transfer import (
    TRAINING,
    ClassFolder,
    TopProgress,
    Transfer,
    Transferred,
    look,
)
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.state import State
from compressor_gui.gui.training.training_run import TrainingRun


class Transferrer(TrainingRun):
    """``spec`` is the folder that was chosen and how its pictures are fed (None: none was), ``classes`` what is in it,
    ``problem`` why it can't be taken; ``history`` is what the run has told."""

    request: Transfer | None
    found: Transferred | None

    def __init__(self, measurer: Measurer) -> None:
        self.history: list[TopProgress] = []
        self.spec: DataSpec | None = None
        self.classes: tuple[ClassFolder, ...] = ()
        self.problem: CompressorError | None = None
        self._asked: tuple[str, float, float] | tuple[()] = ()
        self._counted: tuple[str, float, float] | tuple[()] = ()
        self.stage = 0
        """0: nothing is told yet, 1: bottlenecks, 2: the top."""
        super().__init__(measurer)
        self.engine.changed.connect(self._progressed)

    # -- the pictures ------------------------------------------------------------------------------------------------

    def choose(self, folder: str, validation: float, testing: float) -> None:
        """Look at a folder of pictures, which are fed as the document's data is, where it has some."""
        self._leave_folder()
        self.forget()
        data = self.document.state.data

        def use(found: DataSpec) -> None:
            self.spec = found
            if data is not None and data.input == found.input:
                self.spec = replace(data, kind="images", path=found.path, targets="", names="", split="all", limit=0)
            self.count(validation, testing)

        self.measurer.guess(folder, use, self._refuse)

    def _leave_folder(self) -> None:
        """Forget the pictures; what is still being counted is not theirs any more."""
        self.spec, self.classes, self.problem = None, (), None
        self._asked = self._counted = ()

    def count(self, validation: float, testing: float) -> None:
        """Count the pictures of each class and part, in the background."""
        spec = self.spec
        if spec is None:
            return
        self._asked = asked = (spec.path, validation, testing)
        self._counted, self.problem = (), None
        self.changed.emit()

        def show(found: tuple[ClassFolder, ...]) -> None:
            if self._asked == asked:
                self.classes, self._counted = found, asked
                self.changed.emit()

        def failed(error: Exception) -> None:
            if not isinstance(error, CompressorError):
                raise error
            if self._asked == asked:
                self._refuse(error)

        self.document.background.run(lambda: look(spec.path, validation, testing), show, failed)

    @property
    def is_counted(self) -> bool:
        """Whether ``classes`` are those of ``spec``'s folder and the parts that were asked for last."""
        return self.spec is not None and self._counted == self._asked

    def _refuse(self, error: CompressorError) -> None:
        self.problem = error
        self.changed.emit()

    # -- the run -----------------------------------------------------------------------------------------------------

    def prepare(self, how: Transfer) -> Transfer:
        """``how`` with the model that is open. Raises CompressorError where it makes no sense or can't be written."""
        request = replace(how, model=self.measurer.original())
        request.check()
        request.check_targets()
        return request

    def begin(self, request: Transfer) -> None:
        """Train as a request says that was prepared."""
        self.submit(request, "Training new classes")

    def clear(self) -> None:
        """Forget the pieces."""
        self.history, self.stage = [], 0

    def take(self, piece: object) -> None:
        """Keep a piece."""
        assert isinstance(piece, TopProgress)
        self.history.append(piece)

    # -- following ---------------------------------------------------------------------------------------------------

    def _progressed(self) -> None:
        job = self.job
        if job is not None:
            if job.message:
                self.stage = max(self.stage, 2 if job.message == TRAINING else 1)
            self.changed.emit()

    def _document_changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            self._leave_folder()
        super()._document_changed(old, new)

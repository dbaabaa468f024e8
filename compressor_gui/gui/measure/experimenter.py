"""Conducts the experiment table in the window: one request to the engine after the other, while the user goes on."""

from __future__ import annotations

from typing import Any

from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.experiment import Ask, Experiment, Table, Work, advance, base_of, conduct
from compressor_gui.gui.measure.document_work import DocumentWork
from compressor_gui.gui.measure.measurer import Measurer


class Experimenter(DocumentWork):
    """The document's experiment, running or done: ``table`` as far as it is filled, and what it was measured on."""

    def __init__(self, measurer: Measurer) -> None:
        super().__init__(measurer)
        self.table: Table | None = None
        self.experiment: Experiment | None = None
        self.ask: Ask | None = None
        self._work: Work | None = None

    @property
    def is_running(self) -> bool:
        """Whether a table is being filled."""
        return self._work is not None

    @property
    def share(self) -> float:
        """How much of the work is done, from 0 to 1."""
        if self.ask is None:
            return 0.0
        job = self.engine.jobs.get(self._job)
        part = job.done / job.total if job is not None and job.total else 0.0
        return (self.ask.number - 1 + part) / self.ask.total

    @property
    def is_stale(self) -> bool:
        """Whether the table belongs to other examples, or to other steps in front, than the document has now."""
        state, found = self.document.state, self.experiment
        return found is not None and (found.data != state.data or found.base != base_of(state.recipe))

    def start(self, calibration: DataSpec | None = None) -> None:
        """Begin; ``calibration`` are the examples that ranges come from (None: those that are measured on)."""
        state = self.document.state
        assert state.source is not None
        assert state.data is not None
        if self.is_running:
            return
        base = base_of(state.recipe)
        self.experiment = Experiment(self.measurer.original(), state.data, calibration, base)
        self.table, self.ask, self.error = None, None, None
        self._work = conduct(self.experiment, state.source.graph)
        self._advance(self._work, None)
        self.changed.emit()

    def cancel(self) -> None:
        """Stop; the rows so far stay."""
        self._work, self.ask = None, None
        self.engine.cancel(self._job)
        self.changed.emit()

    def forget(self) -> None:
        """Forget the table."""
        self.table, self.experiment = None, None

    def _advance(self, work: Work, answer: Any) -> None:
        if work is self._work:  # and not cancelled meanwhile
            self.document.background.run(
                lambda: advance(work, answer),
                lambda step: self._take(work, step),
                lambda error: self._fail(work, error),
            )

    def _take(self, work: Work, step: Ask | Table) -> None:
        if work is not self._work:
            return
        if isinstance(step, Table):
            self.table, self._work, self.ask = step, None, None
        else:
            self.table, self.ask = step.table, step
            self._job = self.engine.submit(
                step.request,
                f"Experiment: {step.words}",
                lambda result: self._advance(work, result),
                lambda error: self._advance(work, error),
                lambda: self._stopped(work),
            )
        self.changed.emit()

    def _fail(self, work: Work, error: Exception) -> None:
        if not isinstance(error, CompressorError):
            raise error
        if work is self._work:
            self._work, self.ask, self.error = None, None, error
            self.changed.emit()

    def _stopped(self, work: Work) -> None:
        """The job was cancelled in the tray."""
        if work is self._work:
            self._work, self.ask = None, None
            self.changed.emit()

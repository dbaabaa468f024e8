"""Work in the engine that belongs to the document, whatever is shown of it."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from compressor_gui.core.errors import CompressorError
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.state import State


class DocumentWork(QObject):
    """Work that goes on when the dialog that shows it is closed, and is forgotten with the model.

    ``changed`` says that it has begun, got on or ended; ``error`` is why it ended early.
    """

    changed = Signal()

    def __init__(self, measurer: Measurer) -> None:
        super().__init__(measurer)
        self.measurer, self.document, self.engine = measurer, measurer.document, measurer.engine
        self.error: CompressorError | None = None
        self._job = -1
        self.document.changed.connect(self._document_changed)
        self.engine.changed.connect(self._progressed)

    @property
    def is_running(self) -> bool:
        """Whether it is under way."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Stop it."""
        raise NotImplementedError

    def forget(self) -> None:
        """Forget what it has found."""
        raise NotImplementedError

    def _progressed(self) -> None:
        if self.is_running:
            self.changed.emit()

    def _document_changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            if self.is_running:
                self.cancel()
            self.error = None
            self.forget()
            self.changed.emit()

"""What the assistant is about, and what was chosen so far."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PySide6.QtCore import QObject, Signal

from compressor_gui.core.assistant import Choices, Subject
from compressor_gui.core.data import DataSpec
from compressor_gui.core.machine import has_vnni
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.state import Source


class Draft(QObject):
    """The choices; ``changed`` follows every one, and the model's examination."""

    changed = Signal()

    def __init__(self, measurer: Measurer) -> None:
        super().__init__()
        source = measurer.document.state.source
        assert source is not None
        self.measurer, self.document = measurer, measurer.document
        self.source: Source = source
        self.began: Recipe = measurer.document.state.recipe
        self.subject: Subject | None = None
        self.choices = Choices(without_vnni=has_vnni() is False)

    def choose(self, **changes: Any) -> None:
        """Choose something else; see :class:`Choices`."""
        choices = replace(self.choices, **changes)
        if choices != self.choices:
            self.choices = choices
            self.changed.emit()

    def take(self, subject: Subject) -> None:
        """The model has been looked at."""
        self.subject = subject
        self.changed.emit()

    @property
    def data(self) -> DataSpec | None:
        """The examples, which are the document's."""
        return self.document.state.data

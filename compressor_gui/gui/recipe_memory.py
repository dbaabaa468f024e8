"""Every model keeps its recipe: what was done to it is there again when it is next opened."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.document import Document
from compressor_gui.gui.settings import Settings
from compressor_gui.gui.state import State

KEEP_MS = 500
"""The recipe is remembered once it has rested so long."""


class RecipeMemory(QObject):
    """Follows the document, and keeps each model's recipe in the settings."""

    said = Signal(str)
    """A recipe came back."""

    def __init__(self, document: Document, settings: Settings) -> None:
        super().__init__(document)
        self.document, self.settings = document, settings
        self._resting = QTimer(self, singleShot=True, interval=KEEP_MS)
        self._resting.timeout.connect(self.keep)
        document.changed.connect(self._changed)

    def keep(self) -> None:
        """Remember the recipe of the model that is open, so that nothing is lost by opening another or quitting."""
        state = self.document.state
        if state.source is not None:
            self.settings.set_recipe(state.source.sha256, state.recipe.to_json() if state.recipe.steps else "")

    def _changed(self, old: State, new: State) -> None:
        if old.source is not new.source and new.source is not None:
            QTimer.singleShot(0, self, self._bring_back)
        if old.recipe is not new.recipe and new.error is None:
            self._resting.start()

    def _bring_back(self) -> None:
        """Apply the recipe that the model had when it was last open; undo takes it away."""
        source = self.document.state.source
        kept = self.settings.recipe(source.sha256) if source is not None else ""
        if source is None or not kept or self.document.state.recipe.steps:
            return
        try:
            recipe = Recipe.from_json(kept)
        except CompressorError:  # written by another version: nothing that the user could mend
            return
        self.document.set_recipe(Recipe(recipe.steps, source.sha256))
        self.said.emit("Your recipe of last time is back. Undo (Ctrl+Z) takes it away.")

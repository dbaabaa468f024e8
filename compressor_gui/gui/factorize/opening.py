"""How the window opens the choice of ranks."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QWidget

from compressor_gui.gui.document import Document
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import Theme


class FactorizeOpening(QObject):
    """Opens it once what the recipe makes is ready; asked again meanwhile, the last question counts.

    ``said``: a sentence for the user, where that takes a while.
    """

    said = Signal(str)

    def __init__(self, document: Document, theme: Theme, parent: QWidget) -> None:
        """The dialog is shown over the window of ``parent``."""
        super().__init__(parent)
        self._document, self._theme, self._parent = document, theme, parent
        self._asked: tuple[State, int | None] | None = None
        document.changed.connect(self._look)

    def ask(self, at: int | None = None) -> None:
        """Open it for a new step, or (``at``) for one of the recipe."""
        state = self._document.state
        self._asked = state, at
        if state.stale and state.error is None:
            self.said.emit("The recipe is still being applied; the ranks are shown once it is.")
        self._look()

    def _look(self, *_: object) -> None:
        """Open it where it was asked for and can be; another recipe or another model answers the question too."""
        if self._asked is None:
            return
        (asked, at), state = self._asked, self._document.state
        same = state.recipe is asked.recipe and state.source is asked.source
        if same and state.stale and state.error is None:
            return
        self._asked = None
        if same and not state.stale:
            self._open(at)

    def _open(self, at: int | None) -> None:
        from compressor_gui.gui.factorize.dialog import FactorizeDialog  # its plots take long to import

        dialog = FactorizeDialog(self._document, self._theme, at, self._parent.window())
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

"""How the window opens the choice of ranks."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from compressor_gui.gui.document import Document
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import Theme


def open_factorize(document: Document, theme: Theme, parent: QWidget, at: int | None = None) -> None:
    """Open it for a new step, or (``at``) for one of the recipe, once what the recipe makes is ready."""
    asked = document.state

    def look(_old: State, new: State) -> None:
        waits = new.stale and new.error is None and new.recipe is asked.recipe and new.source is asked.source
        if waits:
            return
        document.changed.disconnect(look)
        if not new.stale and new.recipe is asked.recipe and new.source is asked.source:
            _open(document, theme, parent, at)

    document.changed.connect(look)
    look(asked, asked)


def _open(document: Document, theme: Theme, parent: QWidget, at: int | None) -> None:
    from compressor_gui.gui.factorize.dialog import FactorizeDialog  # its plots take long to import

    dialog = FactorizeDialog(document, theme, at, parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.open()

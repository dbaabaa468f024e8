"""How the window opens the assistant, and what it does with the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt

from compressor_gui.gui.files import ask_export
from compressor_gui.gui.state import State

if TYPE_CHECKING:
    from compressor_gui.gui.assistant.dialog import AssistantDialog
    from compressor_gui.gui.main_window import MainWindow


def open_assistant(window: MainWindow) -> AssistantDialog:
    """Open the Quantize assistant for the model that is open."""
    from compressor_gui.gui.assistant.dialog import AssistantDialog  # its plots take long to import

    dialog = AssistantDialog(window.measurer, window.theme, window)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.used.connect(lambda export: _used(window, export))
    dialog.open()
    return dialog


def _used(window: MainWindow, export: bool) -> None:
    document = window.document
    window.message.show_text("The recipe quantizes now. Undo (Ctrl+Z) takes that away.")
    document.show("compressed")
    if not export:
        return

    def look(_old: State, new: State) -> None:
        if new.stale and new.error is None and new.source is not None:
            return
        document.changed.disconnect(look)
        if new.error is None:
            ask_export(window)

    document.changed.connect(look)
    look(document.state, document.state)

"""How the window opens the dialog of new classes, and what it does with the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt

if TYPE_CHECKING:
    from compressor_gui.gui.main_window import MainWindow
    from compressor_gui.gui.transfer.dialog import TransferDialog


def open_transfer(window: MainWindow) -> TransferDialog:
    """Open it for the model that is open; a run that is under way is shown."""
    from compressor_gui.gui.transfer.dialog import TransferDialog  # its plot takes long to import
    from compressor_gui.gui.transfer.transferrer import Transferrer

    transferrer = window.measurer.findChild(Transferrer) or Transferrer(window.measurer)
    dialog = TransferDialog(transferrer, window.theme, window)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.opened.connect(window.open)
    dialog.open()
    return dialog

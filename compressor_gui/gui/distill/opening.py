"""How the window opens the dialog of distilling, and what it does with a student."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt

from compressor_gui.core.errors import CompressorError

if TYPE_CHECKING:
    from compressor_gui.gui.distill.dialog import DistillDialog
    from compressor_gui.gui.main_window import MainWindow


def open_distill(window: MainWindow) -> DistillDialog:
    """Open it for the model that is open; what was taught in it before is there still."""
    from compressor_gui.gui.distill.dialog import DistillDialog  # its plots take long to import
    from compressor_gui.gui.distill.distiller import Distiller

    def told(error: CompressorError) -> None:
        if not any(dialog.isVisible() for dialog in window.findChildren(DistillDialog)):  # one that is open says it
            window.message.show_error(error)

    distiller = window.measurer.findChild(Distiller)
    if distiller is None:
        distiller = Distiller(window.measurer)
        distiller.opened.connect(window.open)
        distiller.saved.connect(lambda path: window.message.show_text(f"Saved {path}"))
        distiller.unsaved.connect(told)
    dialog = DistillDialog(distiller, window.theme, window)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.compared.connect(lambda path: window.document.compare_with(Path(path)))
    dialog.open()
    return dialog

"""Other formats: freezing a model into one that can be opened, and exporting one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QFileDialog

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import ExportedModel, ExportModel, Imported, ImportModel

if TYPE_CHECKING:
    from compressor_gui.gui.main_window import MainWindow

EXPORTS = {
    "SavedModel, a new folder (*)": ("saved_model", ""),
    "TensorFlow Lite, floats (*.tflite)": ("tflite", ".tflite"),
    "TensorFlow Lite, weights in 8 bits (*.tflite)": ("tflite_dynamic", ".tflite"),
    "TensorFlow Lite, 8 bits from the data (*.tflite)": ("tflite_int8", ".tflite"),
}
"""The file dialog's kinds: format and suffix."""


def import_model(window: MainWindow, path: Path, before: Callable[[], None]) -> None:
    """Ask where the frozen graph is to go; then do what comes ``before``, let the engine freeze, and open it."""
    start = str(path.parent / f"{path.name if path.is_dir() else path.stem}.pb")
    target, _ = QFileDialog.getSaveFileName(window, "Freeze into", start, "Frozen graph (*.pb)")
    if not target:
        return

    def done(found: object) -> None:
        assert isinstance(found, Imported)
        window.open(Path(found.path))
        words = (f"{path.name} was frozen into {found.path}.", *found.notes, found.left_out)
        text = " ".join(filter(None, words))
        # Opening takes messages away, so this one waits behind it in the queue.
        window.document.background.run(lambda: text, window.message.show_text, lambda _error: None)

    before()
    request = ImportModel(str(path), target, allow_unsafe_ops=False)
    window.engine.submit(request, f"Importing {path.name}", done, window.show_error, lambda: None)


def export_model(window: MainWindow) -> None:
    """Ask for a format and a name, and let the engine write, load and run it."""
    source, measurer = window.document.state.source, window.measurer
    assert source is not None
    start = str(source.path.with_name(f"{source.path.stem}-compressed"))
    target, kind = QFileDialog.getSaveFileName(window, "Export as", start, ";;".join(EXPORTS))
    if not target:
        return
    name, suffix = EXPORTS[kind]
    path = Path(target)
    if suffix and path.suffix != suffix:
        path = path.with_name(path.name + suffix)
    data = window.document.state.data
    if name == "tflite_int8" and data is None:
        hint = "choose data in the Measure panel first"
        window.show_error(CompressorError("8 bits need examples to find the ranges", hint=hint))
        return

    def done(found: object) -> None:
        assert isinstance(found, ExportedModel)
        window.message.show_text(" ".join(filter(None, (exported_words(found), *found.notes, found.left_out))))

    model = measurer.compressed(window.document.state.recipe)
    request = ExportModel(model, str(path), name, data if name == "tflite_int8" else None)
    window.engine.submit(request, f"Exporting {path.name}", done, window.show_error, lambda: None)


def exported_words(found: ExportedModel) -> str:
    """What was written and how near it is, in a sentence."""
    worst = min(found.outputs, key=lambda output: output.sqnr_db, default=None)
    near = "" if worst is None else ", its outputs are equal" if worst.equal else f", SQNR {worst.sqnr_db:.0f} dB"
    return f"Exported to {found.path}{near}."

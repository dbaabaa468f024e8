"""Where an export goes: the field for it, what is wrong with it, and the files that it would replace."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QDateTime, QStandardPaths, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from compressor_gui.core import pbio, units
from compressor_gui.core.errors import CompressorError
from compressor_gui.gui.samples import sample_data
from compressor_gui.gui.widgets import label, paragraph

Stamp = tuple[int, int]
"""A file's size in bytes and the time of its last change in nanoseconds."""


class ExportTarget(QWidget):
    """The field. ``changed()``: another file was named, or its folder made; :attr:`fits` says whether it will do."""

    changed = Signal()

    def __init__(self, source: Path) -> None:
        super().__init__()
        self._source = source
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(label("File"))
        row = QHBoxLayout()
        self.field = QLineEdit(str(_folder(source) / f"{source.stem}-compressed.pb"))
        self.field.setAccessibleName("File to export to")
        self.field.textChanged.connect(self._check)
        row.addWidget(self.field, 1)
        browse = QPushButton("Browse …")
        browse.setAutoDefault(False)
        browse.clicked.connect(self._browse)
        row.addWidget(browse)
        column.addLayout(row)
        row = QHBoxLayout()
        self.problem = paragraph("", "error")
        row.addWidget(self.problem, 1)
        self.make_button = QPushButton("&Make the folder")
        self.make_button.clicked.connect(self._make_folder)
        row.addWidget(self.make_button)
        column.addLayout(row)
        self._check()

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.field.text().strip()).absolute()

    @property
    def fits(self) -> bool:
        """Whether a file can be written there, as far as that is known."""
        return not self.problem.text()

    def check(self) -> bool:
        """Look again, for a folder may have gone; whether it fits."""
        self._check()
        return self.fits

    def _browse(self) -> None:
        kinds = "Frozen graph (*.pb);;Text graph (*.pbtxt)"
        once = QFileDialog.Option.DontConfirmOverwrite  # the export asks, and for the recipe too
        path, _ = QFileDialog.getSaveFileName(self, "Export to", self.field.text(), kinds, options=once)
        if path:
            self.field.setText(path)

    def _check(self) -> None:
        folder = self.path.parent
        try:
            if not self.field.text().strip() or self.path.is_dir():
                raise CompressorError("name a file")
            if not folder.is_dir():
                raise CompressorError("there is no such folder yet", where=str(folder))
            pbio.refuse_source(self.path, self._source)
        except CompressorError as error:
            self.problem.setText(str(error))
        else:
            self.problem.setText("")
        self.problem.setVisible(not self.fits)
        self.make_button.setVisible(not self.fits and not folder.exists())
        self.changed.emit()

    def _make_folder(self) -> None:
        folder = self.path.parent
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            self.problem.setText(str(pbio.cannot_write(folder, error)))
            return
        self._check()
        self.field.setFocus()


def stamp(path: Path) -> Stamp | None:
    """What tells a file from a later one in its place; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def in_words(path: Path) -> str:
    """``small.pb, 436 kB, of 24 Nov 2026 13:05``."""
    found = stamp(path)
    if found is None:
        return path.name
    changed = QDateTime.fromMSecsSinceEpoch(found[1] // 1_000_000).toString("d MMM yyyy hh:mm")
    return f"{path.name}, {units.size(found[0])}, of {changed}"


def replacing(paths: Sequence[Path]) -> str:
    """The question whether these files, which are all in one folder, may be replaced."""
    files = "\n".join(f"    {in_words(path)}" for path in paths)
    what = ("this file", "it") if len(paths) == 1 else ("these files", "them")
    return f"In {paths[0].parent} {what[0]} would be replaced:\n{files}\nReplace {what[1]}?"


def _folder(source: Path) -> Path:
    """Where an export is offered to go: beside the model, or to the documents where that is no place to write, or home
    where there are none."""
    if os.access(source.parent, os.W_OK) and sample_data(source) is None:
        return source.parent
    documents = Path(QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation) or Path.home())
    return documents if documents.is_dir() else Path.home()

"""The numbers of a tensor as a table: two axes across the screen, the others chosen one index at a time."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QSpinBox,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.values import Tensor
from compressor_gui.gui.background import Background
from compressor_gui.gui.theme import BODY, MARGIN, UNIT, font
from compressor_gui.gui.widgets import clear

ROW_HEIGHT, SCROLL_ROOM = 22, 12
"""Pixels of a row, and of the scroll bar under the table."""
MAX_COPIED = 100_000
"""Cells that are written to the clipboard; more would stop the window for long."""
ALL = -1
"""An axis that runs across the table."""


def plane(array: np.ndarray, chosen: tuple[int, ...]) -> np.ndarray:
    """The part of an array that a table can show: ``chosen`` has an index for each axis, :data:`ALL` for up to two."""
    part = array[tuple(slice(None) if index == ALL else index for index in chosen)]
    return part.reshape(-1, 1) if part.ndim < 2 else part


def first_plane(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Where to begin: the two longest axes of a kernel's or a matrix' last four run across, the others are at 0."""
    across = sorted(range(len(shape)), key=lambda axis: (-shape[axis], axis))[:2]
    return tuple(ALL if axis in across else 0 for axis in range(len(shape)))


def text_of(value: Any, digits: int = 9) -> str:
    """One value; nine digits tell any two float32 apart."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if np.issubdtype(type(value), np.complexfloating) or np.issubdtype(type(value), np.integer):
        return str(value)
    return f"{float(value):.{digits}g}"


def write_values(array: np.ndarray, target: Path) -> None:
    """Write ``.npy``, or ``.csv`` (the last axis across, the others down), beside the target and move it over.

    Raises CompressorError where the folder can't be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                if target.suffix == ".npy":
                    np.save(stream, array, allow_pickle=False)
                else:
                    _write_csv(array, stream)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CompressorError(
            f"it can't be written: {reason}", where=str(target), hint="choose another place"
        ) from None


def _write_csv(array: np.ndarray, stream: Any) -> None:
    rows = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
    with io.TextIOWrapper(stream, "utf-8", newline="", write_through=True) as text:
        for row in rows:
            text.write(",".join(_csv_cell(text_of(value)) for value in row) + "\r\n")


def _csv_cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


class ValuesModel(QAbstractTableModel):
    """One plane of an array; cells are read when they are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.array = np.zeros((0, 0))

    def show_array(self, array: np.ndarray) -> None:
        """Show a plane (rows, columns)."""
        self.beginResetModel()
        self.array = array
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """The plane's rows."""
        return 0 if parent.isValid() else int(self.array.shape[0])

    def columnCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008
        """The plane's columns."""
        return 0 if parent.isValid() else int(self.array.shape[1])

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A value's text."""
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return text_of(self.array[index.row(), index.column()], 4 if role == Qt.ItemDataRole.DisplayRole else 9)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(self, section: int, _orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Indices from 0, as numpy and TensorFlow count."""
        return str(section) if role == Qt.ItemDataRole.DisplayRole else None


class _Table(QTableView):
    """A table that copies its selection as tab-separated text."""

    copy_wanted = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_wanted.emit()
        else:
            super().keyPressEvent(event)

    def selected_cells(self) -> np.ndarray:
        """The selection, which is one rectangle."""
        selection, model = self.selectionModel().selection(), self.model()
        assert isinstance(model, ValuesModel)
        if selection.isEmpty():
            return model.array[:0, :0]
        found = selection.first()
        return model.array[found.top() : found.bottom() + 1, found.left() : found.right() + 1]


class Values(QWidget):
    """A tensor's values. ``failed(error)`` carries a CompressorError."""

    failed = Signal(object)

    written = Signal(object)
    """The path of a file that was exported."""

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self._array: np.ndarray | None = None
        self._name = ""
        self._place: tuple[str, tuple[int, ...]] = ("", ())
        self._axes: list[QSpinBox] = []
        self.model = ValuesModel()
        self.table = _Table()
        self.table.setModel(self.model)
        self.table.copy_wanted.connect(self._copy)
        self.table.setObjectName("valuesTable")
        self.table.setAccessibleName("Values")
        self.table.setFont(font(BODY - 1))
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
        for header in (self.table.horizontalHeader(), self.table.verticalHeader()):
            header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            header.setHighlightSections(False)
        self.table.horizontalHeader().setDefaultSectionSize(78)
        self.table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self._selectors = QGridLayout()
        self._selectors.setSpacing(UNIT)
        self.export_button = QPushButton("Export values…")
        self.export_button.setToolTip("Write all values to a .npy or .csv file")
        self.export_button.clicked.connect(self._export)
        self.copy_button = QPushButton("Copy")
        self.copy_button.setToolTip("Copy the selected cells as tab-separated text (Ctrl+C)")
        self.copy_button.clicked.connect(self._copy)

        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, UNIT, MARGIN, UNIT * 2)
        column.setSpacing(UNIT * 2)
        column.addLayout(self._selectors)
        column.addWidget(self.table)
        buttons = QHBoxLayout()
        buttons.addWidget(self.copy_button)
        buttons.addWidget(self.export_button)
        buttons.addStretch()
        column.addLayout(buttons)

    def show_values(self, name: str, array: np.ndarray | None) -> None:
        """Show an array of any rank; None clears."""
        same_place = array is not None and self._array is not None and (name, array.shape) == self._place
        self._array, self._name = array, name
        if same_place:  # another version of the same weight: the slice that was chosen stays
            self._show_plane()
            return
        self._place = (name, array.shape if array is not None else ())
        clear(self._selectors)
        self._axes = []
        if array is None:
            self.model.show_array(np.zeros((0, 0)))
            return
        chosen = first_plane(array.shape)
        for axis, (size, index) in enumerate(zip(array.shape, chosen, strict=True)):
            box = QSpinBox()
            box.setRange(ALL, max(size - 1, 0))
            box.setSpecialValueText(f"all {size}")
            box.setValue(index)
            box.setAlignment(Qt.AlignmentFlag.AlignCenter)
            box.setToolTip(f"Axis {axis}: an index from 0 to {size - 1}, or all; two axes run across the table")
            box.setAccessibleName(f"Axis {axis}")
            box.valueChanged.connect(lambda value, axis=axis: self._choose(axis, value))
            box.setVisible(array.ndim > 2)
            self._selectors.addWidget(box, axis // 4, axis % 4)
            self._axes.append(box)
        self._show_plane()

    def _choose(self, axis: int, value: int) -> None:
        """Two axes at most run across: the one that has done so longest makes room for the one just chosen."""
        across = [other for other, box in enumerate(self._axes) if box.value() == ALL and other != axis]
        if value == ALL and len(across) > 1:
            box = self._axes[across[0]]
            box.blockSignals(True)
            box.setValue(0)
            box.blockSignals(False)
        self._show_plane()

    def _show_plane(self) -> None:
        assert self._array is not None
        self.model.show_array(plane(self._array, tuple(box.value() for box in self._axes)))
        rows = min(self.model.rowCount(), 12)
        self.table.setFixedHeight(rows * ROW_HEIGHT + self.table.horizontalHeader().sizeHint().height() + SCROLL_ROOM)

    def _copy(self) -> None:
        if not self.table.selectionModel().hasSelection():
            self.table.selectAll()
        cells = self.table.selected_cells()
        if cells.size > MAX_COPIED:
            words = f"{cells.size:,} cells are too many for the clipboard"
            self.failed.emit(CompressorError(words, hint=f"select {MAX_COPIED:,} or fewer, or export the values"))
        else:
            text = "\n".join("\t".join(text_of(value) for value in row) for row in cells)
            QGuiApplication.clipboard().setText(text)

    def _export(self) -> None:
        if self._array is None:
            return
        start = self._name.replace("/", "_") + ".npy"
        path, kind = QFileDialog.getSaveFileName(self, "Export values", start, "NumPy (*.npy);;Table (*.csv)")
        if path:
            target = Path(path)
            if target.suffix not in (".npy", ".csv"):
                target = target.with_name(target.name + (".csv" if "csv" in kind else ".npy"))
            self.export_to(target)

    def export_to(self, target: Path) -> None:
        """Write the values in the background; what goes wrong is said through ``failed``."""
        array = self._array
        assert array is not None
        self._background.run(lambda: write_values(array, target), lambda _: self.written.emit(target), self._fail)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, CompressorError):
            raise error
        self.failed.emit(error)


def array_of(tensor: Tensor) -> np.ndarray:
    """A tensor's values in a type that numpy can print and save."""
    array = tensor.array
    return array.astype(np.float32) if array.dtype.kind == "V" or array.dtype.name == "bfloat16" else array

"""The layers table's rows: what the document says of each layer, worked out without looking at a single weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)

from compressor_gui.core import units
from compressor_gui.core.names import shared_start
from compressor_gui.gui.document import Document
from compressor_gui.gui.layer_row import Row, sensitivity, why_locked
from compressor_gui.gui.matched import matched_layers
from compressor_gui.gui.state import Source, State

Index = QModelIndex | QPersistentModelIndex

SORT_ROLE = Qt.ItemDataRole.UserRole
"""What a column is sorted by: a number, or text."""

_OP_LABELS = {"DepthwiseConv2dNative": "Depthwise", "Conv2DBackpropInput": "Transposed", "BatchMatMulV2": "BatchMatMul",
              "BatchMatMulV3": "BatchMatMul"}  # fmt: skip


class Column(IntEnum):
    """The table's columns, in order."""

    NAME = 0
    OP = 1
    SHAPE = 2
    PARAMETERS = 3
    SIZE = 4
    HISTOGRAM = 5
    SENSITIVITY = 6
    SPARSITY = 7
    THRESHOLD = 8


@dataclass(frozen=True)
class Heading:
    """A column's title, its tooltip, default width in pixels, and whether it is shown at first."""

    title: str
    tip: str
    width: int
    shown: bool
    right: bool = False


HEADINGS: Mapping[Column, Heading] = {
    Column.NAME: Heading("name", "The operation that reads the weight", 100, True),
    Column.OP: Heading("op", "The operation", 60, True),
    Column.SHAPE: Heading("shape", "The weight's shape", 92, False),
    Column.PARAMETERS: Heading("weights", "How many weights there are", 64, False, True),
    Column.SIZE: Heading("size", "Bytes that the weight takes in the file, after the recipe's steps", 57, True, True),
    Column.HISTOGRAM: Heading(
        "|w|", "How many weights have which magnitude (logarithmic count); grey ones are set to zero", 64, False
    ),
    Column.SENSITIVITY: Heading(
        "sens.",
        "Sensitivity, what is lost at each sparsity: measured, or (dashed) the relative error ‖W − W pruned‖ / ‖W‖ "
        "estimated from the weights. The line is where the slider stands; a click shows the curve in the inspector",
        52,
        True,
    ),
    Column.SPARSITY: Heading(
        "sparsity",
        "Share of weights that are zero. Drag (with Shift: finely), type over the number (double click, or Enter), or "
        "use the arrow keys (with Shift: 10 %)",
        132,
        True,
    ),
    Column.THRESHOLD: Heading("threshold", "Weights of a smaller magnitude are set to zero", 72, False, True),
}


class LayersModel(QAbstractTableModel):
    """The rows of the document's source, in topological order."""

    refreshed = Signal()
    """The rows' values were worked out again."""

    def __init__(self, document: Document, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows: list[Row] = []
        self._document = document
        document.changed.connect(self._changed)
        self._reset()

    def row_of(self, node: str) -> int | None:
        """The row of the layer that a node of either graph belongs to."""
        found = next((index for index, row in enumerate(self.rows) if node in row.names), None)
        diff = self._document.state.made.diff if self._document.state.made else None
        if found is not None or diff is None or node not in diff.by_name:
            return found
        layer = diff.by_name[node].layer
        return next((index for index, row in enumerate(self.rows) if row.layer.name == layer), None)

    def overall(self) -> float | None:
        """The sparsity of all layers that can be pruned together; None while it is unknown."""
        rows = [row for row in self.rows if not row.locked]
        weights = sum(row.layer.parameters for row in rows)
        if not weights or any(row.wanted is None for row in rows):
            return None
        return sum((row.wanted or 0.0) * row.layer.parameters for row in rows) / weights

    def common(self) -> float | None:
        """The sparsity that all layers have that can be pruned, or more where they have had more zeros from the start;
        None where they were given different ones, or it is unknown."""
        rows = [row for row in self.rows if not row.locked]
        wanted = [row.wanted for row in rows if row.wanted is not None]
        if not rows or len(wanted) < len(rows):
            return None
        least = min(wanted)
        alike = all(wanted - least < 0.005 or wanted <= row.least for wanted, row in zip(wanted, rows, strict=True))
        return least if alike else None

    # -- following the document ----------------------------------------------------------------------------------

    def _changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            self._reset()
        elif not (old.recipe is new.recipe and old.made is new.made and old.magnitudes is new.magnitudes
                  and old.measured.sweep is new.measured.sweep):  # fmt: skip
            self._refresh()

    def _reset(self) -> None:
        self.beginResetModel()
        source = self._document.state.source
        self.rows = self._made(_named_rows(source)) if source else []
        self.endResetModel()

    def _refresh(self) -> None:
        """Work the rows out again; only the cells that differ are drawn again."""
        old, self.rows = self.rows, self._made(self.rows)
        for index, (before, after) in enumerate(zip(old, self.rows, strict=True)):
            if before != after:
                first = Column.HISTOGRAM if before.size == after.size else Column.SIZE
                self.dataChanged.emit(self.index(index, first), self.index(index, Column.THRESHOLD))
        self.refreshed.emit()

    def _made(self, rows: Iterable[Row]) -> list[Row]:
        document, state = self._document, self._document.state
        after = matched_layers(state.made) if state.made else {}
        sweep = state.measured.sweep
        made = []
        for row in rows:
            table = state.magnitudes.get(row.layer.name)
            wanted = None if table is None else document.wanted_sparsity(row.layer)
            made.append(
                dataclasses.replace(
                    row,
                    magnitudes=table,
                    wanted=wanted,
                    parts=after.get(row.layer.name, ()),
                    fresh=not state.stale or (row.fresh and row.wanted == wanted),
                    locked=why_locked(row.layer, state),
                    base=state.made.bases.layers.get(row.layer.name) if state.made else None,
                    losses=sweep.value.losses(row.layer.name) if sweep else (),
                )
            )
        return made

    # -- Qt's questions ------------------------------------------------------------------------------------------

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        """How many layers there are."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """How many columns there are, those that are hidden included."""
        return 0 if parent.isValid() else len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A column's title and tooltip."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        heading = HEADINGS[Column(section)]
        if role == Qt.ItemDataRole.DisplayRole:
            return heading.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return heading.tip
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if heading.right else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell's text, tooltip, or what it is sorted by."""
        row, column = self.rows[index.row()], Column(index.column())
        if role == Qt.ItemDataRole.DisplayRole:
            return cell_text(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return cell_tip(row, column)
        if role == Qt.ItemDataRole.EditRole and column == Column.SPARSITY:
            return round((row.wanted or 0.0) * 100, 2)
        if role == SORT_ROLE:
            return _sort_key(row, column)
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """The sparsity of a layer that can be pruned may be typed."""
        row = self.rows[index.row()] if index.isValid() else None
        editable = row is not None and index.column() == Column.SPARSITY and row.movable
        return super().flags(index) | (Qt.ItemFlag.ItemIsEditable if editable else Qt.ItemFlag.NoItemFlags)

    def setData(self, index: Index, value: Any, _role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Take a sparsity that was typed, in percent, as a step of undo of its own."""
        self._document.end_merge()
        self._document.prune_layer(self.rows[index.row()].layer, value / 100)
        self._document.end_merge()
        return True


class LayersProxy(QSortFilterProxyModel):
    """The layers in the order and selection that the user asked for.

    It sorts when it is told to and not by itself: a row must not run away from under the mouse that drags its slider.
    """

    def __init__(self, model: LayersModel) -> None:
        super().__init__(model)
        self.setDynamicSortFilter(False)
        self.setSortRole(SORT_ROLE)
        self._words: tuple[str, ...] = ()
        self._rows = model
        self.setSourceModel(model)

    def look_for(self, text: str) -> None:
        """Show the layers that have every one of these words in their name, operation or shape."""
        self.beginFilterChange()
        self._words = tuple(text.lower().split())
        self.endFilterChange(QSortFilterProxyModel.Direction.Rows)

    def filterAcceptsRow(self, source_row: int, _parent: Index) -> bool:
        """Whether a layer has all the words."""
        layer = self._rows.rows[source_row].layer
        text = f"{layer.name} {layer.op} {units.shape(layer.tensor.array.shape)}".lower()
        return all(word in text for word in self._words)


def _named_rows(source: Source) -> Iterable[Row]:
    names = [source.short[layer.name] for layer in source.layers]
    for at, (layer, name) in enumerate(zip(source.layers, names, strict=True)):
        around = names[max(at - 1, 0) : at] + names[at + 1 : at + 2]
        yield Row(layer, name, shared_start(name, *around))


def cell_text(row: Row, column: Column) -> str:
    """What a cell says; the drawn ones say it to screen readers."""
    if column == Column.NAME:
        return row.short
    if column == Column.OP:
        return _OP_LABELS.get(row.layer.op, row.layer.op)
    if column == Column.SHAPE:
        return units.shape(row.layer.tensor.array.shape)
    if column == Column.PARAMETERS:
        return units.amount(row.layer.parameters)
    if column == Column.SIZE:
        return units.size(row.size)
    if column == Column.SPARSITY:
        return row.sparsity_text()
    if column == Column.THRESHOLD:
        return "" if row.threshold is None or row.locked else units.number(row.threshold)
    return ""


def cell_tip(row: Row, column: Column) -> str:
    """A cell's tooltip: the whole name, the exact number, or why there is no slider."""
    layer = row.layer
    if column == Column.NAME:
        more = f"\nshared by {len(layer.users)} operations" if len(layer.users) > 1 else ""
        return f"{layer.name}\nweight {layer.weight}, {units.shape(layer.tensor.array.shape)}{more}"
    if column == Column.OP:
        return layer.op
    if column == Column.PARAMETERS:
        return f"{layer.parameters:,} weights"
    if column == Column.SIZE and row.size != layer.bytes:
        return f"{layer.bytes:,} → {row.size:,} bytes"
    if column == Column.SIZE:
        return f"{layer.bytes:,} bytes"
    if column == Column.SPARSITY:
        return "\n".join(part for part in (row.locked, zeros_tip(row)) if part)
    if row.locked:
        return row.locked
    if column in (Column.HISTOGRAM, Column.SENSITIVITY):
        return HEADINGS[column].tip
    return ""


def zeros_tip(row: Row) -> str:
    """How many weights are zero, how that is known, and where they come from; empty while nothing is known."""
    if row.sparsity is None:
        return ""
    zeros = round(row.sparsity * row.layer.parameters)
    how = "counted in the result" if row.exact else "estimated; the exact count follows"
    text = f"{zeros:,} of {row.layer.parameters:,} weights are zero ({how})"
    if row.rounded:
        pruned, left = units.percent(row.wanted or 0.0), units.percent(row.sparsity)
        text += f"\npruned {pruned}, {left} zero after 8 bits, which round the smallest weights to zero"
    if row.base is not None:
        already = units.percent(row.base.layer.sparsity)
        text += f"\nthe slider prunes the weights that {row.base.step.label()} put here: {already} of them are zero"
    return text


def _sort_key(row: Row, column: Column) -> Any:
    if column in (Column.NAME, Column.OP):
        return cell_text(row, column).lower()
    if column == Column.SIZE:
        return row.size
    if column == Column.SPARSITY:
        return -1.0 if row.sparsity is None else row.sparsity
    if column == Column.THRESHOLD:
        return -1.0 if row.threshold is None else row.threshold
    if column == Column.SENSITIVITY:  # the more an evenly pruned layer loses, the further down
        return -1.0 if row.magnitudes is None else float(sensitivity(row.magnitudes).mean())
    return row.layer.parameters

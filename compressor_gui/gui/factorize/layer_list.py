"""The layers that can be split, each with its rank, and those that can't."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem

from compressor_gui.core import units
from compressor_gui.core.names import short_names
from compressor_gui.gui.factorize.draft import Entry, RankDraft
from compressor_gui.gui.theme import Theme

_HEADINGS = ("layer", "matrix", "rank", "error", "left")
_TIPS = (
    "A tick: it is split in two",
    "Inputs of one output by outputs",
    "The outputs of the first of the two layers",
    "How far its weights are from what they were: ‖W − W′‖ / ‖W‖",
    "The share of its weights and multiplications that is left",
)
_NAME = Qt.ItemDataRole.UserRole


class LayerList(QTreeWidget):
    """``looked_at(name)``: a layer is selected; ``ticked(name, on)``: the user ticked one, or took the tick away."""

    looked_at = Signal(str)
    ticked = Signal(str, bool)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setObjectName("rankLayers")
        self.setAccessibleName("Layers")
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHeaderLabels(_HEADINGS)
        head = self.headerItem()
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, tip in enumerate(_TIPS):
            head.setToolTip(column, tip)
            head.setTextAlignment(column, _side(column))
        self.currentItemChanged.connect(
            lambda item, _before: self.looked_at.emit(item.data(0, _NAME)) if item else None
        )
        self.itemChanged.connect(self._changed)
        theme.changed.connect(self._recolor)

    @property
    def current(self) -> str:
        """The layer that is selected; empty where none is."""
        item = self.currentItem()
        return str(item.data(0, _NAME)) if item is not None else ""

    def select(self, name: str) -> None:
        """Select a layer."""
        item = next((item for item in self._items() if item.data(0, _NAME) == name), None)
        if item is not None:
            self.setCurrentItem(item)
            self.scrollToItem(item, QAbstractItemView.ScrollHint.PositionAtCenter)

    def show_draft(self, draft: RankDraft) -> None:
        """Show the layers as they are chosen."""
        with QSignalBlocker(self):
            if draft.entries is not None and not self.topLevelItemCount():
                short = short_names(entry.layer.name for entry in draft.entries)
                self.addTopLevelItems([_item(entry, short[entry.layer.name]) for entry in draft.entries])
            for item in self._items():
                self._fill(item, draft)
        self._recolor()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space ticks."""
        item = self.currentItem()
        if event.key() == Qt.Key.Key_Space and item is not None and item.flags() & Qt.ItemFlag.ItemIsUserCheckable:
            on = item.checkState(0) == Qt.CheckState.Checked
            item.setCheckState(0, Qt.CheckState.Unchecked if on else Qt.CheckState.Checked)
            event.accept()
        else:
            super().keyPressEvent(event)

    def _items(self) -> list[QTreeWidgetItem]:
        found = (self.topLevelItem(row) for row in range(self.topLevelItemCount()))
        return [item for item in found if item is not None]

    def _fill(self, item: QTreeWidgetItem, draft: RankDraft) -> None:
        name = item.data(0, _NAME)
        rank, spectrum, reason = draft.ranks.get(name), draft.spectra.get(name), draft.reason(name)
        flags = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
        if spectrum is None:
            item.setFlags(flags)
            item.setText(2, "…" if draft.candidate(name) is not None else "–")
        else:
            item.setFlags(flags | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(0, Qt.CheckState.Unchecked if rank is None else Qt.CheckState.Checked)
            item.setText(2, "whole" if rank is None else f"{rank:,}")
            item.setText(3, "" if rank is None else units.percent(float(spectrum.errors[rank])))
            item.setText(4, "" if rank is None else units.percent(draft.left(name)))
        for column in range(5):
            item.setToolTip(column, f"{name}\n{reason}" if reason else name)

    def _recolor(self) -> None:
        """Layers that stay whole are pale."""
        with QSignalBlocker(self):
            for item in self._items():
                chosen = item.checkState(0) == Qt.CheckState.Checked
                for column in range(5):
                    item.setForeground(column, self._theme.color("text" if chosen else "text_secondary"))

    def _changed(self, item: QTreeWidgetItem, column: int) -> None:
        if column == 0:
            self.ticked.emit(item.data(0, _NAME), item.checkState(0) == Qt.CheckState.Checked)


def _item(entry: Entry, short: str) -> QTreeWidgetItem:
    matrix = " × ".join(f"{side:,}" for side in entry.candidate.shape) if entry.candidate is not None else ""
    item = QTreeWidgetItem([short, matrix, "", "", ""])
    item.setData(0, _NAME, entry.layer.name)
    for column in range(1, 5):
        item.setTextAlignment(column, _side(column))
    return item


def _side(column: int) -> Qt.AlignmentFlag:
    return (Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft) | Qt.AlignmentFlag.AlignVCenter

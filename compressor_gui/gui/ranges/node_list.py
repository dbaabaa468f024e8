"""The nodes that have a range: name, range and a small histogram each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QPainter, QPen
from PySide6.QtWidgets import QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from compressor_gui.core import units
from compressor_gui.core.measure import RangeHistogram
from compressor_gui.core.names import short_names
from compressor_gui.core.ranges_file import Limits
from compressor_gui.gui.ranges.plot import columns
from compressor_gui.gui.theme import BODY, SMALL, Theme, font

Index = QModelIndex | QPersistentModelIndex

_COLUMNS = 32
_SPARK = QSize(72, 26)
_ROW = 44
_PAD = 8
NAME = Qt.ItemDataRole.UserRole


def range_words(limits: Limits) -> str:
    """``-1.2 … 6``."""
    return f"{units.number(limits[0])} … {units.number(limits[1])}"


class NodesModel(QAbstractListModel):
    """The nodes in the graph's order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.ranges: Mapping[str, Limits] = {}
        self.edited: Collection[str] = ()
        self._short: dict[str, str] = {}
        self._sparks: dict[str, tuple[np.ndarray, np.ndarray, float]] = {}

    def show(self, ranges: Mapping[str, Limits], histograms: Mapping[str, RangeHistogram]) -> None:
        """Show other nodes."""
        self.beginResetModel()
        self.names = list(ranges)
        self.ranges, self.edited = ranges, ()
        self._short = short_names(self.names)
        self._sparks = {name: columns(histograms.get(name), _COLUMNS) for name in self.names}
        self.endResetModel()

    def update(self, ranges: Mapping[str, Limits], edited: Collection[str]) -> None:
        """Show other ranges of the same nodes."""
        self.ranges, self.edited = ranges, edited
        if self.names:
            self.dataChanged.emit(self.index(0), self.index(len(self.names) - 1))

    def spark(self, name: str) -> tuple[np.ndarray, np.ndarray, float]:
        """The columns of a node's small histogram."""
        return self._sparks[name]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 (as in Qt)
        """How many nodes there are."""
        return 0 if parent.isValid() else len(self.names)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The short name; the whole one in the tooltip; all of it for a screen reader."""
        name = self.names[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._short[name]
        if role == NAME:
            return name
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{name}\n{range_words(self.ranges[name])}"
        if role == Qt.ItemDataRole.AccessibleTextRole:
            edited = ", edited" if name in self.edited else ""
            return f"{name}, {range_words(self.ranges[name])}{edited}"
        return None


class _Delegate(QStyledItemDelegate):
    """Paints a row; a dot marks a range that was changed by hand."""

    def __init__(self, model: NodesModel, theme: Theme) -> None:
        super().__init__()
        self._model, self._theme = model, theme

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        """Two lines."""
        return QSize(200, _ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Name, range, and histogram with the range's ends."""
        model, theme, name = self._model, self._theme, index.data(NAME)
        box: QRect = option.rect.adjusted(2, 1, -2, -1)
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if chosen or option.state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("row_selected" if chosen else "row_hover"))
            painter.drawRoundedRect(box, 4, 4)
        spark = QRectF(box.right() - _PAD - _SPARK.width(), box.center().y() - _SPARK.height() / 2 + 0.5,
                       _SPARK.width(), _SPARK.height())  # fmt: skip
        words = QRect(box.left() + _PAD, box.top() + 4, int(spark.left()) - box.left() - 2 * _PAD, 18)
        painter.setPen(theme.color("text"))
        painter.setFont(font(BODY, QFont.Weight.DemiBold if chosen else QFont.Weight.Normal))
        text = painter.fontMetrics().elidedText(index.data(), Qt.TextElideMode.ElideMiddle, words.width())
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, text)
        words.translate(0, 18)
        edited = name in model.edited
        painter.setFont(font(SMALL))
        painter.setPen(theme.color("accent_and_threshold" if edited else "text_secondary"))
        painter.drawText(
            words, Qt.AlignmentFlag.AlignVCenter, ("● " if edited else "") + range_words(model.ranges[name])
        )
        self._paint_spark(painter, spark, name)
        painter.restore()

    def _paint_spark(self, painter: QPainter, box: QRectF, name: str) -> None:
        middles, heights, width = self._model.spark(name)
        low, high = self._model.ranges[name]
        ends = (low, high, *((middles[0] - width / 2, middles[-1] + width / 2) if middles.size else ()))
        left, right = min(ends), max(ends)
        scale = box.width() / ((right - left) or 1.0)
        painter.setPen(Qt.PenStyle.NoPen)
        for token, inside in (("histogram_kept", True), ("histogram_zeroed", False)):
            painter.setBrush(self._theme.color(token))
            mask = (middles >= low) & (middles <= high)
            for middle, height in zip(middles[mask == inside], heights[mask == inside], strict=True):
                tall = box.height() * float(height)
                at = box.left() + (middle - width / 2 - left) * scale
                painter.drawRect(QRectF(at, box.bottom() - tall, max(width * scale - 0.5, 0.5), tall))
        painter.setPen(QPen(self._theme.color("accent_and_threshold"), 1))
        for place in (low, high):
            x = box.left() + (place - left) * scale
            painter.drawLine(QPointF(x, box.top()), QPointF(x, box.bottom()))


class NodeList(QListView):
    """The list; ``nodes`` is its model."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("rangeNodes")
        self.nodes = NodesModel()
        self.setModel(self.nodes)
        self._delegate = _Delegate(self.nodes, theme)
        self.setItemDelegate(self._delegate)
        self.setMouseTracking(True)
        self.setUniformItemSizes(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Nodes with a range")
        theme.changed.connect(self.viewport().update)

    def count(self) -> int:
        """How many nodes there are."""
        return self.nodes.rowCount()

    @property
    def current(self) -> str:
        """The node that is selected; empty where none is."""
        index = self.currentIndex()
        return str(index.data(NAME)) if index.isValid() else ""

    def choose(self, name: str) -> None:
        """Select a node; the first where there is none of that name."""
        row = self.nodes.names.index(name) if name in self.nodes.names else 0
        self.setCurrentIndex(self.nodes.index(row))

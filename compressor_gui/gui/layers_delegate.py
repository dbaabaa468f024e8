"""How the layers table looks: text, thumbnails, and a slider in every row."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from PySide6.QtCore import QAbstractItemModel, QModelIndex, QPersistentModelIndex, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QDoubleSpinBox, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from compressor_gui.core.memo import by_identity
from compressor_gui.core.stats import Magnitudes
from compressor_gui.gui.layer_row import CURVE, Row, sensitivity
from compressor_gui.gui.layers_model import HEADINGS, Column, LayersModel, LayersProxy, cell_text
from compressor_gui.gui.theme import BODY, MARGIN, SMALL, UNIT, Theme, font

ROW_HEIGHT = 33
PAD = 4
"""Left and right of a cell's content; the first column has the panel's own margin."""
_HANDLE = 6.0
_NUMBER = 40
"""Pixels for ``≈99.5 %`` beside the slider."""
_BINS = 24


def track_rect(cell: QRect) -> QRectF:
    """The slider's track in a sparsity cell; its ends are the handle's centre at 0 and 100 %."""
    left = cell.left() + PAD + _HANDLE
    return QRectF(left, cell.center().y() - 1.0, max(cell.right() - _NUMBER - PAD - _HANDLE - left, 16.0), 3.0)


def value_at(track: QRectF, x: float) -> float:
    """The slider's value, 0..1, with its handle at ``x``."""
    return min(max((x - track.left()) / track.width(), 0.0), 1.0)


def paint_slider(painter: QPainter, track: QRectF, value: float, theme: Theme, strong: bool = False) -> None:
    """A slider: the track, its filled part, and the handle; ``strong`` where it has the keyboard or the mouse."""
    x = track.left() + track.width() * value
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.color("slider_track"))
    painter.drawRoundedRect(track, 1.5, 1.5)
    painter.setBrush(theme.color("accent_and_threshold"))
    painter.drawRoundedRect(QRectF(track.left(), track.top(), x - track.left(), track.height()), 1.5, 1.5)
    centre = QPointF(x, track.center().y())
    if strong:
        painter.setBrush(theme.color("accent_and_threshold", 0.2))
        painter.drawEllipse(centre, _HANDLE + 4, _HANDLE + 4)
    painter.setBrush(theme.color("panel"))
    painter.setPen(QPen(theme.color("accent_and_threshold"), 2))
    painter.drawEllipse(centre, _HANDLE - 1, _HANDLE - 1)


@by_identity
def _small_histogram(table: Magnitudes) -> tuple[np.ndarray, float]:
    """Log counts, 0..1, of :data:`_BINS` even bins of |w|, and their width."""
    top = float(table.values[-1]) if table.values.size else 0.0
    if top <= 0:
        return np.zeros(_BINS), 1.0
    place = np.minimum((table.values.astype(np.float64) * (_BINS / top)).astype(np.intp), _BINS - 1)
    heights = np.log1p(np.bincount(place, table.counts, _BINS))
    return heights / heights.max(), top / _BINS


@by_identity
def _thumbnails(_table: Magnitudes) -> dict[tuple[float, float], QPolygonF]:
    return {}


def _thumbnail(table: Magnitudes, width: float, height: float) -> QPolygonF:
    """The sensitivity curve in a box of this size; kept, as a drag paints it many times a second."""
    known = _thumbnails(table)
    if (width, height) not in known:
        known.clear()  # of the column's old width
        points = zip(CURVE.tolist(), sensitivity(table).tolist(), strict=True)
        known[width, height] = QPolygonF([QPointF(x * width, (1 - y) * height) for x, y in points])
    return known[width, height]


@cache
def _font(size: int, weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
    return font(size, weight)


class LayersDelegate(QStyledItemDelegate):
    """Paints every cell of the layers table."""

    def __init__(self, model: LayersModel, proxy: LayersProxy, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._model = model
        self._proxy = proxy
        self._theme = theme
        self.dragged: int | None = None
        """The source row whose slider is being dragged."""

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex) -> QSize:
        """All rows are equally high."""
        return QSize(40, ROW_HEIGHT)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Paint one cell."""
        place = self._proxy.mapToSource(index).row()
        row, column = self._model.rows[place], Column(index.column())
        state: QStyle.StateFlag = option.state
        cell: QRect = option.rect
        chosen = bool(state & QStyle.StateFlag.State_Selected)
        focused = chosen and bool(option.widget and option.widget.hasFocus())
        painter.save()
        if chosen:
            painter.fillRect(cell, self._theme.color("row_selected"))
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(cell, self._theme.color("row_hover"))
        painter.fillRect(cell.left(), cell.bottom(), cell.width(), 1, self._theme.color("hairline"))
        if column == Column.SENSITIVITY:
            self._paint_sensitivity(painter, cell, row)
        elif column == Column.HISTOGRAM:
            self._paint_histogram(painter, cell, row)
        elif column == Column.SPARSITY:
            self._paint_sparsity(painter, cell, row, focused or place == self.dragged)
        else:
            self._paint_text(painter, cell, row, column)
        painter.restore()

    def _paint_text(self, painter: QPainter, cell: QRect, row: Row, column: Column) -> None:
        inner = cell.adjusted(MARGIN if column == Column.NAME else PAD, 0, -PAD, 0)
        secondary = column in (Column.OP, Column.SHAPE)
        painter.setFont(_font(BODY, QFont.Weight.Medium if column == Column.NAME else QFont.Weight.Normal))
        if column == Column.OP:
            painter.setFont(_font(SMALL))
        elif column in (Column.SHAPE, Column.SIZE, Column.PARAMETERS, Column.THRESHOLD):
            painter.setFont(_font(BODY - 1))
        painter.setPen(self._theme.color("text_secondary" if secondary else "text"))
        text = cell_text(row, column)
        side = Qt.AlignmentFlag.AlignRight if HEADINGS[column].right else Qt.AlignmentFlag.AlignLeft
        elide = Qt.TextElideMode.ElideRight if column == Column.OP else Qt.TextElideMode.ElideMiddle
        metrics = painter.fontMetrics()
        if column == Column.NAME and row.shared and metrics.horizontalAdvance(text) > inner.width():
            own = f"…{text[row.shared :]}"  # what the rows around it have too says the least
            if metrics.horizontalAdvance(own) <= inner.width():
                elide = Qt.TextElideMode.ElideLeft
            else:
                text = own
        shown = metrics.elidedText(text, elide, inner.width())
        painter.drawText(inner, side | Qt.AlignmentFlag.AlignVCenter, shown)

    def _paint_sensitivity(self, painter: QPainter, cell: QRect, row: Row) -> None:
        if row.magnitudes is None or row.locked:
            return
        box = QRectF(cell).adjusted(PAD, 7, -PAD, -9)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        estimated = QPen(self._theme.color("text_disabled_and_edges" if row.losses else "text_secondary"), 1.2)
        if row.losses:
            estimated.setStyle(Qt.PenStyle.DashLine)
        painter.setPen(estimated)
        painter.drawPolyline(_thumbnail(row.magnitudes, box.width(), box.height()).translated(box.topLeft()))
        if row.losses:
            painter.setPen(QPen(self._theme.color("text"), 1.5))
            points = [QPointF(box.left() + x * box.width(), box.top() + (1 - y) * box.height()) for x, y in row.losses]
            painter.drawPolyline(QPolygonF(points))
        if row.wanted is not None:
            x = box.left() + box.width() * row.wanted
            painter.setPen(QPen(self._theme.color("accent_and_threshold"), 1.5))
            painter.drawLine(QPointF(x, box.top() - 1), QPointF(x, box.bottom() + 1))

    def _paint_histogram(self, painter: QPainter, cell: QRect, row: Row) -> None:
        if row.magnitudes is None:
            return
        box = QRectF(cell).adjusted(PAD, 6, -PAD, -7)
        heights, width = _small_histogram(row.magnitudes)
        cut = math.inf if row.threshold is None else row.threshold / width / _BINS
        step = box.width() / _BINS
        painter.setPen(Qt.PenStyle.NoPen)
        for index, height in enumerate(heights.tolist()):
            zeroed = (index + 0.5) / _BINS < cut and row.threshold is not None
            painter.setBrush(self._theme.color("histogram_zeroed" if zeroed else "histogram_kept"))
            high = box.height() * height
            painter.drawRect(QRectF(box.left() + index * step, box.bottom() - high, step - 0.5, high))

    def _paint_sparsity(self, painter: QPainter, cell: QRect, row: Row, strong: bool) -> None:
        if row.locked:
            painter.setFont(_font(SMALL))
            painter.setPen(self._theme.color("text_disabled_and_edges"))
            inner = cell.adjusted(PAD, 0, -MARGIN // 2, 0)
            stored = (row.after or row.layer).tensor.dtype.label
            painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter, f"stored as {stored}")
        elif row.wanted is not None:
            paint_slider(painter, track_rect(cell), row.wanted, self._theme, strong)
        number = cell.adjusted(0, 0, -UNIT * 2, 0)
        if row.rounded and not row.locked:  # the number is not the slider's: say whose it is
            painter.setFont(_font(SMALL))
            painter.setPen(self._theme.color("text_secondary"))
            below = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom
            painter.drawText(number.adjusted(0, 0, 0, -3), below, "in 8 bits")
            number.adjust(0, 0, 0, 4 - number.height() // 2)
        paint_percent(painter, number, row.sparsity_text(), row.exact, self._theme)

    # -- typing a sparsity ---------------------------------------------------------------------------------------

    def createEditor(
        self, parent: QWidget, _option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex
    ) -> QWidget:
        """A field for a sparsity in percent."""
        field = QDoubleSpinBox(parent, minimum=0.0, maximum=100.0, decimals=1, suffix=" %", singleStep=1.0)
        field.setObjectName("sparsityField")
        field.setAccessibleName("Sparsity in percent")
        field.setAlignment(Qt.AlignmentFlag.AlignRight)
        field.setFrame(False)
        return field

    def setEditorData(self, editor: QWidget, index: QModelIndex | QPersistentModelIndex) -> None:
        """Show what the recipe asks for, to be typed over."""
        assert isinstance(editor, QDoubleSpinBox)
        editor.setValue(index.data(Qt.ItemDataRole.EditRole))
        editor.selectAll()

    def setModelData(
        self, editor: QWidget, model: QAbstractItemModel, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Prune, where another number was typed."""
        assert isinstance(editor, QDoubleSpinBox)
        editor.interpretText()
        if editor.value() != round(index.data(Qt.ItemDataRole.EditRole), 1):
            model.setData(index, editor.value())

    def updateEditorGeometry(
        self, editor: QWidget, option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """Over the number and some of the slider."""
        cell: QRect = option.rect
        editor.setGeometry(cell.adjusted(max(cell.width() - 84, 0), 3, -2, -4))


def paint_percent(painter: QPainter, cell: QRect, text: str, exact: bool, theme: Theme) -> None:
    """The number beside a slider, secondary where it is estimated."""
    painter.setFont(_font(BODY - 1))
    painter.setPen(theme.color("text" if exact else "text_secondary"))
    painter.drawText(cell, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text)

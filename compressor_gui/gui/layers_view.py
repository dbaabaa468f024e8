"""The layers table with its sliders, and the slider of all layers: where they are painted, they are dragged."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QSizePolicy, QTableView, QWidget

from compressor_gui.core import units
from compressor_gui.gui.layers_delegate import (
    ROW_HEIGHT,
    LayersDelegate,
    paint_percent,
    paint_slider,
    track_rect,
    value_at,
)
from compressor_gui.gui.layers_model import HEADINGS, Column, LayersModel, LayersProxy, Row, percent_text
from compressor_gui.gui.theme import UNIT, Theme

_SPARED = (Column.OP, Column.SENSITIVITY)
"""Columns that a narrow panel does without, the first one first."""
_NAME_ROOM = 88
"""Pixels that the names have before columns are left out for them."""


def step_by_key(event: QKeyEvent, value: float) -> float | None:
    """Where a key moves a slider: arrows by 1 %, with Shift by 10 %, Home and End to the ends; None for other keys."""
    step = 0.1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 0.01
    moved = {
        Qt.Key.Key_Left: value - step,
        Qt.Key.Key_Right: value + step,
        Qt.Key.Key_Home: 0.0,
        Qt.Key.Key_End: 1.0,
    }.get(Qt.Key(event.key()))
    return None if moved is None else min(max(round(moved, 4), 0.0), 1.0)


class LayersView(QTableView):
    """The table; its sliders are dragged where they are painted.

    ``moved(source row, sparsity)`` is emitted on every frame of a drag and for every key, ``rested()`` at its end.
    """

    moved = Signal(int, float)
    rested = Signal()

    def __init__(self, model: LayersModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layers = model
        self._grip = 0.0
        self._chosen: set[Column] = {
            column for column, heading in HEADINGS.items() if heading.shown and column != Column.NAME
        }
        self._spared: tuple[Column, ...] = _SPARED
        self.proxy = LayersProxy(model)
        self.setModel(self.proxy)
        self._delegate = LayersDelegate(model, self.proxy, theme, self)
        self.setItemDelegate(self._delegate)
        self.setObjectName("layersTable")
        self.setAccessibleName("Layers")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setMouseTracking(True)
        self.setCornerButtonEnabled(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self._set_up_header()

    def _set_up_header(self) -> None:
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsClickable(True)
        header.setSectionsMovable(False)
        header.setMinimumSectionSize(44)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(self._choose_columns)
        for column, heading in HEADINGS.items():
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Interactive)
            header.resizeSection(column, heading.width)
        header.setSectionResizeMode(Column.NAME, QHeaderView.ResizeMode.Stretch)
        self._fit_columns()

    def column_menu(self) -> QMenu:
        """The menu that shows and hides columns; the names always stay."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for column, heading in HEADINGS.items():
            if column == Column.NAME:
                continue
            action = QAction(heading.title, menu, checkable=True)
            action.setChecked(column in self._chosen)
            action.setToolTip(heading.tip)
            action.toggled.connect(lambda shown, column=column: self.show_column(column, shown))
            menu.addAction(action)
        return menu

    def show_column(self, column: Column, shown: bool) -> None:
        """Show or hide a column, as the user wants it."""
        self._chosen = self._chosen | {column} if shown else self._chosen - {column}
        self._spared = tuple(spared for spared in self._spared if spared != column or not shown)
        self._fit_columns()

    def _fit_columns(self) -> None:
        """Show the chosen columns; in a narrow panel the names' room comes before what their tooltips say too."""
        room = self.viewport().width() - _NAME_ROOM
        shown = set(self._chosen)
        for spared in self._spared:
            if sum(self.columnWidth(column) or HEADINGS[column].width for column in shown) > room:
                shown.discard(spared)
        for column in HEADINGS:
            self.setColumnHidden(column, column != Column.NAME and column not in shown)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Make the columns fit."""
        super().resizeEvent(event)
        self._fit_columns()

    def _choose_columns(self, at: QPoint) -> None:
        self.column_menu().popup(self.horizontalHeader().mapToGlobal(at))

    # -- the sliders ---------------------------------------------------------------------------------------------

    def slider_rect(self, source_row: int) -> QRectF:
        """The track of a row's slider, in the viewport."""
        index = self.proxy.mapFromSource(self._layers.index(source_row, Column.SPARSITY))
        return track_rect(self.visualRect(index))

    def _slider_under(self, at: QPoint) -> int | None:
        """The source row whose slider lies under a point of the viewport."""
        index = self.indexAt(at)
        if not index.isValid() or index.column() != Column.SPARSITY:
            return None
        row = self.proxy.mapToSource(index).row()
        track = track_rect(self.visualRect(index)).adjusted(-8, 0, 8, 0)
        movable = _movable(self._layers.rows[row])
        return row if movable and track.left() <= at.x() <= track.right() else None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of a slider; elsewhere select."""
        super().mousePressEvent(event)
        row = self._slider_under(event.position().toPoint())
        if event.button() != Qt.MouseButton.LeftButton or row is None:
            return
        self._delegate.dragged = row
        track, wanted = self.slider_rect(row), self._layers.rows[row].wanted or 0.0
        handle = track.left() + track.width() * wanted
        distance = event.position().x() - handle
        self._grip = distance if abs(distance) <= 8 else 0.0  # the handle is dragged from where it was taken
        self._drag(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the slider that is held."""
        if self._delegate.dragged is None:
            super().mouseMoveEvent(event)
            over = self._slider_under(event.position().toPoint()) is not None
            self.viewport().setCursor(Qt.CursorShape.SplitHCursor if over else Qt.CursorShape.ArrowCursor)
        else:
            self._drag(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go of the slider."""
        super().mouseReleaseEvent(event)
        if self._delegate.dragged is not None and event.button() == Qt.MouseButton.LeftButton:
            self._delegate.dragged = None
            self.viewport().update()
            self.rested.emit()

    def _drag(self, event: QMouseEvent) -> None:
        row = self._delegate.dragged
        assert row is not None
        track = self.slider_rect(row)
        value = value_at(track, event.position().x() - self._grip)
        if abs(value - (self._layers.rows[row].wanted or 0.0)) * track.width() >= 0.5:
            self.moved.emit(row, value)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left, Right, Home and End move the slider of the selected row."""
        row = self.current_row()
        if row is not None and _movable(self._layers.rows[row]):
            moved = step_by_key(event, self._layers.rows[row].wanted or 0.0)
            if moved is not None:
                self.moved.emit(row, moved)
                return
        super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """A key that was let go ends a step of undo."""
        super().keyReleaseEvent(event)
        if not event.isAutoRepeat() and step_by_key(event, 0.0) is not None:
            self.rested.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Over the selected row's slider, with the focus, the wheel moves it; elsewhere it scrolls."""
        row = self._slider_under(event.position().toPoint())
        if self.hasFocus() and row is not None and row == self.current_row() and event.angleDelta().y():
            value = (self._layers.rows[row].wanted or 0.0) + event.angleDelta().y() / 120 * 0.01
            self.moved.emit(row, min(max(round(value, 4), 0.0), 1.0))
            event.accept()
        else:
            super().wheelEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """What the keys and the wheel did is a step of undo."""
        super().focusOutEvent(event)
        self.rested.emit()

    def current_row(self) -> int | None:
        """The source row that is selected."""
        index = self.currentIndex()
        return self.proxy.mapToSource(index).row() if index.isValid() and self.selectionModel().hasSelection() else None

    def show_row(self, source_row: int | None) -> None:
        """Select a row and scroll to it; None clears the selection."""
        if source_row is None:
            self.clearSelection()
            self.setCurrentIndex(QModelIndex())
        elif source_row != self.current_row():
            index = self.proxy.mapFromSource(self._layers.index(source_row, Column.NAME))
            if index.isValid():
                self.setCurrentIndex(index)
                self.scrollTo(index)


def _movable(row: Row) -> bool:
    return not row.locked and row.wanted is not None


class SparsitySlider(QWidget):
    """One slider with its number: the sparsity of all layers together."""

    moved = Signal(float)
    rested = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._value: float | None = None
        self._exact = False
        self._held = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Sparsity of all layers")
        self.setToolTip("Every layer gets this sparsity; arrow keys move it by 1 %, with Shift by 10 %")

    def sizeHint(self) -> QSize:
        """As wide as it may be, as high as a row."""
        return QSize(200, ROW_HEIGHT)

    def show_value(self, value: float | None, exact: bool) -> None:
        """Show a sparsity, 0..1; None while it is unknown."""
        if (value, exact) != (self._value, self._exact):
            self._value, self._exact = value, exact
            self.setEnabled(value is not None)
            self.setAccessibleDescription("" if value is None else units.percent(value))
            self.update()

    def track(self) -> QRectF:
        """The track, in the widget."""
        return track_rect(QRect(0, 0, self.width(), self.height()))

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the slider as the table's are."""
        if self._value is None:
            return
        painter = QPainter(self)
        paint_slider(painter, self.track(), self._value, self._theme, self.hasFocus() or self._held)
        text = percent_text(self._value, self._exact)
        paint_percent(painter, self.rect().adjusted(0, 0, -UNIT * 2, 0), text, self._exact, self._theme)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of the slider."""
        if event.button() == Qt.MouseButton.LeftButton and self._value is not None:
            self._held = True
            self.moved.emit(value_at(self.track(), event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag it."""
        if self._held:
            self.moved.emit(value_at(self.track(), event.position().x()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go of it."""
        if self._held and event.button() == Qt.MouseButton.LeftButton:
            self._held = False
            self.update()
            self.rested.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The same keys as in the table."""
        moved = None if self._value is None else step_by_key(event, self._value)
        if moved is None:
            super().keyPressEvent(event)
        else:
            self.moved.emit(moved)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """A key that was let go ends a step of undo."""
        super().keyReleaseEvent(event)
        if not event.isAutoRepeat() and step_by_key(event, 0.0) is not None:
            self.rested.emit()

"""The layers table: its sliders are dragged, and its numbers typed, where they are painted."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QItemSelectionModel, QModelIndex, QPoint, QRectF, Qt, Signal
from PySide6.QtGui import QAction, QContextMenuEvent, QFocusEvent, QKeyEvent, QMouseEvent, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView, QWidget

from compressor_gui.gui.layers_delegate import ROW_HEIGHT, LayersDelegate, track_rect
from compressor_gui.gui.layers_model import HEADINGS, Column, LayersModel, LayersProxy
from compressor_gui.gui.sparsity_slider import Grip, snapped, step_by_key
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.widgets import restyle

_SPARED = (Column.OP, Column.SENSITIVITY, Column.SIZE)
"""Columns that a narrow panel does without, the first one first."""
_NAME_ROOM = 88
"""Pixels that the names have before columns are left out for them."""


class LayersView(QTableView):
    """The table; its sliders are dragged where they are painted.

    ``moved(source row, sparsity)`` is emitted on every frame of a drag and for every key, ``rested()`` at its end;
    ``curve_clicked()`` when the sensitivity of a row, then the selected one, is clicked; ``menu_wanted(source row,
    place on the screen)`` for a row's menu.
    """

    moved = Signal(int, float)
    rested = Signal()
    curve_clicked = Signal()
    menu_wanted = Signal(int, QPoint)

    def __init__(self, model: LayersModel, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layers = model
        self._grip: Grip | None = None
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
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
            | QAbstractItemView.EditTrigger.AnyKeyPressed
        )
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
        movable = self._layers.rows[row].movable
        return row if movable and track.left() <= at.x() <= track.right() else None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of a slider; elsewhere select."""
        super().mousePressEvent(event)
        row = self._slider_under(event.position().toPoint())
        if event.button() != Qt.MouseButton.LeftButton or row is None:
            return
        self._delegate.dragged = row
        # the digits stay the keys of the views after a drag; they are typed where the number was clicked
        name = self.currentIndex().siblingAtColumn(Column.NAME)
        self.selectionModel().setCurrentIndex(name, QItemSelectionModel.SelectionFlag.NoUpdate)
        self._grip = Grip(self.slider_rect(row), self._layers.rows[row].wanted or 0.0, event)
        self._follow(self._grip.value)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the slider that is held; the cursor says what can be dragged, typed over or clicked."""
        if self._grip is not None:
            self._follow(self._grip.move(event))
            return
        super().mouseMoveEvent(event)
        index = self.indexAt(event.position().toPoint())
        if self._slider_under(event.position().toPoint()) is not None:
            cursor = Qt.CursorShape.SplitHCursor
        elif index.isValid() and index.flags() & Qt.ItemFlag.ItemIsEditable:
            cursor = Qt.CursorShape.IBeamCursor
        elif index.column() == Column.SENSITIVITY:
            cursor = Qt.CursorShape.PointingHandCursor
        else:
            cursor = Qt.CursorShape.ArrowCursor
        self.viewport().setCursor(cursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go of the slider."""
        super().mouseReleaseEvent(event)
        if event.button() != Qt.MouseButton.LeftButton:
            return
        if self._grip is not None:
            self._grip = self._delegate.dragged = None
            self.viewport().update()
            self.rested.emit()
        elif self.indexAt(event.position().toPoint()).column() == Column.SENSITIVITY:
            self.curve_clicked.emit()

    def _follow(self, value: float) -> None:
        row = self._delegate.dragged
        if row is not None and value != self._layers.rows[row].wanted:
            self.moved.emit(row, value)

    # -- the numbers ---------------------------------------------------------------------------------------------

    def edit_sparsity(self, source_row: int) -> None:
        """Open the editor of a row's sparsity; nothing where it can't be pruned."""
        index = self.proxy.mapFromSource(self._layers.index(source_row, Column.SPARSITY))
        if index.isValid() and self._layers.rows[source_row].movable:
            self.setCurrentIndex(index)
            self.edit(index)

    def event(self, event: QEvent) -> bool:
        """Digits belong to a sparsity that was clicked, before they are shortcuts of the window."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and self._types(event):
            event.accept()
            return True
        return super().event(event)

    def _types(self, event: QKeyEvent) -> bool:
        return event.text().isdigit() and bool(self.currentIndex().flags() & Qt.ItemFlag.ItemIsEditable)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left, Right, Home and End move the slider of the selected row; Enter, or a digit, edits its number."""
        row = self.current_row()
        if self.state() == QAbstractItemView.State.EditingState or self._types(event):
            super().keyPressEvent(event)
            return
        if row is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_F2):
            self.edit_sparsity(row)
            return
        if row is not None and self._layers.rows[row].movable:
            moved = step_by_key(event, self._layers.rows[row].wanted or 0.0)
            if moved is not None:
                self.moved.emit(row, moved)
                return
        if event.text().isprintable() and event.text():
            event.ignore()  # a letter neither edits a number nor searches the first column
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
            self.moved.emit(row, snapped(value, Qt.KeyboardModifier.NoModifier))
            event.accept()
        else:
            super().wheelEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show where the keys go, where it was they that brought the focus here."""
        super().focusInEvent(event)
        by_keys = event.reason() in (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)
        restyle(self, ring=by_keys)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """What the keys and the wheel did is a step of undo."""
        super().focusOutEvent(event)
        restyle(self, ring=False)
        self.rested.emit()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """The menu of the row under the mouse, or by key of the one that is selected."""
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        index = self.currentIndex() if by_key else self.indexAt(event.pos())
        if index.isValid() and (not by_key or self.current_row() is not None):
            at = self.visualRect(index.siblingAtColumn(Column.NAME)).bottomLeft() if by_key else event.pos()
            self.menu_wanted.emit(self.proxy.mapToSource(index).row(), self.viewport().mapToGlobal(at))

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

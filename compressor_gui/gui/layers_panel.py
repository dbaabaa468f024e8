"""The layers panel: every weighted layer with a slider for its sparsity, and one slider for all of them."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QModelIndex, QPoint, QSize, Qt, Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QStackedLayout,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from compressor_gui.core import units
from compressor_gui.gui.document import Document
from compressor_gui.gui.empty_page import EmptyPage
from compressor_gui.gui.layer_menu import layer_menu
from compressor_gui.gui.layers_model import HEADINGS, Column, LayersModel
from compressor_gui.gui.layers_view import LayersView
from compressor_gui.gui.sparsity_slider import SparsitySlider
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import MARGIN, UNIT, Theme
from compressor_gui.gui.widgets import label

_SORTS = {"order": None, "name": Column.NAME, "op": Column.OP, "size": Column.SIZE, "sparsity": Column.SPARSITY}


class LayersPanel(QWidget):
    """The layers of the model that is open.

    ``curve_wanted()``: the selected layer's sensitivity is to be seen; ``node_wanted(name)``: so is a node.
    """

    open_requested = Signal()
    curve_wanted = Signal()
    node_wanted = Signal(str)

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layersPanel")
        self.setMinimumWidth(344)
        self._document = document
        self._theme = theme
        self.model = LayersModel(document, self)
        self.view = LayersView(self.model, theme)
        self.slider = SparsitySlider(theme)
        self._heading_note = QToolButton()
        self.filter = QLineEdit(placeholderText="Filter by name, op or shape", clearButtonEnabled=True)
        self._sort: tuple[Column | None, Qt.SortOrder] = (None, Qt.SortOrder.AscendingOrder)
        self._following = False
        self._build()
        self.setFocusProxy(self.view)

        self.view.moved.connect(self.drag_frame)
        self.view.rested.connect(document.end_merge)
        self.view.curve_clicked.connect(self.curve_wanted)
        self.view.menu_wanted.connect(self._open_menu)
        self.view.selectionModel().currentRowChanged.connect(self._row_chosen)
        self.view.horizontalHeader().sectionClicked.connect(lambda section: self._sort_clicked(Column(section)))
        self.slider.moved.connect(document.prune_all)
        self.slider.rested.connect(document.end_merge)
        self.filter.textChanged.connect(self._filter)
        self.model.modelReset.connect(self._reset)
        self.model.refreshed.connect(self._values_changed)
        document.changed.connect(self._changed)
        theme.changed.connect(self._repaint)
        self._reset()

    def _build(self) -> None:
        self._stack = QStackedLayout(self)
        self.empty = EmptyPage("Layers", top=UNIT * 2)
        self.empty.open_requested.connect(self.open_requested)
        self._stack.addWidget(self.empty)
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, UNIT * 2, 0, UNIT)
        column.setSpacing(UNIT)
        top = QHBoxLayout()
        top.setContentsMargins(MARGIN, 0, UNIT, 0)
        top.addWidget(label("Layers", "heading"))
        top.addStretch()
        self._heading_note.setObjectName("layersSort")
        self._heading_note.setProperty("role", "flat")
        self._heading_note.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._heading_note.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._heading_note.setToolTip("Sort the layers; a click on a column's title does too")
        self._heading_note.setMenu(self._sort_menu())
        top.addWidget(self._heading_note)
        column.addLayout(top)
        field = QHBoxLayout()
        field.setContentsMargins(MARGIN, 0, MARGIN, 0)
        self.filter.setAccessibleName("Filter layers")
        field.addWidget(self.filter)
        column.addLayout(field)
        column.addWidget(self.view, 1)
        self._all = QWidget()
        bottom = QHBoxLayout(self._all)
        bottom.setContentsMargins(MARGIN, 0, 0, 0)
        self.all_label = label("All layers, at least", "secondary")
        self.all_label.setMinimumWidth(self.all_label.sizeHint().width())  # the slider stays where it is
        bottom.addWidget(self.all_label)
        bottom.addWidget(self.slider, 1)
        column.addWidget(self._all)
        self._stack.addWidget(page)

    def _sort_menu(self) -> QMenu:
        menu = QMenu(self)
        for title, column in _SORTS.items():
            menu.addAction(f"By {title}").triggered.connect(_later(self.sort_by, column))
        return menu

    def sizeHint(self) -> QSize:
        """The drawing's width."""
        return QSize(378, 600)

    # -- what the user does --------------------------------------------------------------------------------------

    def drag_frame(self, row: int, sparsity: float) -> None:
        """One frame of dragging the slider of the ``row``-th layer: the document, and with it every view, follows."""
        self._document.prune_layer(self.model.rows[row].layer, sparsity)

    def sort_by(self, column: Column | None, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column, or (None) in the graph's own order."""
        self._sort = (column, order)
        header = self.view.horizontalHeader()
        header.setSortIndicatorShown(column is not None)
        if column is not None:
            header.setSortIndicator(column, order)
        self.view.proxy.sort(-1 if column is None else int(column), order)
        self._show_count()

    def _sort_clicked(self, column: Column) -> None:
        """First click ascending, second descending, third the graph's order."""
        if self._sort == (column, Qt.SortOrder.AscendingOrder):
            self.sort_by(column, Qt.SortOrder.DescendingOrder)
        else:
            self.sort_by(None if self._sort[0] == column else column)

    def _filter(self, text: str) -> None:
        self.view.proxy.look_for(text)
        self._show_count()

    def _row_chosen(self, current: QModelIndex, _previous: QModelIndex) -> None:
        self._document.end_merge()
        if current.isValid() and not self._following:
            self._document.select(self.model.rows[self.view.proxy.mapToSource(current).row()].layer.name)

    def row_menu(self, row: int) -> QMenu:
        """What can be done to the ``row``-th layer."""
        found = self.model.rows[row]
        name = found.layer.name
        return layer_menu(
            self._document, found, lambda: self.view.edit_sparsity(row), lambda: self.node_wanted.emit(name), self
        )

    def _open_menu(self, row: int, at: QPoint) -> None:
        self.row_menu(row).popup(at)

    # -- what the document says ----------------------------------------------------------------------------------

    def _changed(self, old: State, new: State) -> None:
        if old.selected != new.selected or old.made is not new.made:
            self._follow_selection()

    def _follow_selection(self) -> None:
        self._following = True
        selected = self._document.state.selected
        self.view.show_row(self.model.row_of(selected) if selected else None)
        self._following = False

    def _reset(self) -> None:
        source = self._document.state.source
        if source is None:
            self.empty.text.setText("The layers of a model stand here, each with a slider for its sparsity.")
        else:
            self.empty.text.setText(
                f"{source.path.name} has no convolution and no matrix product with constant weights."
            )
        self.empty.open_button.setVisible(source is None)
        self._stack.setCurrentIndex(1 if self.model.rows else 0)
        self.filter.clear()
        self.sort_by(None)
        self._values_changed()
        self._follow_selection()

    def _values_changed(self) -> None:
        rows = [row for row in self.model.rows if not row.locked]
        self._all.setVisible(bool(rows))
        common, overall = self.model.common(), self.model.overall()
        self.slider.show_value(overall if common is None else common, all(row.exact for row in rows))
        more = common is not None and any((row.wanted or 0.0) - common >= 0.005 for row in rows)
        kind = ", average" if common is None and overall is not None else ", at least" if more else ""
        self.all_label.setText(f"All layers{kind}")
        self.slider.setToolTip(_all_tip(kind, overall))

    def _show_count(self) -> None:
        shown, total = self.view.proxy.rowCount(), len(self.model.rows)
        count = f"{total}" if shown == total else f"{shown} of {total}"
        column = self._sort[0]
        self._heading_note.setText(f"{count} · by {'order' if column is None else HEADINGS[column].title}")

    def _repaint(self) -> None:
        self.view.viewport().update()
        self.slider.update()


def _all_tip(kind: str, overall: float | None) -> str:
    """What the slider of all layers shows, and does."""
    text = "Every layer gets this sparsity; arrow keys move it by 1 %, with Shift by 10 %"
    if kind and overall is not None:
        what = "the layers have different ones" if "average" in kind else "layers that have had more zeros keep them"
        text = f"{units.percent(overall)} of all weights are zero: {what}\n{text}"
    return text


def _later(run: Callable[[Column | None], None], column: Column | None) -> Callable[[], None]:
    return lambda: run(column)

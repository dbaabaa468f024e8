"""Noise in the measure panel: the layers that add most of it first, in the colours of the graph."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QHeaderView, QTreeWidget, QTreeWidgetItem

from compressor_gui.core import units
from compressor_gui.core.names import short_names
from compressor_gui.core.noise import LayerNoiseResult, NodeNoise, decibels
from compressor_gui.gui.canvas.colouring import ColorBy, shade, shown_noise
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.measure.part import STALE, Part
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import MARGIN, UNIT, Theme
from compressor_gui.gui.widgets import paragraph

_NODE = Qt.ItemDataRole.UserRole
_NUMBERS = ("SQNR", "by itself")
_ROWS, _ROW = 9, 24


class NoiseList(QTreeWidget):
    """Layers with the SQNR of their values, and that of each by itself; ``chosen(node)``: a row was clicked."""

    chosen = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._shown: tuple[tuple[NodeNoise, ...], bool] = ((), False)
        self.setObjectName("noiseList")
        self.setAccessibleName("Noise of each layer")
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setIconSize(QSize(10, 10))
        self.setHeaderLabels(["layer", *_NUMBERS])
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
            self.headerItem().setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.headerItem().setToolTip(1, "Of what the layer puts out, with all the noise that has reached it")
        self.headerItem().setToolTip(2, "What it would be if the layer read the original's values: its own noise alone")
        self.itemActivated.connect(lambda item: self.chosen.emit(item.data(0, _NODE)))
        self.itemClicked.connect(lambda item: self.chosen.emit(item.data(0, _NODE)))
        theme.changed.connect(self._restyle)

    def sizeHint(self) -> QSize:
        """A few rows; the rest is scrolled to."""
        rows = min(max(self.topLevelItemCount(), 1), _ROWS)
        return QSize(280, rows * _ROW + self.header().sizeHint().height() + 2 * self.frameWidth())

    def show_result(self, result: LayerNoiseResult, pale: bool) -> None:
        """Show a result, the worst layer first; ``pale`` where it belongs to another recipe."""
        if self._shown != (result.worst, pale):
            self._fill(result.worst, pale)
            self.setFixedHeight(self.sizeHint().height())

    def _restyle(self) -> None:
        self._fill(*self._shown)

    def _fill(self, nodes: tuple[NodeNoise, ...], pale: bool) -> None:
        self._shown = (nodes, pale)
        self.clear()
        short = short_names(one.layer for one in nodes)
        for one in nodes:
            own = "–" if one.own_db is None else decibels(one.own_db)
            item = QTreeWidgetItem([short[one.layer], decibels(one.sqnr_db), own])
            item.setData(0, _NODE, one.name)
            item.setSizeHint(0, QSize(0, _ROW))
            worst = one.sqnr_db if one.own_db is None else one.own_db
            item.setData(0, Qt.ItemDataRole.DecorationRole, self._theme.ramp(shade(worst)))
            for column in range(3):
                item.setToolTip(column, f"{one.name}\n{one.what}\n{one.words()}")
                if column:
                    item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                if pale:
                    item.setForeground(column, self._theme.color(STALE))
            self.addTopLevelItem(item)


class NoisePart(Part):
    """Where the noise of the compression arises. ``colour(what)`` colours the graph."""

    kind = "noise"
    verb = "Measure"
    empty = "How near each layer's values are to the original's, and which layer adds the noise."

    def __init__(
        self, measurer: Measurer, theme: Theme, start: Callable[[], None], colour: Callable[[ColorBy], None]
    ) -> None:
        super().__init__(measurer, theme, start)
        self.list = NoiseList(theme)
        self.list.chosen.connect(measurer.document.select)
        self.note = paragraph("", "small")
        self.note.setContentsMargins(MARGIN, UNIT, MARGIN, 0)
        inset = QHBoxLayout()
        inset.setContentsMargins(MARGIN, 0, MARGIN, 0)
        inset.addWidget(self.list)
        self.body.addLayout(inset)
        self.body.addWidget(self.note)
        self.colour_button = self.add_button(
            "Colour the graph", lambda: colour("noise"), "Colour the graph's boxes by the SQNR of their layers"
        )

    def start_words(self) -> str:
        """``Measure again`` where there is a result."""
        state = self.measurer.document.state
        return "Measure again" if shown_noise(state) is not None else self.verb

    def show_running(self) -> None:
        """There is nothing to start while the recipe does nothing."""
        super().show_running()
        self.start_button.setEnabled(self.is_running or bool(self.measurer.document.state.recipe.active))

    def changed(self, old: State, new: State) -> bool:
        """A second file takes the recipe's place."""
        return super().changed(old, new) or old.other is not new.other

    def show_state(self, state: State) -> None:
        """The noise of what the recipe makes, or else the newest."""
        found = shown_noise(state)
        self.colour_button.setVisible(found is not None)
        if found is None:
            nothing = "" if state.recipe.active else " Add a step to the recipe first."
            self.show_content(self.empty + nothing)
            return
        stale = found.is_stale(state.recipe, state.data)
        self.list.show_result(found.value, stale)
        self.note.setText(" · ".join(_words(found.value, stale)))
        self.show_content("")


def _words(result: LayerNoiseResult, stale: bool) -> list[str]:
    words = ["of an earlier recipe or other data: measure again"] if stale else []
    words.append(f"{units.counted(result.n, 'example')}, {result.seconds:.1f} s")
    if result.missing:
        words.append(f"{units.counted(len(result.missing), 'value')} inside of fused operations not compared")
    return [*words, *result.notes, *filter(None, [result.left_out])]

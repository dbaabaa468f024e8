"""Mixed precision: a target, the Pareto curve, and the bits of each layer at the point that is clicked."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from compressor_gui.core import units
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.mixed_job import TARGET_DB, Precision
from compressor_gui.core.names import short_names
from compressor_gui.gui.dialogs import Foot, dialog_column
from compressor_gui.gui.inspector.section import Fact, Facts
from compressor_gui.gui.job_bar import JobBar
from compressor_gui.gui.measure.data_part import words_of
from compressor_gui.gui.measure.words import data_name
from compressor_gui.gui.precision.finder import PrecisionFinder
from compressor_gui.gui.precision.plot import ParetoPlot
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.widgets import label, paragraph

_PLOT_HEIGHT = 280
_LEGEND = "● measured   ○ estimated   ·   click, or ← →; Space: the cheapest that meets the target"
_FUSED_TIP = "Needs a step fuse_int8 with ranges in the recipe: Calibrate stores them"


class PrecisionDialog(QDialog):
    """Starts the search and shows what it found; the point that is selected is put into the recipe."""

    def __init__(self, finder: PrecisionFinder, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.finder, self.document, self.theme = finder, finder.document, theme
        self.at = 0
        """The point that is selected."""
        self._shown: Precision | None = None
        self.setWindowTitle("Mixed precision")
        self.resize(980, 620)
        self._build()
        finder.changed.connect(self._show)
        self.document.changed.connect(self._document_changed)
        self._choose_target()
        self._show()

    def _build(self) -> None:
        column = dialog_column(self, "Each layer in as few bits as a target allows")
        self.words = paragraph("", "secondary")
        column.addWidget(self.words)
        column.addLayout(self._build_target())
        self.bar = JobBar()
        column.addWidget(self.bar)
        self.problem = paragraph("", "error")
        column.addWidget(self.problem)
        self.body = QWidget()
        row = QHBoxLayout(self.body)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(20)
        row.addLayout(self._build_curve(), 3)
        row.addLayout(self._build_point(), 2)
        column.addWidget(self.body, 1)
        column.addStretch(0)
        foot = Foot(self, "Use this point", "Close")
        self.close_button, self.use_button = foot.close_button, foot.accept_button
        self.use_button.setToolTip("The bits of each layer become a step of the recipe; it can be undone")
        column.addLayout(foot)

    def _build_target(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.kind = QComboBox()
        self.kind.setAccessibleName("Target")
        self.kind.addItem("Every output keeps an SQNR of", "min_sqnr_db")
        self.kind.addItem("Top-1 falls at most by", "max_drop")
        self.kind.currentIndexChanged.connect(self._choose_target)
        self.amount = QDoubleSpinBox()
        self.amount.setAccessibleName("Amount")
        self.amount.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.amount.setMinimumWidth(110)
        self.choices = QComboBox()
        self.choices.setAccessibleName("What layers may be")
        self.choices.addItem("weights of 2 to 32 bits", False)
        self.choices.addItem("fused int8, or float", True)
        self.choices.setItemData(1, _FUSED_TIP, Qt.ItemDataRole.ToolTipRole)
        self.run_button = QPushButton("Find")
        self.run_button.clicked.connect(self.run)
        row.addWidget(self.kind)
        row.addWidget(self.amount)
        row.addWidget(label("with"))
        row.addWidget(self.choices)
        row.addStretch(1)
        row.addWidget(self.run_button)
        return row

    def _build_curve(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(4)
        self.plot = ParetoPlot(self.theme, _PLOT_HEIGHT)
        self.plot.selected.connect(self.select)
        column.addWidget(self.plot, 1)
        self.legend = paragraph(_LEGEND, "small")
        column.addWidget(self.legend)
        return column

    def _build_point(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(8)
        self.facts = Facts(self.theme)
        self.facts.inset = 0
        column.addWidget(self.facts)
        self.table = QTableWidget(0, 3)
        self.table.setObjectName("precisionTable")
        self.table.setAccessibleName("Each layer's precision")
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setShowGrid(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(24)
        for at, name in enumerate(("layer", "precision", "SQNR alone")):
            head = QTableWidgetItem(name)
            side = Qt.AlignmentFlag.AlignRight if at else Qt.AlignmentFlag.AlignLeft
            head.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
            self.table.setHorizontalHeaderItem(at, head)
        header = self.table.horizontalHeader()
        header.setSectionsClickable(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        column.addWidget(self.table, 1)
        return column

    # -- searching -----------------------------------------------------------------------------------------------

    def _choose_target(self) -> None:
        """Give the amount the range, unit and first value of the target."""
        decibels = self.kind.currentData() == "min_sqnr_db"
        self.amount.setDecimals(1 if decibels else 2)
        self.amount.setRange(0.0, 100.0 if decibels else 99.0)
        self.amount.setSingleStep(1.0 if decibels else 0.1)
        self.amount.setSuffix(" dB" if decibels else " %")
        self.amount.setToolTip("" if decibels else "In percentage points; the examples need labels")
        self.amount.setValue(TARGET_DB if decibels else 0.1)

    def run(self) -> None:
        """Start, or cancel what runs."""
        self.problem.setText("")
        if self.finder.is_running:
            self.finder.cancel()
            return
        decibels, value = self.kind.currentData() == "min_sqnr_db", self.amount.value()
        target = {"min_sqnr_db": value} if decibels else {"max_drop": value / 100}
        self.finder.start(**target, fused=bool(self.choices.currentData()))

    # -- what is known -------------------------------------------------------------------------------------------

    def _document_changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            self.reject()
        elif old.recipe is not new.recipe or old.data is not new.data:
            self._show()

    def _show(self) -> None:
        finder = self.finder
        running, found = finder.is_running, finder.found
        self.run_button.setText("Cancel" if running else "Find")
        for widget in (self.kind, self.amount, self.choices):
            widget.setEnabled(not running)
        offered = self.choices.model()
        assert isinstance(offered, QStandardItemModel)
        offered.item(1).setEnabled(finder.fused_step is not None)
        if finder.fused_step is None and not running:
            self.choices.setCurrentIndex(0)
        self.bar.setVisible(running)
        self.bar.show_job(finder.job)
        if finder.error is not None:
            self.problem.setText(words_of(finder.error))
        elif found is not None:
            lack = found.lack
            self.problem.setText(f"No point meets the target: {lack}." if lack else "")
        self.problem.setVisible(bool(self.problem.text()))
        self.words.setText(self._sentence())
        self.body.setVisible(found is not None)
        if found is not self._shown:
            self._shown = found
            if found is not None:
                self.select(found.chosen)
        usable = found is not None and not finder.is_stale and not running
        self.use_button.setEnabled(usable)
        self.use_button.setDefault(usable)
        self.run_button.setDefault(not usable)

    def _sentence(self) -> str:
        finder, data = self.finder, self.document.state.data
        if finder.is_running:
            return (finder.job.message if finder.job is not None else "") or "Starting"
        if finder.is_stale:
            return "What is shown was measured before the recipe or the data changed: find again."
        if finder.found is not None:
            found = finder.found
            count = units.counted(len(found.measured), "point")
            examples = units.counted(found.n, "example")
            return (
                f"{count} of {len(found.path):,} measured on {examples}, {found.seconds:.3g} s; the rest is estimated."
            )
        where = f" on {data_name(data.path)}" if data is not None else ""
        return (
            f"Measures{where} what each layer costs alone at each number of bits, then all together, until the "
            "cheapest assignment that meets the target is found; it takes some minutes, and the window can be used "
            "meanwhile."
        )

    def select(self, at: int) -> None:
        """Show a point of the path."""
        found = self._shown
        if found is None:
            return
        self.at = at
        self.plot.show_found(found, at)
        self._show_facts(found, at)
        self._show_layers(found, at)

    def _show_facts(self, found: Precision, at: int) -> None:
        measured = next((point for point in found.measured if point.at == at), None)
        cost = found.path.costs[at]
        first = Fact("multiply-adds in float", units.amount(cost)) if found.fused else Fact("file", units.size(cost))
        value = found.estimates[at]
        words = units.percent(value) if found.metric == "top1" else _decibel(value)
        name = "top-1" if found.metric == "top1" else "worst output"
        if measured is None:
            facts = [first, Fact(f"{name}, estimated", f"≈ {words}", "Not measured with all layers together", True)]
        else:
            facts = [first, Fact(f"{name}, measured", words)]
            facts += [Fact("file", units.size(measured.bytes))] if found.fused else []
            if found.metric == "sqnr_db" and len(measured.outputs) > 1:
                facts += [Fact(output, _decibel(db)) for output, db in measured.outputs[:6]]
        self.facts.show_facts(facts)

    def _show_layers(self, found: Precision, at: int) -> None:
        bits = found.path.bits(at)
        short = short_names(layer.name for layer in found.layers)
        self.table.setRowCount(len(found.layers))
        for row, layer in enumerate(found.layers):
            its = bits[layer.name]
            precision = "float" if its == 32 else "int8" if found.fused else f"{its} bits"
            alone = _decibel(layer.db[layer.bits.index(its)])
            curve = "\n".join(f"{b} bits: {_decibel(db)}" for b, db in zip(layer.bits, layer.db, strict=True))
            for column, text in enumerate((short[layer.name], precision, alone)):
                item = QTableWidgetItem(text)
                side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
                item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
                item.setToolTip(f"{layer.name}\n{curve}")
                self.table.setItem(row, column, item)

    # -- using it ------------------------------------------------------------------------------------------------

    def accept(self) -> None:
        """Put the point into the recipe, as one step to undo."""
        self.document.set_recipe(self.finder.recipe(self.at), step=None)
        super().accept()

    def done(self, result: int) -> None:
        """Close; what runs goes on, and is shown when the dialog is opened again."""
        self.finder.changed.disconnect(self._show)
        self.document.changed.disconnect(self._document_changed)
        super().done(result)


def _decibel(db: float) -> str:
    return "equal" if db >= EXACT_DB else units.decibel(db)

"""The experiment table: float and every 8-bit form, filled row by row; each row is a recipe that can be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QByteArray, Qt, Signal
from PySide6.QtSvgWidgets import QSvgWidget
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from compressor_gui.core import pbio
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.experiment import Row, Table
from compressor_gui.core.experiment_table import as_csv, captions, cells, chart, heads, markdown
from compressor_gui.gui.dialogs import Foot, dialog_column
from compressor_gui.gui.job_bar import JobBar
from compressor_gui.gui.measure.data_part import words_of
from compressor_gui.gui.measure.experimenter import Experimenter
from compressor_gui.gui.measure.words import data_name
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.widgets import label, paragraph

_KINDS = {".md": "Markdown (*.md)", ".csv": "Numbers (*.csv)", ".svg": "Chart (*.svg)"}
_PLANNED = Table("", "", "", "")
"""What the table shows before anything is measured: the rows to come."""


class ExperimentDialog(QDialog):
    """Starts and shows the experiment; the document gets a row's recipe by a double click.

    ``saved(path)``: the table or chart was written to a file.
    """

    saved = Signal(object)

    def __init__(self, experimenter: Experimenter, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.experimenter, self.document, self.theme = experimenter, experimenter.document, theme
        self._shown: Table | None = None
        self.setWindowTitle("Experiment table")
        self.resize(940, 400)
        self._build()
        experimenter.changed.connect(self._show)
        self.document.changed.connect(self._document_changed)
        theme.changed.connect(self._draw)
        self._show()

    def _build(self) -> None:
        column = dialog_column(self, "Float and every 8-bit form, side by side")
        self.words = paragraph("", "secondary")
        column.addWidget(self.words)
        row = QHBoxLayout()
        row.addWidget(label("Ranges from"))
        self.calibration = QLineEdit()
        self.calibration.setAccessibleName("Examples that ranges come from")
        self.calibration.setPlaceholderText("the examples that are measured on; better are others, as for training")
        row.addWidget(self.calibration, 1)
        self.file_button, self.folder_button = QPushButton("File …"), QPushButton("Folder …")
        self.file_button.clicked.connect(self._ask_file)
        self.folder_button.clicked.connect(self._ask_folder)
        self.run_button = QPushButton("Measure")
        self.run_button.clicked.connect(self.run)
        for button in (self.folder_button, self.file_button, self.run_button):
            button.setAutoDefault(False)
            row.addWidget(button)
        column.addLayout(row)
        self.bar = JobBar()
        column.addWidget(self.bar)
        self.problem = paragraph("", "error")
        column.addWidget(self.problem)
        self.table = QTableWidget()
        self.table.setObjectName("experimentTable")
        self.table.setAccessibleName("The experiment table")
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(26)
        self.table.horizontalHeader().setSectionsClickable(False)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.itemSelectionChanged.connect(self._show_buttons)
        self.table.cellDoubleClicked.connect(self._use)
        column.addWidget(self.table)
        self.chart = _Chart()
        column.addWidget(self.chart, 0, Qt.AlignmentFlag.AlignHCenter)
        self.captions = paragraph("", "small")
        self.captions.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column.addWidget(self.captions)
        column.addStretch(1)
        self.save_button = QPushButton("Save …")
        self.save_button.setAutoDefault(False)
        self.save_button.setToolTip("The table as Markdown or CSV, or the chart as SVG")
        self.save_button.clicked.connect(self._ask_save)
        foot = Foot(self, "Use this recipe", "Close", [self.save_button])
        self.close_button, self.use_button = foot.close_button, foot.accept_button
        self.use_button.setToolTip("The row's steps become the recipe; it can be undone")
        column.addLayout(foot)

    # -- measuring -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start, or cancel what runs."""
        self.problem.setText("")
        path, data = self.calibration.text().strip(), self.document.state.data
        if self.experimenter.is_running:
            self.experimenter.cancel()
        elif not path:
            self.experimenter.start()
        elif data is not None:
            self.experimenter.measurer.guess(path, lambda spec: self.experimenter.start(_as(data, spec)), self._say)

    def _say(self, error: CompressorError) -> None:
        self.problem.setText(words_of(error))
        self.problem.show()

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Examples that ranges come from")
        self.calibration.setText(path or self.calibration.text())

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Examples that ranges come from")
        self.calibration.setText(path or self.calibration.text())

    # -- what is known -------------------------------------------------------------------------------------------

    def _document_changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            self.reject()

    def _show(self) -> None:
        runner = self.experimenter
        running = runner.is_running
        self.run_button.setText("Cancel" if running else "Measure")
        for widget in (self.calibration, self.file_button, self.folder_button):
            widget.setEnabled(not running)
        self.bar.setVisible(running)
        self.bar.show_amount(runner.share, 1)
        if runner.error is not None:
            self.problem.setText(words_of(runner.error))
        self.problem.setVisible(bool(self.problem.text()))
        self.words.setText(self._sentence())
        if runner.table is not self._shown or not self.table.rowCount():
            self._shown = runner.table
            self._fill()
        self._show_buttons()

    def _sentence(self) -> str:
        runner, data = self.experimenter, self.document.state.data
        if runner.ask is not None:
            return f"{runner.ask.words} ({runner.ask.number} of {runner.ask.total})"
        if runner.table is not None and runner.is_stale:
            return "What is shown was measured before the recipe or the data changed: measure again."
        if runner.table is not None:
            return "A double click on a row uses its recipe."
        where = f" on {data_name(data.path)}" if data is not None else ""
        return (
            f"Measures accuracy{where}, file size and latency of float, 8-bit weights, 8-bit operations, with stored "
            "ranges, and fused int8; it takes some minutes, and the window can be used meanwhile."
        )

    def _fill(self) -> None:
        table = self._shown or _PLANNED
        names, chosen = heads(table), self.table.currentRow()
        self.table.setColumnCount(len(names))
        self.table.setHorizontalHeaderLabels(names)
        self.table.setRowCount(len(table.rows))
        for at, row in enumerate(table.rows):
            for column, text in enumerate(cells(table, row)):
                item = QTableWidgetItem(text)
                side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
                item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
                item.setToolTip(row.problem or "\n".join((*_steps(row), *row.notes)))
                if row.problem or row.size is None:
                    item.setForeground(self.theme.color("error" if row.problem else "text_disabled_and_edges"))
                self.table.setItem(at, column, item)
        header = self.table.horizontalHeader()
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setFixedHeight(header.sizeHint().height() + 26 * len(table.rows) + 4)
        if chosen >= 0:
            self.table.selectRow(chosen)
        self.captions.setText(" ".join(captions(table)))
        self._draw()

    def _draw(self) -> None:
        self.chart.draw(chart(self._shown or _PLANNED, width=900, height=190, theme=self.theme.name))

    def _chosen(self) -> Row | None:
        """The selected row, once its recipe is known."""
        at = self.table.currentRow()
        row = self._shown.rows[at] if self._shown is not None and at >= 0 else None
        return row if row is not None and row.size is not None else None

    def _show_buttons(self) -> None:
        usable = self._chosen() is not None
        idle = not self.experimenter.is_running
        self.use_button.setEnabled(usable)
        self.use_button.setDefault(usable)
        self.save_button.setEnabled(idle and self._shown is not None)
        self.run_button.setDefault(not usable)
        self.run_button.setEnabled(self.document.state.data is not None)

    # -- using it ------------------------------------------------------------------------------------------------

    def _ask_save(self) -> None:
        source = self.document.state.source
        start = str(source.path.with_suffix(".experiment.md")) if source else ""
        path, chosen = QFileDialog.getSaveFileName(self, "Save the table", start, ";;".join(_KINDS.values()))
        if path:
            self.save(Path(path), next((kind for kind, words in _KINDS.items() if words == chosen), ".md"))

    def save(self, path: Path, kind: str) -> None:
        """Write the table or chart, as the ending says (without a known one: as ``kind``)."""
        assert self._shown is not None
        if path.suffix not in _KINDS:
            path = path.with_name(path.name + kind)
        write = {".md": markdown, ".csv": as_csv, ".svg": chart}[path.suffix]
        try:
            path.write_text(write(self._shown), "utf-8")
        except OSError as error:
            self._say(pbio.cannot_write(path, error))
        else:
            self.saved.emit(path)

    def _use(self) -> None:
        """What a double click does."""
        self.use_button.click()

    def accept(self) -> None:
        """Use the selected row's recipe, as one step to undo."""
        row = self._chosen()
        assert row is not None
        assert self._shown is not None
        measured = self.document.state.measured
        ranges = next((found for step in row.recipe.active if (found := getattr(step, "ranges", ()))), ())
        if ranges:
            note = f"{row.examples:,} images, {self._shown.method}"
            self.document.set(measured=replace(measured, range_notes={**measured.range_notes, ranges: note}))
        self.document.set_recipe(row.recipe, step=None)
        super().accept()

    def done(self, result: int) -> None:
        """Close; what runs goes on, and is shown when the dialog is opened again."""
        self.experimenter.changed.disconnect(self._show)
        self.document.changed.disconnect(self._document_changed)
        self.theme.changed.disconnect(self._draw)
        super().done(result)


class _Chart(QSvgWidget):
    """A chart at its own size, or smaller."""

    def draw(self, svg: str) -> None:
        """Show a chart; nothing where it is empty."""
        self.setVisible(bool(svg))
        if svg:
            self.load(QByteArray(svg.encode()))
            self.setFixedSize(self.renderer().defaultSize())


def _as(data: DataSpec, found: DataSpec) -> DataSpec:
    """Other examples, made into inputs as those of ``data``."""
    where = {name: getattr(found, name) for name in ("kind", "path", "targets", "feature", "label_feature")}
    return replace(data, **where, limit=0, split="all")


def _steps(row: Row) -> tuple[str, ...]:
    return tuple(f"{number}. {step.name}" for number, step in enumerate(row.recipe.active, 1))

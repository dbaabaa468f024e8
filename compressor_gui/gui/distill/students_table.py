"""The students to choose from, with the teacher above them: what each would weigh, and what it has learnt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from compressor_gui.core import units
from compressor_gui.core.data import DataSpec
from compressor_gui.gui.distill.distiller import Distiller
from compressor_gui.gui.retrain.words import METRICS, value_words
from compressor_gui.gui.theme import Theme

_WORDS = {
    "width_0.5": ("half the channels", "The same network with half of its channels, and their weights"),
    "width_0.25": ("a quarter of the channels", "The same network with a quarter of its channels, and their weights"),
    "shallow": ("shallow", "Two convolutions of 8 and 16 filters and a layer of classes; of vectors, one hidden layer"),
    "depthwise": ("depthwise blocks", "MobileNet's: a convolution of each channel with itself, then a 1×1 convolution"),
    "fire": ("fire blocks", "SqueezeNet's: few 1×1 filters, then 1×1 and 3×3 ones side by side"),
}
_ROW = 26


class StudentsTable(QTableWidget):
    """The first row is the teacher, which can't be chosen; ``chosen()`` says that another student is."""

    chosen = Signal()

    def __init__(self, distiller: Distiller, theme: Theme) -> None:
        super().__init__(0, 5)
        self._distiller, self._theme = distiller, theme
        self._students: tuple[str, ...] = ()
        self._student = distiller.student
        self.setObjectName("studentsTable")
        self.setAccessibleName("The students to choose from")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setSectionsClickable(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.itemSelectionChanged.connect(self._selected)

    @property
    def student(self) -> str:
        """The one that is chosen; empty: none that can be taught, or it is not known yet."""
        offer = self._distiller.offers.get(self._student)
        return self._student if offer is not None and not offer.problem else ""

    def choose(self, student: str) -> None:
        """Choose a student."""
        if student in self._students:
            self.selectRow(self._students.index(student) + 1)

    def _selected(self) -> None:
        rows = self.selectionModel().selectedRows()
        if rows and rows[0].row() <= len(self._students):
            self._student = self._students[rows[0].row() - 1]
            self.chosen.emit()
        else:  # a click on what can't be chosen
            self.choose(self._student)

    def _choose_another(self) -> None:
        """Where the one that is chosen turns out not to be for this teacher, the first that is."""
        offers = self._distiller.offers
        known = offers.get(self._student)
        if self._student not in offers or (known is not None and known.problem):
            good = (name for name, offer in offers.items() if offer is None or not offer.problem)
            self._student = next(good, "")
        self.choose(self._student)

    def show_students(self, data: DataSpec | None, test: DataSpec | None) -> None:
        """Show what is known of them all; what was measured on other examples than these is pale."""
        distiller = self._distiller
        source = distiller.document.state.source
        if source is None:
            return
        self._students = tuple(distiller.offers)
        last = next(reversed(distiller.taught.values()), None)
        measured = distiller.measured
        metric = measured.metric if measured else last.found.metric if last else "top1"
        weights = sum(layer.parameters for layer in source.layers)
        teacher = distiller.teacher_value
        value = "" if teacher is None else value_words(metric, teacher)
        self.blockSignals(True)
        heads = ("", "weights", "file", "of the teacher", METRICS[metric])
        self.setHorizontalHeaderLabels(heads)
        self.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.setRowCount(len(self._students) + 1)
        row = (f"{source.path.name}, the teacher", units.amount(weights), units.size(source.size), "100 %", value)
        self._fill(0, row, str(source.path), Qt.ItemFlag.ItemIsEnabled)
        for at, student in enumerate(self._students, 1):
            self._show_student(at, student, source.size, (data, test))
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + _ROW * min(self.rowCount(), 9) + 4)
        self._choose_another()
        self.blockSignals(False)

    def _show_student(self, at: int, student: str, size: int, where: tuple[DataSpec | None, DataSpec | None]) -> None:
        offer, taught = self._distiller.offers[student], self._distiller.taught.get(student)
        title, tip = _WORDS.get(student, (Path(student).name, student))
        enabled = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if offer is None:
            self._fill(at, (title, "…", "", "", ""), tip, enabled)
        elif offer.problem:
            self._fill(at, (title, "–", "–", "–", ""), f"{tip}\nNot here: {offer.problem}", Qt.ItemFlag.NoItemFlags)
        else:
            value = value_words(taught.found.metric, taught.found.value) if taught is not None else ""
            share = units.percent(offer.size / size)
            words = (title, units.amount(offer.weights), units.size(offer.size), share, value)
            self._fill(at, words, tip, enabled, stale=taught is not None and not taught.is_of(*where))

    def _fill(self, row: int, words: Sequence[str], tip: str, flags: Qt.ItemFlag, *, stale: bool = False) -> None:
        """``stale``: the last of the words was measured on other examples."""
        for column, text in enumerate(words):
            item = QTableWidgetItem(text)
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
            item.setToolTip(tip)
            item.setFlags(flags)
            old = stale and column == len(words) - 1
            if old or not flags & Qt.ItemFlag.ItemIsEnabled:
                item.setForeground(self._theme.color("text_disabled_and_edges"))
            if old:
                item.setToolTip("Measured on other examples than those that are chosen now")
            self.setItem(row, column, item)

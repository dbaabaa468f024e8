"""The students to choose from, with the teacher above them: what each would weigh, and what it has learnt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QAbstractItemView

from compressor_gui.core import units
from compressor_gui.core.data import DataSpec
from compressor_gui.gui.distill.distiller import Distiller
from compressor_gui.gui.tables import WordsTable
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.training.words import METRICS, value_words

_WORDS = {
    "width_0.5": ("half the channels", "The same network with half of its channels, and their weights"),
    "width_0.25": ("a quarter of the channels", "The same network with a quarter of its channels, and their weights"),
    "shallow": ("shallow", "Two convolutions of 8 and 16 filters and a layer of classes; of vectors, one hidden layer"),
    "depthwise": ("depthwise blocks", "MobileNet's: a convolution of each channel with itself, then a 1×1 convolution"),
    "fire": ("fire blocks", "SqueezeNet's: few 1×1 filters, then 1×1 and 3×3 ones side by side"),
}


class StudentsTable(WordsTable):
    """The first row is the teacher, which can't be chosen; ``chosen()`` says that another student is."""

    chosen = Signal()

    def __init__(self, distiller: Distiller, theme: Theme) -> None:
        super().__init__(5, "The students to choose from")
        self._distiller, self._theme = distiller, theme
        self._students: tuple[str, ...] = ()
        self._student = distiller.student
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
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
        self.show_heads(heads, len(self._students) + 1)
        row = (f"{source.path.name}, the teacher", units.amount(weights), units.size(source.size), "100 %", value)
        self._fill(0, row, str(source.path), Qt.ItemFlag.ItemIsEnabled)
        for at, student in enumerate(self._students, 1):
            self._show_student(at, student, source.size, (data, test))
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
        pale = self._theme.color("text_disabled_and_edges")
        items = self.fill(row, words, tip)
        for item in items:
            item.setFlags(flags)
            if not flags & Qt.ItemFlag.ItemIsEnabled:
                item.setForeground(pale)
        if stale:
            items[-1].setForeground(pale)
            items[-1].setToolTip("Measured on other examples than those that are chosen now")

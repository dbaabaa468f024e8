"""Suggest: a target, and the sparsities of all layers that meet it at the least loss; applied as one step."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QHBoxLayout,
    QScrollArea,
    QWidget,
)

from compressor_gui.core import units
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import SensitivityResult
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.sizes import sparse_size
from compressor_gui.core.suggest import Suggestion, Target, suggest
from compressor_gui.gui.dialogs import Foot, dialog_column
from compressor_gui.gui.document import Document
from compressor_gui.gui.inspector.section import Fact, Facts
from compressor_gui.gui.measure.data_part import words_of
from compressor_gui.gui.measure.measured import Sweep
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.widgets import label, paragraph


class SuggestDialog(QDialog):
    """Asks for a target and shows at once what meets it; the recipe's prune step gets it when it is accepted."""

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        state = document.state
        assert state.source is not None
        assert state.measured.sweep is not None
        self.document, self.source = document, state.source
        self.sweep: Sweep = state.measured.sweep.value
        self.suggestion: Suggestion | None = None
        self.setWindowTitle("Suggest sparsities")
        self.setMinimumWidth(520)
        column = dialog_column(self, "Prune each layer as far as it bears")
        words = paragraph(
            "Chosen from the measured curves, the layers that lose least first. What is expected is an estimate: it "
            "adds up what each layer loses alone; together they may lose more. Apply evaluates where there are labels.",
            "secondary",
        )  # fmt: skip
        column.addWidget(words)
        row = QHBoxLayout()
        row.addWidget(label("Target"))
        self.target = QComboBox()
        self.target.setAccessibleName("Target")
        self.amount = QDoubleSpinBox()
        self.amount.setAccessibleName("Amount")
        self.amount.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.amount.setMinimumWidth(120)
        for text, key in self._targets():
            self.target.addItem(text, key)
        row.addWidget(self.target, 1)
        row.addWidget(self.amount)
        column.addLayout(row)
        self.outcome = Facts(theme)
        column.addWidget(self.outcome)
        self.problem = paragraph("", "error")
        column.addWidget(self.problem)
        self.layers = Facts(theme)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setMinimumHeight(160)
        scroll.setWidget(self.layers)
        column.addWidget(scroll, 1)
        foot = Foot(self, "Apply")
        self.apply_button = foot.accept_button
        column.addLayout(foot)
        self.target.currentIndexChanged.connect(self._choose)
        self.amount.valueChanged.connect(self._work_out)
        self._choose()

    def _targets(self) -> list[tuple[str, str]]:
        loss = ("Lose at most this much top-1", "max_drop") if self.sweep.metric == "top1" else (
            "Keep at least this SQNR of the worst output", "min_sqnr_db")  # fmt: skip
        return [loss, ("Share of all weights that become zero", "sparsity"), ("Bytes of the file as CSR", "bytes")]

    def _choose(self) -> None:
        """Give the amount the range, unit and first value of the target."""
        nonzero = [(layer, layer.nonzero) for layer in self.source.layers]
        megabytes = sparse_size(self.source.size, nonzero) / 1e6
        low, high, value, decimals, unit = {
            "max_drop": (0.0, 100.0, 1.0, 2, " %"),
            "min_sqnr_db": (-20.0, 120.0, 20.0, 1, " dB"),
            "sparsity": (0.0, 100.0, 80.0, 1, " %"),
            "bytes": (0.0, max(megabytes, 0.001), megabytes / 2, 3, " MB"),
        }[self.target.currentData()]
        self.amount.blockSignals(True)
        self.amount.setDecimals(decimals)
        self.amount.setRange(low, high)
        self.amount.setSingleStep(max(10.0**-decimals, (high - low) / 100))
        self.amount.setSuffix(unit)
        self.amount.setValue(value)
        self.amount.blockSignals(False)
        self._work_out()

    def _target(self) -> Target:
        value = self.amount.value()
        return {
            "max_drop": lambda: Target(max_drop=value / 100),
            "min_sqnr_db": lambda: Target(min_sqnr_db=value),
            "sparsity": lambda: Target(sparsity=value / 100),
            "bytes": lambda: Target(bytes=round(value * 1e6)),
        }[self.target.currentData()]()

    def _work_out(self) -> None:
        sweep = self.sweep
        curves = sweep.finished or SensitivityResult(sweep.metric, sweep.baseline, 0, tuple(sweep.curves.values()))
        try:
            found = suggest(self.source.graph, curves, self._target(), self.source.size)
        except CompressorError as error:
            self.suggestion = None
            self.problem.setText(words_of(error))
        else:
            self.suggestion = found
            self.problem.setText("")
            self.outcome.show_facts([
                self._expected(found),
                Fact("weights that are zero", units.percent(found.sparsity)),
                Fact("file as CSR", f"{units.size(self.source.size)} → {units.size(found.bytes)}"),
            ])  # fmt: skip
            self.layers.show_facts([
                Fact(self.source.short.get(name, name), units.percent(sparsity), name)
                for name, sparsity in found.layers.items()
            ])  # fmt: skip
        for widget in (self.outcome, self.layers):
            widget.setVisible(self.suggestion is not None)
        self.problem.setVisible(self.suggestion is None)
        self.apply_button.setEnabled(self.suggestion is not None)

    def _expected(self, found: Suggestion) -> Fact:
        """The estimate, or what was measured where exactly this recipe was evaluated."""
        state, recipe = self.document.state, self._recipe(found)
        known = state.measured.evaluation(recipe, state.data)
        if known is not None and not known.is_stale(recipe, state.data) and self.sweep.metric == "top1":
            top1 = known.value.accuracy.top1
            if top1 is not None:
                return Fact("measured", self.sweep.words(top1), f"On {known.value.accuracy.n:,} examples")
        words = f"≈ {self.sweep.words(found.predicted)}"
        return Fact("estimated", words, "The layers' own losses, added up", estimated=True)

    def _recipe(self, found: Suggestion) -> Recipe:
        """The recipe with the sparsities in its prune step, or in a new one."""
        recipe, present = self.document.state.recipe, self.document.prune_step()
        if present is None:
            return recipe.adding(found.step, self.document.prune_place())
        index = present[0]
        return recipe.replacing(index, replace(recipe.steps[index], transform=found.step))

    def accept(self) -> None:
        """Put the sparsities into the recipe: a single step to undo."""
        assert self.suggestion is not None
        recipe = self._recipe(self.suggestion)
        self.document.end_merge()
        self.document.set_recipe(recipe)
        super().accept()

"""Factorize: the curve of each layer, the ranks chosen from them, and the step that they become."""

from __future__ import annotations

import math
from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from compressor_gui.core import units
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.factorize import Factorize
from compressor_gui.core.recipe import Step
from compressor_gui.gui.dialogs import Foot, dialog_column
from compressor_gui.gui.document import Document
from compressor_gui.gui.factorize.draft import RankDraft
from compressor_gui.gui.factorize.layer_list import LayerList
from compressor_gui.gui.factorize.plot import RankPlot
from compressor_gui.gui.factorize.words import layer_facts, total_facts
from compressor_gui.gui.inspector.section import Facts
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import UNIT, Theme
from compressor_gui.gui.widgets import ElidedLabel, label, paragraph

_ENERGY = 0.9
"""What is offered at first as the energy that is kept."""
_PLOT_HEIGHT = 260
_INTRO = (
    "A layer's weights become the product of two smaller matrices. A rank keeps part of their energy, and saves "
    "weights and multiplications. What that does to the accuracy is to be measured; retraining wins much of it back."
)


class FactorizeDialog(QDialog):
    """Chooses the ranks of a new step, or (``at``) of one in the recipe; it is put there when the dialog is accepted.

    The curves are of the weights that the step would find: behind the recipe's other steps, or the earlier ones.
    """

    def __init__(self, document: Document, theme: Theme, at: int | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.document, self.theme = document, theme
        self._edited: Step | None = document.state.recipe.steps[at] if at is not None else None
        step = self._edited.transform if self._edited is not None else None
        self._first = document.state.selected
        self.draft = RankDraft(_graph_before(document.state, at), step if isinstance(step, Factorize) else None, self)
        self.setWindowTitle("Factorize")
        self.resize(1000, 640)
        self._build()
        self.draft.changed.connect(self._show)
        document.changed.connect(self._document_changed)
        theme.changed.connect(self._show_legend)
        self._show_legend()
        self._show()
        self.layers.setFocus()

    # -- building ------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        column = dialog_column(self, "Two layers of low rank instead of one")
        words = paragraph(_INTRO, "secondary")
        column.addWidget(words)
        column.addLayout(self._build_target())
        row = QHBoxLayout()
        row.setSpacing(20)
        row.addLayout(self._build_layers(), 5)
        row.addLayout(self._build_curve(), 6)
        column.addLayout(row, 1)
        self.state_words = label("", "small")
        foot = Foot(self, "Apply", left=[self.state_words])
        self.close_button, self.apply_button = foot.close_button, foot.accept_button
        self.apply_button.setToolTip("The ranks become a step of the recipe; it can be undone")
        column.addLayout(foot)

    def _build_target(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.kind = QComboBox()
        self.kind.setAccessibleName("Target")
        self.kind.addItem("Keep of each layer's energy at least", "energy")
        self.kind.addItem("Let each layer's weights differ by at most", "error")
        self.kind.currentIndexChanged.connect(self._restate)
        self.amount = QDoubleSpinBox()
        self.amount.setAccessibleName("Amount")
        self.amount.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.amount.setMinimumWidth(110)
        self.amount.setRange(0.0, 100.0)
        self.amount.setSuffix(" %")
        self.amount.setValue(100 * _ENERGY)
        self.all_button = QPushButton("Choose all ranks")
        self.all_button.setToolTip(
            "The lowest rank of each layer that keeps this; where that is not smaller, it stays whole"
        )
        self.all_button.setAutoDefault(False)
        self.all_button.clicked.connect(lambda: self.draft.aim(self.error))
        self.none_button = QPushButton("None")
        self.none_button.setToolTip("Leave every layer whole")
        self.none_button.setAutoDefault(False)
        self.none_button.clicked.connect(self.draft.clear)
        for widget in (self.kind, self.amount, self.all_button, self.none_button):
            row.addWidget(widget)
        row.addStretch(1)
        return row

    def _build_layers(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(8)
        self.layers = LayerList(self.theme)
        self.layers.looked_at.connect(self._look_at)
        self.layers.ticked.connect(self._tick)
        column.addWidget(self.layers, 1)
        self.totals = Facts(self.theme)
        self.totals.inset = 0
        column.addWidget(self.totals)
        return column

    def _build_curve(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(UNIT)
        self.name = ElidedLabel()
        self.name.setProperty("role", "heading")
        column.addWidget(self.name)
        self.page = QStackedWidget()
        self.plot = RankPlot(self.theme, _PLOT_HEIGHT)
        self.plot.rank_chosen.connect(lambda rank: self.draft.choose(self.layers.current, rank))
        self.reason = paragraph("", "secondary")
        self.reason.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.page.addWidget(self.plot)
        self.page.addWidget(self.reason)
        column.addWidget(self.page, 1)
        self.legend = QLabel()
        self.legend.setProperty("role", "small")
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        column.addWidget(self.legend)
        column.addSpacing(2 * UNIT)
        self.facts = Facts(self.theme)
        self.facts.inset = 0
        column.addWidget(self.facts)
        return column

    # -- choosing ------------------------------------------------------------------------------------------------

    @property
    def error(self) -> float:
        """The target, as the largest error of a layer's weights."""
        share = self.amount.value() / 100
        return share if self.kind.currentData() == "error" else math.sqrt(1 - share)

    def _restate(self) -> None:
        """Say the same target in the other way: energy = 1 - error * error."""
        share = self.amount.value() / 100
        self.amount.setValue(100 * (1 - share * share if self.kind.currentData() == "energy" else math.sqrt(1 - share)))

    def _tick(self, name: str, on: bool) -> None:
        if on:
            self.draft.choose(name, self._first_rank(name))
        else:
            self.draft.choose(name, None)

    def _first_rank(self, name: str) -> int:
        """The rank that a layer is given when it is only ticked: what the target asks for, where that is smaller."""
        candidate, spectrum = self.draft.candidate(name), self.draft.spectra[name]
        assert candidate is not None
        return min(spectrum.rank_for(self.error), candidate.worth - 1)

    def _look_at(self, name: str) -> None:
        self.draft.look_at(name)
        self._show_curve()

    # -- showing -------------------------------------------------------------------------------------------------

    def _document_changed(self, old: State, new: State) -> None:
        if old.recipe is not new.recipe or old.source is not new.source:
            self.reject()

    def _show(self) -> None:
        draft = self.draft
        first = not self.layers.topLevelItemCount()
        self.layers.show_draft(draft)
        if first and draft.entries:
            self._select_first()
        for widget in (self.kind, self.amount, self.all_button):
            widget.setEnabled(any(entry.candidate for entry in draft.entries or ()))
        self.none_button.setEnabled(bool(draft.ranks))
        self.totals.show_facts(total_facts(draft))
        self._show_curve()
        unknown = draft.unknown
        self.state_words.setText(
            "Looking at the layers …" if draft.entries is None else
            f"{units.counted(unknown, 'curve')} still to come …" if unknown else ""
        )  # fmt: skip
        step = draft.step()
        same = self._edited is not None and step == self._edited.transform
        self.apply_button.setEnabled(not draft.waits and not same and (step is not None or self._edited is not None))

    def _select_first(self) -> None:
        """The layer that is selected in the window, else the largest that can be split."""
        entries = self.draft.entries or ()
        near = next((e for e in entries if self._first in (*e.layer.names, e.layer.bias, e.layer.batch_norm)), None)
        large = max((e for e in entries if e.candidate), key=lambda e: e.layer.parameters, default=None)
        chosen = (near if self._first else None) or large or (entries[0] if entries else None)
        if chosen is not None:
            self.layers.select(chosen.layer.name)

    def _show_curve(self) -> None:
        name = self.layers.current
        entry, spectrum = self.draft.entry(name), self.draft.spectra.get(name)
        self.name.set_whole(name)
        has_curve = entry is not None and entry.candidate is not None and spectrum is not None
        self.page.setCurrentWidget(self.plot if has_curve else self.reason)
        self.legend.setVisible(has_curve)
        if entry is not None and entry.candidate is not None and spectrum is not None:
            self.plot.show_curve(entry.candidate, spectrum, self.draft.ranks.get(name), self._first_rank(name))
        elif entry is not None:
            self.reason.setText(self.draft.reason(name))
        else:
            none = self.draft.entries is not None and not self.draft.entries
            self.reason.setText("There is no layer with weights." if none else "Looking at the layers …")
        self.facts.show_facts(layer_facts(entry, spectrum, self.draft.ranks.get(name)) if entry is not None else [])

    def _show_legend(self) -> None:
        text, quiet, saved = (self.theme.hex(token) for token in ("text", "text_secondary", "change_added"))
        self.legend.setText(
            f"<span style='color:{text}'>━</span> energy kept &nbsp; <span style='color:{quiet}'>╍</span> error &nbsp; "
            f"<span style='color:{saved}'>━</span> bytes saved (right), and multiplications &nbsp; · &nbsp; "
            "click, drag, or ← → (Shift: 10)"
        )  # fmt: skip

    # -- using it ------------------------------------------------------------------------------------------------

    def accept(self) -> None:
        """Put the ranks into the recipe, as one step to undo; without any, the step goes."""
        step, edited = self.draft.step(), self._edited
        self.document.changed.disconnect(self._document_changed)
        self.document.end_merge()  # steps that do nothing may go, so that the others move up
        recipe = self.document.state.recipe
        at = next((at for at, one in enumerate(recipe.steps) if one is edited), None)
        if edited is None or at is None:
            assert step is not None
            self.document.set_recipe(recipe.adding(step), step=len(recipe.steps))
        elif step is None:
            self.document.set_recipe(recipe.removing(at), step=None)
        else:
            self.document.set_recipe(recipe.replacing(at, replace(edited, transform=step)), step=at)
        self.document.changed.connect(self._document_changed)
        super().accept()

    def done(self, result: int) -> None:
        """Close."""
        self.document.changed.disconnect(self._document_changed)
        self.theme.changed.disconnect(self._show_legend)
        self.draft.close()
        super().done(result)


def _graph_before(state: State, at: int | None) -> ModelGraph:
    """What a step finds that stands at a place of the recipe (None: behind all)."""
    assert state.made is not None
    replay = state.made.replay
    graphs = [stage.after for stage in replay.stages if at is None or stage.index < at]
    return graphs[-1] if graphs else replay.source

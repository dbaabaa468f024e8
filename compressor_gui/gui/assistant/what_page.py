"""Step 1: what is to be in 8 bits, and which layers are not."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QHeaderView, QPushButton, QTreeWidget, QTreeWidgetItem, QVBoxLayout

from compressor_gui.core import units
from compressor_gui.core.assistant import SMALLEST, Goal
from compressor_gui.core.machine import ONEDNN, onednn_is_on
from compressor_gui.gui.assistant.draft import Draft
from compressor_gui.gui.assistant.page import Card, Cards, Page, two_digits
from compressor_gui.gui.theme import UNIT, Theme
from compressor_gui.gui.widgets import label, paragraph

_GOALS: dict[Goal, tuple[str, str, tuple[str, ...]]] = {
    "fused": (
        "Fused int8: small and fast",
        "Layers compute in 8 bits with TensorFlow's fused oneDNN kernels, over ranges measured on examples. Needs "
        "TensorFlow with oneDNN on an x86 processor; fastest with VNNI.",
        ("a little faster than float, more so with VNNI", "needs examples"),
    ),
    "weights": (
        "8-bit weights: small",
        "A weight is stored in one byte and turned back into a float where the graph reads it. The most accurate of "
        "the three, and it runs wherever TensorFlow does.",
        ("10 to 25 % slower than float on the samples", "examples only to measure"),
    ),
    "classic": (
        "Classic 8-bit operations: for study",
        "What TensorFlow 1.x's quantize_graph made, node by node. On today's processors it is slow, and it is the "
        "least accurate; deployments that have it can be compared with it.",
        ("3 to 6 times slower than float on the samples", "examples to store ranges"),
    ),
}


def _few(names: list[str]) -> str:
    """One or two names, of more how many they are."""
    return " and ".join(names) if len(names) < 3 else units.counted(len(names), "small layer")


class WhatPage(Page):
    """Three cards, and the layers that stay in float."""

    heading = "What is to be in 8 bits?"
    sentence = (
        "Nothing changes until you use the result: the assistant writes a recipe, which can be undone and edited."
    )

    def __init__(self, draft: Draft, theme: Theme) -> None:
        super().__init__(draft, theme)
        self.refusal = paragraph("", "error")
        self.column.addWidget(self.refusal)
        row = QHBoxLayout()
        row.setSpacing(20)
        column = QVBoxLayout()
        column.setSpacing(UNIT * 2)
        self.cards: dict[Goal, Card] = {}
        for goal, (title, sentence, _) in _GOALS.items():
            card = self.cards[goal] = Card(title, sentence)
            card.chosen.connect(lambda goal=goal: draft.choose(goal=goal))
            column.addWidget(card)
        self._group = Cards(self.cards.values(), self)
        column.addStretch(1)
        row.addLayout(column, 3)
        row.addLayout(self._build_layers(), 2)
        self.column.addLayout(row, 1)

    def _build_layers(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(UNIT)
        column.addWidget(label("Layers in 8 bits", "heading"))
        words = "A layer without its check mark stays in float: the first and the last are often the most sensitive."
        column.addWidget(paragraph(words, "small"))
        self.layers = QTreeWidget()
        self.layers.setObjectName("assistantLayers")
        self.layers.setColumnCount(2)
        self.layers.setHeaderHidden(True)
        self.layers.setRootIsDecorated(False)
        self.layers.setUniformRowHeights(True)
        self.layers.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.layers.setAccessibleName("Layers in 8 bits")
        self.layers.header().setStretchLastSection(False)
        self.layers.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.layers.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.layers.itemChanged.connect(self._checked)
        column.addWidget(self.layers, 1)
        row = QHBoxLayout()
        self.all_button, self.ends_button = QPushButton("All"), QPushButton("All but first and last")
        for button, run in ((self.all_button, self._check_all), (self.ends_button, self._skip_ends)):
            button.setAutoDefault(False)
            button.clicked.connect(run)
            row.addWidget(button)
        row.addStretch(1)
        column.addLayout(row)
        return column

    # -- layers --------------------------------------------------------------------------------------------------

    def _items(self) -> list[QTreeWidgetItem]:
        root = self.layers.invisibleRootItem()
        return list(filter(None, (root.child(at) for at in range(root.childCount()))))

    def _fill(self) -> None:
        subject = self.draft.subject
        if subject is None or self.layers.topLevelItemCount():
            return
        for layer in subject.layers:
            item = QTreeWidgetItem([layer.short, units.size(layer.bytes)])
            item.setData(0, Qt.ItemDataRole.UserRole, layer.weight)
            item.setToolTip(0, f"{layer.name} ({layer.op})")
            item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            item.setCheckState(0, Qt.CheckState.Checked)
            self.layers.addTopLevelItem(item)

    def _checked(self) -> None:
        skip = [item.data(0, Qt.ItemDataRole.UserRole) for item in self._items()
                if item.checkState(0) != Qt.CheckState.Checked]  # fmt: skip
        self.draft.choose(skip=tuple(skip))

    def _set(self, floats: list[QTreeWidgetItem]) -> None:
        self.layers.blockSignals(True)
        for item in self._items():
            item.setCheckState(0, Qt.CheckState.Unchecked if item in floats else Qt.CheckState.Checked)
        self.layers.blockSignals(False)
        self._checked()

    def _check_all(self) -> None:
        self._set([])

    def _skip_ends(self) -> None:
        items = self._items()
        self._set([items[0], items[-1]] if items else [])

    # -- the draft -----------------------------------------------------------------------------------------------

    def show_draft(self) -> None:
        """The chosen card, and the estimated sizes."""
        subject, choices = self.draft.subject, self.draft.choices
        self._fill()
        self.refusal.setText(subject.refusal if subject else "")
        self.refusal.setVisible(bool(self.refusal.text()))
        self.cards[choices.goal].radio.setChecked(True)
        for goal, card in self.cards.items():
            facts = _GOALS[goal][2]
            if subject is not None and not subject.refusal:
                size = two_digits(subject.estimated_size(goal, choices.skip))
                facts = (f"≈ {units.size(size)} instead of {units.size(subject.size)}", *facts)
                small = [one.short for one in subject.small if one.weight not in choices.skip]
                if goal == "weights" and small:
                    facts = (*facts, f"{_few(small)} stay{'s' if len(small) == 1 else ''} in float: "
                                     f"fewer than {SMALLEST:,} weights")  # fmt: skip
            if goal == "fused" and not onednn_is_on():
                facts = (*facts, f"on this processor only with {ONEDNN}=1")
            card.say(facts)
            card.setEnabled(subject is None or not subject.refusal)
        for button in (self.all_button, self.ends_button):
            button.setEnabled(self.layers.topLevelItemCount() > 0)

    def missing(self) -> str:
        """Whether there is anything to quantize."""
        subject = self.draft.subject
        if subject is None:
            return "Looking at the graph …"
        if subject.refusal:
            return subject.refusal
        if len(self.draft.choices.skip) == len(subject.layers):
            return "No layer is left: check one at least."
        return ""

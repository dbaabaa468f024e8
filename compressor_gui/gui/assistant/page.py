"""What the assistant's pages share: a heading with a sentence, and cards of which one is chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QRadioButton, QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.core.assistant import Choices
from compressor_gui.core.passes.base import Pass
from compressor_gui.core.passes.equalize_layers import EqualizeLayers
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.assistant.draft import Draft
from compressor_gui.gui.theme import UNIT, Theme
from compressor_gui.gui.widgets import clear, label, paragraph, restyle


class Page(QWidget):
    """One step; shows the draft anew whenever it changes."""

    heading = ""
    sentence = ""

    def __init__(self, draft: Draft, theme: Theme) -> None:
        super().__init__()
        self.draft, self.theme = draft, theme
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(UNIT * 2)
        self.column.addWidget(label(self.heading, "subtitle"))
        self.words = paragraph(self.sentence, "secondary")
        self.column.addWidget(self.words)
        self.column.addSpacing(UNIT)
        draft.changed.connect(self.show_draft)

    def show_draft(self) -> None:
        """Show the draft."""
        raise NotImplementedError

    def entered(self) -> None:
        """The page has come to the front."""
        self.show_draft()

    def missing(self) -> str:
        """What has to be chosen before the next step, as a sentence; empty where nothing is."""
        return ""


def two_digits(count: int) -> int:
    """An estimate with no more digits than it is good for."""
    return round(count, 2 - len(str(abs(count))))


def step_words(transform: Pass, *more: str) -> str:
    """A step as the recipe has it, its ranges only counted: ``fuse_int8(33 ranges, skip=[conv1])``; ``more`` is said
    first."""
    ranges = getattr(transform, "ranges", ())
    plain = replace(transform, ranges=()) if ranges else transform  # type: ignore[call-arg]
    name, _, rest = plain.label().partition("(")
    counted = (units.counted(len(ranges), "range"),) if ranges else ()
    parts = ", ".join(filter(None, (*counted, *more, rest.removesuffix(")"))))
    return f"{name}({parts})" if parts else name


def planned_steps(recipe: Recipe, choices: Choices) -> list[tuple[str, str]]:
    """The steps as they will be once what is measured is in them, each with what it does: a recipe that was written
    for these choices has them not yet."""
    few = f"{choices.images:,} images" if choices.images else "all images"
    steps: list[tuple[str, str]] = []
    for transform in recipe.active:
        fuses = isinstance(transform, FuseInt8)
        if fuses and choices.rounds:
            steps.append((f"equalize_layers({few})", f"{EqualizeLayers.summary} Left out where it changes nothing."))
            steps.append((f"weights(adaround on {few})", "Each weight goes up or down so that its layer errs least."))
        more = [f"ranges of {few}"] if fuses else []
        more += ["without what is slower"] if fuses and choices.times_regions else []
        steps.append((step_words(transform, *more), transform.summary))
        if isinstance(transform, QuantizeNodes) and choices.calibrates:
            freeze = FreezeRequantizationRanges
            steps.append((f"{freeze.name}(ranges of {few})", freeze.summary))
    return steps


class Steps(QWidget):
    """A recipe's steps, one a line."""

    def __init__(self) -> None:
        super().__init__()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(UNIT)
        self.steps: list[tuple[str, str]] = []
        """What is shown: each step, and what it does."""

    def show_recipe(self, recipe: Recipe) -> None:
        """Show the steps that are switched on."""
        self._show([(step_words(transform), transform.summary) for transform in recipe.active])

    def show_planned(self, recipe: Recipe, choices: Choices) -> None:
        """Show what the recipe will be."""
        self._show(planned_steps(recipe, choices))

    def _show(self, steps: list[tuple[str, str]]) -> None:
        if steps == self.steps:
            return
        self.steps = steps
        clear(self._column)
        for number, (words, tip) in enumerate(steps, 1):
            line = QWidget()
            row = QHBoxLayout(line)
            row.setContentsMargins(0, 0, 0, 0)
            row.setSpacing(UNIT * 2)
            row.addWidget(label(str(number), "secondary"), 0, Qt.AlignmentFlag.AlignTop)
            row.addWidget(paragraph(words, "strong"), 1)
            line.setToolTip(tip)
            self._column.addWidget(line)


class Card(QFrame):
    """A choice with its title, a sentence and some facts; a click or Space chooses it."""

    chosen = Signal()

    def __init__(self, title: str, sentence: str) -> None:
        super().__init__()
        self.setObjectName("choiceCard")
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 12, 14, 12)
        row.setSpacing(12)
        self.radio = QRadioButton()
        self.radio.setAccessibleName(title)
        self.radio.setAccessibleDescription(sentence)
        self.radio.toggled.connect(self._toggled)
        row.addWidget(self.radio, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout()
        column.setSpacing(UNIT)
        column.addWidget(label(title, "strong"))
        self.sentence = paragraph(sentence, "secondary")
        column.addWidget(self.sentence)
        self.facts = paragraph("", "small")
        column.addWidget(self.facts)
        row.addLayout(column, 1)

    def _toggled(self, on: bool) -> None:
        restyle(self, chosen=on)
        if on:
            self.chosen.emit()

    def say(self, facts: Iterable[str]) -> None:
        """Say the facts, in one line where there is room."""
        self.facts.setText("  ·  ".join(facts))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose it."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.radio.setFocus(Qt.FocusReason.MouseFocusReason)
            self.radio.setChecked(True)


class Cards(QObject):
    """Cards of which one is chosen; Up and Down go to the next."""

    def __init__(self, cards: Iterable[Card], parent: QObject) -> None:
        super().__init__(parent)
        self._cards = list(cards)
        for card in self._cards:
            card.radio.setAutoExclusive(False)  # each stands in a frame of its own: Qt would not see the others
            card.chosen.connect(lambda card=card: self._only(card))
            card.radio.installEventFilter(self)

    def _only(self, chosen: Card) -> None:
        for card in self._cards:
            if card is not chosen:
                card.radio.setChecked(False)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let the arrow keys choose, and a press of the chosen one not take the choice away."""
        at = next((n for n, card in enumerate(self._cards) if card.radio is watched), None)
        if at is None or event.type() != QEvent.Type.KeyPress or not isinstance(event, QKeyEvent):
            return False
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        if step is not None:
            other = self._cards[(at + step) % len(self._cards)].radio
            other.setFocus(Qt.FocusReason.TabFocusReason)
            other.setChecked(True)
            return True
        return event.key() == Qt.Key.Key_Space and self._cards[at].radio.isChecked()

"""What the assistant's pages share: a heading with a sentence, and cards of which one is chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QRadioButton, QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.core.passes.base import Pass
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


def step_words(transform: Pass) -> str:
    """A step as the recipe has it, its ranges only counted: ``fuse_int8(33 ranges, skip=[conv1])``."""
    ranges = getattr(transform, "ranges", ())
    if not ranges:
        return transform.label().removesuffix("()")
    name, _, rest = replace(transform, ranges=()).label().partition("(")  # type: ignore[call-arg]
    parts = filter(None, (units.counted(len(ranges), "range"), rest.removesuffix(")")))
    return f"{name}({', '.join(parts)})"


class Steps(QWidget):
    """A recipe's steps, one a line."""

    def __init__(self) -> None:
        super().__init__()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(UNIT)
        self._shown: tuple[Pass, ...] = ()

    def show_recipe(self, recipe: Recipe) -> None:
        """Show the steps that are switched on."""
        if recipe.active == self._shown:
            return
        self._shown = recipe.active
        clear(self._column)
        for number, transform in enumerate(recipe.active, 1):
            line = QWidget()
            row = QHBoxLayout(line)
            row.setContentsMargins(0, 0, 0, 0)
            row.setSpacing(UNIT * 2)
            row.addWidget(label(str(number), "secondary"), 0, Qt.AlignmentFlag.AlignTop)
            row.addWidget(paragraph(step_words(transform), "strong"), 1)
            line.setToolTip(transform.summary)
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

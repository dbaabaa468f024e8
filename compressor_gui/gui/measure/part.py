"""What the measure panel's parts share: words while there is nothing, a body, and buttons that start and cancel."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from compressor_gui.gui.inspector.section import Fact
from compressor_gui.gui.measure.measured import Of
from compressor_gui.gui.measure.measurer import Kind, Measurer
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import MARGIN, UNIT, Theme
from compressor_gui.gui.widgets import paragraph

STALE = "text_disabled_and_edges"
"""The colour of what belongs to another recipe or other data."""


class Part(QWidget):
    """One kind of measurement in the panel. The first button starts it, and cancels it while it runs."""

    kind: Kind
    verb = ""
    empty = ""
    """What would fill the part."""

    def __init__(self, measurer: Measurer, theme: Theme, start: Callable[[], None]) -> None:
        super().__init__()
        self.measurer, self.theme, self._start = measurer, theme, start
        self.column = column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, UNIT * 2)
        column.setSpacing(UNIT)
        self.words = paragraph("", "secondary")
        self.words.setContentsMargins(MARGIN, 0, MARGIN, 0)
        column.addWidget(self.words)
        self.content = QWidget()
        self.body = QVBoxLayout(self.content)
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(UNIT)
        column.addWidget(self.content)
        self.buttons = QHBoxLayout()
        self.buttons.setContentsMargins(MARGIN, UNIT, MARGIN, 0)
        self.buttons.setSpacing(UNIT * 2)
        self.start_button = self.add_button(self.verb, self.press)
        self.buttons.addStretch(1)
        column.addLayout(self.buttons)
        measurer.changed.connect(self.show_running)

    def add_button(self, text: str, run: Callable[[], object], tip: str = "") -> QPushButton:
        """One more button."""
        button = QPushButton(text)
        button.setToolTip(tip)
        button.clicked.connect(lambda _checked=False: run())
        self.buttons.insertWidget(self.buttons.count() - 1 if self.buttons.count() > 1 else 0, button)
        return button

    def press(self) -> None:
        """Start, or cancel what runs."""
        if self.kind in self.measurer.running:
            self.measurer.cancel(self.kind)
        else:
            self._start()

    @property
    def is_running(self) -> bool:
        """Whether this measurement is under way."""
        return self.kind in self.measurer.running

    def show_running(self) -> None:
        """Let the button say what it does now."""
        self.start_button.setText("Cancel" if self.is_running else self.start_words())

    def start_words(self) -> str:
        """What the button says while nothing runs."""
        return self.verb

    def show_content(self, words: str) -> None:
        """Show the body, or where ``words`` are given those instead."""
        self.words.setText(words)
        self.words.setVisible(bool(words))
        self.content.setVisible(not words)
        self.show_running()

    def show_state(self, state: State) -> None:
        """Show what the document has of this part."""
        raise NotImplementedError

    def changed(self, old: State, new: State) -> bool:
        """Whether what is shown may differ."""
        return old.measured is not new.measured or old.recipe is not new.recipe or old.data is not new.data


def dimmed(facts: list[Fact], result: Of, state: State) -> list[Fact]:
    """The facts, pale where the result belongs to another recipe or other data, and one line that says so."""
    if not result.is_stale(state.recipe, state.data):
        return facts
    other_recipe = result.recipe is not None and result.recipe.active != state.recipe.active
    which = "an earlier recipe" if other_recipe else "other data"
    pale = [Fact(fact.key, fact.value, fact.tip, color=STALE) for fact in facts]
    return [*pale, Fact(f"of {which}", "measure again", color=STALE)]

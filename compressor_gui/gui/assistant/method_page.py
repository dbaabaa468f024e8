"""Step 3: how ranges are chosen, and what is done for accuracy and speed."""

from __future__ import annotations

from PySide6.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from compressor_gui.core.assistant import write
from compressor_gui.gui.assistant.draft import Draft
from compressor_gui.gui.assistant.page import Card, Cards, Page, Steps
from compressor_gui.gui.measure.calibrate_dialog import METHOD_WORDS
from compressor_gui.gui.theme import UNIT, Theme
from compressor_gui.gui.widgets import label, paragraph

_OPTIONS = {
    "fold": (
        "Fold batch norms first",
        "Their multiplication and addition go into the weights of the layer before: fewer operations, and a layer can "
        "be fused with its Relu.",
    ),
    "per_channel": (
        "A range for each output channel",
        "Each channel's weights use all 8 bits, however small they are. Off: one range a layer, as the Graph Transform "
        "Tool has it.",
    ),
    "rounded": (
        "Round weights on the examples",
        "Layers are equalized, and each weight goes up or down so that its layer puts out the least error (AdaRound): "
        "the most accurate method, in seconds to minutes.",
    ),
    "costly": (
        "Leave in float what is not worth it",
        "A model of the costs weighs each operation against the conversions around it.",
    ),
    "measured": (
        "Time each 8-bit region",
        "One that makes the network slower than in float, on this computer, stays in float: processors differ, and a "
        "model of the costs only guesses.",
    ),
    "without_vnni": (
        "For processors without VNNI too",
        "Weights are kept so small that their sums of 16 bits are not clipped; costs 1 to 2 dB on processors that have "
        "VNNI, and saves 5 dB on those that have not.",
    ),
}


_STORED = "Measured now, on the examples; an outlier can be cut off, and nothing is searched while the graph runs."
_FOUND = "As quantize_graph left them: each layer looks for its smallest and largest value at every run."


class Option(QWidget):
    """A check box with a sentence below."""

    def __init__(self, title: str, sentence: str) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, UNIT * 2)
        column.setSpacing(2)
        self.box = QCheckBox(title)
        self.box.setAccessibleDescription(sentence)
        column.addWidget(self.box)
        self.words = paragraph(sentence, "secondary")
        self.words.setContentsMargins(24, 0, 0, 0)
        column.addWidget(self.words)


class MethodPage(Page):
    """The ranges' method, and check boxes."""

    heading = "How?"
    sentence = "The defaults are good for most networks. The result says what they cost on yours."

    def __init__(self, draft: Draft, theme: Theme) -> None:
        super().__init__(draft, theme)
        self.when = label("Ranges of activations", "heading")
        self.column.addWidget(self.when)
        self.stored = Card("Stored", _STORED)
        self.found = Card("Found at run time", _FOUND)
        self.stored.chosen.connect(lambda: draft.choose(stored=True))
        self.found.chosen.connect(lambda: draft.choose(stored=False))
        self._group = Cards((self.stored, self.found), self)
        row = QHBoxLayout()
        row.setSpacing(UNIT * 3)
        row.addWidget(self.stored, 1)
        row.addWidget(self.found, 1)
        self.column.addLayout(row)
        row = QHBoxLayout()
        self.method_label = label("Choose them by")
        self.method = QComboBox()
        self.method.setAccessibleName("How ranges are chosen")
        for key, (text, _) in METHOD_WORDS.items():
            self.method.addItem(text, key)
        self.method.currentIndexChanged.connect(lambda: draft.choose(method=self.method.currentData()))
        self.method_words = paragraph("", "secondary")
        row.addWidget(self.method_label)
        row.addWidget(self.method)
        row.addWidget(self.method_words, 1)
        self.column.addLayout(row)
        self.column.addSpacing(UNIT * 2)
        self.care = label("Accuracy and speed", "heading")
        self.column.addWidget(self.care)
        self.options = {key: Option(*words) for key, words in _OPTIONS.items()}
        for key, option in self.options.items():
            option.box.toggled.connect(lambda on, key=key: self._checked(key, on))
            self.column.addWidget(option)
        self.column.addStretch(1)
        self.column.addWidget(label("The recipe that is written", "heading"))
        self.recipe = Steps()
        self.column.addWidget(self.recipe)

    def _checked(self, key: str, on: bool) -> None:
        self.draft.choose(**({"everywhere": not on} if key == "costly" else {key: on}))

    def show_draft(self) -> None:
        """What is chosen; only what counts for it."""
        choices, subject = self.draft.choices, self.draft.subject
        (self.stored if choices.stored else self.found).radio.setChecked(True)
        for card in (self.stored, self.found):
            card.setVisible(choices.goal == "classic")
        self.when.setVisible(choices.goal != "weights")
        self.method.setCurrentIndex(self.method.findData(choices.method))
        self.method_words.setText(METHOD_WORDS[choices.method][1])
        for widget in (self.method_label, self.method, self.method_words):
            widget.setVisible(choices.calibrates)
        shown = {
            "fold": (subject is not None and subject.folded is not None, choices.fold),
            "per_channel": (choices.goal == "weights", choices.per_channel),
            "rounded": (choices.goal == "fused", choices.rounded),
            "costly": (choices.goal == "fused", not choices.everywhere),
            "measured": (choices.goal == "fused", choices.measured),
            "without_vnni": (choices.goal == "fused", choices.without_vnni),
        }
        for key, (visible, on) in shown.items():
            self.options[key].box.setChecked(on)
            self.options[key].setVisible(visible)
        if subject is not None:
            self.recipe.show_planned(write(subject, choices), choices)
        self.care.setVisible(any(visible for visible, _ in shown.values()))

    def missing(self) -> str:
        """Data, where stored ranges were chosen here."""
        if self.draft.choices.calibrates and self.draft.data is None:
            return "Stored ranges are measured on examples: go back and choose some."
        return ""

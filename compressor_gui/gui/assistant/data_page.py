"""Step 2: the examples that ranges are measured on, and the result."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QPushButton, QVBoxLayout

from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import PreviewResult
from compressor_gui.gui.assistant.draft import Draft
from compressor_gui.gui.assistant.page import Page
from compressor_gui.gui.measure.calibrate_dialog import AMOUNTS
from compressor_gui.gui.measure.data_dialog import dropped_path
from compressor_gui.gui.measure.data_part import words_of
from compressor_gui.gui.measure.examples import Examples
from compressor_gui.gui.measure.words import data_name
from compressor_gui.gui.theme import UNIT, Theme
from compressor_gui.gui.widgets import ElidedLabel, label, paragraph


class DataPage(Page):
    """The data that is chosen with its first pictures, or a place to drop some. ``ask(path)`` opens the data dialog."""

    heading = "On which examples?"

    def __init__(self, draft: Draft, theme: Theme, ask: Callable[[str], object]) -> None:
        super().__init__(draft, theme)
        self._ask = ask
        self._shown: DataSpec | None = None
        self.setAcceptDrops(True)
        self.drop = QFrame()
        self.drop.setObjectName("dropArea")
        column = QVBoxLayout(self.drop)
        column.setContentsMargins(24, 32, 24, 32)
        column.setSpacing(UNIT * 3)
        words = paragraph(
            "Drop a folder of pictures or a data set here (IDX, NumPy, TFRecord, tf.data), or choose one.", "secondary"
        )
        words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column.addWidget(words)
        self.choose_button = self._button("Choose data …")
        column.addWidget(self.choose_button, 0, Qt.AlignmentFlag.AlignCenter)
        self.column.addWidget(self.drop)
        self.found = QFrame()
        self.found.setObjectName("card")
        column = QVBoxLayout(self.found)
        column.setContentsMargins(16, 14, 16, 14)
        column.setSpacing(UNIT * 2)
        row = QHBoxLayout()
        self.name = ElidedLabel()
        self.name.setProperty("role", "strong")
        row.addWidget(self.name, 1)
        self.change_button = self._button("Change the data …")
        row.addWidget(self.change_button)
        column.addLayout(row)
        self.summary = paragraph("", "secondary")
        column.addWidget(self.summary)
        self.pictures = Examples(theme, 64, rows=2)
        column.addWidget(self.pictures)
        self.doing, self.problem = paragraph("", "small"), paragraph("", "error")
        column.addWidget(self.doing)
        column.addWidget(self.problem)
        self.column.addWidget(self.found)
        self.amount_row = QHBoxLayout()
        self.amount_label = label("Measure ranges on")
        self.amount = QComboBox()
        self.amount.setAccessibleName("How many images the ranges are measured on")
        for count, text in AMOUNTS:
            self.amount.addItem(text, count)
        self.amount.currentIndexChanged.connect(lambda: draft.choose(images=self.amount.currentData()))
        self.amount_words = label("10 are nearly as good as 1,000, and quick.", "secondary")
        for widget in (self.amount_label, self.amount, self.amount_words):
            self.amount_row.addWidget(widget)
        self.amount_row.addStretch(1)
        self.column.addSpacing(UNIT * 2)
        self.column.addLayout(self.amount_row)
        self.column.addStretch(1)

    def _button(self, text: str) -> QPushButton:
        button = QPushButton(text)
        button.setAutoDefault(False)
        button.clicked.connect(lambda: self._ask(""))
        return button

    def entered(self) -> None:
        """Look at the first examples: that starts TensorFlow, too, while the user reads."""
        super().entered()
        data, seen = self.draft.data, self.draft.document.state.measured.preview
        if data is None or data is self._shown:
            return
        self._shown = data
        self.pictures.show_items((), ())
        self._say("", "")
        if seen is not None and seen.data == data:
            self.pictures.show_items(seen.value.items, seen.value.classes)
        else:
            self._say("Reading the first examples … The first time starts TensorFlow, which takes a few seconds.", "")
            self.draft.measurer.preview(data, lambda seen: self._previewed(data, seen), self._failed)

    def _previewed(self, data: DataSpec, seen: PreviewResult) -> None:
        if data is self._shown:
            self.pictures.show_items(seen.items, seen.classes)
            self._say("", "")

    def _failed(self, error: CompressorError) -> None:
        self._say("", words_of(error))

    def _say(self, doing: str, problem: str) -> None:
        for line, text in ((self.doing, doing), (self.problem, problem)):
            line.setText(text)
            line.setVisible(bool(text))

    def show_draft(self) -> None:
        """The data, and how much of it."""
        data, choices = self.draft.data, self.draft.choices
        self.words.setText(
            "The ranges of all activations are measured on examples like those that the model will see; the result is "
            "measured on them too."
            if choices.calibrates
            else "This method needs no examples. With some, the result is compared with the original on them; without, "
            "only size and speed are measured."
        )
        self.drop.setVisible(data is None)
        self.found.setVisible(data is not None)
        if data is not None:
            self.name.set_whole(data_name(data.path))
            self.name.setToolTip(data.path)
            self.summary.setText(data.summary)
        self.amount.setCurrentIndex(self.amount.findData(choices.images))
        for widget in (self.amount_label, self.amount, self.amount_words):
            widget.setVisible(choices.calibrates)

    def missing(self) -> str:
        """Data, where ranges are measured."""
        if self.draft.choices.calibrates and self.draft.data is None:
            return "Ranges are measured on examples: choose some."
        return ""

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take data."""
        if dropped_path(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Describe the data that was dropped."""
        event.acceptProposedAction()
        self._ask(dropped_path(event))

"""The assistant's window: the steps at the top, the page, and the way back, on and out."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QDialog,
    QFrame,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from compressor_gui.core.assistant import examine
from compressor_gui.core.errors import CompressorError
from compressor_gui.gui.assistant.data_page import DataPage
from compressor_gui.gui.assistant.draft import Draft
from compressor_gui.gui.assistant.header import StepHeader
from compressor_gui.gui.assistant.method_page import MethodPage
from compressor_gui.gui.assistant.page import Page
from compressor_gui.gui.assistant.result_page import ResultPage
from compressor_gui.gui.assistant.what_page import WhatPage
from compressor_gui.gui.measure.data_dialog import DataDialog
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.widgets import paragraph

TITLES = ("What", "Data", "Method", "Result")
_BROKEN = "What this recipe makes could not be run here: go back and choose another way."
_AROUND = 60
"""Pixels of the screen left around the window, its frame among them."""


def _scrolled(page: Page) -> QScrollArea:
    """A page that scrolls where the window is too low for it, so that the buttons below stay in view."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setMinimumWidth(page.minimumSizeHint().width())
    area.setWidget(page)
    return area


class AssistantDialog(QDialog):
    """Leads through the four steps. ``used(export)``: the document has the recipe; whether it is to be exported."""

    used = Signal(bool)

    def __init__(self, measurer: Measurer, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.draft, self.theme = Draft(measurer), theme
        self.document = measurer.document
        self.setWindowTitle("Quantize")
        room = self.screen().availableSize()
        self.resize(min(960, room.width() - _AROUND), min(680, room.height() - _AROUND))
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 20)
        column.setSpacing(16)
        self.header = StepHeader(TITLES, theme)
        self.header.wanted.connect(self.show_step)
        column.addWidget(self.header)
        line = QFrame()
        line.setObjectName("hairline")
        column.addWidget(line)
        self.what, self.data = WhatPage(self.draft, theme), DataPage(self.draft, theme, self._ask_data)
        self.method, self.result_page = MethodPage(self.draft, theme), ResultPage(self.draft, theme)
        self.steps: tuple[Page, ...] = (self.what, self.data, self.method, self.result_page)
        self.pages = QStackedWidget()
        for page in self.steps:
            self.pages.addWidget(_scrolled(page))
        column.addWidget(self.pages, 1)
        column.addLayout(self._build_buttons())
        for keys, run in (("Alt+Left", self.back), ("Alt+Right", self.next)):
            QShortcut(QKeySequence(keys), self).activated.connect(run)
        self.draft.changed.connect(self._show_buttons)
        self.document.changed.connect(self._changed)
        self.show_step(0)
        self._examine()

    def _build_buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.hint = paragraph("", "secondary")
        row.addWidget(self.hint, 1)
        self.cancel_button = self._button("Cancel", self.reject, "Close; nothing has changed (Esc)")
        self.back_button = self._button("Back", self.back, "The step before (Alt+Left)")
        self.next_button = self._button("Next", self.next, "The next step (Enter, Alt+Right)")
        self.export_button = self._button("Use and export …", lambda: self._use(True), "Use it, and write the file")
        self.use_button = self._button("Use this recipe", lambda: self._use(False), "Undo takes it away again")
        for button in (self.cancel_button, self.back_button, self.export_button, self.use_button, self.next_button):
            row.addWidget(button)
        return row

    def _button(self, text: str, run: object, tip: str) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setAutoDefault(False)
        button.clicked.connect(lambda _checked=False: run())  # type: ignore[operator]
        return button

    # -- the model -----------------------------------------------------------------------------------------------

    def _examine(self) -> None:
        source, recipe = self.draft.source, self.draft.began

        def failed(error: Exception) -> None:
            if not isinstance(error, CompressorError):
                raise error
            self.reject()
            self.document.failed.emit(error)

        self.document.background.run(lambda: examine(source.graph, recipe), self.draft.take, failed)

    def _changed(self, old: State, new: State) -> None:
        if new.source is not self.draft.source:
            self.reject()
        elif old.data is not new.data:
            self.steps[self.step].entered()
            self._show_buttons()

    def _ask_data(self, path: str) -> None:
        dialog = DataDialog(self.draft.measurer, self.theme, path, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    # -- step by step --------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """The step that is shown, from 0."""
        return self.pages.currentIndex()

    def show_step(self, index: int) -> None:
        """Go to a step."""
        self.pages.setCurrentIndex(index)
        self.header.show_step(index)
        self.steps[index].entered()
        self._show_buttons()

    def back(self) -> None:
        """The step before."""
        if self.step > 0:
            self.show_step(self.step - 1)

    def next(self) -> None:
        """The next step, where this one lacks nothing."""
        if self.step + 1 < len(self.steps) and not self.steps[self.step].missing():
            self.show_step(self.step + 1)

    def _show_buttons(self) -> None:
        last = self.step == len(self.steps) - 1
        missing = self.steps[self.step].missing()
        run = self.result_page.run
        usable = run is not None and run.usable
        broken = last and run is not None and usable and bool(run.failed_to_run)
        self.hint.setText(_BROKEN if broken else missing)
        self.back_button.setEnabled(self.step > 0)
        self.next_button.setVisible(not last)
        self.next_button.setEnabled(not missing)
        for button in (self.use_button, self.export_button):
            button.setVisible(last)
            button.setEnabled(usable)
        self.use_button.setText("Use it all the same" if broken else "Use this recipe")
        for button, default in (
            (self.next_button, not last),
            (self.use_button, last and not broken),
            (self.back_button, broken),
        ):
            button.setDefault(default)

    # -- the end -------------------------------------------------------------------------------------------------

    def _use(self, export: bool) -> None:
        run = self.result_page.run
        assert run is not None
        self.document.changed.disconnect(self._changed)
        run.use()
        self.document.changed.connect(self._changed)
        self.accept()
        self.used.emit(export)

    def done(self, result: int) -> None:
        """Close; what runs is stopped."""
        self.draft.changed.disconnect(self._show_buttons)
        self.document.changed.disconnect(self._changed)
        self.draft.measurer.cancel("preview")
        self.result_page.close_run()
        super().done(result)

"""Which examples a training learns from, and which it is measured on: widgets for a form."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QFileDialog, QPushButton, QWidget

from compressor_gui.core.data import DataSpec
from compressor_gui.core.datafiles import is_for_testing
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.names import elide
from compressor_gui.core.training import train_and_test
from compressor_gui.gui.measure.data_dialog import DataDialog
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.measure.words import data_name
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.training.forms import choices
from compressor_gui.gui.widgets import paragraph

_NAME = 28
"""Characters of a name on a button."""
_LEARNS_TEST = (
    "By their name these are test examples. Once some are learned from, accuracy on all of them says too much; what is "
    "held out stays honest."
)


class DataChoice(QObject):
    """``button`` names the document's data and chooses others, ``box`` what is tested on: ``test``, or None for a part
    of the data or its test pair, ``note`` says what is doubtful about the data.

    ``problem`` is what is wrong with the choice, None where it is good; ``changed`` says that it, or the data, is
    another.
    """

    changed = Signal()

    def __init__(self, measurer: Measurer, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self.measurer, self.document, self.theme, self._parent = measurer, measurer.document, theme, parent
        self.test: DataSpec | None = None
        self.problem: CompressorError | None = None
        self.button = QPushButton()
        self.button.setObjectName("retrainChoice")
        self.button.setAccessibleName("Data")
        self.button.clicked.connect(lambda: self.ask())
        self.box = choices({}, "Test data")
        self.box.activated.connect(self._ask_test)
        self.note = paragraph("", "warning", parent)
        self.note.hide()
        self.document.changed.connect(self._document_changed)
        self.show_data()

    @property
    def data(self) -> DataSpec | None:
        """The examples to learn from."""
        return self.document.state.data

    def ask(self, path: str = "") -> DataDialog:
        """Choose the training examples."""
        dialog = DataDialog(self.measurer, self.theme, path, self._parent.window())
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()
        return dialog

    def _ask_test(self, at: int) -> None:
        """What was chosen below "Test on"."""
        kind, folder = self.box.itemData(at), self.measurer.settings.folder
        self.box.setCurrentIndex(0)
        if kind == "part":
            self.set_test(None)
        elif kind == "folder":
            self.choose_test(QFileDialog.getExistingDirectory(self._parent, "Test data", folder))
        elif kind == "file":
            self.choose_test(QFileDialog.getOpenFileName(self._parent, "Test data", folder)[0])

    def choose_test(self, path: str) -> None:
        """Measure on what is at ``path`` (empty: as before), prepared as the training examples are."""
        data = self.data
        if data is None or not path:
            return

        def use(found: DataSpec) -> None:
            others = replace(data, kind=found.kind, path=found.path, targets=found.targets, names=found.names)
            self.set_test(replace(others, split="all", limit=0))

        self.measurer.guess(path, use, self._fail)

    def set_test(self, test: DataSpec | None) -> None:
        """Measure on these examples."""
        self.test = test
        self.show_data()

    def _fail(self, error: CompressorError) -> None:
        self.problem = error
        self.changed.emit()

    def _document_changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            self.test = None
        if old.source is not new.source or old.data is not new.data:
            self.show_data()

    def show_data(self) -> None:
        """Name the data, and what is tested on."""
        data, test = self.data, self.test
        held_out, self.problem = "", None
        if data is not None and test is None:
            try:
                train, part = train_and_test(data, None)
                pair = "the test pair beside it"
                held_out = pair if train.split == "all" else f"{100 * part.test_share:g} % held out"
            except CompressorError as error:
                self.problem = error
        self.note.setText(_LEARNS_TEST if data is not None and is_for_testing(data.path) else "")
        self.note.setVisible(bool(self.note.text()))
        name = data_name(data.path) if data is not None else "Choose data …"
        self.button.setText(elide(name, _NAME))
        self.button.setToolTip(f"{data.path}\n{data.summary}" if data is not None else "")
        self.box.clear()
        self.box.addItem(elide(data_name(test.path), _NAME) if test is not None else held_out)
        self.box.setToolTip(test.path if test is not None else "Examples to measure on")
        for text, value in (("a part of the data", "part"), ("another folder …", "folder"), ("another file …", "file")):
            if value != "part" or test is not None:
                self.box.addItem(text, value)
        self.box.setEnabled(data is not None)
        self.changed.emit()

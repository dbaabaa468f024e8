"""How a student is taught: on which data, by what loss, how long."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox, QSpinBox, QVBoxLayout, QWidget

from compressor_gui.core.data import DataSpec
from compressor_gui.core.distilling import Distill
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes.base import Param
from compressor_gui.core.training import Augmenting, Optimizing
from compressor_gui.gui.theme import UNIT
from compressor_gui.gui.training.data_choice import DataChoice
from compressor_gui.gui.training.forms import SEED, TRAINING, More, defaults, form_layout, taken

_MORE: dict[str, Param] = {
    **TRAINING,
    "fresh": Param("flag", "Random weights", "Also for students that begin with the teacher's, or with a file's"),
    "hints": Param("renames", "Hints", "teacher's node: student's node, which shall see the examples of a batch alike"),
    "hint_weight": Param("number", "Weight of hints", "Of their part of the loss", 0, 1_000_000),
    **SEED,
}


class LessonForm(QWidget):
    """Makes a request of what the user chose."""

    def __init__(self, choice: DataChoice) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(UNIT * 2)
        form = form_layout()
        form.addRow("Data", choice.button)
        form.addRow("Test on", choice.box)
        form.addRow(choice.note)
        self.temperature = QDoubleSpinBox()
        self.temperature.setRange(0.1, 100.0)
        self.temperature.setDecimals(1)
        self.temperature.setValue(Distill.temperature)
        self.temperature.setToolTip("How much the teacher's answers are softened: more shows more of what is alike")
        self.labels = QSpinBox()
        self.labels.setRange(0, 100)
        self.labels.setSuffix(" %")
        self.labels.setValue(round(100 * Distill.labels))
        self.labels.setToolTip(
            "The labels' share of the loss, the rest is the teacher's; 100 % trains without a teacher"
        )
        self.epochs = QSpinBox()
        self.epochs.setRange(1, 10_000)
        self.epochs.setValue(Distill.epochs)
        self.epochs.setToolTip("How often all training examples are seen")
        for name, spin in (("Temperature", self.temperature), ("Labels", self.labels), ("Epochs", self.epochs)):
            spin.setAccessibleName(name)
            spin.setAlignment(Qt.AlignmentFlag.AlignRight)
            form.addRow(name, spin)
        column.addLayout(form)
        first = defaults(Distill, Distill.optimizing, Augmenting)
        self.more = More(_MORE, first, "Optimizer, learning rate, batch, seed, and what is done to training pictures")
        column.addWidget(self.more)

    def request(self, data: DataSpec, test: DataSpec | None) -> Distill:
        """What is asked, but for the teacher, the student and the output. Raises CompressorError."""
        values = self.more.values()
        optimizing, augmenting = Optimizing(**taken(values, Optimizing)), Augmenting(**taken(values, Augmenting))
        hints = values.pop("hints")
        if not isinstance(hints, dict):
            raise CompressorError("hints are 'teacher: student' lines", where="Hints")
        return Distill(
            teacher=ModelRef(""), student="", output="", data=data, test=test, optimizing=optimizing,
            augmenting=augmenting, temperature=round(self.temperature.value(), 1), labels=self.labels.value() / 100,
            epochs=self.epochs.value(), hints=tuple(hints.items()), **values,
        )  # fmt: skip

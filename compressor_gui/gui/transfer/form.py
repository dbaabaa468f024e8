"""How a top is trained, and where the network with it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QFileDialog, QPushButton, QSpinBox, QVBoxLayout, QWidget

from compressor_gui.core.data import DataSpec
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.names import elide
from compressor_gui.core.passes.base import Param
from compressor_gui.core.training import Augmenting
from compressor_gui.core.transfer import Transfer
from compressor_gui.gui.theme import UNIT
from compressor_gui.gui.training.forms import More, defaults, form_layout, taken
from compressor_gui.gui.widgets import label

_MORE: dict[str, Param] = {
    "learning_rate": Param("number", "Learning rate", "Of gradient descent", 0.00001, 100),
    "validation_percentage": Param("number", "Validate on", "Pictures that choose the best step", 0, 90, "%"),
    "testing_percentage": Param("number", "Test on", "Pictures that are kept for the test", 0, 90, "%"),
    "flip": Param("flag", "Flip left and right", "In distorted copies, every other time"),
    "crop": Param("number", "Crop to", "In distorted copies: to as little as this share", 0, 1),
    "colour": Param("number", "Colour", "In distorted copies: brightness and contrast by up to this share", 0, 1),
    "copies": Param(
        "integer", "Copies", "How many distorted copies of each picture, where they are distorted", 1, 1000
    ),
    "mean": Param("number", "Mean", "Subtracted from every value of a picture, as retrain.py's input_mean"),
    "std": Param("number", "Deviation", "Divides every value of a picture, as retrain.py's input_std"),
    "bottleneck": Param("text", "Trunk ends at", "A node; found where this is empty"),
    "final_tensor_name": Param("text", "New output", "The name of the new output"),
    "seed": Param("integer", "Seed", "Decides all that is random", 0),
}
_GRAPHS = "Frozen graph (*.pb)"
_NAME = 34


def labels_beside(graph: Path) -> Path:
    """The file of the classes' names that belongs to a graph's file."""
    return graph.with_name(f"{graph.stem}_labels.txt")


class TransferForm(QWidget):
    """Makes a request of what the user chose; ``parts_changed()`` says that pictures go to other parts."""

    parts_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.target: Path | None = None
        """The graph's file."""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(UNIT * 2)
        form = form_layout()
        self.target_button = QPushButton()
        self.target_button.setObjectName("retrainChoice")
        self.target_button.setAccessibleName("Write to")
        self.target_button.setAutoDefault(False)
        self.target_button.clicked.connect(self._ask_target)
        form.addRow("Write to", self.target_button)
        self.beside = label("", "small")
        form.addRow("", self.beside)
        self.steps = QSpinBox()
        self.steps.setRange(1, 10_000_000)
        self.steps.setValue(Transfer.how_many_training_steps)
        self.steps.setToolTip("Steps of training, a batch of pictures each; they are fast, as the trunk has run before")
        self.batch = QSpinBox()
        self.batch.setRange(1, 1 << 20)
        self.batch.setValue(Transfer.train_batch_size)
        self.batch.setToolTip("Pictures of a step; where there are fewer to train on, all of them")
        for name, spin in (("Steps", self.steps), ("Batch", self.batch)):
            spin.setAccessibleName(name)
            spin.setAlignment(Qt.AlignmentFlag.AlignRight)
            form.addRow(name, spin)
        column.addLayout(form)
        first: dict[str, Any] = defaults(DataSpec, Augmenting, Transfer)
        tip = "Learning rate, validation and test, distorted copies, how pictures are fed, names"
        self.more = More(_MORE, first, tip)
        for name in ("validation_percentage", "testing_percentage"):
            editor = self.more.fields[name].editor
            assert isinstance(editor, QDoubleSpinBox)
            editor.setDecimals(0)
            self.more.fields[name].changed.connect(self.parts_changed)
        column.addWidget(self.more)
        self.set_target(None)

    @property
    def parts(self) -> tuple[float, float]:
        """The percentages for validation and testing."""
        values = self.more.values()
        return values["validation_percentage"], values["testing_percentage"]

    def show_spec(self, spec: DataSpec) -> None:
        """How the pictures are fed."""
        for name in ("mean", "std"):
            editor = self.more.fields[name].editor
            assert isinstance(editor, QDoubleSpinBox)
            editor.setValue(getattr(spec, name))

    def set_target(self, target: Path | None) -> None:
        """Write the graph there, and its labels beside it."""
        self.target = target
        self.target_button.setText(elide(target.name, _NAME) if target is not None else "Choose a file …")
        self.target_button.setToolTip(str(target or "Where the new network goes"))
        self.beside.setText(f"and its classes' names to {labels_beside(target).name}" if target is not None else "")

    def _ask_target(self) -> None:
        once = QFileDialog.Option.DontConfirmOverwrite  # Start asks, and for the labels too
        start = str(self.target or "")
        path, _ = QFileDialog.getSaveFileName(self, "Write the new network to", start, _GRAPHS, options=once)
        if path:
            self.set_target(Path(path))

    def request(self, spec: DataSpec, pictures: int) -> Transfer:
        """What is asked, but for the model; ``pictures`` are there to train on."""
        assert self.target is not None
        values = self.more.values()
        augmenting = Augmenting(**taken(values, Augmenting))
        fed = DataSpec(**{**vars(spec), "mean": values.pop("mean"), "std": values.pop("std")})
        fed.check("the pictures")
        return Transfer(
            model=ModelRef(""), data=fed, output_graph=str(self.target), output_labels=str(labels_beside(self.target)),
            how_many_training_steps=self.steps.value(), train_batch_size=min(self.batch.value(), max(pictures, 1)),
            augmenting=augmenting, **values,
        )  # fmt: skip

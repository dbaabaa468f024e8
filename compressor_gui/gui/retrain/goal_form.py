"""What a run shall reach, on which data, and how: the form above the Start button."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.core.channel_pruning import PruneChannels
from compressor_gui.core.data import DataSpec
from compressor_gui.core.layers import Layer
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes.base import Param
from compressor_gui.core.training import REWINDS, Augmenting, Goal, Optimizing, PruneRetrain
from compressor_gui.gui.retrain.retrainer import Ask
from compressor_gui.gui.theme import MARGIN, UNIT
from compressor_gui.gui.training.data_choice import DataChoice
from compressor_gui.gui.training.forms import SEED, TRAINING, More, choices, defaults, form_layout, taken
from compressor_gui.gui.widgets import paragraph

_GOALS = {
    "ratio": ("fewer weights", "So many times fewer weights are left; biases are not counted"),
    "sparsity": ("share of zeros", "The share of all weights that is zero"),
    "bytes": ("file size", "The file's bytes, sparse weights stored as CSR: an estimate"),
    "max_drop": ("accuracy lost", "As many zeros as cost no more than so many points of top-1"),
    "speedup": ("faster", "Channels are removed until the network is measured to be so many times as fast"),
}
_AMOUNTS = {
    "ratio": (1.1, 1000.0, 10.0, 1, " ×"),
    "sparsity": (1.0, 99.9, 90.0, 1, " %"),
    "bytes": (1.0, 1e7, 100.0, 0, " kB"),
    "max_drop": (0.0, 99.0, 0.5, 2, " points"),
    "speedup": (1.05, 20.0, 1.5, 2, " ×"),
}
"""Goal -> least, most, first value, decimals, unit."""
_SCHEDULES = {
    "iterative": ("step by step", "Prune, retrain, prune further: every step keeps the same share (Han et al. 2015)"),
    "one_shot": ("all at once", "Prune once, then retrain"),
    "cubic": ("while training", "Pruned during the training, fast at first (Zhu and Gupta 2017)"),
    "surgery": ("with regrowth", "What was cut goes on being trained, and comes back where it grew (Guo et al. 2016)"),
    "rigl": ("moving zeros", "The number of zeros stays, their places move to small weights (Evci et al. 2020)"),
}
_CRITERIA = {
    "global": ("smallest of all", "The smallest magnitudes over all layers"),
    "magnitude": ("smallest of each layer", "The smallest magnitudes; every layer keeps the same share"),
    "scaled": ("smallest for their layer", "A weight's square over those that are as large in its layer (LAMP)"),
    "sensitivity": ("by each layer's spread", "Magnitudes over the layer's standard deviation (Han et al. 2015)"),
    "taylor": ("least effect on the loss", "Magnitude times gradient (Molchanov et al. 2019)"),
    "random": ("any (the control)", "At random: what a criterion has to be better than"),
}
_MORE: dict[str, Param] = {
    "steps": Param("integer", "Steps", "Of pruning; 0: a step leaves at least a fifth", 0, 100),
    **TRAINING,
    "rewind": Param("choice", "Rewind", "What starts again after each pruning", choices=REWINDS),
    "keep": Param("choice", "Keep epoch", "Which epoch of a step makes its point", choices=("last", "best")),
    "patience": Param("integer", "Patience", "End a step after so many epochs that are no better; 0: never", 0, 10_000),
    **SEED,
}
_MORE_TIP = "Steps, learning rate, batch, seed, and what is done to training pictures"


class GoalForm(QWidget):
    """Makes a request of what the user chose."""

    def __init__(self, choice: DataChoice) -> None:
        super().__init__()
        self._weights = self._bytes = 0
        self._asks: type[PruneRetrain | PruneChannels] = PruneRetrain
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, UNIT, MARGIN, UNIT)
        column.setSpacing(UNIT * 2)
        self._form = form = form_layout()
        self.goal = choices(_GOALS, "Goal")
        self.amount = QDoubleSpinBox()
        self.amount.setAccessibleName("Amount")
        self.amount.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.amount.setFixedWidth(84)
        both = QHBoxLayout()
        both.setSpacing(UNIT * 2)
        both.addWidget(self.goal, 1)
        both.addWidget(self.amount)
        form.addRow("Goal", both)
        self.words = paragraph("", "small")
        form.addRow("", self.words)
        self.test = choice.box
        form.addRow("Data", choice.button)
        form.addRow("Test on", choice.box)
        form.addRow(choice.note)
        self.schedule, self.criterion = choices(_SCHEDULES, "Schedule"), choices(_CRITERIA, "Criterion")
        for combo, default in ((self.schedule, PruneRetrain.schedule), (self.criterion, PruneRetrain.criterion)):
            combo.setCurrentIndex(combo.findData(default))
        form.addRow("Prune", self.schedule)
        form.addRow("First go", self.criterion)
        self.epochs = QSpinBox()
        self.epochs.setAccessibleName("Epochs")
        self.epochs.setRange(1, 10_000)
        self.epochs.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.epochs.setSuffix(" after each step")
        self.epochs.setToolTip("How often all training examples are seen after each step of pruning")
        form.addRow("Epochs", self.epochs)
        column.addLayout(form)
        more = More(_MORE, defaults(PruneRetrain, PruneRetrain.optimizing, Augmenting), _MORE_TIP)
        steps = more.fields["steps"].editor
        assert isinstance(steps, QSpinBox)
        steps.setSpecialValueText("as many as it takes")
        self.more_button, self.fields, self._more = more.button, more.fields, more
        column.addWidget(more)
        self.goal.currentIndexChanged.connect(self._goal_chosen)
        self.amount.valueChanged.connect(self._say)
        self._goal_chosen()

    @property
    def removes_channels(self) -> bool:
        """Whether the goal is a speed."""
        return bool(self.goal.currentData() == "speedup")

    def _goal_chosen(self) -> None:
        """Give the amount the range, unit and first value of the goal; hide what it does not need."""
        low, high, first, decimals, unit = _AMOUNTS[self.goal.currentData()]
        self.amount.setDecimals(decimals)
        self.amount.setRange(low, high)
        self.amount.setSuffix(unit)
        self.amount.setSingleStep(10**-decimals if decimals else max(1.0, round(self._bytes / 50_000)))
        self.amount.setValue(max(1.0, round(self._bytes / 5000)) if unit == " kB" and self._bytes else first)
        self._form.setRowVisible(self.schedule, not self.removes_channels)
        self._form.setRowVisible(self.criterion, not self.removes_channels)
        asks = PruneChannels if self.removes_channels else PruneRetrain
        self.epochs.setValue(asks.epochs)
        self._begin_with(asks)
        self._say()

    def _begin_with(self, asks: type[PruneRetrain | PruneChannels]) -> None:
        """Give the fields that nobody has changed the first values of another request."""
        for name in ("learning_rate", "batch"):
            editor = self.fields[name].editor
            assert isinstance(editor, (QSpinBox, QDoubleSpinBox))
            if editor.value() == getattr(self._asks.optimizing, name):
                editor.setValue(getattr(asks.optimizing, name))
        self._asks = asks

    def show_model(self, layers: Iterable[Layer], size: int) -> None:
        """The layers that can be pruned, and the file's bytes, of which the goals are parts."""
        self._weights, self._bytes = sum(layer.parameters for layer in layers), size
        self._say()

    def _say(self) -> None:
        """What the goal means for this model."""
        goal, value, weights = self.goal.currentData(), self.amount.value(), self._weights
        if goal in ("ratio", "sparsity"):
            left = weights / value if goal == "ratio" else weights * (1 - value / 100)
            text = f"{units.amount(left)} of {units.amount(weights)} weights stay"
        elif goal == "bytes":
            text = f"{units.percent(min(value * 1000 / max(self._bytes, 1), 1))} of {units.size(self._bytes)}, as CSR"
        elif goal == "max_drop":
            text = "as many zeros as that allows; needs labels"
        else:
            text = "channels go until it is measured to be so"
        self.words.setText(text)

    def request(self, model: ModelRef, data: DataSpec, test: DataSpec | None) -> Ask:
        """What is asked. Raises CompressorError where it makes no sense."""
        values = self._more.values()
        optimizing, augmenting = taken(values, Optimizing), taken(values, Augmenting)
        shared: dict[str, Any] = {
            "model": model, "data": data, "test": test, "epochs": self.epochs.value(), "seed": values.pop("seed"),
            "optimizing": Optimizing(**optimizing), "augmenting": Augmenting(**augmenting),
        }  # fmt: skip
        goal, amount = self.goal.currentData(), round(self.amount.value(), 4)
        asked: Ask
        if self.removes_channels:
            asked = PruneChannels(speedup=amount, **shared, **({"steps": values["steps"]} if values["steps"] else {}))
        else:
            target: dict[str, Any] = {goal: round(amount * 1000) if goal == "bytes" else amount}
            if goal in ("sparsity", "max_drop"):
                target = {goal: amount / 100}
            asked = PruneRetrain(
                goal=Goal(**target), schedule=self.schedule.currentData(), criterion=self.criterion.currentData(),
                **values, **shared,
            )  # fmt: skip
        asked.check()
        return asked

"""What the forms of all trainings share: their layout, their boxes of choices, and the fields behind "More …"."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from compressor_gui.core.passes.base import Param
from compressor_gui.core.training import OPTIMIZERS, RATES
from compressor_gui.gui.pass_form import Field
from compressor_gui.gui.theme import UNIT

TRAINING: Mapping[str, Param] = {
    "optimizer": Param("choice", "Optimizer", "How weights are moved", choices=OPTIMIZERS),
    "learning_rate": Param("number", "Learning rate", "At the beginning; where there are steps, of each", 0.00001, 10),
    "rate": Param("choice", "Then", "How the learning rate falls; where there are steps, in each", choices=RATES),
    "weight_decay": Param("number", "Weight decay", "Of the weights, not the biases", 0, 10),
    "batch": Param("integer", "Batch", "Examples of a batch", 1, 1 << 20),
    "shift": Param("integer", "Shift", "Training pictures are shifted by up to so many pixels", 0, 1000, "px"),
    "crop": Param("number", "Crop to", "Training pictures are cropped to as little as this share", 0, 1),
    "colour": Param("number", "Colour", "Brightness and contrast change by up to this share", 0, 1),
    "flip": Param("flag", "Flip left and right", "Training pictures, every other time"),
}
"""Fields of retraining and distilling for :class:`More`."""
SEED: Mapping[str, Param] = {"seed": Param("integer", "Seed", "Decides all that is random", 0)}


def form_layout() -> QFormLayout:
    """Names at the left, fields as wide as there is room."""
    form = QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    form.setHorizontalSpacing(12)
    form.setVerticalSpacing(UNIT * 2)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    return form


def choices(table: Mapping[str, tuple[str, str]], name: str) -> QComboBox:
    """A box of what can be chosen: value -> its words and its tooltip."""
    combo = QComboBox()
    combo.setAccessibleName(name)
    for at, (value, (text, tip)) in enumerate(table.items()):
        combo.addItem(text, value)
        combo.setItemData(at, tip, Qt.ItemDataRole.ToolTipRole)
    if table:
        combo.currentIndexChanged.connect(lambda at: combo.setToolTip(combo.itemData(at, Qt.ItemDataRole.ToolTipRole)))
        combo.currentIndexChanged.emit(0)
    combo.setMinimumContentsLength(8)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return combo


def defaults(*of: Any) -> dict[str, Any]:
    """The first values of the fields of dataclasses, or the values of an object of one, by name; the last of a name
    decides."""
    return {field.name: getattr(one, field.name, None) for one in of for field in dataclasses.fields(one)}


def taken(values: dict[str, Any], kind: type) -> dict[str, Any]:
    """The values that are fields of this dataclass; they are taken out of ``values``."""
    return {field.name: values.pop(field.name) for field in dataclasses.fields(kind) if field.name in values}


class Scrolled(QScrollArea):
    """A form that scrolls where it is higher than there is room, as with all fields of :class:`More`."""

    def __init__(self, form: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._form = form
        self.setWidget(form)

    def sizeHint(self) -> QSize:
        """As high as the form."""
        return self._form.sizeHint()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The form has become higher or lower."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


class More(QWidget):
    """A button that unfolds the fields that few need."""

    def __init__(self, table: Mapping[str, Param], first: Mapping[str, Any], tip: str) -> None:
        """``first``: the fields' first values; the others that it has are left alone."""
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(UNIT * 2)
        self.button = QToolButton()
        self.button.setText("More …")
        self.button.setToolTip(tip)
        self.button.setCheckable(True)
        self.button.setProperty("role", "flat")
        column.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)
        self.fields: dict[str, Field] = {}
        body = QWidget()
        form = form_layout()
        body.setLayout(form)
        for name, spec in table.items():
            field = self.fields[name] = Field(spec, first[name], optional=False)
            title = QLabel("" if spec.kind == "flag" else spec.label)
            title.setToolTip(spec.help)
            form.addRow(title, field)
        body.hide()
        self.button.toggled.connect(body.setVisible)
        column.addWidget(body)

    def values(self) -> dict[str, Any]:
        """What the fields say, by name."""
        return {name: field.value() for name, field in self.fields.items()}

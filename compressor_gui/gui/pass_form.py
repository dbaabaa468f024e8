"""A form for any pass, made from the declaration of its fields."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.passes import Param, Pass, make
from compressor_gui.gui.dialogs import Foot, dialog_column
from compressor_gui.gui.widgets import label, paragraph

LARGEST = 2_000_000_000


class Field(QWidget):
    """An editor for one parameter; ``value()`` is what the pass's constructor takes."""

    changed = Signal()

    def __init__(self, spec: Param, value: Any, optional: bool) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        self._use: QCheckBox | None = None
        if optional:
            self._use = QCheckBox()
            self._use.setToolTip(f"Use {spec.label.lower()}")
            self._use.setAccessibleName(f"Use {spec.label.lower()}")
            self._use.setChecked(value is not None)
            self._use.toggled.connect(self._used)
            row.addWidget(self._use)
        self.editor, self._read = _EDITORS[spec.kind](self, spec, value)
        self.editor.setToolTip(spec.help)
        self.editor.setAccessibleName(spec.label)
        self.editor.setEnabled(self._use is None or self._use.isChecked())
        row.addWidget(self.editor, 1)

    def _used(self, on: bool) -> None:
        self.editor.setEnabled(on)
        self.changed.emit()

    def value(self) -> Any:
        """The parameter's value; None where it is not used."""
        return None if self._use is not None and not self._use.isChecked() else self._read()


Editor = tuple[QWidget, Callable[[], Any]]


def _number(owner: Field, spec: Param, value: Any) -> Editor:
    low = spec.minimum if spec.minimum is not None else -LARGEST
    high = spec.maximum if spec.maximum is not None else LARGEST
    fraction = low == 0 and 0.9 < high <= 1
    spin = QDoubleSpinBox()
    spin.setDecimals(2 if fraction else 5)
    spin.setRange(low * 100 if fraction else low, high * 100 if fraction else high)
    spin.setSuffix(" %" if fraction else f" {spec.unit}" if spec.unit else "")
    spin.setAlignment(Qt.AlignmentFlag.AlignRight)
    spin.setValue((value or 0.0) * (100 if fraction else 1))
    spin.valueChanged.connect(owner.changed)
    if not fraction:
        return spin, spin.value
    both = QWidget()
    row = QHBoxLayout(both)
    row.setContentsMargins(0, 0, 0, 0)
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, round(high * 1000))
    slider.setValue(round(spin.value() * 10))
    slider.valueChanged.connect(lambda tick: spin.setValue(tick / 10))
    spin.valueChanged.connect(lambda percent: _quietly(slider, round(percent * 10)))
    row.addWidget(slider, 1)
    row.addWidget(spin)
    return both, lambda: round(spin.value() / 100, 6)


def _quietly(slider: QSlider, tick: int) -> None:
    slider.blockSignals(True)
    slider.setValue(tick)
    slider.blockSignals(False)


def _integer(owner: Field, spec: Param, value: Any) -> Editor:
    spin = QSpinBox()
    spin.setRange(int(spec.minimum or 0), int(spec.maximum if spec.maximum is not None else LARGEST))
    spin.setSuffix(f" {spec.unit}" if spec.unit else "")
    spin.setAlignment(Qt.AlignmentFlag.AlignRight)
    spin.setValue(int(value or 0))
    spin.valueChanged.connect(owner.changed)
    return spin, spin.value


def _flag(owner: Field, spec: Param, value: Any) -> Editor:
    box = QCheckBox(spec.label)
    box.setChecked(bool(value))
    box.toggled.connect(owner.changed)
    return box, box.isChecked


def _choice(owner: Field, spec: Param, value: Any) -> Editor:
    combo = QComboBox()
    combo.addItems(list(spec.choices))
    combo.setCurrentText(str(value))
    combo.currentTextChanged.connect(owner.changed)
    return combo, combo.currentText


def _text(owner: Field, _spec: Param, value: Any) -> Editor:
    line = QLineEdit(str(value or ""))
    line.textChanged.connect(owner.changed)
    return line, line.text


def _names(owner: Field, _spec: Param, value: Any) -> Editor:
    line = QLineEdit(", ".join(value or ()))
    line.setPlaceholderText("names, separated by commas")
    line.textChanged.connect(owner.changed)
    return line, line.text


def _map(owner: Field, spec: Param, value: Any) -> Editor:
    """Maps are edited as ``name: value`` lines; a ranges file can be loaded into them."""
    both = QWidget()
    column = QVBoxLayout(both)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(4)
    text = QPlainTextEdit()
    text.setFixedHeight(96)
    example = {"ranges": "conv1/eightbit_requant_range: 0, 6", "renames": "Identity: scores"}
    text.setPlaceholderText(f"one a line, for example\n{example.get(spec.kind, 'conv1/Conv2D: 0.5')}")
    text.setPlainText("\n".join(f"{name}: {_map_words(entry)}" for name, entry in value or ()))
    text.setTabChangesFocus(True)
    text.textChanged.connect(owner.changed)
    column.addWidget(text)
    if spec.kind == "ranges":
        button = QPushButton("Load a ranges file …")
        button.clicked.connect(lambda: _load_map(text))
        column.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)
    return both, lambda: _parse_map(text.toPlainText(), spec)


def _map_words(entry: Any) -> str:
    return ", ".join(f"{v:g}" for v in entry) if isinstance(entry, tuple) else str(entry)


def _load_map(text: QPlainTextEdit) -> None:
    path, _ = QFileDialog.getOpenFileName(text, "Load ranges", "", "Ranges (*.json);;All files (*)")
    if path:
        text.setPlainText(path)  # the pass reads the file, and says what is wrong with it


def _parse_map(text: str, spec: Param) -> Any:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and lines[0].endswith(".json"):
        return lines[0]
    out: dict[str, Any] = {}
    for line in lines:
        name, colon, entry = line.rpartition(":")
        if not colon or not name.strip():
            raise CompressorError(f"{line!r} is not 'name: value'", where=spec.label)
        entry = entry.strip()
        if spec.kind == "renames":
            out[name.strip()] = entry
            continue
        try:
            parts = json.loads(f"[{entry.strip('[]')}]")
        except ValueError:
            raise CompressorError(f"{entry!r} is not a number", where=f"{spec.label}, {name.strip()}") from None
        out[name.strip()] = parts if spec.kind == "ranges" else parts[0] if parts else None
    return out


_EDITORS: dict[str, Callable[[Field, Param, Any], Editor]] = {
    "number": _number,
    "integer": _integer,
    "flag": _flag,
    "choice": _choice,
    "text": _text,
    "names": _names,
    "amounts": _map,
    "ranges": _map,
    "renames": _map,
}


class PassForm(QDialog):
    """Edits one pass; ``accepted`` leaves the new one in ``transform``."""

    def __init__(self, transform: Pass, verb: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.transform = transform
        self.setWindowTitle(f"{verb} {transform.name}")
        self.setMinimumWidth(440)
        column = dialog_column(self, transform.title)
        summary = paragraph(transform.summary, "secondary")
        column.addWidget(summary)
        form = QFormLayout()
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        form.setHorizontalSpacing(16)
        form.setVerticalSpacing(8)
        self.fields: dict[str, Field] = {}
        for key, spec in transform.params().items():
            field = Field(spec, getattr(transform, key), transform.default(key) is None)
            field.changed.connect(self._check)
            self.fields[key] = field
            name = label("" if spec.kind == "flag" else f"{spec.label} (required)" if spec.required else spec.label)
            name.setToolTip(spec.help)
            form.addRow(name, field)
        if not self.fields:
            form.addRow(label("There is nothing to set.", "secondary"))
        column.addLayout(form)
        self.problem = paragraph("", "error")
        self.problem.hide()
        column.addWidget(self.problem)
        column.addStretch(1)
        foot = Foot(self, verb)
        self.ok_button = foot.accept_button
        column.addLayout(foot)

    def _check(self) -> bool:
        """Read the fields; show what is wrong. Returns whether nothing is."""
        try:
            values = {key: field.value() for key, field in self.fields.items()}
            self.transform = make(self.transform.name, values, files=True)
        except CompressorError as error:
            self.problem.setText(str(error))
            self.problem.show()
        else:
            self.problem.hide()
        good = self.problem.isHidden()
        self.ok_button.setEnabled(good)
        return good

    def accept(self) -> None:
        """Close, where the parameters are right."""
        if self._check():
            super().accept()

"""Choosing data: where examples come from and how they become the input, with the first pictures as the network sees
them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from compressor_gui.core.data import KINDS, LAYOUTS, ORDERS, SPLITS, DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import PreviewResult
from compressor_gui.core.passes import Param
from compressor_gui.core.placeholders import placeholders
from compressor_gui.gui.dialogs import Foot, dialog_column
from compressor_gui.gui.measure.data_part import counts, words_of
from compressor_gui.gui.measure.examples import Examples
from compressor_gui.gui.measure.measured import Of
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.pass_form import Field
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.widgets import label, paragraph

PAUSE = 400
"""Milliseconds after the last change before the preview is asked for."""
DTYPES = ("float32", "float16", "float64", "uint8", "int8", "int32", "int64", "string")
_MB = 1_000_000

_MAIN: dict[str, Param] = {
    "kind": Param("choice", "Kind", "What the files are", choices=KINDS),
    "targets": Param("text", "Labels", "File of labels, where they are not beside the examples"),
    "names": Param("text", "Class names", "File of class names, one a line"),
    "height": Param("integer", "Height", "Pixels that pictures are brought to; 0 keeps theirs", 0, 16384, "px"),
    "width": Param("integer", "Width", "Pixels that pictures are brought to; 0 keeps theirs", 0, 16384, "px"),
    "channels": Param("integer", "Channels", "1 (grey), 3 or 4; 0 keeps theirs", 0, 4),
    "mean": Param("number", "Mean", "Subtracted from every value, as label_image's input_mean"),
    "std": Param("number", "Deviation", "Divides every value, as label_image's input_std"),
    "limit": Param("integer", "At most", "The largest number of examples; 0 takes all", 0, unit="examples"),
}
_MORE: dict[str, Param] = {
    "crop": Param("number", "Central crop", "The part of a picture that is kept before resizing", 0, 1),
    "order": Param("choice", "Colours", "The order of the colour channels", choices=ORDERS),
    "layout": Param("choice", "Layout", "The order of the dimensions", choices=LAYOUTS),
    "dtype": Param("choice", "Type", "The placeholder's type", choices=DTYPES),
    "label_offset": Param(
        "integer", "Label offset", "Added to every label; 1 where class 0 is background", -1000, 1000
    ),
    "feature": Param("text", "Examples' name", "The part of a TFRecord, .npz or data set that is the picture"),
    "label_feature": Param("text", "Labels' name", "The part that is the label"),
    "split": Param("choice", "Split", "Take all examples, or one part", choices=SPLITS),
    "test_share": Param("number", "Test share", "The part of all examples that is for testing", 0, 1),
    "seed": Param("integer", "Seed", "Decides which examples are in which part", 0),
    "constants": Param("amounts", "Other inputs", "What the other placeholders get"),
    "cache_bytes": Param("integer", "Memory for examples", "Decoded examples are kept up to this", 0, 1_000_000, "MB"),
}


class DataForm(QWidget):
    """The fields of a description, but for its path."""

    def __init__(self, spec: DataSpec, inputs: tuple[str, ...], changed: Any) -> None:
        super().__init__()
        self._spec = spec
        self.fields: dict[str, Field] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 12, 0)
        column.setSpacing(8)
        choose = {"input": Param("choice", "Input", "The placeholder that is fed", choices=inputs)}
        column.addLayout(self._rows({**choose, **_MAIN}, changed))
        self.more_button = QToolButton()
        self.more_button.setText("More …")
        self.more_button.setCheckable(True)
        self.more_button.setProperty("role", "flat")
        column.addWidget(self.more_button, 0, Qt.AlignmentFlag.AlignLeft)
        more = QWidget()
        more.setLayout(self._rows(_MORE, changed))
        more.hide()
        self.more_button.toggled.connect(more.setVisible)
        column.addWidget(more)
        column.addStretch(1)

    def _rows(self, table: dict[str, Param], changed: Any) -> QFormLayout:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setHorizontalSpacing(16)
        form.setVerticalSpacing(8)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for key, param in table.items():
            field = Field(param, self._shown(key), optional=False)
            if key == "limit" and isinstance(field.editor, QSpinBox):
                field.editor.setSpecialValueText("all examples")
            field.changed.connect(changed)
            self.fields[key] = field
            name = label(param.label)
            name.setToolTip(param.help)
            form.addRow(name, field)
        return form

    def _shown(self, key: str) -> Any:
        value = getattr(self._spec, key)
        return tuple(value.items()) if key == "constants" else value // _MB if key == "cache_bytes" else value

    def spec(self, path: str) -> DataSpec:
        """What the fields say. Raises CompressorError."""
        values = {key: field.value() for key, field in self.fields.items()}
        values["cache_bytes"] *= _MB
        if not isinstance(values["constants"], dict):
            raise CompressorError("the other inputs are 'name: number' lines", where="Other inputs")
        spec = dataclasses.replace(self._spec, path=path, **values)
        spec.check("this form")
        return spec


class DataDialog(QDialog):
    """Asks for data. When it is accepted, the document has it and the preview."""

    def __init__(self, measurer: Measurer, theme: Theme, path: str = "", parent: QWidget | None = None) -> None:
        """``path`` is data that was dropped; without it the present data is shown."""
        super().__init__(parent)
        source = measurer.document.state.source
        assert source is not None
        self.measurer, self.theme, self.graph = measurer, theme, source.graph
        self.seen: PreviewResult | None = None
        self._seen_of: DataSpec | None = None
        self.form: DataForm | None = None
        self._guessed = ""
        self._pause = QTimer(self, singleShot=True, interval=PAUSE)
        self._pause.timeout.connect(self._preview)
        self.setWindowTitle("Data")
        self.setAcceptDrops(True)
        self.resize(860, 620)
        self._build()
        data = measurer.document.state.data
        if path:
            self.choose(path)
        elif data is not None:
            self._show(data)
        else:
            self._say("Drop a folder of pictures or a data set here, or choose one; the form is filled with a guess.")

    def _build(self) -> None:
        column = dialog_column(self, "Examples to measure on")
        row = QHBoxLayout()
        self.path = QLineEdit()
        self.path.setAccessibleName("Folder or file of data")
        self.path.setPlaceholderText(
            "A folder of pictures, IDX, .npz, .npy, TFRecord, a tf.data data set, or a description (.json)"
        )
        self.path.editingFinished.connect(self._path_edited)
        row.addWidget(self.path, 1)
        for text, ask in (("Folder …", self._ask_folder), ("File …", self._ask_file)):
            button = QPushButton(text)
            button.setAutoDefault(False)
            button.clicked.connect(ask)
            row.addWidget(button)
        column.addLayout(row)
        middle = QHBoxLayout()
        middle.setSpacing(20)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFixedWidth(400)
        middle.addWidget(self._scroll)
        right = QVBoxLayout()
        right.addWidget(label("As the network will see them", "heading"))
        self.summary = paragraph("", "small")
        right.addWidget(self.summary)
        self.examples = Examples(self.theme, 80)
        right.addWidget(self.examples)
        self.facts = paragraph("", "secondary")
        right.addWidget(self.facts)
        self.problem = paragraph("", "error")
        right.addWidget(self.problem)
        right.addStretch(1)
        middle.addLayout(right, 1)
        column.addLayout(middle, 1)
        names = ", ".join(self.measurer.untrusted[:4])
        self.allow = QCheckBox(f"This model may read or write files or run code ({names}): run it all the same")
        self.allow.setChecked(self.measurer.allow_unsafe)
        self.allow.setVisible(bool(names))
        self.allow.toggled.connect(self._allowed)
        column.addWidget(self.allow)
        foot = Foot(self, "Use this data")
        self.use_button = foot.accept_button
        self.use_button.setEnabled(False)
        column.addLayout(foot)

    # -- where from ----------------------------------------------------------------------------------------------

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Data", self.path.text() or self.measurer.settings.folder)
        if path:
            self.choose(path)

    def _ask_file(self) -> None:
        kinds = "Data (*.gz *ubyte *.npz *.npy *.tfrecord* *.json *.jpg *.jpeg *.png);;All files (*)"
        path, _ = QFileDialog.getOpenFileName(self, "Data", self.path.text() or self.measurer.settings.folder, kinds)
        if path:
            self.choose(path)

    def _path_edited(self) -> None:
        path = self.path.text().strip()
        if path and (self.form is None or path != self._guessed):
            self.choose(path)

    def choose(self, path: str) -> None:
        """Guess a description of what is at ``path``, and show it."""
        self.path.setText(path)
        self._guessed = path
        self.use_button.setEnabled(False)  # what the form says is of other data
        self._say("Looking …")
        self.measurer.guess(path, self._show, self._fail)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take one file or folder."""
        urls = event.mimeData().urls()
        if len(urls) == 1 and urls[0].isLocalFile():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Guess what it is."""
        event.acceptProposedAction()
        self.choose(event.mimeData().urls()[0].toLocalFile())

    # -- the form and the preview --------------------------------------------------------------------------------

    def _show(self, spec: DataSpec) -> None:
        self.path.setText(spec.path)
        self._guessed = spec.path
        inputs = tuple(dict.fromkeys((spec.input, *(node.name for node in placeholders(self.graph)))))
        self.form = DataForm(spec, inputs, self._edited)
        self._scroll.setWidget(self.form)
        self._preview()

    def _edited(self) -> None:
        self._seen_of = None
        self.use_button.setEnabled(False)
        self._pause.start()

    def _allowed(self, on: bool) -> None:
        self.measurer.allow_unsafe = on
        if self.form is not None:
            self._preview()

    def spec(self) -> DataSpec:
        """What the form says. Raises CompressorError."""
        if self.form is None:
            raise CompressorError("choose a folder or file first")
        return self.form.spec(self.path.text().strip())

    def _preview(self) -> None:
        self._pause.stop()
        try:
            spec = self.spec()
        except CompressorError as error:
            self._fail(error)
            return
        self.summary.setText(spec.summary)
        self._say("Reading the first examples … The first time starts TensorFlow, which takes a few seconds.")
        self._seen_of = spec
        self.use_button.setEnabled(True)  # pictures are a help, not a condition
        self.measurer.preview(spec, lambda seen: self._previewed(spec, seen), self._fail)

    def _previewed(self, spec: DataSpec, seen: PreviewResult) -> None:
        if spec is not self._seen_of:
            return
        self.seen = seen
        self.examples.show_items(seen.items, seen.classes)
        self.problem.setText("")
        lines = [f"{fact.value} {fact.key}" if fact.key != "skipped" else f"{fact.value} skipped"
                 for fact in counts(Of(seen, None, spec))]  # fmt: skip
        text = " · ".join(lines)
        if seen.skipped:
            named = ", ".join(seen.skipped[:3])
            text += f": {named}{' …' if len(seen.skipped) > 3 else ''}"
        self.facts.setText(text)
        self.facts.setToolTip("\n".join(seen.skipped[:40]))

    def _say(self, text: str) -> None:
        self.facts.setText(text)
        self.problem.setText("")

    def _fail(self, error: CompressorError) -> None:
        self._seen_of = None
        self.use_button.setEnabled(False)
        self.facts.setText("")
        self.examples.show_items((), ())
        self.problem.setText(words_of(error))

    # -- the end -------------------------------------------------------------------------------------------------

    def accept(self) -> None:
        """Use the data."""
        try:
            spec = self.spec()
        except CompressorError as error:
            self._fail(error)
            return
        self.measurer.set_data(spec, self.seen if spec == self._seen_of else None)
        super().accept()

    def done(self, result: int) -> None:
        """Close; a preview that runs is needed no more."""
        self._pause.stop()
        self.measurer.cancel("preview")
        super().done(result)


def dropped_path(event: QDropEvent) -> str:
    """The file or folder that was dropped; empty where it is something else."""
    urls = event.mimeData().urls()
    return str(Path(urls[0].toLocalFile())) if len(urls) == 1 and urls[0].isLocalFile() else ""

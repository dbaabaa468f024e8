"""Calibrate: ranges of activations from examples, chosen by a method, stored in the recipe or in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QWidget,
)

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import METHODS, Calibration
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.ranges import choose_ranges, with_ranges
from compressor_gui.core.ranges_file import Limits, write_ranges
from compressor_gui.gui.dialogs import Foot, dialog_column
from compressor_gui.gui.job_bar import JobBar
from compressor_gui.gui.measure.data_part import words_of
from compressor_gui.gui.measure.measured import Of
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.measure.ranges_part import of_model
from compressor_gui.gui.ranges.editor import RangesEditor
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.widgets import label, paragraph

AMOUNTS = ((10, "10 images"), (100, "100 images"), (1000, "1,000 images"), (0, "all images"))
METHOD_WORDS: dict[str, tuple[str, str]] = {
    "minmax": ("Smallest and largest", "Everything that was seen fits in; an outlier costs resolution"),
    "moving_average": ("Mean of batches", "The means of the batches' minima and maxima"),
    "percentile": ("Percentile", "99.99 % of the values fit in; the rest is cut off"),
    "kl": ("KL divergence (entropy)", "The cut whose 8-bit form has the least divergence from what was measured"),
    "mse": ("Squared error", "The cut with the least squared error of rounding and cutting off"),
}
assert tuple(METHOD_WORDS) == METHODS


class CalibrateDialog(QDialog):
    """Runs the calibration, shows its histograms with the ranges, which can be dragged, and puts them into the recipe.

    ``saved(path)``: the ranges were written to a file.
    """

    saved = Signal(object)

    def __init__(self, measurer: Measurer, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.measurer, self.document, self.theme = measurer, measurer.document, theme
        self._found: Of[Calibration] | None = None
        self._ranges_method = ""
        self.setWindowTitle("Calibrate")
        self.resize(860, 600)
        self._build()
        measurer.changed.connect(self._show_running)
        measurer.failed.connect(self._failed)
        measurer.engine.changed.connect(self._progress)
        self.document.changed.connect(self._changed)
        self._show_found(self.document.state)
        self._show_running()

    def _build(self) -> None:
        column = dialog_column(self, "Ranges of activations from examples")
        self.words = paragraph("", "secondary")
        column.addWidget(self.words)
        row = QHBoxLayout()
        self.amount = QComboBox()
        self.amount.setAccessibleName("How many images")
        for count, text in AMOUNTS:
            self.amount.addItem(text, count)
        self.amount.currentIndexChanged.connect(self._choose_amount)
        self.method = QComboBox()
        self.method.setAccessibleName("Method")
        for key, (text, tip) in METHOD_WORDS.items():
            self.method.addItem(text, key)
            self.method.setItemData(self.method.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.method.currentIndexChanged.connect(self._choose)
        self.run_button = QPushButton("Calibrate")
        self.run_button.clicked.connect(self.run)
        row.addWidget(label("On"))
        row.addWidget(self.amount)
        row.addWidget(label("choose by"))
        row.addWidget(self.method)
        row.addStretch(1)
        row.addWidget(self.run_button)
        column.addLayout(row)
        self.bar = JobBar()
        column.addWidget(self.bar)
        self.problem = paragraph("", "error")
        column.addWidget(self.problem)
        self.editor = RangesEditor(self.theme)
        column.addWidget(self.editor, 1)
        column.addStretch(0)
        self.save_button = QPushButton("Save a ranges file …")
        self.save_button.setAutoDefault(False)
        self.save_button.clicked.connect(self._ask_save)
        foot = Foot(self, "Store in the recipe", "Close", [self.save_button])
        self.close_button, self.apply_button = foot.close_button, foot.accept_button
        column.addLayout(foot)

    # -- measuring -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start, or cancel what runs."""
        self.problem.setText("")
        if "calibrate" in self.measurer.running:
            self.measurer.cancel("calibrate")
        else:
            self.measurer.calibrate(self.amount.currentData(), self.method.currentData())

    def _failed(self, kind: str, error: CompressorError) -> None:
        if kind == "calibrate":
            self.problem.setText(words_of(error))

    def _show_running(self) -> None:
        running = "calibrate" in self.measurer.running
        self.run_button.setText("Cancel" if running else "Calibrate")
        self.bar.setVisible(running)
        self.problem.setVisible(bool(self.problem.text()))
        self._show_buttons()

    def _progress(self) -> None:
        job = self.measurer.engine.jobs.get(self.measurer.running.get("calibrate", -1))
        if job is not None:
            self.bar.show_job(job)

    # -- what was measured ---------------------------------------------------------------------------------------

    def _changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            self.reject()
        elif old.measured.calibration is not new.measured.calibration or old.recipe is not new.recipe:
            self._show_found(new)

    def _show_found(self, state: State) -> None:
        found = state.measured.calibration
        current = found is not None and not of_model(found, state).is_stale(state.recipe, state.data)
        quantizes = any(isinstance(step, QuantizeNodes | FuseInt8) for step in state.recipe.active)
        words = "Storing a range saves finding it at run time, and cuts off what the range leaves out."
        if not quantizes:
            words += " The recipe has no 8-bit operations yet: quantize_nodes is added with the ranges."
        if found is not None and not current:
            words += " What is shown was measured before the recipe or the data changed: calibrate again."
        self.words.setText(words)
        self.editor.setVisible(found is not None)
        if found is None or (self._found is not None and self._found.value is found.value):
            self._found = found
            self._show_buttons()
            return
        self._found = found
        self.amount.setCurrentIndex(self.amount.findData(state.measured.calibrated_on))
        place = self.method.findData(found.value.method)
        self.method.blockSignals(True)
        self.method.setCurrentIndex(place)
        self.method.blockSignals(False)
        self._take(found, found.value.method, found.value.ranges)

    def _choose(self) -> None:
        """Choose the ranges again from the histograms: no second run."""
        found, method = self._found, self.method.currentData()
        if found is None:
            return
        if method == found.value.method:
            self._take(found, method, found.value.ranges)
            return
        self._ranges_method = ""
        self._show_buttons()
        self.document.background.run(
            lambda: choose_ranges(found.value.histograms, method),
            lambda ranges: self._take(found, method, ranges),
            lambda error: self.document.failed.emit(error),
        )

    def _take(self, found: Of[Calibration], method: str, ranges: Mapping[str, Limits]) -> None:
        if found is not self._found or method != self.method.currentData():
            return  # chosen differently meanwhile
        self._ranges_method = method
        self.editor.show_ranges(ranges, found.value.histograms)
        self._say_amount()
        self._show_buttons()

    def _say_amount(self) -> None:
        if self._found is None:
            return
        words = f"Measured on {self._found.value.n:,} images."
        if not self._on_chosen_amount:
            words += f" Press Calibrate to measure on {self.amount.currentText()}."
        self.editor.say(words)

    @property
    def _on_chosen_amount(self) -> bool:
        """Whether what is shown was measured on as many images as are chosen now."""
        return bool(self.amount.currentData() == self.document.state.measured.calibrated_on)

    def _choose_amount(self) -> None:
        self._say_amount()
        self._show_buttons()

    def _show_buttons(self) -> None:
        chosen = self._on_chosen_amount and self._ranges_method == self.method.currentData()
        ready = self._found is not None and bool(self.editor.ranges) and chosen
        idle = "calibrate" not in self.measurer.running
        self.apply_button.setEnabled(ready and idle)
        self.save_button.setEnabled(ready)
        self.run_button.setDefault(not ready)
        self.apply_button.setDefault(ready)

    # -- using it ------------------------------------------------------------------------------------------------

    def _ask_save(self) -> None:
        source = self.document.state.source
        start = str(source.path.with_suffix(".ranges.json")) if source else ""
        path, _ = QFileDialog.getSaveFileName(self, "Save the ranges", start, "Ranges (*.json)")
        if path:
            try:
                write_ranges(path, self.editor.ranges)
            except CompressorError as error:
                self.problem.setText(words_of(error))
                self.problem.show()
            else:
                self.saved.emit(Path(path))

    def accept(self) -> None:
        """Store the ranges in the recipe, as one step to undo."""
        assert self._found is not None
        recipe = self.document.state.recipe
        if not any(isinstance(step, QuantizeNodes | FuseInt8) for step in recipe.active):
            recipe = recipe.adding(QuantizeNodes())
        recipe = with_ranges(recipe, self.editor.ranges)
        takes_ranges = FreezeRequantizationRanges | FuseInt8
        index = next(n for n, s in enumerate(recipe.steps) if s.enabled and isinstance(s.transform, takes_ranges))
        step = recipe.steps[index].transform
        assert isinstance(step, takes_ranges)
        measured = self.document.state.measured
        edited = ", edited" if self.editor.edits.edited else ""
        note = f"{self._found.value.n:,} images, {self._ranges_method}{edited}"
        self.document.set(measured=replace(measured, range_notes={**measured.range_notes, step.ranges: note}))
        self.document.set_recipe(recipe, step=index)
        super().accept()

    def done(self, result: int) -> None:
        """Close; a run goes on, its progress is in the tray."""
        self.measurer.changed.disconnect(self._show_running)
        self.measurer.failed.disconnect(self._failed)
        self.measurer.engine.changed.disconnect(self._progress)
        self.document.changed.disconnect(self._changed)
        super().done(result)

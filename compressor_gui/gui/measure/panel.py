"""The measure panel: data, accuracy, sensitivity, ranges and latency of the model that is open."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QDialog, QStackedLayout, QWidget

from compressor_gui.gui.empty_page import EmptyPage
from compressor_gui.gui.inspector.section import Section, sections_area
from compressor_gui.gui.measure.accuracy_part import AccuracyPart
from compressor_gui.gui.measure.calibrate_dialog import CalibrateDialog
from compressor_gui.gui.measure.data_dialog import DataDialog, dropped_path
from compressor_gui.gui.measure.data_part import DataPart
from compressor_gui.gui.measure.experiment_dialog import ExperimentDialog
from compressor_gui.gui.measure.experimenter import Experimenter
from compressor_gui.gui.measure.latency_part import LatencyPart
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.measure.noise_part import NoisePart
from compressor_gui.gui.measure.part import Part
from compressor_gui.gui.measure.predictions_dialog import PredictionsDialog
from compressor_gui.gui.measure.ranges_part import RangesPart
from compressor_gui.gui.measure.suggest_dialog import SuggestDialog
from compressor_gui.gui.measure.sweep_part import SweepPart
from compressor_gui.gui.precision.dialog import PrecisionDialog
from compressor_gui.gui.precision.finder import PrecisionFinder
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import Theme


class MeasurePanel(QWidget):
    """Everything that is measured, part by part; what needs data asks for it first. ``said(text)``: what was done;
    ``colour_wanted(what)``: the graph's boxes are to be coloured by what was measured."""

    open_requested = Signal()
    colour_wanted = Signal(str)
    said = Signal(str)

    def __init__(self, measurer: Measurer, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("measurePanel")
        self.setMinimumWidth(316)
        self.setAcceptDrops(True)
        self.measurer, self.document, self.theme = measurer, measurer.document, theme
        self.experimenter = Experimenter(measurer)
        self.finder = PrecisionFinder(measurer)
        self.data = DataPart(measurer, theme, self.ask_data)
        self.accuracy = AccuracyPart(measurer, theme, self.evaluate)
        self.accuracy.add_button("Predictions …", self.show_predictions, "Pictures, and what both models take them for")
        self.sweep = SweepPart(measurer, theme, self.measure_sensitivity, self.suggest)
        self.noise = NoisePart(measurer, theme, self.measure_noise, self.colour_wanted.emit)
        self.ranges = RangesPart(measurer, theme, self.calibrate)
        self.latency = LatencyPart(measurer, theme, self.measure_latency)
        self.parts: dict[str, Part] = {
            "Data": self.data,
            "Accuracy": self.accuracy,
            "Sensitivity": self.sweep,
            "Noise of each layer": self.noise,
            "Ranges": self.ranges,
            "Latency": self.latency,
        }
        self.sections = {title: Section(title, theme, part) for title, part in self.parts.items()}
        self.sections["Sensitivity"].add_tool(self.sweep.plot.bits)
        self._build()
        self.document.changed.connect(self._changed)
        self._show(self.document.state)

    def _build(self) -> None:
        self.area = sections_area(self.sections.values())
        self._revealed: Section | None = None
        self.area.verticalScrollBar().rangeChanged.connect(self._keep_revealed)
        self.area.verticalScrollBar().actionTriggered.connect(self._scrolled)
        empty = EmptyPage("Measure", "Accuracy, sensitivity, ranges and latency of a model stand here once it is open.")
        empty.open_requested.connect(self.open_requested)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(empty)
        self._stack.addWidget(self.area)

    def sizeHint(self) -> QSize:
        """As wide as the inspector."""
        return QSize(340, 640)

    # -- what the user does --------------------------------------------------------------------------------------

    def ask_data(self, path: str = "", then: Callable[[], object] | None = None) -> DataDialog:
        """Choose data; ``then`` runs where some was chosen."""
        dialog = DataDialog(self.measurer, self.theme, path, self.window())
        if then is not None:
            dialog.accepted.connect(then)
        self._open(dialog)
        return dialog

    def _with_data(self, run: Callable[[], object]) -> None:
        if self.document.state.data is None:
            self.ask_data(then=run)
        else:
            run()

    def _open(self, dialog: QDialog) -> None:
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def evaluate(self) -> None:
        """Measure accuracy."""
        self.reveal("Accuracy")
        self._with_data(self.measurer.evaluate)

    def show_predictions(self) -> None:
        """Open the predictions; the first time they are made at once."""

        def show() -> None:
            self._open(PredictionsDialog(self.measurer, self.theme, self.window()))
            if self.document.state.measured.predictions is None:
                self.measurer.predict()

        self._with_data(show)

    def measure_sensitivity(self) -> None:
        """Sweep all layers."""
        self.reveal("Sensitivity")
        self._with_data(self.measurer.sweep)

    def suggest(self) -> None:
        """Open the suggestions, or measure what they need."""
        if self.document.state.measured.sweep is None:
            self.measure_sensitivity()
        else:
            dialog = SuggestDialog(self.document, self.theme, self.window())
            dialog.accepted.connect(self._evaluate_suggestion)
            self._open(dialog)

    def _evaluate_suggestion(self) -> None:
        """Put a measurement in place of the estimate: of top-1, which curves have where the data has labels."""
        state = self.document.state
        sweep, known = state.measured.sweep, state.measured.evaluation(state.recipe, state.data)
        labelled = state.data is not None and sweep is not None and sweep.value.metric == "top1"
        if labelled and (known is None or known.is_stale(state.recipe, state.data)):
            self.measurer.evaluate()

    def calibrate(self) -> None:
        """Open the calibration."""

        def show() -> None:
            dialog = CalibrateDialog(self.measurer, self.theme, self.window())
            dialog.saved.connect(lambda path: self.said.emit(f"Saved {path}"))
            self._open(dialog)

        self.reveal("Ranges")
        self._with_data(show)

    def experiment(self) -> None:
        """Open the experiment table."""

        def show() -> None:
            dialog = ExperimentDialog(self.experimenter, self.theme, self.window())
            dialog.saved.connect(lambda path: self.said.emit(f"Saved {path}"))
            self._open(dialog)

        self._with_data(show)

    def find_precision(self) -> None:
        """Open the search for each layer's precision."""
        self._with_data(lambda: self._open(PrecisionDialog(self.finder, self.theme, self.window())))

    def measure_noise(self) -> None:
        """Compare layer by layer, and show it on the graph."""
        self.reveal("Noise of each layer")
        if self.document.state.recipe.active:
            self.colour_wanted.emit("noise")
            self._with_data(self.measurer.compare_layers)

    def measure_latency(self) -> None:
        """Time both models; needs no data."""
        self.reveal("Latency")
        self.measurer.time(self.latency.batch.value(), self.latency.threads.value())

    def reveal(self, title: str) -> None:
        """Unfold a part and scroll to it."""
        section = self.sections[title]
        section.head.setChecked(True)
        self._revealed = section
        self.area.verticalScrollBar().setValue(section.y())

    def _keep_revealed(self) -> None:
        """A part that grows under its result stays at the top, until the user scrolls."""
        if self._revealed is not None:
            self.area.verticalScrollBar().setValue(self._revealed.y())

    def _scrolled(self) -> None:
        self._revealed = None

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take data where a model is open."""
        if self.document.state.source is not None and dropped_path(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Describe the data that was dropped."""
        event.acceptProposedAction()
        self.ask_data(dropped_path(event))

    # -- what the document says ----------------------------------------------------------------------------------

    def _changed(self, old: State, new: State) -> None:
        if old.source is not new.source:
            self._show(new)
            return
        for part in self.parts.values():
            if part.changed(old, new):
                part.show_state(new)

    def _show(self, state: State) -> None:
        self._stack.setCurrentIndex(1 if state.source is not None else 0)
        for part in self.parts.values():
            part.show_state(state)

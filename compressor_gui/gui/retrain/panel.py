"""The retrain panel: what is wanted, the run as it goes, and the points that it has led to."""

from __future__ import annotations

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QShowEvent
from PySide6.QtWidgets import QPushButton, QStackedLayout, QVBoxLayout, QWidget

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.training import PruneRetrain
from compressor_gui.gui.empty_page import EmptyPage
from compressor_gui.gui.inspector.section import Section, sections_area
from compressor_gui.gui.measure.data_dialog import dropped_path
from compressor_gui.gui.measure.data_part import words_of
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.retrain.curves import Curves
from compressor_gui.gui.retrain.densities import Densities
from compressor_gui.gui.retrain.goal_form import GoalForm
from compressor_gui.gui.retrain.points_part import PointsPart
from compressor_gui.gui.retrain.retrainer import Retrainer
from compressor_gui.gui.retrain.run_bar import RunBar
from compressor_gui.gui.retrain.weights_part import WeightsPart
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import MARGIN, UNIT, Theme
from compressor_gui.gui.training.data_choice import DataChoice
from compressor_gui.gui.widgets import label, paragraph, sentence

_INTRO = "Prunes, trains the weights that are left on your data, prunes further, until the goal is met."
_NO_DATA = "Retraining needs examples of yours: drop a folder of pictures or a data set here, or choose one."
_NO_MODEL = "Once a model is open, it is pruned and retrained here, on your own data."
_NO_LAYER = (
    "This graph has no layer with float weights, so there is nothing to retrain. Retraining comes before quantizing: "
    "click the recipe's quantizing steps off, retrain, and click them on again."
)
_NO_LAYER_AT_ALL = "This graph has no layer with weights, so there is nothing to retrain."


class RetrainPanel(QWidget):
    """Nothing in the document changes until a point is opened, or a run is stopped to be kept."""

    open_requested = Signal()

    def __init__(self, measurer: Measurer, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("retrainPanel")
        self.setMinimumWidth(316)
        self.setAcceptDrops(True)
        self.measurer, self.document, self.theme = measurer, measurer.document, theme
        self.retrainer = Retrainer(measurer)
        self.choice = DataChoice(measurer, theme, self)
        self._was_running = False
        self._build()
        self.retrainer.changed.connect(self._show_run)
        self.document.changed.connect(self._changed)
        self.choice.changed.connect(self._show_choice)
        self._show_choice()
        self._show_model(self.document.state)
        self._show_run()

    def _build(self) -> None:
        theme, retrainer = self.theme, self.retrainer
        self.run_bar = RunBar(retrainer)
        self.form = GoalForm(self.choice)
        self.setup = QWidget()
        column = QVBoxLayout(self.setup)
        column.setContentsMargins(0, 0, 0, UNIT * 2)
        column.setSpacing(UNIT)
        self.intro, self.problem = label(_INTRO, "secondary"), label("", "error")
        self.start_button = QPushButton("Start")
        self.start_button.setProperty("role", "primary")
        self.start_button.setToolTip("A run of the same model, data and choices that was broken off goes on")
        self.start_button.clicked.connect(self.start)
        for widget in (self.intro, self.form, self.problem, self.start_button):
            inset = QVBoxLayout()
            side = 0 if widget is self.form else MARGIN
            inset.setContentsMargins(side, 0, side, 0)
            inset.addWidget(widget)
            column.addLayout(inset)
        for words in (self.intro, self.problem):
            words.setWordWrap(True)
        self.curves, self.densities = Curves(theme), Densities(theme)
        self.points, self.weights = PointsPart(retrainer, theme), WeightsPart(retrainer, theme)
        self.notes = paragraph("", "secondary")
        self.notes.setContentsMargins(MARGIN, 0, MARGIN, UNIT * 2)
        self.sections = {
            "Goal and data": Section("Goal and data", theme, self.setup),
            "Notes": Section("Notes", theme, self.notes),
            "Course": Section("Course", theme, self.curves),
            "Points": Section("Points", theme, self.points),
            "Weights left": Section("Weights left", theme, self.densities),
            "Weights": Section("Weights", theme, self.weights),
        }
        self.sections["Points"].add_tool(self.points.by_bytes)
        self.sections["Weights"].opened.connect(lambda: self.weights.show_weights())
        self.area = sections_area(self.sections.values())
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.run_bar)
        column.addWidget(self.area, 1)
        self._stack = QStackedLayout(self)
        self.empty = EmptyPage("Retrain")
        self.empty.open_requested.connect(self.open_requested)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(whole)

    def sizeHint(self) -> QSize:
        """As wide as the inspector."""
        return QSize(340, 640)

    # -- data --------------------------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take data where a model is open."""
        if self.document.state.source is not None and dropped_path(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Describe the data that was dropped."""
        event.acceptProposedAction()
        self.choice.ask(dropped_path(event))

    # -- the run -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, or first choose data."""
        state = self.document.state
        if state.data is None:
            self.choice.ask()
            return
        model = self.measurer.compressed(state.recipe)
        try:
            request = self.form.request(model, state.data, self.choice.test)
        except CompressorError as error:
            self._say_problem(error)
            return
        self._say_problem(None)
        self.retrainer.start(request)

    def _say_problem(self, error: CompressorError | None) -> None:
        self.problem.setText(words_of(error) if error is not None else "")
        self.problem.setVisible(error is not None)

    def showEvent(self, event: QShowEvent) -> None:
        """What came while the panel was hidden is drawn now."""
        super().showEvent(event)
        self._show_run()

    def _show_run(self) -> None:
        run = self.retrainer
        begins, self._was_running = run.is_running and not self._was_running, run.is_running
        if begins:
            self.sections["Goal and data"].head.setChecked(False)
            self.area.verticalScrollBar().setValue(0)
        elif run.request is None:
            self.sections["Goal and data"].head.setChecked(True)
        if not self.isVisible():
            return
        self.run_bar.show_run()
        self.form.setEnabled(not run.is_running)
        self.start_button.setEnabled(not run.is_running)
        course, request = run.course, run.request
        self.sections["Notes"].setVisible(bool(self._notes()))
        self.notes.setText("\n".join(self._notes()))
        self.sections["Points"].setVisible(bool(run.points))
        self.points.show_points()
        trained = request is not None and bool(course.losses or course.epochs)
        for name in ("Course", "Weights"):
            self.sections[name].setVisible(trained)
        prunes = isinstance(request, PruneRetrain) and bool(course.epochs)
        self.sections["Weights left"].setVisible(prunes)
        if prunes:
            self.densities.show_densities(course.epochs[-1][1].densities)
        if trained and request is not None:
            self.curves.show_course(course, request)
            if self.sections["Weights"].is_open:
                self.weights.show_weights()

    def _notes(self) -> list[str]:
        """What the engine had to say, and what became of the recipe."""
        notes = [sentence(note) for note in self.retrainer.course.notes]
        if self.retrainer.is_stale:
            notes.append(
                "The recipe has changed since the run began. A point opens it as it was then, with new weights."
            )
        return notes

    # -- what the document says --------------------------------------------------------------------------------------

    def _changed(self, old: State, new: State) -> None:
        if old.made is not new.made or old.source is not new.source:
            self._show_model(new)
        if old.recipe is not new.recipe or old.selected != new.selected:
            self._show_run()

    def _show_model(self, state: State) -> None:
        layers = (
            state.made.layers if state.made is not None else state.source.layers if state.source is not None else ()
        )
        floats = [layer for layer in layers if layer.tensor.dtype.is_floating]
        ready = bool(floats) or self.retrainer.request is not None
        self._stack.setCurrentIndex(1 if ready else 0)
        self.empty.text.setText(_NO_MODEL if state.source is None else _NO_LAYER if layers else _NO_LAYER_AT_ALL)
        size = state.made.size if state.made is not None else state.source.size if state.source is not None else 0
        self.form.show_model(floats, size)

    def _show_choice(self) -> None:
        data = self.choice.data
        self.intro.setText(_INTRO if data is not None else _NO_DATA)
        self.start_button.setText("Start" if data is not None else "Choose data …")
        self._say_problem(self.choice.problem)

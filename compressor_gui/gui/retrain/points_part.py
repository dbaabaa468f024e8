"""The history of points: plotted, and the selected one in numbers, with the button that puts it into the recipe."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.core.channel_pruning import ChannelPoint, PruneChannels
from compressor_gui.core.training import Goal, Point
from compressor_gui.gui.inspector.section import Fact, Facts, toggle
from compressor_gui.gui.retrain.points_plot import PointsPlot, Spots
from compressor_gui.gui.retrain.retrainer import AnyPoint, Retrainer
from compressor_gui.gui.theme import MARGIN, UNIT, Theme
from compressor_gui.gui.training.words import METRICS, change_words, point_words, value_words
from compressor_gui.gui.widgets import paragraph

_HEIGHT = 150
_HELP = "Click a point to open it, or ← → and Enter. It is one step to undo."


class PointsPart(QWidget):
    """Shows a run's points; ``at`` is the one that is selected."""

    def __init__(self, retrainer: Retrainer, theme: Theme) -> None:
        super().__init__()
        self.retrainer = retrainer
        self.at = -1
        self._count, self._found = 0, retrainer.found
        self.by_bytes = toggle("file size", "Draw the points by the file's size, sparse weights as CSR (an estimate)")
        self.by_bytes.toggled.connect(lambda: self.show_points())
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, UNIT * 2)
        column.setSpacing(UNIT)
        inset = QVBoxLayout()
        inset.setContentsMargins(MARGIN, 0, MARGIN, 0)
        self.plot = PointsPlot(theme, _HEIGHT)
        self.plot.hinted.connect(self.select)
        self.plot.opened.connect(self.open)
        inset.addWidget(self.plot)
        self.words = paragraph(_HELP, "small")
        inset.addWidget(self.words)
        column.addLayout(inset)
        self.facts = Facts(theme)
        column.addWidget(self.facts)
        self.use_button = QPushButton("Open this point")
        self.use_button.setToolTip("Its weights become a step of the recipe; undo takes it away")
        self.use_button.clicked.connect(lambda: self.open(self.at))
        inset = QVBoxLayout()
        inset.setContentsMargins(MARGIN, UNIT, MARGIN, 0)
        inset.addWidget(self.use_button)
        column.addLayout(inset)

    def select(self, at: int) -> None:
        """Show a point's numbers."""
        self.at = at
        self.show_points()

    def open(self, at: int) -> None:
        """Put a point into the recipe."""
        points = self.retrainer.points
        if 0 <= at < len(points):
            self.at = at
            self.retrainer.use(points[at])
            self.show_points()

    def show_points(self) -> None:
        """Show the points that there are."""
        points, request = self.retrainer.points, self.retrainer.request
        found, recipe = self.retrainer.found, self.retrainer.document.state.recipe
        self._follow(len(points))
        if not points or request is None:
            return
        used = next((at for at, point in enumerate(points) if self.retrainer.recipe(point) == recipe), -1)
        chosen = found.chosen if found is not None else -1
        self.plot.show_spots(self._spots(points, chosen, used), self.at)
        point = points[self.at]
        self.facts.show_facts(self._facts(point, points[0]))
        self.use_button.setEnabled(self.at != used and (self.at == 0 or _has_weights(point)))
        self.use_button.setText("In the recipe" if self.at == used else "Open this point")

    def _follow(self, count: int) -> None:
        """The newest point is selected, unless the user has chosen another; at the end the run's answer is."""
        if self.at == self._count - 1 or self.at >= count:
            self.at = count - 1
        self._count, before, self._found = count, self._found, self.retrainer.found
        if self._found is not None and self._found is not before:
            self.at = self._found.chosen

    def _spots(self, points: tuple[AnyPoint, ...], chosen: int, used: int) -> Spots:
        request, metric = self.retrainer.request, self.retrainer.course.metric
        scale = 100 if metric == "top1" else 1
        goal = Goal() if isinstance(request, PruneChannels) or request is None else request.goal
        goal_x: float | None = None
        size: Callable[[AnyPoint], float]
        words: Callable[[float], str]
        if self.by_bytes.isChecked():
            size, words, goal_x = (lambda point: point.bytes), units.size, goal.bytes
        elif isinstance(request, PruneChannels):
            size, words = _time, _times
            goal_x = 1 / request.speedup if request.speedup else None
        else:
            size, words = _left, units.amount
            density = 1 / goal.ratio if goal.ratio else 1 - goal.sparsity if goal.sparsity is not None else None
            goal_x = None if density is None else max(density * points[0].weights, 1.0)
        unit = {"top1": " %", "sqnr_db": " dB"}.get(metric, "")
        return Spots(
            x=tuple(size(point) for point in points),
            y=tuple(scale * point.value for point in points),
            x_words=tuple(words(size(point)) for point in points),
            y_words=f"{{:.4g}}{unit}",
            goal_x=goal_x,
            goal_y=None if goal.max_drop is None else scale * (points[0].value - goal.max_drop),
            chosen=chosen,
            used=used,
        )

    def _facts(self, point: AnyPoint, first: AnyPoint) -> list[Fact]:
        metric = self.retrainer.course.metric
        facts = [Fact(f"point {point.step}", point_words(point))]
        if isinstance(point, Point):
            facts.append(Fact("weights", f"{units.amount(point.nonzero)} of {units.amount(point.weights)}"))
            facts.append(Fact("file, weights as CSR", f"≈ {units.size(point.bytes)}", "Estimated", estimated=True))
        else:
            facts.append(Fact("weights", f"{units.amount(first.weights)} → {units.amount(point.weights)}"))
            facts.append(Fact("file", units.size(point.bytes)))
            if point.milliseconds:
                facts.append(Fact("time of a run", f"{point.milliseconds:.3g} ms"))
        change = change_words(metric, point.value, first.value)
        value = value_words(metric, point.value)
        facts.append(Fact(METRICS[metric], f"{value}  {change}" if change else value, "Measured on the test data"))
        return facts


def _left(point: AnyPoint) -> float:
    return float(max(point.nonzero if isinstance(point, Point) else point.weights, 1))


def _time(point: AnyPoint) -> float:
    assert isinstance(point, ChannelPoint)
    return 1 / max(point.speedup, 1e-3)


def _times(part: float) -> str:
    return f"{1 / part:.3g}× as fast"


def _has_weights(point: AnyPoint) -> bool:
    return bool(point.sha256 if isinstance(point, Point) else point.recipe)

"""Loss, value and sparsity of a run as they come, one below the other on one axis of epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtWidgets import QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.core.training import PruneRetrain
from compressor_gui.gui.retrain.retrainer import Ask
from compressor_gui.gui.theme import UNIT, Theme
from compressor_gui.gui.training.course import Course
from compressor_gui.gui.training.curve import Curve, epoch_marks
from compressor_gui.gui.training.words import METRICS, value_words

_TIP = "Dots: an epoch; pale: a few batches each; upright lines: a step of pruning begins; dashed: goal, or as it was"


class Curves(QWidget):
    """The three curves of a run."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, UNIT * 2)
        column.setSpacing(UNIT)
        self.loss = Curve(theme, "loss", 72, logarithmic=True)
        self.value = Curve(theme, "top-1 on the test data", 72)
        self.sparsity = Curve(theme, "zeros", 48)
        for curve in (self.loss, self.value, self.sparsity):
            curve.plot.setToolTip(_TIP)
            column.addWidget(curve)
        self._shown: tuple[Course, Ask] | None = None
        theme.changed.connect(self._recolor)

    def _recolor(self) -> None:
        if self._shown is not None:
            self.show_course(*self._shown)

    def show_course(self, course: Course, request: Ask) -> None:
        """Show how it has gone so far."""
        self._shown = course, request
        end, steps = max(course.expected, 1e-6), course.steps
        losses = [(place - 0.5, epoch.loss) for place, epoch in course.epochs]  # the mean of an epoch: its middle
        self.loss.show_curve(losses, course.losses, end=end, steps=steps, words=("{:.2g}", "{:.2g}"))
        now = course.losses[-1][1] if course.losses else None
        self.loss.now.setText(f"{now:.4f}" if now is not None and math.isfinite(now) else "")
        self._show_value(course, request, end, steps)
        zeros = [(place, 100 * epoch.sparsity) for place, epoch in course.epochs]
        self.sparsity.setVisible(isinstance(request, PruneRetrain))
        if isinstance(request, PruneRetrain):
            goal = request.goal
            wanted = goal.sparsity if goal.sparsity is not None else 1 - 1 / goal.ratio if goal.ratio else None
            level = None if wanted is None else 100 * wanted
            self.sparsity.show_curve([(0.0, 0.0), *zeros] if zeros else [], end=end, steps=steps, goal=level)
            self.sparsity.now.setText(units.percent(course.epochs[-1][1].sparsity) if course.epochs else "")
            self.sparsity.more.setText(f"goal {units.percent(wanted)}" if wanted is not None else "")
        self._show_axis(course, end)

    def _show_value(self, course: Course, request: Ask, end: float, steps: Sequence[float]) -> None:
        metric, first = course.metric, course.before
        scale = 100 if metric == "top1" else 1
        before = None if first is None else scale * first
        drop = request.goal.max_drop if isinstance(request, PruneRetrain) else None
        goal = before - scale * drop if before is not None and drop is not None else None
        values = [(place, scale * epoch.value) for place, epoch in course.epochs]
        unit = {"top1": " %", "sqnr_db": " dB"}.get(metric, "")
        word = f"{{:.4g}}{unit}"
        self.value.name.setText(f"{METRICS[metric]} on the test data")
        self.value.show_curve(values, end=end, steps=steps, goal=goal, before=before, words=(word, word))
        self.value.now.setText(value_words(metric, course.epochs[-1][1].value) if course.epochs else "")
        self.value.more.setText(f"was {value_words(metric, first)}" if first is not None else "")

    def _show_axis(self, course: Course, end: float) -> None:
        lowest = self.value if self.sparsity.isHidden() else self.sparsity
        for curve in (self.value, self.sparsity):
            curve.set_axis(on=curve is lowest)
        lowest.plot.ticks(epoch_marks(course, end))

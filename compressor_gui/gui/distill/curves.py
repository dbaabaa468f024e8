"""A lesson as it goes: the loss, and the accuracy with the teacher's as a line."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QWidget

from compressor_gui.core.distilling import Measured
from compressor_gui.gui.theme import UNIT, Theme
from compressor_gui.gui.training.course import Course
from compressor_gui.gui.training.curve import Curve, epoch_marks
from compressor_gui.gui.training.words import METRICS, value_words

_HEIGHT = 120
_TIP = "Dots: an epoch; pale: a few batches each; dashed: the teacher"


class LessonCurves(QWidget):
    """Two plots beside each other."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(UNIT * 5)
        self.loss = Curve(theme, "loss", _HEIGHT, logarithmic=True, margin=0)
        self.value = Curve(theme, "", _HEIGHT, margin=0)
        for curve in (self.loss, self.value):
            curve.plot.setToolTip(_TIP)
            curve.set_axis(on=True)
            row.addWidget(curve, 1)
        self._shown: tuple[Course, Measured | None] | None = None
        theme.changed.connect(self._recolor)

    def _recolor(self) -> None:
        if self._shown is not None:
            self.show_course(*self._shown)

    def show_course(self, course: Course, measured: Measured | None) -> None:
        """Show how it has gone so far."""
        self._shown = course, measured
        end = max(course.expected, 1e-6)
        losses = [(place - 0.5, epoch.loss) for place, epoch in course.epochs]  # the mean of an epoch: its middle
        self.loss.show_curve(losses, course.losses, end=end, words=("{:.2g}", "{:.2g}"))
        self.loss.now.setText(f"{course.losses[-1][1]:.4f}" if course.losses else "")
        metric = measured.metric if measured is not None else course.metric
        scale, unit = (100, " %") if metric == "top1" else (1, " dB") if metric == "sqnr_db" else (1, "")
        teacher = measured.teacher if measured is not None else None
        first = [(0.0, scale * measured.before)] if measured is not None else []
        values = [*first, *((place, scale * epoch.value) for place, epoch in course.epochs)]
        word = f"{{:.4g}}{unit}"
        self.value.name.setText(METRICS[metric])
        level = None if teacher is None else scale * teacher
        self.value.show_curve(values, end=end, goal=level, words=(word, word))
        self.value.now.setText(value_words(metric, course.epochs[-1][1].value) if course.epochs else "")
        self.value.more.setText(f"teacher {value_words(metric, teacher)}" if teacher is not None else "")
        for curve in (self.loss, self.value):
            curve.plot.ticks(epoch_marks(course, end))

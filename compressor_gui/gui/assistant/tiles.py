"""The result at a glance: a large number with what it was before, and the list of what is done."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from compressor_gui.gui.assistant.header import paint_check
from compressor_gui.gui.assistant.run import Run, Stage, Status
from compressor_gui.gui.theme import UNIT, Theme
from compressor_gui.gui.widgets import ElidedLabel, clear, label, restyle

_ENDED: dict[Status, str] = {"failed": "failed", "stopped": "stopped"}


class Tile(QFrame):
    """A number, what it is, and what it was before; an estimate is pale, and says so."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.setObjectName("tile")
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(UNIT)
        row = QHBoxLayout()
        row.addWidget(label(title, "heading"))
        row.addStretch(1)
        self.how = label("", "small")
        row.addWidget(self.how)
        column.addLayout(row)
        self.value = label("–", "title")
        column.addWidget(self.value)
        self.more = ElidedLabel()
        self.more.setProperty("role", "secondary")
        column.addWidget(self.more)

    def show_number(self, value: str, more: str, how: str = "measured", bad: bool = False) -> None:
        """Show a number; ``how`` it is known: measured, estimated or, empty, not at all."""
        self.value.setText(value)
        self.more.set_whole(more)
        self.how.setText(how)
        restyle(self.value, pale=how != "measured", bad=bad)
        self.setAccessibleDescription(f"{value}, {more}, {how}")


class _Mark(QWidget):
    """How a stage stands: a ring, a dot, a check mark or a cross."""

    def __init__(self, status: Status, theme: Theme) -> None:
        super().__init__()
        self._status, self._theme = status, theme
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(status)

    def sizeHint(self) -> QSize:
        """A small square."""
        return QSize(18, 18)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the mark."""
        painter, theme, status = QPainter(self), self._theme, self._status
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        token = {"done": "change_added", "failed": "error", "running": "accent_and_threshold"}.get(
            status, "text_disabled_and_edges"
        )
        color, circle = theme.color(token), QRectF(2, 2, 14, 14)
        painter.setPen(QPen(color, 1.4, c=Qt.PenCapStyle.RoundCap, j=Qt.PenJoinStyle.RoundJoin))
        if status == "done":
            painter.setBrush(color)
            painter.drawEllipse(circle)
            painter.setPen(QPen(theme.color("panel"), 1.6, c=Qt.PenCapStyle.RoundCap, j=Qt.PenJoinStyle.RoundJoin))
            paint_check(painter, circle.center(), 7)
        elif status == "failed":
            painter.drawEllipse(circle)
            for way in (1, -1):
                painter.drawLine(circle.center() + QPointF(-3, -3 * way), circle.center() + QPointF(3, 3 * way))
        else:
            painter.drawEllipse(circle)
            if status == "running":
                painter.setBrush(color)
                painter.drawEllipse(circle.center(), 3, 3)
        painter.end()


class StageList(QWidget):
    """The stages of a run, the one under way with its bar."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._shown: list[Stage] = []
        self.bar: QProgressBar | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(UNIT)
        theme.changed.connect(self.update)

    def show_run(self, run: Run) -> None:
        """Show the stages of a run."""
        if run.stages != self._shown:
            self._shown = run.stages
            clear(self._column)
            self.bar = None
            for stage in run.stages:
                self._column.addWidget(self._line(stage))
        if self.bar is not None:
            done, total = run.progress
            self.bar.setRange(0, 1000 if total else 0)
            self.bar.setValue(int(1000 * done / total) if total else 0)

    def _line(self, stage: Stage) -> QWidget:
        line = QWidget()
        line.setAccessibleName(f"{stage.title}: {stage.status} {stage.words}".strip())
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 2, 0, 2)
        row.setSpacing(UNIT * 2)
        row.addWidget(_Mark(stage.status, self._theme), 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout()
        column.setSpacing(2)
        column.addWidget(label(stage.title, "strong" if stage.status == "running" else ""))
        if stage.status == "running":
            self.bar = QProgressBar()
            self.bar.setTextVisible(False)
            column.addWidget(self.bar)
        else:
            words = stage.words if stage.status in ("done", "left out") else _ENDED.get(stage.status, "")
            if words:
                column.addWidget(label(words, "error" if stage.status == "failed" else "small"))
        row.addLayout(column, 1)
        return line

"""The result at a glance: a large number with what it was before, and the list of what is done."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from compressor_gui.gui.assistant.header import paint_check
from compressor_gui.gui.assistant.run import Run, Stage, Status
from compressor_gui.gui.job_bar import JobBar
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

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._status: Status = "waits"
        self._theme = theme
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_status(self, status: Status) -> None:
        """Show how it stands."""
        self._status = status
        self.update()

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


class _Line(QWidget):
    """One stage: its mark, its title, and below what came of it, or the bar while it runs."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 2, 0, 2)
        row.setSpacing(UNIT * 2)
        self._mark = _Mark(theme)
        row.addWidget(self._mark, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout()
        column.setSpacing(2)
        self._title = label("")
        self._words = label("", "small")
        self.bar = JobBar()
        for widget in (self._title, self._words, self.bar):
            column.addWidget(widget)
        row.addLayout(column, 1)

    @property
    def words(self) -> str:
        """What is said below the title."""
        return self._words.text()

    def show_stage(self, stage: Stage, waits_for: str = "") -> None:
        """Show how a stage stands; ``waits_for``: what has to end before it can be at work."""
        running = stage.status == "running" and not waits_for
        words = stage.words if stage.status in ("done", "left out") else _ENDED.get(stage.status, "")
        if waits_for:
            words = f"waits for: {waits_for}"
        self._mark.show_status("waits" if waits_for else stage.status)
        self._title.setText(stage.title)
        restyle(self._title, role="strong" if running else "")
        self._words.setText(words)
        restyle(self._words, role="error" if stage.status == "failed" else "small")
        self._words.setVisible(bool(words) and not running)
        self.bar.setVisible(running)
        self.setAccessibleName(f"{stage.title}: {stage.status} {stage.words}".strip())


class StageList(QWidget):
    """The stages of a run, the one under way with its bar."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._lines: list[_Line] = []
        self._running = 0
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(UNIT)

    @property
    def bar(self) -> QProgressBar:
        """The bar of the stage that is under way, or was last."""
        return self._lines[self._running].bar

    @property
    def words(self) -> list[str]:
        """What is said below each stage."""
        return [line.words for line in self._lines]

    def show_run(self, run: Run) -> None:
        """Show the stages of a run."""
        if len(self._lines) != len(run.stages):
            clear(self._column)
            self._lines = [_Line(self._theme) for _ in run.stages]
            for line in self._lines:
                self._column.addWidget(line)
        for at, (line, stage) in enumerate(zip(self._lines, run.stages, strict=True)):
            line.show_stage(stage, run.waits_for if stage.status == "running" else "")
            if stage.status == "running":
                self._running = at
                line.bar.show_amount(*run.progress)

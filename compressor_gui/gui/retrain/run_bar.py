"""The head of the panel: how far the run is, the buttons that steer it, and how it ended."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.core.training import PruneRetrain, Retrained
from compressor_gui.gui.job_bar import JobBar
from compressor_gui.gui.measure.data_part import words_of
from compressor_gui.gui.retrain.retrainer import Retrainer
from compressor_gui.gui.theme import MARGIN, UNIT
from compressor_gui.gui.training.words import goal_words, point_words, time_words, verdict
from compressor_gui.gui.widgets import button, label, paragraph, restyle, sentence


class RunBar(QWidget):
    """Stays above what scrolls."""

    def __init__(self, retrainer: Retrainer) -> None:
        super().__init__()
        self.retrainer = retrainer
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, UNIT * 3, MARGIN, 0)
        column.setSpacing(UNIT)
        row = QHBoxLayout()
        self.title = label("", "strong")
        self.left = label("", "small")
        row.addWidget(self.title)
        row.addStretch(1)
        row.addWidget(self.left)
        column.addLayout(row)
        self.bar = JobBar()
        column.addWidget(self.bar)
        self.words = paragraph("", "small")
        column.addWidget(self.words)
        self.outcome = paragraph("", "error")
        column.addWidget(self.outcome)
        self.pause_button = self._button("Pause", self._pause, "Let it wait; the processor is free meanwhile")
        self.keep_button = self._button(
            "Stop and keep", retrainer.finish, "Stop, and put the best point into the recipe; it can be undone"
        )
        self.discard_button = self._button(
            "Discard", retrainer.discard, "Stop and discard: nothing of the run is kept in the recipe"
        )
        self.best_button = self._button("Open the best point", self._use_best, "The run's answer becomes a step")
        self.best_button.setProperty("role", "primary")
        self.again_button = self._button(
            "Start again", retrainer.start_again, "The same once more: it goes on from its last epoch"
        )
        self.forget_button = self._button("Clear", retrainer.forget, "Leave this run; what is in the recipe stays")
        row = QHBoxLayout()
        row.setSpacing(UNIT * 2)
        row.setContentsMargins(0, UNIT, 0, UNIT * 2)
        for one in (self.pause_button, self.keep_button, self.discard_button, self.best_button, self.again_button,
                       self.forget_button):  # fmt: skip
            row.addWidget(one)
        row.addStretch(1)
        column.addLayout(row)
        line = QFrame()
        line.setObjectName("hairline")
        column.addWidget(line)

    def _button(self, text: str, run: Callable[[], object], tip: str) -> QPushButton:
        made = button(text, run, tip)
        made.setObjectName("retrainButton")
        return made

    def _pause(self) -> None:
        if self.retrainer.paused:
            self.retrainer.go_on()
        else:
            self.retrainer.pause()

    def _use_best(self) -> None:
        if self.retrainer.found is not None:
            self.retrainer.use(self.retrainer.found.point)

    # -- showing ---------------------------------------------------------------------------------------------------

    def show_run(self) -> None:
        """Show how it stands; hidden while there is no run."""
        run = self.retrainer
        self.setVisible(run.request is not None)
        if run.request is None:
            return
        going = run.is_running
        self.title.setText(goal_words(run.request))
        for widget in (self.pause_button, self.keep_button, self.discard_button, self.bar):
            widget.setVisible(going)
        self.pause_button.setText("Resume" if run.paused else "Pause")
        self.pause_button.setEnabled(not run.finishing)
        self.keep_button.setEnabled(not run.finishing)
        self.again_button.setVisible(not going and (run.found is None or bool(run.found.stopped)))
        self.forget_button.setVisible(not going)
        found = run.found
        best = found is not None and run.recipe(found.point) != run.document.state.recipe and found.chosen > 0
        self.best_button.setVisible(not going and best)
        seconds = run.seconds_left
        self.left.setText(f"about {time_words(seconds)} left" if seconds is not None and seconds >= 1 else "")
        if going:
            self._show_progress()
        else:
            self._show_end()
        self.words.setVisible(bool(self.words.text()))
        self.outcome.setVisible(bool(self.outcome.text()))

    def _show_progress(self) -> None:
        run, last = self.retrainer, self.retrainer.course.last
        job = run.job
        self.bar.show_job(job)
        self._say_outcome("")
        if last is None:
            self.words.setText((job.message if job is not None else "") or "Waits for TensorFlow")
            return
        epoch = f"epoch {last.epoch}"
        if run.finishing:
            state = f"Stopping in {epoch}: what there is, is measured"
        elif run.paused:
            state = f"Paused in {epoch}"
        else:
            at = last.step if isinstance(run.request, PruneRetrain) else len(run.points)
            step = f"step {at}, " if at else ""
            state = f"{step}{epoch} · {last.examples_per_second:,.0f} examples a second"
        resumed = run.course.resumed
        more = f" · went on after epoch {resumed}, from its checkpoint" if resumed else ""
        self.words.setText(f"{state[:1].upper()}{state[1:]}{more}")

    def _show_end(self) -> None:
        run, found = self.retrainer, self.retrainer.found
        epochs = len(run.course.epochs)
        if found is not None:
            asked = run.request.goal.max_drop if isinstance(run.request, PruneRetrain) else None
            value, fallen = verdict(found, asked)
            met = f"The goal is met: {point_words(found.point)}. {sentence(value)}"
            said = f"The goal is not met: {found.lacks}. {sentence(value)}" if found.lacks else met
            doubtful = bool(found.lacks) or fallen
            self._say_outcome(f"{sentence(found.stopped)} {said}".strip(), "warning" if doubtful else "good")
            steps = units.counted(len(found.points) - 1, "step")
            trained = units.counted(epochs, "epoch") if isinstance(found, Retrained) else steps
            counts = f"{found.train_n:,} examples, {found.test_n:,} to test on"
            self.words.setText(f"{trained} in {time_words(found.seconds)} · {counts}")
            return
        kept = f"Start again goes on after epoch {epochs}, whose checkpoint is kept."
        self.words.setText(kept if run.can_go_on else "")
        if run.error is not None:
            self._say_outcome(words_of(run.error))
        else:
            self._say_outcome("Cancelled; the recipe is as it was.", "secondary")

    def _say_outcome(self, text: str, role: str = "error") -> None:
        self.outcome.setText(text)
        restyle(self.outcome, role=role)

"""Step 4: the work under way, what came of it beside the original, and the recipe as it was written."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.core.choose import ChosenRegions
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.measure import Evaluation
from compressor_gui.gui.assistant.draft import Draft
from compressor_gui.gui.assistant.page import Page, Steps, two_digits
from compressor_gui.gui.assistant.run import Run
from compressor_gui.gui.assistant.tiles import StageList, Tile
from compressor_gui.gui.inspector.section import Fact, Facts
from compressor_gui.gui.measure.words import POOR_DB, change, milliseconds
from compressor_gui.gui.ranges.dialog import RangesDialog
from compressor_gui.gui.theme import UNIT, Theme
from compressor_gui.gui.widgets import label, paragraph


class ResultPage(Page):
    """Three numbers, every output, the stages and the recipe's steps."""

    heading = "The result"
    sentence = "Original and quantized graph, run side by side by TensorFlow. The document has not changed yet."

    def __init__(self, draft: Draft, theme: Theme) -> None:
        super().__init__(draft, theme)
        self._run: Run | None = None
        row = QHBoxLayout()
        row.setSpacing(UNIT * 3)
        self.file, self.accuracy, self.speed = Tile("File"), Tile("Accuracy"), Tile("Speed")
        for tile in (self.file, self.accuracy, self.speed):
            row.addWidget(tile, 1)
        self.column.addLayout(row)
        self.column.addSpacing(UNIT)
        row = QHBoxLayout()
        row.setSpacing(24)
        row.addWidget(self._build_outputs(), 3)
        row.addLayout(self._build_work(), 2)
        self.column.addLayout(row, 1)

    def _build_outputs(self) -> QScrollArea:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, UNIT * 2, 0)
        column.setSpacing(UNIT)
        self.problem = paragraph("", "error")
        self.problem.hide()
        column.addWidget(self.problem)
        self.outputs_title = label("Every output beside the original's", "heading")
        column.addWidget(self.outputs_title)
        self.outputs = Facts(self.theme)
        self.outputs.inset = 0
        column.addWidget(self.outputs)
        column.addSpacing(UNIT * 2)
        self.notes_title = label("What the steps say", "heading")
        column.addWidget(self.notes_title)
        self.notes = paragraph("", "secondary")
        column.addWidget(self.notes)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(page)
        return area

    def _build_work(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(UNIT)
        column.addWidget(label("Progress", "heading"))
        self.stages = StageList(self.theme)
        column.addWidget(self.stages)
        row = QHBoxLayout()
        self.stop_button = QPushButton("Stop")
        self.again_button = QPushButton("Measure again")
        self.ranges_button = QPushButton("Edit ranges …")
        for button, run in (
            (self.stop_button, self._stop),
            (self.again_button, self.begin),
            (self.ranges_button, self._edit_ranges),
        ):
            button.setAutoDefault(False)
            button.clicked.connect(lambda _checked=False, run=run: run())
            row.addWidget(button)
        row.addStretch(1)
        column.addLayout(row)
        column.addSpacing(UNIT * 3)
        column.addWidget(label("The recipe", "heading"))
        self.recipe = Steps()
        column.addWidget(self.recipe)
        column.addStretch(1)
        return column

    # -- the run -------------------------------------------------------------------------------------------------

    @property
    def run(self) -> Run | None:
        """The work of the choices that were made last."""
        return self._run

    def entered(self) -> None:
        """Begin, unless what was chosen has been measured already."""
        run = self._run
        if run is None or run.choices != self.draft.choices or run.data != self.draft.data or not run.usable:
            self.begin()

    def begin(self) -> None:
        """Do the work, from the start."""
        self.close_run()
        self._run = Run(self.draft)
        self._run.changed.connect(self._changed)
        self.draft.measurer.engine.changed.connect(self._progress)
        self._run.start()

    def close_run(self) -> None:
        """Stop, and listen no more."""
        if self._run is not None:
            self._run.changed.disconnect(self._changed)
            self.draft.measurer.engine.changed.disconnect(self._progress)
            self._run.close()
            self._run = None

    def _stop(self) -> None:
        if self._run is not None:
            self._run.cancel()

    def _edit_ranges(self) -> None:
        run = self._run
        assert run is not None
        histograms = run.calibration.histograms if run.calibration else {}
        dialog = RangesDialog(run.ranges, histograms, self.theme, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.accepted.connect(lambda: run.edit_ranges(dict(dialog.editor.ranges)))
        dialog.open()

    def _changed(self) -> None:
        self.show_draft()
        self.draft.changed.emit()

    def _progress(self) -> None:
        if self._run is not None:
            self.stages.show_run(self._run)

    # -- what is shown -------------------------------------------------------------------------------------------

    def show_draft(self) -> None:
        """Everything that is known so far."""
        run = self._run
        if run is None:
            return
        self.stages.show_run(run)
        self._show_size(run)
        self._show_accuracy(run)
        self._show_speed(run)
        self._show_outputs(run.evaluation)
        failures = [f"{stage.title}: {stage.words}" for stage in run.stages if stage.status == "failed"]
        self.problem.setText("\n\n".join(failures))
        self.problem.setVisible(bool(failures))
        notes = [_regions_left(run.regions)] if run.regions and run.regions.skip else []
        notes += [note for stage in run.made.replay.stages for note in stage.result.notes] if run.made else []
        self.notes.setText("\n".join(notes))
        self.notes_title.setVisible(bool(notes))
        if run.made is None:
            self.recipe.show_planned(run.recipe, run.choices)
        else:
            self.recipe.show_recipe(run.recipe)
        busy = run.running is not None
        self.stop_button.setVisible(busy)
        self.again_button.setVisible(not busy)
        self.ranges_button.setVisible(not busy and bool(run.ranges) and run.choices.calibrates)

    def _show_size(self, run: Run) -> None:
        before = self.draft.source.size
        after = (
            run.made.size if run.made else two_digits(run.subject.estimated_size(run.choices.goal, run.choices.skip))
        )
        words = f"was {units.size(before)}, {after / before:.2f} of it"
        if run.made:
            self.file.show_number(units.size(after), words)
        else:
            self.file.show_number(f"≈ {units.size(after)}", words, "estimated")

    def _show_accuracy(self, run: Run) -> None:
        found = run.evaluation
        if found is None:
            words = "no data was chosen" if run.data is None else _pending(run, "accuracy")
            self.accuracy.show_number("–", words, "")
            return
        after, before = found.accuracy, found.against
        if after.top1 is not None:
            was = f", was {units.percent(before.top1)}" if before and before.top1 is not None else ""
            self.accuracy.show_number(units.percent(after.top1), f"top-1{was}")
        elif found.fidelity:
            worst = min(found.fidelity, key=lambda one: one.check.sqnr_db).check
            what = "SQNR of the worst output" if len(found.fidelity) > 1 else "SQNR"
            words = f"{what}, {units.counted(after.n, 'example')}"
            self.accuracy.show_number(_decibel(worst.sqnr_db), words, bad=worst.sqnr_db < POOR_DB)

    def _show_speed(self, run: Run) -> None:
        found = run.latency
        if found is None or found.against is None or found.speedup is None:
            self.speed.show_number("–", _pending(run, "latency"), "")
            return
        faster = found.speedup >= 1
        times = found.speedup if faster else 1 / max(found.speedup, 1e-9)
        words = _change(found.against.median_ms, found.model.median_ms)
        self.speed.show_number(f"{times:.2f} × {'faster' if faster else 'slower'}", f"{words}, batch {found.batch}",
                               bad=found.speedup < 0.95)  # fmt: skip

    def _show_outputs(self, found: Evaluation | None) -> None:
        facts = []
        for one in found.fidelity if found else ():
            agreement = one.check.argmax_agreement
            same = "" if agreement is None else f" · same class {units.percent(agreement)}"
            tip = f"{one.check.name}: signal to quantization noise against the original's"
            color = "warning" if one.check.sqnr_db < POOR_DB else ""
            facts.append(Fact(one.check.name, f"{_decibel(one.check.sqnr_db)}{same}", tip, color=color))
        if found is not None and found.accuracy.top5 is not None:
            facts.append(Fact("top-5", change(found.against, found.accuracy, lambda a: a.top5, units.percent)))
        if found is not None:
            facts.append(Fact("measured on", units.counted(found.accuracy.n, "example")))
        if found is not None and found.mcnemar_p is not None:
            real = "real" if found.mcnemar_p < 0.05 else "may be chance"
            facts.append(Fact("difference of top-1", f"{real}, p = {found.mcnemar_p:.2g}", "McNemar's exact test"))
        self.outputs.show_facts(facts)
        self.outputs_title.setVisible(bool(facts))


def _regions_left(found: ChosenRegions) -> str:
    """Which regions were slower in 8 bits, and by how much."""
    slow = sorted((one for one in found.regions if not one.kept), key=lambda one: one.gain)
    names = ", ".join(f"{one.operations[0]} ({one.gain:.2f} ×)" for one in slow[:4])
    more = f" and {len(slow) - 4} more" if len(slow) > 4 else ""
    if not found.kept:
        words = "No 8-bit region makes the network faster on this computer, so nothing is put in 8 bits"
        return f"{words}. For a small file choose 8-bit weights, or don't time the regions."
    regions = units.counted(len(slow), "8-bit region")
    return f"Left in float, as the network is faster so here: {regions}, {names}{more}."


def _pending(run: Run, key: str) -> str:
    """What stands where a measurement is not there."""
    status = next(stage.status for stage in run.stages if stage.key == key)
    return {"failed": "could not be measured", "stopped": "stopped", "running": "measuring …"}.get(
        status, "to be measured"
    )


def _decibel(value: float) -> str:
    return "equal" if value >= EXACT_DB else f"{value:.1f} dB"


def _change(before: float, after: float) -> str:
    """``8.9 → 3.4 ms``."""
    return f"{milliseconds(before).removesuffix(' ms')} → {milliseconds(after)}"

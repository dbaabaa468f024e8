"""The assistant's work, one stage after the other: calibrate, write the recipe, measure what it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from PySide6.QtCore import QObject, Signal

from compressor_gui.core import units
from compressor_gui.core.adaround import Adaround, Adarounded
from compressor_gui.core.assistant import write
from compressor_gui.core.choose import ChooseRegions, ChosenRegions, with_skipped
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.measure import Calibrate, Calibration, Evaluate, Evaluation, Latency, LatencyResult
from compressor_gui.core.protocol import Request
from compressor_gui.core.ranges import with_ranges
from compressor_gui.core.ranges_file import Limits
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.gui.assistant.draft import Draft
from compressor_gui.gui.measure.data_part import words_of
from compressor_gui.gui.measure.measured import Of
from compressor_gui.gui.measure.words import headline, latency_words
from compressor_gui.gui.state import Made, make

Status = Literal["waits", "running", "done", "failed", "stopped", "left out"]
Key = Literal["round", "calibrate", "regions", "recipe", "accuracy", "latency"]


@dataclass(frozen=True)
class Stage:
    """A part of the work: its title, how it stands, and what came of it in a few words."""

    key: Key
    title: str
    status: Status = "waits"
    words: str = ""


class Run(QObject):
    """Does the work for a draft's choices; ``changed`` says that something began, went on or ended.

    A recipe that can't be made ends it; a measurement that fails is said, and the next one goes on.
    """

    changed = Signal()

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        assert draft.subject is not None
        self.draft, self.subject, self.choices, self.data = draft, draft.subject, draft.choices, draft.data
        self.calibration: Calibration | None = None
        self.ranges: Mapping[str, Limits] = {}
        self.edited = False
        """Whether ranges were changed by hand."""
        self.regions: ChosenRegions | None = None
        self.recipe = self._plan = write(self.subject, self.choices)
        self.made: Made | None = None
        self.evaluation: Evaluation | None = None
        self.latency: LatencyResult | None = None
        self._job: int | None = None
        self._closed = False
        self.stages = self._planned()

    def _planned(self) -> list[Stage]:
        few = f"{self.choices.images:,} images" if self.choices.images else "all images"
        rounding = [Stage("round", f"Round weights on {few}")] if self.choices.rounds else []
        calibrate = [Stage("calibrate", f"Measure ranges on {few}")] if self.choices.calibrates else []
        regions = [Stage("regions", "Time each 8-bit region")] if self.choices.times_regions else []
        accuracy = Stage("accuracy", "Compare with the original")
        if self.data is None:
            accuracy = replace(accuracy, status="left out", words="no data was chosen")
        return [
            *rounding,
            *calibrate,
            *regions,
            Stage("recipe", "Write the recipe"),
            accuracy,
            Stage("latency", "Measure the speed"),
        ]

    @property
    def running(self) -> Stage | None:
        """The stage that is under way."""
        return next((stage for stage in self.stages if stage.status == "running"), None)

    @property
    def progress(self) -> tuple[float, float]:
        """How far the stage under way is, and of how much (0: unknown)."""
        job = self.draft.measurer.engine.jobs.get(-1 if self._job is None else self._job)
        return (job.done, job.total) if job is not None else (0, 0)

    @property
    def usable(self) -> bool:
        """Whether there is a recipe to use."""
        return self.made is not None and self.running is None

    @property
    def failed_to_run(self) -> str:
        """Why nothing could be measured of what the recipe makes, as a sentence; empty where anything could."""
        asked = [stage for stage in self.stages if stage.key in ("accuracy", "latency") and stage.status != "left out"]
        failed = [stage for stage in asked if stage.status == "failed"]
        return failed[0].words if failed and not any(stage.status == "done" for stage in asked) else ""

    @property
    def waits_for(self) -> str:
        """The title of the job that the stage under way waits for; empty where it is at work."""
        jobs = self.draft.measurer.engine.jobs
        first = next(iter(jobs), None)
        waits = first is not None and self._job in jobs and first != self._job and not jobs[self._job].total
        return jobs[first].title if waits and first is not None else ""

    # -- one after the other -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        self._next()

    def edit_ranges(self, ranges: Mapping[str, Limits]) -> None:
        """Take ranges that were changed by hand, and measure again."""
        self.ranges, self.edited, self.recipe = ranges, True, self._plan
        self.made = self.evaluation = self.latency = self.regions = None
        known: dict[Key, Stage] = {stage.key: stage for stage in self.stages if stage.key == "round"}
        known["calibrate"] = Stage("calibrate", "Ranges", "done", "edited by hand")
        self.stages = [known.get(stage.key, stage) for stage in self._planned()]
        self._next()

    def cancel(self) -> None:
        """Stop; what was found so far stays."""
        self.stages = [replace(s, status="stopped") if s.status in ("waits", "running") else s for s in self.stages]
        if self._job is not None:
            self.draft.measurer.engine.cancel(self._job)
        self.changed.emit()

    def close(self) -> None:
        """Stop, and say no more."""
        self._closed = True
        self.cancel()

    def _next(self) -> None:
        stage = next((stage for stage in self.stages if stage.status == "waits"), None)
        if stage is not None:
            self._mark(stage.key, "running")
            work: dict[Key, Callable[[], None]] = {
                "round": self._round,
                "calibrate": self._calibrate,
                "regions": self._choose_regions,
                "recipe": self._make,
                "accuracy": self._compare,
                "latency": self._time,
            }
            work[stage.key]()
        self.changed.emit()

    def _mark(self, key: Key, status: Status, words: str = "") -> None:
        self.stages = [replace(s, status=status, words=words) if s.key == key else s for s in self.stages]

    def _done(self, key: Key, words: str) -> None:
        self._mark(key, "done", words)
        self._next()

    def _failed(self, key: Key, error: Exception) -> None:
        if not isinstance(error, CompressorError):
            raise error
        self._mark(key, "failed", words_of(error))
        if key in ("calibrate", "recipe"):
            self.stages = [replace(s, status="left out") if s.status == "waits" else s for s in self.stages]
        self._next()

    def _ask(self, key: Key, title: str, request: Request, done: Callable[[Any], str]) -> None:
        """Let the engine do a stage; ``done`` keeps the answer and says it in a few words."""

        def ended(then: Callable[[], None]) -> None:
            self._job = None
            stage = self.running
            if not self._closed and stage is not None and stage.key == key:
                then()

        self._job = self.draft.measurer.engine.submit(
            request,
            title,
            lambda result: ended(lambda: self._done(key, done(result))),
            lambda error: ended(lambda: self._failed(key, error)),
            lambda: ended(self.cancel),
        )

    # -- the stages ----------------------------------------------------------------------------------------------

    @property
    def _few(self) -> DataSpec:
        """The examples that ranges are measured on."""
        assert self.data is not None
        return replace(self.data, limit=self.choices.images)

    @property
    def _ranged(self) -> Recipe:
        """The recipe with the ranges that are known."""
        return with_ranges(self._plan, self.ranges) if self.ranges else self._plan

    def _round(self) -> None:
        def done(found: Adarounded) -> str:
            self._plan = Recipe.from_json(found.recipe)
            return _rounded_words(found, len(self.subject.layers) - len(self.choices.skip))

        request = Adaround(self.draft.measurer.compressed(self._plan), self._few, self.choices.method)
        self._ask("round", "Rounding weights", request, done)

    def _calibrate(self) -> None:
        measurer = self.draft.measurer

        def done(found: Calibration) -> str:
            self.calibration, self.ranges = found, found.ranges
            return f"{units.counted(len(found.ranges), 'range')} from {units.counted(found.n, 'image')}"

        request = Calibrate(measurer.compressed(self._plan), self._few, self.choices.method,
                            scheduler=measurer.settings.scheduler)  # fmt: skip
        self._ask("calibrate", "Calibrating", request, done)

    def _choose_regions(self) -> None:
        measurer = self.draft.measurer

        def done(found: ChosenRegions) -> str:
            self.regions = found
            return f"{found.kept} of {units.counted(len(found.regions), 'region')} in 8 bits"

        self._ask("regions", "Timing 8-bit regions", ChooseRegions(measurer.compressed(self._ranged)), done)

    def _make(self) -> None:
        source = self.draft.source
        recipe = self._ranged
        if self.regions is not None:
            # Where nothing is faster in 8 bits, rounded weights would cost accuracy for nothing.
            recipe = with_skipped(recipe, self.regions.skip) if self.regions.kept else self.draft.began
        self.recipe = recipe

        def done(made: Made) -> None:
            if not self._closed and self.running is not None:
                self.made = made
                self._done("recipe", f"{units.counted(len(recipe.active), 'step')}, {units.size(made.size)}")

        def failed(error: Exception) -> None:
            if not self._closed and self.running is not None:
                self._failed("recipe", error)

        self.draft.document.background.run(lambda: make(Replayer(source.graph), recipe), done, failed)

    def _compare(self) -> None:
        measurer = self.draft.measurer
        assert self.data is not None

        def done(found: Evaluation) -> str:
            self.evaluation = found
            if found.accuracy.top1 is None and found.fidelity:
                worst = min(one.check.sqnr_db for one in found.fidelity)
                return "equal to the original" if worst >= EXACT_DB else f"SQNR {worst:.1f} dB at least"
            return headline(found)

        request = Evaluate(measurer.compressed(self.recipe), self.data, measurer.original(),
                           scheduler=measurer.settings.scheduler)  # fmt: skip
        self._ask("accuracy", "Measuring accuracy", request, done)

    def _time(self) -> None:
        measurer = self.draft.measurer

        def done(found: LatencyResult) -> str:
            self.latency = found
            return latency_words(found).removeprefix("latency ")

        self._ask("latency", "Measuring latency", Latency(measurer.compressed(self.recipe), measurer.original()), done)

    # -- the end -------------------------------------------------------------------------------------------------

    def use(self) -> None:
        """Give the document the recipe, as one step to undo, and what was measured with it."""
        document, measurer, recipe = self.draft.document, self.draft.measurer, self.recipe
        stored = next((ranges for step in recipe.active if (ranges := getattr(step, "ranges", ()))), None)
        if recipe is self.draft.began:
            stored = None  # the ranges that were measured are of another recipe
        if self.calibration is not None and stored is not None:
            measurer.keep_calibration(Of(self.calibration, recipe, self.data), self.choices.images)
        measured = document.state.measured
        if self.evaluation is not None:
            measured = measured.with_evaluation(Of(self.evaluation, recipe, self.data))
        if self.latency is not None:
            measured = measured.with_latency(Of(self.latency, recipe, None))
        if self.calibration is not None and stored is not None:
            note = f"{units.counted(self.calibration.n, 'image')}, {self.choices.method}"
            notes = {**measured.range_notes, stored: f"{note}, edited" if self.edited else note}
            measured = replace(measured, range_notes=notes)
        document.set(measured=measured)
        document.end_merge()
        document.set_recipe(recipe, step=None)


def _rounded_words(found: Adarounded, wanted: int) -> str:
    """``3 of 4 layers, 10 images; the other one as it was``, with why where that is known."""
    done, on = len(found.layers), units.counted(found.n, "image")
    if done >= wanted:
        return f"{units.counted(done, 'layer')}, {on}"
    why = ", ".join(f"{name}: {reason}" for name, reason in list(found.left.items())[:2])
    others = "the other one as it was" if wanted - done == 1 else f"the other {wanted - done} as they were"
    return f"{done} of {wanted} layers, {on}; {others}{f' ({why})' if why else ''}"

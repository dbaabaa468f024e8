"""The experiment table: one network in float and in each of its 8-bit forms, measured side by side.

:data:`VARIANTS` says which forms. :func:`conduct` says what to ask the engine next and is sent the answers: the command
line waits for each (:func:`run`), the window goes on drawing meanwhile, and both do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from compressor_gui.core import machine, pbio, units
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EXACT_DB, EngineInfo, Hello
from compressor_gui.core.measure import (
    Accuracy,
    Calibrate,
    Calibration,
    Evaluate,
    Evaluation,
    Latency,
    LatencyResult,
    ModelRef,
    Preview,
    PreviewResult,
)
from compressor_gui.core.passes import Pass
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.passes.quantize_weights import QuantizeWeights
from compressor_gui.core.protocol import Progress, Request
from compressor_gui.core.ranges import with_ranges
from compressor_gui.core.recipe import Recipe, Replay, Replayer

R = TypeVar("R")


@dataclass(frozen=True)
class Variant:
    """A row to measure: the passes that make it, and from how many examples the ranges come that they store (0: none).

    ``name`` stands in files, ``title`` is for people.
    """

    name: str
    title: str
    passes: tuple[Pass, ...] = ()
    examples: int = 0


_EIGHT_BIT = (FoldBatchNorms(), QuantizeNodes())
VARIANTS = (
    Variant("float", "float"),
    Variant("weights", "8-bit weights", (QuantizeWeights(),)),
    Variant("eightbit", "8-bit operations", _EIGHT_BIT),
    Variant("stored_10", "stored ranges", _EIGHT_BIT, 10),
    Variant("stored_1000", "stored ranges", _EIGHT_BIT, 1000),
    Variant("fused", "fused int8", (FoldBatchNorms(), FuseInt8()), 1000),
)
"""The rows, float first: it is what the others are compared with."""

_ADDED = (*(type(step) for variant in VARIANTS for step in variant.passes), FreezeRequantizationRanges)


@dataclass(frozen=True)
class Experiment:
    """What to measure, on which examples.

    ``model`` has no recipe; ``base`` are steps that come first in every row, float included (:func:`base_of`).
    ``calibration`` are the examples that ranges come from (None: those of ``data``), chosen by ``method``. ``batch`` is
    for accuracy; latency has a batch of 1, and the median of ``runs``.
    """

    model: ModelRef
    data: DataSpec
    calibration: DataSpec | None = None
    base: Recipe = field(default_factory=Recipe)
    method: str = "minmax"
    batch: int = 32
    runs: int = 50


@dataclass(frozen=True)
class Row:
    """What was measured of one variant so far; ``problem`` says why the rest is missing.

    ``recipe`` makes it, ranges included, from the model's file; ``size`` is None as long as it is not known.
    ``examples`` is how many the ranges come from (0: none are stored). ``sqnr_db`` is the worst output's against float,
    from -EXACT_DB to EXACT_DB, ``mcnemar_p`` of the difference in top-1 from float.
    """

    name: str
    title: str
    recipe: Recipe = field(default_factory=Recipe)
    size: int | None = None
    examples: int = 0
    accuracy: Accuracy | None = None
    sqnr_db: float | None = None
    mcnemar_p: float | None = None
    latency: LatencyResult | None = None
    notes: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Table:
    """The rows in the order of VARIANTS, as far as they were measured, and what they were measured with.

    ``data`` and ``calibration`` are the examples' files; both are the same where the ranges come from the examples
    that accuracy was measured on. ``load`` is the machine's when it began. ``scored``: whether there is an accuracy,
    which takes labels, and an output with the classes' scores.
    """

    model: str
    data: str
    calibration: str
    method: str
    tensorflow: str = ""
    processor: str = ""
    load: float | None = None
    scored: bool = True
    rows: tuple[Row, ...] = tuple(Row(variant.name, variant.title, examples=variant.examples) for variant in VARIANTS)

    def with_row(self, row: Row) -> Table:
        """The table with a row that has grown."""
        return replace(self, rows=tuple(row if old.name == row.name else old for old in self.rows))


@dataclass(frozen=True)
class Ask:
    """What to ask the engine next, the ``number``th of ``total`` requests, what it is for, and the table so far."""

    request: Request
    words: str
    number: int
    total: int
    table: Table


Work = Generator[Ask, Any, Table]


class Engine(Protocol):
    """What :func:`run` needs of an EngineClient."""

    def run(self, request: Request[R], on_progress: Callable[[Progress], None] | None = None) -> R:
        """Wait for the answer. Raises CompressorError."""
        ...


def base_of(recipe: Recipe) -> Recipe:
    """A recipe's active steps, but for those of the kinds that the rows add themselves."""
    return Recipe.of(*(step for step in recipe.active if not isinstance(step, _ADDED)), sha256=recipe.sha256)


def run(
    work: Work,
    engine: Engine,
    on_progress: Callable[[Progress], None] | None = None,
    on_table: Callable[[Table], None] | None = None,
) -> Table:
    """Conduct an experiment from beginning to end. Raises CompressorError where not even float can be measured."""
    step = advance(work, None)
    while isinstance(step, Ask):
        ask = step
        if on_table:
            on_table(ask.table)

        def tell(progress: Progress, ask: Ask = ask) -> None:
            if on_progress:
                far = f", {progress.done / progress.total:.0%}" if progress.total else ""
                on_progress(Progress(ask.number, ask.total, f"{ask.words} ({progress.message}{far})"))

        try:
            answer: Any = engine.run(ask.request, tell)
        except CompressorError as error:
            answer = error
        step = advance(work, answer)
    if on_table:
        on_table(step)
    return step


def advance(work: Work, answer: Any) -> Ask | Table:
    """Give the answer to what was asked last (None at first), or the CompressorError in its place; what to ask next,
    or the finished table. Replays recipes, which may take seconds. Raises CompressorError."""
    try:
        return work.throw(answer) if isinstance(answer, CompressorError) else work.send(answer)
    except StopIteration as end:
        table: Table = end.value
        return table


def conduct(experiment: Experiment, source: ModelGraph) -> Work:
    """The requests of an experiment on ``source``, the graph in the model's file; see :func:`advance`.

    A row that can't be made or measured says why, and the others go on; without float there is nothing to compare with,
    and the error is raised.
    """
    return _Conductor(experiment, source).conduct()


class _Conductor:
    """The table while it grows."""

    def __init__(self, experiment: Experiment, source: ModelGraph) -> None:
        self._experiment = experiment
        self._replayer = Replayer(source)
        self._float = replace(experiment.model, recipe=_json(experiment.base))
        self._asked = self._at = 0
        self._total = 2 + sum(2 + bool(variant.examples) for variant in VARIANTS)
        calibration = experiment.calibration or experiment.data
        self._table = Table(
            Path(experiment.model.path).name,
            experiment.data.path,
            calibration.path,
            experiment.method,
            processor=machine.processor(),
            load=machine.load(),
        )

    def conduct(self) -> Work:
        experiment = self._experiment
        info: EngineInfo = yield self._ask(Hello(), "Starting TensorFlow")
        self._table = replace(self._table, tensorflow=info.tensorflow)
        preview = Preview(experiment.model, experiment.data, 1)
        seen: PreviewResult = yield self._ask(preview, "Looking at the data")
        self._table = replace(self._table, scored=any(item.label >= 0 for item in seen.items))
        for self._at, variant in enumerate(VARIANTS):
            try:
                yield from self._measure(variant)
            except CompressorError as error:
                if variant is VARIANTS[0]:
                    raise
                self._keep(problem=str(error))
        return self._table

    def _keep(self, *notes: str, **found: Any) -> None:
        """Put what was found into the row under way."""
        row = self._table.rows[self._at]
        known = tuple(dict.fromkeys((*row.notes, *filter(None, notes))))
        self._table = self._table.with_row(replace(row, notes=known, **found))

    def _ask(self, request: Request, words: str) -> Ask:
        self._asked += 1
        return Ask(request, words, self._asked, self._total, self._table)

    def _measure(self, variant: Variant) -> Generator[Ask, Any, None]:
        experiment = self._experiment
        recipe = replace(experiment.base, steps=(*experiment.base.steps, *Recipe.of(*variant.passes).steps))
        if variant.examples:
            data = experiment.calibration or experiment.data
            few = replace(data, limit=min(variant.examples, data.limit or variant.examples))
            asked = Calibrate(self._model(recipe), few, experiment.method)
            found: Calibration = yield self._ask(asked, f"{variant.title}: {variant.examples:,} examples")
            recipe = with_ranges(recipe, found.ranges)
            self._keep(found.left_out, _skipped(found), examples=found.n)
        replay = self._replayer.replay(recipe)
        _refuse_idle(variant, replay)
        recipe = _without_idle(recipe, replay)
        self._keep(recipe=recipe, size=pbio.byte_size(replay.graph))
        model, is_float = self._model(recipe), variant is VARIANTS[0]
        against = None if is_float else self._float
        if self._table.scored or not is_float:
            request = Evaluate(model, experiment.data, against, experiment.batch)
            evaluation: Evaluation = yield self._ask(request, f"{variant.title}: accuracy")
            self._keep(evaluation.left_out, _skipped(evaluation), **_quality(evaluation))
            if evaluation.accuracy.top1 is None:
                self._table = replace(self._table, scored=False)
        timed: LatencyResult = yield self._ask(
            Latency(model, against, runs=experiment.runs, nodes=0), f"{variant.title}: latency"
        )
        self._keep(timed.left_out, *timed.notes, latency=timed)

    def _model(self, recipe: Recipe) -> ModelRef:
        return replace(self._experiment.model, recipe=_json(recipe))


def _json(recipe: Recipe) -> str:
    return recipe.to_json() if recipe.steps else ""


def _refuse_idle(variant: Variant, replay: Replay) -> None:
    """Raise CompressorError where what the row is about leaves the model as it is: it would be measured as float."""
    kinds = tuple(type(step) for step in variant.passes[-1:])
    for stage in replay.stages:
        if isinstance(stage.transform, kinds) and not stage.result.changed:
            why = " ".join(stage.result.notes).rstrip(".") or "it leaves this model as it is"
            raise CompressorError(why, where=stage.transform.name)


def _without_idle(recipe: Recipe, replay: Replay) -> Recipe:
    """Without the steps that found nothing to do: of a network without batch normalisation, folding it."""
    idle = {stage.index for stage in replay.idle}
    return replace(recipe, steps=tuple(step for at, step in enumerate(recipe.steps) if at not in idle))


def _quality(found: Evaluation) -> dict[str, Any]:
    """What a row gets of an evaluation."""
    checks = [fidelity.check for fidelity in found.fidelity]
    worst = min((check.sqnr_db if check.finite else -EXACT_DB for check in checks), default=None)
    return {"accuracy": found.accuracy, "sqnr_db": worst, "mcnemar_p": found.mcnemar_p}


def _skipped(found: Evaluation | Calibration) -> str:
    return f"{units.counted(len(found.skipped), 'example')} that can't be read were left out" if found.skipped else ""

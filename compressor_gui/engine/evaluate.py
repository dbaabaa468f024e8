"""Accuracy on labelled examples, and how near the outputs are to the original's, both from the same batches."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from compressor_gui.core.data import DataSpec, check_same_input
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.measure import Evaluate, Evaluation
from compressor_gui.core.serve import Job
from compressor_gui.engine.dataset import Dataset
from compressor_gui.engine.models import SentModel, load_model
from compressor_gui.engine.parts import Part, count_elsewhere
from compressor_gui.engine.runner import Runner, open_examples
from compressor_gui.engine.scheduler import check_shared, opened
from compressor_gui.engine.tally import Tally


def evaluate(request: Evaluate, job: Job) -> Evaluation:
    """See Evaluate. Raises CompressorError where there is nothing to compare with, or something does not fit."""
    start = time.perf_counter()
    tally, data, skipped = (_elsewhere if request.scheduler else _here)(request, job)
    return dataclasses.replace(
        tally.evaluation(),
        skipped=tuple(skipped),
        classes=data.classes,
        seconds=time.perf_counter() - start,
    )


def _here(request: Evaluate, job: Job) -> tuple[Tally, Dataset, Sequence[str]]:
    with contextlib.ExitStack() as stack:
        job.progress(0, 0, "loading the model")
        model = Runner(stack.enter_context(load_model(request.model)))
        original = None
        if request.against is not None:
            job.progress(0, 0, "loading the original")
            original = Runner(stack.enter_context(load_model(request.against)))
        data = _examples(request, model.graph, None if original is None else original.graph)
        tally = Tally(request.data, data.classes, request.output)
        for batch in data:
            job.progress(data.n - len(batch), max(0, data.count), "evaluating")
            tally.add(batch, model, original)
    return tally, data, data.skipped


def _examples(request: Evaluate, graph: ModelGraph, original: ModelGraph | None) -> Dataset:
    """The examples, which make sense for what is asked."""
    if original is not None:
        check_same_input(graph, original, request.data.input, request.model.path)
    data = open_examples(request.data, original or graph, request.batch)
    if not data.labelled and request.against is None:
        raise CompressorError(
            "these examples have no labels, so there is nothing to compare the answers with",
            where=request.data.path,
            hint="give labels, or a second model (--against)",
        )
    return data


# -- in other processes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """All that a process needs to count any part of the data: it travels once."""

    model: SentModel
    original: SentModel | None
    data: DataSpec
    batch: int
    output: str


def _elsewhere(request: Evaluate, job: Job) -> tuple[Tally, Dataset, Sequence[str]]:
    job.progress(0, 0, "reading the model")
    model = SentModel.of(request.model)
    original = None if request.against is None else SentModel.of(request.against)
    data = _examples(request, model.graph, None if original is None else original.graph)
    plan = _Plan(model, original, request.data, request.batch, request.output)
    found = count_elsewhere(request.scheduler, plan, count_part, data, job)
    return found.counts, data, found.skipped


def count_part(key: str, part: range) -> Part[Tally]:
    """Evaluate on a part of the data, as a piece of work in another process."""
    with opened(key, lambda plan: _Opened(plan, partial(check_shared, key))) as models:
        return models.count(part)


class _Opened:
    """The models in sessions of this process, and the examples."""

    def __init__(self, plan: _Plan, check: Callable[[], None]) -> None:
        self._model = Runner(plan.model.load())
        self._original = None if plan.original is None else Runner(plan.original.load())
        self._data = open_examples(plan.data, (self._original or self._model).graph, plan.batch)
        self._check = check
        first = Tally(plan.data, self._data.classes, plan.output)
        first.add(next(iter(self._data)), self._model, self._original)
        self._nothing = first.emptied()

    def count(self, part: range) -> Part[Tally]:
        tally = self._nothing.emptied()
        for batch in self._data.part(part):
            self._check()
            tally.add(batch, self._model, self._original)
        return Part(self._data.n, tuple(self._data.skipped), tally)

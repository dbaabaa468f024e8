"""Each layer's sensitivity: the metric with that layer alone pruned, or stored in fewer bits.

What the plain way does for every point (export, load, evaluate on all examples) is done once: one session serves every
point, as weights are fed to it, and only what lies downstream of the layer is run again, on activations at the cut
(:mod:`.cut`) that are computed once and kept as far as memory is granted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Self
from uuid import uuid4

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.compare import Noise
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.measure import Sensitivity, SensitivityResult
from compressor_gui.core.metrics import ranks
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.rounding import simulate
from compressor_gui.core.serve import Job
from compressor_gui.core.sweep import Grid, Point, chosen_layers, curve, sweep_key, untouched
from compressor_gui.core.sweep_cache import Baseline, SweepCache, user_cache_folder
from compressor_gui.engine.cut import Cut, cut_behind
from compressor_gui.engine.dataset import Batch, open_dataset
from compressor_gui.engine.models import read_model
from compressor_gui.engine.runner import likeness, scores_of
from compressor_gui.engine.scheduler import check_shared, open_executor, opened
from compressor_gui.engine.session import TF_ERRORS, LoadedGraph, failure, plain

METRICS = ("auto", "top1", "sqnr_db")

Measured = dict[Point, float]

_MOST_COPIES = 100_000_000
"""Bytes of the graph, for each layer that was measured in a session, before another session takes its place."""


@dataclass(frozen=True)
class Plan:
    """All that a process needs to measure any layer: it travels once. ``graph`` is the file's bytes."""

    graph: bytes
    outputs: tuple[str, ...]
    where: str
    data: DataSpec
    grid: Grid
    metric: str
    batch: int
    activation_bytes: int


@dataclass(frozen=True)
class _Held:
    """What one batch is at a cut: the tensors to feed, and what the untouched part makes of them (empty for top1)."""

    batch: Batch
    feeds: Mapping[str, np.ndarray]
    reference: list[np.ndarray]

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in (*self.feeds.values(), *self.reference))


class _Top1:
    """The share of examples whose largest score is at their label; see :class:`.measure.Accuracy`."""

    def __init__(self, output: str, where: str) -> None:
        self._output, self._where = output, where
        self._right = self._n = 0

    def add(self, held: _Held, values: list[np.ndarray]) -> None:
        assert held.batch.labels is not None
        scores = scores_of(held.batch, held.batch.counted(values[0]), self._output, self._where)
        self._right += int(np.count_nonzero(ranks(scores, held.batch.labels) == 0))
        self._n += len(held.batch)

    @property
    def value(self) -> float:
        return self._right / self._n if self._n else 0.0


class _WorstNoise:
    """The worst output's SQNR in dB."""

    def __init__(self) -> None:
        self._noises: list[Noise] = []

    def add(self, held: _Held, values: list[np.ndarray]) -> None:
        self._noises = self._noises or [Noise() for _ in values]
        for noise, x, y in zip(self._noises, held.reference, values, strict=True):
            noise.add(held.batch.counted(plain(x)), held.batch.counted(plain(y)))

    @property
    def value(self) -> float:
        return min(noise.db for noise in self._noises)


class Sweep:
    """A model in one session, on which layers are measured one after the other."""

    def __init__(self, plan: Plan, check: Callable[[], None], baseline: Baseline | None = None) -> None:
        """``check`` is called between any two runs, and may raise to end the work; ``baseline`` where it is known.

        Raises CompressorError where TensorFlow refuses the graph.
        """
        self.plan = plan
        if baseline is not None:
            self.baseline = baseline
        self.graph = pbio.parse_graph(plan.graph, where=plan.where, outputs=plan.outputs)
        self._check = check
        self._layers = {layer.name: layer for layer in find_layers(self.graph)}
        self._dataset = open_dataset(plan.data, self.graph, plan.batch)
        self._loaded = LoadedGraph(plan.graph, self.graph, where=plan.where)
        self._kept: tuple[Cut, list[_Held]] | None = None
        self._copies = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._loaded.__exit__(*error)

    @cached_property
    def baseline(self) -> Baseline:
        """The untouched model's value; the metric is decided here. Raises CompressorError where there is no example, or
        accuracy is asked for and can't be measured."""
        metric, n = self.plan.metric, 0
        scores = None if metric == "sqnr_db" else self._scores
        top1 = _Top1(scores or "", self.plan.where)
        for batch in self._batches():
            n += len(batch)
            if metric == "auto":
                metric = "sqnr_db" if batch.labels is None or scores is None else "top1"
            if metric == "top1":
                if batch.labels is None or scores is None:
                    words = "the data has no labels" if batch.labels is None else "no output has a score for each class"
                    raise CompressorError(words, where=self.plan.where, hint="measure sqnr_db instead")
                top1.add(_Held(batch, {}, []), self._run(self._fetches((scores,))[:1], batch.feeds))
        value = top1.value if metric == "top1" else untouched(metric, 0.0)
        return Baseline(metric, value, n, tuple(self._dataset.skipped))

    @cached_property
    def _scores(self) -> str | None:
        """The output that looks most like a score for each class, as in ``evaluate``."""
        found: dict[str, int] = {}
        for batch in self._batches():
            for name in self.graph.outputs:
                value = batch.counted(self._run(self._fetches((name,))[:1], batch.feeds)[0])
                found[name] = likeness(self.graph, name, value, len(self._dataset.classes))
            break
        best = max(found, key=lambda name: found[name], default="")
        return best if found.get(best) else None

    def finish(self, name: str, known: Measured, report: Callable[[Point, float], None] = lambda *_: None) -> Measured:
        """Measure what is missing of a layer; ``report`` hears of every point as it is ready. All points are returned.

        Raises CompressorError where TensorFlow does not run the graph.
        """
        measured = dict(known)
        while points := self.plan.grid.due(measured):
            for point, value in self._measure(self._layers[name], points):
                measured[point] = value
                report(point, value)
        self._kept = None
        self._copies += len(self.plan.graph)
        if self._copies > _MOST_COPIES:  # each layer has another cut, of which the session has kept a copy
            self._copies = 0
            self._loaded.renew()
        return measured

    def _measure(self, layer: Layer, points: tuple[Point, ...]) -> Iterator[tuple[Point, float]]:
        unharmed = untouched(self.baseline.metric, self.baseline.value)
        cut = self._cut(layer)
        if not cut.outputs:
            yield from ((point, unharmed) for point in points)
            return
        tensors = self._fetches(cut.outputs)
        scores = {point: self._score() for point in points}
        for chunk, last in self._chunks(layer, cut, tensors):
            for point, score in scores.items():
                weights = changed_weights(self.graph, layer, point)  # anew for each chunk: all at once may be gigabytes
                changed = not np.array_equal(weights, layer.tensor.array)
                for held in chunk if changed else ():
                    score.add(held, self._run(tensors, {**held.feeds, layer.weight: weights}))
                if last:
                    yield point, score.value if changed else unharmed

    def _score(self) -> _Top1 | _WorstNoise:
        return _Top1(self._scores or "", self.plan.where) if self.baseline.metric == "top1" else _WorstNoise()

    def _cut(self, layer: Layer) -> Cut:
        """The layer's cut; for top1, to the output with the scores alone."""
        cut = cut_behind(self.graph, layer.weight, self._loaded.can_feed)
        if self.baseline.metric != "top1":
            return cut
        scores = self._scores
        if scores not in cut.outputs:
            return Cut((), ())
        only = ModelGraph(self.graph.nodes, outputs=(scores,))
        return cut_behind(only, layer.weight, self._loaded.can_feed)

    def _chunks(self, layer: Layer, cut: Cut, tensors: list[str]) -> Iterator[tuple[list[_Held], bool]]:
        """The batches at a cut, as many at a time as memory is granted for, and whether they are the last. All of them
        are kept for the layer's next points where they fit."""
        if self._kept and self._kept[0] == cut:
            yield self._kept[1], True
            return
        self._kept = None
        chunk: list[_Held] = []
        size, whole = 0, True
        for batch in self._batches():
            held = self._hold(layer, cut, tensors, batch)
            if chunk and size + held.nbytes > self.plan.activation_bytes:
                yield chunk, False
                chunk, size, whole = [], 0, False
            chunk.append(held)
            size += held.nbytes
        if whole:
            self._kept = (cut, chunk)
        yield chunk, True

    def _hold(self, layer: Layer, cut: Cut, tensors: list[str], batch: Batch) -> _Held:
        given = {f"{name}:0": value for name, value in batch.feeds.items()}
        feeds = {name: given[name] for name in cut.tensors if name in given}
        computed = [name for name in cut.tensors if name not in given]
        if computed:
            feeds |= zip(computed, self._run(computed, batch.feeds), strict=True)
        if self.baseline.metric == "top1":
            return _Held(batch, feeds, [])
        # by the same rewritten graph that the points run through, so that equal weights give equal bits
        return _Held(batch, feeds, self._run(tensors, {**feeds, layer.weight: layer.tensor.array}))

    def _batches(self) -> Iterator[Batch]:
        for batch in self._dataset:
            self._check()
            yield batch

    def _run(self, tensors: list[str], feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        self._check()
        try:
            return self._loaded.run(tensors, feeds)
        except TF_ERRORS as error:
            raise failure(error, "TensorFlow does not run this graph on the data", self.plan.where) from None

    def _fetches(self, outputs: tuple[str, ...]) -> list[str]:
        return [tensor for tensors in self._loaded.tensors(outputs).values() for tensor in tensors]


def changed_weights(graph: ModelGraph, layer: Layer, point: Point) -> np.ndarray:
    """The layer's constant at a point: as the pass ``prune`` makes it, or as :func:`.simulate` does."""
    if point.bits:
        return simulate(layer.weights, layer.channel_axis, int(point.at)).astype(layer.tensor.array.dtype)
    pruned = Prune(layers=((layer.weight, point.at),)).run(graph).graph[layer.weight].tensor
    assert pruned is not None
    return pruned.array


# -- the job ----------------------------------------------------------------------------------------


def sensitivity(request: Sensitivity, job: Job) -> SensitivityResult:
    """See Sensitivity. Raises CompressorError where the model, the data or a layer's name is wrong."""
    start = time.perf_counter()
    if request.metric not in METRICS:
        raise CompressorError(f"there is no metric {request.metric!r}", hint=f"choose one of {', '.join(METRICS)}")
    grid = Grid.of(request)
    graph = read_model(request.model)
    layers = chosen_layers(graph, request.layers)
    data = pbio.to_bytes(graph)
    key = sweep_key(data, graph.outputs, request.data, request.metric)
    plan = Plan(
        data, graph.outputs, request.model.path, request.data, grid, request.metric, request.batch,
        request.activation_bytes,
    )  # fmt: skip
    cache = SweepCache(Path(request.cache) if request.cache else user_cache_folder(), key)
    return _Ask(plan, [layer.name for layer in layers], cache, job).answer(request.scheduler, start)


class _Ask:
    """One sweep under way: what is known, what is missing, and telling the client."""

    def __init__(self, plan: Plan, layers: list[str], cache: SweepCache, job: Job) -> None:
        self.plan, self.layers, self.cache, self.job = plan, layers, cache, job
        self.known: dict[str, Measured] = {name: _wanted(plan.grid, cache.points(name)) for name in layers}
        self.reused = sum(len(points) for points in self.known.values())
        self.each = len(plan.grid.sparsities) + len(plan.grid.bits) + plan.grid.refine

    def answer(self, scheduler: str, start: float) -> SensitivityResult:
        for name, points in self.known.items():
            if points:
                self.job.piece(curve(name, points))
        todo = [name for name in self.layers if self.plan.grid.due(self.known[name])]
        if self.cache.baseline is None or (todo and not scheduler):
            with Sweep(self.plan, self.job.check, self.cache.baseline) as sweep:
                self._tell("measuring the untouched model")
                if self.cache.baseline is None:
                    self.cache.set_baseline(sweep.baseline)
                for name in () if scheduler else todo:
                    self._tell(name)
                    sweep.finish(name, self.known[name], partial(self._add, name))
        if scheduler and todo:
            self._elsewhere(scheduler, todo)
        baseline = self.cache.baseline
        assert baseline is not None
        note = f"the points can't be remembered in {self.cache.path.parent}: {self.cache.failure}"
        return SensitivityResult(
            baseline.metric,
            baseline.value,
            baseline.n,
            tuple(curve(name, self.known[name]) for name in self.layers),
            time.perf_counter() - start,
            self.reused,
            (note,) if self.cache.failure else (),
            baseline.skipped,
        )

    def _elsewhere(self, scheduler: str, todo: list[str]) -> None:
        """Measure layers in other processes, as many at a time as there are; a layer is a piece of work."""
        key, baseline = uuid4().hex, self.cache.baseline
        assert baseline is not None
        with open_executor(scheduler, key, self.plan) as executor:
            waiting: dict[Future[Measured], str] = {
                executor.submit(finish_layer, key, baseline, name, self.known[name]): name for name in todo
            }
            while waiting:
                self._tell(f"{len(waiting)} layers under way at {scheduler}")
                for future in wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED).done:
                    name = waiting.pop(future)
                    for point, value in future.result().items():
                        if point not in self.known[name]:
                            self._add(name, point, value)

    def _add(self, name: str, point: Point, value: float) -> None:
        self.known[name][point] = value
        self.cache.add(name, point, value)
        self._tell(name)
        self.job.piece(curve(name, self.known[name]))

    def _tell(self, message: str) -> None:
        self.job.progress(sum(map(len, self.known.values())), self.each * len(self.layers), message)


def finish_layer(key: str, baseline: Baseline, name: str, known: Measured) -> Measured:
    """:meth:`Sweep.finish` as a piece of work in another process, which opens the model for its first one."""
    with opened(key, lambda plan: Sweep(plan, partial(check_shared, key), baseline)) as sweep:
        return sweep.finish(name, known)


def _wanted(grid: Grid, cached: Measured) -> Measured:
    """The points of ``cached`` that this grid would measure."""
    found: Measured = {}
    while more := {point: cached[point] for point in grid.due(found) if point in cached}:
        found |= more
    return found

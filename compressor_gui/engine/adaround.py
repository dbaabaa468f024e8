"""Rounds weights on examples, layer by layer, each reading what the quantized layers before it make."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from compressor_gui.core import weight_store
from compressor_gui.core.adaround import Adaround, Adarounded, RoundedLayer
from compressor_gui.core.compare import Noise
from compressor_gui.core.default_method import BY, default_recipe, without_care
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.correct_biases import CorrectBiases
from compressor_gui.core.passes.equalize_layers import EqualizeLayers
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.int8.linear import Linear, find_linear
from compressor_gui.core.passes.int8.plan import Plan
from compressor_gui.core.passes.int8.simulate import SUFFIX, simulated
from compressor_gui.core.passes.skipping import skipped_names
from compressor_gui.core.passes.stored_weights import Weights
from compressor_gui.core.ranges import Collector, choose_range
from compressor_gui.core.ranges_file import Limits
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.core.reconstruct import Moments
from compressor_gui.core.serve import Job
from compressor_gui.core.units import counted
from compressor_gui.engine.dataset import open_dataset
from compressor_gui.engine.models import read_model, refuse_unless_allowed
from compressor_gui.engine.walk import Feeds, Walk

_ROWS = 2048
"""Places of one batch by which a layer is fitted; more make no difference, and take time."""


def adaround(request: Adaround, job: Job) -> Adarounded:
    """See Adaround. Raises CompressorError where the graph does not run, or has nothing to quantize."""
    start = time.perf_counter()
    source = read_model(replace(request.model, recipe=""))
    recipe = _prepared(source, Recipe.from_json(request.model.recipe) if request.model.recipe else Recipe())
    at = next(n for n, step in enumerate(recipe.steps) if isinstance(step.transform, FuseInt8))
    fuse = recipe.steps[at].transform
    assert isinstance(fuse, FuseInt8)
    graph = Replayer(source).replay(replace(recipe, steps=recipe.steps[:at]), job.progress).graph
    refuse_unless_allowed(request.model, graph)
    where = request.model.path
    if not fuse.activations(graph):
        raise CompressorError("no layer of this model can be in 8 bits", where=where)
    feeds, n, skipped = _examples(request, graph)
    if request.equalize:
        with Walk(graph, feeds, where) as walk:
            peaks = weight_store.save(_peaks(walk, fuse, job))
        recipe, at = recipe.adding(EqualizeLayers(peaks), at), at + 1
        graph = Replayer(source).replay(replace(recipe, steps=recipe.steps[:at])).graph
    with Walk(graph, feeds, where) as walk:
        fuse = replace(fuse, ranges=tuple(_ranges(walk, fuse, request.method, job).items()))
    plan = Plan(graph, dict(fuse.ranges), skipped_names(graph, fuse.skip, fuse.name), fuse.everywhere)
    linear, left = find_linear(plan)
    layers: list[RoundedLayer] = []
    if linear and request.rounding == "correct_biases":
        with Walk(graph, feeds, where) as walk:
            means = weight_store.save(_means(walk, linear, job))
        recipe, at = recipe.adding(CorrectBiases(means), at), at + 1
    elif linear:
        rounding = _Rounding(plan, linear, feeds, where, fuse.without_vnni)
        rounding.run(job)
        layers = rounding.layers
        weights = weight_store.save(rounding.arrays)
        recipe, at = recipe.adding(Weights(weights, f"{BY} on {counted(n, 'example')}"), at), at + 1
    recipe = recipe.replacing(at, replace(recipe.steps[at], transform=fuse))
    return Adarounded(
        recipe=recipe.to_json(),
        layers=tuple(layers),
        n=n,
        left=dict(left),
        skipped=skipped,
        seconds=time.perf_counter() - start,
    )


def _prepared(source: ModelGraph, recipe: Recipe) -> Recipe:
    """With fuse_int8, and without what is made anew."""
    recipe = without_care(recipe)
    if any(isinstance(step, FuseInt8) for step in recipe.active):
        return recipe
    folded = any(isinstance(step, FoldBatchNorms) for step in recipe.active)
    for transform in default_recipe(Replayer(source).replay(recipe).graph):
        if not (folded and isinstance(transform, FoldBatchNorms)):
            recipe = recipe.adding(transform)
    return recipe


def _examples(request: Adaround, graph: ModelGraph) -> tuple[list[Feeds], int, tuple[str, ...]]:
    """All batches, which have to fit into memory; how many examples they have, and what is left out."""
    data = open_dataset(replace(request.data, cache_bytes=0), graph, request.batch)
    found: list[Feeds] = []
    skipped: list[str] = []
    count = 0
    for batch in data:
        floats = {name: value for name, value in batch.feeds.items() if value.dtype.kind == "f"}
        broken = [name for name, value in floats.items() if not np.isfinite(value).all()]
        if broken:
            skipped += [f"{source}: the values for {broken[0]!r} are not finite" for source in batch.sources]
            continue
        found.append(batch.feeds)
        count += len(batch)
    if not found:
        raise CompressorError("no example is left", where=request.data.path, hint=skipped[0])
    return found, count, (*data.skipped, *skipped)


def _peaks(walk: Walk, fuse: FuseInt8, job: Job) -> dict[str, np.ndarray]:
    """The greatest magnitude of each channel of what is kept in 8 bits."""
    names = [name for name in fuse.activations(walk.graph) if name not in walk.graph.inputs]
    peaks: dict[str, np.ndarray] = {}
    for at in range(len(walk)):
        job.progress(at, len(walk), "measuring channels")
        for name, value in zip(names, walk.run(at, names), strict=True):
            if value.ndim > 1 and np.isfinite(value).all():
                peak = np.abs(value).reshape(-1, value.shape[-1]).max(axis=0, initial=0).astype(np.float32)
                peaks[name] = np.maximum(peaks.get(name, peak), peak)
    return peaks


def _ranges(walk: Walk, fuse: FuseInt8, method: str, job: Job) -> dict[str, Limits]:
    names = fuse.activations(walk.graph)
    collectors = {name: Collector() for name in names}
    for at in range(len(walk)):
        job.progress(at, len(walk), "measuring activations")
        for name, value in zip(names, walk.run(at, names), strict=True):
            if not np.isfinite(value).all():
                hint = "leave that example out, or the layer in float (skip)"
                raise CompressorError(f"the result of node {name!r} is not finite", where=walk.where, hint=hint)
            if value.size:
                collectors[name].add(value)
    return {name: choose_range(collector.histogram(), method) for name, collector in collectors.items()}


def _means(walk: Walk, layers: Iterable[Linear], job: Job) -> dict[str, np.ndarray]:
    """The mean of each channel that layers read."""
    names = list(dict.fromkeys(one.head.data_refs[0].name for one in layers))
    sums: dict[str, np.ndarray] = {}
    for at in range(len(walk)):
        job.progress(at, len(walk), "measuring channels")
        for name, value in zip(names, walk.run(at, names), strict=True):
            mean = value.reshape(-1, value.shape[-1]).mean(axis=0, dtype=np.float64) / len(walk)
            sums[name] = sums.get(name, 0.0) + mean
    return {name: total.astype(np.float32) for name, total in sums.items()}


class _Rounding:
    """One layer of a plan after the other; ``arrays``: Const -> its new value."""

    def __init__(
        self, plan: Plan, linear: Sequence[Linear], feeds: Sequence[Feeds], where: str, without_vnni: bool
    ) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.layers: list[RoundedLayer] = []
        self._linear = linear
        self._graph, self._coded = plan.graph, simulated(plan, without_vnni)
        self._without_vnni = without_vnni
        self._float = Walk(plan.graph, feeds, where, (one.tail for one in self._linear))
        self._int8 = Walk(self._coded, feeds, where, map(self._result, self._linear))

    def run(self, job: Job) -> None:
        """Round all. Raises CompressorError."""
        float_uses = _last_uses(self._float.sources((one.target, one.tail)) for one in self._linear)
        int8_uses = _last_uses(self._int8.sources(self._read(one)) for one in self._linear)
        with self._float, self._int8:
            for at, one in enumerate(self._linear):
                job.progress(at, len(self._linear), "rounding weights")
                self._round(one, job)
                self._float.forget(float_uses.get(at, ()))
                self._int8.forget(int8_uses.get(at, ()))

    def _round(self, one: Linear, job: Job) -> None:
        names = self._read(one)
        moments = Moments(*one.size)
        reads: list[list[np.ndarray]] = []
        results: list[np.ndarray] = []
        for batch in range(len(self._float)):
            job.check()
            aim, result = self._float.run(batch, (one.target, one.tail))
            self._float.keep(batch, one.tail, result)
            read = self._int8.run(batch, names)
            moments.add(*one.rows(read[0], aim - read[1] if one.summand else aim, _ROWS))
            reads.append(read)
            results.append(result)
        given = self._solved(one, moments)
        noise = Noise()
        for batch, (read, result) in enumerate(zip(reads, results, strict=True)):
            job.check()
            coded = self._int8.run(batch, (self._result(one),), given | dict(zip(names, read, strict=True)))[0]
            self._int8.keep(batch, self._result(one), coded)
            noise.add(result, coded)
        self.layers.append(RoundedLayer(one.head.name, noise.db))

    def _solved(self, one: Linear, moments: Moments) -> dict[str, np.ndarray]:
        """The new weights, by the names under which the simulation reads them."""
        weights = one.taken_apart(self._constant(one.weight))
        channels = one.channels if self._without_vnni else 0
        solved = moments.solve(weights, one.bias is not None, channels)
        self.arrays[one.weight] = one.put_together(solved.weights)
        given = {self._coded[one.head.name].data_refs[1].name: self.arrays[one.weight]}
        if one.bias is not None:
            shape = self._constant(one.bias).shape
            self.arrays[one.bias] = solved.bias.reshape(shape).astype(np.float32)
            given[one.bias] = self.arrays[one.bias]
        return given

    def _constant(self, name: str) -> np.ndarray:
        tensor = self._graph[name].tensor
        assert tensor is not None
        return tensor.array

    def _read(self, one: Linear) -> tuple[str, ...]:
        """What the layer reads in the simulation, then what it adds."""
        read = self._coded[one.head.name].data_refs[0].name
        if one.summand is None:
            return (read,)
        coded = one.summand + SUFFIX
        return read, coded if coded in self._coded else one.summand

    def _result(self, one: Linear) -> str:
        """The layer's result in the simulation."""
        coded = one.tail + SUFFIX
        return coded if coded in self._coded else one.tail


def _last_uses(sources: Iterable[frozenset[str]]) -> dict[int, list[str]]:
    """Which of the sources of a sequence are used for the last time at each place."""
    last = {name: at for at, names in enumerate(sources) for name in names}
    found: dict[int, list[str]] = {}
    for name, at in last.items():
        found.setdefault(at, []).append(name)
    return found

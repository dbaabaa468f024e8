"""Measures what the activations are that an 8-bit graph requantizes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import Calibrate, Calibration
from compressor_gui.core.ranges import Collector, choose_ranges, plan_calibration
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.serve import Job
from compressor_gui.engine.dataset import Batch, Dataset, open_dataset
from compressor_gui.engine.models import read_model, refuse_unless_allowed
from compressor_gui.engine.parts import Part, count_elsewhere
from compressor_gui.engine.scheduler import check_shared, opened
from compressor_gui.engine.session import TF_ERRORS, LoadedGraph, failure, plain


def calibrate(request: Calibrate, job: Job) -> Calibration:
    """Run the float graph on the data and choose ranges. Raises CompressorError.

    An example with an activation that is not finite is left out, and named in ``skipped``.
    """
    start = time.perf_counter()
    source = read_model(replace(request.model, recipe=""))
    recipe = Recipe.from_json(request.model.recipe) if request.model.recipe else Recipe()
    plan = plan_calibration(source, recipe, job.progress)
    refuse_unless_allowed(request.model, plan.graph)
    dataset = open_dataset(request.data, plan.graph, request.batch)
    data, where = pbio.to_bytes(plan.graph), request.model.path
    if request.scheduler:
        floats = _Floats(data, plan.graph.outputs, where, dict(plan.tensors), request.data, request.batch)
        found = count_elsewhere(request.scheduler, floats, measure_part, dataset, job)
        measuring, skipped = found.counts, found.skipped
    else:
        measuring = _Measuring(plan.tensors)
        with LoadedGraph(data, plan.graph, where=where) as loaded:
            for batch in dataset:
                measuring.run(loaded, batch)
                job.progress(dataset.n, max(dataset.count, 0), "measuring activations")
        skipped = tuple(dataset.skipped)
    if not measuring.n:
        raise CompressorError("no example is left", where=request.data.path, hint=measuring.skipped[0])
    histograms = {name: collector.histogram() for name, collector in measuring.collectors.items()}
    return Calibration(
        n=measuring.n,
        method=request.method,
        ranges=choose_ranges(histograms, request.method, request.percentile),
        histograms=histograms,
        skipped=(*skipped, *measuring.skipped),
        seconds=time.perf_counter() - start,
    )


class _Measuring:
    """Counts the activations of one batch after the other."""

    def __init__(self, tensors: Mapping[str, tuple[str, ...]]) -> None:
        """``tensors`` as in CalibrationPlan."""
        self.collectors = {name: Collector() for name in tensors}
        self.skipped: list[str] = []
        self.n = 0
        self._tensors = tensors

    def run(self, loaded: LoadedGraph, batch: Batch) -> None:
        """Count the activations of the examples of which all are finite. Raises CompressorError."""
        try:
            values = loaded.run([tensor for tensors in self._tensors.values() for tensor in tensors], batch.feeds)
        except TF_ERRORS as error:
            raise failure(error, "TensorFlow does not run the float graph on this data", loaded.where) from None
        found = self._activations(values)
        reasons: dict[int, str] = {}
        for name, value in found.items():
            for place in _not_finite(value, batch):
                reasons.setdefault(place, self._tensors[name][0].partition(":")[0])
        self.skipped += [
            f"{batch.sources[place]}: the result of node {node!r} is not finite" for place, node in reasons.items()
        ]
        good = [place for place in range(len(batch)) if place not in reasons]
        self.n += len(good)
        for name, value in found.items():
            kept = value[good] if _has_rows(value, batch) else value
            if good and kept.size:
                self.collectors[name].add(kept)

    def merge(self, other: _Measuring) -> _Measuring:
        """What both have counted, ``other`` second."""
        merged = _Measuring(self._tensors)
        merged.collectors = {name: mine.merge(other.collectors[name]) for name, mine in self.collectors.items()}
        merged.skipped = self.skipped + other.skipped
        merged.n = self.n + other.n
        return merged

    def _activations(self, values: list[np.ndarray]) -> Mapping[str, np.ndarray]:
        """Node -> float activation. A qint32 tensor comes with its minimum, which its lowest code stands for."""
        rest = iter(values)
        found = {}
        for name, tensors in self._tensors.items():
            value, *limits = (next(rest) for _ in tensors)
            found[name] = plain(value) * (-float(limits[0].reshape(-1)[0]) / 2**31) if limits else value
        return found


def _has_rows(value: np.ndarray, batch: Batch) -> bool:
    """Whether the first axis is the batch."""
    return value.ndim > 0 and len(value) == len(batch) + batch.copies


def _not_finite(value: np.ndarray, batch: Batch) -> list[int]:
    """The examples of which ``value`` is not finite; all where it can't be told which."""
    finite = np.isfinite(value)
    if finite.all():
        return []
    if not _has_rows(value, batch):
        return list(range(len(batch)))
    rows = finite[: len(batch)].reshape(len(batch), -1)
    return [int(place) for place in np.flatnonzero(~rows.all(axis=1))]


# -- in other processes ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Floats:
    """All that a process needs to measure any part of the data: it travels once. ``graph`` is the bytes of the float
    graph, ``tensors`` as in CalibrationPlan."""

    graph: bytes
    outputs: tuple[str, ...]
    where: str
    tensors: Mapping[str, tuple[str, ...]]
    data: DataSpec
    batch: int


def measure_part(key: str, part: range) -> Part[_Measuring]:
    """Measure a part of the data, as a piece of work in another process."""
    with opened(key, _open) as (floats, loaded, dataset):
        measuring = _Measuring(floats.tensors)
        for batch in dataset.part(part):
            check_shared(key)
            measuring.run(loaded, batch)
        return Part(dataset.n, tuple(dataset.skipped), measuring)


def _open(floats: _Floats) -> tuple[_Floats, LoadedGraph, Dataset]:
    graph = pbio.parse_graph(floats.graph, where=floats.where, outputs=floats.outputs)
    dataset = open_dataset(floats.data, graph, floats.batch)
    return floats, LoadedGraph(floats.graph, graph, where=floats.where), dataset

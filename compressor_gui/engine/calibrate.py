"""Measures what the activations are that an 8-bit graph requantizes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import Calibrate, Calibration
from compressor_gui.core.ranges import CalibrationPlan, Collector, choose_ranges, plan_calibration
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.serve import Job
from compressor_gui.engine.dataset import Batch, open_dataset
from compressor_gui.engine.models import read_model
from compressor_gui.engine.session import TF_ERRORS, LoadedGraph, failure, plain


def calibrate(request: Calibrate, job: Job) -> Calibration:
    """Run the float graph on the data and choose ranges. Raises CompressorError.

    An example with an activation that is not finite is left out, and named in ``skipped``.
    """
    start = time.perf_counter()
    source = read_model(replace(request.model, recipe=""))
    recipe = Recipe.from_json(request.model.recipe) if request.model.recipe else Recipe()
    plan = plan_calibration(source, recipe, job.progress)
    dataset = open_dataset(request.data, plan.graph, request.batch)
    measuring = _Measuring(plan)
    with LoadedGraph(pbio.to_bytes(plan.graph), plan.graph, where=request.model.path) as loaded:
        for batch in dataset:
            try:
                values = loaded.run(measuring.fetches, batch.feeds)
            except TF_ERRORS as error:
                words = "TensorFlow does not run the float graph on this data"
                raise failure(error, words, request.model.path) from None
            measuring.add(batch, values)
            job.progress(dataset.n, max(dataset.count, 0), "measuring activations")
    if not measuring.n:
        raise CompressorError("no example is left", where=request.data.path, hint=measuring.skipped[0])
    histograms = {name: found.histogram() for name, found in measuring.collectors.items()}
    return Calibration(
        n=measuring.n,
        method=request.method,
        ranges=choose_ranges(histograms, request.method, request.percentile),
        histograms=histograms,
        skipped=(*dataset.skipped, *measuring.skipped),
        seconds=time.perf_counter() - start,
    )


class _Measuring:
    """Takes the fetched activations of one batch after the other."""

    def __init__(self, plan: CalibrationPlan) -> None:
        self.fetches = [tensor for tensors in plan.tensors.values() for tensor in tensors]
        self.collectors = {name: Collector() for name in plan.tensors}
        self.skipped: list[str] = []
        self.n = 0
        self._tensors = plan.tensors

    def add(self, batch: Batch, values: list[np.ndarray]) -> None:
        """Count the activations of the examples of which all are finite."""
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

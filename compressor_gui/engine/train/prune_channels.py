"""Channels out, retrain, measure the time, again: what answers a :class:`.core.channel_pruning.PruneChannels`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from compressor_gui.core import pbio
from compressor_gui.core.channel_pruning import (
    GREATEST_SHARE,
    ChannelNews,
    ChannelPoint,
    ChannelsPruned,
    PruneChannels,
    chosen_point,
    is_last,
    next_share,
    relative,
)
from compressor_gui.core.layers import find_layers
from compressor_gui.core.measure import Latency
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.protocol import Event, Piece
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.serve import Job
from compressor_gui.core.training import News, Retrained, weights_step
from compressor_gui.engine.latency import latency
from compressor_gui.engine.models import read_model
from compressor_gui.engine.train.prune_retrain import prune_retrain

_RUNS = 40
"""Runs that a time is the median of."""
_STRIDE = 0.05
"""How much further the share goes where a step takes nothing."""


def prune_channels(request: PruneChannels, job: Job) -> ChannelsPruned:
    """See PruneChannels. Raises CompressorError where the data, the graph and the target don't fit together."""
    request.check()
    return _Run(request, job).answer()


class _Run:
    def __init__(self, request: PruneChannels, job: Job) -> None:
        self._request, self._job = request, job
        self._began = time.perf_counter()
        self._points: list[ChannelPoint] = []
        self._notes: list[str] = []
        self._trained: Retrained | None = None
        base = Recipe.from_json(request.model.recipe) if request.model.recipe else Recipe()
        self._recipe = base.adding(FoldBatchNorms())

    def answer(self) -> ChannelsPruned:
        """Go from step to step."""
        stopped = ""
        self._job.progress(0, 0, "reading the model")
        while (share := next_share(self._request, self._points) if self._points else 0.0) is not None:
            stopped = self._step(share)
            if stopped:
                break
        chosen, lacks = chosen_point(self._request, self._points)
        assert self._trained is not None
        return ChannelsPruned(
            metric=self._trained.metric,
            points=tuple(self._points),
            chosen=chosen,
            lacks=lacks,
            stopped=stopped,
            notes=tuple(dict.fromkeys(self._notes)),
            train_n=self._trained.train_n,
            test_n=self._trained.test_n,
            seconds=time.perf_counter() - self._began,
        )

    def _step(self, share: float) -> str:
        """Remove, retrain, time; tells why the run has to end (empty: it goes on)."""
        recipe = self._recipe
        if self._points:
            share, recipe = self._removed(share)
            if recipe is self._recipe:
                return "no more channels can be taken out"
        asked = self._request.retraining(recipe.to_json(), last=is_last(self._request, self._points))
        trained = prune_retrain(asked if self._points else replace(asked, steps=0), self._inner())
        self._trained = trained
        self._notes += trained.notes
        if not self._points:
            made = ChannelPoint(0, 0.0, self._request.model.recipe, *self._sizes(recipe), trained.baseline, 1.0, 0.0)
            self._add(made)
            return trained.stopped
        point = trained.points[-1]
        if not point.sha256:
            return trained.stopped or "the retraining has left no weights"
        self._recipe = recipe.adding(weights_step(point))
        made = ChannelPoint(
            len(self._points), share, self._recipe.to_json(), *self._sizes(self._recipe), point.value,
            *self._time(self._recipe), len(trained.epochs), trained.seconds,
        )  # fmt: skip
        self._add(made)
        return trained.stopped

    def _removed(self, share: float) -> tuple[float, Recipe]:
        """The share that is gone and the recipe that takes it: where rounding to a multiple would keep all channels,
        the next larger share at which some go; the same recipe where there is none."""
        before = self._weights(self._recipe)
        while share <= GREATEST_SHARE:
            recipe = self._recipe.adding(self._request.removal(relative(share, self._points[-1].share)))
            if self._weights(recipe) < before:
                return share, recipe
            share += _STRIDE
        return self._points[-1].share, self._recipe

    def _add(self, point: ChannelPoint) -> None:
        self._points.append(point)
        self._job.piece(ChannelNews(point=point))

    def _weights(self, recipe: Recipe) -> int:
        graph = read_model(replace(self._request.model, recipe=recipe.to_json()))
        return sum(layer.parameters for layer in find_layers(graph))

    def _sizes(self, recipe: Recipe) -> tuple[int, int]:
        graph = read_model(replace(self._request.model, recipe=recipe.to_json()))
        return sum(layer.parameters for layer in find_layers(graph)), pbio.byte_size(graph)

    def _time(self, recipe: Recipe) -> tuple[float, float]:
        """How many times as fast as the original, and milliseconds."""
        ref = replace(self._request.model, recipe=recipe.to_json())
        asked = Latency(
            model=ref, against=self._request.model, batch=self._request.batch, threads=self._request.threads,
            runs=_RUNS, nodes=0,
        )  # fmt: skip
        found = latency(asked, self._inner())
        return found.speedup or 1.0, found.model.median_ms

    def _inner(self) -> Job:
        """The job as a part of it sees it: its pieces are told as this job's."""
        return _Inner(self._job, lambda part: self._job.piece(ChannelNews(news=part)))


class _Inner(Job):
    """Shares its wishes (cancelled, paused, finishing) with the job that it is a part of."""

    def __init__(self, job: Job, tell: Callable[[News], None]) -> None:
        def send(_number: int, event: Event) -> None:
            if not isinstance(event, Piece):
                job._send(job.number, event)
            elif isinstance(event.part, News) and event.part.point is None:
                tell(event.part)

        super().__init__(job.number, send)
        self.cancelled, self.finishing, self._going = job.cancelled, job.finishing, job._going

"""Channels taken out and retrained until the network is as fast as wanted: what the engine is asked and tells."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from compressor_gui.core.caution import Cautious, Ran
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError, check_bounds
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes import Pass
from compressor_gui.core.passes.remove_channels import RemoveChannels
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.training import Augmenting, Goal, News, Optimizing, PruneRetrain

MOST_STEPS = 8
"""The most steps towards a speed."""
GREATEST_SHARE = 0.9
"""Of the channels, the largest share that goes."""


@dataclass(frozen=True)
class ChannelPoint:
    """Where a step has led: ``share`` of the channels is gone, ``recipe`` (JSON) makes the network of the file.

    ``value`` is top-1 on the test data (a fraction; ``sqnr_db`` without labels); ``speedup`` and ``milliseconds`` are
    measured beside the original, in turns. The first point is the model as it came.
    """

    step: int
    share: float
    recipe: str
    weights: int
    bytes: int
    value: float
    speedup: float
    milliseconds: float
    epochs: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class ChannelNews:
    """What happened: :class:`.training.News` of the retraining under way, or a point."""

    news: News | None = None
    point: ChannelPoint | None = None


@dataclass(frozen=True)
class ChannelsPruned(Ran):
    """All points; ``chosen`` is the index of the first that is as fast as wanted, or of the fastest; ``lacks`` what
    that lacks, a sentence (empty: nothing). ``stopped``: why it ended earlier (empty: it did not)."""

    metric: str
    points: tuple[ChannelPoint, ...]
    chosen: int
    lacks: str = ""
    stopped: str = ""
    notes: tuple[str, ...] = ()
    train_n: int = 0
    test_n: int = 0
    seconds: float = 0.0

    @property
    def point(self) -> ChannelPoint:
        """The chosen one."""
        return self.points[self.chosen]


LARGE_BATCHES = Optimizing(batch=128)
"""How it is retrained unless something else is said."""


@dataclass(frozen=True, kw_only=True)
class PruneChannels(Cautious[ChannelsPruned]):
    """Remove channels (:class:`.passes.remove_channels.RemoveChannels`), retrain, measure the time, until ``speedup``
    is reached; or ``share`` of them, in ``steps`` steps. :class:`ChannelNews` come as pieces.

    ``epochs`` of retraining follow each step, ``last_epochs`` (0: as many) the last. Batch norms are folded first:
    their scale belongs to a channel's norm, and their statistics would be wrong for fewer channels. ``batch`` and
    ``threads`` are those of the timing.
    """

    name: ClassVar[str] = "prune_channels"
    answer: ClassVar[type] = ChannelsPruned
    piece: ClassVar[type | None] = ChannelNews

    model: ModelRef
    data: DataSpec
    test: DataSpec | None = None
    speedup: float | None = None
    share: float | None = None
    steps: int = 3
    epochs: int = 2
    last_epochs: int = 0
    criterion: str = "l2"
    scope: str = "layer"
    multiple: int = 1
    skip: tuple[str, ...] = ()
    optimizing: Optimizing = LARGE_BATCHES
    augmenting: Augmenting = field(default_factory=Augmenting)
    seed: int = 0
    loss: str = "auto"
    output: str = ""
    batch: int = 1
    threads: int = 0

    def check(self) -> None:
        """Raise CompressorError where a field has a value that no run can have."""
        if (self.speedup is None) == (self.share is None):
            words = "there is no target" if self.speedup is None else "there are two targets, speedup and share"
            raise CompressorError(words, hint="give one of speedup, share")
        numbers = (
            ("speedup", self.speedup or 1.5, 1.01, 100),
            ("share", self.share or 0.5, 0.001, GREATEST_SHARE),
            ("steps", self.steps, 1, 100),
            ("epochs", self.epochs, 1, 10_000),
            ("last_epochs", self.last_epochs, 0, 10_000),
            ("batch", self.batch, 1, 1 << 16),
        )
        check_bounds(numbers)
        self.retraining("", last=True).check()

    def removal(self, share: float) -> Pass:
        """The step that takes a share of the channels that are left."""
        return RemoveChannels(
            share=share, criterion=self.criterion, scope=self.scope, multiple=self.multiple, skip=self.skip
        )

    def retraining(self, recipe: str, *, last: bool) -> PruneRetrain:
        """The training of the network that ``recipe`` makes, without any pruning of weights."""
        epochs = self.last_epochs if last and self.last_epochs else self.epochs
        return PruneRetrain(
            model=dataclasses.replace(self.model, recipe=recipe), data=self.data, test=self.test, goal=Goal(ratio=1.0),
            steps=1, epochs=epochs, optimizing=self.optimizing, augmenting=self.augmenting, seed=self.seed,
            loss=self.loss, output=self.output,
        )  # fmt: skip


def next_share(request: PruneChannels, points: Sequence[ChannelPoint]) -> float | None:
    """The share of the original's channels that shall be gone after the next step; None: the run is done.

    Towards a speed, the first step takes what would make as many multiplications fewer (they go with the square of the
    channels), in ``steps`` parts; later ones go where a line through the last two points reaches it.
    """
    done, last = len(points) - 1, points[-1]
    if request.share is not None:
        return request.share * (done + 1) / request.steps if done < request.steps else None
    assert request.speedup is not None
    if last.speedup >= request.speedup or done >= max(MOST_STEPS, request.steps):
        return None
    expected = 1 - math.sqrt(1 / request.speedup)
    share = expected * (done + 1) / request.steps
    if done >= request.steps:
        before = points[-2]
        slope = (last.speedup - before.speedup) / max(last.share - before.share, 1e-6)
        missing = (request.speedup - last.speedup) / slope if slope > 0 else 0.1
        share = last.share + min(max(missing * 1.05, 0.03), 0.15)
    return None if last.share >= GREATEST_SHARE else min(share, GREATEST_SHARE)


def relative(share: float, before: float) -> float:
    """Of the channels that are left, the share that has to go, so that ``share`` of all are gone."""
    return 1 - (1 - share) / (1 - before)


def is_last(request: PruneChannels, points: Sequence[ChannelPoint]) -> bool:
    """Whether the next step is the last that is planned."""
    return len(points) >= request.steps


def chosen_point(request: PruneChannels, points: Sequence[ChannelPoint]) -> tuple[int, str]:
    """The index of the point to give back, and what it lacks."""
    if request.share is not None:
        at = len(points) - 1
        missing = points[at].share < request.share - 1e-6
        words = f"{100 * points[at].share:.3g} % of the channels are gone, and {100 * request.share:.3g} % were wanted"
        return at, words if missing else ""
    assert request.speedup is not None
    reached = next((at for at, point in enumerate(points) if point.speedup >= request.speedup), None)
    if reached is not None:
        return reached, ""
    at = max(range(len(points)), key=lambda index: points[index].speedup)
    return at, f"the fastest point is {points[at].speedup:.3g} times as fast, and {request.speedup:g} was wanted"


def opened(point: ChannelPoint) -> Recipe:
    """A point's recipe."""
    return Recipe.from_json(point.recipe) if point.recipe else Recipe()

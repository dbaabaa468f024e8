"""From step to step of pruning: how far the next one goes, which point it starts from, and which one is given back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compressor_gui.core.training import Goal, Point
from compressor_gui.core.units import percent, size

FACTOR = 5.0
"""What a step divides the number of weights by, at most, where the number of steps is not given."""
_FIRST, _GROWTH = 3.0, 1.5
"""What the first step, and each one after it, divides the number of weights by while the end is not known."""
_PROBES = 12
"""The most steps towards an accuracy that is to be kept."""


@dataclass(frozen=True)
class Next:
    """The next step: keep this share of the weights, starting from the point of this index."""

    density: float
    start: int


class Plan:
    """Steps towards a goal. Its answers depend on the points alone, so that a run that was broken off goes on alike.

    ``end`` gives the density at which the goal is met, as the weights are now (a size in bytes depends on which layers
    they are in); it is not asked where the goal is an accuracy.
    """

    def __init__(self, goal: Goal, schedule: str, steps: int, end: Callable[[], float]) -> None:
        self.goal = goal
        self._iterative = schedule == "iterative"
        self._steps = steps
        self._end = end

    def next(self, points: Sequence[Point]) -> Next | None:
        """What to do behind these points, of which the first is the model as it came; None: the run is done."""
        if self.goal.max_drop is not None:
            return self._probe(points)
        start, done = 1 - points[0].sparsity, len(points) - 1
        end = min(start, self._end())
        total = self.total(start, end)
        if done >= total:
            return None
        if done == total - 1:
            return Next(end, done)
        return Next(start * (end / start) ** ((done + 1) / total), done)

    def total(self, start: float, end: float) -> int:
        """How many steps lead from one density to another; where nothing is to be pruned, those that are asked for
        only train."""
        if end >= start:
            return self._steps
        if not self._iterative:
            return self._steps or 1
        return self._steps or max(1, math.ceil(math.log(start / end) / math.log(FACTOR) - 1e-9))

    def expected(self, points: Sequence[Point]) -> int:
        """How many steps there will be, as far as it is known."""
        if self.goal.max_drop is not None:
            return max(len(points), self._steps or _PROBES)
        return self.total(1 - points[0].sparsity, self._end())

    def _probe(self, points: Sequence[Point]) -> Next | None:
        """Ever further until the accuracy is lost; then once between the last that kept it and that one."""
        lost = [at for at, point in enumerate(points) if not point.meets]
        if len(points) > (self._steps or _PROBES) or (lost and lost[0] < len(points) - 1):
            return None
        good = len(points) - 1 if not lost else lost[0] - 1
        density = 1 - points[good].sparsity
        if lost:
            return Next(math.sqrt(density * (1 - points[lost[0]].sparsity)), good)
        return Next(density / (_FIRST if good == 0 else _GROWTH), good)


def meets(goal: Goal, point: Point, baseline: float) -> bool:
    """Whether a point is where the goal wants it."""
    if goal.ratio is not None:
        return point.nonzero <= math.floor(point.weights / goal.ratio + 1e-9)
    if goal.sparsity is not None:
        return point.nonzero <= math.floor(point.weights * (1 - goal.sparsity) + 1e-9)
    if goal.bytes is not None:
        return point.bytes <= goal.bytes
    assert goal.max_drop is not None
    return baseline - point.value <= goal.max_drop + 1e-12


def wanted_density(goal: Goal, weights: int, fits: Callable[[int], bool]) -> float:
    """The share of ``weights`` that may be left. ``fits(count)``: whether a file with so many left is as small as the
    goal wants it; asked about 25 times, only where the goal is a size."""
    if goal.ratio is not None:
        return math.floor(weights / goal.ratio + 1e-9) / weights
    if goal.sparsity is not None:
        return math.floor(weights * (1 - goal.sparsity) + 1e-9) / weights
    low, high = 0, weights + 1  # low fits, as far as anything does; high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low / weights


def best_point(goal: Goal, points: Sequence[Point], *, lower: bool = False) -> int:
    """The index of the point to give back: of those that meet the goal the one with the best value (``lower``: the
    least), or for ``max_drop`` the one with the fewest weights; where none does, the one with the fewest weights."""
    meeting = [at for at, point in enumerate(points) if point.meets]
    if goal.max_drop is None and meeting:
        return max(meeting, key=lambda at: (-points[at].value if lower else points[at].value, at))
    return min(meeting or range(len(points)), key=lambda at: (points[at].nonzero, -at))


def lacking(goal: Goal, points: Sequence[Point], chosen: int) -> str:
    """What the chosen point lacks, a sentence; empty where it meets the goal."""
    point = points[chosen]
    if goal.max_drop is not None:
        if point.meets and chosen:
            return ""
        tried = points[1:]
        if not tried:
            return "nothing was pruned"
        least = max(tried, key=lambda p: p.value)
        lost = percent(points[0].value - least.value)
        return f"every point lost more than {percent(goal.max_drop)}: the best, {least.ratio:.3g}x, lost {lost}"
    if point.meets:
        return ""
    if goal.bytes is not None:
        return f"the smallest file has {size(point.bytes)}, and {size(goal.bytes)} were wanted"
    wanted = f"{goal.ratio:g}x" if goal.ratio is not None else f"{percent(goal.sparsity or 0)} zeros"
    return f"the sparsest point has {point.ratio:.3g}x ({percent(point.sparsity)} zeros), and {wanted} were wanted"

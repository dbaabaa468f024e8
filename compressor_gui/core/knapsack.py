"""The multiple-choice knapsack: of each layer one choice, so that the gain costs the least loss.

Each layer's choices are reduced to those on the lower convex hull of loss against gain, whose slopes rise; the cheapest
steps of all layers, taken in order, are the greedy solution (Sinha and Zoltners, "The Multiple-Choice Knapsack
Problem", Operations Research 1979): the best one for every gain that it reaches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Choice:
    """A layer changed as ``at`` says (a sparsity, a number of bits): what it gains for the target, and its loss."""

    at: float
    gain: float
    loss: float


@dataclass(frozen=True)
class Step:
    """From one choice of a layer to the next."""

    layer: str
    start: Choice
    end: Choice

    @property
    def slope(self) -> float:
        """Loss for each unit of gain."""
        return (self.end.loss - self.start.loss) / (self.end.gain - self.start.gain)


def cheapest_steps(choices: Mapping[str, Iterable[Choice]]) -> list[Step]:
    """The steps along the hulls of all layers, the cheapest first. A layer's choices come in order of gain."""
    steps = [step for name, its in choices.items() for step in _hull(name, its)]
    return sorted(steps, key=lambda step: step.slope)  # stable, and within a layer slopes rise


def _hull(name: str, choices: Iterable[Choice]) -> Iterator[Step]:
    hull: list[Choice] = []
    for choice in choices:
        if hull and choice.gain <= hull[-1].gain:
            continue
        while len(hull) > 1 and Step(name, hull[-2], hull[-1]).slope >= Step(name, hull[-2], choice).slope:
            hull.pop()
        hull.append(choice)
    return (Step(name, start, end) for start, end in pairwise(hull))

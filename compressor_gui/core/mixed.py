"""The cheapest number of bits for each layer: the curve of cost against quality, and where on it to measure.

The noise that layers make at an output adds up, as long as it is small and independent; so the cheapest steps of all
layers, in order (:mod:`.knapsack`), are a path of assignments from all in float to all in the fewest bits, each the
cheapest for the noise that it is estimated to make: the Pareto curve. Estimates are not trusted: the path is measured
where the target seems to be met, corrected, and measured again (:func:`next_point`); and where the next step is too
much, its layer rests and the others go on (:meth:`Path.leaving_out`), as steps can be large.

The Pareto curve from sensitivities that add up is that of HAWQ-V2 (Dong et al., 2020), with measured sensitivities in
the place of traces of the Hessian.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.knapsack import Choice, cheapest_steps

DETOURS = 4
"""How often a layer's step that is too much is left out."""

GUESSES = 4
"""Points that are measured where estimates say that the target is met; then intervals are halved."""

CLOSE = 0.005
"""Two points whose costs differ by this share are not told apart."""

_HARMLESS_DB = 20.0
"""Noise that is taken to leave the top class as it is, until the first point has been measured."""


@dataclass(frozen=True)
class Option:
    """A layer in ``bits``: its cost (bytes, or multiply-adds in float), and the noise that it makes alone, as a share
    of the power of the output that suffers most."""

    bits: int
    cost: int
    noise: float


@dataclass(frozen=True)
class Path:
    """Assignments from the best to the cheapest: ``start`` is the bits of each layer in the first, and step ``i`` gives
    layer ``steps[i][0]`` the bits ``steps[i][1]``. ``costs`` and ``noises`` have one value for each assignment, one
    more than there are steps; costs fall and noises rise along the path."""

    start: dict[str, int]
    steps: tuple[tuple[str, int], ...]
    costs: tuple[int, ...]
    noises: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.costs)

    def bits(self, at: int) -> dict[str, int]:
        """The assignment ``at`` steps from the start."""
        return {**self.start, **dict(self.steps[:at])}

    def leaving_out(self, step: int) -> Path:
        """The path without a step and all later ones of its layer: the others may go on where that one fails."""
        layer = self.steps[step][0]
        kept = [at for at, (name, _) in enumerate(self.steps) if at < step or name != layer]
        costs, noises = [self.costs[0]], [self.noises[0]]
        for at in kept:
            costs.append(costs[-1] + self.costs[at + 1] - self.costs[at])
            noises.append(noises[-1] + self.noises[at + 1] - self.noises[at])
        return Path(self.start, tuple(self.steps[at] for at in kept), tuple(costs), tuple(noises))


def pareto(options: Mapping[str, Sequence[Option]], fixed: int = 0) -> Path:
    """The path through the options of each layer; ``fixed`` is what all assignments cost besides.

    It starts with each layer's least noise (of equal ones the one that is cheapest), so that steps without any loss are
    behind it already.
    """
    start = {name: min(its, key=lambda option: (option.noise, option.cost)) for name, its in options.items()}
    choices = {name: _choices(start[name], its) for name, its in options.items()}
    steps = cheapest_steps(choices)
    costs = [fixed + sum(option.cost for option in start.values())]
    noises = [math.fsum(option.noise for option in start.values())]
    for step in steps:
        costs.append(costs[-1] - round(step.end.gain - step.start.gain))
        noises.append(noises[-1] + step.end.loss - step.start.loss)
    return Path(
        {name: option.bits for name, option in start.items()},
        tuple((step.layer, int(step.end.at)) for step in steps),
        tuple(costs),
        tuple(noises),
    )


def _choices(start: Option, options: Sequence[Option]) -> list[Choice]:
    """A layer's options that cost less than ``start``, in order of gain; noise never falls."""
    found = [Choice(start.bits, 0.0, start.noise)]
    for option in sorted(options, key=lambda option: (-option.cost, option.noise)):
        if option.cost < start.cost:
            found.append(Choice(option.bits, float(start.cost - option.cost), max(found[-1].loss, option.noise)))
    return found


def decibel(noise: float) -> float:
    """The SQNR of noise given as a share of the signal's power, in dB, between -EXACT_DB and EXACT_DB."""
    return EXACT_DB if noise <= 0 else max(-EXACT_DB, min(EXACT_DB, -10 * math.log10(noise)))


def share(sqnr_db: float) -> float:
    """The opposite of :func:`decibel`."""
    return 0.0 if sqnr_db >= EXACT_DB else float(10 ** (-sqnr_db / 10))


def estimates(path: Path, measured: Mapping[int, float], baseline: float | None) -> tuple[float, ...]:
    """The metric of every point: in dB (``baseline`` None), or top-1, of which ``baseline`` is the untouched model's.

    In dB, what the measured points differ from the sums is added, interpolated between them. Top-1 is interpolated
    between measured points along the sums in dB.
    """
    sums = np.array([decibel(noise) for noise in path.noises])
    places = sorted(measured)
    if baseline is None:
        near = [at for at in places if abs(measured[at]) < EXACT_DB and abs(sums[at]) < EXACT_DB]
        offsets = [measured[at] - sums[at] for at in near]
        corrected = sums + np.interp(np.arange(len(sums)), near, offsets) if near else sums
        found = np.where(sums >= EXACT_DB, EXACT_DB, corrected)
    elif places:
        known = sorted({sums[at]: measured[at] for at in places}.items())
        found = np.interp(sums, [*(db for db, _ in known), EXACT_DB + 1], [*(value for _, value in known), baseline])
    else:
        found = np.where(sums >= _HARMLESS_DB, baseline, 0.0)
    for at, value in measured.items():
        found[at] = value
    return tuple(float(value) for value in found)


def next_point(path: Path, measured: Mapping[int, float], target: float, baseline: float | None = None) -> int | None:
    """Where to measure next, so that the cheapest point that meets ``target`` is found; None when it is.

    Between the cheapest point that was measured to meet it and the next one that was not, the one where the estimates
    say that it is just met; after a few, the middle.
    """
    good = max((at for at, value in measured.items() if value >= target), default=-1)
    bad = min((at for at in measured if at > good), default=len(path))
    if bad - good <= 1 or (good >= 0 and path.costs[good] - path.costs[bad - 1] <= CLOSE * path.costs[good]):
        return None
    if len(measured) >= GUESSES:
        return (good + bad) // 2
    expected = estimates(path, measured, baseline)
    likely = max((at for at in range(good + 1, bad) if expected[at] >= target), default=good + 1)
    return likely


def detour(path: Path, measured: Mapping[int, float], target: float) -> Path | None:
    """The path without the step that is too much, where what follows it may still save something; else None."""
    at, met = chosen(measured, target)
    if not met or at == len(path.steps):
        return None
    other = path.leaving_out(at)
    return other if other.costs[at] - other.costs[-1] > CLOSE * path.costs[at] else None


def chosen(measured: Mapping[int, float], target: float) -> tuple[int, bool]:
    """The cheapest measured point that meets ``target``, or the best one where none does, and whether it is met."""
    meeting = [at for at, value in measured.items() if value >= target]
    if meeting:
        return max(meeting), True
    return max(measured, key=lambda at: (measured[at], -at)), False

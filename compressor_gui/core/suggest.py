"""Which layer to prune how far, so that a target is met at the least loss that the sensitivity curves foresee.

The loss of several layers together is taken to be the sum of their own: exact for small, independent errors, and an
estimate else, to be measured afterwards. What adds up is the drop of top-1, or the noise power behind the SQNR in dB.

The cheapest steps of all layers are taken in order (:mod:`.knapsack`). Only measured sparsities are proposed, but of
the last step towards a gain only as much is taken as is lacking, its loss interpolated between the measured points
around it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from compressor_gui.core import units
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.knapsack import Choice, Step, cheapest_steps
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.measure import LayerCurve, SensitivityResult
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.sizes import sparse_size


@dataclass(frozen=True)
class Target:
    """What to meet, one of: the share of zeros among all layers' weights (0..1), the file's bytes with sparse weights
    stored as CSR, the largest drop of top-1 (a fraction), or the least SQNR in dB."""

    sparsity: float | None = None
    bytes: int | None = None
    max_drop: float | None = None
    min_sqnr_db: float | None = None

    def __post_init__(self) -> None:
        if sum(x is not None for x in (self.sparsity, self.bytes, self.max_drop, self.min_sqnr_db)) != 1:
            raise CompressorError(
                "a target is one of a sparsity, a file size, a drop and an SQNR", hint="give exactly one"
            )


@dataclass(frozen=True)
class Suggestion:
    """``layers`` to prune and how far, the ``predicted`` metric, and the ``sparsity`` of all weights and ``bytes`` of
    the file as CSR that come of it."""

    layers: Mapping[str, float]
    metric: str
    baseline: float
    predicted: float
    sparsity: float
    bytes: int

    @property
    def step(self) -> Prune:
        """The pass that does it, as one step of a recipe."""
        return Prune(sparsity=None if self.layers else 0.0, layers=tuple(self.layers.items()))


def suggest(graph: ModelGraph, curves: SensitivityResult, target: Target, file_bytes: int) -> Suggestion:
    """Sparsities that meet ``target``; ``file_bytes`` is the size of the graph's file.

    With a bound on the loss, as many weights as it allows become zero. Raises CompressorError where the curves are of
    another graph, the target does not fit their metric, or can't be met: then it says what is lacking.
    """
    planner = _Planner(graph, curves, target, file_bytes)
    chosen = planner.within_loss() if planner.limit is not None else planner.to_gain()
    return planner.suggestion(chosen)


class _Planner:
    def __init__(self, graph: ModelGraph, curves: SensitivityResult, target: Target, file_bytes: int) -> None:
        self.layers = find_layers(graph)
        self.curves, self.target, self.file_bytes = curves, target, file_bytes
        self.total = sum(layer.parameters for layer in self.layers)
        self.limit = _limit(curves, target)
        known = {layer.name: layer for layer in self.layers}
        missing = [curve.name for curve in curves.layers if curve.name not in known]
        if missing:
            words = f"the curves have a layer {missing[0]!r}, which the graph lacks"
            raise CompressorError(words, hint="measure this model's own curves")
        self.known = known
        self.choices = {curve.name: self._choices(known[curve.name], curve) for curve in curves.layers}

    def to_gain(self) -> dict[str, Choice]:
        """The cheapest steps until the target's gain is reached."""
        wanted, chosen = self._wanted_gain(), dict[str, Choice]()
        have = 0.0
        for step in cheapest_steps(self.choices):
            if have >= wanted:
                break
            lacking = wanted - have + step.start.gain
            chosen[step.layer] = self._between(step, lacking) if lacking < step.end.gain else step.end
            have += chosen[step.layer].gain - step.start.gain
        if have < wanted:
            raise CompressorError(self._lack(chosen), hint="sweep more layers, or to higher sparsities")
        return chosen

    def within_loss(self) -> dict[str, Choice]:
        """The cheapest steps that together stay within the loss allowed."""
        assert self.limit is not None
        chosen: dict[str, Choice] = {}
        stopped: set[str] = set()
        loss = 0.0
        for step in cheapest_steps(self.choices):
            more = step.end.loss - step.start.loss
            if step.layer in stopped or loss + more > self.limit * (1 + 1e-9) + 1e-12:
                stopped.add(step.layer)
                continue
            chosen[step.layer] = step.end
            loss += more
        if not chosen:
            raise CompressorError(
                f"even the least step of any layer loses more: {self._least_step()}", hint="allow a larger loss"
            )
        return chosen

    def suggestion(self, chosen: Mapping[str, Choice]) -> Suggestion:
        """The sum of what was chosen, layers in the graph's order."""
        at = {layer.name: chosen[layer.name].at for layer in self.layers if layer.name in chosen}
        loss = sum(choice.loss for choice in chosen.values())
        return Suggestion(
            at,
            self.curves.metric,
            self.curves.baseline,
            _value(self.curves, loss),
            self._sparsity(at),
            sparse_size(self.file_bytes, self._nonzero(at)),
        )

    def _choices(self, layer: Layer, curve: LayerCurve) -> list[Choice]:
        """The layer as it is, then its measured points; a loss never falls as the sparsity rises."""
        found = [Choice(layer.sparsity, 0.0, 0.0)]
        for sparsity, value in sorted(zip(curve.sparsity, curve.value, strict=True)):
            if sparsity > layer.sparsity:
                loss = max(found[-1].loss, _loss(self.curves, value))
                found.append(Choice(sparsity, self._gain(layer, sparsity), loss))
        return found

    def _gain(self, layer: Layer, sparsity: float) -> float:
        """Bytes saved where bytes are the target, else weights that become zero."""
        after = _nonzero(layer, sparsity)
        if self.target.bytes is None:
            return float(layer.nonzero - after)
        return float(sparse_size(0, [(layer, layer.nonzero)]) - sparse_size(0, [(layer, after)]))

    def _between(self, step: Step, gain: float) -> Choice:
        """The least of a step, in hundredths of a percent, that has this gain."""
        layer, choices = self.known[step.layer], self.choices[step.layer]
        places = range(math.ceil(step.start.at * 10_000), math.floor(step.end.at * 10_000) + 1)
        at = bisect_left(places, gain, key=lambda place: self._gain(layer, place / 10_000))
        if at == len(places):
            return step.end
        sparsity = places[at] / 10_000
        sparsities, losses = [choice.at for choice in choices], [choice.loss for choice in choices]
        return Choice(sparsity, self._gain(layer, sparsity), float(np.interp(sparsity, sparsities, losses)))

    def _wanted_gain(self) -> float:
        if self.target.bytes is not None:
            return sparse_size(self.file_bytes, self._nonzero({})) - self.target.bytes
        assert self.target.sparsity is not None
        nonzero = sum(layer.nonzero for layer in self.layers)
        return nonzero - (self.total - math.ceil(self.target.sparsity * self.total - 1e-9))

    def _nonzero(self, at: Mapping[str, float]) -> Iterator[tuple[Layer, int]]:
        return ((layer, _nonzero(layer, at.get(layer.name, 0.0))) for layer in self.layers)

    def _sparsity(self, at: Mapping[str, float]) -> float:
        return 1 - sum(nonzero for _, nonzero in self._nonzero(at)) / self.total if self.total else 0.0

    def _lack(self, chosen: Mapping[str, Choice]) -> str:
        at = {name: choice.at for name, choice in chosen.items()}
        if self.target.bytes is not None:
            size = sparse_size(self.file_bytes, self._nonzero(at))
            over = units.size(size - self.target.bytes)
            return f"at the sparsest measured points the file still has {units.size(size)}, {over} too many"
        assert self.target.sparsity is not None
        reached = self._sparsity(at)
        return (
            f"at the sparsest measured points {units.percent(reached)} of all weights are zero, "
            f"{units.percent(self.target.sparsity - reached)} too few"
        )

    def _least_step(self) -> str:
        steps = cheapest_steps(self.choices)
        if not steps:
            return "no layer has a measured point that makes it sparser"
        step = min(steps, key=lambda s: s.end.loss)
        value = _value(self.curves, step.end.loss)
        shown = units.percent(value) if self.curves.metric == "top1" else units.decibel(value)
        return f"{step.layer} at {units.percent(step.end.at)} leaves {shown}"


def _nonzero(layer: Layer, sparsity: float) -> int:
    return min(layer.nonzero, layer.parameters - math.floor(sparsity * layer.parameters))


def _limit(curves: SensitivityResult, target: Target) -> float | None:
    """The loss that is allowed; None where the target is no loss."""
    if target.max_drop is not None:
        if curves.metric != "top1":
            raise CompressorError("the curves are SQNR in dB, which has no drop", hint="give the least SQNR instead")
        return target.max_drop
    if target.min_sqnr_db is not None:
        if curves.metric != "sqnr_db":
            raise CompressorError("the curves are top-1 accuracy, not SQNR", hint="give the largest drop instead")
        return 10 ** (-target.min_sqnr_db / 10)
    return None


def _loss(curves: SensitivityResult, value: float) -> float:
    """What adds up over layers: the drop of top-1, or noise power over signal power."""
    if curves.metric == "top1":
        return max(0.0, curves.baseline - value)
    return 0.0 if value >= EXACT_DB else 10 ** (-value / 10)


def _value(curves: SensitivityResult, loss: float) -> float:
    if curves.metric == "top1":
        return max(0.0, curves.baseline - loss)
    return EXACT_DB if loss == 0 else max(-EXACT_DB, min(EXACT_DB, -10 * math.log10(loss)))

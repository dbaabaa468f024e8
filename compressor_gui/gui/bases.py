"""Which weights the sliders move, and which layers have no slider: worked out from a replay.

A prune step acts on the weights that it finds. Where a later step puts others in their place (retraining, rounding on
data), it does nothing: such a layer's slider belongs behind that step, and moves the weights that the step put there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.stored_weights import Weights
from compressor_gui.core.recipe import Replay, Stage
from compressor_gui.core.stats import magnitudes


@dataclass(frozen=True, eq=False)
class Base:
    """A layer as the last step that replaced its weights left it."""

    layer: Layer
    step: Weights


@dataclass(frozen=True, eq=False)
class Bases:
    """What the sliders of a recipe move; all three map names of source layers.

    ``late``: layers that the prune step finds in 8 bits already -> the sentence that says so; ``parted``: layers that
    were taken apart before their weights were replaced -> the sentence.
    """

    layers: Mapping[str, Base]
    late: Mapping[str, str]
    parted: Mapping[str, str]


def find_bases(replay: Replay) -> Bases:
    """Follow the weights of all layers through a replay. Their magnitudes are counted here, not in the window."""
    layers: dict[str, Base] = {}
    starts: dict[str, int] = {}
    parted: dict[str, str] = {}
    for at, stage in enumerate(replay.stages):
        if not isinstance(stage.transform, Weights):
            continue
        for name, parts in _replaced(replay, at).items():
            starts[name] = at + 1
            layers.pop(name, None)
            parted.pop(name, None)
            if len(parts) > 1:
                parted[name] = (
                    f"It can't be pruned here: it was taken apart, and the weights of its {len(parts)} parts are those "
                    f"of step {stage.index + 1}, {stage.transform.name}"
                )
            elif parts[0].tensor.dtype.is_floating:
                layers[name] = Base(parts[0], stage.transform)
                magnitudes(parts[0].tensor)
    return Bases(layers, _late(replay, starts), parted)


def _replaced(replay: Replay, at: int) -> dict[str, list[Layer]]:
    """Source layers whose weights the ``at``-th stage replaced -> what they were then."""
    stage, found = replay.stages[at], dict[str, list[Layer]]()
    by_weight = {layer.weight: layer.name for layer in find_layers(replay.source)}
    for layer in find_layers(stage.after):
        if stage.before.get(layer.weight) is not stage.after.get(layer.weight):
            for name in _origins({layer.weight}, replay.stages[:at]) & by_weight.keys():
                found.setdefault(by_weight[name], []).append(layer)
    return found


def _late(replay: Replay, starts: Mapping[str, int]) -> dict[str, str]:
    """The layers that stand in 8 bits where the first prune step behind their start comes, which leaves them alone."""
    late = {}
    by_weight = {layer.weight: layer for layer in find_layers(replay.source)}
    prunes = [at for at, stage in enumerate(replay.stages) if isinstance(stage.transform, Prune)]
    for place in prunes:
        earlier, prune = replay.stages[:place], replay.stages[place]
        for stored in (layer for layer in find_layers(prune.before) if layer.dequantizer) if earlier else ():
            for source in (by_weight[name] for name in _origins({stored.weight}, earlier) & by_weight.keys()):
                start = starts.get(source.name, 0)
                if source.dequantizer is None and place == next(at for at in prunes if at >= start):
                    by = _stored_by(stored.weight, earlier)
                    late[source.name] = (
                        f"It can't be pruned there: step {by.index + 1}, {by.transform.name}, stores it in 8 bits "
                        f"before step {prune.index + 1}, prune. Move prune before it"
                    )
    return late


def _stored_by(weight: str, stages: Sequence[Stage]) -> Stage:
    """The stage that found a weight in floats and left it in 8 bits."""
    names = {weight}
    for stage in reversed(stages):
        names = _origins(names, (stage,))
        if any(_is_float(stage.before, name) for name in names):
            return stage
    return stages[0]


def _origins(names: set[str], stages: Sequence[Stage]) -> set[str]:
    """The nodes before all stages that nodes behind them came from."""
    for stage in reversed(stages):
        names = {origin for name in names for origin in stage.result.origins.get(name, (name,))}
    return names


def _is_float(graph: ModelGraph, name: str) -> bool:
    node = graph.get(name)
    return node is not None and node.tensor is not None and node.tensor.dtype.is_floating

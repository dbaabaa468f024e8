"""What became of a layer: the layers of the result whose weights came from its weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.memo import by_identity
from compressor_gui.gui.state import Made


@by_identity
def matched_layers(made: Made) -> Mapping[str, tuple[Layer, ...]]:
    """Source layer's name -> the result's layer whose weight came from its weight, or all whose weights came from
    nothing else."""
    entries = made.diff.by_name
    by_weight: dict[str, tuple[Layer, ...]] = {}
    for layer in made.layers:
        entry = entries.get(layer.weight)
        origins = entry.origins if entry else ()
        for origin in dict.fromkeys((layer.weight, *origins)):
            found = by_weight.get(origin, ())
            if not found or origins == (origin,):
                by_weight[origin] = (*found, layer)
    source = find_layers(made.replay.source)
    return {layer.name: by_weight[layer.weight] for layer in source if layer.weight in by_weight}


def zeros_in(parts: Sequence[Layer]) -> float:
    """The share of zeros in several layers together."""
    return 1 - sum(part.nonzero for part in parts) / max(sum(part.parameters for part in parts), 1)

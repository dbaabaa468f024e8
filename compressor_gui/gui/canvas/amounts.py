"""Amounts of the boxes, for their colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compressor_gui.core.measure import LatencyResult
from compressor_gui.gui.canvas.picture import Picture
from compressor_gui.gui.document import Document
from compressor_gui.gui.measure.measured import Of


def times(picture: Picture, found: Of[LatencyResult] | None, *, of_source: bool) -> tuple[NDArray[np.float64], float]:
    """For each box the time of its operations, as a part of the slowest box's (NaN: not among the slowest that were
    measured), and that one's milliseconds; ``of_source``: in the original, not in what the recipe makes of it."""
    taken = np.full(len(picture.folded.boxes), np.nan)
    if found is None:
        return taken, 0.0
    timing = (found.value.against if of_source else None) or found.value.model
    for name, _op, spent in timing.nodes:
        box = picture.folded.owner.get(name, -1)
        if box >= 0:
            taken[box] = np.nansum((taken[box], spent))
    slowest = float(np.nanmax(taken, initial=0.0))
    return (taken / slowest if slowest else taken), slowest


def sparsities(picture: Picture, document: Document, *, of_source: bool) -> NDArray[np.float64]:
    """For each box the share of zeros in its layers' weights (NaN: none): as in the source, or as the sliders stand."""
    state = document.state
    assert state.source is not None
    zeros = np.zeros(len(picture.folded.boxes))
    total = np.zeros(len(picture.folded.boxes))
    layers = [
        (layer, layer.sparsity if of_source else document.wanted_sparsity(layer)) for layer in state.source.layers
    ]
    names = {layer.name for layer in state.source.layers}
    if state.made is not None and not of_source:
        layers += [(layer, layer.sparsity) for layer in state.made.layers if layer.name not in names]
    for layer, sparsity in layers:
        box = picture.folded.owner.get(layer.name, -1)
        if box >= 0:
            zeros[box] += sparsity * layer.parameters
            total[box] += layer.parameters
    return np.where(total > 0, zeros / np.maximum(total, 1), np.nan)

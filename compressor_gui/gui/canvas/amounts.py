"""Amounts of the boxes, for their colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compressor_gui.core.measure import Timing
from compressor_gui.gui.canvas.picture import Picture
from compressor_gui.gui.document import Document


def times(picture: Picture, timing: Timing | None) -> NDArray[np.float64]:
    """For each box the milliseconds of its operations (NaN: not among the slowest that were measured)."""
    taken = np.full(len(picture.folded.boxes), np.nan)
    for name, _op, spent in timing.nodes if timing else ():
        box = picture.folded.owner.get(name, -1)
        if box >= 0:
            taken[box] = np.nansum((taken[box], spent))
    return taken


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

"""Amounts of the boxes, for their colours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from compressor_gui.core.diff import Diff
from compressor_gui.core.measure import Timing
from compressor_gui.core.noise import LayerNoiseResult, NodeNoise
from compressor_gui.gui.canvas.picture import Picture
from compressor_gui.gui.canvas.walk import heirs
from compressor_gui.gui.document import Document


def bytes_of(picture: Picture) -> NDArray[np.float64]:
    """For each box the bytes of its constants (NaN: none)."""
    sizes = np.array([box.bytes for box in picture.folded.boxes], np.float64)
    return np.where(sizes > 0, sizes, np.nan)


def noises(picture: Picture, result: LayerNoiseResult, diff: Diff | None) -> Iterator[tuple[int, NodeNoise]]:
    """The boxes that show a layer, or what became of it, with the layer's noise; some more than once."""
    owner, became = picture.folded.owner, heirs(picture.graph, diff)
    for one in result.nodes:
        for name in one.nodes:
            for shown in (name, became.get(name, "")):
                if shown in owner:
                    yield owner[shown], one


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

"""Magnitude pruning: the smallest weights become zero (Han et al., "Learning both Weights and Connections for Efficient
Neural Networks", 2015)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.passes.base import Amounts, Names, Pass, PassResult, param, result
from compressor_gui.core.passes.wording import did_you_mean, some
from compressor_gui.core.stats import Magnitudes
from compressor_gui.core.values import DType, Tensor


class _Amount(NamedTuple):
    """What is asked of a layer: a share of zeros, or a magnitude below which weights become zero.

    ``together``: the share is of all such layers, not of each.
    """

    sparsity: float | None
    threshold: float | None
    together: bool = False


@dataclass(frozen=True)
class Prune(Pass):
    """Zero the weights of least magnitude; a weight constant keeps its shape and type.

    Exactly ``floor(sparsity * n)`` weights of a layer (with scope global: of all layers that have no amount of their
    own, together) are zero afterwards, or more where they were already; ties are broken by position. Weights that are
    not finite stay.
    """

    name: ClassVar[str] = "prune"
    title: ClassVar[str] = "Prune"
    summary: ClassVar[str] = "Set the weights of least magnitude to zero; biases are left alone."

    sparsity: float | None = param(
        None,
        "number",
        "Sparsity",
        "Share of a layer's weights that are zero afterwards.",
        minimum=0,
        maximum=1,
        start=0.5,
    )
    threshold: float | None = param(
        None, "number", "Threshold", "Weights w with |w| below it become zero; instead of a sparsity.", minimum=0
    )
    scope: str = param(
        "layer",
        "choice",
        "Scope",
        "layer: the sparsity of each layer; global: of all layers together, by one threshold.",
        choices=("layer", "global"),
    )
    layers: Amounts = param(
        (), "amounts", "Sparsity by layer", "A layer's own sparsity, instead of the one above.", minimum=0, maximum=1
    )
    thresholds: Amounts = param(
        (), "amounts", "Threshold by layer", "A layer's own threshold, instead of the one above.", minimum=0
    )
    skip: Names = param((), "names", "Skip", "Layers left as they are.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sparsity is not None and self.threshold is not None:
            raise PassError("both a sparsity and a threshold are given", where=self.name, hint="leave one of them out")
        twice = sorted(dict(self.layers).keys() & dict(self.thresholds).keys())
        if twice:
            words = f"{twice[0]!r} has both a sparsity and a threshold"
            raise PassError(words, where=self.name, hint="leave one of them out")

    def with_layer(self, layer: Layer, sparsity: float) -> Prune:
        """The same step, with another sparsity for a layer, whatever it was called before."""
        bare = self.without_layer(layer)
        skip = tuple(name for name in self.skip if name not in layer.names)
        return dataclasses.replace(bare, layers=(*bare.layers, (layer.name, sparsity)), skip=skip)

    def without_layer(self, layer: Layer) -> Prune:
        """The same step, without an amount of a layer's own."""
        layers = tuple(pair for pair in self.layers if pair[0] not in layer.names)
        thresholds = tuple(pair for pair in self.thresholds if pair[0] not in layer.names)
        return dataclasses.replace(self, layers=layers, thresholds=thresholds)

    @property
    def asks(self) -> bool:
        """Whether there is any amount in it."""
        return self.sparsity is not None or self.threshold is not None or bool(self._own)

    def wanted(self, layer: Layer, table: Magnitudes, together: Magnitudes | None = None) -> float:
        """The sparsity, 0..1, that this step gives a layer whose magnitudes are ``table``.

        ``together`` is the table of all layers that share a threshold when ``scope`` is global; without it, such a
        layer is taken to get the common sparsity.
        """
        amount = self._amount(layer)
        if amount is None:
            return table.sparsity_at(0)
        threshold = amount.threshold
        if amount.together and together is not None and amount.sparsity is not None:
            threshold = together.threshold_for(amount.sparsity)
        if threshold is not None:
            return table.sparsity_at(threshold)
        return max(amount.sparsity or 0.0, table.sparsity_at(0))

    def run(self, graph: ModelGraph) -> PassResult:
        """Prune. Raises PassError where nothing is asked, or a layer is named that does not exist."""
        layers = find_layers(graph)
        self._check_names(layers)
        if not self.asks:
            raise PassError("nothing to prune", where=self.name, hint="give a sparsity or a threshold")
        asked = [(layer, amount) for layer in layers if (amount := self._amount(layer)) is not None]
        notes = [] if asked else [f"Nothing was pruned: {'all layers are skipped' if layers else 'there is no layer'}."]
        quantized = [layer.name for layer, _ in asked if layer.tensor.dtype.is_quantized]
        if quantized:
            notes.append(f"Left alone, as stored in 8 bits already: {some(quantized)}; prune before quantize_weights.")
        other = [x.name for x, _ in asked if not (x.tensor.dtype.is_floating or x.tensor.dtype.is_quantized)]
        if other:
            notes.append(f"Left alone, as the weights are not floating point: {some(other)}.")
        asked = [(layer, amount) for layer, amount in asked if layer.tensor.dtype.is_floating]

        edit = Edit(graph)
        together = [(layer, amount) for layer, amount in asked if amount.together]
        odd: list[str] = []
        for group in ([together] if together else []) + [[one] for one in asked if not one[1].together]:
            odd += _prune([layer for layer, _ in group], group[0][1], edit)
        if odd:
            notes.append(f"Kept the weights that are not finite (NaN or infinite) of {some(odd)}.")
        return result(edit, notes)

    @cached_property
    def _own(self) -> dict[str, _Amount]:
        own = {name: _Amount(sparsity, None) for name, sparsity in self.layers}
        return own | {name: _Amount(None, threshold) for name, threshold in self.thresholds}

    def _amount(self, layer: Layer) -> _Amount | None:
        if any(name in self.skip for name in layer.names):
            return None
        for name in layer.names:
            if name in self._own:
                return self._own[name]
        if self.sparsity is None and self.threshold is None:
            return None
        return _Amount(self.sparsity, self.threshold, self.scope == "global" and self.sparsity is not None)

    def _check_names(self, layers: Iterable[Layer]) -> None:
        known = {name: layer for layer in layers for name in layer.names}
        for name in (*self._own, *self.skip):
            if name not in known:
                hint = did_you_mean(name, known, "name an operation or its weight constant")
                raise PassError(f"there is no layer {name!r}", where=self.name, hint=hint)
        named: dict[str, str] = {}
        for name in self._own:
            if (other := named.setdefault(known[name].name, name)) != name:
                words = f"{other!r} and {name!r} are the same layer"
                raise PassError(words, where=self.name, hint="leave one of them out")


def _prune(layers: list[Layer], amount: _Amount, edit: Edit) -> list[str]:
    """Prune layers that share one amount, all their weights taken together; returns those with weights not finite."""
    magnitudes = [_magnitude(layer.tensor) for layer in layers]
    joined = magnitudes[0] if len(layers) == 1 else np.concatenate(magnitudes)
    if amount.threshold is not None:
        mask = joined < amount.threshold
    else:
        mask = _smallest(joined, math.floor((amount.sparsity or 0.0) * joined.size))
    mask &= joined != 0
    start = 0
    for layer in layers:
        part = mask[start : start + layer.parameters]
        start += layer.parameters
        if part.any():
            pruned = np.array(layer.tensor.array)
            pruned.reshape(-1)[part] = 0
            edit.replace(edit[layer.weight].with_(attrs={"value": Tensor(layer.tensor.dtype, pruned)}))
    return [layer.name for layer, m in zip(layers, magnitudes, strict=True) if not np.isfinite(m).all()]


def _magnitude(tensor: Tensor) -> np.ndarray:
    """|w|, flat, in a type that numpy sorts fast and that holds every value exactly."""
    wide = np.float64 if tensor.dtype == DType.DOUBLE else np.float32
    magnitude: np.ndarray = np.abs(tensor.array.reshape(-1).astype(wide, copy=False))
    return magnitude


def _smallest(magnitude: np.ndarray, count: int) -> np.ndarray:
    """A mask of the ``count`` smallest values, the first ones where some are equal; those not finite are left out."""
    count = min(count, int(np.count_nonzero(np.isfinite(magnitude))))
    if count == 0:
        return np.zeros(magnitude.size, bool)
    last = np.partition(magnitude, count - 1)[count - 1]
    mask = magnitude < last
    ties = np.flatnonzero(magnitude == last)
    mask[ties[: count - np.count_nonzero(mask)]] = True
    return np.asarray(mask)

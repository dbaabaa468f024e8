"""The Quantize assistant without its window: what it knows of a model, what can be chosen, and the recipe it writes.

It is nothing but that recipe: whatever it does can be undone, edited and replayed like any other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from compressor_gui.core.default_method import without_care
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.passes import apply
from compressor_gui.core.passes.base import Pass
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.passes.quantize_weights import QuantizeWeights
from compressor_gui.core.pbio import byte_size
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.core.values import DType

Goal = Literal["weights", "classic", "fused"]
"""Weights in 8 bits; whole layers by quantize_graph's operations; whole layers by fused oneDNN kernels."""

QUANTIZING = (QuantizeWeights, QuantizeNodes, FreezeRequantizationRanges, FuseInt8)
"""The passes that the assistant writes anew: those that a recipe has already make room for them."""

SMALLEST: int = QuantizeWeights.default("minimum_size")
"""Layers with fewer weights keep them in float where only weights are quantized."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model that is to be quantized: what the steps of ``base``, which don't quantize, make of a file.

    ``size`` is in bytes; ``folded`` are the layers behind fold_batch_norms, which may have other names; None where it
    has nothing to do.
    """

    base: Recipe
    size: int
    layers: tuple[Layer, ...]
    folded: tuple[Layer, ...] | None
    quantized: bool

    @property
    def refusal(self) -> str:
        """Why this model can't be quantized, as a sentence; empty where it can."""
        if self.quantized:
            return "This graph is quantized already. Open the float model that it was made from."
        if not self.layers:
            return "This graph has no layers with float32 weights, so there is nothing to quantize."
        return ""

    def estimated_size(self, goal: Goal = "weights", skip: Collection[str] = ()) -> int:
        """Bytes of the file with every layer but those whose weight is in ``skip`` in 8 bits, to about a twentieth:
        what is added around the layers is not counted."""
        small = {one.weight for one in self.small} if goal == "weights" else ()
        stored = (one.tensor for one in self.layers if one.weight not in skip and one.weight not in small)
        return self.size - sum(tensor.nbytes * 3 // 4 for tensor in stored)

    @property
    def small(self) -> tuple[Layer, ...]:
        """The layers that quantize_weights leaves in float, as they have too few weights to gain anything."""
        return tuple(one for one in self.layers if one.parameters < SMALLEST)


@dataclass(frozen=True)
class Choices:
    """What the user has chosen. ``skip`` are the weights of layers that stay in float; ``stored`` counts for the
    classic operations only, for the fused ones have no other ranges; ``method`` is one of measure.METHODS;
    ``measured``: 8-bit regions that turn out slower than float stay in float; ``rounded``: layers are equalized, and
    their weights rounded on the examples, as the default method does."""

    goal: Goal = "fused"
    skip: tuple[str, ...] = ()
    images: int = 10
    stored: bool = True
    method: str = "minmax"
    fold: bool = True
    per_channel: bool = True
    everywhere: bool = False
    measured: bool = True
    rounded: bool = True
    without_vnni: bool = False

    @property
    def calibrates(self) -> bool:
        """Whether ranges are measured on examples."""
        return self.goal == "fused" or (self.goal == "classic" and self.stored)

    @property
    def rounds(self) -> bool:
        """Whether weights are rounded on examples."""
        return self.goal == "fused" and self.rounded

    @property
    def times_regions(self) -> bool:
        """Whether each 8-bit region is timed against itself in float."""
        return self.goal == "fused" and self.measured


def examine(source: ModelGraph, recipe: Recipe) -> Subject:
    """Look at what the recipe's other steps make of a file. Raises RecipeError."""
    steps = (step for step in without_care(recipe).steps if not isinstance(step.transform, QUANTIZING))
    base = replace(recipe, steps=tuple(steps))
    graph = Replayer(source).replay(base).graph
    fold = apply(FoldBatchNorms(), graph)
    quantized = any(one.dequantizer for one in find_layers(graph)) or any(map(_is_eightbit, graph.op_counts))
    folded = _float_layers(fold.graph) if fold.changed else None
    return Subject(base, byte_size(graph), _float_layers(graph), folded, quantized)


def _float_layers(graph: ModelGraph) -> tuple[Layer, ...]:
    return tuple(layer for layer in find_layers(graph) if layer.tensor.dtype == DType.FLOAT)


def _is_eightbit(op: str) -> bool:
    return op.startswith("Quantized") or op in ("Requantize", "RequantizationRange")


def write(subject: Subject, choices: Choices) -> Recipe:
    """The recipe that the choices mean, but for what is measured: ranges, rounded weights, regions that are slower."""
    recipe = subject.base
    for transform in _passes(subject, choices):
        recipe = recipe.adding(transform)
    return recipe


def _passes(subject: Subject, choices: Choices) -> tuple[Pass, ...]:
    folds = choices.fold and subject.folded is not None
    fold = (FoldBatchNorms(),) if folds else ()
    named = subject.folded if folds and subject.folded is not None else subject.layers
    skip = tuple(layer.short for layer in named if layer.weight in choices.skip)
    if choices.goal == "weights":
        return (*fold, QuantizeWeights(per_channel=choices.per_channel, skip=skip))
    if choices.goal == "classic":
        return (*fold, QuantizeNodes(skip=skip))
    return (*fold, FuseInt8(skip=skip, everywhere=choices.everywhere, without_vnni=choices.without_vnni))

"""The method by which networks are quantized unless the user chooses otherwise: the recipe that had the least noise on
the networks that it was measured on (see the help on accuracy)."""

from __future__ import annotations

from collections.abc import Mapping

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import apply
from compressor_gui.core.passes.base import Pass
from compressor_gui.core.passes.correct_biases import CorrectBiases
from compressor_gui.core.passes.equalize_layers import EqualizeLayers
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.stored_weights import Weights
from compressor_gui.core.ranges_file import Limits
from compressor_gui.core.recipe import Recipe

BY = "adaround"
"""How the step of rounded weights begins to say who made it."""


def default_recipe(
    graph: ModelGraph,
    ranges: Mapping[str, Limits] | None = None,
    *,
    peaks: str = "",
    weights: str = "",
    by: str = BY,
    fuse: FuseInt8 | None = None,
) -> tuple[Pass, ...]:
    """The passes for a float ``graph``: fold_batch_norms, equalize_layers, weights, fuse_int8; those that have nothing
    to do, or nothing to do it with, are left out.

    ``peaks``, ``weights``: SHA-256 of stored arrays, as the job :class:`.adaround.Adaround` makes them; without them
    the recipe is plain fuse_int8. ``fuse``: the other parameters of that pass.
    """
    found: list[Pass] = [FoldBatchNorms()] if apply(FoldBatchNorms(), graph).changed else []
    if peaks:
        found.append(EqualizeLayers(peaks))
    if weights:
        found.append(Weights(weights, by))
    values = (fuse or FuseInt8()).to_json()
    values.pop("pass")
    return (*found, FuseInt8.from_values({**values, "ranges": dict(ranges or {})}))


def without_care(recipe: Recipe) -> Recipe:
    """The recipe without the steps that :func:`default_recipe` adds before fuse_int8, but for folding."""
    kept = (step for step in recipe.steps if not _is_care(step.transform))
    return Recipe(tuple(kept), recipe.sha256)


def _is_care(transform: Pass) -> bool:
    rounded = isinstance(transform, CorrectBiases) or (isinstance(transform, Weights) and transform.by.startswith(BY))
    return rounded or (isinstance(transform, EqualizeLayers) and bool(transform.sha256))

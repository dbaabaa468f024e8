"""Outlier clipping: the few weights far out give up a little, so that all others are rounded in finer steps.

Of a range's ends the ones are taken with the least mean squared error of the rounded weights, what is clipped included
(Sung, Shin and Hwang, "Resiliency of Deep Neural Networks under Quantization", 2015; Banner et al., "Post Training
4-bit Quantization of Convolutional Networks for Rapid-Deployment", NeurIPS 2019, have it in closed form).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor_gui.core import stats
from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.passes.already import refuse_if_idle
from compressor_gui.core.passes.base import Names, Pass, PassResult, param, result
from compressor_gui.core.passes.skipping import is_among, skipped_names
from compressor_gui.core.passes.weights import unfit
from compressor_gui.core.passes.wording import some
from compressor_gui.core.rounding import clip
from compressor_gui.core.units import counted
from compressor_gui.core.values import Tensor


@dataclass(frozen=True)
class ClipOutliers(Pass):
    """Clip each layer's weights to the range whose rounding to ``bits`` bits has the least mean squared error.

    The rounding that is meant has 2^bits - 1 levels evenly around zero. The weights stay floats, and zeros zero: a step
    behind this one rounds them, over the range that it finds.
    """

    name: ClassVar[str] = "clip_outliers"
    title: ClassVar[str] = "Clip outliers"
    summary: ClassVar[str] = "Clip weights that lie far out, so that rounding the others to few bits errs less."

    bits: int = param(
        8, "integer", "Bits", "To how many bits the weights will be rounded by a later step.", minimum=2, maximum=8
    )
    per_channel: bool = param(
        True, "flag", "A range for each output channel", "As the step that rounds them has it. Off: one range a layer."
    )
    layers: Names = param((), "names", "Layers", "Layers, operations, or scopes of them, to clip; all unless named.")
    skip: Names = param((), "names", "Skip", "Layers, operations, or scopes of them, that are left as they are.")

    def run(self, graph: ModelGraph) -> PassResult:
        """Clip. Raises PassError where a layer is named that does not exist, or the graph is quantized already."""
        only = skipped_names(graph, self.layers, self.name, to="clip")
        skip = skipped_names(graph, self.skip, self.name)
        edit = Edit(graph)
        refused: dict[str, list[str]] = {}
        found: list[_Clipped] = []
        for layer in find_layers(graph):
            if (only and not is_among(layer, only)) or is_among(layer, skip):
                continue
            reason = _reason_against(layer)
            if reason:
                refused.setdefault(reason, []).append(layer.name)
                continue
            found.append(_clipped(layer, self.bits, self.per_channel))
            if found[-1].count:
                edit.replace(graph[layer.weight].with_(attrs={"value": found[-1].tensor}))
        notes = [f"Left alone, as {reason}: {some(names)}." for reason, names in refused.items()]
        if not found:
            return refuse_if_idle(result(edit, notes), graph, self.name)
        return result(edit, [_summary(found, self.bits), *notes])


@dataclass(frozen=True)
class _Clipped:
    """A layer's clipped weights and how many ``count`` they are; the squares of all (``energy``), and the sums of
    squared errors of rounding them to the bits that are meant, ``before`` and ``after``."""

    tensor: Tensor
    count: int
    energy: float
    before: float
    after: float


def _clipped(layer: Layer, bits: int, per_channel: bool) -> _Clipped:
    weights, axis = layer.tensor.array, layer.channel_axis
    table = stats.magnitudes(layer.tensor)
    if per_channel and axis is not None:
        rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).astype(np.float32)
        found = clip(rows, bits, stats.SHARES)
        shape = [-1 if at == axis else 1 for at in range(weights.ndim)]
    else:
        found = table.clipping(bits)
        shape = [1] * weights.ndim
    gains = found.errors < found.unclipped
    limits = np.where(gains, found.step * np.float32(2 ** (bits - 1) - 1), np.float32(np.inf)).reshape(shape)
    count = int(np.count_nonzero(np.abs(weights) > limits))
    tensor = Tensor(layer.tensor.dtype, np.clip(weights, -limits, limits).astype(weights.dtype))
    return _Clipped(tensor, count, table.energy, float(found.unclipped.sum()), float(found.errors.sum()))


def _summary(found: list[_Clipped], bits: int) -> str:
    """What was clipped, and what that is good for."""
    count = sum(one.count for one in found)
    if not count:
        return f"Rounded to {bits} bits, no weight lies so far out that clipping it would pay."
    clipped = [one for one in found if one.count]
    weights = sum(one.tensor.array.size for one in clipped)
    energy = math.fsum(one.energy for one in clipped)
    before, after = (
        10 * math.log10(energy / math.fsum(errors))
        for errors in ([one.before for one in clipped], [one.after for one in clipped])
    )
    return (
        f"Clipped {count:,} of {counted(weights, 'weight')} in {counted(len(clipped), 'layer')}: rounded to {bits} "
        f"bits, these layers' weights have a signal-to-noise ratio of {after:.1f} dB, before {before:.1f}."
    )


def _reason_against(layer: Layer) -> str | None:
    """Why a layer's weights can't be clipped; None where they can."""
    if layer.tensor.dtype.is_quantized:
        return "its weights are stored in 8 bits already"
    return unfit(layer.tensor) if layer.tensor.dtype.is_floating else "its weights are not floating point"

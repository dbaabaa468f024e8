"""Cross-layer equalisation: the channels between layers brought to one range, without changing what is computed.

From weights alone it is Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV
2019): what layers make and what layers read of a channel get the same greatest magnitude. Where every output channel of
a layer has a step of its own, as here, the weights gain little by that, but activations have one step for all channels:
so with the peaks of activations, measured on examples, their channels are brought to one peak instead, by half as much
where that makes the next layer's weights uneven (as Xiao et al., "SmoothQuant", ICML 2023, share the burden), and
wholly where the next layers are depthwise, whose weights have a step for each channel anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.already import refuse_if_idle
from compressor_gui.core.passes.base import Pass, PassResult, param, result
from compressor_gui.core.passes.measured import store_constant, stored_vectors
from compressor_gui.core.scaling import Group, find_groups, in_channels, out_channels, scaled

_ROUNDS = 20
_MOST = 1000.0
"""The largest factor: channels that hardly ever speak may speak up on other examples."""
_CLAMP = 6.0

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class EqualizeLayers(Pass):
    """Multiply channels of weights and biases by a factor, and divide the weights that read them by it.

    What stands between must be positively homogeneous: Relu, pools, sums, resizing. Relu6 is below its 6, hence it
    needs the peaks: a channel is never brought above it, so that up to the measured peak nothing changes; what lies
    beyond is clipped.
    """

    name: ClassVar[str] = "equalize_layers"
    title: ClassVar[str] = "Equalize layers"
    summary: ClassVar[str] = (
        "Bring the channels between layers to one range, so that 8 bits serve all of them; the result stays the same."
    )

    sha256: str = param(
        "",
        "text",
        "Peaks",
        "SHA-256 of the greatest magnitude of each channel, measured by adaround; empty: from the weights alone.",
    )
    strength: float = param(
        0.5,
        "number",
        "Strength",
        "With peaks: 0 leaves channels that other than depthwise layers read alone, 1 makes their peaks equal.",
        minimum=0,
        maximum=1,
    )

    def label(self) -> str:
        """A brief line for a recipe."""
        return f"{self.name}({'measured peaks' if self.sha256 else 'weights alone'})"

    def run(self, graph: ModelGraph) -> PassResult:
        """Equalize. Raises PassError where the peaks are missing or of another graph, or this one is quantized."""
        chosen, notes = self._chosen(graph)
        return refuse_if_idle(result(_scale(graph, chosen), notes), graph, self.name)

    def factors(self, graph: ModelGraph) -> dict[str, np.ndarray]:
        """Those of the tensors between layers."""
        return {name: by for group, by in self._chosen(graph)[0] for name in group.tensors}

    def _chosen(self, graph: ModelGraph) -> tuple[list[tuple[Group, np.ndarray]], list[str]]:
        """The groups that change, each with its factors, and notes for the user."""
        groups = find_groups(graph)
        if self.sha256:
            peaks = stored_vectors(graph, self.sha256, self.name)
            if any((values < 0).any() for values in peaks.values()):
                raise PassError("a peak is below zero", where=self.name, hint="measure them by adaround")
            factors = [self._by_peaks(graph, group, peaks) for group in groups]
            notes = []
        else:
            free = [group for group in groups if not group.clamped]
            notes = ["Relu6 stands between layers; that needs measured peaks."] if len(free) < len(groups) else []
            groups = tuple(free)
            factors = _by_weights(graph, groups)
        return [(group, by) for group, by in zip(groups, factors, strict=True) if (by != 1).any()], notes

    def _by_peaks(self, graph: ModelGraph, group: Group, peaks: Arrays) -> np.ndarray:
        """The factors, at least 1 and such that the strongest channel stays."""
        known = [peaks[name] for name in group.tensors if name in peaks]
        if any(one.size != group.channels for one in known):
            hint = "they were measured on another graph"
            raise PassError(f"the peaks of {group.tensors[-1]!r} are of other channels", where=self.name, hint=hint)
        peak = np.maximum.reduce(known) if known else np.zeros(group.channels)
        if not peak.any() or any(name not in peaks for name in group.clamped):
            return np.ones(group.channels)
        depthwise = all(graph[name].op == "DepthwiseConv2dNative" for name in group.readers)
        power = 1.0 if depthwise else self.strength
        factors: np.ndarray = (peak.max() / np.maximum(peak, peak.max() / _MOST)) ** power
        for name in group.clamped:
            factors = np.minimum(factors, np.maximum(_CLAMP / np.maximum(peaks[name], _CLAMP / _MOST), 1))
        return factors


def _by_weights(graph: ModelGraph, groups: tuple[Group, ...]) -> list[np.ndarray]:
    """The factors that make the weights on both sides of each group equally large."""
    factors = [np.ones(group.channels) for group in groups]
    made = {name: at for at, group in enumerate(groups) for name in group.makers}
    read = {name: at for at, group in enumerate(groups) for name in group.readers}
    sizes = {name: np.abs(_weights(graph, name)).astype(np.float64) for name in {**made, **read}}

    def peaks(name: str, outer: bool) -> np.ndarray:
        up = factors[made[name]] if name in made else None
        down = factors[read[name]] if name in read else None
        weights = scaled(graph[name], sizes[name], up, down)
        found: np.ndarray = (out_channels if outer else in_channels)(graph[name], weights).max(axis=1, initial=0)
        return found

    for _ in range(_ROUNDS):
        before = [by.copy() for by in factors]
        for at, group in enumerate(groups):
            ours = np.maximum.reduce([peaks(name, outer=True) for name in group.makers])
            theirs = np.maximum.reduce([peaks(name, outer=False) for name in group.readers])
            alive = (ours > 0) & (theirs > 0)
            step = np.sqrt(np.where(alive, theirs, 1) / np.where(alive, ours, 1))
            factors[at] = np.clip(factors[at] * step, 1 / _MOST, _MOST)
        if all(np.allclose(new, old, rtol=1e-3) for new, old in zip(factors, before, strict=True)):
            break
    return factors


def _weights(graph: ModelGraph, layer: str) -> np.ndarray:
    tensor = graph.constant(graph[layer], 1)
    assert tensor is not None
    return tensor.array


def _scale(graph: ModelGraph, chosen: list[tuple[Group, np.ndarray]]) -> Edit:
    edit = Edit(graph)
    made = {name: by for group, by in chosen for name in group.makers}
    read = {name: by for group, by in chosen for name in group.readers}
    for name in dict.fromkeys([*made, *read]):
        layer = graph[name]
        values = scaled(layer, _weights(graph, name), made.get(name), read.get(name))
        store_constant(graph, edit, layer, values, "equalized_weights")
    for group, by in chosen:
        for name in group.biases:
            tensor = graph.constant(graph[name], 1)
            assert tensor is not None
            store_constant(graph, edit, graph[name], (tensor.array * by).astype(np.float32), "equalized_bias")
    return edit

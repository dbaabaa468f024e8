"""Weights stored in 8 bits and read by a Dequantize, as the Graph Transform Tool's ``quantize_weights`` does
(tensorflow/tools/graph_transforms/quantize_weights.cc), with a range for each output channel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.passes.already import refuse_if_idle
from compressor_gui.core.passes.base import Names, Pass, PassResult, param, result
from compressor_gui.core.passes.skipping import is_among, skipped_names
from compressor_gui.core.passes.stored_codes import per_channel_pays, store_codes
from compressor_gui.core.passes.weights import choose
from compressor_gui.core.rounding import SYMMETRIES, encode
from compressor_gui.core.values import DType, Tensor


@dataclass(frozen=True)
class QuantizeWeights(Pass):
    """Store float32 constants in 8 bits, a quarter of their size; what reads them still computes in floats.

    The constant ``w`` becomes ``w_quantized_const``, ``w_quantized_min`` and ``w_quantized_max``; the Dequantize that
    reads them takes its name. Zero stays exactly zero, so that pruned weights stay pruned. Symmetric codes are qint8
    from -127 to 127 (mode SCALED); those with a zero point quint8, with a range for each channel MIN_COMBINED, with one
    range MIN_FIRST, as the old tool has them. Biases stay floats, unless there is one range for each constant.
    """

    name: ClassVar[str] = "quantize_weights"
    title: ClassVar[str] = "8-bit weights"
    summary: ClassVar[str] = "Store weights in 8 bits, read by a Dequantize; the operations stay in floats."

    per_channel: bool = param(
        True, "flag", "A range for each output channel", "Off: one range a constant, as the Graph Transform Tool does."
    )
    symmetry: str = param(
        "automatic",
        "choice",
        "Levels",
        "symmetric: evenly around zero; asymmetric: with a zero point, from the least weight to the greatest; "
        "automatic: symmetric for each channel where a zero point is not worth its bytes, else asymmetric.",
        choices=SYMMETRIES,
    )
    minimum_size: int = param(
        1024, "integer", "Minimum size", "Constants of fewer elements are left as they are.", minimum=0
    )
    skip: Names = param((), "names", "Skip", "Operations, scopes of them, or layers, whose weights stay in float.")

    def run(self, graph: ModelGraph) -> PassResult:
        """Quantize every float32 constant of at least ``minimum_size`` elements. Raises PassError where ``skip`` names
        what is not there."""
        skip = skipped_names(graph, self.skip, self.name)
        layers = {layer.weight: layer for layer in find_layers(graph)}
        biases = _biases(graph, layers.values()) if self.per_channel else frozenset()

        def refuse(node: Node, tensor: Tensor) -> str | None:
            if tensor.dtype != DType.FLOAT:
                return "only float32 can be read by a Dequantize"
            layer = layers.get(node.name)
            if layer and is_among(layer, skip):
                return "its layer is to be skipped"
            return "it is a bias, where 8 bits save little and cost much" if node.name in biases else None

        chosen, notes = choose(graph, self.minimum_size, refuse)
        edit = Edit(graph)
        for node, tensor in chosen:
            self._store(edit, node, tensor.array, layers.get(node.name))
        return refuse_if_idle(result(edit, notes), graph, self.name)

    def _store(self, edit: Edit, node: Node, array: np.ndarray, layer: Layer | None) -> None:
        axis = layer.channel_axis if layer else None
        per_channel = self.per_channel and per_channel_pays(array, axis)
        store_codes(edit, node, encode(array, axis, per_channel, self.symmetry), axis)


def _biases(graph: ModelGraph, layers: Iterable[Layer]) -> frozenset[str]:
    """The constants that are added to, or normalise, what a layer puts out."""
    norms = [graph[layer.batch_norm] for layer in layers if layer.batch_norm]
    found = {ref.name for norm in norms for ref in norm.data_refs}
    return frozenset(found | {layer.bias for layer in layers if layer.bias})

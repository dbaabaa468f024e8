"""Bias correction: the mean error that rounded weights will make goes into the bias.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV 2019): the error of a
layer's results has the mean (W' - W) E[x], where E[x] is the mean of what it reads. They take E[x] from the batch norms
before it; here it is measured on examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.already import refuse_if_idle
from compressor_gui.core.passes.base import Pass, PassResult, param, result
from compressor_gui.core.passes.int8.weights import rounded
from compressor_gui.core.passes.measured import store_constant, stored_vectors
from compressor_gui.core.passes.wording import some
from compressor_gui.core.scaling import LAYERS, in_channels


@dataclass(frozen=True)
class CorrectBiases(Pass):
    """Take from each bias the mean error of its layer's weights as fuse_int8 rounds them.

    What SAME padding puts around is counted as what is read elsewhere.
    """

    name: ClassVar[str] = "correct_biases"
    title: ClassVar[str] = "Correct biases"
    summary: ClassVar[str] = "Put the mean error that rounding the weights to 8 bits will make into the biases."

    sha256: str = param(
        "",
        "text",
        "Means",
        "SHA-256 of the mean of each channel that layers read, measured by adaround --rounding correct_biases.",
        required=True,
    )

    def label(self) -> str:
        """A brief line for a recipe."""
        return f"{self.name}(measured means)"

    def run(self, graph: ModelGraph) -> PassResult:
        """Correct. Raises PassError where the means are missing or those of another graph, or this one is quantized."""
        means = stored_vectors(graph, self.sha256, self.name)
        edit = Edit(graph)
        without = []
        for layer in graph.nodes:
            weights = graph.constant(layer, 1) if layer.op in LAYERS else None
            if weights is None or layer.data_refs[0].name not in means:
                continue
            bias = _bias_node(graph, layer)
            if bias is None:
                without.append(layer.name)
                continue
            mean = means[layer.data_refs[0].name]
            error = self._error(layer, weights.array, mean)
            old = graph.constant(bias, 1)
            assert old is not None
            if error.any():
                values = (old.array - error.reshape(old.array.shape)).astype(np.float32)
                store_constant(graph, edit, bias, values, "corrected")
        notes = [f"Without a bias that could take the error: {some(without)}."] if without else []
        return refuse_if_idle(result(edit, notes), graph, self.name)

    def _error(self, layer: Node, weights: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """The mean of the error of each output channel."""
        error = in_channels(layer, rounded(layer, weights).astype(np.float64) - weights)
        if len(error) != mean.size:
            words = f"{layer.name!r} reads {len(error)} channels, and means of {mean.size} are given"
            raise PassError(words, where=self.name, hint="they were measured on another graph")
        total: np.ndarray
        if layer.op == "DepthwiseConv2dNative":
            total = error.reshape(len(error), -1, weights.shape[3]).sum(axis=1) * mean[:, None]
        else:
            outputs = weights.shape[0 if layer.flag("transpose_b") else -1]
            total = mean @ error.reshape(len(error), -1, outputs).sum(axis=1)
        return total.reshape(-1)


def _bias_node(graph: ModelGraph, layer: Node) -> Node | None:
    """The addition of a constant with a value for each output channel, which alone reads the layer."""
    users = graph.consumers[layer.name]
    weights = graph.constant(layer, 1)
    if len(users) != 1 or graph.is_output(layer.name) or weights is None:
        return None
    node = graph[users[0][0]]
    value = graph.constant(node, 1) if node.op in ("BiasAdd", "Add", "AddV2") else None
    depthwise = layer.op == "DepthwiseConv2dNative"
    shape = weights.array.shape
    channels = shape[2] * shape[3] if depthwise else shape[0] if layer.flag("transpose_b") else shape[-1]
    fits = value is not None and value.array.size == channels == (value.array.shape or (0,))[-1]
    return node if fits and node.text("data_format", "NHWC") in ("NHWC", "") else None

"""Inputs that are fed in 8 bits, as the Graph Transform Tool's ``quantize_nodes(input_min, input_max)`` makes them
(QuantizePlaceholders in tensorflow/tools/graph_transforms/quantize_nodes.cc)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.already import TAKE_FLOAT
from compressor_gui.core.passes.base import Names, Pass, PassResult, param, result
from compressor_gui.core.passes.readers import redirect
from compressor_gui.core.values import DType, Tensor


@dataclass(frozen=True)
class QuantizePlaceholders(Pass):
    """A placeholder keeps its name and shape and becomes quint8; a Dequantize over a fixed range stands behind it.

    The rest of the graph stays in float. ``quantize_nodes``, run afterwards, reads the codes as they are.
    """

    name: ClassVar[str] = "quantize_placeholders"
    title: ClassVar[str] = "8-bit inputs"
    summary: ClassVar[str] = "Feed float inputs as quint8 codes over a fixed range: a quarter of the bytes."

    input_min: float = param(0.0, "number", "Minimum", "What the code 0 stands for.")
    input_max: float = param(1.0, "number", "Maximum", "What the code 255 stands for.")
    inputs: Names = param((), "names", "Inputs", "The placeholders; none: all that are float32.")

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.input_min, self.input_max
        if not (math.isfinite(low) and math.isfinite(high) and low <= 0 <= high and low < high):
            words = f"the range input_min={low:g} to input_max={high:g} is empty or does not include 0"
            raise PassError(words, where=self.name, hint="the 8-bit kernels need min <= 0 <= max and min < max")

    def run(self, graph: ModelGraph) -> PassResult:
        """Raises PassError where ``inputs`` names what is no float32 placeholder."""
        for name in self.inputs:
            if name not in graph or not _is_float_input(graph[name]):
                floats = [node.name for node in graph.nodes if _is_float_input(node)]
                hint = f"there is {', '.join(floats[:5])}" if floats else "this graph has none"
                raise PassError(f"{name!r} is no float32 placeholder", where=self.name, hint=hint)
        edit = Edit(graph)
        notes = []
        for node in graph.nodes:
            if not _is_float_input(node) or (self.inputs and node.name not in self.inputs):
                continue
            if graph.is_output(node.name):
                notes.append(f"{node.name} stays in float: it is an output too.")
            elif graph.consumers[node.name]:
                self._quantize(graph, edit, node)
        if not any(_is_float_input(node) for node in graph.nodes):
            notes.append("No placeholder is float32, so none became quint8.")
        fed = next((name for name in graph.inputs if graph[name].dtype("dtype") == DType.QUINT8), None)
        if fed is not None and not edit.origins:
            words = f"the graph is quantized already: {fed!r} is fed as quint8"
            raise PassError(words, where=self.name, hint=TAKE_FLOAT)
        return result(edit, notes)

    def _quantize(self, graph: ModelGraph, edit: Edit, node: Node) -> None:
        limits = [
            edit.add(
                Node.const(edit.free_name(f"{node.name}_eightbit/{end}"), Tensor.of(value, DType.FLOAT)), [node.name]
            )
            for end, value in (("min", self.input_min), ("max", self.input_max))
        ]
        edit.replace(node.with_(attrs={"dtype": DType.QUINT8}))
        name = edit.free_name(f"{node.name}_eightbit/dequantize")
        made = Node.make(name, "Dequantize", (node.name, *limits), node.device, T=DType.QUINT8, mode=b"MIN_FIRST")
        edit.add(made, [node.name], before=graph.consumers[node.name][0][0])
        redirect(edit, node.name, name)


def _is_float_input(node: Node) -> bool:
    return node.op in ("Placeholder", "PlaceholderV2") and node.dtype("dtype") == DType.FLOAT

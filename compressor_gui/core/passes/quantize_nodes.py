"""Whole layers in 8 bits, as TensorFlow 1.x's ``quantize_graph --mode=eightbit`` makes them.

Source: ``tensorflow/tools/quantization/quantize_graph.py`` of TensorFlow 1.x, whose names, operations, attributes and
orders of inputs are kept. What differs, and why, stands in the help page ``quantize_nodes.md``.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import find_layers
from compressor_gui.core.passes.base import Names, Pass, PassResult, param, result
from compressor_gui.core.passes.eightbit.plan import Plan, scopes
from compressor_gui.core.passes.eightbit.rewrite import Rewriter


@dataclass(frozen=True)
class QuantizeNodes(Pass):
    """Replace the float operations that have a classic 8-bit kernel.

    Covered are Conv2D, MatMul, BiasAdd, BatchNormWithGlobalNormalization, MaxPool, AvgPool, Relu, Relu6, Reshape,
    Concat and ConcatV2. Quantize and Dequantize nodes stand at the borders of 8-bit regions only; the graph's outputs
    keep their names and stay float32.
    """

    name: ClassVar[str] = "quantize_nodes"
    title: ClassVar[str] = "8-bit operations"
    summary: ClassVar[str] = "Compute whole layers in 8 bits, as TensorFlow 1.x's quantize_graph does."

    mode: str = param(
        "eightbit",
        "choice",
        "Mode",
        "eightbit: weights and activations as quint8 over ranges found at run time.",
        choices=("eightbit",),
    )
    fallback_min: float | None = param(
        None, "number", "Fallback minimum", "Fixed minimum of every layer's result, instead of one found at run time."
    )
    fallback_max: float | None = param(
        None, "number", "Fallback maximum", "Fixed maximum of every layer's result, instead of one found at run time."
    )
    quantized_input: bool = param(
        False, "flag", "Quantized input", "The float placeholders are fed as quint8 over the range below."
    )
    input_min: float = param(0.0, "number", "Input minimum", "What the code 0 of a quantized input stands for.")
    input_max: float = param(1.0, "number", "Input maximum", "What the code 255 of a quantized input stands for.")
    skip: Names = param((), "names", "Skip", "Operations, scopes of them, or layers, that stay in float.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("fallback", self.fallback_min, self.fallback_max)
        if self.quantized_input:
            self._check_range("input", self.input_min, self.input_max)

    def run(self, graph: ModelGraph) -> PassResult:
        """The 8-bit graph. Raises PassError where ``skip`` names what is not there."""
        plan = Plan(graph, self._skipped(graph), self.quantized_input)
        fallback = None
        if self.fallback_min is not None and self.fallback_max is not None:
            fallback = (self.fallback_min, self.fallback_max)
        notes = list(plan.notes)
        if not plan.kernels:
            notes.append("No operation of this graph has a classic 8-bit kernel.")
        if self.quantized_input and not plan.placeholders:
            notes.append("No placeholder is float32, so none became quint8.")
        return result(Rewriter(plan, fallback, (self.input_min, self.input_max)).run(), notes)

    def _check_range(self, what: str, low: float | None, high: float | None) -> None:
        if low is None and high is None:
            return
        if low is None or high is None:
            missing = f"{what}_min" if low is None else f"{what}_max"
            raise PassError(f"{missing} is missing", where=self.name, hint="a range needs both ends")
        if not (math.isfinite(low) and math.isfinite(high) and low <= 0 <= high and low < high):
            words = f"the range {what}_min={low:g} to {what}_max={high:g} is empty or does not include 0"
            raise PassError(words, where=self.name, hint="the 8-bit kernels need min <= 0 <= max and min < max")

    def _skipped(self, graph: ModelGraph) -> Names:
        """The operations and scopes that ``skip`` means; a layer may go by its short name. Raises PassError."""
        if not self.skip:
            return ()
        known = {layer.short: layer.users for layer in find_layers(graph)}
        known |= {scope: (scope,) for name in graph for scope in scopes(name)}
        for name in self.skip:
            if name not in known:
                close = difflib.get_close_matches(name, sorted(known), 3)
                hint = f"did you mean {' or '.join(close)}?" if close else "name an operation or a scope"
                raise PassError(f"there is no node or scope {name!r} to skip", where=self.name, hint=hint)
        return tuple(full for name in self.skip for full in known[name])

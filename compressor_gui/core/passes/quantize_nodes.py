"""Whole layers in 8 bits, as TensorFlow 1.x's ``quantize_graph --mode=eightbit`` makes them.

Source: ``tensorflow/tools/quantization/quantize_graph.py`` of TensorFlow 1.x, whose names, operations, attributes and
orders of inputs are kept. What differs, and why, stands in the help page ``quantize_nodes.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.already import refuse_if_idle
from compressor_gui.core.passes.base import Names, Pass, PassResult, param, result
from compressor_gui.core.passes.eightbit import modes
from compressor_gui.core.passes.eightbit.plan import Plan
from compressor_gui.core.passes.eightbit.rewrite import Rewriter
from compressor_gui.core.passes.round_weights import RoundWeights
from compressor_gui.core.passes.skipping import skipped_names, skipped_nodes


@dataclass(frozen=True)
class QuantizeNodes(Pass):
    """Replace the float operations that have a classic 8-bit kernel; or, in other modes, only round.

    Covered are Conv2D, MatMul, BiasAdd, BatchNormWithGlobalNormalization, MaxPool, AvgPool, Relu, Relu6, Reshape,
    Concat and ConcatV2; and where they link these, Add, AddV2, Mul, Pad, MirrorPad, Mean, Max, the resizes, Split,
    SplitV, Slice, StridedSlice, Transpose, Squeeze, ExpandDims, DepthToSpace and SpaceToDepth. Quantize and Dequantize
    nodes stand at the borders of 8-bit regions only; the graph's outputs keep their names and stay float32.
    """

    name: ClassVar[str] = "quantize_nodes"
    title: ClassVar[str] = "8-bit operations"
    summary: ClassVar[str] = "Compute whole layers in 8 bits, as TensorFlow 1.x's quantize_graph does."

    mode: str = param(
        "eightbit",
        "choice",
        "Mode",
        "eightbit: weights and activations as quint8 over ranges found at run time. In floats stay: weights, which "
        "stores them in 8 bits; weights_rounded and round, which round weights, or what layers put out, to bitdepth "
        "bits; quantize, where that goes through 8 bits and back.",
        choices=("eightbit", "weights", "weights_rounded", "round", "quantize"),
    )
    bitdepth: int = param(
        8, "integer", "Bits", "For the modes round and weights_rounded: 2^bitdepth levels.", minimum=1, maximum=16
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
    classic: bool = param(
        False,
        "flag",
        "Classic",
        "Only the operations that TensorFlow 1.x's tool replaces, without those that link them.",
    )
    skip: Names = param((), "names", "Skip", "Operations, scopes of them, or layers, that stay in float.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_mode()
        self._check_range("fallback", self.fallback_min, self.fallback_max)
        if self.quantized_input:
            self._check_range("input", self.input_min, self.input_max)

    def run(self, graph: ModelGraph) -> PassResult:
        """The 8-bit graph. Raises PassError where ``skip`` names what is not there."""
        return refuse_if_idle(self._run(graph), graph, self.name)

    def _run(self, graph: ModelGraph) -> PassResult:
        if self.mode == "weights":
            return modes.store_weights(graph)
        if self.mode == "weights_rounded":
            return RoundWeights(num_steps=2**self.bitdepth, minimum_size=0).run(graph)
        if self.mode == "round":
            return modes.round_results(graph, self.bitdepth)
        if self.mode == "quantize":
            return modes.pass_through_8_bits(graph)
        skipped = skipped_names(graph, self.skip, self.name)
        plan = Plan(graph, skipped, self.quantized_input, self.classic)
        fallback = None
        if self.fallback_min is not None and self.fallback_max is not None:
            fallback = (self.fallback_min, self.fallback_max)
        notes = list(plan.notes)
        if not plan.kernels:
            notes.append("No operation of this graph has a classic 8-bit kernel.")
        if self.quantized_input and not plan.placeholders:
            notes.append("No placeholder is float32, so none became quint8.")
        edit = Rewriter(plan, fallback, (self.input_min, self.input_max)).run()
        return result(edit, notes, left={**plan.left, **skipped_nodes(graph, skipped)})

    def _check_mode(self) -> None:
        """Refuse parameters that the mode does not read."""
        rounds = self.mode in ("round", "weights_rounded")
        if self.bitdepth != self.default("bitdepth") and not rounds:
            hint = "the modes round and weights_rounded take other bit depths"
            raise PassError(f"mode {self.mode} has 8 bits, and bitdepth={self.bitdepth}", where=self.name, hint=hint)
        if self.mode == "round" and self.bitdepth < 2:
            raise PassError("mode round needs a bitdepth of 2 at least", where=self.name, hint="one bit has no zero")
        for key in ("fallback_min", "fallback_max", "quantized_input", "classic", "skip"):
            if self.mode != "eightbit" and key in self.chosen():
                words = f"{key} is for mode eightbit, and mode={self.mode}"
                raise PassError(words, where=self.name, hint="leave it out")

    def _check_range(self, what: str, low: float | None, high: float | None) -> None:
        if low is None and high is None:
            return
        if low is None or high is None:
            missing = f"{what}_min" if low is None else f"{what}_max"
            raise PassError(f"{missing} is missing", where=self.name, hint="a range needs both ends")
        if not low <= 0 <= high or low == high:
            wrong = "is reversed" if low > high else "is empty" if low == high else "does not include 0"
            words = f"the range {what}_min={low:g} to {what}_max={high:g} {wrong}"
            raise PassError(words, where=self.name, hint="the 8-bit kernels need min <= 0 <= max and min < max")

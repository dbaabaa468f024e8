"""8-bit layers that are faster than float: TensorFlow's fused oneDNN kernels. See :mod:`.int8`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.already import refuse_if_idle, stranger
from compressor_gui.core.passes.base import Names, Pass, PassResult, Ranges, param, result
from compressor_gui.core.passes.carried_ranges import carried_ranges
from compressor_gui.core.passes.freeze_requantization_ranges import check_ranges
from compressor_gui.core.passes.int8.plan import Plan, activations
from compressor_gui.core.passes.int8.rewrite import Rewriter
from compressor_gui.core.passes.skipping import skipped_names, skipped_nodes


@dataclass(frozen=True)
class FuseInt8(Pass):
    """Replace convolutions, depthwise convolutions and matrix products of a float graph, with the bias, residual sum,
    Relu or Relu6 behind them, and the pools, paddings and concatenations between them.

    Weights become qint8 with a step for each output channel, activations quint8 over the stored ranges. The graph's
    outputs keep their names and stay float32.
    """

    name: ClassVar[str] = "fuse_int8"
    title: ClassVar[str] = "Fused int8"
    summary: ClassVar[str] = "Compute layers in 8 bits over stored ranges, faster than float, by fused oneDNN kernels."

    ranges: Ranges = param(
        (),
        "ranges",
        "Ranges",
        "Node -> [min, max] of its float result, or a file of ranges; a graph with FakeQuants or the like has them.",
    )
    skip: Names = param((), "names", "Skip", "Operations, scopes of them, or layers, that stay in float.")
    everywhere: bool = param(
        False, "flag", "Everywhere", "Also where converting to 8 bits and back is expected to cost more than it gains."
    )
    without_vnni: bool = param(
        False,
        "flag",
        "Without VNNI",
        "Keep weights so small that older processors, without AVX-512 VNNI or AVX-VNNI, don't clip sums of 16 bits; "
        "costs the others 1 to 2 dB.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self.ranges, self.name)

    def run(self, graph: ModelGraph) -> PassResult:
        """The int8 graph. Raises PassError where no range is given or carried, or one of a node that is not there."""
        if not self.ranges and not carried_ranges(graph):
            hint = "compressor-cli calibrate --for fuse_int8 measures them"
            raise PassError("no range is given", where=self.name, hint=hint)
        strangers = [name for name, _ in self.ranges if name not in graph]
        if strangers:
            words = f"there is no node {strangers[0]!r}, of which a range is given"
            hint = "take the ranges of this model, measured behind the same passes"
            raise stranger(graph, words, self.name, hint)
        plan = self._plan(graph)
        notes = list(plan.notes)
        if plan.ops:
            notes.append(
                "It runs where TensorFlow uses oneDNN: by itself on processors with AVX-512 VNNI, AVX-VNNI or AMX, "
                "on other x86 ones with TF_ENABLE_ONEDNN_OPTS=1."
            )
        else:
            notes.append("Nothing in this graph gains from fused int8 operations.")
        left = {**plan.left, **skipped_nodes(graph, skipped_names(graph, self.skip, self.name))}
        return refuse_if_idle(result(Rewriter(plan, self.without_vnni).run(), notes, left=left), graph, self.name)

    def limits(self, graph: ModelGraph) -> dict[str, tuple[float, float]]:
        """Node of ``graph`` whose value is in codes -> what the lowest and the highest code stand for."""
        plan = self._plan(graph)
        return {name: (-format.shift, format.span - format.shift) for name, format in plan.formats.items()}

    def regions(self, graph: ModelGraph) -> tuple[tuple[str, ...], ...]:
        """The operations of ``graph`` that become 8-bit, those together that hand codes to each other.

        A MatMul is a region of its own: it puts out float.
        """
        return self._plan(graph).regions

    def activations(self, graph: ModelGraph) -> tuple[str, ...]:
        """The nodes of ``graph`` whose ranges are needed."""
        return activations(graph, skipped_names(graph, self.skip, self.name))

    def _plan(self, graph: ModelGraph) -> Plan:
        return Plan(graph, dict(self.ranges), skipped_names(graph, self.skip, self.name), self.everywhere)

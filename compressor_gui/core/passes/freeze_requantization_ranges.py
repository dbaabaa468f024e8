"""Fixed ranges instead of ranges found at run time, as the Graph Transform Tool's transform of this name makes them.

Source: ``tensorflow/tools/graph_transforms/freeze_requantization_ranges.cc``, which reads a log; here ranges may
come as JSON too (see :mod:`..ranges_file`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.base import Pass, PassResult, Ranges, param, result
from compressor_gui.core.passes.eightbit.kernels import RANGE_SUFFIX
from compressor_gui.core.passes.wording import did_you_mean
from compressor_gui.core.values import DType, Tensor


def check_ranges(ranges: Ranges, where: str) -> None:
    """Raises PassError where a range is not finite, reversed or empty."""
    for name, (low, high) in ranges:
        if not (math.isfinite(low) and math.isfinite(high)):
            words = f"the range [{low:g}, {high:g}] of {name!r} is not finite"
            raise PassError(words, where=where, hint="give two numbers")
        if low >= high:
            words = f"the range [{low:g}, {high:g}] of {name!r} is {'reversed' if low > high else 'empty'}"
            raise PassError(words, where=where, hint="the minimum comes first and is the smaller one")


@dataclass(frozen=True)
class FreezeRequantizationRanges(Pass):
    """Replace RequantizationRange nodes by two constants, ``<node>/frozen_min`` and ``<node>/frozen_max``.

    A node may be named itself, by the Requantize that reads it, or by the layer that it was made for. Ranges are in the
    units of the float graph; one that does not include 0 is widened to it, as the Requantize kernel asks.
    """

    name: ClassVar[str] = "freeze_requantization_ranges"
    title: ClassVar[str] = "Freeze ranges"
    summary: ClassVar[str] = "Replace the ranges that 8-bit layers find at run time by stored ones."

    ranges: Ranges = param(
        (), "ranges", "Ranges", "Layer -> [min, max], or a file of ranges: JSON, or a log.", required=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self.ranges, self.name)

    def run(self, graph: ModelGraph) -> PassResult:
        """Freeze. Raises PassError where no range is given, or a node is named that has none to freeze."""
        if not self.ranges:
            raise PassError("no range is given", where=self.name, hint='write {"layer": [min, max]} into a JSON file')
        edit = Edit(graph)
        named: dict[str, str] = {}
        widened: list[str] = []
        for name, (low, high) in self.ranges:
            node = self._range_node(graph, name)
            if node.name in named:
                words = f"{named[node.name]!r} and {name!r} are the same range"
                raise PassError(words, where=self.name, hint="leave one of them out")
            named[node.name] = name
            if not low <= 0 <= high:
                widened.append(name)
            for port, (end, value) in enumerate((("min", min(low, 0.0)), ("max", max(high, 0.0)))):
                constant = Node.const(edit.free_name(f"{node.name}/frozen_{end}"), Tensor.of(value, DType.FLOAT))
                edit.add(constant, [node.name])
                edit.rewire(node.name if port == 0 else f"{node.name}:{port}", constant.name)
            edit.remove(node.name, "its range is stored")
        notes = [f"Widened to include 0, as the kernel asks: the range of {name}." for name in widened]
        left = sum(node.op == "RequantizationRange" for node in graph.nodes) - len(named)
        if left:
            notes.append(f"{left} RequantizationRange nodes have no stored range and still find theirs at run time.")
        return result(edit, notes)

    def _range_node(self, graph: ModelGraph, name: str) -> Node:
        """The RequantizationRange that ``name`` means."""
        node = graph.get(name)
        if node is not None and node.op == "Requantize":
            node = graph.producer(node, 3)
        elif node is None or node.op != "RequantizationRange":
            node = graph.get(name + RANGE_SUFFIX)
        if node is not None and node.op == "RequantizationRange":
            return node
        known = [other.name for other in graph.nodes if other.op == "RequantizationRange"]
        if not known:
            hint = "run quantize_nodes first, without fallback ranges"
            raise PassError("no node of this graph finds a range at run time", where=self.name, hint=hint)
        layers = [other.removesuffix(RANGE_SUFFIX) for other in known]
        hint = did_you_mean(name, layers + known, f"there is, for example, {layers[0]}")
        raise PassError(f"{name!r} has no RequantizationRange", where=self.name, hint=hint)

"""Nodes that print what passes through them, as the Graph Transform Tool's transform of this name makes them
(tensorflow/tools/graph_transforms/insert_logging.cc)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import CONTROL_FLOW, ModelGraph, Node
from compressor_gui.core.op_outputs import output_types
from compressor_gui.core.passes.base import Names, Pass, PassResult, param, result
from compressor_gui.core.passes.readers import redirect
from compressor_gui.core.passes.wording import some
from compressor_gui.core.values import DType

_SUFFIX = "__print__"
_UNPRINTABLE = (DType.RESOURCE, DType.VARIANT)


@dataclass(frozen=True)
class InsertLogging(Pass):
    """A Print named ``<node>__print__`` stands behind each chosen node; who read its first output reads the Print.

    Every run writes a line a node to standard error, with all outputs of the node that are read:
    ``;Op;;name__print__;message[value ...][value ...]``. With ``op=RequantizationRange``, ``show_name`` and the message
    ``__requant_min_max:`` that is a log that ``freeze_requantization_ranges`` reads.
    """

    name: ClassVar[str] = "insert_logging"
    title: ClassVar[str] = "Insert logging"
    summary: ClassVar[str] = "Print the values of chosen nodes to standard error, at each run."

    op: Names = param((), "names", "Operations", "Nodes of these operations; none: of any.")
    prefix: Names = param((), "names", "Prefixes", "Nodes whose names begin so; none: of any name.")
    message: str = param("", "text", "Message", "Stands before the values: __requant_min_max: for a log of ranges.")
    show_op: bool = param(False, "flag", "Show the operation", "The operation stands first in the line.")
    show_name: bool = param(False, "flag", "Show the name", "The Print's name stands before the message.")
    first_n: int = param(-1, "integer", "Runs", "Print in so many runs; -1: in all.", minimum=-1)
    summarize: int = param(1024, "integer", "Values", "The most values of one tensor to print; -1: all.", minimum=-1)

    def run(self, graph: ModelGraph) -> PassResult:
        """Nodes whose outputs nobody reads print nothing, as nothing would run the Print: outputs of the graph too."""
        edit = Edit(graph)
        kept: dict[str, list[str]] = {}
        for node in graph.nodes:
            if (self.op and node.op not in self.op) or (self.prefix and not node.name.startswith(self.prefix)):
                continue
            refs = (graph[user].refs[index] for user, index in graph.consumers[node.name])
            ports = sorted({ref.port for ref in refs if not ref.control})
            if not ports:
                continue
            types = output_types(node)
            reason = _reason_to_skip(node, types, ports)
            if reason or types is None:
                kept.setdefault(reason, []).append(node.name)
            else:
                self._print(edit, node, {f"{node.name}:{port}" if port else node.name: types[port] for port in ports})
        notes = [f"Not printed, as {reason}: {some(names)}." for reason, names in kept.items()]
        if not edit.origins:
            notes.append("No node that something reads was chosen.")
        return result(edit, notes)

    def _print(self, edit: Edit, node: Node, outputs: Mapping[str, DType]) -> None:
        """Put a Print behind ``outputs`` of ``node``, the first of which is handed on."""
        name = edit.free_name(node.name + _SUFFIX)
        start = f";{node.op};" if self.show_op else ""
        start += f";{name};" if self.show_name else ""
        first = next(iter(outputs))
        made = Node.make(
            name,
            "Print",
            (first, *outputs),
            node.device,
            T=outputs[first],
            U=tuple(outputs.values()),
            message=(start + self.message).encode(),
            first_n=self.first_n,
            summarize=self.summarize,
        )
        edit.add(made, [node.name], before=edit.graph.consumers[node.name][0][0])
        redirect(edit, first, name)


def _reason_to_skip(node: Node, types: Sequence[DType] | None, ports: Sequence[int]) -> str:
    if node.op in CONTROL_FLOW:
        return "they are branches or loops"
    if types is None or ports[-1] >= len(types):
        return "the types of what they put out are not known"
    if any(types[port] in _UNPRINTABLE for port in ports):
        return "they put out resources"
    return ""

"""Names of one's own for the outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.base import Pass, PassResult, Renames, param, result

# What TensorFlow's NodeDef validation accepts.
_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")


@dataclass(frozen=True)
class RenameOutputs(Pass):
    """The Graph Transform Tool's ``rename_node``, for several nodes at once; names may be exchanged."""

    name: ClassVar[str] = "rename_outputs"
    title: ClassVar[str] = "Rename outputs"
    summary: ClassVar[str] = "Gives outputs (or any other node) new names; all that read them follow."

    names: Renames = param((), "renames", "New names", "Old name -> new name.", required=True)

    def run(self, graph: ModelGraph) -> PassResult:
        """Raises PassError when an old name is missing, or a new one is taken or no name for TensorFlow."""
        return rename(graph, dict(self.names), self.name)


def rename(graph: ModelGraph, names: Mapping[str, str], where: str) -> PassResult:
    """Give nodes new names (old -> new); all that read them, and the graph's outputs, follow.

    Raises PassError in ``where``'s name when an old name is missing, or a new one is taken or no name for TensorFlow.
    """
    renames = {old: new for old, new in names.items() if old != new}
    _check(graph, renames, where)
    edit = Edit(graph)
    for old in renames:
        edit.remove(old, f"renamed to {renames[old]}")
    for node in graph.nodes:
        if node.name in renames or any(ref.name in renames for ref in node.refs):
            inputs = (str(ref._replace(name=renames.get(ref.name, ref.name))) for ref in node.refs)
            made = node.with_(name=renames.get(node.name), inputs=inputs)
            if node.name in renames:
                edit.add(made, (node.name,))
            else:
                edit.replace(made)
    return result(edit, outputs=[renames.get(name, name) for name in graph.outputs])


def _check(graph: ModelGraph, renames: Mapping[str, str], where: str) -> None:
    taken: set[str] = set()
    for old, new in renames.items():
        if old not in graph:
            hint = f"the outputs are {', '.join(graph.outputs[:5])}"
            raise PassError(f"there is no node {old!r} to rename", where=where, hint=hint)
        if not _NAME.fullmatch(new):
            hint = "letters, digits and . _ / - are allowed, and it starts with a letter, a digit or ."
            raise PassError(f"{new!r} is no name for a node", where=where, hint=hint)
        if new in taken or (new in graph and new not in renames):
            raise PassError(f"the name {new!r} is taken", where=where, hint="choose another one")
        taken.add(new)

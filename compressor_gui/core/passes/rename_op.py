"""Another operation for all nodes of one, as by the Graph Transform Tool's transform of this name
(tensorflow/tools/graph_transforms/rename_op.cc)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.base import Pass, PassResult, checked, param, result

_OP = re.compile(r"_*[A-Z][A-Za-z0-9_>]*")


@dataclass(frozen=True)
class RenameOp(Pass):
    """Inputs and attributes stay, so that it depends on both operations whether TensorFlow takes the graph."""

    name: ClassVar[str] = "rename_op"
    title: ClassVar[str] = "Rename an operation"
    summary: ClassVar[str] = "Makes all nodes of one operation nodes of another: AddV2 from Add, for example."

    old_op_name: str = param("", "text", "Old operation", "What the nodes are now: Add.", required=True)
    new_op_name: str = param("", "text", "New operation", "What they become: AddV2.", required=True)

    def run(self, graph: ModelGraph) -> PassResult:
        """Raises PassError where a name is missing or none of an operation, or the graph would break."""
        for key in ("old_op_name", "new_op_name"):
            if not _OP.fullmatch(getattr(self, key)):
                words = f"{key}={getattr(self, key)!r} is no name of an operation"
                raise PassError(words, where=self.name, hint="write it as inspect shows it, for example AddV2")
        edit = Edit(graph)
        for node in graph.nodes:
            if node.op == self.old_op_name != self.new_op_name:
                edit.replace(node.with_(op=self.new_op_name))
        notes = [] if self.old_op_name in graph.op_counts else [f"No node is of the operation {self.old_op_name}."]
        return checked(self, result(edit, notes), graph)

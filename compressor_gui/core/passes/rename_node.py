"""A node gets another name, as by the Graph Transform Tool's transform of this name
(tensorflow/tools/graph_transforms/rename_node.cc)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.base import Pass, PassResult, param
from compressor_gui.core.passes.rename_outputs import rename


@dataclass(frozen=True)
class RenameNode(Pass):
    """Where the tool passes over a name that no node has, this one says so. ``rename_outputs`` renames several."""

    name: ClassVar[str] = "rename_node"
    title: ClassVar[str] = "Rename a node"
    summary: ClassVar[str] = "Gives one node another name; all that read it, and the graph's outputs, follow."

    old_node_name: str = param("", "text", "Old name", "The node to rename.", required=True)
    new_node_name: str = param("", "text", "New name", "A name that no node has.", required=True)

    def run(self, graph: ModelGraph) -> PassResult:
        """Raises PassError when the old name is missing, or the new one is taken or no name for TensorFlow."""
        if not self.old_node_name or not self.new_node_name:
            missing = "old_node_name" if not self.old_node_name else "new_node_name"
            raise PassError(f"{missing} is missing", where=self.name, hint="name the node, and what it shall be called")
        return rename(graph, {self.old_node_name: self.new_node_name}, self.name)

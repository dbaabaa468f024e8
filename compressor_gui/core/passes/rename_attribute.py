"""An attribute gets another name, as by the Graph Transform Tool's transform of this name
(tensorflow/tools/graph_transforms/rename_attribute.cc)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.base import Pass, PassResult, param
from compressor_gui.core.passes.remove_attribute import edit_attribute


@dataclass(frozen=True)
class RenameAttribute(Pass):
    """A node that has an attribute of the new name already stays as it is."""

    name: ClassVar[str] = "rename_attribute"
    title: ClassVar[str] = "Rename an attribute"
    summary: ClassVar[str] = "Gives an attribute of all nodes, or of one operation's, another name."

    old_attribute_name: str = param("", "text", "Old attribute", "Its name now.", required=True)
    new_attribute_name: str = param("", "text", "New attribute", "Its name afterwards.", required=True)
    op_name: str = param("", "text", "Operation", "Only in nodes of this operation; none: in all.")

    def run(self, graph: ModelGraph) -> PassResult:
        """Raises PassError where a name is missing, or a node can't do without the attribute."""

        def renamed(node: Node) -> Node:
            if self.new_attribute_name in node.attrs:
                return node
            value = node.attrs[self.old_attribute_name]
            return node.with_(attrs={self.old_attribute_name: None, self.new_attribute_name: value})

        return edit_attribute(self, graph, "old_attribute_name", renamed, ("new_attribute_name",))

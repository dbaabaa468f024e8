"""An attribute is taken away, as by the Graph Transform Tool's transform of this name
(tensorflow/tools/graph_transforms/remove_attribute.cc)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.base import Pass, PassResult, checked, param, result


@dataclass(frozen=True)
class RemoveAttribute(Pass):
    """TensorFlow refuses a node without an attribute that has no default; the check at export finds that."""

    name: ClassVar[str] = "remove_attribute"
    title: ClassVar[str] = "Remove an attribute"
    summary: ClassVar[str] = "Takes an attribute away from all nodes, or from one operation's."

    attribute_name: str = param("", "text", "Attribute", "Its name, for example _output_shapes.", required=True)
    op_name: str = param("", "text", "Operation", "Only in nodes of this operation; none: in all.")

    def run(self, graph: ModelGraph) -> PassResult:
        """Raises PassError where no attribute is named, or a node can't do without it."""
        return edit_attribute(self, graph, "attribute_name", lambda node: node.with_(attrs={self.attribute_name: None}))


def edit_attribute(
    transform: Pass, graph: ModelGraph, key: str, change: Callable[[Node], Node], others: tuple[str, ...] = ()
) -> PassResult:
    """Change all nodes, of the operation ``transform.op_name`` if given, that have the attribute named by ``key``.

    ``others`` are further parameters that have to be given. Raises PassError.
    """
    for name in (key, *others):
        if not getattr(transform, name):
            raise PassError(f"{name} is missing", where=transform.name, hint="name the attribute as inspect shows it")
    attribute, op = getattr(transform, key), getattr(transform, "op_name", "")
    edit = Edit(graph)
    for node in graph.nodes:
        if attribute in node.attrs and op in ("", "*", node.op):
            edit.replace(change(node))
    notes = [] if edit.origins else [f"No node{f' of the operation {op}' if op else ''} has to change {attribute}."]
    return checked(transform, result(edit, notes), graph)

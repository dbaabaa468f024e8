"""What a graph would compute from constants alone is computed once, now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.edit import Edit
from compressor_gui.core.evaluate import constant_values
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.base import Pass, PassResult, param, result
from compressor_gui.core.passes.unread import remove_unread


@dataclass(frozen=True)
class FoldConstants(Pass):
    """Named as in the Graph Transform Tool, whose pass asks TensorFlow; this one folds what numpy computes alike."""

    name: ClassVar[str] = "fold_constants"
    title: ClassVar[str] = "Fold constants"
    summary: ClassVar[str] = (
        "Replaces operations whose inputs are all constants (Identity, Reshape, Cast, arithmetic, shapes) by "
        "their result, and removes the constants that nothing reads any more."
    )

    maximum_bytes: int = param(
        10_000_000,
        "integer",
        "Largest growth",
        "A result that takes this many bytes more than its inputs stays unfolded.",
        minimum=0,
        unit="bytes",
    )

    def run(self, graph: ModelGraph) -> PassResult:
        """A folded node keeps its name, device and what it waits for, and becomes a Const."""
        known = constant_values(graph, self.maximum_bytes)
        edit = Edit(graph)
        absorbed: list[str] = []
        for name, value in known.items():
            node = graph[name]
            readers = [user for user, index in graph.consumers[name] if not graph[user].refs[index].control]
            if not graph.is_output(name) and all(user in known for user in readers):
                absorbed += [name] if readers else []
            elif node.op != "Const":
                made = Node.const(name, value.tensor, node.device)
                edit.replace(made.with_(inputs=value.control), [ref.name for ref in node.data_refs])
        remove_unread(edit, absorbed, "folded into a constant that was made from it")
        return result(edit)

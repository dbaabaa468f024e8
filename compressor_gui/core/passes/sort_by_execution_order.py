"""Every node behind what it reads, as the Graph Transform Tool's transform of this name leaves them
(tensorflow/tools/graph_transforms/sort_by_execution_order.cc)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.base import Pass, PassResult


@dataclass(frozen=True)
class SortByExecutionOrder(Pass):
    """A file that is sorted already stays as it is; the way back of a loop (NextIteration to Merge) doesn't count."""

    name: ClassVar[str] = "sort_by_execution_order"
    title: ClassVar[str] = "Sort by execution order"
    summary: ClassVar[str] = "Puts every node behind those that it reads; the nodes themselves stay as they are."

    def run(self, graph: ModelGraph) -> PassResult:
        """The nodes that stood before something they read are named as those that moved."""
        place = {node.name: index for index, node in enumerate(graph.topological())}
        seen: set[str] = set()
        early: dict[str, tuple[str, ...]] = {}
        for node in graph.nodes:
            if any(ref.name not in seen and place[ref.name] < place[node.name] for ref in node.refs):
                early[node.name] = (node.name,)
            seen.add(node.name)
        if not early:
            return PassResult(graph)
        return PassResult(ModelGraph(graph.topological(), graph.extras, graph.outputs), early)

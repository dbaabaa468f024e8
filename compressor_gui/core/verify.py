"""What holds of every graph, checked after reading and after every pass."""

from __future__ import annotations

from compressor_gui.core.errors import GraphError
from compressor_gui.core.graph import ModelGraph, check_tensor


def verify(graph: ModelGraph, before: ModelGraph | None = None) -> None:
    """Check unique names, that inputs exist, that there is no cycle outside loops, that outputs are kept, and that
    constants fit their shapes.

    With ``before``, the version that passed already, nodes shared with it are not decoded again. Raises GraphError
    naming the node.
    """
    for node in graph.nodes:
        if before is not None and before.get(node.name) is node:
            shared = True
        else:
            shared = False
            check_tensor(node)
        control = False
        for text, ref in zip(node.inputs, node.refs, strict=True):
            if ref.name not in graph:
                words = f"its input {text!r} is not in the graph"
                raise GraphError(words, where=f"node {node.name!r}", hint="the graph is incomplete")
            if control and not ref.control and not shared:
                raise GraphError(f"its input {text!r} stands behind a control input", where=f"node {node.name!r}")
            control = control or ref.control
        if node.op == "Const" and node.data_refs:
            raise GraphError("it is a constant and has an input", where=f"node {node.name!r}")
    for name in graph.outputs:
        if name not in graph:
            raise GraphError("this output is missing", where=f"node {name!r}", hint="name one that is in the graph")
    graph.topological()

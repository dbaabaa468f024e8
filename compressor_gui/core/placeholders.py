"""A graph's placeholders, and what the nodes behind them say about their shapes."""

from __future__ import annotations

from compressor_gui.core.graph import ModelGraph, Node


def placeholders(graph: ModelGraph) -> tuple[Node, ...]:
    """The placeholders that the outputs depend on; those with a default keep it."""
    needed: set[str] = set()
    waiting = [name for name in graph.outputs if name in graph]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [ref.name for ref in graph[name].refs if ref.name in graph]
    wanted = (node for node in graph.nodes if node.op in ("Placeholder", "PlaceholderV2"))
    return tuple(node for node in wanted if node.name in needed)


def row_that_is_read(graph: ModelGraph, node: Node) -> int | None:
    """The length of the rows that a MatMul directly behind the placeholder reads."""
    for name, index in graph.consumers[node.name]:
        weight = graph.constant(graph[name], 1) if graph[name].op == "MatMul" and index == 0 else None
        if weight is not None and weight.array.ndim == 2:
            return int(weight.array.shape[1 if graph[name].flag("transpose_b") else 0])
    return None


def channels_that_are_read(graph: ModelGraph, node: Node) -> int | None:
    """The channels that a convolution directly behind the placeholder reads."""
    for name, index in graph.consumers[node.name]:
        read = graph[name].op in ("Conv2D", "DepthwiseConv2dNative") and index == 0
        weight = graph.constant(graph[name], 1) if read else None
        if weight is not None and weight.array.ndim == 4:
            return int(weight.array.shape[2])
    return None

"""Which part of a graph has to run again when one constant changes, and what enters that part.

That part is everything downstream of the constant on the way to an output. The tensors that enter it are the same
whatever the constant is: they are computed once and fed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from compressor_gui.core.graph import CONTROL_FLOW, ModelGraph


@dataclass(frozen=True)
class Cut:
    """``tensors`` (``name:port``) are fed in the place of what lies upstream; ``outputs`` are the graph's outputs that
    the constant reaches, in their order."""

    tensors: tuple[str, ...]
    outputs: tuple[str, ...]


def cut_behind(graph: ModelGraph, constant: str, feedable: Callable[[str], bool] = lambda _: True) -> Cut:
    """The cut upstream of everything that reads ``constant``.

    Where an entering tensor can't be fed (``feedable`` says no to its ``name:port``), or may have no value, as it is in
    a branch or a loop, its producer is run again too; so is what only has to run before (a control input). What is
    computed from constants alone is never fed: TensorFlow folds it.
    """
    reached = {constant}
    varying = set(graph.inputs)
    in_loops = any(node.op == "Enter" for node in graph.nodes)
    branches: dict[str, int] = {}
    for node in graph.topological():
        around = max((branches.get(ref.name, 0) for ref in node.refs), default=0)
        branches[node.name] = max(0, around + (node.op == "Switch") - (node.op == "Merge"))
        if any(ref.name in reached for ref in node.refs):
            reached.add(node.name)
        if any(ref.name in varying for ref in node.refs):
            varying.add(node.name)
    outputs = tuple(name for name in graph.outputs if name in reached)
    again: set[str] = set()
    entering: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in again:
            continue
        again.add(name)
        for ref in graph[name].refs:
            if ref.name in reached:
                waiting.append(ref.name)
            elif ref.name in varying:
                source, tensor = graph[ref.name], f"{ref.name}:{max(ref.port, 0)}"
                lives = not in_loops and not branches[source.name] and source.op not in CONTROL_FLOW
                fixed = source.name in graph.inputs or (lives and not ref.control and feedable(tensor))
                entering.add(tensor) if fixed else waiting.append(ref.name)
    produced = {tensor for tensor in entering if tensor.rpartition(":")[0] not in again}
    order = {name: place for place, name in enumerate(graph)}
    return Cut(tuple(sorted(produced, key=lambda t: (order[t.rpartition(":")[0]], t))), outputs)

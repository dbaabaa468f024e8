"""Only what the outputs need is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph, Node, parse_ref
from compressor_gui.core.op_outputs import output_types
from compressor_gui.core.passes.base import Names, Pass, PassResult, param, result
from compressor_gui.core.values import DType, Shape


@dataclass(frozen=True)
class StripUnusedNodes(Pass):
    """As in the Graph Transform Tool, except that a new Placeholder gets the type and shape that the graph tells."""

    name: ClassVar[str] = "strip_unused_nodes"
    title: ClassVar[str] = "Strip unused nodes"
    summary: ClassVar[str] = (
        "Removes every node that the outputs don't need; nodes named as inputs become Placeholders, and what stood "
        "before them goes too."
    )

    outputs: Names = param((), "names", "Outputs", "The nodes to keep a path to; none: the graph's outputs.")
    inputs: Names = param((), "names", "Inputs", "Nodes that are fed from now on.")

    def run(self, graph: ModelGraph) -> PassResult:
        """Raises PassError for a name that is not in the graph."""
        outputs = _nodes(graph, self.outputs, "outputs") or graph.outputs
        inputs = _nodes(graph, self.inputs, "inputs")
        needed = _needed(graph, outputs, frozenset(inputs))
        edit = Edit(graph)
        notes = [f"No output needs the input {name}." for name in inputs if name not in needed]
        for name in inputs:
            if graph[name].op != "Placeholder":
                types = output_types(graph[name])
                edit.replace(_placeholder(graph[name], types[0] if types else DType.FLOAT))
                if not types:
                    notes.append(f"The type of {name} is not known, and is taken for float.")
        kept = needed | set(inputs)
        for name in graph:
            if name not in kept:
                edit.remove(name, "no output needs it")
        return result(edit, notes, outputs=outputs)


def _nodes(graph: ModelGraph, names: Names, key: str) -> tuple[str, ...]:
    """The nodes that these names ("name" or "name:port") stand for."""
    found = tuple(dict.fromkeys(parse_ref(name).name for name in names))
    missing = next((name for name in found if name not in graph), None)
    if missing is not None:
        hint = f"its outputs are {', '.join(graph.outputs[:5])}" if key == "outputs" else "check the spelling"
        raise PassError(f"{key}: there is no node {missing!r}", where=StripUnusedNodes.name, hint=hint)
    return found


def _needed(graph: ModelGraph, outputs: Iterable[str], inputs: frozenset[str]) -> set[str]:
    """Every node on a path, control inputs included, from ``inputs`` or a source of the graph to ``outputs``."""
    needed: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        if name not in inputs:
            waiting += (ref.name for ref in graph[name].refs)
    return needed


def _placeholder(node: Node, dtype: DType) -> Node:
    shapes = node.attrs.get("_output_shapes")
    shape = node.shape() or (shapes[0] if isinstance(shapes, tuple) and shapes else None)
    if node.tensor is not None:
        shape = Shape(tuple(node.tensor.array.shape))
    known = shape if isinstance(shape, Shape) else Shape(None)
    return Node.make(node.name, "Placeholder", device=node.device, dtype=dtype, shape=known)

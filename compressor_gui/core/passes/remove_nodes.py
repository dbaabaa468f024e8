"""Nodes that do nothing at inference are taken out, and their readers read what stood before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.edit import Edit
from compressor_gui.core.evaluate import Constant, constant_values
from compressor_gui.core.graph import CONTROL_FLOW, ModelGraph, Node
from compressor_gui.core.passes.base import Names, Pass, PassResult, param, result
from compressor_gui.core.passes.wording import some
from compressor_gui.core.values import DType

IDLE = ("Identity", "IdentityN", "CheckNumerics", "StopGradient", "PreventGradient", "Snapshot", "Dropout")
"""The default. ``Dropout`` stands for the nodes that a dropout layer which keeps everything is made of."""

_REFERENCES = (DType.RESOURCE, DType.VARIANT)


@dataclass(frozen=True)
class RemoveNodes(Pass):
    """As in the Graph Transform Tool: any op may be named, and its readers then read its first input.

    Kept are outputs, nodes with control inputs (their order means something), nodes beside version 1 control flow (they
    mark a branch), and those that hand on a resource.
    """

    name: ClassVar[str] = "remove_nodes"
    title: ClassVar[str] = "Remove nodes"
    summary: ClassVar[str] = (
        "Removes operations that only hand their input on: Identity, CheckNumerics, StopGradient, dropout at inference."
    )

    ops: Names = param(IDLE, "names", "Operations", "The operations to remove.")
    max_inputs: int = param(
        1, "integer", "Most inputs", "Nodes of these operations that read more are kept.", minimum=1, maximum=100
    )

    def run(self, graph: ModelGraph) -> PassResult:
        """Removed nodes are joined in order of computation, so that a chain of them is resolved in one step."""
        edit = Edit(graph)
        kept: dict[str, list[str]] = {}
        known = constant_values(graph, 0) if "Dropout" in self.ops else {}
        for node in graph.topological():
            source = _dropped(graph, known, node) if "Dropout" in self.ops and node.op == "Mul" else None
            if source is not None and not graph.is_output(node.name):
                edit.rewire(node.name, edit.resolve(source))
                edit.remove(node.name, "a dropout that keeps everything")
                continue
            if node.op not in self.ops:
                continue
            reason = self._reason_to_keep(graph, node)
            if reason:
                kept.setdefault(reason, []).append(node.name)
                continue
            many = node.op == "IdentityN"
            for port, ref in enumerate(node.data_refs if many else node.data_refs[:1]):
                edit.rewire(f"{node.name}:{port}", edit.resolve(str(ref)))
            edit.remove(node.name, f"{node.op} hands on its input")
        notes = [f"{some(names)} kept: {reason}." for reason, names in kept.items()]
        return result(edit, notes)

    def _reason_to_keep(self, graph: ModelGraph, node: Node) -> str:
        data = node.data_refs
        users = graph.consumers[node.name]
        if graph.is_output(node.name):
            return "an output keeps its name"
        if not data:
            return "there is no input to hand on"
        if len(data) > self.max_inputs and node.op != "IdentityN":
            return f"more than {self.max_inputs} inputs"
        if len(data) < len(node.refs):
            return "it waits for other nodes"
        types = node.attrs.get("T")
        if any(dtype in _REFERENCES for dtype in (types if isinstance(types, tuple) else (types,))):
            return "it hands on a resource"
        beside = {graph[ref.name].op for ref in data} | {graph[user].op for user, _ in users}
        if beside & CONTROL_FLOW:
            return "it stands beside a branch or a loop"
        if node.op == "IdentityN" and any(graph[user].refs[index].control for user, index in users):
            return "other nodes wait for it"
        return ""


def _dropped(graph: ModelGraph, known: Mapping[str, Constant], product: Node) -> str | None:
    """The input of a dropout whose end is ``product``, where it keeps everything; None otherwise.

    TensorFlow 1 writes ``x / keep_prob * floor(keep_prob + uniform)`` or, from 1.13 on,
    ``x * scale * cast(uniform >= rate)``, with ``uniform`` in [0, 1).
    """
    for scaled, mask in ((0, 1), (1, 0)):
        scaling, masking = graph.producer(product, scaled), graph.producer(product, mask)
        if scaling is None or masking is None or len(product.refs) != 2 or len(scaling.refs) != 2:
            continue
        if scaling.op not in ("RealDiv", "Mul") or not _keeps_everything(graph, known, masking):
            continue
        for factor, source in ((1, 0), (0, 1)) if scaling.op == "Mul" else ((1, 0),):
            if _is_constant(graph, known, scaling, factor, 1):
                return str(scaling.refs[source])
    return None


def _keeps_everything(graph: ModelGraph, known: Mapping[str, Constant], mask: Node) -> bool:
    """Whether it is floor(1 + uniform) or cast(uniform >= 0), ones both."""
    test = graph.producer(mask, 0)
    if test is None or (mask.op, test.op) not in (("Floor", "Add"), ("Floor", "AddV2"), ("Cast", "GreaterEqual")):
        return False
    wanted = 0 if mask.op == "Cast" else 1
    threshold, noise = (1, 0) if mask.op == "Cast" else (0, 1)
    uniform = graph.producer(test, noise)
    return (
        uniform is not None
        and _is_constant(graph, known, test, threshold, wanted)
        and _is_uniform(graph, known, uniform)
    )


def _is_uniform(graph: ModelGraph, known: Mapping[str, Constant], node: Node) -> bool:
    """Whether it lies in [0, 1): a RandomUniform, or one times 1 plus 0 as ``tf.random_uniform`` writes it."""
    for op, neutral in (("Add", 0), ("Mul", 1)):
        if node.op in (op, f"{op}V2") and _is_constant(graph, known, node, 1, neutral):
            found = graph.producer(node, 0)
            if found is None:
                return False
            node = found
    return node.op == "RandomUniform"


def _is_constant(graph: ModelGraph, known: Mapping[str, Constant], node: Node, index: int, value: float) -> bool:
    source = graph.producer(node, index)
    found = known.get(source.name) if source is not None else None
    return found is not None and found.tensor.array.size == 1 and bool(found.tensor.array.reshape(-1)[0] == value)

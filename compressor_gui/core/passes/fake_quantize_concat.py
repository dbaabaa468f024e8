"""One trained range for all that a concatenation joins, so that in 8 bits it only copies codes.

Networks trained with FakeQuant nodes have a range for each input of a Concat, or one behind it. The 8-bit kernel has
to bring all inputs to one range, code by code, unless they have the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import ModelGraph, Node, Ref
from compressor_gui.core.passes.base import Pass, PassResult, result
from compressor_gui.core.passes.eightbit.plan import fake_quant_range
from compressor_gui.core.passes.unread import remove_unread
from compressor_gui.core.passes.wording import some
from compressor_gui.core.values import DType, Tensor

Range = tuple[float, float]


@dataclass(frozen=True)
class FakeQuantizeConcat(Pass):
    """A FakeQuant behind a Concat moves in front of it, onto every input, which changes no number. Where all inputs of
    a Concat have FakeQuants, these get the union of their ranges; so do those of Concats that share inputs.
    """

    name: ClassVar[str] = "fake_quantize_concat"
    title: ClassVar[str] = "One range for a concatenation"
    summary: ClassVar[str] = (
        "Gives the FakeQuants in front of a concatenation one range, so that in 8 bits it needs no requantization."
    )

    def run(self, graph: ModelGraph) -> PassResult:
        """Only FakeQuants with constant ranges for 256 codes count."""
        edit = Edit(graph)
        behind = {node.name: found for node in graph.nodes if (found := _fake_quant_behind(graph, node)) is not None}
        widened: list[str] = []
        freed: list[str] = []
        for name, (low, high) in _unions(graph, behind).items():
            node = graph[name]
            if fake_quant_range(graph, node) == (low, high):
                continue
            limits = [
                edit.add(Node.const(edit.free_name(f"{name}/concat_{end}"), Tensor.of(value, DType.FLOAT)), [name])
                for end, value in (("min", low), ("max", high))
            ]
            edit.replace(node.with_(inputs=[node.inputs[0], *limits]))
            widened.append(name)
            freed += [ref.name for ref in node.data_refs[1:]]
        for name, fake_quant in behind.items():
            _move_in_front(edit, graph[name], edit[fake_quant.name])
        remove_unread(edit, freed, "the range of all that a concatenation joins took its place")
        words = "Their range is that of the whole concatenation now, so that their steps are larger"
        return result(edit, [f"{words}: {some(widened)}."] if widened else [])


def _parts(node: Node) -> Sequence[Ref]:
    """What a Concat of floats joins; nothing for other nodes."""
    if node.op not in ("Concat", "ConcatV2") or node.dtype("T") != DType.FLOAT or len(node.data_refs) < len(node.refs):
        return ()
    return node.data_refs[1:] if node.op == "Concat" else node.data_refs[:-1]


def _fake_quant_behind(graph: ModelGraph, node: Node) -> Node | None:
    """The FakeQuant that alone reads a Concat, with everything it reads known."""
    users = graph.consumers[node.name]
    if not _parts(node) or len(users) != 1 or graph.is_output(node.name):
        return None
    reader = graph[users[0][0]]
    return reader if users[0][1] == 0 and fake_quant_range(graph, reader) is not None else None


def _unions(graph: ModelGraph, behind: dict[str, Node]) -> dict[str, Range]:
    """FakeQuant in front of a Concat -> the union of the ranges that have to be one. (Union-find over names.)"""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for node in graph.topological():
        parts = _parts(node)
        if not parts or node.name in behind:
            continue
        sources = [graph[ref.name] for ref in parts]
        if all(source.name in parent or fake_quant_range(graph, source) is not None for source in sources):
            for source in sources:
                parent[root(source.name)] = root(node.name)
    found: dict[str, Range] = {}
    for name in parent:
        limits = fake_quant_range(graph, graph[name])
        if limits is not None:
            low, high = found.get(root(name), limits)
            found[root(name)] = min(low, limits[0]), max(high, limits[1])
    return {name: found[root(name)] for name in parent if fake_quant_range(graph, graph[name]) is not None}


def _move_in_front(edit: Edit, concat: Node, fake_quant: Node) -> None:
    """Put a copy of the FakeQuant on every input of the Concat, which takes its name."""
    inputs = list(concat.inputs)
    made: dict[Ref, str] = {}
    first = 1 if concat.op == "Concat" else 0
    for index, ref in enumerate(_parts(concat)):
        if ref not in made:
            name = edit.free_name(f"{fake_quant.name}_{index}")
            copy = fake_quant.with_(name=name, inputs=[str(ref), *fake_quant.inputs[1:]])
            made[ref] = edit.add(copy, [fake_quant.name, ref.name], before=concat.name)
        inputs[first + index] = made[ref]
    edit.replace(concat.with_(name=fake_quant.name, inputs=inputs), [concat.name])
    edit.remove(concat.name, f"its FakeQuant stands in front of it, and it goes by the name of {fake_quant.name}")

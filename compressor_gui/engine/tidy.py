"""A graph as TensorFlow's freezing leaves it, made readable: nothing that only orders, hands on, or is never read."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tensorflow.python.framework import op_def_registry

from compressor_gui.core.graph import CONTROL_FLOW, ModelGraph
from compressor_gui.core.passes import Pass, make
from compressor_gui.core.recipe import Recipe, Replayer

_CALL = re.compile(r"(?:(?:Stateful)?PartitionedCall(?:_\d+)?/)+")
_NO_NAME = re.compile(r"[^A-Za-z0-9_.\\/>-]")


def tidy(graph: ModelGraph, renames: Mapping[str, str]) -> tuple[ModelGraph, dict[str, str]]:
    """The graph with control inputs, Identities and nodes gone that change nothing, and with better names.

    ``renames`` are wishes, old name -> new. The names of calls that were inlined are left out where what remains is
    free. Returns the graph, and old name -> new of every node that was renamed.
    """
    graph = ModelGraph(_unordered(graph), graph.extras, graph.outputs)
    graph = _applied(graph, make("strip_unused_nodes", {}), make("remove_nodes", {}))
    granted = _granted(graph, renames)
    return _applied(graph, make("rename_outputs", {"names": granted})), granted


def _applied(graph: ModelGraph, *passes: Pass) -> ModelGraph:
    return Replayer(graph).replay(Recipe.of(*passes)).graph


def _unordered(graph: ModelGraph) -> list:
    """The nodes without control inputs from what has no effect but its value.

    Functions that were inlined leave chains of them. Those that come from a branch or a loop mark what belongs to it,
    and stay; so do those from stateful ops.
    """
    matters: set[str] = set()
    for node in graph.topological():
        if node.op in CONTROL_FLOW or _is_stateful(node.op) or any(ref.name in matters for ref in node.refs):
            matters.add(node.name)
    nodes = []
    for node in graph.nodes:
        kept = [str(ref) for ref in node.refs if not ref.control or ref.name in matters]
        nodes.append(node if len(kept) == len(node.inputs) else node.with_(inputs=kept))
    return nodes


def _is_stateful(op: str) -> bool:
    known = op_def_registry.get(op)
    return known is None or (known.is_stateful and op not in ("Placeholder", "PlaceholderWithDefault"))


def _granted(graph: ModelGraph, wishes: Mapping[str, str]) -> dict[str, str]:
    """The new names that are free: first the wishes, then names without inlined calls."""
    taken = set(graph)
    granted: dict[str, str] = {}
    plain = {name: _CALL.sub("", name.removeprefix("Func/")) for name in graph if _CALL.search(name)}
    for old, new in [*wishes.items(), *plain.items()]:
        new = _NO_NAME.sub("_", new).lstrip("_/\\>-")
        if old in graph and old not in granted and new and new not in taken:
            granted[old] = new
            taken.add(new)
    return granted

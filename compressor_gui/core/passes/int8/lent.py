"""Which residual sums have to copy their summand.

TensorFlow's kernel adds into the summand's memory, and ends the process where something else still holds that
("Summand cannot be forwarded in the current fusion"). So whatever else reads it must have run before: the sum must
depend on it.
"""

from __future__ import annotations

from collections.abc import Iterable

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.int8.match import Op


def sums_that_copy(graph: ModelGraph, ops: Iterable[Op]) -> frozenset[Op]:
    """The layers of ``ops`` whose summand may still be read by others when they run."""
    ops = tuple(ops)
    movers = {op.tail.name: op for op in ops if op.kind in ("move", "pad")}
    moved: dict[str, list[str]] = {}
    for name, op in movers.items():
        for source in op.sources:
            moved.setdefault(source, []).append(name)
    place = {node.name: at for at, node in enumerate(graph.topological())}
    found = set()
    for op in ops:
        if op.summand is None:
            continue
        same = _one_memory(op.summand, movers, moved)
        own = {node.name for node in op.swallowed}
        readers = {user for name in same for user, _ in graph.consumers[name]} - own - same
        before = _ancestors(graph, op, own, min(place[name] for name in same), place)
        if op.sources[0] in same or any(map(graph.is_output, same)) or not readers <= before:
            found.add(op)
    return frozenset(found)


def _one_memory(name: str, movers: dict[str, Op], moved: dict[str, list[str]]) -> set[str]:
    """The tensors that may share the memory of ``name``: what it was moved from, and what that is moved to."""
    found, waiting = {name}, [name]
    while waiting:
        name = waiting.pop()
        for other in (*moved.get(name, ()), *(movers[name].sources if name in movers else ())):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _ancestors(graph: ModelGraph, op: Op, own: set[str], first: int, place: dict[str, int]) -> set[str]:
    """What ``op`` depends on, from the ``first`` place in topological order."""
    found: set[str] = set()
    waiting = [ref.name for name in own for ref in graph[name].refs if ref.name not in own]
    while waiting:
        name = waiting.pop()
        if name not in found and place[name] >= first:
            found.add(name)
            waiting += [ref.name for ref in graph[name].refs]
    return found

"""What 8 bits gain and what the conversions cost, in nanoseconds: a model, to be corrected by measuring.

From whole networks, batch 1, on two cores with AVX-512 VNNI: ResNet-50 (3.9 G multiply-adds) took 67 ms in float and 22
in int8. A pair of Dequantize and QuantizeV2 took 3.5 ms on 6.4 M numbers and 0.26 ms on 0.2 M. The others are
bound by memory: a depthwise layer, a sum and a pool gain the bytes that they do not move, a MatMul of one row those
of its weights. Processors without VNNI gain less by a layer, and the same by all others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from compressor_gui.core.graph import ModelGraph, Ref
from compressor_gui.core.passes.carried_ranges import weights_of
from compressor_gui.core.passes.int8.match import Matcher, Op

_MULTIPLY_ADD = 0.012
_DEPTHWISE_OUTPUT = 0.3
_WEIGHT_OF_ONE_ROW = 0.2
_SUM = 0.4
_UNFUSED = 0.9
"""A number of an activation that has no int8 form, such as the hard swish: Grappler computes it as part of a float
layer, and in four passes behind a Dequantize."""
_POOLED = 0.2
_PADDED = 0.2
_CONVERTED, _CONVERSION = 0.3, 10_000.0

_GATES = ("Add", "AddV2", "Sigmoid", "Softplus")
"""What begins the f of hard swish, swish and Mish."""

_UNKNOWN_LENGTH = 64
"""Pixels along an axis of unknown length; an unknown batch is 1."""


class Costs:
    """What is gained in one graph."""

    def __init__(self, graph: ModelGraph, matcher: Matcher) -> None:
        self._graph = graph
        self._dims = matcher.dims

    def conversion(self, name: str) -> float:
        """Of one tensor, in one direction."""
        return _CONVERSION + _CONVERTED * self._size(name)

    def gain(self, op: Op) -> float:
        """Of one operation whose inputs and outputs need no conversion."""
        if op.kind == "pool":
            return _POOLED * self._size(op.sources[0])
        if op.kind == "pad":
            return _PADDED * self._size(op.tail.name)
        weights = weights_of(self._graph, op.head) if op.is_layer and not op.only_links else None
        if weights is None:
            return 0.0
        size, shape = self._size(op.head.name), weights.array.shape
        lost = _UNFUSED * size if self._is_activated(op.tail.name) else 0.0
        if op.kind == "matmul":
            return _WEIGHT_OF_ONE_ROW * weights.array.size
        if op.kind == "depthwise":
            return _DEPTHWISE_OUTPUT * size - lost
        added = _SUM * size if op.summand is not None else 0.0
        return _MULTIPLY_ADD * size * math.prod(shape[:3]) + added - lost

    def _is_activated(self, name: str) -> bool:
        """Whether an activation follows that a float layer would take in: ``x * f(x)``, or an Elu."""
        readers = {self._graph[user].op for user, _ in self._graph.consumers[name]}
        return readers in ({"Elu"}, {"LeakyRelu"}) or ("Mul" in readers and not readers.isdisjoint(_GATES))

    def _size(self, name: str) -> int:
        dims = self._dims(Ref(name, 0, False)) or (1, _UNKNOWN_LENGTH, _UNKNOWN_LENGTH, 1)
        return math.prod(d if d >= 0 else 1 if at == 0 else _UNKNOWN_LENGTH for at, d in enumerate(dims))


def worthwhile(graph: ModelGraph, ops: Iterable[Op], costs: Costs) -> tuple[Op, ...]:
    """Those of ``ops`` that gain more than the conversions around them cost.

    First operations at the border of a region are taken out for as long as that saves more than it loses, then whole
    regions that don't pay.
    """
    weighing = _Weighing(graph, ops, costs)
    weighing.peel()
    weighing.drop_regions()
    return tuple(op for op in weighing.candidates if op in weighing.ops)


class _Weighing:
    def __init__(self, graph: ModelGraph, ops: Iterable[Op], costs: Costs) -> None:
        self._graph = graph
        self.candidates = tuple(ops)
        self.ops = set(self.candidates)
        self._gains = {op: costs.gain(op) for op in self.candidates}
        self._makers = {op.tail.name: op for op in self.candidates if op.in_codes}
        self._readers: dict[str, list[Op]] = {}
        for op in self.candidates:
            for source in dict.fromkeys(op.sources):
                self._readers.setdefault(source, []).append(op)
        self._conversions = {name: costs.conversion(name) for name in {*self._readers, *self._makers}}
        self._float_readers = self._count_float_readers()

    def peel(self) -> None:
        """Take out single operations."""
        waiting = list(self.candidates)
        while waiting:
            op = waiting.pop()
            if op not in self.ops or self._saved_without(op) < self._gains[op]:
                continue
            self.ops.remove(op)
            waiting += self._neighbours(op)

    def drop_regions(self) -> None:
        """Take out what hangs together and does not pay."""
        seen: set[Op] = set()
        for first in self.candidates:
            if first in seen or first not in self.ops:
                continue
            region, waiting = {first: None}, [first]
            while waiting:
                for op in self._neighbours(waiting.pop()):
                    if op not in region:
                        region[op] = None
                        waiting.append(op)
            seen.update(region)
            tensors = dict.fromkeys(name for op in region for name in self._tensors(op))
            if sum(self._gains[op] for op in region) <= sum(map(self._converted, tensors)):
                self.ops.difference_update(region)

    def _tensors(self, op: Op) -> list[str]:
        return list(dict.fromkeys((*op.sources, *((op.tail.name,) if op.in_codes else ()))))

    def _neighbours(self, op: Op) -> list[Op]:
        found = [reader for name in self._tensors(op) for reader in self._readers.get(name, ())]
        found += [self._makers[name] for name in self._tensors(op) if name in self._makers]
        return [other for other in dict.fromkeys(found) if other is not op and other in self.ops]

    def _converted(self, name: str) -> float:
        """What a tensor's conversion costs now."""
        coded = any(op in self.ops for op in self._readers.get(name, ()))
        if self._makers.get(name) not in self.ops:
            return self._conversions[name] if coded else 0.0
        floating = self._float_readers.get(name, 0) or any(op not in self.ops for op in self._readers.get(name, ()))
        return self._conversions[name] if floating else 0.0

    def _saved_without(self, op: Op) -> float:
        tensors = self._tensors(op)
        before = sum(map(self._converted, tensors))
        self.ops.remove(op)
        after = sum(map(self._converted, tensors))
        self.ops.add(op)
        return before - after

    def _count_float_readers(self) -> Mapping[str, int]:
        """How often each result is read by something that is no candidate (its shape can be read from the codes); an
        output is read by the user."""
        swallowed = {node.name for op in self.candidates for node in op.swallowed}
        found: dict[str, int] = {}
        for name in self._makers:
            users = {user for user, at in self._graph.consumers[name] if not self._graph[user].refs[at].control}
            outside = sum(user not in swallowed and self._graph[user].op != "Shape" for user in users)
            found[name] = outside + (not users or self._graph.is_output(name))
        return found

"""Steps and shifts of the codes, from measured ranges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from compressor_gui.core.passes.int8.match import Op

Range = tuple[float, float]

_NARROWEST = 1e-30
"""A narrower range has a step whose inverse is not a float32."""


@dataclass(frozen=True)
class Format:
    """``value = (code - zero) * step`` for codes 0 to 255."""

    zero: int
    step: float

    @staticmethod
    def of(low: float, high: float) -> Format:
        """The finest steps that reach from ``low`` (at most 0) to ``high`` (at least 0) and have a code for 0.

        An end that is less than half a step away from zero is cut off.
        """
        span = max(high - low, _NARROWEST)
        place = -low / span * 255
        if place < 0.5 or place > 254.5:
            return Format(0 if place < 0.5 else 255, span / 255)
        places = {min(max(math.floor(place), 1), 254), min(max(math.ceil(place), 1), 254)}
        step, zero = min((max(-low / zero, high / (255 - zero)), zero) for zero in places)
        return Format(zero, step)

    @property
    def shift(self) -> float:
        """What is added to values to make them codes times the step."""
        return self.zero * self.step

    @property
    def span(self) -> float:
        """The width of the range: what code 255 stands for where the shift is not counted."""
        return 255 * self.step


def wanted_ranges(ops: Iterable[Op]) -> tuple[str, ...]:
    """The nodes whose range has to be known: what layers put out, and what comes from float. In order."""
    made: set[str] = set()
    wanted: dict[str, None] = {}
    for op in ops:
        wanted.update(dict.fromkeys(source for source in op.sources if source not in made))
        if op.in_codes:
            made.add(op.tail.name)
        if op.in_codes and op.is_layer:
            wanted[op.tail.name] = None
    return tuple(wanted)


def handed_on(ops: Iterable[Op], ranges: Mapping[str, Range]) -> dict[str, Range]:
    """``ranges``, and those of what pools, paddings, reshapes and concatenations hand on: it may be read where they
    themselves stay in float. What they read has the range of what they put out, where only that is known."""
    known, ops = dict(ranges), tuple(ops)
    for op in ops:
        if not op.is_layer and all(source in known for source in op.sources):
            limits = [known[source] for source in op.sources]
            known.setdefault(op.tail.name, (min(low for low, _ in limits), max(high for _, high in limits)))
    for op in reversed(ops):
        if not op.is_layer and op.tail.name in known:
            for source in op.sources:
                known.setdefault(source, known[op.tail.name])
    return known


def choose_formats(ops: Iterable[Op], ranges: Mapping[str, Range]) -> tuple[dict[str, Format], set[Op]]:
    """The format of every tensor of ``ops``, and the concatenations that would need one that does not exist.

    What a concatenation reads has one format, which reaches as far as all of it. That fails where a Relu among it would
    no longer end at its own end: at zero, or at 6.
    """
    groups = Groups()
    clamps: dict[str, float] = {}
    known: dict[str, Range] = {}
    ops = tuple(ops)
    for op in ops:
        for source in op.sources:
            if source in ranges:
                known.setdefault(source, _with_zero(ranges[source]))
        if not op.in_codes:
            continue
        if not op.is_layer:
            for source in op.sources:
                groups.join(source, op.tail.name)
            continue
        low, high = _with_zero(ranges[op.tail.name])
        known[op.tail.name] = (low, high)
        if op.clamp is not None:
            clamps[op.tail.name] = op.clamp
            known[op.tail.name] = (0.0, min(high, op.clamp))
    together: dict[str, Range] = {}
    for name, (low, high) in known.items():
        root = groups.root(name)
        least, most = together.get(root, (0.0, 0.0))
        together[root] = (min(least, low), max(most, high))
    wrong = {groups.root(n) for n, end in clamps.items() if _passes(together[groups.root(n)], end)}
    dropped = {op for op in ops if op.kind == "move" and len(op.sources) > 1 and groups.root(op.tail.name) in wrong}
    found = {root: Format.of(low, high) for root, (low, high) in together.items()}
    tensors = dict.fromkeys(name for op in ops for name in (*op.sources, *((op.tail.name,) if op.in_codes else ())))
    return {name: found[groups.root(name)] for name in tensors}, dropped


def _passes(limits: Range, clamp: float) -> bool:
    return limits[0] < 0 or limits[1] > clamp


def _with_zero(limits: Range) -> Range:
    return min(limits[0], 0.0), max(limits[1], 0.0)


class Groups:
    """Sets of tensors, told by their names."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, name: str) -> str:
        """The tensor that stands for the set of ``name``."""
        way = []
        while (parent := self._parent.get(name, name)) != name:
            way.append(name)
            name = parent
        for passed in way:
            self._parent[passed] = name
        return name

    def join(self, one: str, other: str) -> None:
        """Put two sets together."""
        self._parent[self.root(other)] = self.root(one)

"""What of one graph becomes int8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from compressor_gui.core.graph import ModelGraph, Ref
from compressor_gui.core.passes.carried_ranges import carried_ranges, weights_of
from compressor_gui.core.passes.int8.cost import Costs, worthwhile
from compressor_gui.core.passes.int8.formats import Format, Groups, Range, choose_formats, handed_on, wanted_ranges
from compressor_gui.core.passes.int8.lent import sums_that_copy
from compressor_gui.core.passes.int8.match import Matcher, Op, Pads, norms_left
from compressor_gui.core.passes.wording import some


class Plan:
    """The decisions for one graph.

    ``ops``: what is replaced, in topological order; ``formats``: tensor -> its codes; ``notes``: sentences about what
    stays in float; ``left``: node that could be 8-bit -> why it is not. ``everywhere``: whatever the conversions cost.
    """

    def __init__(
        self, graph: ModelGraph, ranges: Mapping[str, Range], skip: Iterable[str] = (), everywhere: bool = False
    ) -> None:
        self.graph = graph
        self.notes: list[str] = []
        self.left: dict[str, str] = {}
        self._matcher = Matcher(graph, skip)
        self._refused = self._matcher.refused
        ops = self._matcher.find()
        ranges = handed_on(ops, {**carried_ranges(graph), **ranges})
        ops = self._with_ranges(ops, ranges)
        ops, _ = self._that_fit(ops, ranges)
        kept = ops if everywhere else worthwhile(graph, ops, Costs(graph, self._matcher))
        self._note_costly(ops, kept)
        self.ops, self.formats = self._that_fit(kept, ranges) if kept else ((), {})
        self.copying = sums_that_copy(graph, self.ops)
        self._write_notes()

    @property
    def regions(self) -> tuple[tuple[str, ...], ...]:
        """The heads of operations that hand codes to each other; a MatMul, which hands on none, is alone."""
        groups, made = Groups(), {op.tail.name for op in self.ops if op.in_codes}
        for op in self.ops:
            for source in made.intersection(op.sources) if op.in_codes else ():
                groups.join(source, op.tail.name)
        found: dict[str, list[str]] = {}
        for op in self.ops:
            found.setdefault(groups.root(op.tail.name), []).append(op.head.name)
        return tuple(map(tuple, found.values()))

    def pads(self, op: Op) -> Pads | None:
        """The zeros around what a layer reads; None where that depends on an unknown size."""
        if op.head.text("padding") == "SAME":
            return self.same_pads(op)
        return op.border or ((0, 0),) * 4

    def same_pads(self, op: Op) -> Pads | None:
        """The zeros that SAME padding would put around what a layer reads."""
        weights = weights_of(self.graph, op.head)
        assert weights is not None
        dims = self._matcher.dims(Ref(op.sources[0], 0, False))
        stretch = (op.head.ints("dilations") or (1, 1, 1, 1))[1:3]
        reach = [(size - 1) * by + 1 for size, by in zip(weights.array.shape[:2], stretch, strict=True)]
        return _same_pads(reach, op.head.ints("strides")[1:3], dims)

    def border(self, pad: Op) -> Pads:
        """The zeros that a Pad puts around its input."""
        border = self._matcher.border(pad.head)
        assert border is not None
        return border

    def _with_ranges(self, ops: tuple[Op, ...], ranges: Mapping[str, Range]) -> tuple[Op, ...]:
        """Those whose ranges are known, or come from what they read."""
        while True:
            wanted = wanted_ranges(ops)
            missing = {name for name in wanted if name not in ranges}
            without = [
                op for op in ops if missing.intersection((*op.sources, op.tail.name) if op.is_layer else op.sources)
            ]
            if not without:
                return ops
            gone = set(without)
            for op in without:
                self._refuse("No range was measured for what it reads or puts out", op, noted=op.is_layer)
            ops = tuple(op for op in ops if op not in gone)

    def _that_fit(self, ops: tuple[Op, ...], ranges: Mapping[str, Range]) -> tuple[tuple[Op, ...], dict[str, Format]]:
        """Those for which there are formats, and these."""
        while True:
            formats, dropped = choose_formats(ops, ranges)
            for op in filter(dropped.__contains__, ops):
                self._refuse("ConcatV2 of tensors whose ranges have no common codes", op)
            for op in ops:
                if op.kind in ("conv", "depthwise") and formats[op.sources[0]].zero and self.pads(op) is None:
                    dropped.add(op)
                    self._refuse(f"{op.head.op} with SAME padding, a stride and an input of unknown size", op)
            if not dropped:
                return ops, formats
            ops = self._with_ranges(tuple(op for op in ops if op not in dropped), ranges)

    def _refuse(self, reason: str, op: Op, *, noted: bool = True) -> None:
        self.left.update((node.name, reason) for node in op.nodes)
        if noted:
            self._refused.setdefault(reason, []).append(op.head.name)

    def _note_costly(self, ops: tuple[Op, ...], kept: tuple[Op, ...]) -> None:
        stays = set(ops).difference(kept)
        for op in ops:
            if op in stays:
                reason = f"{op.head.op} that would gain less than its conversions cost"
                self._refuse(reason, op, noted=op.is_layer)

    def _write_notes(self) -> None:
        norms = norms_left(self.graph, self.ops)
        if norms:
            self.notes.append(f"Batch norms are left, run fold_batch_norms first: {some(norms)}.")
        for reason, names in self._refused.items():
            self.notes.append(f"{reason}: {some(names)} {'stays' if len(names) == 1 else 'stay'} in float.")


def activations(graph: ModelGraph, skip: Iterable[str] = ()) -> tuple[str, ...]:
    """The float nodes whose ranges a plan for ``graph`` asks for, as it does not carry them."""
    ops = Matcher(graph, skip).find()
    known = handed_on(ops, carried_ranges(graph))
    return tuple(name for name in wanted_ranges(ops) if name not in known)


def _same_pads(window: Iterable[int], strides: Iterable[int], dims: tuple[int, ...] | None) -> Pads | None:
    pads = [(0, 0)]
    for axis, (size, stride) in enumerate(zip(window, strides, strict=True), start=1):
        length = dims[axis] if dims is not None else -1
        if stride == 1 or size == 1:
            whole = size - 1
        elif length < 0:
            return None
        else:
            whole = max((-(-length // stride) - 1) * stride + size - length, 0)
        pads.append((whole // 2, whole - whole // 2))
    return (*pads, (0, 0))

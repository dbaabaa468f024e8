"""What of one graph becomes 8-bit: which operations, which constants, whose range a FakeQuant gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from compressor_gui.core.graph import ModelGraph, Node, Ref, parse_ref
from compressor_gui.core.memo import by_identity
from compressor_gui.core.passes.carried_ranges import carried_constants, carrier
from compressor_gui.core.passes.eightbit.constants import can_be_stored
from compressor_gui.core.passes.eightbit.kernels import KERNELS, Kernel, is_float, refusal
from compressor_gui.core.passes.eightbit.links import LINKS, NO_KERNEL, refused_link
from compressor_gui.core.passes.wording import some
from compressor_gui.core.values import DType, Tensor

PASS_THROUGH = ("Identity", "StopGradient", "PreventGradient", "CheckNumerics")
FAKE_QUANT = "FakeQuantWithMinMaxVars"
"""The one that has its range from two inputs, which others may read as well."""
_GIVERS = (FAKE_QUANT, "FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVarsPerChannel",
           "QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4")  # fmt: skip
_KEEP_CLAMP = ("Relu", "Relu6", "MaxPool", "Reshape")
"""Operations that give the same result whether their input or their output is clamped to a range around zero."""


class Plan:
    """The decisions for one graph (``graph``, and its nodes in topological ``order``).

    ``kernels``: operation -> its 8-bit kernel; ``quantized``: operation -> the indices of what it reads in 8 bits.
    ``notes``: why covered operations stay in float, as sentences; ``left``: the same of links (see :mod:`.links`), by
    name; ``classic``: there are none of these. ``measured``: Shapes that read codes. ``placeholders``: those that will
    be fed as quint8. ``ranges``: operation with a qint32 result -> the FakeQuant behind it (or QuantizeAndDequantize)
    that gives its range. ``home``: 8-bit operation -> the node that its float value goes by: that FakeQuant, else
    itself. ``merged``: such a FakeQuant -> the 8-bit operation in front of it. ``read``: what is read in 8 bits (see
    :meth:`root`). ``dropped``: Identity and the like that are left out, as all their readers read the 8-bit tensor in
    front.
    """

    def __init__(
        self, graph: ModelGraph, skip: Iterable[str] = (), quantized_input: bool = False, classic: bool = False
    ) -> None:
        self.graph = graph
        self.order = graph.topological()
        self.notes: list[str] = []
        self.left: dict[str, str] = {}
        self.placeholders = self._fed_as_quint8() if quantized_input else ()
        self.kernels = self._chosen(frozenset(skip))
        if not classic:
            self.kernels |= self._links(frozenset(skip))
        self.quantized = {name: frozenset(kernel.tensor_inputs(graph[name])) for name, kernel in self.kernels.items()}
        self.home = {name: name for name in self.kernels}
        self.ranges: dict[str, str] = {}
        self.merged: dict[str, str] = {}
        self._merge_fake_quants()
        self._roots: dict[Ref, str | None] = {}
        found = (self.root(graph[name].refs[at]) for name, read in self.quantized.items() for at in sorted(read))
        self.read = dict.fromkeys(name for name in found if name is not None)
        self.measured = () if classic else tuple(node.name for node in graph.nodes if self._measures_codes(node))
        self.dropped: set[str] = set()
        self._drop_pass_throughs()

    def root(self, ref: Ref) -> str | None:
        """The output that an 8-bit form of this tensor comes from, seen through Identity and the like.

        That is one of an 8-bit operation, a constant that can be stored in 8 bits (or a FakeQuant of one), a
        placeholder that is fed as quint8, or a Dequantize that was there before; None where the tensor exists in float
        only.
        """
        passed: list[Ref] = []
        while ref not in self._roots:
            passed.append(ref)
            node = self.graph[ref.name]
            if node.op not in PASS_THROUGH or len(node.refs) != 1:
                self._roots[ref] = self._own_root(node, ref)
                break
            ref = node.refs[0]
        found = self._roots[ref]
        self._roots.update(dict.fromkeys(passed, found))
        return found

    def ports(self, name: str) -> list[int]:
        """The outputs of an 8-bit operation that something reads, and the first."""
        read = {self.graph[user].refs[index].port for user, index in self.graph.consumers[name]}
        return sorted({0, *read} - {-1})

    def wants_float(self, name: str, port: int = 0) -> bool:
        """Whether a node's output is still read as float32, or is a result of the graph."""
        users = self.graph.consumers[name]
        if port == 0 and (name in self.graph.outputs or not users):
            return True
        reads = [(self.graph[user], index) for user, index in users]
        return any(n.refs[at].port == port and not self._reads_in_eight_bits(n, at) for n, at in reads)

    def is_rectified(self, name: str) -> bool:
        """Whether only Relus read a link: then no codes need be spent on what is below zero."""
        users = [self.graph[user] for user, _ in self.graph.consumers[name]]
        rectified = all(user.op in ("Relu", "Relu6") and user.name in self.kernels for user in users)
        return rectified and self.graph[name].op in LINKS and not self.wants_float(name)

    def has_control_readers(self, name: str) -> bool:
        """Whether a node is waited for."""
        return any(self.graph[user].refs[index].control for user, index in self.graph.consumers[name])

    def _reads_in_eight_bits(self, user: Node, index: int) -> bool:
        """Also true of an input that only waits, and of readers that go away."""
        if user.refs[index].control or user.name in self.dropped or user.name in self.measured:
            return True
        if user.name in self.kernels:
            return index in self.quantized[user.name]
        if user.name in self.merged:
            return index == 0 or user.op != FAKE_QUANT
        return user.op in _GIVERS and user.name in self.read

    def _own_root(self, node: Node, ref: Ref) -> str | None:
        if ref.port:
            return str(ref) if node.name in self.kernels else None
        if node.name in self.merged:
            return self.merged[node.name]
        if node.name in self.kernels or node.name in self.placeholders or is_way_back(self.graph, node):
            return node.name
        found = constant_of(self.graph, node)
        return node.name if found is not None and can_be_stored(found[0]) else None

    def _fed_as_quint8(self) -> tuple[str, ...]:
        graph = self.graph
        names = [name for name in graph.inputs if graph[name].op != "PlaceholderWithDefault"]
        return tuple(n for n in names if graph[n].dtype("dtype") == DType.FLOAT and n not in graph.outputs)

    def _chosen(self, skip: frozenset[str]) -> dict[str, Kernel]:
        chosen: dict[str, Kernel] = {}
        refused: dict[str, list[str]] = {}
        for node in self.graph.nodes:
            kernel = KERNELS.get(node.op)
            if kernel is None or not is_float(node) or finds_range(self.graph, node):
                continue
            if not skip.isdisjoint(scopes(node.name)):
                continue
            reason = _refused(self.graph, node, kernel)
            if reason is None:
                chosen[node.name] = kernel
            else:
                refused.setdefault(reason, []).append(node.name)
        for reason, names in refused.items():
            self.notes.append(f"{reason}: {some(names)} {'stays' if len(names) == 1 else 'stay'} in float.")
        return chosen

    def _links(self, skip: frozenset[str]) -> dict[str, Kernel]:
        """Those operations that link: all that they read, constants not counted, and one of their readers is 8-bit."""
        found = {
            node.name: LINKS.get(node.op)
            for node in self.graph.nodes
            if node.op in PASS_THROUGH or (node.op in LINKS and self._can_link(node, skip))
        }
        waiting = list(found)
        while waiting:
            name = waiting.pop()
            if name not in found or (why := self._unlinked(name, found)) is None:
                continue
            if found.pop(name) is not None:
                self.left[name] = f"{self.graph[name].op} {why}"
            waiting += [user for user, _ in self.graph.consumers[name] if user in found]
            waiting += [ref.name for ref in self.graph[name].data_refs if ref.name in found]
        return {name: kernel for name, kernel in found.items() if kernel is not None}

    def _can_link(self, node: Node, skip: frozenset[str]) -> bool:
        if not is_float(node) or finds_range(self.graph, node) or not skip.isdisjoint(scopes(node.name)):
            return False
        return _refused(self.graph, node, LINKS[node.op]) is None

    def _unlinked(self, name: str, found: Mapping[str, Kernel | None]) -> str | None:
        """What an operation that could be 8-bit does not link; None where it does."""
        node, kernel = self.graph[name], found[name]
        read = [0] if kernel is None else kernel.tensor_inputs(node)
        for index in read:
            source = self.graph[node.data_refs[index].name]
            made = source.name in self.kernels or source.name in found or source.name in self.placeholders
            if not made and self.graph.constant(node, index) is None and not is_way_back(self.graph, source):
                return "reads what is float"
        for user, at in self.graph.consumers[name]:
            reader = self.graph[user]
            taken = self.kernels.get(user) or found.get(user)
            if reader.refs[at].control:
                continue
            if (taken is not None and at in taken.tensor_inputs(reader)) or (user in found and found[user] is None):
                return None
        return "is read by nothing that is 8-bit"

    def _measures_codes(self, node: Node) -> bool:
        """Whether a Shape reads what is 8-bit: that has the shape of its float value."""
        if node.op != "Shape" or not is_float(node):
            return False
        root = self.root(node.refs[0])
        return root is not None and self.graph[parse_ref(root).name].op in ({*KERNELS, *LINKS})

    def _merge_fake_quants(self) -> None:
        """Let a FakeQuant give its range to the Requantize in front of it, with what keeps the clamp in between."""
        for node in self.graph.nodes:
            limits = given_range(self.graph, node)
            if limits is None or not limits[0] <= 0 <= limits[1] or node.refs[0].port:
                continue
            first = last = node.refs[0].name
            while first in self.kernels and self._read_once(first) and self.graph[first].op in _KEEP_CLAMP:
                first = self.graph[first].refs[0].name
            if first in self.kernels and self.kernels[first].wide and self._read_once(first):
                self.ranges[first] = node.name
                self.home[last] = node.name
                self.merged[node.name] = last

    def _read_once(self, name: str) -> bool:
        return len(self.graph.consumers[name]) == 1 and name not in self.graph.outputs

    def _drop_pass_throughs(self) -> None:
        for node in reversed(self.order):
            if node.op not in PASS_THROUGH or self.wants_float(node.name) or self.has_control_readers(node.name):
                continue
            if self.root(Ref(node.name, 0, False)) is not None:
                self.dropped.add(node.name)


def why_float(graph: ModelGraph, node: Node) -> str:
    """Why a float operation has no 8-bit form, as the beginning of a sentence; for what has one, why it may be left."""
    kernel = KERNELS.get(node.op) or LINKS.get(node.op)
    if kernel is None:
        return NO_KERNEL.get(node.op, f"{node.op} has no 8-bit kernel")
    if not is_float(node):
        return f"{node.op} of another type than float32 has no 8-bit kernel"
    otherwise = "was skipped by name" if node.op in KERNELS else "would link nothing, or was skipped by name"
    return _refused(graph, node, kernel) or f"{node.op} {otherwise}"


def _refused(graph: ModelGraph, node: Node, kernel: Kernel) -> str | None:
    """Why a covered operation can't become 8-bit."""
    if node.name in loop_nodes(graph):
        return f"{node.op} in a while loop"
    reason = refused_link(graph, node) if node.op in LINKS else refusal(graph, node)
    if reason is not None:
        return reason
    sources = [graph.producer(node, index) for index in kernel.tensor_inputs(node)]
    if any(source is not None and _is_stored(graph, source) for source in sources):
        return f"{node.op} of weights that are stored in 8 bits by another pass"
    values = [graph.constant(node, index) for index in kernel.tensor_inputs(node)]
    if any(value is not None and not can_be_stored(value) for value in values):
        return f"{node.op} of a constant that is empty or not finite"
    return None


def _is_stored(graph: ModelGraph, node: Node) -> bool:
    """Whether that is a constant in codes that the kernels can't read: they would find its range at every run."""
    return node.op == "Dequantize" and graph.constant(node, 0) is not None and not is_way_back(graph, node)


def finds_range(graph: ModelGraph, node: Node) -> bool:
    """Whether a Reshape, Min or Max only finds a range for a QuantizeV2, as those do that this pass makes."""
    readers = [graph[name] for name, _ in graph.consumers[node.name]]
    if node.op in ("Min", "Max"):
        return bool(readers) and all(reader.op == "QuantizeV2" for reader in readers)
    return (
        node.op == "Reshape"
        and bool(readers)
        and all(reader.op in ("Min", "Max") and finds_range(graph, reader) for reader in readers)
    )


@by_identity
def loop_nodes(graph: ModelGraph) -> frozenset[str]:
    """The nodes that run inside a version 1 while loop: what is reached from an Enter without passing an Exit."""
    found = {node.name for node in graph.nodes if node.op in ("Enter", "RefEnter")}
    waiting = list(found)
    while waiting:
        for name, _ in graph.consumers[waiting.pop()]:
            if name not in found and graph[name].op not in ("Exit", "RefExit"):
                found.add(name)
                waiting.append(name)
    return frozenset(found)


def is_way_back(graph: ModelGraph, node: Node) -> bool:
    """Whether a node turns a quint8 tensor that the 8-bit kernels can read back into float."""
    if node.op != "Dequantize" or len(node.refs) != 3 or node.dtype("T") != DType.QUINT8:
        return False
    if node.text("mode") != "MIN_FIRST" or node.number("axis", -1) != -1 or "dtype" in node.attrs:
        return False
    return all((limit := graph.constant(node, index)) is None or limit.array.ndim == 0 for index in (1, 2))


def constant_of(graph: ModelGraph, node: Node) -> tuple[Tensor, tuple[float, float] | None] | None:
    """A float constant and the range to store it over (None: its own); also for a FakeQuant of a constant."""
    if node.op == "Const":
        return (node.tensor, None) if node.tensor is not None and node.tensor.dtype == DType.FLOAT else None
    limits = given_range(graph, node)
    value = graph.constant(node, 0) if limits is not None else None
    if value is None and node.op in _GIVERS and node.name in carried_constants(graph):
        return carried_constants(graph)[node.name].tensor, None  # each channel has a range
    return (value, limits) if value is not None else None


def given_range(graph: ModelGraph, node: Node) -> tuple[float, float] | None:
    """The range for 256 codes that a FakeQuant or QuantizeAndDequantize gives; None where it gives none, or several."""
    if node.op == FAKE_QUANT:
        return fake_quant_range(graph, node)
    carried = carrier(graph, node) if node.op in _GIVERS else None
    return carried.range if carried is not None else None


def fake_quant_range(graph: ModelGraph, node: Node) -> tuple[float, float] | None:
    """The range of a FakeQuantWithMinMaxVars for 256 codes; None where it is computed, empty or not finite."""
    if node.op != FAKE_QUANT or len(node.refs) != 3:
        return None
    if node.number("num_bits", 8) != 8 or node.flag("narrow_range"):
        return None
    low, high = graph.constant(node, 1), graph.constant(node, 2)
    if low is None or high is None or low.array.ndim or high.array.ndim:
        return None
    limits = float(low.array), float(high.array)
    return limits if -float("inf") < limits[0] < limits[1] < float("inf") else None


def scopes(name: str) -> Iterator[str]:
    """A node's name and every scope that it lies in: ``a/b/c``, ``a/b``, ``a``."""
    while name:
        yield name
        name = name.rpartition("/")[0]

"""What of one graph becomes 8-bit: which operations, which constants, whose range a FakeQuant gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compressor_gui.core.graph import ModelGraph, Node, Ref
from compressor_gui.core.memo import by_identity
from compressor_gui.core.passes.eightbit.constants import can_be_stored
from compressor_gui.core.passes.eightbit.kernels import KERNELS, Kernel, is_float, refusal
from compressor_gui.core.passes.wording import some
from compressor_gui.core.values import DType, Tensor

PASS_THROUGH = ("Identity", "StopGradient", "PreventGradient", "CheckNumerics")
_KEEP_CLAMP = ("Relu", "Relu6", "MaxPool", "Reshape")
"""Operations that give the same result whether their input or their output is clamped to a range around zero."""


class Plan:
    """The decisions for one graph (``graph``, and its nodes in topological ``order``).

    ``kernels``: operation -> its 8-bit kernel; ``quantized``: operation -> the indices of what it reads in 8 bits.
    ``notes``: why covered operations stay in float, as sentences. ``placeholders``: those that will be fed as quint8.
    ``ranges``: operation with a qint32 result -> the two references that hold its range, from a FakeQuant behind it.
    ``home``: 8-bit operation -> the node that its float value goes by: that FakeQuant, else itself. ``merged``: such a
    FakeQuant -> the 8-bit operation in front of it. ``read``: what is read in 8 bits (see :meth:`root`). ``dropped``:
    Identity and the like that are left out, as all their readers read the 8-bit tensor in front.
    """

    def __init__(self, graph: ModelGraph, skip: Iterable[str] = (), quantized_input: bool = False) -> None:
        self.graph = graph
        self.order = graph.topological()
        self.notes: list[str] = []
        self.placeholders = self._fed_as_quint8() if quantized_input else ()
        self.kernels = self._chosen(frozenset(skip))
        self.quantized = {name: frozenset(kernel.tensor_inputs(graph[name])) for name, kernel in self.kernels.items()}
        self.home = {name: name for name in self.kernels}
        self.ranges: dict[str, tuple[str, str]] = {}
        self.merged: dict[str, str] = {}
        self._merge_fake_quants()
        self._roots: dict[str, str | None] = {}
        found = (self.root(graph[name].refs[at]) for name, read in self.quantized.items() for at in sorted(read))
        self.read = dict.fromkeys(name for name in found if name is not None)
        self.dropped: set[str] = set()
        self._drop_pass_throughs()

    def root(self, ref: Ref) -> str | None:
        """The node that an 8-bit form of this tensor comes from, seen through Identity and the like.

        That is an 8-bit operation, a constant that can be stored in 8 bits (or a FakeQuant of one), a placeholder that
        is fed as quint8, or a Dequantize that was there before; None where the tensor exists in float only.
        """
        passed: list[str] = []
        while ref.port == 0 and ref.name not in self._roots:
            passed.append(ref.name)
            node = self.graph[ref.name]
            if node.op not in PASS_THROUGH or len(node.refs) != 1:
                self._roots[ref.name] = self._own_root(node)
                break
            ref = node.refs[0]
        found = self._roots.get(ref.name) if ref.port == 0 else None
        self._roots.update(dict.fromkeys(passed, found))
        return found

    def wants_float(self, name: str) -> bool:
        """Whether a node's value is still read as float32, or is a result of the graph."""
        users = self.graph.consumers[name]
        if name in self.graph.outputs or not users:
            return True
        return any(not self._reads_in_eight_bits(self.graph[user], index) for user, index in users)

    def has_control_readers(self, name: str) -> bool:
        """Whether a node is waited for."""
        return any(self.graph[user].refs[index].control for user, index in self.graph.consumers[name])

    def _reads_in_eight_bits(self, user: Node, index: int) -> bool:
        """Also true of an input that only waits, and of readers that go away."""
        if user.refs[index].control or user.name in self.dropped:
            return True
        if user.name in self.kernels:
            return index in self.quantized[user.name]
        if user.name in self.merged:
            return index == 0
        return user.op == "FakeQuantWithMinMaxVars" and user.name in self.read

    def _own_root(self, node: Node) -> str | None:
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

    def _merge_fake_quants(self) -> None:
        """Let a FakeQuant give its range to the Requantize in front of it, with what keeps the clamp in between."""
        for node in self.graph.nodes:
            limits = fake_quant_range(self.graph, node)
            if limits is None or not limits[0] <= 0 <= limits[1] or node.refs[0].port:
                continue
            first = last = node.refs[0].name
            while first in self.kernels and self._read_once(first) and self.graph[first].op in _KEEP_CLAMP:
                first = self.graph[first].refs[0].name
            if first in self.kernels and self.kernels[first].wide and self._read_once(first):
                self.ranges[first] = (str(node.refs[1]), str(node.refs[2]))
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
    kernel = KERNELS.get(node.op)
    if kernel is None:
        return f"{node.op} has no 8-bit kernel"
    if not is_float(node):
        return f"{node.op} of another type than float32 has no 8-bit kernel"
    return _refused(graph, node, kernel) or f"{node.op} was skipped by name"


def _refused(graph: ModelGraph, node: Node, kernel: Kernel) -> str | None:
    """Why a covered operation can't become 8-bit."""
    if node.name in loop_nodes(graph):
        return f"{node.op} in a while loop"
    reason = refusal(graph, node)
    if reason is not None:
        return reason
    values = [graph.constant(node, index) for index in kernel.tensor_inputs(node)]
    if any(value is not None and not can_be_stored(value) for value in values):
        return f"{node.op} of a constant that is empty or not finite"
    return None


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
    limits = fake_quant_range(graph, node)
    value = graph.constant(node, 0) if limits is not None else None
    return (value, limits) if value is not None else None


def fake_quant_range(graph: ModelGraph, node: Node) -> tuple[float, float] | None:
    """The range of a FakeQuantWithMinMaxVars for 256 codes; None where it is computed, empty or not finite."""
    if node.op != "FakeQuantWithMinMaxVars" or len(node.refs) != 3:
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

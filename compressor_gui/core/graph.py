"""What a model is: immutable nodes in an immutable graph.

Versions of a graph share every node that no pass touched, so "is it the same node?" is ``a is b``, and memory stays
near one copy of the weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from compressor_gui.core.attr_value import decode_attr
from compressor_gui.core.errors import GraphError
from compressor_gui.core.values import Attr, DType, Shape, Tensor
from compressor_gui.core.wire import WireError, same_bytes

CONTROL_FLOW = frozenset(
    ("Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond",
     "RefSwitch", "RefMerge", "RefEnter", "RefExit", "RefNextIteration")
)  # fmt: skip
"""The ops of version 1 branches and loops."""


class Ref(NamedTuple):
    """One input of a node: ``name``, ``name:port`` or ``^name`` (control)."""

    name: str
    port: int
    control: bool

    def __str__(self) -> str:
        return f"^{self.name}" if self.control else self.name if self.port == 0 else f"{self.name}:{self.port}"


def parse_ref(text: str) -> Ref:
    """Split an input as a GraphDef writes it."""
    if text.startswith("^"):
        return Ref(text[1:], -1, True)
    name, colon, port = text.rpartition(":")
    if colon and port.isascii() and port.isdigit() and len(port) < 10:
        return Ref(name, int(port), False)
    return Ref(text, 0, False)


class Attrs(Mapping[str, Attr]):
    """A node's attributes; those that came from a file are decoded when they are first asked for.

    The bytes are kept beside what was decoded from them: they are written back as they were, with all that decoding
    leaves out (the names of dimensions, unknown fields, the form in which a tensor was stored).
    """

    __slots__ = ("_decoded", "_items")

    def __init__(self, items: Mapping[str, Attr | memoryview]) -> None:
        self._items = dict(items)
        self._decoded: dict[str, Attr] = {}

    def __getitem__(self, key: str) -> Attr:
        value = self._items[key]
        if not isinstance(value, memoryview):
            return value
        if key not in self._decoded:
            self._decoded[key] = decode_attr(value)
        return self._decoded[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def raw_items(self) -> Iterator[tuple[str, Attr | memoryview]]:
        """Name and value, the file's bytes where it came from one: for writing and for cheap comparison."""
        return iter(self._items.items())

    def with_changes(self, changes: Mapping[str, Attr | None]) -> Attrs:
        """A copy with some attributes set, and those given as None removed."""
        items = {key: value for key, value in self._items.items() if key not in changes}
        items.update({key: value for key, value in changes.items() if value is not None})
        changed = Attrs(items)
        changed._decoded = {key: value for key, value in self._decoded.items() if key not in changes}
        return changed

    def __repr__(self) -> str:
        return f"Attrs({', '.join(self._items)})"


@dataclass(frozen=True, eq=False)
class Node:
    """One operation of a graph.

    ``inputs`` are references as in a GraphDef, data first, then control. ``extra`` holds the NodeDef's other fields
    (debug info, types, unknown ones) verbatim; ``raw`` the node's bytes in the file it came from, for as long as
    nothing about it has changed. Nodes compare by identity; :meth:`same` compares by content.
    """

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    attrs: Attrs = field(default_factory=lambda: Attrs({}))
    device: str = ""
    extra: bytes = b""
    raw: memoryview | None = field(default=None, repr=False)

    @staticmethod
    def make(name: str, op: str, inputs: Iterable[str] = (), device: str = "", **attrs: Attr) -> Node:
        """A new node, its attributes given by keyword."""
        return Node(name, op, tuple(inputs), Attrs(attrs), device)

    @staticmethod
    def const(name: str, tensor: Tensor, device: str = "") -> Node:
        """A Const that holds ``tensor``."""
        return Node(name, "Const", (), Attrs({"dtype": tensor.dtype, "value": tensor}), device)

    def with_(
        self,
        *,
        name: str | None = None,
        op: str | None = None,
        inputs: Iterable[str] | None = None,
        attrs: Mapping[str, Attr | None] | None = None,
        device: str | None = None,
    ) -> Node:
        """A changed copy; ``attrs`` are set, or removed where None."""
        return replace(
            self,
            name=self.name if name is None else name,
            op=self.op if op is None else op,
            inputs=self.inputs if inputs is None else tuple(inputs),
            attrs=self.attrs if attrs is None else self.attrs.with_changes(attrs),
            device=self.device if device is None else device,
            raw=None,
        )

    @cached_property
    def refs(self) -> tuple[Ref, ...]:
        """The inputs, split."""
        return tuple(parse_ref(text) for text in self.inputs)

    @cached_property
    def data_refs(self) -> tuple[Ref, ...]:
        """The inputs that carry tensors."""
        return tuple(ref for ref in self.refs if not ref.control)

    @property
    def tensor(self) -> Tensor | None:
        """The constant's value; None for other ops, and for types that numpy does not know."""
        if self.op != "Const":
            return None
        value = self.attrs.get("value")
        return value if isinstance(value, Tensor) else None

    def dtype(self, key: str = "T") -> DType | None:
        """A type attribute, or None."""
        value = self.attrs.get(key)
        return value if isinstance(value, DType) else None

    def text(self, key: str, default: str = "") -> str:
        """A string attribute (``padding``, ``data_format``)."""
        value = self.attrs.get(key)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else default

    def ints(self, key: str) -> tuple[int, ...]:
        """A list of integers (``strides``, ``ksize``); empty where missing."""
        value = self.attrs.get(key)
        return tuple(v for v in value if isinstance(v, int)) if isinstance(value, tuple) else ()

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean attribute (``transpose_a``)."""
        value = self.attrs.get(key)
        return value if isinstance(value, bool) else default

    def number(self, key: str, default: float = 0.0) -> float:
        """A numeric attribute (``epsilon``)."""
        value = self.attrs.get(key)
        return float(value) if isinstance(value, float | int) else default

    def shape(self, key: str = "shape") -> Shape | None:
        """A shape attribute, or None."""
        value = self.attrs.get(key)
        return value if isinstance(value, Shape) else None

    def same(self, other: Node) -> bool:
        """Whether both say the same, compared by content."""
        if self is other:
            return True
        if (self.op, self.inputs, self.device, self.extra) != (other.op, other.inputs, other.device, other.extra):
            return False
        return self.name == other.name and not self.changed_attrs(other)

    def changed_attrs(self, other: Node) -> tuple[str, ...]:
        """The attributes in which the two nodes differ, sorted."""
        if self.attrs is other.attrs or (self.raw and other.raw and same_bytes(self.raw, other.raw)):
            return ()
        mine, theirs = dict(self.attrs.raw_items()), dict(other.attrs.raw_items())
        changed = set(mine) ^ set(theirs)
        for key in mine.keys() & theirs.keys():
            a, b = mine[key], theirs[key]
            if a is b or (isinstance(a, memoryview) and isinstance(b, memoryview) and same_bytes(a, b)):
                continue
            x, y = self.attrs[key], other.attrs[key]
            if type(x) is not type(y) or x != y:
                changed.add(key)
        return tuple(sorted(changed))


class ModelGraph(Mapping[str, Node]):
    """An immutable map of names to nodes, in file order.

    ``extras`` are the GraphDef's fields other than its nodes (function library, versions, debug info, unknown ones),
    verbatim. ``outputs`` are the names that every pass must keep: what the file's reader, or the user, says they are.
    """

    def __init__(self, nodes: Iterable[Node], extras: bytes = b"", outputs: Iterable[str] | None = None) -> None:
        self._nodes: dict[str, Node] = {}
        for node in nodes:
            if node.name in self._nodes:
                raise GraphError("two nodes have this name", where=f"node {node.name!r}", hint="rename one of them")
            self._nodes[node.name] = node
        self.extras = extras
        self.outputs: tuple[str, ...] = self.sinks() if outputs is None else tuple(outputs)

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    @cached_property
    def _output_set(self) -> frozenset[str]:
        return frozenset(self.outputs)

    def is_output(self, name: str) -> bool:
        """Whether ``name`` is among the outputs (a look-up, however many there are)."""
        return name in self._output_set

    @property
    def nodes(self) -> Iterable[Node]:
        """The nodes, in file order."""
        return self._nodes.values()

    def sinks(self) -> tuple[str, ...]:
        """The nodes that nobody reads: what a frozen graph computes. Ops without outputs and loose ends of
        control flow don't count."""
        read = {ref.name for node in self.nodes for ref in node.refs}
        silent = {"Const", "NoOp", "Assert", "Placeholder", "PlaceholderWithDefault", "Switch", "Merge"}
        return tuple(
            node.name
            for node in self.nodes
            if node.name not in read and node.op not in silent and not self._is_branch_anchor(node)
        )

    def _is_branch_anchor(self, node: Node) -> bool:
        """Whether it is an Identity behind a Switch: dead in one of the branches, so that nobody can fetch it."""
        source = self.producer(node, 0) if node.op == "Identity" else None
        return source is not None and source.op == "Switch"

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The placeholders."""
        return tuple(n.name for n in self.nodes if n.op in ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault"))

    @cached_property
    def consumers(self) -> Mapping[str, tuple[tuple[str, int], ...]]:
        """Who reads a node: name -> (consumer, index among its inputs), control inputs included."""
        found: dict[str, list[tuple[str, int]]] = {name: [] for name in self._nodes}
        for node in self.nodes:
            for index, ref in enumerate(node.refs):
                if ref.name in found:
                    found[ref.name].append((node.name, index))
        return {name: tuple(users) for name, users in found.items()}

    @cached_property
    def op_counts(self) -> Mapping[str, int]:
        """Op -> how many nodes have it, most frequent first."""
        return dict(Counter(node.op for node in self.nodes).most_common())

    def producer(self, node: Node, index: int) -> Node | None:
        """The node behind the ``index``-th data input, or None where there is none."""
        refs = node.data_refs
        return self.get(refs[index].name) if index < len(refs) else None

    def constant(self, node: Node, index: int) -> Tensor | None:
        """The constant that the ``index``-th data input is, seen through Identity; None where it is computed."""
        found = self.producer(node, index)
        seen = 0
        while found is not None and found.op == "Identity" and found.data_refs and seen < 100:
            found, seen = self.get(found.data_refs[0].name), seen + 1
        return found.tensor if found is not None else None

    def topological(self) -> tuple[Node, ...]:
        """The nodes, every one behind what it reads; file order decides where it may.

        The back edges of version 1 loops (NextIteration -> Merge) are left out. Raises GraphError on any other cycle.
        """
        return self._order

    @cached_property
    def _order(self) -> tuple[Node, ...]:
        waiting: dict[str, int] = {}
        readers: dict[str, list[str]] = {}
        for node in self.nodes:
            needs = {ref.name for ref in node.refs if ref.name in self._nodes}
            if node.op in ("Merge", "RefMerge"):
                needs = {n for n in needs if self._nodes[n].op not in ("NextIteration", "RefNextIteration")}
            waiting[node.name] = len(needs)
            for name in needs:
                readers.setdefault(name, []).append(node.name)
        order: list[Node] = []
        ready = [name for name, count in reversed(waiting.items()) if count == 0]
        while ready:
            name = ready.pop()
            order.append(self._nodes[name])
            for reader in reversed(readers.get(name, ())):
                waiting[reader] -= 1
                if waiting[reader] == 0:
                    ready.append(reader)
        if len(order) != len(self._nodes):
            done = {node.name for node in order}
            stuck = next(name for name in self._nodes if name not in done)
            raise GraphError("the graph has a cycle outside a loop", where=f"node {stuck!r}")
        return tuple(order)


def check_tensor(node: Node) -> None:
    """Decode every attribute of ``node`` now. Raises GraphError where one is malformed or lies about its shape."""
    for key in node.attrs:
        try:
            node.attrs[key]
        except (WireError, ValueError) as error:
            raise GraphError(str(error), where=f"node {node.name!r}, attribute {key!r}") from None

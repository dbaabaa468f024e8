"""The builder that makes the next version of a graph, and records where every node of it came from."""

from __future__ import annotations

from collections.abc import Iterable

from compressor_gui.core.graph import ModelGraph, Node, parse_ref


class Edit:
    """Builds the next version of a graph and records where each node came from.

    ``origins`` maps a new or changed node to the old nodes it came from; ``removed`` the nodes that are gone to the
    reason. A node that is not touched keeps its identity.
    """

    def __init__(self, graph: ModelGraph) -> None:
        self.graph = graph
        self._nodes = dict(graph)
        self._anchor: dict[str, str] = {}
        self._rewired: dict[str, str] = {}
        self.origins: dict[str, tuple[str, ...]] = {}
        self.removed: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def free_name(self, wanted: str) -> str:
        """``wanted``, or the first of ``wanted_1``, ``wanted_2``, ... that no node of the new version has."""
        name, count = wanted, 0
        while name in self._nodes:
            count += 1
            name = f"{wanted}_{count}"
        return name

    def add(self, node: Node, origins: Iterable[str], before: str | None = None) -> str:
        """Add a node that came from ``origins``; it is placed before ``before`` (default: its first origin)."""
        if node.name in self._nodes:
            raise ValueError(f"{node.name} exists")
        self._nodes[node.name] = node
        self.origins[node.name] = tuple(dict.fromkeys(origins))
        self.removed.pop(node.name, None)
        anchor = before if before is not None else next(iter(self.origins[node.name]), "")
        self._anchor[node.name] = self._anchor.get(anchor, anchor)
        return node.name

    def replace(self, node: Node, origins: Iterable[str] = ()) -> None:
        """Put ``node`` in the place of the node of its name."""
        if node is self._nodes[node.name]:
            return
        self._nodes[node.name] = node
        self.origins[node.name] = tuple(dict.fromkeys((*origins, *self.origins.get(node.name, (node.name,)))))

    def remove(self, name: str, reason: str) -> None:
        """Take a node away; who reads it must be rewired or removed too."""
        del self._nodes[name]
        self.origins.pop(name, None)
        if name in self.graph:
            self.removed[name] = reason

    def rewire(self, old: str, new: str) -> None:
        """Let all who read the output ``old`` ("name" or "name:1") read ``new`` instead, once the edit is finished."""
        self._rewired[str(parse_ref(old))] = str(parse_ref(new))

    @property
    def nodes(self) -> Iterable[Node]:
        """The nodes of the new version so far, in no order."""
        return self._nodes.values()

    def resolve(self, text: str) -> str:
        """What a reader of the output ``text`` will read once the edit is finished."""
        seen = {text}
        while text in self._rewired:
            text = self._rewired[text]
            if text in seen:
                raise ValueError(f"rewiring goes round in circles at {text}")
            seen.add(text)
        return text

    def finish(self, outputs: Iterable[str] | None = None) -> ModelGraph:
        """The new version. Control inputs on a removed node that was rewired follow it; on others they are dropped."""
        for name, node in list(self._nodes.items()):
            if not any(str(ref) in self._rewired or (ref.control and ref.name not in self._nodes) for ref in node.refs):
                continue
            inputs = []
            for text, ref in zip(node.inputs, node.refs, strict=True):
                if not ref.control:
                    inputs.append(self.resolve(str(ref)))
                elif ref.name in self._nodes:
                    inputs.append(text)
                elif ref.name in self._rewired:
                    inputs.append(f"^{parse_ref(self.resolve(ref.name)).name}")
            control = dict.fromkeys(i for i in inputs if i.startswith("^") and i[1:] != name)
            self.replace(node.with_(inputs=[*(i for i in inputs if not i.startswith("^")), *control]))
        for node in list(self._nodes.values()):
            self._forget_colocation(node)
        wanted = self.graph.outputs if outputs is None else tuple(outputs)
        return ModelGraph(self._ordered(), self.graph.extras, wanted)

    def _forget_colocation(self, node: Node) -> None:
        """Take out of ``_class`` the nodes that are gone: TensorFlow refuses a graph that wants to be near them."""
        entries = node.attrs.get("_class")
        if isinstance(entries, tuple):
            gone = {
                e
                for e in entries
                if isinstance(e, bytes) and e.startswith(b"loc:@") and e[5:].decode("utf-8", "replace") not in self
            }
            kept = tuple(e for e in entries if e not in gone)
            if len(kept) < len(entries):
                self.replace(node.with_(attrs={"_class": kept or None}))

    def _ordered(self) -> list[Node]:
        """Old nodes in their old order, each added node before the old node it is anchored to."""
        place = {name: index for index, name in enumerate(self.graph)}
        last = len(place)
        keys = {name: (place.get(self._anchor.get(name, name), last), name not in self._anchor) for name in self._nodes}
        return [self._nodes[name] for name in sorted(self._nodes, key=keys.__getitem__)]

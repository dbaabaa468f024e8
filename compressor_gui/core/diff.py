"""The structural difference of two graphs, each entry explained by the step of the recipe that made it.

The graphs themselves say what is different; the origins that passes recorded say why, and lead back through all the
steps to the nodes of the source file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar, get_args

from compressor_gui.core.collector import collector_paused
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.layers import find_layers
from compressor_gui.core.match import match_nodes
from compressor_gui.core.pbio import node_size
from compressor_gui.core.recipe import Replay, Stage

Change = Literal["added", "removed", "changed", "unchanged"]
Key = TypeVar("Key")


@dataclass(frozen=True)
class Touch:
    """What one step did to a node: the step's index in the recipe, its pass's name, and why it did it."""

    step: int
    name: str
    reason: str


@dataclass(frozen=True)
class NodeDiff:
    """One node of either graph.

    ``name`` and ``op`` are the new ones where the node still exists. ``origins`` are nodes of the graph before.
    ``touches`` are the steps that touched it, in their order. ``details`` says what changed: ``name``, ``op``,
    ``inputs`` (it reads other nodes), ``input names`` (it reads the same ones under new names), ``device``, ``value``
    (a constant's tensor), ``attr T``, ``other fields``. Bytes are those in the file.
    """

    name: str
    op: str
    change: Change
    origins: tuple[str, ...]
    touches: tuple[Touch, ...] = ()
    details: tuple[str, ...] = ()
    bytes_before: int = 0
    bytes_after: int = 0
    layer: str | None = None

    @property
    def step(self) -> int | None:
        """The index of the last step that touched it."""
        return self.touches[-1].step if self.touches else None

    @property
    def reason(self) -> str:
        """Why that step did."""
        return self.touches[-1].reason if self.touches else ""

    @property
    def steps(self) -> tuple[int, ...]:
        """The indices of all steps that touched it."""
        return tuple(touch.step for touch in self.touches)

    def to_json(self) -> dict[str, Any]:
        """The entry as ``diff --json`` prints it; steps are counted from 1 there, as in messages."""
        return {
            "name": self.name,
            "op": self.op,
            "change": self.change,
            "from": list(self.origins),
            "step": None if self.step is None else self.step + 1,
            "steps": [{**vars(touch), "step": touch.step + 1} for touch in self.touches],
            "reason": self.reason,
            "details": list(self.details),
            "layer": self.layer,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
        }


@dataclass(frozen=True)
class Totals:
    """How many nodes of a group changed how, and its bytes."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    unchanged: int = 0
    bytes_before: int = 0
    bytes_after: int = 0


@dataclass(frozen=True)
class Diff:
    """Every node of two graphs, in file order, removed nodes where they stood.

    ``bytes_before`` and ``bytes_after`` are the files' sizes, ``extras_changed`` whether what is not a node (function
    library, versions) differs, ``unexplained`` the nodes of a replay that no step accounts for: a bug of a pass.
    """

    nodes: tuple[NodeDiff, ...]
    ops_before: Mapping[str, int]
    ops_after: Mapping[str, int]
    bytes_before: int
    bytes_after: int
    extras_changed: bool = False
    unexplained: tuple[str, ...] = ()

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """How many nodes were added, removed, changed and left unchanged."""
        found = dict.fromkeys(get_args(Change), 0)
        for node in self.nodes:
            found[node.change] += 1
        return found

    @property
    def equal(self) -> bool:
        """Whether both graphs say the same; the order of the nodes does not count."""
        return self.counts["unchanged"] == len(self.nodes) and not self.extras_changed

    @cached_property
    def by_name(self) -> Mapping[str, NodeDiff]:
        """The entries by name; where a removed node's name was given to another one, the other one's."""
        removed = {node.name: node for node in self.nodes if node.change == "removed"}
        return removed | {node.name: node for node in self.nodes if node.change != "removed"}

    @cached_property
    def by_step(self) -> Mapping[int, Totals]:
        """Index of a step -> totals of the nodes that it touched last. What one step did by itself is
        ``diff_replay(Replay(stage.before, (stage,)))``."""
        return dict(sorted(_grouped((node.step, node) for node in self.nodes).items()))

    @cached_property
    def by_op(self) -> Mapping[str, Totals]:
        """Op -> totals; a node whose op changed counts under the new one."""
        return _grouped((node.op, node) for node in self.nodes)

    @cached_property
    def by_layer(self) -> Mapping[str, Totals]:
        """Layer -> totals of its operation, constants and what was made from them; other nodes are left out."""
        return _grouped((node.layer, node) for node in self.nodes)

    def to_json(self) -> dict[str, Any]:
        """The object that ``diff --json`` prints."""
        names = {touch.step: touch.name for node in self.nodes for touch in node.touches}
        return {
            "equal": self.equal,
            **self.counts,
            "ops_before": dict(self.ops_before),
            "ops_after": dict(self.ops_after),
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "extras_changed": self.extras_changed,
            "unexplained": list(self.unexplained),
            "by_step": [
                {"step": index + 1, "name": names[index], **vars(totals)} for index, totals in self.by_step.items()
            ],
            "by_op": {op: dict(vars(totals)) for op, totals in self.by_op.items()},
            "by_layer": {name: dict(vars(totals)) for name, totals in self.by_layer.items()},
            "nodes": [node.to_json() for node in self.nodes],
        }


def _grouped(entries: Iterable[tuple[Key | None, NodeDiff]]) -> dict[Key, Totals]:
    found: dict[Key, dict[str, int]] = {}
    for key, node in entries:
        if key is not None:
            sums = found.setdefault(key, dict.fromkeys(Totals.__dataclass_fields__, 0))
            sums[node.change] += 1
            sums["bytes_before"] += node.bytes_before
            sums["bytes_after"] += node.bytes_after
    return {key: Totals(**sums) for key, sums in found.items()}


@collector_paused()
def diff_replay(replay: Replay) -> Diff:
    """The difference between a recipe's source and its result, every node with its step and its source nodes."""
    trace = _Trace(replay)
    pairs = {name: name for name in replay.graph if name in replay.source}
    pairs.update(trace.renamed(pairs))
    return _compare(replay.source, replay.graph, pairs, trace)


@collector_paused()
def diff_graphs(before: ModelGraph, after: ModelGraph) -> Diff:
    """The difference between two graphs that no recipe joins: nodes matched by name, then by structure."""
    return _compare(before, after, match_nodes(before, after), None)


class _Trace:
    """What a replay's steps did to each node, joined over all steps.

    ``origins``: touched node of the result -> the source nodes it came from; ``steps``: node -> the stages that touched
    it; ``reasons``: source node that is gone -> why.
    """

    def __init__(self, replay: Replay) -> None:
        self.source, self.result = replay.source, replay.graph
        self.origins: dict[str, tuple[str, ...]] = {}
        self.steps: dict[str, tuple[Stage, ...]] = {}
        self.reasons: dict[str, str] = {}
        for stage in replay.stages:
            if stage.result.changed:
                self._follow(stage)

    def _follow(self, stage: Stage) -> None:
        made = {name: origins for name, origins in stage.result.origins.items() if name in stage.after}
        heirs: dict[str, list[str]] = {}
        for name, origins in made.items():
            for origin in origins:
                heirs.setdefault(origin, []).append(name)
        traced = {
            name: tuple(dict.fromkeys(root for origin in origins for root in self.origins.get(origin, (origin,))))
            for name, origins in made.items()
        }
        for name in stage.before:
            if name in stage.after:
                continue
            self.origins.pop(name, None)
            if name in self.source:
                self.reasons[name] = stage.result.removed.get(name) or _became(heirs.get(name, ()))
                self.steps[name] = (*self.steps.get(name, ()), stage)
            else:
                self.steps.pop(name, None)
        for name, roots in traced.items():
            self.origins[name] = roots
            self.steps[name] = (*self.steps.get(name, ()), stage)

    def renamed(self, kept: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """New name -> old name of the nodes that a step took away and put back under another name only."""
        used = set()
        for name, roots in self.origins.items():
            if name in kept or len(roots) != 1 or roots[0] in self.result or roots[0] in used:
                continue
            old, new = self.source[roots[0]], self.result[name]
            if (old.op, old.device) == (new.op, new.device) and not old.changed_attrs(new):
                used.add(old.name)
                yield name, old.name

    def touches(self, name: str, removed: bool) -> tuple[Touch, ...]:
        """The steps that touched a node; the last one's reason is why it is gone, where it was ``removed``."""
        stages = self.steps.get(name, ())
        found = [Touch(stage.index, stage.transform.name, stage.transform.title) for stage in stages]
        if removed and found and self.reasons.get(name):
            found[-1] = replace(found[-1], reason=self.reasons[name])
        return tuple(found)

    def unexplained(self, nodes: Iterable[NodeDiff]) -> tuple[str, ...]:
        """Differences that no step made, and added nodes that came from nowhere."""
        return tuple(n.name for n in nodes if n.change != "unchanged" and (n.step is None or not n.origins))


def _became(heirs: Iterable[str]) -> str:
    names = list(heirs)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"became {', '.join(names[:3])}{more}" if names else ""


def _compare(before: ModelGraph, after: ModelGraph, pairs: Mapping[str, str], trace: _Trace | None) -> Diff:
    """Join the entries of both graphs; ``pairs``: node of ``after`` -> the node of ``before`` that it is."""
    layers = _layer_of(before) if trace else _layer_of(before, after)
    olds = set(pairs.values())
    gone: dict[str, list[Node]] = {}  # the surviving node -> those removed behind it
    anchor = ""
    for node in before.nodes:
        if node.name in olds:
            anchor = node.name
        else:
            gone.setdefault(anchor, []).append(node)

    nodes: list[NodeDiff] = []

    def add(old: Node | None, new: Node | None, details: tuple[str, ...]) -> None:
        node = new or old
        assert node is not None
        change: Change = "added" if old is None else "removed" if new is None else "changed" if details else "unchanged"
        origins: tuple[str, ...] = () if old is None else (old.name,)
        touches: tuple[Touch, ...] = ()
        if trace is not None and change != "unchanged":
            touches = trace.touches(node.name, change == "removed")
            if change != "removed":
                origins = trace.origins.get(node.name, origins)
        size_before = node_size(old) if old is not None else 0
        nodes.append(
            NodeDiff(
                node.name,
                node.op,
                change,
                origins,
                touches,
                details,
                size_before,
                size_before if new is old else node_size(new) if new is not None else 0,
                next((layers[name] for name in (*origins, node.name) if name in layers), None),
            )
        )

    for node in gone.get("", ()):
        add(node, None, ())
    for node in after.nodes:
        old = before[pairs[node.name]] if node.name in pairs else None
        add(old, node, _details(old, node, pairs) if old is not None else ())
        if old is not None:
            for lost in gone.get(old.name, ()):
                add(lost, None, ())
    return Diff(
        tuple(nodes),
        before.op_counts,
        after.op_counts,
        sum(node.bytes_before for node in nodes) + len(before.extras),
        sum(node.bytes_after for node in nodes) + len(after.extras),
        before.extras != after.extras,
        trace.unexplained(nodes) if trace is not None else (),
    )


def _details(old: Node, new: Node, pairs: Mapping[str, str]) -> tuple[str, ...]:
    """What is different between a node and the one that it was."""
    if old is new:
        return ()
    found = [what for what in ("name", "op") if getattr(old, what) != getattr(new, what)]
    if old.inputs != new.inputs:
        reads = [(pairs.get(ref.name), ref.port, ref.control) for ref in new.refs]
        if reads != [tuple(ref) for ref in old.refs]:
            found.append("inputs")
        elif old.refs != new.refs:
            found.append("input names")
    if old.device != new.device:
        found.append("device")
    changed = old.changed_attrs(new)
    found += ["value" if key == "value" and new.op == "Const" else f"attr {key}" for key in changed]
    if old.extra != new.extra:
        found.append("other fields")
    return tuple(found)


def _layer_of(*graphs: ModelGraph) -> dict[str, str]:
    """Node -> the layer that it belongs to; the first graph that knows a node decides."""
    found: dict[str, str] = {}
    for graph in graphs:
        for layer in find_layers(graph):
            for name in (*layer.users, layer.weight, layer.bias, layer.batch_norm):
                if name is not None:
                    found.setdefault(name, layer.name)
    return found

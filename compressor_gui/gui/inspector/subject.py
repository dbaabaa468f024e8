"""What the inspector shows: the selected node, before and after, and the layer that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from compressor_gui.core.diff import NodeDiff
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.layers import Layer
from compressor_gui.core.memo import by_identity
from compressor_gui.core.names import shared_scope
from compressor_gui.core.values import Tensor
from compressor_gui.gui.matched import matched_layers
from compressor_gui.gui.state import State


@dataclass(frozen=True)
class Subject:
    """A node in the source graph (``before``) and in the graph compared with (``after``); one may be missing.

    ``layer`` is the source's layer that the node belongs to, ``parts`` what became of it, two layers where it was
    factorized; there are none for a constant that is no weight, such as a bias, whose values stand for themselves.
    """

    name: str
    before: Node | None
    after: Node | None
    layer: Layer | None
    parts: tuple[Layer, ...]
    entry: NodeDiff | None
    short: str
    role: str = ""
    """What a constant that is no weight does in a layer: ``bias of conv2d_6``."""

    @property
    def layer_after(self) -> Layer | None:
        """What became of the layer, the first part of it."""
        return self.parts[0] if self.parts else None

    @property
    def node(self) -> Node:
        """The node to describe: the newer one."""
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def tensor(self) -> Tensor | None:
        """The constant that is shown before the recipe."""
        if self.layer is not None:
            return self.layer.tensor
        return (self.before or self.node).tensor

    @property
    def tensor_after(self) -> Tensor | None:
        """The constant that is shown after the recipe; None where it is gone or computed."""
        if self.layer is not None:
            return self.layer_after.tensor if self.layer_after else None
        return self.after.tensor if self.after is not None else None


def subject_of(state: State) -> Subject | None:
    """The subject of a state; None where nothing is selected, or the node is in neither graph any more."""
    if state.source is None or not state.selected:
        return None
    name = state.selected
    entry = state.diff.by_name.get(name) if state.diff else None
    before = state.source.graph.get(name)
    after = state.after.get(name) if state.after is not None else None
    if before is None and after is None:
        return None
    if before is None and entry is not None and entry.details and len(entry.origins) == 1:  # renamed
        before = state.source.graph.get(entry.origins[0])
    layer = _layer(state, name, entry)
    node = before or after
    role = ""
    if layer is not None and node is not None and node.op == "Const" and not _is_weight(layer, name, state):
        role = f"{'bias' if name == layer.bias else 'part'} of {state.source.short[layer.name]}"
        layer = None
    parts = _parts(state).get(layer.name, ()) if layer else ()
    short = state.source.short[layer.name] if layer else name.removeprefix(scope_of(state.source.graph))
    return Subject(name, before, after, layer, parts, entry, short, role)


@by_identity
def scope_of(graph: ModelGraph) -> str:
    """The scope that all nodes share, which says nothing."""
    return shared_scope(graph)


def _layer(state: State, name: str, entry: NodeDiff | None) -> Layer | None:
    assert state.source is not None
    owner = entry.layer if entry else None
    for layer in state.source.layers:
        if name in layer.users or name in (layer.weight, layer.bias, layer.batch_norm) or layer.name == owner:
            return layer
    return None


def _is_weight(layer: Layer, name: str, state: State) -> bool:
    return name == layer.weight or any(name == part.weight for part in _parts(state).get(layer.name, ()))


def _parts(state: State) -> Mapping[str, tuple[Layer, ...]]:
    """Source layer's name -> the layers in the graph compared with that it became."""
    if state.other is not None and state.source is not None:
        theirs = {layer.weight: layer for layer in state.other.layers}
        return {layer.name: (theirs[layer.weight],) for layer in state.source.layers if layer.weight in theirs}
    return matched_layers(state.made) if state.made else {}


def readers(graph: ModelGraph, name: str) -> tuple[str, ...]:
    """The nodes that read a node's outputs, each once."""
    return tuple(dict.fromkeys(reader for reader, _ in graph.consumers.get(name, ())))

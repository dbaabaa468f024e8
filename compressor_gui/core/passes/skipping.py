"""What the parameter ``skip`` of a pass means."""

from __future__ import annotations

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.passes.base import Names
from compressor_gui.core.passes.eightbit.plan import scopes
from compressor_gui.core.passes.wording import did_you_mean


def skipped_names(graph: ModelGraph, skip: Names, where: str, to: str = "skip") -> Names:
    """The operations and scopes that ``skip`` means; a layer may go by its short name. Raises PassError, which says
    what the names are given ``to`` do."""
    if not skip:
        return ()
    known = {layer.short: layer.users for layer in find_layers(graph)}
    known |= {scope: (scope,) for name in graph for scope in scopes(name)}
    for name in skip:
        if name not in known:
            hint = did_you_mean(name, known, "name an operation or a scope")
            raise PassError(f"there is no node or scope {name!r} to {to}", where=where, hint=hint)
    return tuple(full for name in skip for full in known[name])


def is_among(layer: Layer, names: Names) -> bool:
    """Whether an operation of the layer is among these operations and scopes."""
    wanted = frozenset(names)
    return any(not wanted.isdisjoint(scopes(user)) for user in layer.users)


def skipped_nodes(graph: ModelGraph, skipped: Names) -> dict[str, str]:
    """The nodes that these operations and scopes mean -> the reason, for :attr:`.PassResult.left`."""
    wanted = frozenset(skipped)
    if not wanted:
        return {}
    return {name: f"{graph[name].op} skipped by name" for name in graph if not wanted.isdisjoint(scopes(name))}

"""Which constants are taken for weights by the passes that look at a constant's size and type, not at who reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from compressor_gui.core import stats
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.values import Tensor


def choose(
    graph: ModelGraph, minimum_size: int, refuse: Callable[[Node, Tensor], str | None] = lambda *_: None
) -> tuple[list[tuple[Node, Tensor]], list[str]]:
    """The floating point constants of at least ``minimum_size`` elements that can be rounded, and notes on the others.

    ``refuse`` may give a further reason, which finishes the sentence "Left alone, as ...".
    """
    chosen: list[tuple[Node, Tensor]] = []
    refused: dict[str, list[str]] = {}
    for node in graph.nodes:
        tensor = node.tensor
        if tensor is None or not tensor.dtype.is_floating or tensor.array.size < max(minimum_size, 1):
            continue
        reason = "it is the range of 8-bit values" if _is_range(graph, node) else refuse(node, tensor) or _unfit(tensor)
        if reason is None:
            chosen.append((node, tensor))
        else:
            refused.setdefault(reason, []).append(node.name)
    return chosen, [f"Left alone, as {reason}: {some(names)}." for reason, names in refused.items()]


def some(names: Sequence[str]) -> str:
    """Names in a sentence: the first, and how many more there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _is_range(graph: ModelGraph, node: Node) -> bool:
    """Whether a Dequantize or another eight-bit operation reads this constant as a minimum or maximum."""
    return any("uantize" in graph[name].op and at > 0 for name, at in graph.consumers[node.name])


def _unfit(tensor: Tensor) -> str | None:
    found = stats.summary(tensor)
    if found.not_finite:
        return "it holds values that are not finite (NaN or infinite)"
    if found.maximum - found.minimum > float(np.finfo(np.float32).max):
        return "its values are too far apart for a float32 range"
    return "all its values are equal" if found.minimum == found.maximum else None

"""Which constants are taken for weights by the passes that look at a constant's size and type, not at who reads it;
and where a layer's new weights go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from compressor_gui.core import stats
from compressor_gui.core.edit import Edit
from compressor_gui.core.evaluate import PASS_THROUGH, Constant
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.wording import some
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
        reason = "it is the range of 8-bit values" if _is_range(graph, node) else refuse(node, tensor) or unfit(tensor)
        if reason is None:
            chosen.append((node, tensor))
        else:
            refused.setdefault(reason, []).append(node.name)
    return chosen, [f"Left alone, as {reason}: {some(names)}." for reason, names in refused.items()]


def store_weights(
    graph: ModelGraph, edit: Edit, layer: Node, value: Constant, origins: Sequence[str], suffix: str
) -> str:
    """Put a layer's new weights into their Const where only this layer reads it, else into a new one.

    Returns what the layer has to read; the new Const is called ``<layer>_<suffix>``.
    """
    source = graph[layer.data_refs[1].name]
    direct = layer.inputs[1]
    alone = True
    while True:
        readers = [user for user, index in graph.consumers[source.name] if not graph[user].refs[index].control]
        alone = alone and len(readers) == 1 and not graph.is_output(source.name)
        if source.op not in PASS_THROUGH:
            break
        source = graph[source.data_refs[0].name]
    if alone and source.op == "Const":
        edit.replace(source.with_(attrs={"value": value.tensor}), origins)
        return direct
    made = Node.const(edit.free_name(f"{layer.name}_{suffix}"), value.tensor, layer.device)
    return edit.add(made.with_(inputs=value.control), [source.name, *origins], before=layer.name)


def _is_range(graph: ModelGraph, node: Node) -> bool:
    """Whether a Dequantize or another eight-bit operation reads this constant as a minimum or maximum."""
    return any("uantize" in graph[name].op and at > 0 for name, at in graph.consumers[node.name])


def unfit(tensor: Tensor) -> str | None:
    """Why a constant can't be rounded; None where it can."""
    found = stats.summary(tensor)
    if found.not_finite:
        return "it holds values that are not finite (NaN or infinite)"
    if found.maximum - found.minimum > float(np.finfo(np.float32).max):
        return "its values are too far apart for a float32 range"
    return "all its values are equal" if found.minimum == found.maximum else None

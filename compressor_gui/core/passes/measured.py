"""What the passes share that change a layer's constants by what was measured on examples: vectors with a value for each
channel of a node, kept in the store of weights."""

from __future__ import annotations

import numpy as np

from compressor_gui.core import weight_store
from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import CompressorError, PassError
from compressor_gui.core.evaluate import Constant
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.weights import store_weights
from compressor_gui.core.passes.wording import did_you_mean
from compressor_gui.core.values import Tensor


def stored_vectors(graph: ModelGraph, sha256: str, where: str) -> dict[str, np.ndarray]:
    """Node -> a finite value for each of its channels. Raises PassError where they are not here, or of another graph;
    ``where`` is the pass that reads them."""
    if not weight_store.is_key(sha256):
        hint = "64 hexadecimal digits; compressor-cli adaround adds this step by itself"
        raise PassError(f"{sha256[:80]!r} is no SHA-256", where=where, hint=hint)
    try:
        found = weight_store.load(sha256)
    except CompressorError as error:
        raise PassError(str(error), where=where) from None
    for name, values in found.items():
        if name not in graph:
            hint = did_you_mean(name, graph, "they were measured on another graph, or behind other steps")
            raise PassError(f"there is no node {name!r}, of which values are given", where=where, hint=hint)
        if values.ndim != 1 or not np.isfinite(values).all():
            raise PassError(f"the values of {name!r} are not one finite number a channel", where=where)
    return found


def store_constant(graph: ModelGraph, edit: Edit, node: Node, values: np.ndarray, suffix: str) -> None:
    """Let ``node`` read ``values`` as its second input, which is a constant of their shape and type."""
    old = graph.constant(node, 1)
    assert old is not None
    control = tuple(text for text in graph[node.data_refs[1].name].inputs if text.startswith("^"))
    name = store_weights(graph, edit, node, Constant(Tensor(old.dtype, values), control), (node.name,), suffix)
    if name != node.inputs[1]:
        edit.replace(node.with_(inputs=[node.inputs[0], name, *node.inputs[2:]]))

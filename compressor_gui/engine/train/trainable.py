"""A frozen graph made trainable: the weights and biases of its layers are no longer constants but given from outside.

Batch normalisation stays as it is in the file: an inference operation with fixed statistics, which has a gradient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow.python.framework.ops import gradient_registry

from compressor_gui.core import pbio
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import CONTROL_FLOW, ModelGraph, parse_ref
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.passes.wording import did_you_mean
from compressor_gui.core.sweep import chosen_layers
from compressor_gui.core.values import DType
from compressor_gui.engine.session import TF_ERRORS, failure, quiet, tf

_NONE = frozenset(("ArgMax", "ArgMin"))
"""Operations whose gradient TensorFlow knows, and it is none."""


class Trainable:
    """The graph as a function of its inputs and of the constants that are trained.

    ``pruned``: the layers whose weights may become zero; ``constants``: name -> the first value (float32) of every
    constant that is trained, weights before biases, and ``dtypes`` its own type; ``weights``: those of the pruned
    layers, in their order.
    """

    def __init__(self, graph: ModelGraph, layers: Sequence[str], frozen: Sequence[str], *, where: str) -> None:
        """Raises CompressorError where a layer is unknown, or stored in 8 bits, or there is none."""
        self.graph = graph
        self.where = where
        self.pruned = chosen_layers(graph, layers)
        self.weights = tuple(layer.weight for layer in self.pruned)
        self.constants = _trained(graph, frozen, self.weights)
        self.dtypes = {name: self._value(name).dtype for name in self.constants}
        self._types: dict[str, Any] = {}
        definition = tf.compat.v1.GraphDef.FromString(pbio.to_bytes(graph))
        for node in definition.node:
            if node.name in self.constants:  # its value is given, so that the graph need not carry another
                self._types[node.name] = tf.dtypes.as_dtype(node.attr["dtype"].type)
                node.op = "Placeholder"
                del node.attr["value"]
        self._definition = definition

    def _value(self, name: str) -> np.ndarray:
        tensor = self.graph[name].tensor
        assert tensor is not None  # which is how the constants were found
        return tensor.array

    def compute(self, fetches: Sequence[str], feeds: Mapping[str, Any], constants: Mapping[str, Any]) -> list[Any]:
        """The tensors ``fetches`` ("name:port"), inside of a ``tf.function``: ``feeds`` are the placeholders' values,
        ``constants`` those of all that is trained. Raises CompressorError where TensorFlow refuses the graph."""
        values = {name: tf.identity(tf.cast(value, self._types[name])) for name, value in constants.items()}
        given = {f"{name}:0": value for name, value in {**feeds, **values}.items() if name in self.graph}
        try:
            with quiet():
                found: list[Any] = tf.graph_util.import_graph_def(self._definition, given, list(fetches), name="model")
        except TF_ERRORS as error:
            raise failure(error, "TensorFlow does not load this graph", self.where) from None
        return found

    def check_gradients(self, fetches: Iterable[str]) -> None:
        """Raise CompressorError where an operation between the trained constants and ``fetches`` is one of control
        flow or has no gradient, or a pruned layer gets none: which one is in the way."""
        between = self._between(fetches)
        for node in between:
            if node.op in CONTROL_FLOW:
                raise self._in_the_way(node.name, node.op, "is control flow, through which nothing can be trained")
            if _has_gradient(node.op) is None:
                raise self._in_the_way(node.name, node.op, "has no gradient")
        reached = self._upstream(fetches, through=_lets_through)
        for layer in self.pruned:
            if layer.weight not in reached:
                stops = next((node for node in between if not _lets_through(node.op)), None)
                place = f": {stops.op} ({stops.name!r}) is in the way" if stops else ", as the output does not need it"
                raise CompressorError(f"the layer {layer.name!r} gets no gradient{place}", where=self.where,
                                      hint="name the layers to prune, or another output")  # fmt: skip

    def _in_the_way(self, name: str, op: str, words: str) -> CompressorError:
        hint = "retrain before quantizing" if "uant" in op else "freeze the layers before it"
        return CompressorError(f"the op {op} (node {name!r}) {words}", where=self.where, hint=hint)

    def _between(self, fetches: Iterable[str]) -> list[Any]:
        """The nodes on a way from a trained constant to ``fetches``, in topological order."""
        needed = self._upstream(fetches, through=lambda op: True)
        reached = set(self.constants)
        found = []
        for node in self.graph.topological():
            if node.name in needed and any(ref.name in reached for ref in node.data_refs):
                reached.add(node.name)
                found.append(node)
        return found

    def _upstream(self, fetches: Iterable[str], through: Any) -> set[str]:
        """The nodes that ``fetches`` need, looked for ``through`` operations of some kinds only."""
        waiting = [parse_ref(text).name for text in fetches]
        seen = set(waiting)
        while waiting:
            node = self.graph[waiting.pop()]
            if through(node.op):
                new = {ref.name for ref in node.data_refs} - seen
                seen |= new
                waiting += new
        return seen


def _trained(graph: ModelGraph, frozen: Sequence[str], always: Sequence[str]) -> dict[str, np.ndarray]:
    """The weights and biases of all float layers but the frozen ones. Raises CompressorError for an unknown name."""
    layers = find_layers(graph)
    known = {name for layer in layers for name in layer.names}
    for name in frozen:
        if name not in known:
            hint = did_you_mean(name, known, "inspect lists the layers")
            raise CompressorError(f"there is no layer {name!r}", where="freeze", hint=hint)
    free = [layer for layer in layers if layer.tensor.dtype.is_floating and not _named(layer, frozen)]
    refused = next((layer.name for layer in layers if layer.weight in always and layer not in free), None)
    if refused is not None:
        raise CompressorError(f"the layer {refused!r} is to be pruned and frozen", hint="leave one of them out")
    names = [layer.weight for layer in free] + [layer.bias for layer in free if layer.bias is not None]
    found = {}
    for name in dict.fromkeys(names):
        tensor = graph[name].tensor
        if tensor is not None and tensor.dtype.is_floating and tensor.dtype != DType.DOUBLE:
            found[name] = tensor.array.astype(np.float32)
    return found


def _named(layer: Layer, names: Sequence[str]) -> bool:
    return any(name in names for name in layer.names)


def _lets_through(op: str) -> bool:
    return bool(_has_gradient(op)) and op not in _NONE


def _has_gradient(op: str) -> bool | None:
    """Whether gradients pass an operation; None where TensorFlow does not say how."""
    try:
        return gradient_registry.lookup(op) is not None
    except LookupError:
        return None

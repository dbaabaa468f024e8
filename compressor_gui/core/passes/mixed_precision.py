"""Each layer's weights in as many bits as it needs: from 2 to 16, or all 32."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.passes.already import refuse_if_idle, stranger
from compressor_gui.core.passes.base import Amounts, Pass, PassResult, param, result
from compressor_gui.core.passes.stored_codes import per_channel_pays, store_codes
from compressor_gui.core.passes.weights import unfit
from compressor_gui.core.passes.wording import did_you_mean, some
from compressor_gui.core.pbio import node_size
from compressor_gui.core.rounding import encode, encode_bits
from compressor_gui.core.values import DType, Tensor

WIDTHS = (32, *range(16, 1, -1))
"""The numbers of bits that a layer's weights can have: 32 leaves them as they are."""

FOLDED_BYTES = 10 << 20
"""The largest constant that TensorFlow folds when a session begins (core/common_runtime/constant_folding.cc)."""


@dataclass(frozen=True)
class MixedPrecision(Pass):
    """Store each layer's weights in its own number of bits; what reads them still computes in floats.

    2 to 15 bits: codes with a step for each output channel, packed by DEFLATE, which a Dequantize reads; 16: float16,
    which a Cast reads. Dequantize and Cast take the constant's name. Zero stays exactly zero. Biases stay floats.
    """

    name: ClassVar[str] = "mixed_precision"
    title: ClassVar[str] = "Mixed precision"
    summary: ClassVar[str] = "Store each layer's weights in its own number of bits, 2 to 16 or 32."

    bits: Amounts = param(
        (), "amounts", "Bits by layer", "A layer's own number of bits: 2 to 16, or 32.", minimum=2, maximum=32
    )
    rest: int = param(
        32, "integer", "Other layers", "Bits of the layers that have no number of their own.", minimum=2, maximum=32
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, bits in (*((f"bits of {name!r}", bits) for name, bits in self.bits), ("rest", self.rest)):
            if bits not in WIDTHS:
                hint = "store it in 2 to 16 bits, or 32, which leaves it as it is"
                raise PassError(
                    f"{key}={bits:g} is no number of bits that weights can have", where=self.name, hint=hint
                )

    def run(self, graph: ModelGraph) -> PassResult:
        """Store the weights. Raises PassError for a layer that does not exist or has two numbers."""
        layers = find_layers(graph)
        own = self._own(graph, layers)
        edit = Edit(graph)
        refused: dict[str, list[str]] = {}
        unfolded: list[str] = []
        for layer in layers:
            bits = own.get(layer.name, self.rest)
            reason = _reason_against(layer, bits)
            if reason:
                refused.setdefault(reason, []).append(layer.name)
            elif bits < 32:
                _store(edit, layer, bits)
                unfolded += [layer.name] if layer.tensor.nbytes > FOLDED_BYTES else []
        notes = [f"Left alone, as {reason}: {some(names)}." for reason, names in refused.items()]
        if unfolded:
            notes.append(f"Unpacked at every run, as TensorFlow folds constants of up to 10 MB: {some(unfolded)}.")
        done = result(edit, notes)
        return refuse_if_idle(done, graph, self.name) if refused else done

    def _own(self, graph: ModelGraph, layers: Iterable[Layer]) -> dict[str, int]:
        """Layer -> its own number of bits."""
        known = {name: layer for layer in layers for name in layer.names}
        found: dict[str, int] = {}
        named: dict[str, str] = {}
        for name, bits in self.bits:
            if name not in known:
                hint = did_you_mean(name, known, "name an operation or its weight constant")
                raise stranger(graph, f"there is no layer {name!r}", self.name, hint)
            layer = known[name].name
            if (other := named.setdefault(layer, name)) != name:
                words = f"{other!r} and {name!r} are the same layer"
                raise PassError(words, where=self.name, hint="leave one of them out")
            found[layer] = int(bits)
        return found


def stored_bytes(graph: ModelGraph, layer: Layer, bits: int) -> int | None:
    """What ``layer`` of ``graph`` takes in the file by ``bits`` bits, all nodes that its weights need included; None
    where it can't be stored so."""
    if bits < 32 and _reason_against(layer, bits):
        return None
    weight = graph[layer.weight]
    edit = Edit(ModelGraph([weight], outputs=()))
    if bits < 32:
        _store(edit, layer, bits)
    return sum(map(node_size, edit.nodes))


def _reason_against(layer: Layer, bits: int) -> str:
    """Why a layer's weights can't be stored in ``bits``; empty where they can."""
    if bits == 32:
        return ""
    if layer.tensor.dtype == DType.HALF and bits == 16:
        return "it is float16 already"
    if layer.tensor.dtype != DType.FLOAT:
        return "its weights are not float32"
    if bits == 16 and not np.abs(layer.tensor.array).max(initial=0) <= np.finfo(np.float16).max:
        return "its weights are too large for float16, or not finite"
    return (unfit(layer.tensor) or "") if bits < 16 else ""


def _store(edit: Edit, layer: Layer, bits: int) -> None:
    node, weights, axis = edit[layer.weight], layer.tensor.array, layer.channel_axis
    if bits == 16:
        half = Node.const(edit.free_name(f"{node.name}_half"), Tensor(DType.HALF, weights.astype("<f2")), node.device)
        edit.add(half.with_(inputs=node.inputs) if node.inputs else half, (node.name,))
        edit.replace(Node.make(node.name, "Cast", [half.name], node.device, SrcT=DType.HALF, DstT=DType.FLOAT))
    elif bits == 8:
        store_codes(edit, node, encode(weights, axis, per_channel_pays(weights, axis)), axis, packed=True)
    else:
        store_codes(edit, node, encode_bits(weights, axis, bits), axis, packed=True)

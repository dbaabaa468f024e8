"""Weights put into a graph as codes of 8 or 16 bits, and the Dequantize that reads them."""

from __future__ import annotations

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import Node
from compressor_gui.core.packing import pack, unpacking
from compressor_gui.core.pbio import node_size
from compressor_gui.core.rounding import Codes
from compressor_gui.core.values import Attr, DType, Tensor

_RANGE_BYTES = 8
"""What a channel's minimum and maximum take."""


def per_channel_pays(array: np.ndarray, axis: int | None) -> bool:
    """Whether codes and a range for each channel along ``axis`` (None: there are none) take less than the floats."""
    return axis is not None and int(array.size + array.shape[axis] * _RANGE_BYTES) < array.nbytes


def store_codes(edit: Edit, node: Node, found: Codes, axis: int | None, *, packed: bool = False) -> None:
    """Let a Dequantize of the constant ``node``'s name read ``found``, its ranges along ``axis``.

    The constant ``w`` becomes ``w_quantized_const``, ``w_quantized_min`` and ``w_quantized_max``. ``packed``: the codes
    are stored as :mod:`.packing` does it, where that takes fewer bytes.
    """
    codes = {"i1": DType.QINT8, "u1": DType.QUINT8, "i2": DType.QINT16}[found.codes.dtype.str[1:]]
    tensor = Tensor(codes, found.codes)
    made = _constant(edit.free_name(f"{node.name}_quantized_const"), tensor, node)
    ways = [[made]]
    if packed:
        ways.append(list(unpacking(made.name, pack(found.codes), tensor, node)))
    inputs = [made.name]
    for part in min(ways, key=lambda nodes: sum(map(node_size, nodes))):
        edit.add(part, (node.name,))
    for suffix, values in (("min", found.minimum), ("max", found.maximum)):
        name = edit.free_name(f"{node.name}_quantized_{suffix}")
        inputs.append(edit.add(_constant(name, Tensor(DType.FLOAT, values), node), (node.name,)))
    how: dict[str, Attr] = {"T": codes, "mode": found.mode.encode()}
    if axis is not None and found.minimum.ndim:
        how["axis"] = axis
    if found.mode == "SCALED":
        how["narrow_range"] = True
    edit.replace(Node.make(node.name, "Dequantize", inputs, node.device, **how))


def _constant(name: str, tensor: Tensor, like: Node) -> Node:
    """A Const where ``like`` is: control inputs tell in which frame and branch a constant lives, and all inputs must
    live in the same."""
    made = Node.const(name, tensor, like.device)
    return made.with_(inputs=like.inputs) if like.inputs else made

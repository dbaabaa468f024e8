"""Codes of weights in fewer bytes than they count: DEFLATE's Huffman codes, which give each level as many bits as its
frequency asks for.

Weights in b bits are codes of a byte that use 2^b - 1 of its 256 values, those around zero most. The Huffman code takes
0.1 to 1 bit a weight less than b bits side by side would, whatever b is, and far less where layers are pruned. Stock
TensorFlow reads it by ``DecodeCompressed``, ``DecodeRaw``, ``Reshape`` and ``Bitcast``, once, when a session folds its
constants; but weights of more than 10 MB as floats, which it does not fold, at every run.

Tried and left out: bits side by side in bytes or 64-bit words, taken apart by ``RightShift`` and ``BitwiseAnd``: 8 to
20 % more bytes, as many operations, and no faster to load.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator

import numpy as np

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.values import DType, Tensor

_STRATEGIES = (zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE)
"""Without and with runs of equal codes, which there are where most weights are zero."""

_WAY = ("Bitcast", "Reshape", "DecodeRaw", "DecodeCompressed")
"""From the codes back to the stream."""

_BYTES = {DType.QINT8: DType.INT8, DType.QUINT8: DType.UINT8}


def pack(codes: np.ndarray) -> bytes:
    """A zlib stream of 8-bit codes. Its bytes are those of the zlib that Python has; zlib-ng, a fork, makes others."""
    raw = np.ascontiguousarray(codes).tobytes()
    return min((_deflated(raw, strategy) for strategy in _STRATEGIES), key=len)


def _deflated(raw: bytes, strategy: int) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, 15, 9, strategy)
    return stream.compress(raw) + stream.flush()


def unpacking(name: str, packed: bytes, like: Tensor, source: Node) -> Iterator[Node]:
    """The nodes that make ``like`` (qint8 or quint8) of ``packed``; the last one is called ``name``. They live where
    ``source`` does."""
    raw = _BYTES[like.dtype]
    shape = np.array(like.array.shape, np.int32)
    constants = (
        Node.const(f"{name}/packed", Tensor.of(packed, DType.STRING), source.device),
        Node.const(f"{name}/shape", Tensor(DType.INT32, shape), source.device),
    )
    for made in constants:
        yield made.with_(inputs=source.inputs) if source.inputs else made
    whole, numbers, shaped = f"{name}/bytes", f"{name}/numbers", f"{name}/shaped"
    device = source.device
    yield Node.make(whole, "DecodeCompressed", [f"{name}/packed"], device, compression_type=b"ZLIB")
    yield Node.make(numbers, "DecodeRaw", [whole], device, out_type=raw, little_endian=True)
    yield Node.make(shaped, "Reshape", [numbers, f"{name}/shape"], device, T=raw, Tshape=DType.INT32)
    yield Node.make(name, "Bitcast", [shaped], device, T=raw, type=like.dtype)


def unpacked(graph: ModelGraph, node: Node) -> Tensor | None:
    """The codes that ``node`` gives, where it is the last of :func:`unpacking`; None where it is anything else."""
    dtype, shape, packed = node.dtype("type"), *_stream(graph, node)
    if dtype is None or shape is None or packed is None:
        return None
    dims = tuple(int(size) for size in shape.array.reshape(-1))
    count = math.prod(dims)
    try:
        raw = zlib.decompressobj().decompress(packed, count + 1) if min(dims, default=1) > 0 else b""
    except zlib.error:
        return None
    return Tensor(dtype, np.frombuffer(raw, dtype.numpy).reshape(dims)) if len(raw) == count else None


def packed_size(graph: ModelGraph, node: Node) -> int | None:
    """The bytes of the stream that ``node`` is the last to unpack; None where there is none."""
    packed = _stream(graph, node)[1]
    return None if packed is None else len(packed)


def _stream(graph: ModelGraph, node: Node) -> tuple[Tensor | None, bytes | None]:
    """Shape and stream of what ``node`` unpacks."""
    way, found = [node], graph.producer(node, 0)
    while found is not None and found.op != "Const" and len(way) < len(_WAY):
        way.append(found)
        found = graph.producer(found, 0)
    if tuple(step.op for step in way) != _WAY or node.dtype("type") not in _BYTES:
        return None, None
    shape, packed = graph.constant(way[1], 1), graph.constant(way[3], 0)
    if packed is None or packed.array.size != 1 or way[3].text("compression_type") != "ZLIB":
        return None, None
    return shape, bytes(packed.array.item())

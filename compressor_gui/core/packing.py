"""Codes of weights in fewer bytes than they count: DEFLATE's Huffman codes, which give each level as many bits as its
frequency asks for.

Weights in b bits are codes of one or two bytes that use 2^b - 1 of their values, those around zero most. The Huffman
code takes 0.1 to 1 bit a weight less than b bits side by side would, whatever b is, and far less where layers are
pruned. Stock TensorFlow reads it by ``DecodeCompressed``, ``DecodeRaw``, ``Reshape``, ``Bitcast`` (and ``Transpose``,
where codes have two bytes) once, when a session folds its constants; but weights of more than 10 MB as floats, which it
does not fold, at every run.

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
_LONG_WAY = ("Bitcast", "Transpose", *_WAY[1:])
"""From codes of one byte, and of two, back to the stream."""

_BYTES = {DType.QINT8: DType.INT8, DType.QUINT8: DType.UINT8, DType.QINT16: DType.UINT8}
"""As what the bytes of codes are read."""


def pack(codes: np.ndarray) -> bytes:
    """A zlib stream of codes of one or two bytes, of two first all the lower bytes: the upper ones are much alike.

    Its bytes are those of the zlib that Python has; zlib-ng, a fork, makes others.
    """
    raw = np.ascontiguousarray(codes.reshape(-1).view(np.uint8).reshape(-1, codes.itemsize).T).tobytes()
    return min((_deflated(raw, strategy) for strategy in _STRATEGIES), key=len)


def _deflated(raw: bytes, strategy: int) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, 15, 9, strategy)
    return stream.compress(raw) + stream.flush()


def unpacking(name: str, packed: bytes, like: Tensor, source: Node) -> Iterator[Node]:
    """The nodes that make ``like`` (qint8, quint8 or qint16) of ``packed``; the last one is called ``name``. They live
    where ``source`` does."""
    raw, shape, device = _BYTES[like.dtype], like.array.shape, source.device

    def constant(part: str, value: object, dtype: DType) -> Node:
        made = Node.const(f"{name}/{part}", Tensor.of(value, dtype), device)
        return made.with_(inputs=source.inputs) if source.inputs else made

    two = like.array.itemsize == 2
    whole, numbers, shaped, turned = (f"{name}/{part}" for part in ("bytes", "numbers", "shaped", "turned"))
    yield constant("packed", packed, DType.STRING)
    yield constant("shape", (2, *shape) if two else shape, DType.INT32)
    yield Node.make(whole, "DecodeCompressed", [f"{name}/packed"], device, compression_type=b"ZLIB")
    yield Node.make(numbers, "DecodeRaw", [whole], device, out_type=raw, little_endian=True)
    yield Node.make(shaped, "Reshape", [numbers, f"{name}/shape"], device, T=raw, Tshape=DType.INT32)
    if two:
        yield constant("order", _bytes_last(len(shape)), DType.INT32)
        yield Node.make(turned, "Transpose", [shaped, f"{name}/order"], device, T=raw, Tperm=DType.INT32)
    yield Node.make(name, "Bitcast", [turned if two else shaped], device, T=raw, type=like.dtype)


def _bytes_last(rank: int) -> tuple[int, ...]:
    """The order of axes that puts the first one, along which lower and upper bytes lie, behind the ``rank`` others."""
    return (*range(1, rank + 1), 0)


def unpacked(graph: ModelGraph, node: Node) -> Tensor | None:
    """The codes that ``node`` gives, where it is the last of :func:`unpacking`; None where it is anything else."""
    dtype, shape, packed = node.dtype("type"), *_stream(graph, node)
    if dtype is None or dtype.numpy is None or shape is None or packed is None:
        return None
    dims = tuple(int(size) for size in shape.array.reshape(-1))
    if dtype.numpy.itemsize == 2:
        order = graph.constant(graph[node.data_refs[0].name], 1)
        if dims[:1] != (2,) or order is None or tuple(order.array.reshape(-1)) != _bytes_last(len(dims) - 1):
            return None
    count = math.prod(dims)
    try:
        raw = zlib.decompressobj().decompress(packed, count + 1) if min(dims, default=1) > 0 else b""
    except zlib.error:
        return None
    if len(raw) != count:
        return None
    planes = np.frombuffer(raw, np.uint8).reshape(dtype.numpy.itemsize, -1)
    codes = np.ascontiguousarray(planes.T).view(dtype.numpy)
    return Tensor(dtype, codes.reshape(dims[dtype.numpy.itemsize - 1 :]))


def packed_size(graph: ModelGraph, node: Node) -> int | None:
    """The bytes of the stream that ``node`` is the last to unpack; None where there is none."""
    packed = _stream(graph, node)[1]
    return None if packed is None else len(packed)


def _stream(graph: ModelGraph, node: Node) -> tuple[Tensor | None, bytes | None]:
    """Shape and stream of what ``node`` unpacks."""
    if node.op != "Bitcast":
        return None, None
    way, found = [node], graph.producer(node, 0)
    while found is not None and found.op != "Const" and len(way) < len(_LONG_WAY):
        way.append(found)
        found = graph.producer(found, 0)
    dtype = node.dtype("type")
    wanted = _LONG_WAY if dtype == DType.QINT16 else _WAY
    if tuple(step.op for step in way) != wanted or dtype not in _BYTES:
        return None, None
    shape, packed = graph.constant(way[-3], 1), graph.constant(way[-1], 0)
    if packed is None or packed.array.size != 1 or way[-1].text("compression_type") != "ZLIB":
        return None, None
    return shape, bytes(packed.array.item())

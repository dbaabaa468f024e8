"""Inputs for a graph of which no data is known: shapes from its placeholders, values that a network can stand.

An unknown batch is 1. What else is unknown is guessed, one guess after the other until the graph runs.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.placeholders import channels_that_are_read, placeholders, row_that_is_read
from compressor_gui.core.values import DType

_SIZES = (128, 224, 256, 64, 32, 28, 299, 320, 512)
_CHANNELS = (3, 1)


@dataclass(frozen=True)
class Guess:
    """What unknown dimensions are taken for: height and width ``size``, ``channels``; what an unknown rank is
    (``scalar``, or an image, or a vector); the largest integer in inputs that are no images; the batch."""

    size: int = 128
    channels: int = 3
    rank: int = 0
    largest: int = 7
    batch: int = 1


def guesses() -> Iterator[Guess]:
    """The guesses to try, the likeliest first."""
    for size in _SIZES:
        yield Guess(size)
    for size in _SIZES[:3]:
        yield from (Guess(size, channels, 4) for channels in _CHANNELS)
    yield Guess(rank=1)
    yield Guess(largest=1)


def make_feeds(graph: ModelGraph, guess: Guess, seed: int) -> dict[str, np.ndarray]:
    """A value for every placeholder; the same seed and guess give the same values.

    Quantized types are given as plain integers, text as an array of bytes objects. Raises CompressorError.
    """
    feeds = {}
    for number, node in enumerate(placeholders(graph)):
        random = np.random.default_rng((seed, number))
        feeds[node.name] = _value(node, _dims(graph, node, guess), guess, random)
    return feeds


def fitting(graph: ModelGraph, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The feeds, quantized where the compressed graph's placeholder wants that (``quantized_input``)."""
    return {name: _quantized(graph, name, value) for name, value in feeds.items() if name in graph}


def _quantized(graph: ModelGraph, name: str, value: np.ndarray) -> np.ndarray:
    if graph[name].dtype("dtype") != DType.QUINT8 or value.dtype.kind != "f":
        return value
    found = _range_of_codes(graph, name)
    if found is None:
        hint = "feed it bytes"
        raise CompressorError("no range says what its codes stand for", where=f"input {name!r}", hint=hint)
    low, high = found
    return np.clip(np.rint((value - low) / (high - low) * 255), 0, 255).astype(np.uint8)


_RANGE_AT = {"Dequantize": 1, "QuantizedMaxPool": 1, "QuantizedAvgPool": 1, "QuantizedRelu": 1, "QuantizedRelu6": 1,
             "QuantizedConv2D": 2, "QuantizedMatMul": 2, "QuantizedReshape": 2, "QuantizedBiasAdd": 2}  # fmt: skip
"""Where an operation reads the minimum of its first input; the maximum is next to it."""


def _range_of_codes(graph: ModelGraph, name: str) -> tuple[float, float] | None:
    """What the codes 0 and 255 of a quint8 placeholder stand for, as its readers say."""
    waiting = [name]
    for current in waiting:
        for reader, index in graph.consumers[current]:
            node = graph[reader]
            if node.op in ("Identity", "Reshape") and index == 0:
                waiting.append(reader)
            elif node.op in _RANGE_AT and index == 0:
                ends = [graph.constant(node, _RANGE_AT[node.op] + at) for at in (0, 1)]
                low, high = (float(end.array.reshape(-1)[0]) if end is not None else 0.0 for end in ends)
                if low < high:
                    return low, high
    return None


def has_unknowns(graph: ModelGraph) -> bool:
    """Whether another guess would make other inputs."""
    shapes = [node.shape() for node in placeholders(graph)]
    integers = any(node.dtype("dtype") in (DType.INT32, DType.INT64) for node in placeholders(graph))
    return integers or any(shape is None or shape.dims is None or -1 in shape.dims[1:] for shape in shapes)


def _dims(graph: ModelGraph, node: Node, guess: Guess) -> tuple[int, ...]:
    shape = node.shape()
    dims = shape.dims if shape is not None else None
    if dims is None:
        read = row_that_is_read(graph, node)
        dims = (-1, read) if read else {0: (), 1: (-1,), 4: (-1, -1, -1, -1)}[guess.rank]
    if len(dims) == 4 and dims[3] < 0 and dims[1] < 0:
        dims = (*dims[:3], channels_that_are_read(graph, node) or guess.channels)
    if len(dims) == 2 and dims[1] < 0:
        dims = (dims[0], row_that_is_read(graph, node) or guess.size)
    known = [guess.batch if d < 0 and axis == 0 else guess.size if d < 0 else d for axis, d in enumerate(dims)]
    return tuple(known)


def _value(node: Node, dims: tuple[int, ...], guess: Guess, random: np.random.Generator) -> np.ndarray:
    dtype = node.dtype("dtype") or DType.INVALID
    if dtype == DType.STRING:
        return np.full(dims, _png(smooth_noise((guess.size, guess.size, 3), random)), object)
    if dtype.numpy is None:
        raise CompressorError(f"no value can be made for an input of type {dtype.label}", where=f"node {node.name!r}")
    if dtype == DType.BOOL:
        return np.zeros(dims, bool)
    if np.prod(dims) == 1:
        return np.ones(dims, dtype.numpy)  # a ratio, a rate, a size
    image = len(dims) >= 3
    bytes_wide = dtype in (DType.UINT8, DType.QUINT8) or (image and not dtype.is_floating)
    values = smooth_noise(dims, random) if image else random.random(dims)
    if bytes_wide:
        values = np.floor(values * (127 if dtype in (DType.INT8, DType.QINT8) else 255.999))
    elif not dtype.is_floating:
        values = np.floor(values * (guess.largest + 1))
    return values.astype(dtype.numpy)


def smooth_noise(dims: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Noise in 0..1 whose detail fades with its frequency, as in photographs, over the axes but the first and last."""
    total = np.zeros(dims)
    for cells, weight in ((4, 1.0), (16, 0.5), (64, 0.25)):
        grid = random.random((dims[0], *(min(cells, d) for d in dims[1:-1]), dims[-1]))
        for axis in range(1, len(dims) - 1):
            grid = _stretched(grid, axis, dims[axis])
        total += weight * grid
    low, high = (float(total.min()), float(total.max())) if total.size else (0.0, 1.0)
    return (total - low) / ((high - low) or 1.0)


def _stretched(values: np.ndarray, axis: int, size: int) -> np.ndarray:
    """``values`` interpolated linearly to ``size`` along ``axis``."""
    place = np.linspace(0, values.shape[axis] - 1, size)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = (place - low).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    stretched: np.ndarray = np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share
    return stretched


def _png(picture: np.ndarray) -> bytes:
    """A picture (height x width x 3, values 0..1) as a PNG file, which is what most inputs of text decode."""
    rows = np.floor(picture * 255).astype(np.uint8).reshape(picture.shape[0], -1)
    unfiltered = np.pad(rows, ((0, 0), (1, 0))).tobytes()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", picture.shape[1], picture.shape[0], 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(unfiltered)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

"""Examples as a graph wants them: decoded and resized by ``tf.data`` in parallel, in batches, with the constants that
the other inputs get. What can't be decoded is left out and named."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compressor_gui.core.data import DataSpec, find_input, input_dims
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.placeholders import placeholders
from compressor_gui.core.units import shape as shape_text
from compressor_gui.core.values import DType
from compressor_gui.engine.session import TF_ERRORS, brief, tf
from compressor_gui.engine.sources import open_source

_BUCKETS = 1 << 20
"""How finely a split's share is cut."""


@dataclass(frozen=True)
class Batch:
    """Values for every placeholder (the examples' first), and of each example its class (None: no labels) and where it
    came from.

    Where the graph has a fixed batch, the last one is filled up with ``copies``: only the first ``len(batch)`` count.
    """

    feeds: dict[str, np.ndarray]
    labels: np.ndarray | None
    sources: list[str]
    copies: int = 0

    def __len__(self) -> int:
        return len(self.sources)

    def counted(self, output: np.ndarray) -> np.ndarray:
        """An output without the rows of the copies, where its first axis is the batch."""
        filled = self.copies and output.ndim and len(output) == len(self) + self.copies
        return output[: len(self)] if filled else output

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return sum(value.nbytes for value in self.feeds.values())


class Dataset:
    """Batches of examples; every iteration gives the same ones.

    ``count`` is how many there are (-1: unknown), broken ones included. ``n`` is how many the current iteration has
    given so far, ``skipped`` what it left out. Batches are kept in memory for the next iteration while they take no
    more than ``spec.cache_bytes``.
    """

    def __init__(self, spec: DataSpec, graph: ModelGraph, batch: int) -> None:
        spec.check()
        self.spec = spec
        self._input = find_input(graph, spec.input)
        self._dims = input_dims(graph, self._input) if self._input.op.startswith("Placeholder") else None
        self._source = open_source(spec)
        self._constants = _constants(graph, self._input.name, spec)
        self.batch, self._fixed = _batch_size(self._dims, spec, batch)
        self.classes = self._source.classes
        self.labelled = self._source.labelled
        self.count = self._count()
        self.skipped: list[str] = []
        self.n = 0
        self._kept: list[Batch] = []
        self._kept_skipped: list[str] | None = None

    def __iter__(self) -> Iterator[Batch]:
        """The batches. Raises CompressorError where there is none, or they don't fit the graph."""
        self.n = 0
        self.skipped = []
        if self._kept_skipped is not None:
            for batch in self._kept:
                self.n += len(batch)
                yield batch
            self.skipped = list(self._kept_skipped)
            return
        kept: list[Batch] | None = []
        size = 0
        for batch in self._decoded(self._source.indices):
            self.n += len(batch)
            size += batch.nbytes
            if size > self.spec.cache_bytes:
                kept = None
            if kept is not None:
                kept.append(batch)
            yield batch
        if not self.n:
            raise self.without_examples(self.skipped)
        if kept is not None:
            self._kept, self._kept_skipped = kept, list(self.skipped)

    # -- parts --

    @property
    def indices(self) -> list[int]:
        """The numbers of all examples of the split, broken ones included. Where they are unknown, all are listed."""
        count = self._source.count
        if count < 0:
            listing = self._source.listing(self._source.indices).ignore_errors()
            count = int(listing.reduce(np.int64(0), lambda n, _: n + 1))
        return self._chosen(range(count))

    def part(self, indices: range) -> Iterator[Batch]:
        """The batches of the split's examples with these numbers; ``n`` and ``skipped`` are the part's. The limit does
        not count, and a part may be empty.
        """
        self.n = 0
        self.skipped = []
        for batch in self._decoded(indices, limited=False):
            self.n += len(batch)
            yield batch

    def without_examples(self, skipped: Sequence[str]) -> CompressorError:
        """What to say where all examples, if there are any, are broken."""
        words = "there are no examples"
        if skipped:
            words = f"none of the {len(skipped)} examples can be read; the first is {skipped[0]}"
        return CompressorError(words, where=self.spec.path)

    # -- which examples --

    def _in_split(self, keys: Any) -> Any:
        """Whether examples of these keys belong to the split: by a keyed hash, so that it depends on nothing else."""
        seed = self.spec.seed & ((1 << 63) - 1)
        bucket = tf.strings.to_hash_bucket_strong(keys, _BUCKETS, key=[seed, 0x5EED])
        test = bucket < int(self.spec.test_share * _BUCKETS)
        return test if self.spec.split == "test" else tf.logical_not(test)

    def _chosen(self, indices: Sequence[int]) -> list[int]:
        if self.spec.split == "all" or not indices:
            return list(indices)
        inside = self._in_split(tf.constant([self._source.key(index) for index in indices])).numpy()
        return [index for index, chosen in zip(indices, inside, strict=True) if chosen]

    def _count(self) -> int:
        count = self._source.count
        if count < 0:
            return -1
        if self.spec.split != "all":
            count = len(self._chosen(range(count)))
        return min(count, self.spec.limit or count)

    # -- decoding --

    def _pipeline(self, indices: range, limit: int) -> Any:
        plain = tf.autograph.experimental.do_not_convert
        listing = self._source.listing(indices)
        if self.spec.split != "all":
            keys = None if self._source.keys is None else tf.constant(list(self._source.keys))

            def inside(index: Any, _: Any) -> Any:
                return self._in_split(tf.strings.as_string(index) if keys is None else keys[index])

            listing = listing.filter(plain(inside))

        def decode(index: Any, part: Any) -> tuple[Any, Any, Any]:
            value, label = self._source.load(index, part)
            return index, _prepared(value, self.spec), label

        def scale(index: Any, value: Any, label: Any) -> tuple[Any, Any, Any]:
            return index, _scaled(value, self.spec), label

        made = listing.map(plain(decode), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).ignore_errors()
        if limit:
            made = made.take(limit)
        return made.batch(self.batch).map(plain(scale)).prefetch(2)

    def _decoded(self, indices: range, *, limited: bool = True) -> Iterator[Batch]:
        expected = indices.start
        limit = self.spec.limit if limited else 0
        try:
            for index, value, label in self._pipeline(indices, limit):
                numbers = index.numpy().tolist()
                for at in numbers:
                    self._skip(range(expected, at))
                    expected = at + 1
                yield self._batch(value.numpy(), numbers, label.numpy())
        except TF_ERRORS as error:
            raise CompressorError(f"the examples can't be decoded: {_reason(error)}", where=self.spec.path) from None
        if (not limit or self.n < limit) and indices.stop < sys.maxsize:
            self._skip(range(expected, indices.stop))

    def _skip(self, indices: range) -> None:
        self.skipped += [self._source.name(index) for index in self._chosen(indices)]

    def _batch(self, value: np.ndarray, indices: list[int], labels: np.ndarray) -> Batch:
        short = self.batch - len(indices) if self._fixed else 0
        if short:
            value = np.concatenate([value, np.repeat(value[-1:], short, axis=0)])
        feeds = {self._input.name: self._fitted(value), **self._constants}
        sources = [self._source.name(index) for index in indices]
        return Batch(feeds, labels + self.spec.label_offset if self.labelled else None, sources, short)

    def _fitted(self, value: np.ndarray) -> np.ndarray:
        """A batch in the placeholder's rank: rows for a matrix, no axis of channels or batch where it has none."""
        dims = self._dims
        if dims is None or (len(dims) == value.ndim and _agree(dims, value.shape)):
            return value
        one = value.shape[1:]
        if len(dims) and min(dims[1:], default=1) > 0 and _same_in_memory(one, dims[1:]):
            return value.reshape(len(value), *dims[1:])
        if len(value) == 1 and len(dims) == len(one) and _agree(dims, one):
            return np.asarray(value[0])
        if len(dims) == 2 and dims[1] < 0:
            return value.reshape(len(value), -1)
        if len(dims) == value.ndim - 1 and value.shape[-1] == 1 and _agree(dims, value.shape[:-1]):
            return value[..., 0]
        wanted = shape_text(dims[1:] if len(dims) > 1 else dims)
        raise CompressorError(
            f"an example is {shape_text(one)}, but the input {self._input.name!r} is {wanted}",
            where=self.spec.path,
            hint="set height, width, channels and layout",
        )


def cut(indices: Sequence[int], batch: int, most: int) -> list[range]:
    """At most ``most`` parts of a data set with the examples of these numbers, whole batches in each but the last."""
    size = batch * max(1, math.ceil(len(indices) / batch / most))
    starts = range(0, len(indices), size)
    return [range(indices[at], indices[min(at + size, len(indices)) - 1] + 1) for at in starts]


def open_dataset(spec: DataSpec, graph: ModelGraph, batch: int) -> Dataset:
    """The examples that ``spec`` means, as ``graph`` wants them, in batches of ``batch`` (or of what the graph's
    placeholder says). Raises CompressorError."""
    return Dataset(spec, graph, batch)


def _same_in_memory(one: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether an example may be reshaped: not where the axes are the same number but others, as in another layout."""
    have, want = ([size for size in shape if size != 1] for shape in (one, wanted))
    return math.prod(have) == math.prod(want) and (len(have) != len(want) or have == want)


def _agree(dims: Sequence[int], shape: Sequence[int]) -> bool:
    return all(d < 0 or d == size for d, size in zip(dims, shape, strict=True))


def _batch_size(dims: tuple[int, ...] | None, spec: DataSpec, wanted: int) -> tuple[int, bool]:
    """Examples in a batch, and whether it has to be exactly as many."""
    if dims is None:
        return wanted, False
    sized = (spec.height, spec.width, spec.channels)
    if not dims or (len(dims) == 3 and spec.channels > 1 and _agree(dims, sized)):
        return 1, True
    return (dims[0], True) if dims[0] > 0 else (wanted, False)


def _constants(graph: ModelGraph, fed: str, spec: DataSpec) -> dict[str, np.ndarray]:
    """A value for every other placeholder: its constant in its shape, unknown dimensions taken as 1."""
    found = {}
    for node in placeholders(graph):
        if node.name != fed:
            found[node.name] = _constant(node, input_dims(graph, node) or (), spec.constants.get(node.name))
    return found


def _constant(node: Node, dims: tuple[int, ...], value: float | None) -> np.ndarray:
    dtype = node.dtype("dtype") or DType.INVALID
    if dtype.numpy is None or dtype == DType.STRING:
        raise CompressorError(
            f"no constant can be made for an input of type {dtype.label}", where=f"node {node.name!r}"
        )
    if value is None:
        raise CompressorError(f"the input {node.name!r} has no value", hint="give it one under constants")
    return np.full([max(1, d) for d in dims], value).astype(dtype.numpy)


# --- in TensorFlow's graph -------------------------------------------------------------------------------------------


def _prepared(value: Any, spec: DataSpec) -> Any:
    """One example: encoded bytes or numbers -> float32 in the size that is wanted, before mean and std."""
    if value.dtype == tf.string:
        picture = tf.io.decode_image(value, channels=spec.channels % 4, expand_animations=False)
        if spec.dtype == "string":
            # The graph decodes it again, but must not be given a broken one. Grappler drops a mere control dependency.
            return tf.where(tf.size(picture) > 0, value, "")
        picture.set_shape((None, None, spec.channels % 4 or None))
    else:
        picture = value
    picture = tf.cast(picture, tf.float32)
    if picture.shape.rank == 0:
        return picture[tf.newaxis]
    size = (spec.height, spec.width, spec.channels)
    if picture.shape.rank == 1 and all(size) and picture.shape[0] in (None, math.prod(size)):
        picture = tf.reshape(picture, size)
    if picture.shape.rank == 2 and spec.channels:
        picture = picture[..., tf.newaxis]
    return _as_picture(picture, spec) if picture.shape.rank == 3 else picture


def _as_picture(picture: Any, spec: DataSpec) -> Any:
    """Crop, channels and size of one picture; resized as label_image does it, bilinear without half-pixel centres."""
    if picture.shape[-1] not in (1, 3, 4, None) and picture.shape[0] in (1, 3, 4):
        picture = tf.transpose(picture, (1, 2, 0))
    if spec.crop < 1:
        picture = tf.image.central_crop(picture, spec.crop)
    have = picture.shape[-1]
    if spec.channels == 3 and have == 1:
        picture = tf.image.grayscale_to_rgb(picture)
    elif spec.channels == 3 and have == 4:
        picture = picture[..., :3]
    elif spec.channels == 1 and have in (3, 4):
        picture = tf.image.rgb_to_grayscale(picture[..., :3])
    size = [spec.height, spec.width]
    if all(size) and picture.shape[:2] != size:
        picture = tf.raw_ops.ResizeBilinear(images=picture[tf.newaxis], size=size)[0]
    return picture[..., ::-1] if spec.order == "BGR" and spec.channels == 3 else picture


def _scaled(value: Any, spec: DataSpec) -> Any:
    """A batch: mean and std, layout and type. Integers are rounded, and kept within what their type can say."""
    if value.dtype == tf.string:
        return value
    value = (value - spec.mean) / spec.std
    if spec.layout == "NCHW" and value.shape.rank == 4:
        value = tf.transpose(value, (0, 3, 1, 2))
    dtype = tf.dtypes.as_dtype(spec.dtype)
    if dtype.is_integer:
        value = tf.round(tf.clip_by_value(value, float(dtype.min), float(dtype.max)))
    return tf.cast(value, dtype)


def _reason(error: BaseException) -> str:
    text = brief(error)
    return "they have different sizes; set height and width" if "batch tensors with different shapes" in text else text

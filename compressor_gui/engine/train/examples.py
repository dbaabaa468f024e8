"""Examples in arrays that any order of them can be taken from, and what is done to them while training.

What an epoch looks like depends on the seed, the epoch and the example's number alone, so that a run that goes on from
a checkpoint sees what it would have seen.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compressor_gui.core import datafiles
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.pbio import cannot_write
from compressor_gui.core.serve import Job
from compressor_gui.core.training import Augmenting
from compressor_gui.core.units import counted
from compressor_gui.engine.dataset import Batch, open_dataset
from compressor_gui.engine.session import tf

DRAWS = 7
"""Random numbers of an example: shift right and down, flip, size and place of the crop (three), colour."""


@dataclass(frozen=True, eq=False)
class Examples:
    """``values`` [n, ...] as the placeholder ``input`` is fed, ``targets`` [n] classes or [n, ...] numbers (or None);
    the values of the other placeholders, where each example came from, what could not be read, the classes' names;
    the examples of a ``batch``, the ``first`` of them as they are fed."""

    spec: DataSpec
    input: str
    values: np.ndarray
    targets: np.ndarray | None
    constants: Mapping[str, np.ndarray]
    sources: list[str]
    skipped: list[str]
    classes: tuple[str, ...]
    batch: int
    first: Batch

    def __len__(self) -> int:
        return len(self.values)

    def check_batch(self) -> None:
        """Raise CompressorError where there are fewer than a batch."""
        if len(self) < self.batch:
            rest = " to train on, beside those held out" if self.spec.split == "train" else ""
            words = f"there are {counted(len(self), 'example')}{rest}, fewer than a batch of {self.batch}"
            hint = "choose a smaller batch, or give more examples"
            raise CompressorError(words, where=self.spec.path, hint=hint)


def read_examples(spec: DataSpec, graph: ModelGraph, batch: int, job: Job, *, numbers: bool = False) -> Examples:
    """Decode all examples; more than ``spec.cache_bytes`` of them go into a temporary file. ``numbers``: the targets
    are those of a regression, an array beside the examples.

    Raises CompressorError where there is none, or they don't fit the graph.
    """
    data = open_dataset(dataclasses.replace(spec, targets="", label_feature="") if numbers else spec, graph, batch)
    store: _Store | None = None
    labels, sources = [], []
    first: Batch | None = None
    for found in data:
        job.progress(data.n - len(found), max(0, data.count), "reading the examples")
        name = next(iter(found.feeds))
        value = found.counted(found.feeds[name])
        if store is None:
            first, store = found, _Store(value, data.count, spec.cache_bytes)
        store.add(value)
        sources += found.sources
        if found.labels is not None:
            labels.append(found.labels)
    assert store is not None  # a data set without examples has raised
    assert first is not None
    targets = np.concatenate(labels) if labels else None
    if numbers:
        targets = _numbers(spec, data.indices[: len(sources)])
    name, *_ = first.feeds
    constants = {key: value for key, value in first.feeds.items() if key != name}
    return Examples(
        spec, name, store.values, targets, constants, sources, data.skipped, tuple(data.classes), data.batch, first
    )


@functools.lru_cache(1)  # an epoch is trained in many calls
def order(seed: int, epoch: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The order of the examples in an epoch, [n], and the random numbers 0..1 of each, [n, 7], by its number."""
    random = np.random.default_rng((seed, epoch))
    return random.permutation(n), random.random((n, DRAWS), np.float32)


def parts(examples: Examples, chosen: np.ndarray, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Values and targets of the examples of these numbers, so many at a time."""
    for at in range(0, len(chosen), batch):
        some = chosen[at : at + batch]
        yield examples.values[some], None if examples.targets is None else examples.targets[some]


class Augmenter:
    """What is done to a batch of training pictures, in TensorFlow: one projective transform, then colour."""

    def __init__(self, how: Augmenting, examples: Examples) -> None:
        """Raises CompressorError where the examples are no pictures."""
        self._how = how
        self._shape = _picture_shape(examples) if how.any else (0, 0, 0)
        spec = examples.spec
        self._turned = spec.layout == "NCHW" and examples.values.ndim == 4
        self._black = (0 - spec.mean) / spec.std
        self._white = 255 / abs(spec.std)

    def __call__(self, values: Any, draws: Any) -> Any:
        """``values`` [batch, ...] as they are fed, ``draws`` [batch, 7] in 0..1 -> the same shape."""
        if not self._how.any:
            return values
        height, width, channels = self._shape
        pictures = tf.transpose(values, (0, 2, 3, 1)) if self._turned else values
        pictures = tf.reshape(pictures, (-1, height, width, channels))
        if self._how.shift or self._how.flip or self._how.crop < 1:
            pictures = self._moved(pictures, draws, height, width)
        if self._how.colour:
            pictures = self._coloured(pictures, draws)
        if self._turned:
            pictures = tf.transpose(pictures, (0, 3, 1, 2))
        return tf.reshape(pictures, tf.shape(values))

    def _moved(self, pictures: Any, draws: Any, height: int, width: int) -> Any:
        """Output pixel (x, y) is the input's (a x + c, b y + d)."""
        shift, scale = self._how.shift, tf.sqrt(1 - draws[:, 3] * (1 - self._how.crop))
        right, down = (tf.minimum(tf.floor(draws[:, at] * (2 * shift + 1)), 2 * shift) - shift for at in (0, 1))
        flipped = tf.cast(draws[:, 2] < 0.5, tf.float32) if self._how.flip else tf.zeros_like(scale)
        a = scale * (1 - 2 * flipped)
        c = right + draws[:, 4] * (1 - scale) * (width - 1) + flipped * scale * (width - 1)
        d = down + draws[:, 5] * (1 - scale) * (height - 1)
        none = tf.zeros_like(scale)
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=pictures,
            transforms=tf.stack([a, none, c, none, scale, d, none, none], axis=1),
            output_shape=(height, width),
            fill_value=self._black,
            interpolation="BILINEAR" if self._how.crop < 1 else "NEAREST",
            fill_mode="CONSTANT",
        )

    def _coloured(self, pictures: Any, draws: Any) -> Any:
        """Contrast by one random number, brightness by what another one of the same leaves over."""
        contrast = 1 + self._how.colour * (2 * draws[:, 6] - 1)
        brightness = self._how.colour * (2 * tf.math.floormod(draws[:, 6] * 997, 1.0) - 1) * self._white
        mean = tf.reduce_mean(pictures, axis=(1, 2, 3), keepdims=True)
        low, high = sorted((self._black, self._black + self._white))
        moved = (pictures - mean) * contrast[:, None, None, None] + mean + brightness[:, None, None, None]
        return tf.clip_by_value(moved, low, high)


class _Store:
    """Examples one behind the other, in memory or in a file that goes with it."""

    def __init__(self, first: np.ndarray, count: int, most: int) -> None:
        self._shape, self._dtype = first.shape[1:], first.dtype
        one = max(1, first[:1].nbytes)
        self._parts: list[np.ndarray] | None = [] if 0 <= count * one <= most else None
        self._n = 0
        if self._parts is None:
            self._file = tempfile.TemporaryFile(prefix="compressor-")  # noqa: SIM115 - open as long as the examples are

    def add(self, values: np.ndarray) -> None:
        self._n += len(values)
        if self._parts is not None:
            self._parts.append(values)
            return
        try:
            self._file.write(np.ascontiguousarray(values).data)
            self._file.flush()
        except OSError as error:
            raise cannot_write(Path(tempfile.gettempdir()), error) from None

    @property
    def values(self) -> np.ndarray:
        if self._parts is not None:
            return np.concatenate(self._parts)
        return np.memmap(self._file, self._dtype, "r", shape=(self._n, *self._shape))


def _numbers(spec: DataSpec, indices: list[int]) -> np.ndarray:
    """The targets of a regression, float32 [n, ...], of the examples of these numbers."""
    if not spec.targets and not spec.label_feature:
        raise CompressorError(
            "there are no targets", where=spec.path, hint="give an .npy or .npz of numbers as targets"
        )
    found = datafiles.read_numpy(spec.targets or spec.path, spec.label_feature)
    if found.dtype.kind not in "fiu" or len(found) <= max(indices):
        words = f"the targets are {found.dtype} for {len(found)} examples"
        raise CompressorError(words, where=spec.targets or spec.path, hint="give numbers, one row for each example")
    return found[indices].astype(np.float32)


def _picture_shape(examples: Examples) -> tuple[int, int, int]:
    """Height, width and channels of an example, which may be fed as a row."""
    spec, shape = examples.spec, examples.values.shape[1:]
    sized = (spec.height, spec.width, spec.channels)
    if all(sized) and int(np.prod(sized)) == int(np.prod(shape)) and examples.values.dtype.kind == "f":
        return sized
    if len(shape) == 3 and examples.values.dtype.kind == "f":
        return (shape[1], shape[2], shape[0]) if spec.layout == "NCHW" else shape
    raise CompressorError("the examples are no pictures of floats, so they can't be augmented", where=spec.path)

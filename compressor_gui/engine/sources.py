"""The kinds of data, each as a ``tf.data`` data set of what is cheap to list, and a function that loads one of it."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compressor_gui.core import datafiles
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.engine.session import tf

_ENCODED = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM")
"""How the pictures that TensorFlow decodes begin."""


@dataclass(frozen=True)
class Source:
    """Examples before they are decoded.

    ``listing(indices)`` has pairs (index, part) of the examples with these indices, in order; what is not among them is
    not read, as far as that can be. ``load(index, part)`` makes of them ``(value, label)``: encoded bytes, or the
    numbers of one example; and an int64, -1 without ``labelled``. ``load`` runs in a graph of TensorFlow's and may fail
    for a broken example. ``count`` is how many there are (-1: unknown), ``name`` what to call one, ``key`` what decides
    its part of a split.
    """

    listing: Callable[[range], Any]
    load: Callable[[Any, Any], tuple[Any, Any]]
    count: int
    labelled: bool
    classes: tuple[str, ...]
    name: Callable[[int], str]
    keys: Sequence[str] | None = None

    @property
    def indices(self) -> range:
        """Those of all examples."""
        return range(self.count if self.count >= 0 else sys.maxsize)

    def key(self, index: int) -> str:
        """What decides which part of a split the example belongs to."""
        return str(index) if self.keys is None else self.keys[index]


def open_source(spec: DataSpec) -> Source:
    """The examples that a description means. Raises CompressorError where they can't be read at all."""
    names = datafiles.read_names(spec.names) if spec.names else None
    return _OPEN[spec.kind](spec, names)


# --- pictures --------------------------------------------------------------------------------------------------------


def _pictures(spec: DataSpec, names: datafiles.Names | None) -> Source:
    top = Path(spec.path)
    files: list[tuple[Path, int]] = []
    classes = names.names if names else ()
    if spec.targets:
        targets = datafiles.read_targets(spec.targets)
        numbers, classes = _label_numbers(list(targets.values()), names, spec.targets)
        folder = top if top.is_dir() else top.parent
        files = [(folder / name, number) for name, number in zip(targets, numbers, strict=True)]
        if not top.is_dir():
            files = [(file, number) for file, number in files if file == top]
    else:
        folders = datafiles.picture_files(top)
        order: dict[str, int] = {"": -1}
        if "" not in folders:
            order, classes = datafiles.class_order(folders, names)
        in_turn = itertools.zip_longest(*([(file, order[name]) for file in found] for name, found in folders.items()))
        files = [pair for row in in_turn for pair in row if pair]  # one of each class in turn, so that a limit is fair
    if not files:
        hint = f"pictures end in {', '.join(sorted(datafiles.PICTURES))}"
        raise CompressorError("there are no pictures here", where=spec.path, hint=hint)
    paths = [str(file) for file, _ in files]
    labels = np.array([label for _, label in files], np.int64)
    keys = [file.relative_to(top).as_posix() if top in file.parents else file.name for file, _ in files]

    def listing(indices: range) -> Any:
        at = slice(indices.start, indices.stop)
        return tf.data.Dataset.from_tensor_slices((np.arange(len(paths), dtype=np.int64)[at], (paths[at], labels[at])))

    return Source(
        listing,
        lambda _, part: (tf.io.read_file(part[0]), part[1]),
        len(paths),
        bool((labels >= 0).all()),
        classes,
        lambda at: paths[at] if os.path.exists(paths[at]) else f"{paths[at]} (there is no such file)",
        keys,
    )


def _label_numbers(
    targets: Sequence[datafiles.Target], names: datafiles.Names | None, where: str
) -> tuple[list[int], tuple[str, ...]]:
    """Labels as classes: where the names have all, they decide, as for folders; else numbers are meant as they are, and
    words are sorted. Raises CompressorError naming the line."""
    classes = names.names if names else ()
    labels, places = [target.label for target in targets], [f"{where}, line {target.line}" for target in targets]
    known = names.index if names else {label: at for at, label in enumerate(sorted(set(labels)))}
    if names is None or not all(label in known for label in labels):
        numbers = datafiles.class_numbers(labels, places)
        if numbers is not None:
            return numbers, classes
    for label, place in zip(labels, places, strict=True):
        if label not in known:
            raise CompressorError(f"the label {label!r} is none of the names", where=place, hint="check them")
    return [known[label] for label in labels], classes or tuple(known)


# --- arrays ----------------------------------------------------------------------------------------------------------


def _idx(spec: DataSpec, names: datafiles.Names | None) -> Source:
    images, beside = datafiles.idx_files(spec.path)
    labels = Path(spec.targets) if spec.targets else beside
    return _arrays(str(images), datafiles.read_idx(images), datafiles.read_idx(labels) if labels else None, names)


def _numpy(spec: DataSpec, names: datafiles.Names | None) -> Source:
    values = datafiles.read_numpy(spec.path, spec.feature)
    labels = None
    if spec.targets:
        labels = datafiles.read_numpy(spec.targets, spec.label_feature)
    elif spec.label_feature and spec.label_feature in datafiles.numpy_arrays(spec.path):
        labels = datafiles.read_numpy(spec.path, spec.label_feature)
    return _arrays(spec.path, values, labels, names)


def _arrays(path: str, values: np.ndarray, labels: np.ndarray | None, names: datafiles.Names | None) -> Source:
    if values.ndim == 0 or values.dtype.kind not in "fiub":
        raise CompressorError("the examples are no array of numbers", where=path)
    count = len(values)
    if labels is None:
        numbers = np.full(count, -1, np.int64)
    else:
        numbers = _class_numbers(labels, path)
        if len(numbers) != count:
            raise CompressorError(f"there are {count} examples, but {len(numbers)} labels", where=path)

    classes = tf.constant(numbers)
    held = None if isinstance(values, np.memmap) else tf.constant(values)  # what a file maps is read piece by piece

    def load(index: Any, _: Any) -> tuple[Any, Any]:
        if held is not None:
            return held[index], classes[index]
        value = tf.numpy_function(lambda at: np.ascontiguousarray(values[at]), [index], values.dtype)
        value.set_shape(values.shape[1:])
        return value, classes[index]

    def listing(indices: range) -> Any:
        return tf.data.Dataset.range(indices.start, indices.stop).map(lambda index: (index, index))

    name = Path(path).name
    return Source(listing, load, count, labels is not None, names.names if names else (), lambda at: f"{name}[{at}]")


def _class_numbers(labels: np.ndarray, path: str) -> np.ndarray:
    """Labels as a vector of int64: one number each, or one of several set (one-hot)."""
    if labels.dtype.kind not in "fiub" or not labels.ndim:
        raise CompressorError("the labels are no numbers of classes", where=path)
    rows = labels.reshape(len(labels), -1)
    return (rows.argmax(axis=1) if rows.shape[1] > 1 else rows[:, 0] if rows.size else rows.reshape(-1)).astype(
        np.int64
    )


# --- records ---------------------------------------------------------------------------------------------------------


def _records(spec: DataSpec, names: datafiles.Names | None) -> Source:
    files = datafiles.record_files(spec.path)
    if not files:
        raise CompressorError("there are no TFRecord files here", where=spec.path)
    packed = datafiles.is_gzipped(files[0])
    counts = [datafiles.count_records(file) for file in files]
    features = datafiles.example_features(datafiles.first_record(files[0]), str(files[0]))
    feature = features.get(spec.feature)
    if feature is None:
        hint = f"its features: {', '.join(sorted(features))}"
        raise CompressorError(f"its examples have no feature {spec.feature!r}", where=str(files[0]), hint=hint)
    label = features.get(spec.label_feature)
    shape = (spec.height, spec.width, spec.channels) if spec.height and spec.width and spec.channels else (-1,)
    kinds = {"bytes": tf.string, "float": tf.float32, "int64": tf.int64}
    parsed = {spec.feature: _fixed_or_all(feature.kind, kinds)}
    if label is not None:
        parsed[spec.label_feature] = tf.io.FixedLenFeature((), kinds[label.kind])
    look_up = _look_up(names, spec) if label is not None and label.kind == "bytes" else None

    def load(_: Any, record: Any) -> tuple[Any, Any]:
        example = tf.io.parse_single_example(record, parsed)
        value = example[spec.feature]
        if feature.kind == "bytes" and not feature.first.startswith(_ENCODED):
            value = tf.reshape(tf.io.decode_raw(value, tf.uint8), shape)
        elif feature.kind != "bytes":
            value = tf.reshape(value, shape)
        number = example.get(spec.label_feature, tf.constant(-1, tf.int64))
        return value, tf.cast(look_up(number) if look_up else number, tf.int64)

    def name(index: int) -> str:
        for file, count in zip(files, counts, strict=True):
            if 0 <= count <= index:
                index -= count
            else:
                return f"{file}, record {index + 1}"
        return f"record {index + 1}"

    paths, kind = [str(file) for file in files], "GZIP" if packed else ""

    def listing(indices: range) -> Any:
        if -1 in counts:
            return _between(tf.data.TFRecordDataset(paths, kind), indices)
        # each file counts from its own number, so that one that is damaged does not shift the others
        ends = np.array([*itertools.accumulate(counts)], np.int64)
        starts = ends - np.array(counts)
        at = np.flatnonzero((starts < indices.stop) & (ends > indices.start))
        each = tf.data.Dataset.from_tensor_slices(([paths[file] for file in at], starts[at]))
        records = each.flat_map(_numbered_records)
        return records.filter(lambda index, _: (index >= indices.start) & (index < indices.stop))

    total = -1 if -1 in counts else sum(counts)
    return Source(listing, load, total, label is not None, names.names if names else (), name)


def _between(listing: Any, indices: range) -> Any:
    """The elements in these places, numbered."""
    return listing.enumerate().skip(indices.start).take(len(indices))


@tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
def _numbered_records(path: Any, start: Any) -> Any:
    return tf.data.TFRecordDataset(path).enumerate(start)


def _fixed_or_all(kind: str, kinds: dict[str, Any]) -> Any:
    """An encoded picture is one value, numbers are as many as there are."""
    if kind == "bytes":
        return tf.io.FixedLenFeature((), tf.string)
    return tf.io.FixedLenSequenceFeature((), kinds[kind], allow_missing=True)


def _look_up(names: datafiles.Names | None, spec: DataSpec) -> Callable[[Any], Any]:
    """Labels that are words, as classes; an unknown word makes the example a broken one."""
    if names is None:
        raise CompressorError(
            f"the labels {spec.label_feature!r} are words", where=spec.path, hint="give a file of names"
        )
    index = names.index
    pairs = tf.lookup.KeyValueTensorInitializer(list(index), np.array(list(index.values()), np.int64))
    table = tf.lookup.StaticHashTable(pairs, -1)

    def found(word: Any) -> Any:
        number = table.lookup(word)
        with tf.control_dependencies([tf.debugging.assert_non_negative(number)]):
            return tf.identity(number)

    return found


# --- saved data sets -------------------------------------------------------------------------------------------------


def _saved(spec: DataSpec, names: datafiles.Names | None) -> Source:
    shards = sorted(Path(spec.path).rglob("*.snapshot"))
    packed = bool(shards) and datafiles.is_gzipped(shards[0])
    try:
        saved = tf.data.Dataset.load(spec.path, compression="GZIP" if packed else None)
    except (tf.errors.OpError, ValueError, TypeError, OSError):
        raise CompressorError("this is no data set that tf.data saved", where=spec.path) from None
    parts = _parts(saved.element_spec)
    if spec.feature not in parts:
        raise CompressorError(
            f"it has no part {spec.feature!r}", where=spec.path, hint=f"its parts: {', '.join(sorted(parts))}"
        )
    if not all(isinstance(part, tf.TensorSpec) for part in parts.values()):
        raise CompressorError("its examples are no plain tensors", where=spec.path)
    if parts[spec.feature].shape.rank == 4:  # it was saved in batches
        saved = saved.unbatch()
        parts = _parts(saved.element_spec)
    labelled = spec.label_feature in parts

    def load(_: Any, element: Any) -> tuple[Any, Any]:
        found = _parts(element)
        label = found[spec.label_feature] if labelled else tf.constant(-1, tf.int64)
        if label.shape.rank:  # one-hot
            label = tf.argmax(tf.reshape(label, [-1])) if label.shape.num_elements() != 1 else tf.reshape(label, [])
        return found[spec.feature], tf.cast(label, tf.int64)

    count = int(saved.cardinality())
    names_found = names.names if names else ()
    return Source(
        lambda indices: _between(saved, indices),
        load,
        max(count, -1),
        labelled,
        names_found,
        lambda at: f"example {at + 1}",
    )


def _parts(element: Any) -> dict[str, Any]:
    if isinstance(element, dict):
        return dict(element)
    if isinstance(element, tuple):
        return {str(at): part for at, part in enumerate(element)}
    return {"": element}


_OPEN = {"images": _pictures, "idx": _idx, "numpy": _numpy, "tfrecord": _records, "tf_data": _saved}

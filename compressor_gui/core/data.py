"""Where examples come from and how they become a graph's input: one small description, stored as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from compressor_gui.core import datafiles
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.formats import holds_model
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.placeholders import channels_that_are_read, placeholders, row_that_is_read
from compressor_gui.core.protocol import ProtocolError, build
from compressor_gui.core.values import DType

KINDS = ("images", "idx", "numpy", "tfrecord", "tf_data")
"""A folder of pictures (a sub-folder a class, or a file of targets), MNIST's IDX, .npz/.npy, TFRecord of
``tf.train.Example``, a saved ``tf.data`` data set."""
ORDERS = ("RGB", "BGR")
LAYOUTS = ("NHWC", "NCHW")
SPLITS = ("all", "train", "test")
_KIND_WORDS = dict(zip(KINDS, ("pictures", "IDX", "numpy arrays", "TFRecords", "a saved data set"), strict=True))
_PATHS = ("path", "targets", "names")


@dataclass(frozen=True)
class DataSpec:
    """A description of examples.

    ``path`` is the folder or file, ``targets`` the file of labels where they are not in it (IDX labels, ``.npy``, or
    lines ``picture,label``), ``names`` the file of class names. ``input`` is the placeholder that is fed; pictures are
    brought to ``height`` x ``width`` x ``channels`` (0: as they are) after keeping the central ``crop`` (a fraction),
    in ``order`` and ``layout``, as ``(value - mean) / std`` from 0..255, which is label_image's ``input_mean`` and
    ``input_std``. ``dtype`` is the placeholder's numpy type, or ``string`` for graphs that decode pictures themselves.
    ``constants`` feed the other placeholders. ``feature`` and ``label_feature`` name the parts of TFRecords, ``.npz``
    and saved data sets; ``label_offset`` is added to every label (1 where the network counts a background class).
    ``split`` takes the part ``train`` or ``test`` (``test_share`` of all), which ``seed`` decides; ``limit`` is the
    largest number of examples, 0 for all. ``cache_bytes`` bounds the memory that decoded examples may take.
    """

    kind: str
    path: str
    targets: str = ""
    names: str = ""
    input: str = ""
    height: int = 0
    width: int = 0
    channels: int = 3
    order: str = "RGB"
    layout: str = "NHWC"
    dtype: str = "float32"
    mean: float = 0.0
    std: float = 255.0
    crop: float = 1.0
    constants: dict[str, float] = field(default_factory=dict)
    feature: str = "image"
    label_feature: str = "label"
    label_offset: int = 0
    split: str = "all"
    test_share: float = 0.2
    seed: int = 0
    limit: int = 0
    cache_bytes: int = 1_000_000_000

    def to_json(self) -> str:
        """The description as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)

    @staticmethod
    def from_json(text: str, where: str = "data description") -> DataSpec:
        """Read a description. Raises CompressorError naming the field that is wrong."""
        try:
            spec = build(json.loads(text), DataSpec, "it")
        except (ValueError, ProtocolError) as error:
            raise CompressorError(f"this is no description of data: {error}", where=where) from None
        assert isinstance(spec, DataSpec)
        spec.check(where)
        return spec

    def check(self, where: str = "data description") -> None:
        """Raise CompressorError where a field has a value that no description can have."""
        choices = {"kind": KINDS, "order": ORDERS, "layout": LAYOUTS, "split": SPLITS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise CompressorError(f"{name} is {getattr(self, name)!r}", where=where, hint=f"use {_one_of(allowed)}")
        numbers: tuple[tuple[str, bool, str], ...] = (
            ("std", math.isfinite(self.std) and self.std != 0, "it divides the values"),
            ("mean", math.isfinite(self.mean), "it has to be a number"),
            ("crop", 0 < self.crop <= 1, "it is a fraction, above 0 and up to 1"),
            ("channels", self.channels in (0, 1, 3, 4), "it is 1 (grey), 3 or 4, or 0 for as they are"),
            ("test_share", 0 <= self.test_share <= 1, "it is a fraction, from 0 to 1"),
            *((name, 0 <= getattr(self, name) <= 16384, "it is 0 to 16384") for name in ("height", "width")),
            *((name, getattr(self, name) >= 0, "it is 0 or more") for name in ("limit", "cache_bytes")),
        )
        for name, good, words in numbers:
            if not good:
                raise CompressorError(f"{name} is {getattr(self, name)}", where=where, hint=words)

    @property
    def summary(self) -> str:
        """What the network gets, in a line: ``MNIST's IDX as float32 28x28x1, (value - 0) / 255, into 'input'``."""
        if self.dtype == "string":
            return f"{_KIND_WORDS[self.kind]} as encoded bytes, into {self.input!r}"
        sizes = [str(size) for size in (self.height, self.width, self.channels) if size]
        shape = "×".join(sizes) if self.height else "as they are"
        extra = [self.order] * (self.channels == 3 and bool(self.height)) + ["NCHW"] * (self.layout == "NCHW")
        scale = "values as they are" if (self.mean, self.std) == (0, 1) else f"(value - {self.mean:g}) / {self.std:g}"
        what = " ".join([_KIND_WORDS[self.kind], "as", self.dtype, shape, *extra])
        others = "".join(f", {name!r} = {value:g}" for name, value in self.constants.items())
        return f"{what}, {scale}, into {self.input!r}{others}"

    @staticmethod
    def load(path: str | Path) -> DataSpec:
        """Read a description's file; paths in it are relative to its folder. Raises CompressorError."""
        with datafiles.reading(path, "text"):
            spec = DataSpec.from_json(Path(path).read_text("utf-8"), str(path))
        folder = Path(path).absolute().parent
        places = {name: str(folder / getattr(spec, name)) for name in _PATHS if getattr(spec, name)}
        return dataclasses.replace(spec, **places)  # type: ignore[arg-type]


def load_or_guess(text: str, graph: ModelGraph) -> DataSpec:
    """What ``--data`` means: a description (``.json``), or a folder or file of data, of which a guess is made.

    Raises CompressorError.
    """
    return DataSpec.load(text) if text.lower().endswith(".json") else guess(graph, text)


def guess(graph: ModelGraph, path: str | Path, input_name: str = "") -> DataSpec:
    """A description of the data at ``path`` for ``graph``, to be shown as a guess: :attr:`DataSpec.summary`.

    The kind comes from the files, size, type and layout from the placeholder that looks like a picture. Floats are
    taken to be 0..1, integers 0..255, arrays of floats as they are. Raises CompressorError where there is no data.
    """
    top = Path(os.path.abspath(path))
    if not top.exists():
        raise CompressorError("there is no such file or folder", where=str(path))
    kind = _kind(top)
    found = _found(kind, top)
    node = find_input(graph, input_name)
    spec = DataSpec(kind=kind, path=str(top), **{**_input_facts(graph, node, found), **found.parts})
    return dataclasses.replace(spec, constants=_constants(graph, node.name))


def find_input(graph: ModelGraph, name: str = "") -> Node:
    """The placeholder ``name`` (as TensorFlow's tools write it, ``import/input:0`` too), or without a name the one that
    looks most like a picture. Raises CompressorError."""
    if name:
        plain = name.removesuffix(":0")
        found = graph.get(plain) or graph.get(plain.removeprefix("import/"))
        if found is None:
            inputs = ", ".join(graph.inputs) or "none"
            raise CompressorError(f"the graph has no input {name!r}", hint=f"its placeholders: {inputs}")
        return found
    nodes = placeholders(graph) or tuple(graph[name] for name in graph.inputs)
    if not nodes:
        raise CompressorError("the graph has no placeholder to feed", hint="name the node to feed as the input")
    return max(nodes, key=lambda node: _likeness(graph, node))  # the first of equals


def _likeness(graph: ModelGraph, node: Node) -> int:
    """How much an input looks like a picture."""
    dims = input_dims(graph, node)
    if node.dtype("dtype") == DType.STRING:
        return 3
    if dims is None:
        return 2
    if len(dims) == 4:
        return 6 if dims[3] in (1, 3, 4) or dims[1] in (1, 3, 4) else 5
    return 4 if len(dims) in (2, 3) and math.prod(abs(d) for d in dims) > 1 else 1


def input_dims(graph: ModelGraph, node: Node) -> tuple[int, ...] | None:
    """A placeholder's shape, -1 where unknown, with what its readers say about rows and channels; None: any rank."""
    shape = node.shape()
    dims = shape.dims if shape is not None else None
    if dims is None and (row := row_that_is_read(graph, node)):
        return (-1, row)
    if dims is not None and len(dims) == 2 and dims[1] < 0:
        return (dims[0], row_that_is_read(graph, node) or -1)
    channels = (
        channels_that_are_read(graph, node) if dims is None or (len(dims) == 4 and -1 in (dims[1], dims[3])) else 0
    )
    if not channels:
        return dims
    first = next((graph[name] for name, _ in graph.consumers[node.name] if graph[name].text("data_format")), node)
    before = dims or (-1, -1, -1, -1)
    if first.text("data_format") == "NCHW":
        return (before[0], channels, *before[2:])
    return (*before[:3], channels)


def check_same_input(graph: ModelGraph, original: ModelGraph, name: str, where: str) -> None:
    """Raise CompressorError where ``graph``, of the file ``where``, can't be fed what ``original``'s input is fed.

    The type may be another, as that of a quantized input is, and so may the size of the batch.
    """
    wanted = find_input(original, name)
    if wanted.name not in graph:
        words = f"it has no input {wanted.name!r}, to which the original is fed the examples"
        inputs = ", ".join(graph.inputs) or "none"
        raise CompressorError(words, where=where, hint=f"its placeholders: {inputs}; both graphs see the same examples")
    ours, theirs = input_dims(graph, graph[wanted.name]), input_dims(original, wanted)
    if ours is None or theirs is None:
        return
    if len(ours) != len(theirs) or any(a != b for a, b in zip(ours[1:], theirs[1:], strict=True) if min(a, b) >= 0):
        words = f"its input {wanted.name!r} is {_dims(ours[1:])}, and the original's is {_dims(theirs[1:])}"
        raise CompressorError(words, where=where, hint="both graphs see the same examples")


def _dims(dims: tuple[int, ...]) -> str:
    return "×".join("?" if size < 0 else str(size) for size in dims) or "a single value"


@dataclass(frozen=True)
class _Found:
    """What the files say: an example's own size (0: unknown), whether its values are pixels, fields of DataSpec."""

    height: int = 0
    width: int = 0
    channels: int = 0
    pixels: bool = True
    parts: dict[str, Any] = field(default_factory=dict)


def is_data(path: Path) -> bool:
    """Whether examples are what is there, by what :func:`guess` knows; of a folder without a model it is assumed."""
    if path.is_dir():
        return (path / "dataset_spec.pb").is_file() or not (holds_model(path) or next(path.glob("*.pb*"), None))
    try:
        return path.is_file() and bool(_kind(path))
    except CompressorError:
        return False


def _kind(path: Path) -> str:
    if path.is_file():
        if path.suffix.lower() in (".npz", ".npy"):
            return "numpy"
        if path.suffix.lower() in datafiles.PICTURES:
            return "images"
        if datafiles.is_record_name(path.name) or path.suffix == ".record":
            return "tfrecord"
        if datafiles.is_idx(path):
            return "idx"
        raise CompressorError("this is no data that is known", where=str(path), hint=_KNOWN)
    if (path / "dataset_spec.pb").is_file():
        return "tf_data"
    if any(datafiles.picture_files(path).values()):
        return "images"
    with datafiles.reading(path, "folder"):
        files = [entry.name for entry in path.iterdir() if entry.is_file()]
    if any("images" in name and "idx3" in name for name in files):
        return "idx"
    if any(datafiles.is_record_name(name) for name in files):
        return "tfrecord"
    raise CompressorError("there is no data that is known in this folder", where=str(path), hint=_KNOWN)


_KNOWN = "pictures, IDX, .npz, .npy, TFRecord, a saved tf.data data set, or a description (.json)"


def _found(kind: str, path: Path) -> _Found:
    if kind == "idx":
        dims = datafiles.idx_shape(datafiles.idx_files(path)[0])
        return _picture_size(dims[1:], pixels=True, parts={})
    if kind == "numpy":
        arrays = datafiles.numpy_arrays(path)
        image = _first(_IMAGE_NAMES, arrays) or max(arrays, key=lambda name: len(arrays[name][0]), default="")
        label = _first(_LABEL_NAMES, arrays)
        if image not in arrays:
            raise CompressorError("it has no arrays", where=str(path))
        shape, dtype = arrays[image]
        return _picture_size(shape[1:], dtype.kind != "f", {"feature": image, "label_feature": label})
    if kind == "tfrecord":
        files = datafiles.record_files(path)
        features = datafiles.example_features(datafiles.first_record(files[0]), str(files[0]))
        image = _first(_IMAGE_NAMES, features) or next((n for n, f in features.items() if f.kind == "bytes"), "")
        parts = {"feature": image or next(iter(features)), "label_feature": _first(_LABEL_NAMES, features)}
        return _Found(pixels=features[parts["feature"]].kind != "float", parts=parts)
    if kind == "tf_data":
        return _saved_spec(path)
    return _Found()


_IMAGE_NAMES = (
    "image/encoded",
    "image",
    "images",
    "x_test",
    "test_images",
    "x",
    "data",
    "image_raw",
    "features",
    "input",
)
_LABEL_NAMES = ("image/class/label", "label", "labels", "y_test", "test_labels", "y", "targets", "target", "class")


def _first(names: tuple[str, ...], found: Any) -> str:
    return next((name for name in names if name in found), "")


def _picture_size(shape: tuple[int, ...], pixels: bool, parts: dict[str, Any]) -> _Found:
    """The size of one example of this shape, which may be no picture."""
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)):
        return _Found(shape[0], shape[1], shape[2] if len(shape) == 3 else 1, pixels, parts)
    return _Found(pixels=pixels, parts=parts)


def _saved_spec(path: Path) -> _Found:
    """The parts of a saved data set: ``dataset_spec.pb`` is a StructuredValue (TensorFlow's struct.proto)."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto import struct_pb2

    where = path / "dataset_spec.pb"
    try:
        spec = struct_pb2.StructuredValue.FromString(where.read_bytes())
    except (OSError, DecodeError):
        raise CompressorError("this is no saved data set", where=str(path)) from None
    parts = dict(spec.dict_value.fields)
    parts = parts or {str(at): value for at, value in enumerate(spec.tuple_value.values)} or {"": spec}
    image = _first(_IMAGE_NAMES, parts) or next(iter(parts))
    label = _first(_LABEL_NAMES, parts) or ("1" if "1" in parts else "")
    tensor = parts[image].tensor_spec_value
    floats = tensor.dtype in (DType.FLOAT, DType.DOUBLE, DType.HALF)
    shape = tuple(dim.size for dim in tensor.shape.dim)
    known = _picture_size(shape, not floats, {"feature": image, "label_feature": label})
    return known if all(d > 0 for d in shape) else dataclasses.replace(known, height=0, width=0)


def _input_facts(graph: ModelGraph, node: Node, found: _Found) -> dict[str, Any]:
    """The fields of DataSpec that the placeholder decides."""
    dtype = node.dtype("dtype") or DType.FLOAT
    dims = input_dims(graph, node)
    facts: dict[str, Any] = {"input": node.name, "layout": "NHWC"}
    if dtype == DType.STRING:
        return {**facts, "dtype": "string", "height": 0, "width": 0, "channels": 0}
    numpy = np.dtype(np.float32) if dtype.is_quantized or dtype.numpy is None else dtype.numpy
    facts["dtype"] = numpy.name
    if dtype.is_floating or dtype.is_quantized:
        facts |= {"mean": 0.0, "std": 255.0 if found.pixels else 1.0}
    else:
        facts |= {"mean": 128.0 if numpy == np.int8 else 0.0, "std": 1.0}
    height, width, channels = found.height or 224, found.width or 224, found.channels or 3
    if dims is not None and len(dims) == 4:
        if dims[3] not in (1, 3, 4) and dims[1] in (1, 3, 4):
            facts["layout"] = "NCHW"
            dims = (dims[0], dims[2], dims[3], dims[1])
        height, width = (d if d > 0 else size for d, size in zip(dims[1:3], (height, width), strict=True))
        channels = dims[3] if dims[3] > 0 else channels
    elif dims is not None and len(dims) == 3:
        three = dims[-1] in (1, 3, 4)
        size = dims[:2] if three else dims[1:]
        height, width = (d if d > 0 else own for d, own in zip(size, (height, width), strict=True))
        channels = dims[-1] if three else 1
    elif dims is not None and len(dims) == 2:
        height, width, channels = _picture_of_row(dims[1], found)
    return {**facts, "height": height, "width": width, "channels": channels if channels in (0, 1, 3, 4) else 0}


def _picture_of_row(length: int, found: _Found) -> tuple[int, int, int]:
    """Which picture a row of ``length`` numbers is: the data's own size, a square one, or none (zeros)."""
    own = found.height * found.width * found.channels
    if own and length in (own, -1):
        return found.height, found.width, found.channels
    for channels in (1, 3):
        side = math.isqrt(max(0, length) // channels)
        if found.pixels and side > 1 and side * side * channels == length:
            return side, side, channels
    return 0, 0, 0


def _constants(graph: ModelGraph, fed: str) -> dict[str, float]:
    """What the other placeholders get: 1 for a single number (a ratio, a rate), 0 for arrays and booleans."""
    found: dict[str, float] = {}
    for node in placeholders(graph):
        dims = input_dims(graph, node)
        single = dims in (None, (), (1,))
        if node.name != fed:
            found[node.name] = float(single and node.dtype("dtype") != DType.BOOL)
    return found


def _one_of(choices: tuple[str, ...]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"

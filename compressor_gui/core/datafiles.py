"""The files that examples come in, as far as their names and first bytes tell: which kind, which size, how many.

What needs decoding is the engine's to do. Everything here raises CompressorError in one sentence.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np

from compressor_gui.core import wire
from compressor_gui.core.errors import CompressorError

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif"})
"""The pictures that TensorFlow decodes."""

_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_READ_ERRORS = (OSError, EOFError, zlib.error, ValueError, zipfile.BadZipFile, struct.error, UnicodeDecodeError)


@contextlib.contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Turn what goes wrong with a file into a CompressorError: ``what`` is what the file should have been."""
    try:
        yield
    except CompressorError:
        raise
    except _READ_ERRORS as error:
        reason = getattr(error, "strerror", None)
        raise CompressorError(
            f"it can't be read: {reason}" if reason else f"this is no {what}", where=str(path)
        ) from None


# --- pictures and names ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Names:
    """A file of classes: their names, and where it has them the keys (synsets) that the names stand for."""

    names: tuple[str, ...]
    keys: tuple[str, ...] = ()

    @property
    def index(self) -> Mapping[str, int]:
        """Name or key -> class; the first where there are several."""
        found: dict[str, int] = {}
        for words in (self.keys, self.names):
            for at, word in enumerate(words):
                found.setdefault(word, at)
        return found


def read_names(path: str | Path) -> Names:
    """Read classes: one name a line (a class is its line's number, from 0), or
    ``imagenet_synset_to_human_label_map``'s form, ``n01440764<tab>tench, Tinca tinca``."""
    with reading(path, "text"):
        lines = [line.rstrip() for line in Path(path).read_text("utf-8").splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise CompressorError("it has no names of classes", where=str(path))
    pairs = [re.split(r"\t| ", line, maxsplit=1) for line in lines]
    if all(len(pair) == 2 and re.fullmatch(r"n\d{8}", pair[0]) for pair in pairs):
        return Names(tuple(pair[1].strip() for pair in pairs), tuple(pair[0] for pair in pairs))
    return Names(tuple(lines))


def picture_files(folder: str | Path) -> dict[str, list[Path]]:
    """Sub-folder -> the pictures in it (and below), sorted; where no sub-folder has one, those of the folder under
    an empty name. A picture is what is named like one."""
    top = Path(folder)
    if top.is_file():
        return {"": [top]}
    with reading(top, "folder"):
        folders = sorted(entry for entry in top.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        found = {entry.name: _pictures(entry.rglob("*")) for entry in folders}
        found = {name: files for name, files in found.items() if files}
        return found or {"": _pictures(top.iterdir())}


def _pictures(entries: Iterable[Path]) -> list[Path]:
    return sorted(e for e in entries if e.suffix.lower() in PICTURES and not e.name.startswith(".") and e.is_file())


def class_order(folders: Iterable[str], names: Names | None) -> tuple[dict[str, int], tuple[str, ...]]:
    """Which class each sub-folder is, and the classes' names.

    Where the file of names has every folder, its line decides; folders that are numbers are those classes; all others
    are counted in the order of the alphabet, as Keras does, where there are as many names. Raises CompressorError.
    """
    found = sorted(folders)
    if names is not None:
        index = names.index
        if all(folder in index for folder in found):
            if names.keys and len(found) < len(names.keys):  # the map of all 21,842 synsets, not of these
                return {f: at for at, f in enumerate(found)}, tuple(names.names[index[f]] for f in found)
            return {folder: index[folder] for folder in found}, names.names
    numbers = class_numbers(found, [f"sub-folder {folder!r}" for folder in found])
    if numbers is not None:
        count = max(numbers, default=-1) + 1
        if names is not None and count > len(names.names):
            raise CompressorError(f"there are {len(names.names)} names, but a sub-folder {count - 1}", hint=_NAMES)
        return dict(zip(found, numbers, strict=True)), names.names if names else tuple(map(str, range(count)))
    if names is not None and (len(names.names) != len(found) or any(folder in names.index for folder in found)):
        lacking = next((folder for folder in found if folder not in names.index), found[0])
        raise CompressorError(f"the file of names lacks the sub-folder {lacking!r}", hint=_NAMES)
    return {folder: at for at, folder in enumerate(found)}, names.names if names else tuple(found)


_NAMES = "it has one name a line, and counts from 0"


def class_numbers(labels: Sequence[str], places: Sequence[str]) -> list[int] | None:
    """Labels that are numbers, as the classes that they are; None where all are words.

    Raises CompressorError where one is no class, or some are words; ``places`` says where each label is.
    """
    is_number = [re.fullmatch(r"-?\d+", label) is not None for label in labels]
    if labels and not any(is_number):
        return None
    for label, place, number in zip(labels, places, is_number, strict=True):
        if not number:
            words = f"the label {label!r} is a word, but others are numbers"
            raise CompressorError(words, where=place, hint="use one of both for all, or give a file of names")
        if not 0 <= int(label) < _MOST_CLASSES:
            raise CompressorError(f"the label {label} is no class", where=place, hint="classes count from 0")
    return [int(label) for label in labels]


_MOST_CLASSES = 1_000_000


class Target(NamedTuple):
    """A picture's label, and the number of the line that says it."""

    label: str
    line: int


def read_targets(path: str | Path) -> dict[str, Target]:
    """Read lines ``picture,label`` (or with a tab, or a last space between them); a first line of heads is left out."""
    with reading(path, "text"):
        lines = [line.strip() for line in Path(path).read_text("utf-8").splitlines()]
    found: dict[str, Target] = {}
    heads = True
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        pair = re.split(r"\s*[,\t]\s*", line, maxsplit=1) if re.search(r"[,\t]", line) else line.rsplit(" ", 1)
        if len(pair) != 2:
            raise CompressorError("a line has no label", where=f"{path}, line {number}", hint="write picture,label")
        if not heads or Path(pair[0]).suffix.lower() in PICTURES:
            found[pair[0]] = Target(pair[1].strip().strip('"'), number)
        heads = False
    return found


def are_targets(path: str | Path) -> bool:
    """Whether a file of labels says which class each example is, and not what the classes are called."""
    if Path(path).suffix.lower() in (".npy", ".npz") or is_idx(path):
        return True
    with reading(path, "text"):
        lines = Path(path).read_text("utf-8").splitlines()[:2]  # the first may be heads
    return any(Path(re.split(r"[,\t ]", line, maxsplit=1)[0]).suffix.lower() in PICTURES for line in lines)


# --- IDX -------------------------------------------------------------------------------------------------------------


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb")


def _idx_header(file: IO[bytes], path: Path) -> tuple[np.dtype, tuple[int, ...]]:
    zero, kind, rank = struct.unpack(">HBB", file.read(4))
    if zero or kind not in _IDX_TYPES or not 1 <= rank <= 5:
        raise CompressorError("this is no IDX file", where=str(path))
    return np.dtype(_IDX_TYPES[kind]), struct.unpack(f">{rank}I", file.read(4 * rank))


def idx_shape(path: str | Path) -> tuple[int, ...]:
    """The shape that an IDX file (gzipped or not) has by its header."""
    with reading(path, "IDX file"), _opened(Path(path)) as file:
        return _idx_header(file, Path(path))[1]


def read_idx(path: str | Path) -> np.ndarray:
    """An IDX file's values, gzipped or not; see yann.lecun.com/exdb/mnist for the format."""
    with reading(path, "IDX file"), _opened(Path(path)) as file:
        dtype, shape = _idx_header(file, Path(path))
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        data = bytearray()
        while len(data) <= size and (piece := file.read(1 << 20)):  # by what is there, not by what the header claims
            data += piece
        if len(data) != size:
            raise CompressorError("it has not as many values as its header says", where=str(path))
        return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def is_idx(path: str | Path) -> bool:
    """Whether a file begins as IDX does."""
    try:
        idx_shape(path)
    except CompressorError:
        return False
    return True


def idx_files(path: str | Path) -> tuple[Path, Path | None]:
    """The images' file, and that of the labels beside it (None: there is none).

    In a folder with several pairs the one for testing (``t10k``) is taken.
    """
    images = Path(path)
    if images.is_dir():
        found = _idx_images(images)
        if not found:
            raise CompressorError("there is no file of images (…images-idx3-ubyte) here", where=str(path))
        images = next((e for e in found if is_for_testing(e)), found[0])
    name = images.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    beside = (images.with_name(name + ending) for ending in (".gz", "") if "images" in images.name)
    return images, next((file for file in beside if file.is_file()), None)


def idx_pairs(path: str | Path) -> tuple[Path, Path] | None:
    """The images for training and those for testing, of a folder that has just one file of each; else None."""
    found = _idx_images(Path(path)) if Path(path).is_dir() else []
    train = [file for file in found if not is_for_testing(file)]
    test = [file for file in found if is_for_testing(file)]
    return (train[0], test[0]) if len(train) == len(test) == 1 else None


def is_for_testing(path: str | Path) -> bool:
    """Whether a file's name says that its examples are for testing, as MNIST's ``t10k-images-idx3-ubyte`` does."""
    return re.match(r"t10k|test", Path(path).name) is not None


def _idx_images(folder: Path) -> list[Path]:
    return sorted(e for e in folder.iterdir() if re.search(r"images.idx3", e.name) and e.is_file())


# --- numpy -----------------------------------------------------------------------------------------------------------


def numpy_arrays(path: str | Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Array -> its shape and type, in an ``.npz``; an ``.npy`` has one of empty name. Only headers are read."""
    with reading(path, "numpy file"):
        if not zipfile.is_zipfile(path):
            with Path(path).open("rb") as file:
                return {"": _npy_header(file)}
        with zipfile.ZipFile(path) as archive:
            found = {}
            for name in archive.namelist():
                with archive.open(name) as member:
                    found[name.removesuffix(".npy")] = _npy_header(member)
            return found


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def read_numpy(path: str | Path, name: str) -> np.ndarray:
    """An array of an ``.npz``, or an ``.npy`` mapped into memory; nothing is unpickled."""
    with reading(path, "numpy file without Python objects"):
        if not zipfile.is_zipfile(path):
            return cast(np.ndarray, np.load(path, mmap_mode="r", allow_pickle=False))
        with np.load(path, allow_pickle=False) as archive:
            if name not in archive.files:
                arrays = ", ".join(archive.files) or "none"
                raise CompressorError(f"it has no array {name!r}", where=str(path), hint=f"its arrays: {arrays}")
            return cast(np.ndarray, archive[name])


# --- TFRecord --------------------------------------------------------------------------------------------------------


def record_files(path: str | Path) -> list[Path]:
    """The TFRecord files that a path means: itself, or those in the folder, sorted."""
    top = Path(path)
    if not top.is_dir():
        return [top]
    return sorted(e for e in top.iterdir() if e.is_file() and is_record_name(e.name))


def is_record_name(name: str) -> bool:
    """Whether a file is named as TFRecords are: ``.tfrecord``, ``.tfrecords``, or ``train-00000-of-01024``."""
    return bool(re.search(r"\.tfrecords?(\.gz)?(-|$)|-\d{5}-of-\d{5}$", name))


def is_gzipped(path: str | Path) -> bool:
    """Whether a file begins as gzip does."""
    with reading(path, "file"), Path(path).open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def count_records(path: str | Path) -> int:
    """How many records a TFRecord file has, those behind a damaged one included; -1 for a gzipped one."""
    if is_gzipped(path):
        return -1
    count, place, size = 0, 0, Path(path).stat().st_size
    with reading(path, "TFRecord file"), Path(path).open("rb") as file:
        while place < size:
            file.seek(place)
            header = file.read(8)
            count += 1
            if len(header) < 8:
                break  # cut off: the last one is there in part
            place += 12 + struct.unpack("<Q", header)[0] + 4
    return count


def first_record(path: str | Path) -> bytes:
    """The first record of a TFRecord file, its checksums unchecked."""
    with reading(path, "TFRecord file"), _opened(Path(path)) as file:
        (size,) = struct.unpack("<Q", file.read(8))
        if size > 1 << 30:
            raise CompressorError("this is no TFRecord file", where=str(path))
        data = file.read(4 + size)[4:]
        if len(data) < size:
            raise CompressorError("this is no TFRecord file", where=str(path))
        return data


@dataclass(frozen=True)
class Feature:
    """A feature of a ``tf.train.Example``: ``bytes``, ``float`` or ``int64``, and its first value where it is bytes."""

    kind: str
    first: bytes = b""


def example_features(record: bytes, where: str) -> dict[str, Feature]:
    """Name -> feature of a serialized ``tf.train.Example``, with the fields that its .proto numbers."""
    found: dict[str, Feature] = {}
    try:
        for features in _messages(memoryview(record), 1):
            for entry in _messages(features, 1):
                name = b"".join(_messages(entry, 1)).decode("utf-8", "replace")
                for feature in _messages(entry, 2):
                    for number, _, value in wire.fields(feature):
                        kind = {1: "bytes", 2: "float", 3: "int64"}.get(number, "")
                        if kind and isinstance(value, memoryview):
                            first = next(_messages(value, 1), memoryview(b"")) if number == 1 else memoryview(b"")
                            found[name] = Feature(kind, bytes(first))
    except wire.WireError:
        found = {}
    if not found:
        raise CompressorError("its records are no tf.train.Example", where=where)
    return found


def _messages(data: memoryview, number: int) -> Iterator[memoryview]:
    return (value for found, _, value in wire.fields(data) if found == number and isinstance(value, memoryview))

"""Arrays that were computed and can't be computed again cheaply (trained weights), kept in files named by content.

A file is an uncompressed ``.npz``, one ``.npy`` an array, whose bytes depend on names and values alone; its name is
their SHA-256, so that a recipe that names it means the same arrays on any machine.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.errors import CompressorError

FOLDER = "COMPRESSOR_WEIGHTS"
"""The variable that names another folder than the user's own."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time that every member carries: the first that a zip file can say."""


def store_folder() -> Path:
    """Where this user's weights are kept; it need not exist."""
    if chosen := os.environ.get(FOLDER):
        return Path(chosen)
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Application Support")
    else:
        base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "compressor" / "weights"


def is_key(sha256: str) -> bool:
    """Whether this can name weights: 64 hexadecimal digits."""
    return re.fullmatch("[0-9a-f]{64}", sha256) is not None


def save(arrays: Mapping[str, np.ndarray]) -> str:
    """Keep arrays (name of a constant -> its new value) and return the SHA-256 that :func:`load` takes.

    Raises CompressorError where the folder can't be written.
    """
    data = to_bytes(arrays)
    key = hashlib.sha256(data).hexdigest()
    _put(store_folder(), key, data)
    return key


def load(sha256: str) -> dict[str, np.ndarray]:
    """The arrays. Raises CompressorError where they are not here, or damaged."""
    path = _file(store_folder(), sha256)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        hint = "load the recipe from its own folder, where the .npz of this name lies, or compute them again"
        raise CompressorError("these weights are not on this machine", where=path.name, hint=hint) from None
    except OSError as error:
        raise CompressorError(f"it can't be read: {error.strerror}", where=str(path)) from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _damaged(path)
    return from_bytes(data, path)


def copy_to(folder: Path, keys: Iterable[str]) -> None:
    """Put copies of the weights into a folder, for a recipe that is saved there. Raises CompressorError."""
    for key in keys:
        _put(folder, key, to_bytes(load(key)))


def take_from(folder: Path, keys: Iterable[str]) -> None:
    """Take into the store what lies in a folder and is not here yet; what is missing there too is passed over.

    Raises CompressorError where a file is damaged or the store can't be written.
    """
    for key in keys:
        path = _file(folder, key)
        if _file(store_folder(), key).exists() or not path.is_file():
            continue
        data = pbio.read_bytes(path)
        if hashlib.sha256(data).hexdigest() != key:
            raise _damaged(path)
        _put(store_folder(), key, data)


def to_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The file for these arrays: the same bytes whatever their order, numpy's and zlib's version."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, array in sorted(arrays.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), member.getbuffer())
    return out.getvalue()


def from_bytes(data: bytes, where: Path) -> dict[str, np.ndarray]:
    """The arrays in a file. Raises CompressorError where it is not one that :func:`to_bytes` makes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise _damaged(where)  # compressed, a small file could hold more than memory has room for
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, MemoryError):
        raise _damaged(where) from None
    if not all(isinstance(array, np.ndarray) for array in found.values()):
        raise _damaged(where)  # numpy gives the bytes of what is no array
    return found


def member(path: Path, name: str) -> np.ndarray | None:
    """One array of a file that may be large, and may be replaced at any time; None where it can't be read just now."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = arrays[name] if name in arrays.files else None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, MemoryError):
        return None
    return found if isinstance(found, np.ndarray) else None


def _file(folder: Path, key: str) -> Path:
    return folder / f"{key}.npz"


def _put(folder: Path, key: str, data: bytes) -> None:
    target = _file(folder, key)
    if target.exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pbio.cannot_write(folder, error) from None
    pbio.move_over(pbio.bytes_beside([data], target), target)


def _damaged(path: Path) -> CompressorError:
    return CompressorError("these are no weights that Compressor wrote", where=str(path), hint="the file is damaged")

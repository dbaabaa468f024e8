"""Files that are no frozen graphs, told by their first bytes: what they are, and what to do about it."""

from __future__ import annotations

from pathlib import Path

from compressor_gui.core import wire
from compressor_gui.core.errors import GraphError

IMPORT = "freeze it into a .pb first: compressor-cli import"
"""The hint for models whose variables lie elsewhere."""

_FOREIGN = {
    b"\xff\xd8\xff": "this is a JPEG picture",
    b"\x89PNG": "this is a PNG picture",
    b"\x1f\x8b": "this is compressed with gzip; unpack it first",
    b"version https://git-lfs": "this is a Git LFS pointer, not the file itself; run 'git lfs pull'",
}
_IMPORTABLE_SUFFIXES = (".keras", ".h5", ".hdf5", ".meta")
_IMPORTABLE = {
    b"PK\x03\x04": "this is a zip file (a Keras .keras file is one)",
    b"\x89HDF": "this is an HDF5 file (a Keras .h5 file is one)",
}


def refuse_other_formats(data: bytes, where: str) -> None:
    """Raise GraphError for what is known to be something else than a graph."""
    if not data:
        raise GraphError("the file is empty", where=where, hint="download or export it again")
    if importable := _importable(data, where):
        raise GraphError(importable, where=where, hint=IMPORT)
    if foreign := _foreign(data):
        raise GraphError(foreign, where=where, hint="Compressor opens frozen TensorFlow graphs, .pb or .pbtxt")


def holds_model(folder: Path) -> bool:
    """Whether a SavedModel or a checkpoint with its graph lies in the folder."""
    return any(next(folder.glob(name), None) for name in ("saved_model.pb", "saved_model.pbtxt", "*.meta"))


def needs_import(path: Path) -> bool:
    """Whether a model has to be frozen first: a SavedModel's folder, a Keras file, a checkpoint's ``.meta``."""
    return path.suffix.lower() in _IMPORTABLE_SUFFIXES or (path.is_dir() and (path / "saved_model.pb").is_file())


def _importable(data: bytes, where: str) -> str:
    """What a model is that has to be frozen first; empty where it is none."""
    if data[:4096].lstrip().startswith(b"saved_model_schema_version") or _is_saved_model(data):
        return "this is a SavedModel, whose weights lie in another file"
    if where.endswith((".meta", ".index")):
        return "this belongs to a checkpoint, whose weights lie in another file"
    return next((words for magic, words in _IMPORTABLE.items() if data.startswith(magic)), "")


def _foreign(data: bytes) -> str:
    """What else a file is; empty where that is not known."""
    start = data[:4096].lstrip().lower()
    if data[4:8] == b"TFL3":
        return "this is a TensorFlow Lite model"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "this is a web page, not a model: the download went wrong"
    if start.startswith((b"{", b"[")):
        return "this is a JSON file (a TensorFlow.js model.json is one)"
    if _is_onnx(data):
        return "this is an ONNX model"
    return next((words for magic, words in _FOREIGN.items() if data.startswith(magic)), "")


def _is_saved_model(data: bytes) -> bool:
    """SavedModel: schema version (field 1, a number), then nothing but meta graphs (field 2)."""
    found = _head_fields(data)
    return len(found) >= 2 and found[0][0] == 1 and found[0][1] >= 0 and set(found[1:]) == {(2, -1)}


def _is_onnx(data: bytes) -> bool:
    """ONNX: ir_version (field 1, a number; a GraphDef has a message there), then producer, domain, graph, opsets."""
    found = _head_fields(data)
    return len(found) >= 2 and found[0][0] == 1 and found[0][1] >= 0 and {n for n, _ in found[1:]} <= set(range(2, 9))


def _head_fields(data: bytes) -> list[tuple[int, int]]:
    found = []
    try:
        for number, _, value in wire.fields(memoryview(data)):
            found.append((number, value if isinstance(value, int) else -1))
            if len(found) >= 4:
                break
    except wire.WireError:
        pass
    return found

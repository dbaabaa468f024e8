"""Keras files, ``.keras`` and ``.h5``, loaded without running anything that stands in them.

Keras has a safe mode; what it does not cover in every version, or only for one of the two forms, is looked for in the
file's configuration before Keras sees it: layers that are Python code or load other files, classes that are not Keras's
own, and vocabularies that are paths.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras

from compressor_gui.core.errors import CompressorError
from compressor_gui.engine.session import brief

_ZIP = ".keras"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BEGINNINGS = {_ZIP: b"PK\x03\x04", ".h5": _HDF5, ".hdf5": _HDF5}
"""How Keras decides: by the ending of the name alone. A file can be both forms at once, so that what is looked through
must be what Keras reads."""

_CODE = {
    "Lambda": "is Python code",
    "__lambda__": "is Python code",
    "TorchModuleWrapper": "is a pickled PyTorch module",
    "JaxLayer": "is Python code",
    "FlaxLayer": "is Python code",
    "TFSMLayer": "loads another model by its path",
}
_PATHS = ("vocabulary", "idf_weights")
"""Fields of lookup layers that Keras reads as files where they are text."""
_PLAIN = ("builtins", "")
_HINT = "what it does can't be known without running it; remove it in Python and save the model again"


def load_keras(path: str) -> Any:
    """The model in a Keras file, not compiled. Raises CompressorError where it can't be read or is refused."""
    for item in _objects(_config(path)):
        _refuse(item, path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers do
        raise CompressorError(f"Keras does not load it: {brief(error)}", where=path) from None


def _config(path: str) -> Any:
    """The architecture that the file describes, as plain JSON."""
    try:
        if path.endswith(_ZIP):
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        with h5py.File(path, "r") as file:
            return json.loads(file.attrs["model_config"])
    except KeyError:
        hint = "save the whole model, or load the weights in Python and save it"
        raise CompressorError("there is no model in it, only weights", where=path, hint=hint) from None
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise CompressorError(f"it can't be read: {brief(error)}", where=path, hint="is it damaged?") from None


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Everything in a configuration that Keras makes an object of."""
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "class_name" in item:
                yield item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _refuse(item: dict[str, Any], path: str) -> None:
    kind, module = str(item["class_name"]), str(item.get("module") or "")
    config = item["config"] if isinstance(item.get("config"), dict) else {}
    name = f" {config['name']!r}" if "name" in config else ""
    if kind in _CODE:
        raise CompressorError(f"the layer{name} ({kind}) {_CODE[kind]}, so it was not loaded", where=path, hint=_HINT)
    if kind == "function" and not module.startswith(("keras.activations", "keras.src.activations")):
        words = f"it calls the Python function {item.get('config')!r}, so it was not loaded"
        raise CompressorError(words, where=path, hint=_HINT)
    if ">" in str(item.get("registered_name") or "") or not (module in _PLAIN or f"{module}.".startswith("keras.")):
        words = f"it has an object{name} of the class {kind}, which is not Keras's own, so it was not loaded"
        raise CompressorError(words, where=path, hint="its code is not in the file; export a SavedModel instead")
    for key in _PATHS:
        if isinstance(config.get(key), str):
            words = f"the layer{name} ({kind}) reads the file {config[key]!r}, so it was not loaded"
            raise CompressorError(words, where=path, hint="save the model with the words in it")


def is_keras_file(path: Path) -> bool:
    """Whether Keras would load it: by its ending, which says what it is read as, and what it begins with."""
    beginning = next((start for ending, start in _BEGINNINGS.items() if path.name.endswith(ending)), None)
    if beginning is None:
        return False
    with path.open("rb") as stream:
        return stream.read(len(beginning)) == beginning

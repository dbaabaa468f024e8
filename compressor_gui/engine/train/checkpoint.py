"""What a killed run goes on from: one file, written whole after each epoch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compressor_gui.core import pbio, weight_store
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.protocol import ProtocolError, build
from compressor_gui.core.training import Epoch, Point

_HISTORY = "history"


@dataclass(frozen=True)
class History:
    """What has been done: the points and epochs so far, and how many epochs of the dense network there were before any
    pruning. Of the step that is under way: the epochs that are done, towards which ``density`` and from which point it
    goes, the best value and how many epochs ago that was. ``seconds``: spent so far, in all processes."""

    points: tuple[Point, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    dense_done: int = 0
    step_done: int = 0
    density: float = 1.0
    start: int = 0
    best: float | None = None
    waited: int = 0
    seconds: float = 0.0


def write(path: Path, history: History, arrays: Mapping[str, np.ndarray]) -> None:
    """Put a checkpoint in the place of the last one. Raises CompressorError where it can't be written."""
    text = json.dumps(dataclasses.asdict(history), allow_nan=False).encode()
    data = weight_store.to_bytes({**arrays, _HISTORY: np.frombuffer(text, np.uint8)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pbio.cannot_write(path.parent, error) from None
    pbio.move_over(pbio.bytes_beside([data], path), path)


def read(path: Path) -> tuple[History, dict[str, np.ndarray]] | None:
    """The last checkpoint; None where there is none that can be used."""
    try:
        arrays = weight_store.from_bytes(path.read_bytes(), path)
        history = build(json.loads(arrays.pop(_HISTORY).tobytes()), History, "history")
    except (OSError, CompressorError, ProtocolError, ValueError, KeyError):
        return None
    assert isinstance(history, History)
    return history, arrays

"""What the tests of data sets share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from compressor_gui.core.data import DataSpec
from compressor_gui.core.graph import ModelGraph
from tests.support import tensorflow


def opened(spec: DataSpec, model: ModelGraph, batch: int = 4, **fields: Any) -> Any:
    from compressor_gui.engine.dataset import open_dataset

    return open_dataset(dataclasses.replace(spec, **fields), model, batch)


def picture(path: Path, value: int = 128, size: tuple[int, int] = (6, 8), channels: int = 3) -> Path:
    """A picture of one colour."""
    tf = tensorflow()
    pixels = np.full((*size, channels), value, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    encode = tf.io.encode_png if path.suffix == ".png" else tf.io.encode_jpeg
    path.write_bytes(encode(pixels).numpy())
    return path


def values(data: Any) -> np.ndarray:
    return np.concatenate([batch.feeds["x"] for batch in data])


def sources(data: Any) -> list[str]:
    return [Path(source).name for batch in data for source in batch.sources]

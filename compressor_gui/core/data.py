"""Where examples come from and how they become a graph's input: one small description, stored as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.protocol import ProtocolError, build

KINDS = ("images", "idx", "numpy", "tfrecord", "tf_data")
"""A folder of pictures (a sub-folder a class, or a file of targets), MNIST's IDX, .npz/.npy, TFRecord of
``tf.train.Example``, a saved ``tf.data`` data set."""


@dataclass(frozen=True)
class DataSpec:
    """A description of examples.

    ``path`` is the folder or file, ``targets`` the file of labels where they are not in it (IDX labels, ``.npy``, or
    lines ``picture,label``), ``names`` the file of class names. ``input`` is the placeholder that is fed; pictures are
    brought to ``height`` x ``width`` x ``channels`` after keeping the central ``crop`` (a fraction), in ``order`` and
    ``layout``, as ``(value - mean) / std`` from 0..255, which is label_image's ``input_mean`` and ``input_std``.
    ``constants`` feed the other placeholders. ``split`` takes a part that ``seed`` decides; ``limit`` 0 is all.
    ``cache_bytes`` bounds the memory that decoded examples may take.
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
        return spec

    @staticmethod
    def load(path: str | Path) -> DataSpec:
        """Read a description's file. Raises CompressorError."""
        try:
            return DataSpec.from_json(Path(path).read_text("utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise CompressorError(f"it can't be read: {reason}", where=str(path)) from None

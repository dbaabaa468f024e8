"""The first examples of a data description, as the network will see them."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np

from compressor_gui.core.data import DataSpec
from compressor_gui.core.measure import Preview, PreviewItem, PreviewResult
from compressor_gui.core.serve import Job
from compressor_gui.engine.dataset import Batch, open_dataset
from compressor_gui.engine.models import read_model
from compressor_gui.engine.session import tf

_LARGEST = 256
"""Pixels of the longer side: what is larger is made smaller, so that the answer stays short."""


def preview(request: Preview, job: Job) -> PreviewResult:
    """See Preview. The graph is read for its inputs, and not run. Raises CompressorError."""
    graph = read_model(request.model)
    data = open_dataset(request.data, graph, max(1, request.count))
    items: list[PreviewItem] = []
    first: np.ndarray | None = None
    for batch in data:
        job.progress(len(items), request.count, "decoding")
        value = next(iter(batch.feeds.values()))
        first = value if first is None else first
        items += _items(batch, value, request.data)
        if len(items) >= request.count:
            count = data.count if data.count < 0 or request.data.limit else data.count - len(data.skipped)
            break
    else:
        count = data.n
    assert first is not None
    numbers = first.astype(np.float64) if first.dtype != object else np.zeros(1)
    return PreviewResult(
        items=tuple(items[: request.count]),
        count=count,
        classes=data.classes,
        skipped=tuple(data.skipped),
        shape=tuple(first.shape[1:]),
        dtype="string" if first.dtype == object else first.dtype.name,
        low=float(numbers.min()),
        high=float(numbers.max()),
    )


def _items(batch: Batch, value: np.ndarray, spec: DataSpec) -> Iterator[PreviewItem]:
    batched = value.ndim and len(value) == len(batch) + batch.copies
    examples = value[: len(batch)] if batched else value[np.newaxis]
    for at, (example, source) in enumerate(zip(examples, batch.sources, strict=True)):
        label = -1 if batch.labels is None else int(batch.labels[at])
        yield PreviewItem(_png(example, spec), source, label)


def _png(example: np.ndarray, spec: DataSpec) -> str:
    """One example as a PNG in base64, or nothing where it is no picture."""
    if example.dtype == object:
        picture = tf.io.decode_image(example.item(), channels=3, expand_animations=False).numpy().astype(np.float64)
    else:
        picture = example.astype(np.float64) * spec.std + spec.mean
        if picture.size == spec.height * spec.width * spec.channels:
            shape = (spec.height, spec.width, spec.channels)
            nchw = spec.layout == "NCHW" and picture.ndim == 3
            picture = np.moveaxis(picture, 0, -1) if nchw else picture.reshape(shape)
        if picture.ndim != 3 or picture.shape[-1] not in (1, 3, 4):
            return ""
        if spec.order == "BGR" and spec.channels == 3:
            picture = picture[..., ::-1]
    height, width = picture.shape[:2]
    if max(height, width) > _LARGEST:
        scale = _LARGEST / max(height, width)
        size = [max(1, round(height * scale)), max(1, round(width * scale))]
        picture = tf.image.resize(picture, size, method="area").numpy()
    if not _is_pixels(spec):
        low, high = float(picture.min()), float(picture.max())
        picture = (picture - low) / ((high - low) or 1) * 255
    pixels = np.clip(np.rint(np.nan_to_num(picture)), 0, 255).astype(np.uint8)
    return base64.b64encode(tf.io.encode_png(pixels).numpy()).decode("ascii")


def _is_pixels(spec: DataSpec) -> bool:
    """Whether values without mean and std are 0..255; others are spread over what there is."""
    return spec.dtype == "string" or spec.kind in ("images", "idx") or (spec.mean, spec.std) != (0, 1)

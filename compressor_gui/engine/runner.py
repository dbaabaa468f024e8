"""A model run on batches of examples, and which of its outputs has a score for each class."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from compressor_gui.core import metrics
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, parse_ref
from compressor_gui.core.measure import ModelRef
from compressor_gui.engine.dataset import Batch, Dataset, open_dataset
from compressor_gui.engine.inputs import fitting
from compressor_gui.engine.models import Model
from compressor_gui.engine.session import TF_ERRORS, failure, plain


class Runner:
    """A model, run on batches."""

    def __init__(self, model: Model) -> None:
        self.graph: ModelGraph = model.graph
        self.ref: ModelRef = model.ref
        self._loaded = model.loaded
        tensors = model.loaded.tensors(model.outputs)
        self._fetches = [tensor for found in tensors.values() for tensor in found]
        self.names = [tensor.removesuffix(":0") for tensor in self._fetches]

    def run(self, batch: Batch) -> list[np.ndarray]:
        """The outputs for one batch, in the order of ``names``. Raises CompressorError."""
        try:
            values = self._loaded.run(self._fetches, fitting(self.graph, batch.feeds))
        except TF_ERRORS as error:
            raise failure(error, "TensorFlow does not run the graph on these examples", self.ref.path) from None
        return [_of_examples(plain(value), batch) for value in values]

    def scores(self, values: Sequence[np.ndarray], wanted: str, classes: int) -> int:
        """Which output has a score for each class: the one that is ``wanted``, or that looks most like it.

        Raises CompressorError where there is none.
        """
        if wanted:
            return find_output(self.names, wanted, self.ref.path)
        likely: list[int] = [
            likeness(self.graph, name, value, classes) for name, value in zip(self.names, values, strict=True)
        ]
        best = max(likely, default=0)
        if best == 0:
            shapes = ", ".join(f"{n} {list(v.shape)}" for n, v in zip(self.names, values, strict=True))
            raise CompressorError(
                "no output has a score for each class", where=self.ref.path, hint=f"outputs: {shapes}"
            )
        return likely.index(best)


def open_examples(spec: DataSpec, graph: ModelGraph, batch: int) -> Dataset:
    """The examples as ``graph`` wants them, which is the original's: the compressed graph's input may be quantized, see
    ``fitting``. They are read once, so none are kept."""
    return open_dataset(dataclasses.replace(spec, cache_bytes=0), graph, batch)


def check_names(spec: DataSpec, names: Sequence[str], value: np.ndarray, output: str) -> None:
    """Raise CompressorError where a file of names has not one for each score of the output that was taken."""
    scores = as_scores(value)
    if spec.names and scores is not None and scores.shape[1] != len(names):
        words = f"there are {len(names)} names, but the output {output!r} has {scores.shape[1]} classes"
        raise CompressorError(words, where=spec.names, hint="one name a line, for each class of the network's")


def find_output(names: Sequence[str], wanted: str, where: str) -> int:
    """The place of an output, named as TensorFlow's tools do it (``import/output:0`` too). Raises CompressorError."""
    name = str(parse_ref(wanted.removeprefix("import/")))
    if name not in names:
        raise CompressorError(f"there is no output {wanted!r}", where=where, hint=f"its outputs: {', '.join(names)}")
    return names.index(name)


def _of_examples(value: np.ndarray, batch: Batch) -> np.ndarray:
    """An output without the rows of the copies that fill a batch up."""
    value = value.astype(np.float32) if value.dtype.kind == "V" else value  # bfloat16
    return batch.counted(value)


def likeness(graph: ModelGraph, name: str, value: np.ndarray, classes: int) -> int:
    """How much an output looks like scores of classes; 0: not at all."""
    rows = as_scores(value)
    if rows is None:
        return 0
    node = graph.get(parse_ref(name).name)
    softmax = node is not None and node.op == "Softmax"
    columns: int = rows.shape[1]
    return 1 + (columns == classes) * 4 + (softmax or metrics.is_distribution(rows)) * 2 + (columns > 2)


def as_scores(value: np.ndarray) -> np.ndarray | None:
    """An output as examples x classes, or None where it is nothing of the kind.

    A single value is the chance of class 1 (or its logit) in a network of two classes.
    """
    if value.dtype.kind != "f" or value.ndim < 2 or not value.size:
        return None
    if value.ndim > 2 and value.size != len(value) * max(value.shape[1:]):
        return None
    rows = value.reshape(len(value), -1)
    if rows.shape[1] > 1:
        return rows
    logits = bool(((rows < 0) | (rows > 1)).any())
    return np.concatenate([np.zeros_like(rows) if logits else 1 - rows, rows], axis=1)


def scores_of(batch: Batch, value: np.ndarray, name: str, where: str) -> np.ndarray:
    """The output ``name`` as examples x classes. Raises CompressorError where it is nothing of the kind for this batch,
    or a label has no score."""
    assert batch.labels is not None
    scores = as_scores(value)
    if scores is None or len(scores) != len(batch):
        raise CompressorError(f"the output {name!r} has no score for each class", where=where)
    wrong = np.flatnonzero((batch.labels < 0) | (batch.labels >= scores.shape[1]))
    if wrong.size:
        raise CompressorError(
            f"the label is {batch.labels[wrong[0]]}, but the output {name!r} has {scores.shape[1]} classes",
            where=batch.sources[wrong[0]],
            hint="the labels count from 0; label_offset is added to them",
        )
    return scores

"""Accuracy on labelled examples, and how near the outputs are to the original's, both from the same batches."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from compressor_gui.core import metrics
from compressor_gui.core.compare import Comparison
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, parse_ref
from compressor_gui.core.measure import Accuracy, Evaluate, Evaluation, Fidelity, ModelRef
from compressor_gui.core.serve import Job
from compressor_gui.engine.dataset import Batch, Dataset, open_dataset
from compressor_gui.engine.inputs import fitting
from compressor_gui.engine.models import Model, load_model
from compressor_gui.engine.session import TF_ERRORS, failure, plain

CONFUSED = 50
"""The most classes of which the confusion is kept."""


def evaluate(request: Evaluate, job: Job) -> Evaluation:
    """See Evaluate. Raises CompressorError where there is nothing to compare with, or something does not fit."""
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        job.progress(0, 0, "loading the model")
        model = Runner(stack.enter_context(load_model(request.model)))
        original = None
        if request.against is not None:
            job.progress(0, 0, "loading the original")
            original = Runner(stack.enter_context(load_model(request.against)))
        data = open_examples(request.data, model, original, request.batch)
        if not data.labelled and original is None:
            raise CompressorError(
                "these examples have no labels, so there is nothing to compare the answers with",
                where=request.data.path,
                hint="give labels, or a second model (--against)",
            )
        tally = Tally(data.classes, request.output)
        for batch in data:
            job.progress(data.n - len(batch), max(0, data.count), "evaluating")
            tally.add(batch, model, original)
    return dataclasses.replace(
        tally.evaluation(),
        skipped=tuple(data.skipped),
        classes=data.classes,
        seconds=time.perf_counter() - start,
    )


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


def open_examples(spec: DataSpec, model: Runner, original: Runner | None, batch: int) -> Dataset:
    """The examples as the original wants them: the compressed graph's input may be quantized, see ``fitting``. They
    are read once, so none are kept."""
    return open_dataset(dataclasses.replace(spec, cache_bytes=0), (original or model).graph, batch)


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


@dataclass
class _Hits:
    """What one model got right, added up."""

    labels: list[np.ndarray] = field(default_factory=list)
    ranks: list[np.ndarray] = field(default_factory=list)
    predicted: list[np.ndarray] = field(default_factory=list)
    loss: float = 0.0
    classes: int = 0
    output: int = 0
    probabilities: bool = True

    def add(self, scores: np.ndarray, labels: np.ndarray) -> None:
        if not self.labels:
            self.classes = scores.shape[1]
            self.probabilities = metrics.is_distribution(scores)
        self.labels.append(labels)
        self.ranks.append(metrics.ranks(scores, labels))
        self.predicted.append(metrics.top_k(scores, 1)[:, 0])
        self.loss += float(metrics.cross_entropy(scores, labels, probabilities=self.probabilities).sum())

    @property
    def right(self) -> np.ndarray:
        """Whether each example's top class is the true one."""
        return np.asarray(np.concatenate(self.ranks) == 0)

    def accuracy(self) -> Accuracy:
        ranks = np.concatenate(self.ranks)
        n, hits = len(ranks), int((ranks == 0).sum())
        confusion: tuple[tuple[int, ...], ...] = ()
        if self.classes <= CONFUSED:
            counts = metrics.confusion(np.concatenate(self.labels), np.concatenate(self.predicted), self.classes)
            confusion = tuple(tuple(row) for row in counts.tolist())
        return Accuracy(
            n=n,
            top1=hits / n,
            top5=float((ranks < 5).mean()) if self.classes > 5 else None,
            top1_interval=metrics.wilson_interval(hits, n),
            loss=self.loss / n if np.isfinite(self.loss) else None,
            confusion=confusion,
        )


class Tally:
    """Everything that is counted, batch by batch."""

    def __init__(self, classes: Sequence[str], output: str) -> None:
        self._classes = classes
        self._output = output
        self._n = 0
        self._hits = (_Hits(), _Hits())
        self._scored = True
        self._comparisons: list[_OutputTally] = []

    def add(self, batch: Batch, model: Runner, original: Runner | None) -> None:
        """Run both models on a batch. Raises CompressorError."""
        values = model.run(batch)
        reference = original.run(batch) if original is not None else []
        if not self._n:
            self._choose(batch, model, values, original, reference)
        self._n += len(batch)
        if batch.labels is not None and self._scored:
            self._score(self._hits[0], model, values, batch)
            if original is not None:
                self._score(self._hits[1], original, reference, batch)
        if original is not None:
            pairs = paired(original, model)
            self._comparisons = self._comparisons or [_OutputTally(model.names[mine]) for _, mine in pairs]
            for tally, (theirs, mine) in zip(self._comparisons, pairs, strict=True):
                tally.add(reference[theirs], values[mine])

    def _choose(
        self,
        batch: Batch,
        model: Runner,
        values: Sequence[np.ndarray],
        original: Runner | None,
        reference: Sequence[np.ndarray],
    ) -> None:
        """Find the outputs with the scores; where there are none, there is the original to compare with."""
        if batch.labels is None:
            return
        try:
            self._hits[0].output = model.scores(values, self._output, len(self._classes))
            if original is not None:
                self._hits[1].output = original.scores(reference, self._output, len(self._classes))
        except CompressorError:
            if original is None or self._output:
                raise
            self._scored = False

    def _score(self, hits: _Hits, model: Runner, values: Sequence[np.ndarray], batch: Batch) -> None:
        assert hits.output is not None
        assert batch.labels is not None
        scores = scores_of(batch, values[hits.output], model.names[hits.output], model.ref.path)
        hits.add(scores, batch.labels)

    def evaluation(self) -> Evaluation:
        """What was counted; without examples' names and times."""
        mine, theirs = self._hits
        accuracy, against = Accuracy(self._n), Accuracy(self._n) if self._comparisons else None
        p = None
        if mine.labels:
            accuracy = mine.accuracy()
        if theirs.labels:
            against = theirs.accuracy()
            p = metrics.mcnemar_p(int((mine.right & ~theirs.right).sum()), int((theirs.right & ~mine.right).sum()))
        return Evaluation(accuracy, against, tuple(tally.fidelity for tally in self._comparisons), p)


def paired(original: Runner, model: Runner) -> list[tuple[int, int]]:
    """Places of the same output in both: by name, or else by order. Raises CompressorError."""
    if set(original.names) == set(model.names):
        return [(original.names.index(name), at) for at, name in enumerate(model.names)]
    if len(original.names) != len(model.names):
        counts = f"{len(model.names)} and {len(original.names)}"
        raise CompressorError(
            f"the two graphs have {counts} outputs", where=model.ref.path, hint="name them (--outputs)"
        )
    return [(at, at) for at in range(len(model.names))]


class _OutputTally:
    """One output beside the original's."""

    def __init__(self, name: str) -> None:
        self._comparison = Comparison(name)
        self._kl = 0.0
        self._rows = 0
        self._distributions = True

    def add(self, original: np.ndarray, value: np.ndarray) -> None:
        self._comparison.add(original, value)
        same = original.shape == value.shape and original.dtype.kind == value.dtype.kind == "f"
        self._distributions &= same and metrics.is_distribution(original) and metrics.is_distribution(value)
        if self._distributions:
            divergence = metrics.kl_divergence(original, value)
            self._kl += float(divergence.sum())
            self._rows += divergence.size

    @property
    def fidelity(self) -> Fidelity:
        kl = self._kl / self._rows if self._distributions and self._rows else None
        return Fidelity(self._comparison.check, kl)

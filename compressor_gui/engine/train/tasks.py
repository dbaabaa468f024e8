"""What a network is trained for, and what is measured: classes, numbers, or to do as the original does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compressor_gui.core import metrics
from compressor_gui.core.compare import Noise
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, Node, parse_ref
from compressor_gui.core.training import PruneRetrain
from compressor_gui.engine.models import load_model
from compressor_gui.engine.runner import Runner, check_names, find_output, scores_of
from compressor_gui.engine.session import tf
from compressor_gui.engine.train.examples import Examples
from compressor_gui.engine.train.trainable import Trainable

_SAME = ("Identity", "Reshape", "Squeeze", "StopGradient", "CheckNumerics", "Snapshot")
_LEAST = 1e-7
"""The least probability of which a logarithm is taken, as in Keras."""


@dataclass(frozen=True)
class Task:
    """``kind``: classes, regression or fidelity. ``fetches``: the tensors that the loss is computed from; for classes
    the one with the scores, of which ``forms`` says what they are: ``softmax`` or ``sigmoid`` (before either), or
    ``probabilities``. ``classes``: how many there are (0: none). For fidelity, ``forms`` says it of each fetch,
    ``plain`` for numbers.

    ``labels`` is the labels' part of the loss for classes; the rest is the original's answers, softened by
    ``temperature``."""

    kind: str
    fetches: tuple[str, ...]
    forms: tuple[str, ...]
    classes: int = 0
    labels: float = 1.0
    temperature: float = 1.0

    @property
    def metric(self) -> str:
        """What :meth:`value` gives: top1 (a fraction), mse, or sqnr_db (of the worst output)."""
        return {"classes": "top1", "regression": "mse", "fidelity": "sqnr_db"}[self.kind]

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller value is a better one."""
        return self.kind == "regression"

    @property
    def asks_original(self) -> bool:
        """Whether the loss needs the original's outputs."""
        return self.kind == "fidelity" or (self.kind == "classes" and self.labels < 1)

    def loss(self, found: Sequence[Any], targets: Any, original: Sequence[Any]) -> Any:
        """The mean loss of a batch, in TensorFlow: ``found`` are the fetches, ``original`` those of the original where
        it :attr:`asks_original`."""
        if self.kind == "classes":
            logits = class_logits(found[0], self.forms[0])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(targets, tf.int32), logits)
            total = self.labels * tf.reduce_mean(losses)
            if self.labels < 1:
                wanted = class_logits(original[0], self.original_form)
                total += (1 - self.labels) * _softened_divergence(logits, wanted, self.temperature)
            return total
        if self.kind == "regression":
            rows = tf.reshape(tf.cast(found[0], tf.float32), tf.shape(targets))
            return tf.reduce_mean(tf.square(rows - targets))
        losses = [_distance(*three) for three in zip(found, original, self.forms, strict=True)]
        return tf.add_n(losses) / len(losses)

    @property
    def original_form(self) -> str:
        """What the original's scores are, see ``forms``."""
        return self.forms[0]

    def counted(self) -> Counter:
        """A counter of the metric."""
        return Counter(self)


class Counter:
    """The metric of a network on examples that are taken in batch by batch."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._sum = 0.0
        self._n = 0
        self._noises = [Noise() for _ in task.fetches]

    def add(self, found: Sequence[np.ndarray], targets: np.ndarray | None, original: Sequence[np.ndarray]) -> None:
        """Take in one batch."""
        if self._task.kind == "fidelity":
            for noise, x, y in zip(self._noises, original, found, strict=True):
                noise.add(x, y)
            return
        assert targets is not None
        rows = found[0].reshape(len(targets), -1)
        if self._task.kind == "classes":
            if rows.shape[1] == 1:
                guesses = rows[:, 0] > (0.5 if self._task.forms[0] == "probabilities" else 0)
            else:
                guesses = rows.argmax(axis=1)
            self._sum += float((guesses == targets).sum())
            self._n += len(targets)
        else:
            self._sum += float(np.square(rows.astype(np.float64) - targets.reshape(rows.shape)).sum())
            self._n += rows.size

    @property
    def value(self) -> float:
        """The metric of all that was added."""
        if self._task.kind == "fidelity":
            return float(min(noise.db for noise in self._noises))
        return self._sum / max(1, self._n)


def find_task(request: PruneRetrain, network: Trainable, examples: Examples) -> Task:
    """What to train ``network`` for; its outputs are looked at on the first of the examples.

    Raises CompressorError where there are no labels, no output has a score for each class, or a name is unknown.
    """
    first, where = examples.first, request.model.path
    kind = request.loss if request.loss != "auto" else "fidelity" if examples.targets is None else "classes"
    with load_model(request.model) as model:
        runner = Runner(model)
        values = runner.run(first)
    names, output = runner.names, request.output
    if request.goal.max_drop is not None and kind != "classes":
        hint = "give labels, or another goal"
        raise CompressorError("without classes there is no top-1 that may drop", where=examples.spec.path, hint=hint)
    if kind == "regression":
        return Task(kind, (_tensor(names[find_output(names, output, where) if output else 0]),), ("plain",))
    if kind == "fidelity":
        floats = [name for name, value in zip(names, values, strict=True) if value.dtype.kind == "f" and value.size]
        wanted = [names[find_output(names, output, where)]] if output else floats
        if not wanted:
            raise CompressorError("no output is of floating point numbers", where=where)
        places = [_before_activation(network.graph, name) for name in wanted]
        return Task(kind, tuple(place for place, _ in places), tuple(form or "plain" for _, form in places))
    if examples.targets is None:
        hint = "give labels, or train for fidelity to the original"
        raise CompressorError("these examples have no labels", where=examples.spec.path, hint=hint)
    at = runner.scores(values, output, len(examples.classes))
    check_names(examples.spec, examples.classes, values[at], names[at])
    scores = scores_of(first, values[at], names[at], where)
    place, form = _before_activation(network.graph, names[at])
    if request.logits:
        if parse_ref(request.logits).name not in network.graph:
            raise CompressorError(
                f"there is no node {request.logits!r}", where="logits", hint="inspect lists the nodes"
            )
        place, form = _tensor(request.logits), form or "softmax"
    if not form:
        form = "probabilities" if metrics.is_distribution(scores) else "softmax"
    return Task(kind, (place,), (form,), scores.shape[1], request.labels, request.temperature)


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _before_activation(graph: ModelGraph, output: str) -> tuple[str, str]:
    """The tensor that the Softmax or Sigmoid behind an output reads, and which of both; the output and nothing where
    there is neither."""
    node: Node | None = graph.get(parse_ref(output).name)
    while node is not None and node.op in _SAME:
        node = graph.producer(node, 0)
    if node is not None and node.op in ("Softmax", "Sigmoid"):
        return _tensor(str(node.data_refs[0])), node.op.lower()
    return _tensor(output), ""


def class_logits(scores: Any, form: str) -> Any:
    """Rows of logits, one for each class: [n, classes]."""
    rows = tf.reshape(tf.cast(scores, tf.float32), (tf.shape(scores)[0], -1))
    if form == "probabilities":
        if scores.shape[-1] == 1:
            rows = tf.concat([1 - rows, rows], axis=1)
        return tf.math.log(tf.clip_by_value(rows, _LEAST, 1.0))
    return tf.concat([tf.zeros_like(rows), rows], axis=1) if scores.shape[-1] == 1 else rows


def _softened_divergence(logits: Any, original: Any, temperature: float) -> Any:
    """The mean Kullback-Leibler divergence in nats of the classes from the original's, both softened by
    ``temperature``, times its square, so that gradients keep their size (G. Hinton et al., "Distilling the knowledge in
    a neural network", 2015)."""
    wanted = tf.nn.log_softmax(tf.stop_gradient(original) / temperature)
    mine = tf.nn.log_softmax(logits / temperature)
    return temperature**2 * tf.reduce_mean(tf.reduce_sum(tf.exp(wanted) * (wanted - mine), axis=-1))


def _distance(found: Any, original: Any, form: str) -> Any:
    """How far an output is from the original's: the Kullback-Leibler divergence in nats of what a Softmax follows; of
    numbers the squared error over the original's mean square."""
    original = tf.stop_gradient(tf.cast(original, tf.float32))
    found = tf.cast(found, tf.float32)
    if form == "softmax":
        wanted = tf.nn.softmax(original)
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, found)) + tf.reduce_mean(
            tf.reduce_sum(wanted * tf.nn.log_softmax(original), axis=-1)
        )
    return tf.reduce_mean(tf.square(found - original)) / (tf.reduce_mean(tf.square(original)) + _LEAST)


def check_labels(examples: Examples, classes: int) -> None:
    """Raise CompressorError for the first label that is no class."""
    assert examples.targets is not None
    wrong = np.flatnonzero((examples.targets < 0) | (examples.targets >= classes))
    if wrong.size:
        hint = "the labels count from 0; label_offset is added to them"
        words = f"the label is {examples.targets[wrong[0]]}, but the network has {classes} classes"
        raise CompressorError(words, where=examples.sources[wrong[0]], hint=hint)


def missing_classes(examples: Examples, classes: int) -> list[int]:
    """The classes that no example has."""
    assert examples.targets is not None
    return np.flatnonzero(np.bincount(examples.targets, minlength=classes) == 0).tolist()

"""Pruning with retraining: what the engine is asked, what it tells while it trains, and what it answers.

Words: the run goes from *step* to *step* of pruning; in each it trains some *epochs* of *batches*. What a step leads to
is a *point*, whose weights are kept (:mod:`.weight_store`) and can be opened as the recipe's step ``weights``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from compressor_gui.core import datafiles
from compressor_gui.core.caution import CPU_DEVICES, Cautious, Ran
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError, check_bounds
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes.stored_weights import Weights
from compressor_gui.core.sweep import content_sample
from compressor_gui.core.sweep_cache import user_cache_folder

CRITERIA = ("global", "magnitude", "scaled", "taylor", "sensitivity", "random")
"""Which weights go first, see :mod:`.pruning`."""
SCHEDULES = ("cubic", "iterative", "one_shot", "surgery", "rigl")
"""How the sparsity is reached, see :class:`PruneRetrain`."""
REWINDS = ("learning_rate", "weights", "none")
LOSSES = ("auto", "classes", "regression", "fidelity")
OPTIMIZERS = ("adamw", "adam", "sgd")
RATES = ("cosine", "constant", "step")
MULTI_WORKER = "multi_worker"
"""The strategy that trains on several machines."""
TF_CONFIG = "TF_CONFIG"
"""TensorFlow's variable of them. A process that has met them is of no use for anything else."""

KEY_VERSION = 1
"""Part of the name of every checkpoint: raised when the same question gets another answer."""


# -- what is told meanwhile ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batches:
    """Some batches were trained: ``done`` of ``total`` of the whole run as far as it is planned, the mean ``loss`` of
    them, the ``learning_rate`` of the last, and how many examples went through a second."""

    step: int
    epoch: int
    done: int
    total: int
    loss: float
    learning_rate: float
    examples_per_second: float


@dataclass(frozen=True)
class Epoch:
    """An epoch has ended, and a checkpoint was written.

    ``step`` counts from 1 (0: the dense network, before any pruning), ``epoch`` within the whole run. ``loss`` is the
    mean over the epoch's training batches, ``value`` the metric on the test data. ``densities``: layer -> share of its
    weights that is not zero. ``checkpoint``: a file whose arrays ``weights/<constant>`` are the weights as they are
    now; empty where it could not be written.
    """

    step: int
    epoch: int
    loss: float
    value: float
    sparsity: float
    learning_rate: float
    seconds: float
    densities: dict[str, float] = field(default_factory=dict)
    checkpoint: str = ""
    metric: str = "top1"


@dataclass(frozen=True)
class Point:
    """Where a step has led: ``nonzero`` of ``weights`` are left, ``value`` is the metric on the test data, ``bytes``
    the file's with sparse weights as CSR (estimated), ``sha256`` names its weights (:mod:`.weight_store`).

    The first point, of step 0, is the model as it came, without weights of its own. ``meets``: whether the target is
    met.
    """

    step: int
    weights: int
    nonzero: int
    bytes: int
    value: float
    densities: dict[str, float]
    sha256: str = ""
    epochs: int = 0
    seconds: float = 0.0
    meets: bool = False
    metric: str = "top1"

    @property
    def ratio(self) -> float:
        """Weights over those that are left."""
        return self.weights / max(1, self.nonzero)

    @property
    def sparsity(self) -> float:
        """The share of weights that are zero, 0..1."""
        return 1 - self.nonzero / max(1, self.weights)


@dataclass(frozen=True)
class News:
    """What happened since the last piece: one of these, or a ``note`` for the user."""

    batches: Batches | None = None
    epoch: Epoch | None = None
    point: Point | None = None
    note: str = ""


@dataclass(frozen=True)
class Retrained(Ran):
    """The whole run. ``metric``: ``top1`` (a fraction), ``mse`` or ``sqnr_db``, that of every epoch and point;
    ``chosen``: the index of the point that meets the target best, or comes nearest to it; ``lacks``: what that lacks, a
    sentence (empty: it meets the target).

    ``stopped``: why it ended before it was done (empty: it was done). ``resumed``: epochs taken from a checkpoint.
    Without any point it is the answer of a worker that was not the first.
    """

    metric: str
    points: tuple[Point, ...]
    chosen: int
    epochs: tuple[Epoch, ...]
    train_n: int
    test_n: int
    lacks: str = ""
    stopped: str = ""
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    resumed: int = 0
    seconds: float = 0.0

    @property
    def helped(self) -> bool:
        """Whether this process only trained with others: the first worker has the result."""
        return not self.points

    @property
    def point(self) -> Point:
        """The chosen one."""
        return self.points[self.chosen]

    @property
    def baseline(self) -> float:
        """The metric of the model as it came."""
        return self.points[0].value


# -- the question ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Optimizing:
    """How weights are moved. ``optimizer``: Keras's, ``momentum`` is SGD's. ``weight_decay`` is decoupled (AdamW), for
    SGD and Adam too, and spares biases.

    ``rate`` is the schedule of each step of pruning, from ``learning_rate``: ``cosine`` to zero, ``constant``, or
    ``step``, a tenth after half and after three quarters of the epochs.
    """

    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    rate: str = "cosine"
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch: int = 100


@dataclass(frozen=True)
class Augmenting:
    """What is done to training pictures, another each time: ``shift`` by up to so many pixels, ``flip`` left and right,
    ``crop`` to as little as this share of the area (1: none), ``colour`` (brightness and contrast by up to this share).

    It depends on the seed, the epoch and the example's number alone.
    """

    shift: int = 0
    flip: bool = False
    crop: float = 1.0
    colour: float = 0.0

    @property
    def any(self) -> bool:
        """Whether anything is done."""
        return bool(self.shift or self.flip or self.crop < 1 or self.colour)


@dataclass(frozen=True)
class Goal:
    """Where to stop, one of: ``ratio`` (weights over those left), ``sparsity`` (share of zeros), ``bytes`` (of the
    file, sparse weights as CSR, see :mod:`.sizes`), ``max_drop`` (the most that top-1 may fall, a fraction).

    Counted are the weights of the layers that are pruned, without biases, as in Han et al.'s tables.
    """

    ratio: float | None = None
    sparsity: float | None = None
    bytes: int | None = None
    max_drop: float | None = None

    def check(self) -> None:
        """Raise CompressorError unless exactly one is given, in its range."""
        given = [name for name, value in dataclasses.asdict(self).items() if value is not None]
        if len(given) != 1:
            words = "there is no target" if not given else f"there are two targets, {given[0]} and {given[1]}"
            raise CompressorError(words, hint="give one of --ratio, --sparsity, --target-bytes and --max-drop")
        ranges = {"ratio": (1, math.inf), "sparsity": (0, 1), "bytes": (1, math.inf), "max_drop": (0, 1)}
        low, high = ranges[given[0]]
        value = getattr(self, given[0])
        if not low <= value <= high or not math.isfinite(value) or (given[0] == "sparsity" and value == 1):
            most = "" if math.isinf(high) else f" and {'below' if given[0] == 'sparsity' else 'up to'} {high:g}"
            raise CompressorError(f"{given[0]} is {value:g}", where="target", hint=f"it is at least {low:g}{most}")


@dataclass(frozen=True, kw_only=True)
class PruneRetrain(Cautious[Retrained]):
    """Prune, retrain with the zeros held, repeat; :class:`News` come as pieces.

    ``data`` are the training examples; ``test`` those that a point is measured on: None holds a part of ``data`` out
    (:attr:`DataSpec.test_share`, by the hash that ``data.seed`` keys). ``layers``: those pruned (empty: all with float
    weights); weights and biases of all layers are trained, unless ``freeze`` names them. ``loss`` ``auto`` is classes
    where there are labels, else fidelity to the original's outputs. ``logits``: the tensor before Softmax (empty: it is
    found). ``labels`` is the labels' part of the loss for classes; the rest is the divergence from the original's
    answers, softened by ``temperature``, as in :class:`.distilling.Distill`.

    ``schedule``: ``one_shot`` prunes once; ``iterative`` in ``steps`` steps that each keep the same share, ``epochs``
    epochs after each (Han et al. 2015); ``cubic`` while training (Zhu and Gupta 2017); ``surgery`` lets weights come
    back (Guo et al. 2016); ``rigl`` keeps the sparsity and moves the places (Evci et al. 2020). ``steps`` 0 chooses.
    ``rewind``, after each pruning: the learning rate starts again, or the weights too (those after ``rewind_epoch``
    epochs of training the dense network; 0: the file's), or neither: the rate stays at a tenth.

    ``keep`` is ``last`` or ``best``: which epoch of a step makes its point, by the value on the test data. ``patience``
    ends a step after so many epochs without a better value (0: never). ``checkpoint``: the folder of what a killed run
    goes on from (empty: the user's cache folder). ``strategy``: see :mod:`compressor_gui.engine.train.devices`.
    ``mixed_precision``: bfloat16 where the processor has it.
    """

    name: ClassVar[str] = "prune_retrain"
    answer: ClassVar[type] = Retrained
    piece: ClassVar[type | None] = News

    model: ModelRef
    data: DataSpec
    goal: Goal
    test: DataSpec | None = None
    criterion: str = "global"
    schedule: str = "cubic"
    steps: int = 0
    epochs: int = 20
    rewind: str = "learning_rate"
    rewind_epoch: int = 0
    optimizing: Optimizing = Optimizing(learning_rate=2e-3)
    augmenting: Augmenting = field(default_factory=Augmenting)
    seed: int = 0
    loss: str = "auto"
    labels: float = 1.0
    temperature: float = 4.0
    logits: str = ""
    output: str = ""
    layers: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    keep: str = "last"
    patience: int = 0
    checkpoint: str = ""
    strategy: str = ""
    mixed_precision: bool = False

    def environment(self) -> dict[str, str]:
        """With as many parts of the processor as the strategy has devices, or who the workers are."""
        parts = cpu_devices(self.strategy)
        devices = {CPU_DEVICES: str(parts)} if parts else {}
        workers = {TF_CONFIG: os.environ.get(TF_CONFIG, "")} if self.strategy == MULTI_WORKER else {}
        return {**super().environment(), **devices, **workers}

    def after_crash(self) -> Self | None:
        """As for others; but of several workers none starts again alone."""
        return None if self.strategy == MULTI_WORKER else super().after_crash()

    def given_up(self, reason: str) -> str:
        """The sentence on a crash; TensorFlow ends a worker whose first one is gone as if it had crashed."""
        if self.strategy == MULTI_WORKER:
            return f"another worker has ended, or TensorFlow crashed here: {reason}"
        return super().given_up(reason)

    def check(self) -> None:
        """Raise CompressorError where a field has a value that no run can have."""
        self.goal.check()
        cpu_devices(self.strategy)
        choices = (
            ("criterion", self.criterion, CRITERIA),
            ("schedule", self.schedule, SCHEDULES),
            ("rewind", self.rewind, REWINDS),
            ("loss", self.loss, LOSSES),
            ("keep", self.keep, ("last", "best")),
            ("optimizer", self.optimizing.optimizer, OPTIMIZERS),
            ("rate", self.optimizing.rate, RATES),
        )
        for name, value, allowed in choices:
            if value not in allowed:
                raise CompressorError(f"{name} is {value!r}", hint=f"use {', '.join(allowed[:-1])} or {allowed[-1]}")
        how, pictures = self.optimizing, self.augmenting
        numbers = (
            ("steps", self.steps, 0, 100),
            ("epochs", self.epochs, 1, 10_000),
            ("rewind_epoch", self.rewind_epoch, 0, 1000),
            ("patience", self.patience, 0, 10_000),
            ("labels", self.labels, 0, 1),
            ("temperature", self.temperature, 0.1, 100),
            ("batch", how.batch, 1, 1 << 20),
            ("learning_rate", how.learning_rate, 0, 100),
            ("momentum", how.momentum, 0, 1),
            ("weight_decay", how.weight_decay, 0, 100),
            ("shift", pictures.shift, 0, 1000),
            ("crop", pictures.crop, 0.01, 1),
            ("colour", pictures.colour, 0, 1),
        )
        check_bounds(numbers)


# -- where a run is remembered ----------------------------------------------------------------------------------------


def checkpoint_file(request: PruneRetrain, model: bytes) -> Path:
    """The file that a run of this request writes after each epoch, and goes on from: named by the SHA-256 of all that
    its numbers depend on: the graph (its recipe replayed), the request, the data's content. Raises CompressorError."""
    how = dataclasses.asdict(request)
    for name in ("model", "checkpoint", "caution"):
        del how[name]
    for name, spec in (("data", request.data), ("test", request.test)):
        if spec is not None:
            how[name] |= {part: content_sample(getattr(spec, part)) for part in ("path", "targets", "names")}
            del how[name]["cache_bytes"]
    parts = [KEY_VERSION, hashlib.sha256(model).hexdigest(), list(request.model.outputs), how]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return training_folder(request.checkpoint) / f"{key}.npz"


def training_folder(chosen: str = "") -> Path:
    """Where checkpoints are written: the folder that was ``chosen``, or one of the user's cache."""
    return Path(os.path.abspath(chosen)) if chosen else user_cache_folder().with_name("training")


def train_and_test(data: DataSpec, test: DataSpec | None) -> tuple[DataSpec, DataSpec]:
    """The training examples and those to measure on: ``test``, or the test pair of a folder of IDX files that has one
    for training too (MNIST's), or a part that is held out.

    Raises CompressorError where ``data`` is such a part itself.
    """
    if test is not None:
        return data, test
    pairs = datafiles.idx_pairs(data.path) if data.kind == "idx" and not data.targets else None
    if pairs is not None and data.split == "all":
        train, held_out = (dataclasses.replace(data, path=str(path)) for path in pairs)
        return train, dataclasses.replace(held_out, limit=0)
    if data.split != "all":
        hint = "give test data, or take the whole set, of which a part is held out"
        raise CompressorError(f"only its {data.split} part is given", where=data.path, hint=hint)
    return dataclasses.replace(data, split="train"), dataclasses.replace(data, split="test")


def cpu_devices(strategy: str) -> int:
    """The N of the strategy ``mirrored:N``; 0 for others. Raises CompressorError where it is no number from 2 to 64."""
    kind, _, text = strategy.partition(":")
    if kind != "mirrored" or not text:
        return 0
    if not text.isdecimal() or not 2 <= int(text) <= 64:
        raise CompressorError(f"{strategy!r} is no strategy", where="strategy", hint="write, for example, mirrored:2")
    return int(text)


def learning_rate(how: Optimizing, progress: float) -> float:
    """The learning rate at ``progress`` 0..1 of a step."""
    if how.rate == "cosine":
        return how.learning_rate * (1 + math.cos(math.pi * progress)) / 2
    if how.rate == "step":
        return how.learning_rate * (1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01)
    return how.learning_rate


def weights_step(point: Point) -> Weights:
    """The recipe's step that puts a point's weights into the model."""
    return Weights(point.sha256, f"retraining, {point.ratio:.3g}x")

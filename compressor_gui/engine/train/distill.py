"""A student trained on its teacher's answers: the run that answers a :class:`.core.distilling.Distill`."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.distilling import Distill, Distilled, Lesson, Measured
from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, parse_ref
from compressor_gui.core.layers import find_layers
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes import apply, make
from compressor_gui.core.serve import Job
from compressor_gui.core.students import STUDENTS, make_student, randomised
from compressor_gui.core.training import Batches, Epoch, checkpoint_file, learning_rate
from compressor_gui.core.values import Tensor
from compressor_gui.engine.models import read_model
from compressor_gui.engine.session import tf
from compressor_gui.engine.train import checkpoint
from compressor_gui.engine.train.checkpoint import History
from compressor_gui.engine.train.examples import Augmenter
from compressor_gui.engine.train.setup import Setup
from compressor_gui.engine.train.tasks import Task, class_logits, find_task
from compressor_gui.engine.train.trainable import Trainable
from compressor_gui.engine.train.trainer import Trainer, deterministic


def distill(request: Distill, job: Job) -> Distilled:
    """See Distill. Raises CompressorError where teacher, student and data don't fit together."""
    request.check()
    pbio.refuse_source(Path(request.output), request.teacher.path)
    with deterministic(), tempfile.TemporaryDirectory(prefix="compressor-") as folder:
        return _distill(request, job, Path(folder))


def _distill(request: Distill, job: Job, folder: Path) -> Distilled:
    start = time.perf_counter()
    job.progress(0, 0, "reading the teacher")
    teacher_graph = read_model(request.teacher)
    student = _fed_as_teacher(_student(request, teacher_graph), request.data.input)
    file = folder / "student.pb"
    pbio.write_graph(student, file)
    training = request.training(ModelRef(str(file), outputs=student.outputs))
    setup = Setup(training, student, job)
    teacher = Trainable(teacher_graph, (), (), where=request.teacher.path)
    asked = find_task(replace(training, model=request.teacher), teacher, setup.train)
    if asked.classes != setup.task.classes:
        words = f"the student has {setup.task.classes} classes and the teacher {asked.classes}"
        raise CompressorError(words, where=request.student)
    task = _Taught.of(setup.task, asked, request, student, teacher_graph)
    trainer = _TaughtTrainer(task, setup, request, teacher)
    job.progress(0, 0, "measuring the teacher")
    teachers = None if task.metric != "top1" else trainer.teacher_value(setup, job)
    before = trainer.value(setup.test, job)
    job.piece(Lesson(measured=Measured(task.metric, before, teachers)))
    told = repr((request.temperature, request.labels, request.hints, request.hint_weight)).encode()
    path = checkpoint_file(training, b"".join((pbio.to_bytes(student), pbio.to_bytes(teacher_graph), told)))
    epochs, stopped = _train(trainer, setup, request, job, path)
    made = _with_weights(student, trainer.weights)
    size = pbio.write_graph(made, request.output, request.teacher.path)
    return Distilled(
        path=os.path.abspath(request.output),
        metric=task.metric,
        before=before,
        value=epochs[-1].value if epochs else before,
        teacher=teachers,
        weights=_weights(made),
        teacher_weights=_weights(teacher_graph),
        size=size,
        teacher_size=pbio.byte_size(teacher_graph),
        epochs=tuple(epochs),
        train_n=len(setup.train),
        test_n=len(setup.test),
        stopped=stopped,
        notes=tuple(setup.notes),
        skipped=(*setup.train.skipped, *setup.test.skipped),
        seconds=time.perf_counter() - start,
    )


def _student(request: Distill, teacher: ModelGraph) -> ModelGraph:
    if request.student in STUDENTS:
        made = make_student(teacher, request.student, request.seed)
    else:
        made = read_model(ModelRef(request.student, allow_unsafe_ops=request.teacher.allow_unsafe_ops))
    return randomised(made, request.seed) if request.fresh else made


def _fed_as_teacher(student: ModelGraph, name: str) -> ModelGraph:
    """The student, its only placeholder called as the teacher's is, so that it can take its place."""
    if len(student.inputs) != 1 or not name or name in student:
        return student
    return apply(make("rename_node", {"old_node_name": student.inputs[0], "new_node_name": name}), student).graph


@dataclass(frozen=True)
class _Taught(Task):
    """A student's task: the first of ``fetches`` are its scores, the others its hints; the same of the teacher's
    ``answers``."""

    answers: tuple[str, ...] = ()
    answer_form: str = ""
    hint_weight: float = 0.0

    @staticmethod
    def of(task: Task, asked: Task, request: Distill, student: ModelGraph, teacher: ModelGraph) -> _Taught:
        """Raises CompressorError where a hint is not in its graph."""
        for pair in request.hints:
            for name, graph, whose in zip(pair, (teacher, student), ("teacher", "student"), strict=True):
                if parse_ref(name).name not in graph:
                    raise CompressorError(f"the {whose} has no node {name!r}", where="hints")
        ours = tuple(_tensor(mine) for _, mine in request.hints)
        theirs = tuple(_tensor(other) for other, _ in request.hints)
        return _Taught(
            task.kind, (*task.fetches, *ours), task.forms, task.classes, request.labels, request.temperature,
            (*asked.fetches, *theirs), asked.forms[0], request.hint_weight,
        )  # fmt: skip

    @property
    def asks_original(self) -> bool:
        """Whether the loss needs the teacher's outputs."""
        return super().asks_original or len(self.fetches) > len(self.forms)

    @property
    def original_form(self) -> str:
        """What the teacher's scores are."""
        return self.answer_form

    def loss(self, found: Sequence[Any], targets: Any, original: Sequence[Any]) -> Any:
        """The labels' share, the teacher's, and the hints'."""
        scores = len(self.forms)
        total = super().loss(found[:scores], targets, original[:scores])
        for mine, other in zip(found[scores:], original[scores:], strict=True):
            apart = tf.square(_similarities(mine) - tf.stop_gradient(_similarities(other)))
            total += self.hint_weight * tf.reduce_mean(apart)
        return total


class _TaughtTrainer(Trainer):
    """A trainer whose original is another network, the teacher."""

    def __init__(self, task: _Taught, setup: Setup, request: Distill, teacher: Trainable) -> None:
        self._teacher = teacher
        self._answers = task.answers
        self._teachers = {name: tf.constant(value) for name, value in teacher.constants.items()}
        self._fed = teacher.graph.inputs
        augment = Augmenter(request.augmenting, setup.train)
        super().__init__(setup.network, task, request.optimizing, augment, setup.train, request.seed)

    def _original(self, feeds: Mapping[str, Any]) -> list[Any]:
        """The teacher is fed what the student is fed; where it has one input, whatever that is called."""
        if len(self._fed) == 1 and len(feeds) == 1:
            feeds = dict(zip(self._fed, feeds.values(), strict=True))
        return self._teacher.compute(self._answers, feeds, self._teachers)

    def teacher_value(self, setup: Setup, job: Job) -> float:
        """The teacher's share of right answers on the test data."""
        right = 0
        for batch, targets in _batches(setup, self.batch):
            job.wait()
            answers = self._called(self._compiled_teacher, batch)[: len(targets)]
            right += int((answers.reshape(len(targets), -1).argmax(axis=1) == targets).sum())
        return right / len(setup.test)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def _compiled_teacher(self, values: Any) -> Any:
        assert isinstance(self.task, _Taught)
        return class_logits(self._original({self.examples.input: values, **self._constants})[0], self.task.answer_form)


def _batches(setup: Setup, size: int) -> Any:
    """The test examples in batches of exactly ``size``, the last filled up; with as many targets as count."""
    assert setup.test.targets is not None
    for at in range(0, len(setup.test), size):
        values, targets = setup.test.values[at : at + size], setup.test.targets[at : at + size]
        short = size - len(values)
        yield (np.concatenate([values, np.repeat(values[-1:], short, axis=0)]) if short else values), targets


def _train(trainer: Trainer, setup: Setup, request: Distill, job: Job, path: Path) -> tuple[list[Epoch], str]:
    """All epochs, or those until the user finishes it, or loss or result are no number any more. A checkpoint in
    ``path`` is gone on from, and one is written there after each epoch."""
    epochs: list[Epoch] = []
    found = checkpoint.read(path)
    if found is not None:
        epochs = list(found[0].epochs)
        trainer.restore(found[1])
        for epoch in epochs:
            job.piece(Lesson(epoch=epoch))
    total = request.epochs * trainer.batches
    good = trainer.weights
    for number in range(len(epochs) + 1, request.epochs + 1):
        start = last = time.perf_counter()
        losses, at = 0.0, 0

        def rate(batch: int, done: int = number - 1) -> float:
            return learning_rate(request.optimizing, (done * trainer.batches + batch) / total)

        for trained in trainer.epoch(number, rate):
            if not np.isfinite(trained.loss):
                trainer.weights = good
                return epochs, _diverged("loss", number)
            losses, at = losses + trained.loss * trained.batches, at + trained.batches
            speed = trained.batches * trainer.batch / max(time.perf_counter() - last, 1e-9)
            last = time.perf_counter()
            done = (number - 1) * trainer.batches + at
            job.piece(Lesson(batches=Batches(0, number, done, total, trained.loss, rate(at - 1), speed)))
            job.progress(done, total, f"epoch {number} of {request.epochs}, loss {trained.loss:.4f}")
            job.wait()
            if job.finishing.is_set():
                break
        value = trainer.value(setup.test, job)
        if not np.isfinite(value):
            trainer.weights = good
            return epochs, _diverged("result on the test data", number)
        seconds, metric = time.perf_counter() - start, trainer.task.metric
        epochs.append(Epoch(0, number, losses / at, value, 0.0, rate(at - 1), seconds, metric=metric))
        job.piece(Lesson(epoch=epochs[-1]))
        good = trainer.weights
        if at < trainer.batches:
            return epochs, f"it was stopped in epoch {number}"
        _write(path, epochs, trainer, setup)
        if job.finishing.is_set() and number < request.epochs:
            return epochs, f"it was stopped after epoch {number}"
    return epochs, ""


def _diverged(what: str, number: int) -> str:
    kept = "the epoch before was kept" if number > 1 else "the student is as it began"
    return f"the {what} became NaN (not a number) in epoch {number}; {kept}"


def _write(path: Path, epochs: Sequence[Epoch], trainer: Trainer, setup: Setup) -> None:
    """A checkpoint; where it can't be written, the run goes on without."""
    try:
        checkpoint.write(path, History(epochs=tuple(epochs)), trainer.state())
    except CompressorError as error:
        note = f"no checkpoint could be written, so that a killed run would start again: {error}"
        if note not in setup.notes:
            setup.notes.append(note)


def _with_weights(graph: ModelGraph, weights: Mapping[str, np.ndarray]) -> ModelGraph:
    edit = Edit(graph)
    for name, value in weights.items():
        tensor = graph[name].tensor
        assert tensor is not None
        edit.replace(graph[name].with_(attrs={"value": Tensor.of(value, tensor.dtype)}))
    return edit.finish()


def _weights(graph: ModelGraph) -> int:
    return sum(layer.parameters for layer in find_layers(graph))


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _similarities(values: Any) -> Any:
    """How alike the examples of a batch are, [batch, batch], each row of length 1."""
    rows = tf.reshape(tf.cast(values, tf.float32), (tf.shape(values)[0], -1))
    return tf.math.l2_normalize(tf.matmul(rows, rows, transpose_b=True), axis=1)

"""A new top on a trained trunk, as ``retrain.py`` does it: bottlenecks once, then a fully connected layer."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.metrics import wilson_interval
from compressor_gui.core.new_top import Top, find_bottleneck, train_top, with_top
from compressor_gui.core.serve import Job
from compressor_gui.core.sweep import content_sample
from compressor_gui.core.sweep_cache import user_cache_folder
from compressor_gui.core.transfer import TRAINING, TopProgress, Transfer, Transferred, part_of
from compressor_gui.engine.bottlenecks import Bottlenecks, Trunk, key_of
from compressor_gui.engine.dataset import Batch, Dataset, open_dataset
from compressor_gui.engine.models import read_model
from compressor_gui.engine.session import LoadedGraph, tf
from compressor_gui.engine.train.examples import DRAWS, Augmenter, Examples


def transfer(request: Transfer, job: Job) -> Transferred:
    """Train the top, write ``output_graph`` and ``output_labels``. Raises CompressorError."""
    start = time.perf_counter()
    request.check()
    request.check_targets()
    graph = read_model(request.model)
    tensor = find_bottleneck(graph, request.bottleneck)
    examples = open_dataset(request.data, graph, request.batch)
    classes = examples.classes
    if len(classes) < 2:
        hint = "a folder with a sub-folder for each class"
        words = f"there is {'only one class' if classes else 'no class'}"
        raise CompressorError(words, where=request.data.path, hint=hint)
    if request.final_tensor_name in graph:
        words = f"the trunk has a node {request.final_tensor_name!r} already"
        raise CompressorError(words, hint="choose another final_tensor_name")
    folder = Path(request.bottleneck_dir) if request.bottleneck_dir else user_cache_folder().with_name("bottlenecks")
    with LoadedGraph(pbio.to_bytes(graph), graph, where=request.model.path) as loaded:
        trunk = Trunk(loaded, tensor if ":" in tensor else f"{tensor}:0", request.model.path, folder)
        found, copies = _bottlenecks(request, graph, trunk, examples, job)
    parts = _parts(request, found)
    _refuse_missing(classes, found, parts, request)
    train, validation, test = (parts == name for name in ("train", "validation", "test"))
    values = np.concatenate([found.values[train], *(copy.values[train] for copy in copies)])
    labels = np.concatenate([found.labels[train]] * (1 + len(copies)))
    top, history = _trained(request, values, labels, len(classes), found, (train, validation), job)
    made = with_top(graph, tensor, top, request.final_tensor_name)
    pbio.write_graph(made, request.output_graph, request.model.path)
    _write_labels(request.output_labels, classes)
    wrong = _misclassified(top, found, test, classes)
    n = int(test.sum())
    return Transferred(
        graph=os.path.abspath(request.output_graph),
        labels=os.path.abspath(request.output_labels),
        classes=classes,
        counts={name: int((parts == name).sum()) for name in ("train", "validation", "test")},
        bottleneck=tensor,
        train=top.accuracy(found.values[train], found.labels[train]),
        validation=_accuracy(top, found, validation),
        test=1 - len(wrong) / n if n else None,
        test_interval=wilson_interval(n - len(wrong), n) if n else None,
        misclassified=wrong,
        history=tuple(history),
        skipped=(*examples.skipped, *trunk.notes),
        cached=found.cached + sum(copy.cached for copy in copies),
        seconds=time.perf_counter() - start,
    )


def _bottlenecks(
    request: Transfer, graph: ModelGraph, trunk: Trunk, examples: Dataset, job: Job
) -> tuple[Bottlenecks, list[Bottlenecks]]:
    """Of the pictures as they are, and of each set of distorted copies."""
    spec = request.data
    how = dataclasses.asdict(dataclasses.replace(spec, path="", cache_bytes=0))
    told = (sorted(how.items(), key=lambda item: item[0]), content_sample(spec.path), request.batch)
    plain = trunk.of(examples, key_of(graph, trunk.tensor, *told), job)
    copies = []
    for copy in range(request.copies if request.augmenting.any else 0):
        distort = _Distorting(request, examples.classes, copy)
        key = key_of(graph, trunk.tensor, *told, request.augmenting, request.seed, copy)
        copies.append(
            trunk.of(examples, key, job, distort, f"computing distorted copies, {copy + 1} of {request.copies}")
        )
    return plain, copies


class _Distorting:
    """One set of distorted copies: what is done to a picture depends on the seed, the copy and its number."""

    def __init__(self, request: Transfer, classes: tuple[str, ...], copy: int) -> None:
        self._request, self._classes, self._copy = request, classes, copy

    def __call__(self, batch: Batch, before: int) -> Batch:
        name, *_ = batch.feeds
        values = batch.feeds[name]
        spec = self._request.data
        shown = Examples(spec, name, values, None, {}, batch.sources, [], self._classes, len(values), batch)
        seeds = ((self._request.seed, self._copy, before + at) for at in range(len(values)))
        draws = np.stack([np.random.default_rng(seed).random(DRAWS, np.float32) for seed in seeds])
        distorted = Augmenter(self._request.augmenting, shown)(tf.constant(values), tf.constant(draws))
        return dataclasses.replace(batch, feeds={**batch.feeds, name: distorted.numpy()})


def _parts(request: Transfer, found: Bottlenecks) -> np.ndarray:
    """The part of each picture; empty for what a smaller validation or test has no use for."""
    shares = request.validation_percentage, request.testing_percentage
    parts = np.array([part_of(source, *shares) for source in found.sources])
    for name, size in (("validation", request.validation_batch_size), ("test", request.test_batch_size)):
        places = np.flatnonzero(parts == name)
        if 0 < size < len(places):
            parts[np.random.default_rng(request.seed).permutation(places)[size:]] = ""
    return parts


def _refuse_missing(classes: Sequence[str], found: Bottlenecks, parts: np.ndarray, request: Transfer) -> None:
    """Raise CompressorError where a class has no picture to train on, or there are fewer than in a batch."""
    counts = np.bincount(found.labels[parts == "train"], minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        total = int(np.bincount(found.labels, minlength=len(classes))[list(classes).index(empty[0])])
        words = f"the class {empty[0]!r} has no picture to train on"
        hint = "all went to validation and testing; add some" if total else "add some, or remove the folder"
        raise CompressorError(words, where=request.data.path, hint=hint)
    if counts.sum() < request.train_batch_size:
        words = f"there are {counts.sum()} pictures to train on, fewer than the {request.train_batch_size} of a batch"
        raise CompressorError(words, where=request.data.path, hint="set train_batch_size lower, or add pictures")


def _trained(
    request: Transfer,
    values: np.ndarray,
    labels: np.ndarray,
    classes: int,
    found: Bottlenecks,
    masks: tuple[np.ndarray, np.ndarray],
    job: Job,
) -> tuple[Top, list[TopProgress]]:
    """The top that validates best (the last, without validation pictures), and how it went."""
    train, validation = masks
    history: list[TopProgress] = []
    best: tuple[float, Top] | None = None
    job.progress(0, request.how_many_training_steps, TRAINING)
    steps = train_top(
        values, labels, classes, steps=request.how_many_training_steps, rate=request.learning_rate,
        batch=request.train_batch_size, every=request.eval_step_interval, seed=request.seed, check=job.check,
    )  # fmt: skip
    for told in steps:
        if not np.isfinite(told.loss):
            if best is None:
                raise CompressorError("the loss is not finite from the start", hint="set learning_rate lower")
            break
        accuracy = _accuracy(told.top, found, validation)
        own = told.top.accuracy(found.values[train], found.labels[train])
        history.append(TopProgress(told.step, request.how_many_training_steps, told.loss, own, accuracy))
        job.piece(history[-1])
        job.progress(told.step, request.how_many_training_steps, TRAINING)
        score = float(told.step) if accuracy is None else accuracy
        if best is None or score >= best[0]:
            best = score, told.top
        if job.finishing.is_set():
            break
    assert best is not None
    return best[1], history


def _accuracy(top: Top, found: Bottlenecks, mask: np.ndarray) -> float | None:
    return top.accuracy(found.values[mask], found.labels[mask]) if mask.any() else None


def _misclassified(
    top: Top, found: Bottlenecks, mask: np.ndarray, classes: Sequence[str]
) -> tuple[tuple[str, str, str], ...]:
    places = np.flatnonzero(mask)
    if not len(places):
        return ()
    guessed = top.scores(found.values[places]).argmax(axis=1)
    return tuple(
        (found.sources[at], classes[found.labels[at]], classes[guess])
        for at, guess in zip(places, guessed, strict=True)
        if guess != found.labels[at]
    )


def _write_labels(path: str, classes: Sequence[str]) -> None:
    text = "".join(f"{name}\n" for name in classes)
    pbio.move_over(pbio.bytes_beside([text.encode()], path), path)

"""Prune, retrain with the zeros held, repeat: the run that answers a :class:`.core.training.PruneRetrain`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from compressor_gui.core import pbio, weight_store
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.pruning_plan import Next, Plan, best_point, lacking, meets, wanted_density
from compressor_gui.core.serve import Job
from compressor_gui.core.sizes import sparse_size
from compressor_gui.core.training import (
    Batches,
    Epoch,
    News,
    Point,
    PruneRetrain,
    Retrained,
    checkpoint_file,
    learning_rate,
)
from compressor_gui.engine.models import read_model
from compressor_gui.engine.train import checkpoint
from compressor_gui.engine.train.checkpoint import History
from compressor_gui.engine.train.masks import Masks
from compressor_gui.engine.train.setup import Setup
from compressor_gui.engine.train.trainer import Arrays, Trainer, bfloat16, deterministic

_FINE_TUNING = 0.1
"""The share of the learning rate at which a network goes on that is not rewound."""
_KEPT = ("best/", "rewind/")
"""What a checkpoint holds beside the trainer's state: the step's best weights, and those that are gone back to."""


class _Diverged(Exception):  # noqa: N818 - an outcome, not an error
    """The loss or the metric is no number any more."""


class _Finished(Exception):  # noqa: N818 - a wish, not an error
    """The user wants what there is."""


def prune_retrain(request: PruneRetrain, job: Job) -> Retrained:
    """See PruneRetrain. Raises CompressorError where the data, the graph and the goal don't fit together."""
    request.check()
    with deterministic(), bfloat16(request.mixed_precision) as note:
        run = _Run(request, job)
        run.tell(note)
        return run.with_others()


class _Run:
    """One run, from its checkpoint on if there is one."""

    def __init__(self, request: PruneRetrain, job: Job) -> None:
        self._request, self._job = request, job
        self._began = time.perf_counter()
        self._notes: list[str] = []
        job.progress(0, 0, "reading the model")
        graph = read_model(request.model)
        data = pbio.to_bytes(graph)
        self._file_bytes = len(data)
        self._path = checkpoint_file(request, data)
        self._setup = Setup(request, graph, job)
        self._network, self._task = self._setup.network, self._setup.task
        self._history = History()
        self._kept: Arrays = {}
        self._unsaved: dict[int, Arrays] = {}
        self._steps = 0
        self._setup.team.agree(self._path.stem)
        with self._setup.team.led():
            self._trainer: Trainer = self._setup.trainer()
            self._masks = Masks(request, self._trainer)
            self._plan = Plan(request.goal, request.schedule, request.steps, self._end_density)
            for note in self._setup.notes:
                self.tell(note)

    def tell(self, note: str) -> None:
        """A sentence for the user, once."""
        if note and note not in self._notes:
            self._notes.append(note)
            self._job.piece(News(note=note))

    def with_others(self) -> Retrained:
        """The answer of the worker that decides; any other one trains what that says, and has none."""
        team = self._setup.team
        if not team.chief:
            self._trainer.follow(self._job)
            n = len(self._setup.train), len(self._setup.test)
            return Retrained(self._task.metric, (), 0, (), *n, seconds=self._seconds)
        with team.led():
            answer = self.answer()
        team.dismiss(failed=False)
        return answer

    def answer(self) -> Retrained:
        """Train to the end, or to what ends it earlier."""
        resumed = self._resume()
        stopped = ""
        try:
            self._go()
        except _Finished:
            stopped = "it was stopped; the same request goes on from the last epoch"
            self._add_point(self._point())
            self._tell_point()
        except _Diverged:
            good = len(self._history.points) - 1
            back = f"point {good}" if good else "the model as it came"
            epoch = len(self._history.epochs) + 1
            stopped = f"the loss became NaN (not a number) in epoch {epoch}, so the run went back to {back}"
            self.tell(f"{stopped}; try a smaller learning rate")
        self._save_again()
        points, goal = self._history.points, self._request.goal
        chosen = best_point(goal, points, lower=self._task.lower_is_better)
        return Retrained(
            metric=self._task.metric,
            points=points,
            chosen=chosen,
            epochs=self._history.epochs,
            train_n=len(self._setup.train),
            test_n=len(self._setup.test),
            lacks=lacking(goal, points, chosen),
            stopped=stopped,
            notes=tuple(self._notes),
            skipped=(*self._setup.train.skipped, *self._setup.test.skipped),
            resumed=resumed,
            seconds=self._seconds,
        )

    # -- from step to step --

    def _go(self) -> None:
        if not self._history.points:
            self._job.progress(0, 0, "measuring the model as it came")
            self._add_point(self._point())
            self._tell_point()
            self._masks.of_weights()
        while self._history.dense_done < self._dense_epochs:
            self._train_dense()
        while (step := self._next()) is not None:
            self._steps = self._plan.expected(self._history.points)
            self._masks.aim(1 - self._history.points[step.start].sparsity, step.density)
            if not self._history.step_done:
                self._prune(step)
            self._train_step()

    @property
    def _dense_epochs(self) -> int:
        return self._request.rewind_epoch if self._request.rewind == "weights" else 0

    def _next(self) -> Next | None:
        """The step that is under way, or the one to begin."""
        if self._history.step_done:
            return Next(self._history.density, self._history.start)
        return self._plan.next(self._history.points)

    def _train_dense(self) -> None:
        """One of the epochs before any pruning, whose weights are gone back to after each."""
        epoch = self._train_epoch(0, self._history.dense_done, self._dense_epochs)
        self._history = replace(self._history, dense_done=self._history.dense_done + 1)
        self._keep("rewind/")
        self._end_epoch(epoch)

    def _prune(self, step: Next) -> None:
        points = self._history.points
        if step.start != len(points) - 1:
            self._trainer.weights = self._weights_of(step.start)
            self._masks.of_weights()
        self._masks.begin(len(self._history.epochs) + 1)
        if self._request.rewind == "weights":
            first = {name: self._kept.get(f"rewind/{name}", v) for name, v in self._network.constants.items()}
            self._trainer.weights = first
            self._trainer.reapply_masks()
        self._trainer.restart()
        self._history = replace(self._history, density=step.density, start=step.start, best=None, waited=0)

    def _train_step(self) -> None:
        """The epochs of a step, and its point."""
        epochs, patience = self._request.epochs, self._request.patience
        ready = False
        while not ready:
            epoch = self._train_epoch(len(self._history.points), self._history.step_done, epochs)
            done = self._history.step_done + 1
            if done >= epochs * self._masks.settled:
                self._judge(epoch.value)
            ready = done == epochs or 0 < patience <= self._history.waited
            self._history = replace(self._history, step_done=0 if ready else done)
            self._end_epoch(epoch, point=ready)

    def _judge(self, value: float) -> None:
        """Remember the weights of a step's best epoch, and how long ago it was."""
        best = self._history.best
        sign = -1 if self._task.lower_is_better else 1
        if best is not None and sign * value <= sign * best:
            self._history = replace(self._history, waited=self._history.waited + 1)
            return
        self._history = replace(self._history, best=value, waited=0)
        if self._request.keep == "best":
            self._keep("best/")

    def _load_best(self) -> None:
        best = {
            name.removeprefix("best/"): self._kept.pop(name) for name in list(self._kept) if name.startswith("best/")
        }
        if best:
            self._trainer.weights = best

    # -- an epoch --

    def _train_epoch(self, step: int, done: int, epochs: int) -> Epoch:
        """Train one epoch of a step, of which ``done`` of ``epochs`` are done, and measure."""
        start = last = time.perf_counter()
        batches, number = self._trainer.batches, len(self._history.epochs) + 1
        stops = [at - done * batches for at in self._masks.stops(epochs * batches)] if step else []
        losses: list[float] = []

        def rate(batch: int) -> float:
            if step > 1 and self._request.rewind == "none":
                return self._request.optimizing.learning_rate * _FINE_TUNING
            return learning_rate(self._request.optimizing, (done * batches + batch) / (epochs * batches))

        for trained in self._trainer.epoch(number, rate, stops):
            if not np.isfinite(trained.loss):
                raise _Diverged
            losses += trained.losses.tolist()
            at = len(losses)
            if at in stops:
                self._masks.update((done * batches + at) / (epochs * batches), number, last=at == stops[-1])
            speed = trained.batches * self._trainer.batch / max(time.perf_counter() - last, 1e-9)
            last = time.perf_counter()
            self._tell_batches(Batches(step, number, *self._progress(number, at), trained.loss, rate(at - 1), speed))
            self._job.wait()
            if self._job.finishing.is_set() or self._trainer.finishing:
                raise _Finished
        value = self._trainer.value(self._setup.test, self._job)
        if not np.isfinite(value):
            raise _Diverged
        masks = dict(zip(self._network.pruned, self._trainer.masks, strict=True))
        kept = sum(int(mask.sum()) for mask in masks.values())
        return Epoch(
            step,
            number,
            math.fsum(losses) / len(losses),  # whatever the groups were
            value,
            1 - kept / sum(mask.size for mask in masks.values()),
            rate(batches - 1),
            time.perf_counter() - start,
            {layer.name: float(mask.mean()) for layer, mask in masks.items()},
            metric=self._task.metric,
        )

    def _end_epoch(self, epoch: Epoch, *, point: bool = False) -> None:
        """Write a checkpoint; where that can't be done, the run goes on without. ``point``: the epoch ends a step."""
        self._history = replace(self._history, epochs=(*self._history.epochs, epoch))
        if point:
            self._load_best()
            self._add_point(self._point())
        try:
            checkpoint.write(
                self._path, replace(self._history, seconds=self._seconds), {**self._trainer.state(), **self._kept}
            )
            epoch = replace(epoch, checkpoint=str(self._path))
        except CompressorError as error:
            self.tell(f"no checkpoint could be written, so that a killed run would start again: {error}")
        self._job.piece(News(epoch=epoch))
        if point:
            self._tell_point()

    def _progress(self, epoch: int, batch: int) -> tuple[int, int]:
        """How many batches of the whole run are done, and of how many, as far as it is planned."""
        epochs = self._dense_epochs + max(self._steps, len(self._history.points)) * self._request.epochs
        return (epoch - 1) * self._trainer.batches + batch, epochs * self._trainer.batches

    def _tell_batches(self, batches: Batches) -> None:
        self._job.piece(News(batches=batches))
        step = f"step {batches.step} of {self._steps}" if batches.step else "dense"
        self._job.progress(batches.done, batches.total, f"{step}, epoch {batches.epoch}, loss {batches.loss:.4f}")

    # -- points --

    def _point(self) -> Point:
        """The network as it is now, measured; its weights are stored, but for those of step 0, which the file has."""
        step, weights = len(self._history.points), self._trainer.weights
        counts = {layer: int(np.count_nonzero(weights[layer.weight])) for layer in self._network.pruned}
        point = Point(
            step=step,
            weights=sum(layer.parameters for layer in counts),
            nonzero=sum(counts.values()),
            bytes=sparse_size(self._file_bytes, counts.items()),
            value=self._trainer.value(self._setup.test, self._job),
            densities={layer.name: count / layer.parameters for layer, count in counts.items()},
            sha256=self._stored(step, weights) if step else "",
            epochs=len(self._history.epochs),
            seconds=self._seconds,
            metric=self._task.metric,
        )
        baseline = self._history.points[0].value if step else point.value
        return replace(point, meets=meets(self._request.goal, point, baseline))

    def _add_point(self, point: Point) -> None:
        self._history = replace(self._history, points=(*self._history.points, point))

    def _tell_point(self) -> None:
        self._job.piece(News(point=self._history.points[-1]))

    def _stored(self, index: int, weights: Mapping[str, np.ndarray]) -> str:
        """The SHA-256 of a point's weights; empty where they can't be stored now."""
        typed = {name: value.astype(self._network.dtypes[name]) for name, value in weights.items()}
        try:
            return weight_store.save(typed)
        except CompressorError as error:
            self._unsaved[index] = typed
            self.tell(f"the weights of point {index} are kept in memory, as they can't be stored: {error}")
            return ""

    def _save_again(self) -> None:
        """Store what could not be stored before. Raises CompressorError where it still can't."""
        for index, weights in self._unsaved.items():
            key = weight_store.save(weights)
            points = [replace(p, sha256=key) if at == index else p for at, p in enumerate(self._history.points)]
            self._history = replace(self._history, points=tuple(points))

    def _weights_of(self, index: int) -> Mapping[str, np.ndarray]:
        if index == 0:
            return self._network.constants
        return self._unsaved.get(index) or weight_store.load(self._history.points[index].sha256)

    def _end_density(self) -> float:
        """The density at which the goal is met, as the weights are now."""
        layers = self._network.pruned
        scores = self._masks.scores(len(self._history.epochs) + 1) if self._request.goal.bytes is not None else []

        def fits(count: int) -> bool:
            masks = self._masks.of(count, scores)
            counts = [(layer, int(mask.sum())) for layer, mask in zip(layers, masks, strict=True)]
            return sparse_size(self._file_bytes, counts) <= (self._request.goal.bytes or 0)

        return wanted_density(self._request.goal, sum(layer.parameters for layer in layers), fits)

    # -- state --

    def _keep(self, prefix: str) -> None:
        self._kept |= {prefix + name: value for name, value in self._trainer.weights.items()}

    def _resume(self) -> int:
        """Go on from the checkpoint, if there is one; how many epochs it has."""
        found = checkpoint.read(self._path)
        if found is None:
            return 0
        self._history, arrays = found
        self._trainer.restore(arrays)
        self._kept = {name: value for name, value in arrays.items() if name.startswith(_KEPT)}
        self._began -= self._history.seconds
        epochs = [replace(epoch, checkpoint=str(self._path)) for epoch in self._history.epochs]
        for epoch in epochs:
            self._job.piece(News(epoch=epoch))
        for point in self._history.points:
            self._job.piece(News(point=point))
        return len(epochs)

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._began

"""Several devices or machines that train one network: TensorFlow's own strategies, chosen by a word.

Empty: one device. ``mirrored``: all GPUs of this machine, each with a part of every batch; ``mirrored:N``: N parts of
its processor (for tests: it is not faster). ``multi_worker``: the machines that the variable ``TF_CONFIG`` names, each
with a part of every batch, all asked the same.

TensorFlow's collectives wait until every worker has made the same call on values of the same shape, for ever if one
makes another: a worker that trains groups of two batches waits for one that trains groups of three. So one worker
decides, the *chief*: it runs the whole run, and tells the others before each group what to train (an :class:`Order`).
They train, and do nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.training import MULTI_WORKER, TF_CONFIG, cpu_devices
from compressor_gui.engine.session import TF_ERRORS, brief, tf

_END, _TRAIN, _FAILED = range(3)
_EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Order:
    """Train the batches of an epoch from ``at`` on, one for each of the learning ``rates``; where ``aligned``, take the
    chief's weights, masks and what its optimizer remembers first."""

    epoch: int
    at: int
    rates: np.ndarray
    aligned: bool


class Team:
    """Those that train together: the devices of this process, and with ``multi_worker`` other processes."""

    def __init__(self, strategy: Any = None, *, workers: int = 1, chief: bool = True) -> None:
        self.strategy = strategy or tf.distribute.get_strategy()
        self.workers, self.chief = workers, chief

    def agree(self, question: str) -> None:
        """Raise CompressorError unless all workers have this question, a SHA-256 in hexadecimal digits."""
        if self.workers == 1:
            return
        mine = np.array([int(question[at : at + 8], 16) for at in range(0, 32, 8)], np.int64)
        if (self._sum([mine])[0] != self.workers * mine).any():
            hint = "start the same command with the same model and the same data on each machine"
            raise CompressorError("the workers were not asked the same", where="strategy", hint=hint)

    def share(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The chief's values; each worker gives as many, of the same shapes. Truth values become numbers."""
        sent = [value.astype(np.float32) if value.dtype == bool else value for value in values]
        return self._sum(sent if self.chief else [np.zeros_like(value) for value in sent])

    def tell(self, order: Order) -> bool:
        """Let the other workers hear the chief's order; whether the user of one of them wants what there is."""
        if self.workers == 1:
            return False
        wished = self._head(_TRAIN, order.epoch, order.at, len(order.rates), order.aligned)[-1]
        self.share([order.rates])
        return bool(wished)

    def hear(self, *, finish: bool) -> Order | None:
        """The chief's next order; None where the run has ended. ``finish``: the user wants what there is.

        Raises CompressorError where the run has failed.
        """
        kind, epoch, at, count, aligned, _ = self._head(finish=finish)
        if kind == _FAILED:
            raise CompressorError("the first worker ended with an error", where="strategy", hint="see what it says")
        if kind == _END:
            return None
        return Order(epoch, at, self.share([np.zeros(count, np.float32)])[0], bool(aligned))

    def _head(self, kind: int = 0, *chief: int, finish: bool = False) -> list[int]:
        """What begins an order: numbers of the chief's, and how many others want to finish."""
        mine = np.zeros(6, np.int64)
        mine[: 1 + len(chief)] = kind, *chief
        mine[-1] = finish
        found: list[int] = self._sum([mine])[0].tolist()
        return found

    @contextlib.contextmanager
    def led(self) -> Iterator[None]:
        """What the chief does while the other workers wait for its orders: an error of it ends their waiting too."""
        try:
            yield
        except BaseException:
            self.dismiss(failed=True)
            raise

    def dismiss(self, *, failed: bool) -> None:
        """Tell the other workers that the run has ended. One that is gone does not matter any more."""
        if self.workers > 1 and self.chief:
            with contextlib.suppress(CompressorError):
                self._head(_FAILED if failed else _END)

    def _sum(self, values: list[np.ndarray]) -> list[np.ndarray]:
        try:
            return [value.numpy() for value in self._compiled_sum(values)]
        except TF_ERRORS as error:
            raise lost(error) or CompressorError(f"the workers can't be reached: {brief(error)}") from None

    @tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
    def _compiled_sum(self, values: Any) -> Any:
        def mine(*given: Any) -> Any:
            """What each device adds: the first of a worker the worker's values, its others nothing."""
            context = tf.distribute.get_replica_context()
            here = context.num_replicas_in_sync // self.workers
            first = context.replica_id_in_sync_group % here == 0
            parts = [tf.where(first, value, tf.zeros_like(value)) for value in given]
            return [context.all_reduce("SUM", part) for part in parts]  # one call would join them: of one type only

        found = self.strategy.run(mine, tuple(values))
        return [self.strategy.experimental_local_results(value)[0] for value in found]


def open_team(wanted: str, batch: int) -> Team:
    """The team of that name; it has to be opened before TensorFlow does anything else. With ``multi_worker`` it waits
    until all have come.

    Raises CompressorError where there is none, or a batch can't be cut into as many parts.
    """
    kind, _, _ = wanted.partition(":")
    try:
        if kind == "mirrored":
            count = cpu_devices(wanted)
            team = Team(tf.distribute.MirroredStrategy([f"/cpu:{at}" for at in range(count)] or None))
        elif wanted == MULTI_WORKER:
            team = _open_workers()
        elif not wanted:
            team = Team()
        else:
            hint = f"use mirrored, mirrored:N or {MULTI_WORKER}"
            raise CompressorError(f"there is no strategy {wanted!r}", where="strategy", hint=hint)
    except (*TF_ERRORS, RuntimeError) as error:
        raise CompressorError(f"these devices can't be used: {brief(error)}", where="strategy") from None
    parts = team.strategy.num_replicas_in_sync
    if batch % parts:
        hint = f"choose a multiple of {parts}"
        raise CompressorError(f"a batch of {batch} can't be cut into {parts} equal parts", where="batch", hint=hint)
    return team


def lost(error: BaseException) -> CompressorError | None:
    """The sentence on a worker that ended, where that is what TensorFlow's error is about."""
    text = str(error)
    if "ollective" not in text and "oordination" not in text:
        return None
    task = re.search(r"/job:(\w+)/replica:\d+/task:(\d+)(?![\d/])", text)
    who = f"{task[1]} {task[2]}" if task else "another worker"
    hint = "see what it says, and start all again: the run goes on from its last epoch"
    return CompressorError(f"{who} has ended, or can't be reached any more", where="strategy", hint=hint)


def _open_workers() -> Team:
    """The workers of the variable ``TF_CONFIG``, connected."""
    text = os.environ.get(TF_CONFIG, "")
    try:
        told = json.loads(text)
        cluster, kind, index = told["cluster"], told["task"]["type"], int(told["task"]["index"])
        workers = [(job, at) for job in ("chief", "worker") for at in range(len(cluster.get(job, ())))]
        known = cluster.keys() <= {"chief", "worker"} and (kind, index) in workers
    except (ValueError, TypeError, KeyError, AttributeError):
        known = False
    if not known:
        what = "does not say which workers there are, and which of them this is" if text else "is not set"
        raise CompressorError(f"the variable {TF_CONFIG} {what}", where="strategy", hint=f"set it to {_EXAMPLE}")
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    return Team(strategy, workers=len(workers), chief=(kind, index) == workers[0])

"""What a trunk puts out for each example, computed once and kept on disk: shard by shard, so that a run that is killed
has lost no more than one."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.new_top import pooled
from compressor_gui.core.serve import Job
from compressor_gui.engine.dataset import Batch, Dataset
from compressor_gui.engine.session import TF_ERRORS, LoadedGraph, failure

SHARD = 256
"""Examples in a file."""


@dataclass
class Bottlenecks:
    """``values`` [n, d] float32, ``labels`` [n], ``sources`` [n]; ``cached`` of them were read from disk."""

    values: np.ndarray
    labels: np.ndarray
    sources: list[str]
    cached: int = 0


@dataclass
class Trunk:
    """A graph that is asked for one tensor."""

    loaded: LoadedGraph
    tensor: str
    where: str
    folder: Path
    notes: list[str] = field(default_factory=list)

    def of(
        self,
        dataset: Dataset,
        key: str,
        job: Job,
        change: Callable[[Batch, int], Batch] = lambda batch, _: batch,
        what: str = "computing bottlenecks",
    ) -> Bottlenecks:
        """The bottlenecks of all examples, which ``change`` may distort (it is told how many came before); those under
        ``key`` in the folder are taken from there. ``what`` says what is under way. Raises CompressorError."""
        kept = _Shards(self.folder / key, self.notes)
        cached = kept.n
        seen = 0
        for batch in dataset if kept.n < dataset.count or dataset.count < 0 else ():
            job.progress(seen, max(dataset.count, 0), what)
            if seen + len(batch) > kept.n:
                kept.add(self._run(change(batch, seen)), _labels(batch, dataset), batch.sources)
            seen += len(batch)
        kept.flush()
        values, labels = np.concatenate(kept.values), np.concatenate(kept.labels)
        return Bottlenecks(values, labels, kept.sources, min(cached, len(values)))

    def _run(self, batch: Batch) -> np.ndarray:
        try:
            value = self.loaded.run([self.tensor], batch.feeds)[0]
        except TF_ERRORS as error:
            raise failure(error, "TensorFlow does not run the trunk on these pictures", self.where) from None
        return pooled(batch.counted(np.asarray(value)))


def key_of(graph: ModelGraph, tensor: str, *parts: object) -> str:
    """The name under which bottlenecks are kept: of the graph, the tensor, and all that decides what is fed."""
    return hashlib.sha256(b"\0".join((pbio.to_bytes(graph), tensor.encode(), repr(parts).encode()))).hexdigest()


class _Shards:
    """The files of one key; whole batches, in the order of the examples."""

    def __init__(self, folder: Path, notes: list[str]) -> None:
        self.folder, self.notes = folder, notes
        self.values: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.sources: list[str] = []
        self._flushed = 0
        self._files = 0
        while self._read(self.folder / f"{self._files:05}.npz"):
            self._files += 1
        self._flushed = len(self.values)

    @property
    def n(self) -> int:
        return len(self.sources)

    def _read(self, path: Path) -> bool:
        try:
            with np.load(path, allow_pickle=False) as file:
                values, labels, sources = file["values"], file["labels"], file["sources"].tolist()
        except (OSError, ValueError, KeyError, EOFError):
            return False
        if not len(values) == len(labels) == len(sources):
            return False
        self.values.append(values)
        self.labels.append(labels)
        self.sources += sources
        return True

    def add(self, values: np.ndarray, labels: np.ndarray, sources: list[str]) -> None:
        self.values.append(values)
        self.labels.append(labels)
        self.sources += sources
        if sum(map(len, self.values[self._flushed :])) >= SHARD:
            self.flush()

    def flush(self) -> None:
        """Write what is new; where the disk is full, nothing is lost but the memory of it."""
        values, labels = self.values[self._flushed :], self.labels[self._flushed :]
        if not values or self.notes:
            return
        count = sum(map(len, values))
        packed = io.BytesIO()
        names = np.array(self.sources[self.n - count :])
        np.savez(packed, values=np.concatenate(values), labels=np.concatenate(labels), sources=names)
        target = self.folder / f"{self._files:05}.npz"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            pbio.move_over(pbio.bytes_beside([packed.getvalue()], target), target)
        except (OSError, CompressorError) as error:
            self.notes.append(f"Bottlenecks can't be kept on disk: {error}")
            return
        self._flushed = len(self.values)
        self._files += 1


def _labels(batch: Batch, dataset: Dataset) -> np.ndarray:
    if batch.labels is None:
        hint = "a folder with a sub-folder for each class"
        raise CompressorError("these pictures have no classes", where=dataset.spec.path, hint=hint)
    return np.asarray(batch.labels, np.int64)

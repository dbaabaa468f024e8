"""What is counted while models are run on batches: accuracy, and how near the outputs are to the original's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from compressor_gui.core import metrics
from compressor_gui.core.compare import Comparison
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import Accuracy, Evaluation, Fidelity
from compressor_gui.engine.dataset import Batch
from compressor_gui.engine.runner import Runner, check_names, find_output, scores_of

CONFUSED = 50
"""The most classes of which the confusion is kept."""


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
        if not self.classes:
            self.classes = scores.shape[1]
            self.probabilities = metrics.is_distribution(scores)
        self.labels.append(labels)
        self.ranks.append(metrics.ranks(scores, labels))
        self.predicted.append(metrics.top_k(scores, 1)[:, 0])
        self.loss += float(metrics.cross_entropy(scores, labels, probabilities=self.probabilities).sum())

    def emptied(self) -> _Hits:
        """What the first batch decided, and nothing counted."""
        return _Hits(classes=self.classes, output=self.output, probabilities=self.probabilities)

    def merge(self, other: _Hits) -> _Hits:
        return _Hits(
            self.labels + other.labels,
            self.ranks + other.ranks,
            self.predicted + other.predicted,
            self.loss + other.loss,
            self.classes,
            self.output,
            self.probabilities,
        )

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
    """Everything that is counted, batch by batch. The first batch decides which outputs have the scores."""

    def __init__(self, spec: DataSpec, classes: Sequence[str], output: str) -> None:
        self._spec = spec
        self._classes = classes
        self._output = output
        self._n = 0
        self._hits = (_Hits(), _Hits())
        self._begun = False
        self._taken = ""
        self._scored = True
        self._comparisons: list[_OutputTally] = []

    def add(self, batch: Batch, model: Runner, original: Runner | None) -> None:
        """Run both models on a batch. Raises CompressorError."""
        values = model.run(batch)
        reference = original.run(batch) if original is not None else []
        if not self._begun:
            self._choose(batch, model, values, original, reference)
            self._begun = True
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

    def emptied(self) -> Tally:
        """A new one that has counted nothing, but knows what the first batch decided."""
        tally = Tally(self._spec, self._classes, self._output)
        tally._hits = (self._hits[0].emptied(), self._hits[1].emptied())
        tally._begun, tally._scored, tally._taken = self._begun, self._scored, self._taken
        return tally

    def merge(self, other: Tally) -> Tally:
        """What both have counted, ``other`` second, as a new one. Both have to know the same first batch. All numbers
        are those of one run, but for the order in which floats are summed.
        """
        tally = self.emptied()
        tally._n = self._n + other._n
        tally._hits = (self._hits[0].merge(other._hits[0]), self._hits[1].merge(other._hits[1]))
        pairs = zip(self._comparisons, other._comparisons, strict=False)  # there are none where nothing was counted
        tally._comparisons = [mine.merge(more) for mine, more in pairs] or self._comparisons or other._comparisons
        return tally

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
            if self._output:
                find_output(model.names, self._output, model.ref.path)
            return
        try:
            self._hits[0].output = model.scores(values, self._output, len(self._classes))
            if original is not None:
                self._hits[1].output = original.scores(reference, self._output, len(self._classes))
        except CompressorError:
            if original is None or self._output:
                raise
            self._scored = False
            return
        at = self._hits[0].output
        self._taken = model.names[at]
        check_names(self._spec, self._classes, values[at], self._taken)

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
        return Evaluation(
            accuracy, against, tuple(tally.fidelity for tally in self._comparisons), p, output=self._taken
        )


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

    def merge(self, other: _OutputTally) -> _OutputTally:
        merged = _OutputTally(self._comparison.name)
        merged._comparison = self._comparison.merge(other._comparison)
        merged._kl, merged._rows = self._kl + other._kl, self._rows + other._rows
        merged._distributions = self._distributions and other._distributions
        return merged

    @property
    def fidelity(self) -> Fidelity:
        kl = self._kl / self._rows if self._distributions and self._rows else None
        return Fidelity(self._comparison.check, kl)

"""The ranks that are being chosen, and the curves that they are chosen from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QObject, Signal

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.low_rank import Spectrum
from compressor_gui.core.passes.factorize import Candidate, Factorize, candidates, unfit
from compressor_gui.gui.background import Background


@dataclass(frozen=True)
class Entry:
    """A layer of the graph: what can be split of it, or the reason why nothing can."""

    layer: Layer
    candidate: Candidate | None
    reason: str = ""


def entries(graph: ModelGraph) -> tuple[Entry, ...]:
    """Every layer of a graph, in its order. It looks at all weights, which takes a moment where they are many."""
    found = {candidate.layer.name: candidate for candidate in candidates(graph)}
    return tuple(_entry(graph, layer, found.get(layer.name)) for layer in find_layers(graph))


def _entry(graph: ModelGraph, layer: Layer, candidate: Candidate | None) -> Entry:
    if candidate is None:
        return Entry(layer, None, f"It stays whole, as {unfit(graph, layer)}.")
    if candidate.worth <= 1:
        least = sum(candidate.shape)
        return Entry(layer, None, f"No rank is smaller: it has {layer.parameters:,} weights, rank 1 has {least:,}.")
    return Entry(layer, candidate)


class RankDraft(QObject):
    """The rank of each layer that is to be split; ``changed``: a rank, or another curve is known.

    Curves are worked out in a thread of its own, one layer at a time, the small ones and the one that is looked at
    first: a matrix of 25,088 x 4,096 takes many seconds.
    """

    changed = Signal()

    def __init__(self, graph: ModelGraph, step: Factorize | None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.entries: tuple[Entry, ...] | None = None
        """None until they were looked at."""
        self.spectra: dict[str, Spectrum] = {}
        self.ranks: dict[str, int] = {}
        self._limits: dict[str, float] = {}
        """Layers whose rank follows from an error once their curve is known."""
        self._failed: dict[str, str] = {}
        self._looked_at = ""
        self._background = Background(self)
        self._is_busy = True
        self._background.run(lambda: entries(graph), lambda found: self._found(found, step), _raise)

    # -- choosing ------------------------------------------------------------------------------------------------

    def entry(self, name: str) -> Entry | None:
        """A layer by name."""
        return next((entry for entry in self.entries or () if entry.layer.name == name), None)

    def candidate(self, name: str) -> Candidate | None:
        """What can be split of a layer."""
        entry = self.entry(name)
        return entry.candidate if entry is not None else None

    def reason(self, name: str) -> str:
        """Why a layer has no curve: it can't be split, or not yet; empty where it has one."""
        entry = self.entry(name)
        if entry is None or name in self.spectra:
            return ""
        return entry.reason or self._failed.get(name, "Its singular values are being worked out …")

    def choose(self, name: str, rank: int | None) -> None:
        """Give a layer a rank, at least 1 and below the break-even, or None: it stays whole."""
        self._limits.pop(name, None)
        candidate = self.candidate(name)
        if rank is None or candidate is None:
            self.ranks.pop(name, None)
        else:
            self.ranks[name] = min(max(rank, 1), candidate.worth - 1)
        self.changed.emit()

    def aim(self, error: float, names: Sequence[str] | None = None) -> None:
        """Give layers (None: all) the lowest rank whose weights differ by at most ``error``; where that would not be
        smaller, the layer stays whole. Those without a curve follow when it is known."""
        self._limits.update((entry.layer.name, error) for entry in self.entries or () if entry.candidate is not None
                            and (names is None or entry.layer.name in names))  # fmt: skip
        for name in tuple(self._limits):
            self._follow(name)
        self.changed.emit()

    def clear(self) -> None:
        """Leave every layer whole."""
        self.ranks.clear()
        self._limits.clear()
        self.changed.emit()

    def look_at(self, name: str) -> None:
        """This layer's curve comes next."""
        self._looked_at = name

    @property
    def waits(self) -> bool:
        """Whether ranks still depend on curves that are not known."""
        return self.entries is None or bool(self._limits)

    @property
    def unknown(self) -> int:
        """How many curves are still to come."""
        return sum(1 for entry in self.entries or () if self._is_unknown(entry))

    def step(self) -> Factorize | None:
        """The step that splits the layers; None where none is to be split."""
        ranks = tuple((e.layer.name, float(self.ranks[e.layer.name])) for e in self.entries or ()
                      if e.layer.name in self.ranks)  # fmt: skip
        return Factorize(ranks=ranks) if ranks else None

    def left(self, name: str) -> float:
        """The share of a layer's weights and multiplications that is left."""
        candidate = self.candidate(name)
        return candidate.share(self.ranks[name]) if candidate is not None and name in self.ranks else 1.0

    # -- working out ---------------------------------------------------------------------------------------------

    def _found(self, found: tuple[Entry, ...], step: Factorize | None) -> None:
        self.entries, self._is_busy = found, False
        if step is not None:
            self._take(step)
        self._work()
        self.changed.emit()

    def _take(self, step: Factorize) -> None:
        """Begin with the ranks that a step has."""
        limit = step.limit
        for entry in self.entries or ():
            if entry.candidate is None:
                continue
            rank = next((int(rank) for name, rank in step.ranks if name in entry.layer.names), None)
            if rank is not None and rank < entry.candidate.worth:
                self.ranks[entry.layer.name] = rank
            elif rank is None and limit is not None and not set(entry.layer.names) & set(step.skip):
                self._limits[entry.layer.name] = limit

    def _work(self) -> None:
        """Work out the next curve."""
        todo = [entry.candidate for entry in self.entries or () if entry.candidate and self._is_unknown(entry)]
        if self._is_busy or not todo:
            return
        candidate = min(todo, key=lambda one: (one.layer.name != self._looked_at, _cost(one)))
        name = candidate.layer.name
        self._is_busy = True
        self._background.run(
            lambda: candidate.spectrum,
            lambda spectrum: self._done(name, spectrum),
            lambda error: self._could_not(name, error),
        )

    def _is_unknown(self, entry: Entry) -> bool:
        name = entry.layer.name
        return entry.candidate is not None and name not in self.spectra and name not in self._failed

    def _done(self, name: str, spectrum: Spectrum) -> None:
        self.spectra[name] = spectrum
        self._follow(name)
        self._go_on()

    def _could_not(self, name: str, error: Exception) -> None:
        if not isinstance(error, np.linalg.LinAlgError | MemoryError):
            raise error
        why = "there is not enough memory" if isinstance(error, MemoryError) else "the method does not converge"
        self._failed[name] = f"Its singular values could not be worked out: {why}."
        self._limits.pop(name, None)
        self._go_on()

    def _go_on(self) -> None:
        self._is_busy = False
        self._work()
        self.changed.emit()

    def _follow(self, name: str) -> None:
        """Give a layer the rank that its limit asks for, once its curve is known."""
        candidate, spectrum = self.candidate(name), self.spectra.get(name)
        if candidate is None or spectrum is None or name not in self._limits:
            return
        rank = spectrum.rank_for(self._limits.pop(name))
        if rank < candidate.worth:
            self.ranks[name] = rank
        else:
            self.ranks.pop(name, None)

    def close(self) -> None:
        """Stop; a curve that is being worked out is not waited for."""
        self._background.close(wait=not self._is_busy)


def _cost(candidate: Candidate) -> int:
    """What a curve costs, about: the product of the matrix with itself."""
    inputs, outputs = candidate.shape
    return inputs * outputs * min(inputs, outputs)


def _raise(error: Exception) -> None:
    raise error

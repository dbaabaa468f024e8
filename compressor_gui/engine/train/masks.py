"""The masks of a network under training: how each schedule of pruning makes and changes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compressor_gui.core import pruning
from compressor_gui.core.training import PruneRetrain
from compressor_gui.engine.train.trainer import Trainer

_UPDATES = 40
"""How often the masks of a step are changed while it trains."""
_SETTLED = 0.75
"""The share of a step behind which they change no more."""
_RAMP = 0.5
"""The share of a step in which surgery comes down to its density."""
_BATCHES = 20
"""Batches over which gradients are averaged for a score."""


class Masks:
    """Makes and changes the masks of a trainer, for one step of pruning after the other."""

    def __init__(self, request: PruneRetrain, trainer: Trainer) -> None:
        self._request, self._trainer = request, trainer
        self._size = sum(trainer.network.constants[name].size for name in trainer.network.weights)
        self._gradual = request.schedule in ("cubic", "surgery", "rigl")
        self._start = self._end = 1.0

    @property
    def settled(self) -> float:
        """The share of a step behind which the masks stay as they are."""
        return _SETTLED if self._gradual else 0.0

    def of_weights(self) -> None:
        """Hold the zeros that the weights have."""
        self._trainer.set_masks([weight != 0 for weight in self._trainer.dense])

    def aim(self, start: float, end: float) -> None:
        """The densities between which the step lies."""
        self._start, self._end = start, end

    def begin(self, epoch: int) -> None:
        """What a step does before it trains; ``epoch`` is that from which gradients are taken."""
        if self._request.schedule == "surgery":
            self._trainer.set_masks(self._trainer.masks, hold=False)
        elif self._request.schedule != "cubic":
            self._cut(self._end, epoch)

    def stops(self, batches: int) -> list[int]:
        """Behind how many of a step's ``batches`` the masks change; the last time for good."""
        if not self._gradual:
            return []
        return sorted({max(1, round(batches * _SETTLED * at / _UPDATES)) for at in range(1, _UPDATES + 1)})

    def update(self, progress: float, epoch: int, *, last: bool) -> None:
        """Change the masks, ``progress`` 0..1 into the step."""
        trainer, schedule = self._trainer, self._request.schedule
        if schedule == "cubic":
            self._cut(pruning.cubic(self._start, self._end, 1.0 if last else progress / _SETTLED), epoch)
        elif schedule == "rigl":
            gradients = trainer.gradients(epoch, 1)
            share = pruning.moved_share(progress / _SETTLED)
            trainer.set_masks(pruning.moved(trainer.dense, trainer.masks, gradients, share))
        elif last:
            self._cut(self._end, epoch)
        else:
            count = self._count(pruning.cubic(self._start, self._end, progress / _RAMP))
            trainer.set_masks(pruning.surgery(self.scores(epoch), trainer.masks, count), hold=False)

    def of(self, count: int, scores: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The masks of so many weights."""
        return pruning.kept(scores, count, per_layer=self._request.criterion in pruning.PER_LAYER)

    def scores(self, epoch: int) -> list[np.ndarray]:
        """What each weight is worth now."""
        criterion = self._request.criterion
        gradients = self._trainer.gradients(epoch, _BATCHES) if criterion == "taylor" else ()
        return pruning.scores(criterion, self._trainer.dense, gradients, self._request.seed)

    def _cut(self, density: float, epoch: int) -> None:
        self._trainer.set_masks(self.of(self._count(density), self.scores(epoch)))

    def _count(self, density: float) -> int:
        return round(density * self._size)

"""What a run of retraining has told so far, and where each piece lies on the axis of its curves."""

from __future__ import annotations

from dataclasses import dataclass, field

from compressor_gui.core.channel_pruning import ChannelNews, ChannelPoint
from compressor_gui.core.training import Batches, Epoch, News, Point

_EPOCHS = 12


@dataclass
class Course:
    """The pieces in the order in which they came.

    ``losses`` are (place, loss) of a few batches each, ``epochs`` (place, epoch). A place counts epochs: 2.5 is the
    middle of the third. A run that goes on from a checkpoint tells its epochs and points again; those replace what is
    here. When channels are removed, every step is a training of its own, whose epochs count from 1: they are put behind
    each other.
    """

    losses: list[tuple[float, float]] = field(default_factory=list)
    epochs: list[tuple[float, Epoch]] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    channel_points: list[ChannelPoint] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    last: Batches | None = None
    resumed: int = 0
    """Epochs that were told before any batch was trained: they come from a checkpoint."""
    _offset: float = 0.0
    _dones: list[int] = field(default_factory=list)
    _per_epoch: float = 0.0
    """Batches of an epoch; 0 until one has ended, for no piece says so."""

    def take(self, piece: object) -> None:
        """Add a piece."""
        if isinstance(piece, ChannelNews):
            if piece.point is not None:
                self._take_channels(piece.point)
            piece = piece.news
        if not isinstance(piece, News):
            return
        if piece.batches is not None:
            self._take_batches(piece.batches)
        if piece.epoch is not None:
            self._take_epoch(piece.epoch)
        if piece.point is not None:
            self.points = [*self.points[: piece.point.step], piece.point]
        if piece.note and piece.note not in self.notes:
            self.notes.append(piece.note)

    @property
    def counts_epochs(self) -> bool:
        """Whether places are known in epochs yet; before, they are only told apart."""
        return bool(self.epochs)

    @property
    def expected(self) -> float:
        """The place where the run will end, as far as it is planned."""
        here = max((pairs[-1][0] for pairs in (self.losses, self.epochs) if pairs), default=0.0)
        return here if self.last is None else max(here, self._offset + self.last.total / self._scale)

    @property
    def metric(self) -> str:
        """What the values are: ``top1``, ``sqnr_db`` or ``mse``."""
        told = [epoch.metric for _, epoch in self.epochs[-1:]] + [point.metric for point in self.points[:1]]
        return told[0] if told else "top1"

    @property
    def before(self) -> float | None:
        """The value of the model as it came, once it is measured."""
        if self.channel_points:
            return self.channel_points[0].value
        return self.points[0].value if self.points else None

    @property
    def checkpoint(self) -> str:
        """The newest file with the weights as they are; empty: there is none."""
        return next((epoch.checkpoint for _, epoch in reversed(self.epochs) if epoch.checkpoint), "")

    @property
    def steps(self) -> list[float]:
        """The places where a step of pruning began, but the first."""
        pairs = zip(self.epochs, self.epochs[1:], strict=False)
        return [place for (place, before), (_, after) in pairs if before.step != after.step or after.epoch == 1]

    @property
    def _scale(self) -> float:
        """Batches of an epoch; while the first is under way any number does, as all places are scaled with it."""
        return self._per_epoch or (self.last.total / _EPOCHS if self.last is not None else 1.0) or 1.0

    def _take_channels(self, point: ChannelPoint) -> None:
        self.channel_points = [*self.channel_points[: point.step], point]
        if not point.step:
            self.losses, self.epochs = [], []
        self._offset = self.epochs[-1][0] if self.epochs else 0.0
        self.last, self._dones, self._per_epoch = None, [], 0.0

    def _take_batches(self, batches: Batches) -> None:
        if not self.losses:
            self.resumed = len(self.epochs)
        while self._dones and self._dones[-1] >= batches.done:  # it broke off, and goes on from its checkpoint
            self._dones.pop()
            self.losses.pop()
        self.last = batches
        if batches.epoch > 1 and not self._per_epoch:  # a little too many, until the epoch has ended
            self._per_epoch = batches.done / (batches.epoch - 1)
        self._dones.append(batches.done)
        self.losses.append((self._offset + batches.done / self._scale, batches.loss))

    def _take_epoch(self, epoch: Epoch) -> None:
        place = self._offset + epoch.epoch
        self.epochs = [(at, old) for at, old in self.epochs if at < place]
        self.epochs.append((place, epoch))
        if self.last is not None and self.last.epoch == epoch.epoch:
            self._measure_epoch(self.last.done / epoch.epoch)

    def _measure_epoch(self, batches: float) -> None:
        """An epoch has so many batches: put the losses of this training where they belong."""
        if batches != self._per_epoch:
            self._per_epoch = batches
            start = len(self.losses) - len(self._dones)
            moved = zip(self._dones, self.losses[start:], strict=True)
            self.losses[start:] = [(self._offset + done / batches, loss) for done, (_, loss) in moved]

"""New classes for a trained network: what the engine is asked, and what it answers."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from compressor_gui.core.caution import Cautious, Ran
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError, check_bounds
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.training import Augmenting

Part = Literal["train", "validation", "test"]
_MOST_IN_A_CLASS = 2**27 - 1


def part_of(source: str, validation_percentage: float, testing_percentage: float) -> Part:
    """Which part a picture belongs to, by the SHA-1 of its file's name, so that it stays there when others come.

    What follows ``_nohash_`` in the name does not count: such variants of one picture stay together. It is
    ``retrain.py``'s rule, so that both cut a folder in the same way (there the name is hashed with its path).
    """
    name = re.sub(r"_nohash_.*$", "", Path(source).name)
    number = int(hashlib.sha1(name.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest(), 16)
    percent = number % (_MOST_IN_A_CLASS + 1) * (100 / _MOST_IN_A_CLASS)
    if percent < validation_percentage:
        return "validation"
    return "test" if percent < validation_percentage + testing_percentage else "train"


@dataclass(frozen=True)
class TopProgress:
    """Where training the top has come to: accuracies are fractions (None: that part has no pictures)."""

    step: int
    steps: int
    loss: float
    train: float
    validation: float | None


@dataclass(frozen=True)
class Transferred(Ran):
    """The graph and the labels that were written. ``counts``: pictures of each part. ``test_interval``: 95 %, Wilson.

    ``misclassified``: test pictures with another top class: (file, its class, the class that was found). ``cached``:
    how many of the bottlenecks were on disk already.
    """

    graph: str
    labels: str
    classes: tuple[str, ...]
    counts: dict[str, int]
    bottleneck: str
    train: float
    validation: float | None = None
    test: float | None = None
    test_interval: tuple[float, float] | None = None
    misclassified: tuple[tuple[str, str, str], ...] = ()
    history: tuple[TopProgress, ...] = ()
    skipped: tuple[str, ...] = ()
    cached: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Transfer(Cautious[Transferred]):
    """Train a new top on the pictures of ``data``, a folder with a sub-folder for each class; :class:`TopProgress` come
    as pieces. The names are those of ``retrain.py``'s flags where it has them.

    ``bottleneck``: the tensor at which the trunk ends (empty: what the last fully connected layer reads).
    ``augmenting``: distorted copies, ``copies`` of each training picture beside itself, whose bottlenecks are computed
    and cached too. ``bottleneck_dir``: where they are kept (empty: the user's cache folder).
    """

    name: ClassVar[str] = "transfer"
    answer: ClassVar[type] = Transferred
    piece: ClassVar[type | None] = TopProgress

    model: ModelRef
    data: DataSpec
    output_graph: str
    output_labels: str
    bottleneck: str = ""
    final_tensor_name: str = "final_result"
    how_many_training_steps: int = 4000
    learning_rate: float = 0.01
    train_batch_size: int = 100
    eval_step_interval: int = 100
    validation_percentage: float = 10
    testing_percentage: float = 10
    augmenting: Augmenting = field(default_factory=Augmenting)
    copies: int = 4
    bottleneck_dir: str = ""
    seed: int = 0
    batch: int = 32

    def check(self) -> None:
        """Raise CompressorError where a field has a value that no run can have."""
        numbers = (
            ("how_many_training_steps", self.how_many_training_steps, 1, 10_000_000),
            ("learning_rate", self.learning_rate, 1e-9, 100),
            ("train_batch_size", self.train_batch_size, 1, 1 << 20),
            ("eval_step_interval", self.eval_step_interval, 1, 10_000_000),
            ("validation_percentage", self.validation_percentage, 0, 90),
            ("testing_percentage", self.testing_percentage, 0, 90),
            ("copies", self.copies, 1, 1000),
        )
        check_bounds(numbers)
        if self.validation_percentage + self.testing_percentage > 90:
            raise CompressorError("nothing is left to train on", hint="validation and testing take at most 90 %")
        if not self.final_tensor_name:
            raise CompressorError("final_tensor_name is empty", hint="retrain.py's is final_result")

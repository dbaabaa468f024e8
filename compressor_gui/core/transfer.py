"""New classes for a trained network: what the engine is asked, and what it answers."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from compressor_gui.core import datafiles, pbio
from compressor_gui.core.caution import Cautious, Ran
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError, check_bounds
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes.wording import some
from compressor_gui.core.training import Augmenting

Part = Literal["train", "validation", "test"]
_MOST_HELD_OUT = 90
"""Per cent of the pictures that may be kept from training."""
_MOST_IN_A_CLASS = 2**27 - 1
TRAINING = "training the top"
"""What the job says once all bottlenecks are there."""
FEW = 20
"""Pictures of a class below which retrain.py warns."""


def part_of(source: str, validation_percentage: float, testing_percentage: float) -> Part:
    """Which part a picture belongs to, by the SHA-1 of its file's name, so that it stays there when others come.

    What follows ``_nohash_`` in the name does not count: such variants of one picture stay together. ``retrain.py``
    does the same to the name with its path, so that its parts are others, and change where the folder is moved.
    """
    name = re.sub(r"_nohash_.*$", "", Path(source).name)
    number = int(hashlib.sha1(name.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest(), 16)
    percent = number % (_MOST_IN_A_CLASS + 1) * (100 / _MOST_IN_A_CLASS)
    if percent < validation_percentage:
        return "validation"
    return "test" if percent < validation_percentage + testing_percentage else "train"


@dataclass(frozen=True)
class ClassFolder:
    """A class, and how many of its pictures are for each part."""

    name: str
    train: int = 0
    validation: int = 0
    test: int = 0

    @property
    def count(self) -> int:
        """All of its pictures."""
        return self.train + self.validation + self.test


def look(folder: str, validation_percentage: float, testing_percentage: float) -> tuple[ClassFolder, ...]:
    """The classes of a folder of pictures, in their order; those without a picture too. Raises CompressorError."""
    files = datafiles.picture_files(folder)
    with datafiles.reading(folder, "folder"):
        entries = [entry.name for entry in Path(folder).iterdir() if entry.is_dir() and entry.name[0] != "."]
    numbers, names = datafiles.class_order([name for name in files if name], None)
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*names, *sorted(set(entries) - files.keys()))}
    for sub_folder, number in numbers.items():
        parts = (part_of(str(path), validation_percentage, testing_percentage) for path in files[sub_folder])
        counts[names[number]] = Counter(parts)
    return tuple(ClassFolder(name, **count) for name, count in counts.items())


def too_much(validation_percentage: float, testing_percentage: float) -> str:
    """Why these parts leave too little to train on; empty where they don't."""
    if validation_percentage + testing_percentage <= _MOST_HELD_OUT:
        return ""
    return f"too little is left to train on: validation and testing take at most {_MOST_HELD_OUT} % together"


def objections(classes: Sequence[ClassFolder]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What forbids to train on these pictures, and what speaks against it: sentences for the user."""
    full = [one for one in classes if one.count]
    forbids, against = [], []
    if len(full) < 2:
        forbids.append("at least two sub-folders with pictures are needed, one for each class")
    forbids += [f"all pictures of {one.name!r} validate and test: none is left to train on" for one in full
                if not one.train]  # fmt: skip
    if empty := [one.name for one in classes if not one.count]:
        against.append(f"no picture in {some(empty)}")
    if few := [f"{one.name} ({one.count})" for one in full if one.count < FEW]:
        against.append(f"few pictures: {some(few)}; {FEW} or more of each class are better")
    if full and not sum(one.test for one in full):
        against.append("no picture is for testing: the accuracy will not be known")
    return tuple(forbids), tuple(against)


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
    and cached too. ``bottleneck_dir``: where they are kept (empty: the user's cache folder). ``validation_batch_size``,
    ``test_batch_size``: how many pictures of these parts are used, drawn by ``seed`` once (-1: all).
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
    validation_batch_size: int = -1
    test_batch_size: int = -1
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
            ("validation_percentage", self.validation_percentage, 0, _MOST_HELD_OUT),
            ("testing_percentage", self.testing_percentage, 0, _MOST_HELD_OUT),
            ("copies", self.copies, 1, 1000),
        )
        check_bounds(numbers)
        for name in ("validation_batch_size", "test_batch_size"):
            if (size := getattr(self, name)) < 1 and size != -1:
                raise CompressorError(f"{name} is {size}", hint="give how many pictures, or -1 for all of them")
        if words := too_much(self.validation_percentage, self.testing_percentage):
            raise CompressorError(words)
        if not self.final_tensor_name:
            raise CompressorError("final_tensor_name is empty", hint="retrain.py's is final_result")

    def check_targets(self) -> None:
        """Try, before the work, whether graph and labels can be written.

        Raises CompressorError where one can't be, or would replace the model or the other.
        """
        targets = Path(self.output_graph), Path(self.output_labels)
        for target in targets:
            pbio.refuse_source(target, self.model.path)
            pbio.bytes_beside([], target).unlink()
        if targets[0].resolve() == targets[1].resolve():
            words = "the graph and its labels can't go to one file"
            raise CompressorError(words, where=self.output_labels, hint="choose another name for one")

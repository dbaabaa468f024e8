"""Distillation: a small network taught by a large one. What the engine is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from compressor_gui.core.caution import Cautious, Ran
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError, check_bounds
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.students import STUDENTS
from compressor_gui.core.training import Augmenting, Epoch, Goal, News, Optimizing, PruneRetrain

FROM_NOTHING = Optimizing(learning_rate=2e-3, weight_decay=1e-4)
"""How a student is trained unless something else is said: most have no weights yet."""


@dataclass(frozen=True)
class Distilled(Ran):
    """The student that was written to ``path``. ``metric``: ``top1``, or ``sqnr_db`` against the teacher where there
    are no labels; ``value`` is the student's on the test data, ``before`` what it was before training, ``teacher`` the
    teacher's (None for ``sqnr_db``). ``stopped``: why it ended before all epochs were done (empty: they were)."""

    path: str
    metric: str
    before: float
    value: float
    teacher: float | None
    weights: int
    teacher_weights: int
    size: int
    teacher_size: int
    epochs: tuple[Epoch, ...]
    train_n: int
    test_n: int
    stopped: str = ""
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Measured:
    """What is known before the first epoch: the fields of :class:`Distilled` of the same names."""

    metric: str
    before: float
    teacher: float | None


@dataclass(frozen=True)
class Lesson(News):
    """What happened since the last piece, or what was ``measured`` before the first."""

    measured: Measured | None = None


@dataclass(frozen=True, kw_only=True)
class Distill(Cautious[Distilled]):
    """Train ``student`` (one of :data:`.students.STUDENTS`, or a ``.pb`` file) to answer as ``teacher`` does, and write
    it to ``output``; :class:`Lesson` after :class:`Lesson` comes as a piece.

    The loss is ``labels`` times the cross entropy with the labels, and the rest times ``temperature`` squared times the
    Kullback-Leibler divergence from the teacher's classes, both softened by ``temperature`` (G. Hinton et al.,
    "Distilling the knowledge in a neural network", 2015). ``labels`` 1 is the same training without a teacher: the
    control. ``hints`` are pairs (a teacher's node, a student's) whose batches shall be alike in the same way: the mean
    squared difference of their similarity matrices (F. Tung and G. Mori, "Similarity-preserving knowledge
    distillation", ICCV 2019), ``hint_weight`` times, which asks for no common width.

    ``fresh``: random weights also for a student that has the teacher's. The best epoch by the test data is not chosen:
    the last is, so that the figure is not of a choice.
    """

    name: ClassVar[str] = "distill"
    answer: ClassVar[type] = Distilled
    piece: ClassVar[type | None] = Lesson

    teacher: ModelRef
    student: str
    output: str
    data: DataSpec
    test: DataSpec | None = None
    temperature: float = 4.0
    labels: float = 0.1
    hints: tuple[tuple[str, str], ...] = ()
    hint_weight: float = 10.0
    fresh: bool = False
    epochs: int = 12
    optimizing: Optimizing = FROM_NOTHING
    augmenting: Augmenting = field(default_factory=Augmenting)
    seed: int = 0
    score_output: str = ""

    def training(self, student: ModelRef) -> PruneRetrain:
        """The training of the student's file alone, without pruning: what data and optimizer are checked by."""
        return PruneRetrain(
            model=student, data=self.data, test=self.test, goal=Goal(sparsity=0.0), epochs=self.epochs,
            optimizing=self.optimizing, augmenting=self.augmenting, seed=self.seed, output=self.score_output,
        )  # fmt: skip

    def check(self) -> None:
        """Raise CompressorError where a field has a value that no run can have."""
        self.training(self.teacher).check()
        if self.student not in STUDENTS and not self.student.endswith((".pb", ".pbtxt")):
            hint = f"there are {', '.join(STUDENTS)}, or a .pb file; import freezes a Keras file"
            raise CompressorError(f"there is no student {self.student!r}", hint=hint)
        bounds = (("temperature", 0.1, 100), ("labels", 0, 1), ("hint_weight", 0, 1e6))
        check_bounds((name, getattr(self, name), low, high) for name, low, high in bounds)

"""Weights that are rounded on examples: what the engine is asked, and what it answers.

See :mod:`.reconstruct` for the rounding and :mod:`.passes.equalize_layers` for what goes before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.caution import Cautious, Ran
from compressor_gui.core.data import DataSpec
from compressor_gui.core.measure import ModelRef

ROUNDINGS = ("adaround", "correct_biases")
"""How the errors of rounding are kept small."""


@dataclass(frozen=True)
class RoundedLayer:
    """A layer whose weights were rounded.

    ``sqnr_db``: of what it puts out in 8 bits, all layers before it in 8 bits too, against the float network; in dB as
    in :class:`.jobs.OutputCheck`, over the examples by which it was rounded.
    """

    name: str
    sqnr_db: float


@dataclass(frozen=True)
class Adarounded(Ran):
    """The answer to :class:`Adaround`: ``recipe`` is the request's, completed, as JSON; the arrays that its steps name
    are in the store. ``layers`` in topological order; ``left``: layers that fuse_int8 will round by itself -> why."""

    recipe: str
    layers: tuple[RoundedLayer, ...]
    n: int
    left: dict[str, str]
    skipped: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Adaround(Cautious[Adarounded]):
    """Complete a recipe to the default method: batch norms folded, layers equalized by measured peaks (``equalize``),
    weights rounded on the examples, fused int8 over ranges of the same examples, chosen by ``method``.

    ``rounding``: one of ROUNDINGS; correct_biases leaves the rounding of weights to fuse_int8, and only puts its mean
    error into the biases. A recipe that has fuse_int8 keeps that step's other parameters; steps of this kind from
    before are replaced.
    ``batch``: examples in one run.
    """

    name: ClassVar[str] = "adaround"
    answer: ClassVar[type] = Adarounded

    model: ModelRef
    data: DataSpec
    method: str = "minmax"
    equalize: bool = True
    rounding: str = ROUNDINGS[0]
    batch: int = 1

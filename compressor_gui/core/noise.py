"""The noise of each layer: what the engine is asked, and what it answers.

Original and compressed graph run on the same examples, and each value of the original is compared with the one that
stands for it (:mod:`.counterparts`). A second run of the compressed graph gives every layer the original's values to
read, so that the noise that a layer adds by itself is told from what reaches it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from compressor_gui.core import units
from compressor_gui.core.caution import Cautious, Ran
from compressor_gui.core.data import DataSpec
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.measure import ModelRef


@dataclass(frozen=True)
class NodeNoise:
    """The value that a layer of the original puts out: ``nodes``, the last of which has it, do ``what``
    (``Conv2D · Bias · Relu6``).

    ``sqnr_db``: of its counterpart in the compressed graph, over all examples, in dB as in :class:`.jobs.OutputCheck`.
    ``own_db``: the same where what the layer reads is the original's, in the layer's own format: lower than others
    where the layer itself is to blame. None where the layer could not be run by itself.
    """

    nodes: tuple[str, ...]
    what: str
    sqnr_db: float
    own_db: float | None = None

    @property
    def name(self) -> str:
        """The node whose value is compared."""
        return self.nodes[-1]

    @property
    def layer(self) -> str:
        """The node that the layer begins with."""
        return self.nodes[0]

    def words(self) -> str:
        """``SQNR 23.4 dB (31.2 dB by itself)``."""
        own = "" if self.own_db is None else f" ({decibels(self.own_db)} by itself)"
        return f"SQNR {decibels(self.sqnr_db)}{own}"

    def to_json(self) -> dict[str, Any]:
        """As ``noise --json`` prints it."""
        return {"name": self.name, "layer": self.layer, "what": self.what, "nodes": list(self.nodes),
                "sqnr_db": self.sqnr_db, "own_db": self.own_db}  # fmt: skip


def decibels(value: float) -> str:
    """``31.2 dB``; ``equal`` and ``not finite`` at the ends of the scale."""
    return "not finite" if value <= -EXACT_DB else units.decibel(value)


@dataclass(frozen=True)
class LayerNoiseResult(Ran):
    """The values that have a counterpart, in topological order, and the names of those that have none (they exist
    inside of a fused operation only, or were renamed). ``n``: on how many examples."""

    nodes: tuple[NodeNoise, ...]
    n: int
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    seconds: float = 0.0

    @cached_property
    def by_node(self) -> dict[str, NodeNoise]:
        """Node of the original -> the noise of the layer that it belongs to."""
        return {name: one for one in self.nodes for name in one.nodes}

    @property
    def worst(self) -> tuple[NodeNoise, ...]:
        """The layers that add most noise first; what adds none, last."""
        return tuple(sorted(self.nodes, key=lambda node: node.sqnr_db if node.own_db is None else node.own_db))


@dataclass(frozen=True)
class LayerNoise(Cautious[LayerNoiseResult]):
    """Compare ``compressed`` with ``original`` value by value. ``batch`` examples run at once, fewer where the values
    that are compared would take more than ``activation_bytes``."""

    name: ClassVar[str] = "layer_noise"
    answer: ClassVar[type] = LayerNoiseResult

    original: ModelRef
    compressed: ModelRef
    data: DataSpec
    batch: int = 32
    activation_bytes: int = 256_000_000

"""The noise of each layer: what the engine is asked, and what it answers.

Original and compressed graph run on the same examples, and each value of the original is compared with the one that
stands for it (:mod:`.counterparts`). A second run of the compressed graph gives every layer the original's values to
read, so that the noise that a layer adds by itself is told from what reaches it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from compressor_gui.core.caution import Cautious, Ran
from compressor_gui.core.data import DataSpec
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.measure import ModelRef


@dataclass(frozen=True)
class NodeNoise:
    """One value of the original, that of the node ``name``: the last of ``layer``, which begins with the node of that
    name and does ``what`` (``Conv2D · Bias · Relu6``).

    ``sqnr_db``: of its counterpart in the compressed graph, over all examples, in dB as in :class:`.jobs.OutputCheck`.
    ``own_db``: the same where what the layer reads is the original's, in the layer's own format: lower than others
    where the layer itself is to blame. None where the layer could not be run by itself.
    """

    name: str
    layer: str
    what: str
    sqnr_db: float
    own_db: float | None = None

    @property
    def equal(self) -> bool:
        """Whether the compressed graph computes the very same."""
        return self.sqnr_db >= EXACT_DB


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
    def by_name(self) -> dict[str, NodeNoise]:
        """Node of the original -> its noise."""
        return {node.name: node for node in self.nodes}

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
    batch: int = 8
    activation_bytes: int = 256_000_000

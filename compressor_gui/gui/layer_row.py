"""One layer as the layers table shows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compressor_gui.core import units
from compressor_gui.core.layers import Layer
from compressor_gui.core.memo import by_identity
from compressor_gui.core.stats import Magnitudes
from compressor_gui.gui.bases import Base
from compressor_gui.gui.matched import zeros_in
from compressor_gui.gui.state import State

CURVE = np.linspace(0.0, 1.0, 33)
"""The sparsities at which a thumbnail shows the error."""


@dataclass(frozen=True)
class Row:
    """One layer as the table shows it.

    ``wanted`` is the sparsity that the recipe asks for, None until the weights are counted; ``parts`` what became of
    the layer in the recipe's result: two where it was factorized, none where it is gone; ``fresh`` whether they have
    what the recipe asks for; ``locked`` why the layer can't be pruned.
    """

    layer: Layer
    short: str
    shared: int = 0
    """How many of the short name's first characters the rows around it have too."""
    magnitudes: Magnitudes | None = None
    wanted: float | None = None
    parts: tuple[Layer, ...] = ()
    fresh: bool = False
    locked: str = ""
    base: Base | None = None
    """The layer behind the step that put other weights in place of its own, which are those that the slider moves."""
    losses: tuple[tuple[float, float], ...] = ()
    """What was measured: (sparsity, part of the accuracy or fidelity that is lost)."""

    @property
    def after(self) -> Layer | None:
        """The layer in the recipe's result, the first one where it was factorized."""
        return self.parts[0] if self.parts else None

    @property
    def sparsity(self) -> float | None:
        """The exact share of zeros where it is known, else what the recipe asks for."""
        return zeros_in(self.parts) if self.exact else self.wanted

    @property
    def exact(self) -> bool:
        """Whether :attr:`sparsity` was counted in the result, and not estimated."""
        return self.fresh and bool(self.parts)

    @property
    def least(self) -> float:
        """The share of zeros among the weights that the slider moves; only once they are counted."""
        return (self.base.layer if self.base is not None else self.layer).sparsity

    @property
    def movable(self) -> bool:
        """Whether its slider can be moved."""
        return not self.locked and self.wanted is not None

    @property
    def threshold(self) -> float | None:
        """Weights below it are zero; None while unknown."""
        return None if self.magnitudes is None or self.wanted is None else self.magnitudes.threshold_for(self.wanted)

    @property
    def size(self) -> int:
        """Bytes of the weight in the result, or in the source where there is no result yet."""
        return sum(part.bytes for part in self.parts or (self.layer,))

    @property
    def names(self) -> tuple[str, ...]:
        """The source's nodes that make up the layer."""
        found = (*self.layer.users, self.layer.weight, self.layer.bias, self.layer.batch_norm)
        return tuple(name for name in found if name)

    @property
    def rounded(self) -> bool:
        """Whether the result has more zeros than were asked for, as 8 bits round small weights to zero."""
        if not self.exact or self.after is None or self.after.dequantizer is None or self.wanted is None:
            return False
        return self.after.sparsity - self.wanted >= 0.005

    def sparsity_text(self) -> str:
        """:func:`percent_text` of the sparsity, with tenths where they were asked for."""
        if self.sparsity is None:
            return ""
        return percent_text(self.sparsity, self.exact, abs(round((self.wanted or 0.0) * 100, 6) % 1) > 0)


def percent_text(value: float, exact: bool, tenths: bool = False) -> str:
    """``86 %``, with decimals only where every tenth counts, and a mark where it is estimated."""
    return f"{'' if exact else '≈'}{units.percent(value) if tenths or value >= 0.985 else f'{value * 100:.0f} %'}"


@by_identity
def sensitivity(table: Magnitudes) -> np.ndarray:
    """The relative error at each sparsity of :data:`CURVE`, remembered with the table."""
    return table.error_at(CURVE)


def why_locked(layer: Layer, state: State) -> str:
    """Why a source layer has no slider; empty where it has one."""
    if layer.dequantizer is not None or not layer.tensor.dtype.is_floating:
        return f"It can't be pruned: its weights are stored as {layer.tensor.dtype.label}, not as floats"
    if layer.parameters == 0:
        return "It can't be pruned: it has no weights"
    if state.magnitudes and layer.name not in state.magnitudes:
        return "It can't be pruned: its weights could not be read"
    bases = state.made.bases if state.made else None
    return (bases.late.get(layer.name) or bases.parted.get(layer.name, "")) if bases else ""

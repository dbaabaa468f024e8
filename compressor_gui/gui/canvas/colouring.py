"""What the boxes' colours mean: their amounts on the sequential map, the map's legend, and what a tooltip adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from compressor_gui.core import units
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.measure import Timing
from compressor_gui.core.noise import LayerNoiseResult, NodeNoise
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.canvas.amounts import bytes_of, noises, sparsities, times
from compressor_gui.gui.canvas.painter import Look, Ramp
from compressor_gui.gui.canvas.picture import Picture
from compressor_gui.gui.document import Document
from compressor_gui.gui.measure.measured import Of
from compressor_gui.gui.measure.words import milliseconds
from compressor_gui.gui.state import State

ColorBy = Literal["family", "bytes", "sparsity", "change", "time", "noise", "own_noise"]
COLORS: dict[ColorBy, str] = {
    "family": "Colour by kind",
    "bytes": "Colour by bytes",
    "sparsity": "Colour by sparsity",
    "change": "Colour by change",
    "time": "Colour by time",
    "noise": "Colour by SQNR",
    "own_noise": "Colour by own SQNR",
}
TIPS: dict[ColorBy, str] = {
    "family": "What kind of operation a box is",
    "bytes": "What the constants in a box take",
    "sparsity": "The share of zeros among a layer's weights",
    "change": "What was added, removed and changed",
    "time": "How long a box takes, once latency is measured",
    "noise": "How near a layer's values are to the original's, once the noise of each layer is measured",
    "own_noise": "The noise that a layer adds by itself: the layer that loses the accuracy is the darkest",
}
GOOD_DB = 40.0
"""The pale end of the map: an SQNR from which on nothing is wrong. The strong end is 0 dB."""


def depends_on(what: ColorBy, old: State, new: State) -> bool:
    """Whether the colours may be others after a change of the state."""
    recipe = new.recipe is not old.recipe
    if what == "sparsity":
        return recipe or new.magnitudes is not old.magnitudes or new.made is not old.made
    if what == "time":
        return recipe or new.measured.latencies is not old.measured.latencies
    if what in ("noise", "own_noise"):
        return recipe or new.data is not old.data or new.measured.noises is not old.measured.noises
    return False


def colour(what: ColorBy, pictures: Sequence[Picture], looks: Sequence[Look], document: Document) -> None:
    """Set the colours of pictures that are shown side by side."""
    state = document.state
    tips = noise_tips(pictures, state)
    for side, (picture, look) in enumerate(zip(pictures, looks, strict=True)):
        look.by_change = what == "change"
        look.amounts, look.ramp, look.pale = None, Ramp(), False
        look.tips = tips[side]
        if what == "sparsity":
            look.amounts = sparsities(picture, document, of_source=side == 0 and len(pictures) > 1)
            look.ramp = Ramp("sparsity", "0 %", "100 %")
    if what == "bytes":
        _by_bytes(pictures, looks)
    elif what == "time":
        _by_time(pictures, looks, state)
    elif what in ("noise", "own_noise"):
        _by_noise(pictures, looks, state, own=what == "own_noise")


def _by_bytes(pictures: Sequence[Picture], looks: Sequence[Look]) -> None:
    found = [bytes_of(picture) for picture in pictures]
    most = max((float(np.nanmax(each, initial=0.0)) for each in found), default=0.0)
    for look, each in zip(looks, found, strict=True):
        # The root of the share: areas are compared by their sides, and small layers stay apart from none.
        look.amounts = np.sqrt(each / max(most, 1.0))
        look.ramp = Ramp("bytes of constants", "0", units.size(most))


def _by_time(pictures: Sequence[Picture], looks: Sequence[Look], state: State) -> None:
    spent = [times(picture, _timing(state, side, len(pictures))) for side, picture in enumerate(pictures)]
    slowest = max((float(np.nanmax(each, initial=0.0)) for each in spent), default=0.0)
    for look, each in zip(looks, spent, strict=True):
        look.amounts = each / slowest if slowest else each
        look.ramp = Ramp("time", "0", milliseconds(slowest)) if slowest else Ramp("time: measure latency first")


def _timing(state: State, side: int, count: int) -> Timing | None:
    """What was measured of the graph in a picture; nothing of another file's, or of an earlier recipe's."""
    if state.view == "original" or (side == 0 and count > 1):
        return state.measured.timing(Recipe())
    return state.measured.timing(state.recipe) if state.other is None else None


# -- noise ------------------------------------------------------------------------------------------------------------


def shown_noise(state: State) -> Of[LayerNoiseResult] | None:
    """The noise of what the recipe makes, else the newest, which is stale; None where another file is compared."""
    return state.measured.noise(state.recipe, state.data) if state.other is None else None


def _by_noise(pictures: Sequence[Picture], looks: Sequence[Look], state: State, *, own: bool) -> None:
    found = shown_noise(state)
    what = "own SQNR" if own else "SQNR"
    for picture, look in zip(pictures, looks, strict=True):
        look.amounts = np.full(len(picture.folded.boxes), np.nan)
        look.ramp = Ramp(f"{what}: measure the noise of each layer first")
        if found is None:
            continue
        look.pale = found.is_stale(state.recipe, state.data)
        for box, one in _worst(picture, found.value, state, own=own).items():
            look.amounts[box] = shade(_value(one, own))
        of = f"{what} of an earlier recipe, measure again" if look.pale else what
        look.ramp = Ramp(of, f"{GOOD_DB:.0f} dB", "0 dB")


def _worst(picture: Picture, result: LayerNoiseResult, state: State, *, own: bool) -> dict[int, NodeNoise]:
    """Box -> the noise of the layer in it that has most."""
    found: dict[int, NodeNoise] = {}
    for box, one in noises(picture, result, state.diff):
        if box not in found or _value(one, own) < _value(found[box], own):
            found[box] = one
    return found


def _value(one: NodeNoise, own: bool) -> float:
    if not own:
        return one.sqnr_db
    return EXACT_DB if one.own_db is None else one.own_db


def shade(value: float) -> float:
    """The place of an SQNR in dB on the sequential map: the noisier the stronger."""
    return min(max(1 - value / GOOD_DB, 0.0), 1.0)


def noise_tips(pictures: Sequence[Picture], state: State) -> list[Mapping[int, str]]:
    """For each picture: box -> what was measured of its noise."""
    found = shown_noise(state)
    if found is None:
        return [{} for _ in pictures]
    stale = ", of an earlier recipe" if found.is_stale(state.recipe, state.data) else ""
    return [
        {box: one.words() + stale for box, one in _worst(picture, found.value, state, own=False).items()}
        for picture in pictures
    ]

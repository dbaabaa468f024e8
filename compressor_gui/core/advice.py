"""What to try where a compressed graph says something else than the original: it depends on what was done to it."""

from __future__ import annotations

from collections.abc import Iterable

from compressor_gui.core.passes import Pass

_FEWER = frozenset({"factorize", "prune", "prune_blocks", "prune_n_of_m", "remove_channels"})
_RANGED = frozenset({"freeze_requantization_ranges", "fuse_int8"})
"""Passes with ranges that were measured before."""
_ROUNDED = frozenset({"fuse_int8", "mixed_precision", "quantize_nodes", "quantize_weights", "round_weights"})


def advice(steps: Iterable[Pass]) -> str:
    """The remedies for these steps of a recipe, the likeliest first, as a clause without a full stop."""
    names = {step.name for step in steps}
    remedies = []
    if names & _FEWER:
        remedies.append("retrain" if "weights" not in names else "retrain for longer")
        remedies.append("take less away")
    if names & _RANGED:
        remedies.append("measure the ranges on more of your data")
    if names & _ROUNDED:
        remedies.append("leave the worst layers in float or give them more bits")
    *others, last = remedies or ["switch its steps off one by one to see which does it"]
    return f"{', '.join(others)} or {last}" if others else last

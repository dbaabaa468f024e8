"""What is said of a layer at a rank, and of all that are to be split."""

from __future__ import annotations

from collections.abc import Callable

from compressor_gui.core import units
from compressor_gui.core.low_rank import Spectrum
from compressor_gui.gui.factorize.draft import Entry, RankDraft
from compressor_gui.gui.inspector.section import Fact

_UNKNOWN = "It depends on a size that the graph leaves open"


def layer_facts(entry: Entry, spectrum: Spectrum | None, rank: int | None) -> list[Fact]:
    """A layer, and what becomes of it at a rank (None: it stays whole)."""
    layer, candidate = entry.layer, entry.candidate
    share = candidate.share(rank) if candidate is not None and rank is not None else 1.0
    facts = []
    if candidate is not None and spectrum is not None:
        full = min(candidate.shape)
        facts = [
            Fact("rank", f"{rank:,} of {full:,}" if rank is not None else f"whole, {full:,}",
                 f"Below {candidate.worth:,} two factors are smaller"),
            Fact("energy kept", units.percent(float(spectrum.energy[rank])) if rank is not None else "100 %"),
            Fact("error of the weights", units.percent(float(spectrum.errors[rank])) if rank is not None else "0 %",
                 "‖W − W′‖ / ‖W‖"),
        ]  # fmt: skip
    facts.append(_change("weights", layer.parameters, share, lambda count: f"{round(count):,}"))
    facts.append(_change("bytes", layer.bytes, share, units.size))
    if layer.multiply_adds is not None:
        facts.append(_change("multiply-adds", layer.multiply_adds, share, units.amount))
    return facts


def total_facts(draft: RankDraft) -> list[Fact]:
    """All layers together, those that stay whole among them."""
    layers = [(entry.layer, draft.left(entry.layer.name)) for entry in draft.entries or ()]
    if not layers:
        return []
    able = sum(1 for entry in draft.entries or () if entry.candidate is not None)
    facts = [Fact("layers split", f"{len(draft.ranks)} of {able}", "Of those that can be made smaller")]
    words: tuple[tuple[str, list[int | None], Callable[[float], str]], ...] = (
        ("weights of all layers", [layer.parameters for layer, _ in layers], units.amount),
        ("their bytes", [layer.bytes for layer, _ in layers], units.size),
        ("multiply-adds", [layer.multiply_adds for layer, _ in layers], units.amount),
    )
    for key, amounts, text in words:
        known = [amount for amount in amounts if amount is not None]
        if len(known) < len(amounts):
            facts.append(Fact(key, "unknown", _UNKNOWN))
            continue
        left = sum(amount * share for amount, (_, share) in zip(known, layers, strict=True))
        facts.append(_change(key, sum(known), left / (sum(known) or 1), text))
    return facts


def _change(key: str, before: int, share: float, text: Callable[[float], str]) -> Fact:
    """``941 kB → 278 kB, −70.5 %``."""
    if share == 1:
        return Fact(key, text(before))
    return Fact(key, f"{text(before)} → {text(before * share)}, −{units.percent(1 - share)}")

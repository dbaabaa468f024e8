"""What is said of a weight, and of where a node came from, line by line."""

from __future__ import annotations

from compressor_gui.core import units
from compressor_gui.core.diff import NodeDiff
from compressor_gui.core.layers import Layer
from compressor_gui.core.stats import Magnitudes, WeightSummary
from compressor_gui.core.values import Tensor
from compressor_gui.gui.document import State
from compressor_gui.gui.inspector.section import Fact
from compressor_gui.gui.inspector.subject import Subject, scope_of


def layer_facts(
    layer: Layer,
    after: Layer | None,
    counted: WeightSummary | None,
    table: Magnitudes | None,
    wanted: float | None,
    exact: bool,
) -> list[Fact]:
    """A layer before and after; counts of the result are exact where ``exact``, else estimated from ``wanted``.

    ``counted`` is the layer's summary, None until it is known: counting is not for the window's thread.
    """
    facts = [Fact("weights", f"{layer.parameters:,}")]
    if wanted is not None and table is not None:
        facts = [_kept(layer, after if exact else None, wanted)]
        threshold = table.threshold_for(wanted)
        facts.append(Fact("threshold", f"|w| < {units.number(threshold)}", f"weights below {threshold!r} become zero"))
        sparsity = after.sparsity if exact and after else wanted
        mark = "" if exact else "≈"
        facts.append(Fact("zeros", f"{mark}{units.percent(sparsity)}", estimated=not exact))
    if counted is not None:
        facts += _moments(counted)
    changed = after is not None and after.bytes != layer.bytes
    stored = f"{units.size(layer.bytes)} → {units.size(after.bytes)}" if changed and after else units.size(layer.bytes)
    facts.append(Fact("bytes", stored, f"{layer.bytes:,} bytes before the recipe"))
    types = [found.tensor.dtype.label for found in (layer, after) if found is not None]
    if layer.dequantizer is not None or len(set(types)) > 1:
        facts.append(Fact("stored as", " → ".join(dict.fromkeys(types))))
    if layer.multiply_adds is not None:
        facts.append(Fact("multiply-adds", units.amount(layer.multiply_adds), f"{layer.multiply_adds:,} for one input"))
    return facts


def _kept(layer: Layer, after: Layer | None, wanted: float) -> Fact:
    if after is not None:
        kept, mark = after.nonzero, ""
    else:
        kept, mark = round(layer.parameters * (1 - wanted)), "≈"
    value = f"{layer.parameters:,} → {mark}{kept:,}" if kept != layer.parameters else f"{layer.parameters:,}"
    return Fact("weights", value, f"{layer.parameters:,} weights, {mark}{kept:,} of them not zero", bool(mark))


def tensor_facts(tensor: Tensor, counted: WeightSummary | None, role: str) -> list[Fact]:
    """A constant that is no layer's weight."""
    facts = [
        *([Fact("role", role)] if role else []),
        Fact("values", f"{tensor.array.size:,}"),
        Fact("type", tensor.dtype.label),
        Fact("bytes", units.size(tensor.nbytes)),
    ]
    return facts if counted is None else [*facts, *_moments(counted)]


def _moments(counted: WeightSummary) -> list[Fact]:
    facts = [
        Fact("range", f"{units.number(counted.minimum)} … {units.number(counted.maximum)}"),
        Fact("mean ± std", f"{units.number(counted.mean)} ± {units.number(counted.std)}"),
    ]
    if counted.not_finite:
        facts.append(Fact("not finite", f"{counted.not_finite:,}", "NaN or infinite; never pruned", color="error"))
    return facts


def history(state: State, subject: Subject) -> list[Fact]:
    """Where the subject's node came from: its source nodes, then the steps that touched it."""
    if state.diff is None:
        return []
    entries = [entry for entry in (subject.entry, *_weight_entries(state, subject)) if entry is not None]
    scope = scope_of(state.source.graph) if state.source else ""
    facts: dict[str, Fact] = {}
    for entry in entries:
        for origin in entry.origins[:6]:
            facts.setdefault(origin, Fact(origin.removeprefix(scope), "original", origin))
        if len(entry.origins) > 6:
            facts.setdefault("more", Fact("", f"and {len(entry.origins) - 6} more", "\n".join(entry.origins)))
    rows = list(facts.values())
    seen: set[int] = set()
    for entry in entries:
        for index in entry.steps:
            if index in seen or index >= len(state.recipe.steps):
                continue
            seen.add(index)
            what = _what_happened(entry, subject, state.recipe.steps[index].transform.name)
            tip = f"{entry.change}: {', '.join(entry.details)}" if entry.details else entry.reason or entry.change
            rows.append(Fact(state.recipe.steps[index].transform.name, f"step {index + 1} · {what}", tip))
    if not seen and state.other is not None and subject.entry is not None:
        rows.append(Fact(state.other.path.name, subject.entry.change))
    return rows


def _weight_entries(state: State, subject: Subject) -> list[NodeDiff]:
    """Those of the weight that was there, and of the one that it became."""
    found = {layer.weight for layer in (subject.layer, subject.layer_after) if layer is not None} - {subject.name}
    by_name = state.diff.by_name if state.diff is not None else {}
    return [by_name[name] for name in sorted(found) if name in by_name]


def _what_happened(entry: NodeDiff, subject: Subject, step: str) -> str:
    if step == "prune" and subject.layer is not None and subject.layer_after is not None:
        lost = subject.layer.nonzero - subject.layer_after.nonzero
        return f"−{units.percent(lost / max(subject.layer.parameters, 1))} of weights"
    if entry.change == "changed" and entry.bytes_before != entry.bytes_after:
        return f"{units.size(entry.bytes_before)} → {units.size(entry.bytes_after)}"
    return entry.change

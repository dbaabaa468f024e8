"""What is said of a weight, and of where a node came from, line by line."""

from __future__ import annotations

from collections.abc import Callable

from compressor_gui.core import units
from compressor_gui.core.diff import NodeDiff
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.noise import decibels
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.stored_weights import Weights
from compressor_gui.core.stats import Magnitudes, WeightSummary
from compressor_gui.core.values import Tensor
from compressor_gui.gui.canvas.colouring import shown_noise
from compressor_gui.gui.inspector.section import Fact
from compressor_gui.gui.inspector.subject import Subject, scope_of
from compressor_gui.gui.matched import zeros_in
from compressor_gui.gui.measure.part import dimmed
from compressor_gui.gui.state import State


def layer_facts(
    layer: Layer,
    parts: tuple[Layer, ...],
    counted: WeightSummary | None,
    table: Magnitudes | None,
    wanted: float | None,
    exact: bool,
) -> list[Fact]:
    """A layer before and after (``parts``: what became of it, none where it is gone or unknown); counts of the result
    are exact where ``exact``, else estimated from ``wanted``.

    ``counted`` is the layer's summary, None until it is known: counting is not for the window's thread.
    """
    facts = [Fact("weights", f"{layer.parameters:,}")]
    known = parts if exact else ()
    if wanted is not None and table is not None:
        facts = [_kept(layer, known, wanted)]
        threshold = table.threshold_for(wanted)
        facts.append(Fact("threshold", f"|w| < {units.number(threshold)}", f"weights below {threshold!r} become zero"))
        facts.append(_zeros(known, wanted))
    elif known and zeros_in(known):
        facts.append(_zeros(known, layer.sparsity))
    if counted is not None:
        facts += _moments(counted, parts[0].summary if len(parts) == 1 else counted, exact)
    stored = sum(part.bytes for part in parts or (layer,))
    facts.append(_amount("bytes", layer.bytes, stored, units.size, "bytes"))
    types = [found.tensor.dtype.label for found in (layer, *parts[:1])]
    if layer.dequantizer is not None or len(set(types)) > 1:
        facts.append(Fact("stored as", " → ".join(dict.fromkeys(types))))
    if layer.multiply_adds is not None:
        after = [part.multiply_adds for part in parts or (layer,)]
        total = sum(amount for amount in after if amount is not None) if None not in after else layer.multiply_adds
        facts.append(_amount("multiply-adds", layer.multiply_adds, total, units.amount, "for one input"))
    return facts


def _amount(key: str, before: int, after: int, text: Callable[[int], str], what: str) -> Fact:
    if before == after:
        return Fact(key, text(before), f"{before:,} {what}")
    return Fact(key, f"{text(before)} → {text(after)}", f"{before:,} {what} before the recipe, {after:,} after it")


def _kept(layer: Layer, parts: tuple[Layer, ...], wanted: float) -> Fact:
    if parts:
        kept, mark = sum(part.nonzero for part in parts), ""
    else:
        kept, mark = round(layer.parameters * (1 - wanted)), "≈"
    value = f"{layer.parameters:,} → {mark}{kept:,}" if kept != layer.parameters else f"{layer.parameters:,}"
    return Fact("weights", value, f"{layer.parameters:,} weights, {mark}{kept:,} of them not zero", bool(mark))


def _zeros(parts: tuple[Layer, ...], wanted: float) -> Fact:
    """The share of zeros, and apart from it what was pruned, where 8 bits round more weights to zero."""
    if not parts:
        return Fact("zeros", f"≈{units.percent(wanted)}", estimated=True)
    sparsity, total = zeros_in(parts), sum(part.parameters for part in parts)
    zeros = units.percent(sparsity)
    if parts[0].dequantizer is not None and sparsity - wanted >= 0.005:
        pruned = units.percent(wanted)
        tip = f"pruned {pruned}, {zeros} zero after 8 bits, which round the smallest weights to zero"
        return Fact("zeros", f"pruned {pruned}, {zeros} in 8 bits", tip)
    return Fact("zeros", zeros, f"{round(sparsity * total):,} of {total:,} weights are zero")


def noise_facts(state: State, subject: Subject) -> list[Fact]:
    """The SQNR of the layer that a node belongs to or came from, pale where it is of an earlier recipe."""
    found = shown_noise(state)
    if found is None:
        return []
    names = (subject.name, *(subject.entry.origins if subject.entry is not None else ()))
    one = next((found.value.by_node[name] for name in names if name in found.value.by_node), None)
    if one is None:
        return []
    tip = f"{one.what}: how near its values are to the original's"
    facts = [Fact("SQNR", decibels(one.sqnr_db), tip)]
    if one.own_db is not None:
        facts.append(Fact("by itself", decibels(one.own_db), "The SQNR that it would have if it read the original's"))
    return dimmed(facts, found, state)


def tensor_facts(tensor: Tensor, counted: WeightSummary | None, role: str) -> list[Fact]:
    """A constant that is no layer's weight."""
    facts = [
        *([Fact("role", role)] if role else []),
        Fact("values", f"{tensor.array.size:,}"),
        Fact("type", tensor.dtype.label),
        Fact("bytes", units.size(tensor.nbytes)),
    ]
    return facts if counted is None else [*facts, *_moments(counted)]


def _moments(counted: WeightSummary, after: WeightSummary | None = None, exact: bool = True) -> list[Fact]:
    """Range, mean and deviation, before → after where they differ; what is not ``exact`` any more is dimmed."""
    after = after or counted
    spans = [f"{units.number(each.minimum)} … {units.number(each.maximum)}" for each in (counted, after)]
    facts = [
        _change("range", spans[0], spans[1], exact),
        _change("mean", units.number(counted.mean), units.number(after.mean), exact),
        _change("std", units.number(counted.std), units.number(after.std), exact),
    ]
    if counted.not_finite:
        facts.append(Fact("not finite", f"{counted.not_finite:,}", "NaN or infinite; never pruned", color="error"))
    return facts


def _change(key: str, before: str, after: str, exact: bool) -> Fact:
    if before == after:
        return Fact(key, before)
    return Fact(key, f"{before} → {after}", f"{key}: {before} before the recipe, {after} after it", not exact)


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
            what = _what_happened(entry, state, subject, index)
            tip = f"{entry.change}: {', '.join(entry.details)}" if entry.details else entry.reason or entry.change
            rows.append(Fact(state.recipe.steps[index].transform.name, f"step {index + 1} · {what}", tip))
    if not seen and state.other is not None and subject.entry is not None:
        rows.append(Fact(state.other.path.name, subject.entry.change))
    return rows


def _weight_entries(state: State, subject: Subject) -> list[NodeDiff]:
    """Those of the weight that was there, and of the one that it became."""
    found = {layer.weight for layer in (subject.layer, *subject.parts) if layer is not None} - {subject.name}
    by_name = state.diff.by_name if state.diff is not None else {}
    return [by_name[name] for name in sorted(found) if name in by_name]


def _what_happened(entry: NodeDiff, state: State, subject: Subject, index: int) -> str:
    """What a step did to a node: the weights that it took, the bytes of the layer's weight, or those of the node."""
    layer, after = subject.layer, subject.layer_after
    if layer is not None and (zeros := _zeros_by(entry, state, index)) is not None:
        return zeros
    if layer is not None and after is not None and entry.name in (layer.weight, after.weight):
        if layer.bytes != after.bytes and index == entry.steps[-1]:
            return f"weight now {units.size(after.bytes)}"
    elif entry.change == "changed" and entry.bytes_before != entry.bytes_after:
        return f"node now {units.size(entry.bytes_after)}"
    return entry.change


def _zeros_by(entry: NodeDiff, state: State, index: int) -> str | None:
    """How many of a layer's weights a step set to zero, or replaced; None where it is no such step."""
    stage = next((stage for stage in state.made.replay.stages if stage.index == index), None) if state.made else None
    if stage is None or not isinstance(stage.transform, Prune | Weights):
        return None
    names = (entry.name, *entry.origins)
    before, after = (
        next((layer for layer in find_layers(graph) if layer.weight in names), None)
        for graph in (stage.before, stage.after)
    )
    if before is None or after is None:
        return None
    if isinstance(stage.transform, Weights):
        return f"replaced, {units.percent(after.sparsity)} zero"
    return f"−{units.percent(max(after.sparsity - before.sparsity, 0.0))} of weights"

"""Values, targets and times of a run in a few words."""

from __future__ import annotations

import math

from compressor_gui.core import units
from compressor_gui.core.channel_pruning import ChannelPoint, ChannelsPruned, PruneChannels
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.metrics import wilson_interval
from compressor_gui.core.training import Goal, Point, PruneRetrain, Retrained
from compressor_gui.gui.measure.words import POOR_DB

METRICS = {"top1": "top-1", "sqnr_db": "SQNR", "mse": "mean squared error"}


def value_words(metric: str, value: float) -> str:
    """``98.7 %``, ``31.2 dB``, ``0.0123``."""
    if metric == "top1":
        return f"{100 * value:.2f} %"  # two digits: a tenth of a point is what runs are compared by
    return units.decibel(value) if metric == "sqnr_db" else f"{value:.4g}"


def change_words(metric: str, value: float, before: float) -> str:
    """How far a value is from another one: ``−0.4 points``; empty where nothing differs."""
    difference = value - before
    if metric == "top1":
        difference *= 100
    if abs(difference) < 5e-3:
        return ""
    sign, unit = "+" if difference > 0 else "−", {"top1": " points", "sqnr_db": " dB"}.get(metric, "")
    return f"{sign}{abs(difference):.2f}{unit}"


def verdict(found: Retrained | ChannelsPruned, most_lost: float | None = None) -> tuple[str, bool]:
    """What a run's answer is worth, as a sentence beside the model as it came; and whether it is worse than chance
    explains: the old top-1 lies above the new one's 95 % interval, unless ``most_lost`` says how far it may fall."""
    value, before = found.point.value, found.points[0].value
    words = f"{METRICS[found.metric]} {value_words(found.metric, value)}"
    change = change_words(found.metric, value, before) if found.point.step else ""
    if change and math.isfinite(before) and (found.metric != "sqnr_db" or before < EXACT_DB):
        words += f", was {value_words(found.metric, before)} ({change})"
    if found.metric == "sqnr_db":
        return f"{words}.", value < POOR_DB
    if found.metric != "top1" or not found.test_n:
        return f"{words}.", False
    low, high = wilson_interval(round(value * found.test_n), found.test_n)
    fallen = before > high and most_lost is None
    on = units.counted(found.test_n, "test example")
    interval = f"95 % interval {100 * low:.1f} … {100 * high:.1f} % on {on}"
    return f"{words}; {interval}{': more is lost than chance explains' if fallen else ''}.", fallen


def goal_words(request: PruneRetrain | PruneChannels) -> str:
    """``10× fewer weights``, ``1.5× as fast``."""
    if isinstance(request, PruneChannels):
        return (
            f"{request.speedup:g}× as fast" if request.speedup else f"{units.percent(request.share or 0)} of channels"
        )
    goal: Goal = request.goal
    if goal.ratio is not None:
        return f"{goal.ratio:g}× fewer weights"
    if goal.sparsity is not None:
        return f"{units.percent(goal.sparsity)} zeros"
    if goal.bytes is not None:
        return f"{units.size(goal.bytes)} as CSR"
    return f"at most {100 * (goal.max_drop or 0):g} points lost"


def point_words(point: Point | ChannelPoint) -> str:
    """``12.1×``, ``1.5× as fast``, ``as it came``."""
    if not point.step:
        return "as it came"
    return f"{point.ratio:.3g}×" if isinstance(point, Point) else f"{point.speedup:.3g}× as fast"


def time_words(seconds: float) -> str:
    """``42 s``, ``3 min``, ``1 h 20 min``."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"

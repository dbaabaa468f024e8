"""Results in a few words, as the status line and the panel say them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from compressor_gui.core import units
from compressor_gui.core.measure import Accuracy, Evaluation, LatencyResult

POOR_DB = 15.0
"""Below it an output is so noisy that it is said in the colour of warnings."""


def data_name(path: str) -> str:
    """``photos``, but ``fashion/t10k-images-idx3-ubyte.gz``: such files have the same name in every folder."""
    found = Path(path)
    return found.name or path if found.is_dir() else f"{found.parent.name}/{found.name}".lstrip("/")


def change(
    before: Accuracy | None, after: Accuracy, part: Callable[[Accuracy], float | None], words: Callable[[float], str]
) -> str:
    """``99.5 → 99.1 %``, or one number where there is only one."""
    new, old = part(after), part(before) if before else None
    assert new is not None
    return words(new) if old is None else f"{words(old).removesuffix(' %')} → {words(new)}"


def headline(result: Evaluation) -> str:
    """``top-1 99.5 → 99.1 %``; without labels how often the class is the original's, or the worst output's SQNR."""
    after, before = result.accuracy, result.against
    if after.top1 is not None:
        return f"top-1 {change(before, after, lambda a: a.top1, units.percent)}"
    agreement = [f.check.argmax_agreement for f in result.fidelity if f.check.argmax_agreement is not None]
    if agreement:
        return f"same class {units.percent(min(agreement))}"
    return f"SQNR {min(f.check.sqnr_db for f in result.fidelity):.0f} dB" if result.fidelity else ""


def milliseconds(value: float) -> str:
    """``3.4 ms``, ``0.082 ms``."""
    return f"{value:.3f} ms" if value < 0.1 else f"{value:.2f} ms" if value < 1 else f"{value:.1f} ms"


def latency_words(result: LatencyResult) -> str:
    """``latency 8.9 → 3.4 ms``."""
    after = milliseconds(result.model.median_ms)
    before = f"{milliseconds(result.against.median_ms).removesuffix(' ms')} → " if result.against else ""
    return f"latency {before}{after}"

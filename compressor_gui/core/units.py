"""Numbers for people: three significant digits, with units."""

from __future__ import annotations

import math

EXACT_DB = 999.0
"""The SQNR of an output that is equal to the original's: JSON has no infinity. Its negative is the worst."""


def _three(value: float) -> str:
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits}f}"


def _scaled(value: float, units: tuple[str, ...]) -> str:
    for unit in units[:-1]:
        if abs(value) < 999.5:
            return f"{_three(value)} {unit}"
        value /= 1000
    return f"{_three(value)} {units[-1]}"


def size(count: int | float) -> str:
    """Bytes in decimal units: ``1.11 MB``."""
    return f"{count:.0f} B" if abs(count) < 999.5 else _scaled(count / 1000, ("kB", "MB", "GB"))


def amount(count: int | float) -> str:
    """A count: ``750 k``, ``25.5 M``."""
    return f"{count:.0f}" if abs(count) < 999.5 else _scaled(count / 1000, ("k", "M", "G"))


def counted(count: int, word: str) -> str:
    """A count and what is counted: ``1 example``, ``1,000 examples``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def percent(fraction: float) -> str:
    """A fraction as a percentage: ``86.2 %``; never 100 % for what is only nearly all."""
    value = fraction * 100
    if 99.95 <= value < 100:
        return f"{math.floor(value * 100) / 100:.2f} %"
    return f"{value:.0f} %" if value in (0, 100) else f"{value:.1f} %"


def number(value: float) -> str:
    """A plain number with three significant digits: ``-0.0717``."""
    return f"{value:.3g}"


def decibel(value: float | None) -> str:
    """A signal-to-noise ratio in dB; None, and EXACT_DB, mean that nothing differs."""
    return "equal" if value is None or value >= EXACT_DB else f"{value:.1f} dB"


def shape(dims: tuple[int, ...]) -> str:
    """A shape: ``3×3×64×128``."""
    return "×".join(str(d) for d in dims) or "scalar"

"""Names in the sentences of passes: in notes, and in the hints of errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def some(names: Sequence[str]) -> str:
    """Names in a sentence: up to three of them, or two and how many more there are."""
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """The hint for a name that is not among ``known``: those that are like it, ``otherwise`` where none is."""
    close = difflib.get_close_matches(name, sorted(known), 3)
    return f"did you mean {' or '.join(close)}?" if close else otherwise

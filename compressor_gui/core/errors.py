"""The one error that users see: what is wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable


class CompressorError(Exception):
    """Bad input, said in one sentence.

    ``what`` states the fault, ``where`` the file, node or field it was found in, ``hint`` the way out. The command
    line prints ``str(error)`` and ends with exit code 2; the window shows the three parts in a dialog.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.what}{hint}"


def check_bounds(numbers: Iterable[tuple[str, float, float, float]]) -> None:
    """Raise CompressorError for the first of (name, number, least, greatest) that is not within its bounds."""
    for name, number, low, high in numbers:
        if not low <= number <= high:
            raise CompressorError(f"{name} is {number:g}", hint=f"it is {low:g} to {high:g}")


class GraphError(CompressorError):
    """A graph that can't be read or breaks a rule that every graph must keep."""


class PassError(CompressorError):
    """A pass whose parameters are wrong, or that can't be applied to this graph."""


class RecipeError(CompressorError):
    """A recipe file that can't be read or replayed."""

"""Undo: the recipes that there were, and a cursor."""

from __future__ import annotations

from dataclasses import dataclass, replace

from compressor_gui.core.recipe import Recipe


@dataclass(frozen=True)
class History:
    """A tuple of recipes and the place of the current one; every method gives another history.

    ``merge`` names the change that is going on (the frames of one drag): changes in a row with the same name are one
    step. ``before`` is the history that the newest change was made in, for when that change turns out to fail.
    """

    recipes: tuple[Recipe, ...] = (Recipe(),)
    cursor: int = 0
    merge: str = ""
    before: History | None = None

    @property
    def current(self) -> Recipe:
        """The recipe at the cursor."""
        return self.recipes[self.cursor]

    @property
    def can_undo(self) -> bool:
        """Whether there is a recipe before."""
        return self.cursor > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a recipe behind."""
        return self.cursor + 1 < len(self.recipes)

    def changed(self, recipe: Recipe, merge: str = "") -> History:
        """With ``recipe`` as the current one; what could be redone is gone."""
        goes_on = bool(merge) and merge == self.merge
        cursor = self.cursor if goes_on else self.cursor + 1
        before = self.before if goes_on else replace(self, merge="", before=None)
        return History((*self.recipes[:cursor], recipe), cursor, merge, before)

    def rested(self) -> History:
        """The next change is a step of its own."""
        return replace(self, merge="")

    def undone(self) -> History:
        """One recipe back."""
        return replace(self, cursor=max(self.cursor - 1, 0), merge="", before=None)

    def redone(self) -> History:
        """One recipe forward."""
        return replace(self, cursor=min(self.cursor + 1, len(self.recipes) - 1), merge="", before=None)

    def taken_back(self) -> History:
        """Without the newest change, as if it had never been made: what could be redone before it still can be."""
        return self.before or replace(self.undone(), recipes=self.recipes[: max(self.cursor, 1)])

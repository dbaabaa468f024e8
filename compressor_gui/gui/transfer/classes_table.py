"""The classes of a folder of pictures: how many pictures each has for each part, and how many were right at last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractItemView

from compressor_gui.core.transfer import FEW, ClassFolder, Transferred
from compressor_gui.gui.tables import WordsTable
from compressor_gui.gui.theme import Theme

_HEADS = ("class", "pictures", "train", "validate", "test")


class ClassesTable(WordsTable):
    """One row a class, few pictures in the colour of warnings."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(len(_HEADS), "The classes of the folder")
        self._theme = theme
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def show_classes(self, classes: Sequence[ClassFolder], found: Transferred | None) -> None:
        """Show them; ``found``: the test's pictures that came out right stand beside how many there are."""
        wrong = Counter(own for _, own, _ in found.misclassified) if found is not None else None
        heads = (*_HEADS[:-1], "right in the test" if wrong is not None else _HEADS[-1])
        self.show_heads(heads, len(classes))
        for row, one in enumerate(classes):
            numbers = [f"{number:,}" if number else "–" for number in (one.count, one.train, one.validation, one.test)]
            if wrong is not None and one.test:
                numbers[-1] = f"{one.test - wrong[one.name]:,} of {one.test:,}"
            items = self.fill(row, (one.name, *numbers), _mistakes(one, found))
            if one.count < FEW:
                items[1].setForeground(self._theme.color("warning"))


def _mistakes(one: ClassFolder, found: Transferred | None) -> str:
    """The test's pictures of a class that came out wrong, a line each."""
    if found is None:
        return f"fewer than {FEW} pictures" if one.count < FEW else ""
    wrong = [f"{source}: taken for {other}" for source, own, other in found.misclassified if own == one.name]
    return "\n".join(wrong[:20])

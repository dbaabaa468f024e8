"""What the graph panel is to draw: which graphs, compared how, folded how."""

from __future__ import annotations

from dataclasses import dataclass

from compressor_gui.core.diff import Diff
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.regions import Region
from compressor_gui.gui.canvas import picture as pictures
from compressor_gui.gui.canvas.picture import Folding, Picture
from compressor_gui.gui.state import View


@dataclass(frozen=True, eq=False)
class Subject:
    """What is to be drawn. Two are the same when they mean the very same objects, folded alike."""

    view: View
    before: ModelGraph
    after: ModelGraph | None
    diff: Diff | None
    regions: tuple[Region, ...]
    """The 8-bit regions of ``after``."""
    folding: Folding

    def is_same(self, other: Subject | None) -> bool:
        """Whether a picture of the other one is a picture of this."""
        return other is not None and (self.view, self.folding) == (other.view, other.folding) and all(
            mine is theirs
            for mine, theirs in ((self.before, other.before), (self.after, other.after), (self.diff, other.diff))
        )  # fmt: skip

    def draw(self) -> tuple[Picture, ...]:
        """The pictures, from left to right. Takes a while: not for the GUI thread."""
        if self.after is None or self.diff is None:
            return (pictures.single(self.before, self.folding),)
        if self.view == "compare":
            return pictures.pair(self.before, self.after, self.diff, self.folding, self.regions)
        if self.view == "overlay":
            return (pictures.overlay(self.before, self.after, self.diff, self.folding, self.regions),)
        return (pictures.single(self.after, self.folding, self.diff, found=self.regions),)

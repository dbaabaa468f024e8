"""8-bit regions and float islands (:mod:`.regions`) as boxes of a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from compressor_gui.core import units
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.regions import BORDERS, Island, Region, islands


@dataclass(frozen=True)
class RegionBoxes:
    """Boxes that pass 8-bit tensors among them: how many nodes, and how many of these turn from or to float."""

    boxes: tuple[int, ...]
    nodes: int
    borders: int
    number: int

    @property
    def caption(self) -> str:
        """``8-bit region 4 · 17 nodes · 1 border``."""
        nodes, borders = units.counted(self.nodes, "node"), units.counted(self.borders, "border")
        return f"8-bit region {self.number} · {nodes} · {borders}"


@dataclass(frozen=True, eq=False)
class IslandBoxes:
    """The boxes of a float island."""

    boxes: tuple[int, ...]
    island: Island

    @property
    def caption(self) -> str:
        """``float · no 8-bit kernel for Mul with a broadcast``."""
        return f"float · {self.island.reason}"


def cost_words(island: Island) -> str:
    """``2 conversions of 1.79 M numbers for each example``."""
    count = units.counted(len(island.conversions), "conversion")
    if island.elements is None:
        return count
    return f"{count} of {units.amount(island.elements)} numbers for each example"


def region_boxes(graph: ModelGraph, found: Iterable[Region], owner: Mapping[str, int]) -> tuple[RegionBoxes, ...]:
    """The regions that are more than one box. ``owner``: node -> its box."""
    made: list[RegionBoxes] = []
    for region in found:
        boxes = tuple(sorted({owner[name] for name in region.nodes}))
        if len(boxes) > 1:
            borders = sum(graph[name].op in BORDERS for name in region.nodes)
            made.append(RegionBoxes(boxes, len(region.nodes), borders, len(made) + 1))
    return tuple(made)


def island_boxes(found: Iterable[Region], owner: Mapping[str, int]) -> tuple[IslandBoxes, ...]:
    """The islands that have boxes of their own, and do not lie in a closed scope with what is 8-bit."""
    found = tuple(found)
    taken = {owner[name] for region in found for name in region.nodes}
    made = (IslandBoxes(tuple(sorted({owner[name] for name in one.nodes} - taken)), one) for one in islands(found))
    return tuple(one for one in made if one.boxes)

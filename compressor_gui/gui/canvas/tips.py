"""What tooltips on the canvas say."""

from __future__ import annotations

from compressor_gui.core import units
from compressor_gui.core.region_boxes import cost_words
from compressor_gui.gui.canvas.picture import Picture

_MOST = 12
"""Nodes of a box that are named."""


def box_tip(picture: Picture, box: int, measured: str = "") -> str:
    """A box: its name, bytes, what was ``measured``, why it is a float island, and its nodes."""
    found = picture.folded.boxes[box]
    size = f"{units.size(found.bytes)} of constants" if found.bytes else ""
    island = next((one.island for one in picture.folded.islands if box in one.boxes), None)
    float_words = f"Float between 8 bits: {island.reason}\nIt costs {cost_words(island)}" if island is not None else ""
    shown = [f"{picture.graph[node].op}  {node}" for node in found.members[:_MOST]]
    more = [f"and {len(found.members) - _MOST} more"] if len(found.members) > _MOST else []
    return "\n".join(filter(None, [found.id.rstrip("/"), size, measured, float_words, *shown, *more]))


def edge_tip(picture: Picture, edge: int) -> str:
    """An edge: what flows along it, and the names of the tensors."""
    return "\n".join([picture.tensor_text(edge), *picture.folded.tensors[edge]])

"""The devices that a graph was trained on are forgotten, as by the Graph Transform Tool's transform of this name
(tensorflow/tools/graph_transforms/remove_device.cc)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.base import Pass, PassResult
from compressor_gui.core.passes.set_device import place


@dataclass(frozen=True)
class RemoveDevice(Pass):
    """A graph that names a GPU does not load where there is none."""

    name: ClassVar[str] = "remove_device"
    title: ClassVar[str] = "Remove devices"
    summary: ClassVar[str] = "Forgets on which devices the nodes shall run, so that TensorFlow chooses."

    def run(self, graph: ModelGraph) -> PassResult:
        """Clear the device of every node."""
        return place(graph, "")

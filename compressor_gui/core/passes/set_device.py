"""Where nodes run is written into the graph, as by the Graph Transform Tool's ``set_device`` and ``remove_device``
(tensorflow/tools/graph_transforms/set_device.cc, remove_device.cc)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.base import Pass, PassResult, param, result

_DEVICE = re.compile(
    r"(/job:[A-Za-z]\w*)?(/replica:(\d+|\*))?(/task:(\d+|\*))?(/device:[A-Za-z]\w*:(\d+|\*)|/(cpu|gpu):(\d+|\*))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class SetDevice(Pass):
    """As in the tool; what is no device for TensorFlow is refused."""

    name: ClassVar[str] = "set_device"
    title: ClassVar[str] = "Set the device"
    summary: ClassVar[str] = "Writes into the nodes on which device they run."

    device: str = param("/device:CPU:0", "text", "Device", "As TensorFlow writes it; empty: TensorFlow chooses.")
    if_default: bool = param(False, "flag", "Where none is set", "Nodes that have a device keep it.")

    def run(self, graph: ModelGraph) -> PassResult:
        """Set the device of all nodes, or of those that have none. Raises PassError for what is no device."""
        if not _DEVICE.fullmatch(self.device):
            raise PassError(f"{self.device!r} is no device", where=self.name, hint="write, for example, /device:CPU:0")
        return place(graph, self.device, self.if_default)


def place(graph: ModelGraph, device: str, if_default: bool = False) -> PassResult:
    """``graph`` with ``device`` in all its nodes, or in those that have none."""
    edit = Edit(graph)
    for node in graph.nodes:
        if node.device != device and not (if_default and node.device):
            edit.replace(node.with_(device=device))
    return result(edit)

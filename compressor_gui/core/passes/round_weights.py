"""Weights rounded to a few levels but kept as floats, as the Graph Transform Tool's ``round_weights`` does
(tensorflow/tools/graph_transforms/round_weights.cc): the file keeps its size, and compresses well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.already import refuse_if_idle
from compressor_gui.core.passes.base import Pass, PassResult, param, result
from compressor_gui.core.passes.weights import choose
from compressor_gui.core.values import Tensor


@dataclass(frozen=True)
class RoundWeights(Pass):
    """Split the range of each float constant into ``num_steps`` even buckets; a weight becomes its bucket's middle.

    In a constant that holds zeros, weights in zero's bucket become zero, so that pruned weights stay pruned.
    """

    name: ClassVar[str] = "round_weights"
    title: ClassVar[str] = "Rounded weights"
    summary: ClassVar[str] = "Round weights to a few levels, kept as floats: the file compresses well."

    num_steps: int = param(256, "integer", "Levels", "How many values a constant may have.", minimum=2)
    minimum_size: int = param(
        1024, "integer", "Minimum size", "Constants of fewer elements are left as they are.", minimum=0
    )

    def run(self, graph: ModelGraph) -> PassResult:
        """Round every floating point constant of at least ``minimum_size`` elements."""
        chosen, notes = choose(graph, self.minimum_size)
        edit = Edit(graph)
        for node, tensor in chosen:
            value = Tensor(tensor.dtype, _round(tensor.array, self.num_steps))
            if value != tensor:
                edit.replace(node.with_(attrs={"value": value}))
        return refuse_if_idle(result(edit, notes), graph, self.name)


def _round(array: np.ndarray, steps: int) -> np.ndarray:
    low, high = float(array.min()), float(array.max())
    width = (high - low) / steps
    bucket = np.floor((array.astype(np.float64) - low) / width)
    rounded = low + width * (np.minimum(bucket, steps - 1) + 0.5)
    zeros = array == 0
    if zeros.any():
        rounded[bucket == bucket[zeros][0]] = 0
    return rounded.astype(array.dtype)

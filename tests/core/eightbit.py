"""What the tests of ``quantize_nodes`` share."""

from __future__ import annotations

import numpy as np

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from tests.support import applied


def eightbit(model: ModelGraph, **values: object) -> ModelGraph:
    return applied(QuantizeNodes(**values), model).graph  # type: ignore[arg-type]


def ops(model: ModelGraph) -> set[str]:
    return {n.op for n in model.nodes}


def value(model: ModelGraph, name: str) -> np.ndarray:
    tensor = model[name].tensor
    assert tensor is not None
    return tensor.array

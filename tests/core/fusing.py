"""What the tests of ``fuse_int8`` share."""

from __future__ import annotations

from collections import Counter

import numpy as np

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.base import PassResult
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from tests.support import applied

CONV, SUM = "QuantizedConv2DWithBiasAndReluAndRequantize", "QuantizedConv2DWithBiasSumAndReluAndRequantize"
DEPTHWISE = "QuantizedDepthwiseConv2DWithBiasAndReluAndRequantize"


def fused(model: ModelGraph, low: float = -3.0, high: float = 5.0, **values: object) -> PassResult:
    """Everything that has a kernel in int8, all ranges the same."""
    values = {"everywhere": True, **values}
    wanted = FuseInt8(**values).activations(model)  # type: ignore[arg-type]
    return applied(FuseInt8(dict.fromkeys(wanted, (low, high)), **values), model)  # type: ignore[arg-type]


def ops(model: ModelGraph) -> Counter[str]:
    """How often each operation is there, constants and the placeholder not counted."""
    return Counter(made.op for made in model.nodes if made.op not in ("Const", "Placeholder"))


def value(model: ModelGraph, name: str, index: int) -> np.ndarray:
    found = model.constant(model[name], index)
    assert found is not None
    return found.array

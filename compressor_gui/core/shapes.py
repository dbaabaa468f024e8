"""Static shapes, as far as numpy-free arithmetic on the placeholders' shapes gets."""

from __future__ import annotations

from collections.abc import Mapping

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.memo import by_identity
from compressor_gui.core.values import Shape


@by_identity
def infer_shapes(graph: ModelGraph) -> Mapping[str, tuple[Shape, ...]]:
    """Node -> the shapes of its outputs, those that are unknown as ``Shape(None)``."""
    return {}

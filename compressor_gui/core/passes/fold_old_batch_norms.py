"""Batch normalisation in one operation is folded, as by the Graph Transform Tool's transform of this name
(tensorflow/tools/graph_transforms/fold_old_batch_norms.cc)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.base import Pass, PassResult
from compressor_gui.core.passes.fold_batch_norms import fold_norms


@dataclass(frozen=True)
class FoldOldBatchNorms(Pass):
    """The part of ``fold_batch_norms`` that the tool has under this name, and also FusedBatchNormV2 and V3.

    Multiplications and additions per channel in the same chain, before or behind the norm, are folded with it.
    """

    name: ClassVar[str] = "fold_old_batch_norms"
    title: ClassVar[str] = "Fold old batch norms"
    summary: ClassVar[str] = (
        "Folds batch norms that are one operation, BatchNormWithGlobalNormalization or FusedBatchNorm; "
        "fold_batch_norms does these too."
    )

    def run(self, graph: ModelGraph) -> PassResult:
        """As ``fold_batch_norms``, which see."""
        return fold_norms(graph, single_ops_only=True)

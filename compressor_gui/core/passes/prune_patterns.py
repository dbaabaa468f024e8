"""Zeros in patterns that hardware with sparse kernels can use: whole blocks, or N of every M weights.

Stock TensorFlow computes such layers as dense ones; what they save there is bytes, once the file is compressed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.passes.base import Amounts, Names, Pass, PassResult, param, result
from compressor_gui.core.passes.wording import did_you_mean, some
from compressor_gui.core.values import Tensor


@dataclass(frozen=True)
class PruneNOfM(Pass):
    """Keep the ``n`` largest of every ``m`` weights that stand one behind the other along the input channels of an
    output channel (2:4 is what NVIDIA's sparse tensor cores read; A. Zhou et al., "Learning N:M fine-grained structured
    sparse neural networks from scratch", ICLR 2021). A layer whose input channels are no multiple of ``m`` stays."""

    name: ClassVar[str] = "prune_n_of_m"
    title: ClassVar[str] = "Prune N:M"
    summary: ClassVar[str] = (
        "Keeps the n largest of every m weights along the input channels, as 2:4 sparse kernels ask."
    )

    n: int = param(2, "integer", "Kept", "How many of every m weights stay.", minimum=1)
    m: int = param(4, "integer", "Of", "How many weights make a group.", minimum=2, maximum=64)
    skip: Names = param((), "names", "Skip", "Layers left as they are.")

    def run(self, graph: ModelGraph) -> PassResult:
        """Prune. Raises PassError where n is not below m, or a layer is named that does not exist."""
        if self.n >= self.m:
            raise PassError(
                f"n={self.n} must be below m={self.m}", where=self.name, hint="2 of 4 is what hardware reads"
            )
        _check_names(graph, self.skip, self.name)
        return _rewrite(graph, self.skip, self._pruned, f"their input channels are no multiple of {self.m}")

    def _pruned(self, _layer: Layer, matrix: np.ndarray) -> np.ndarray | None:
        inputs, outputs = matrix.shape[-2:]
        if inputs % self.m:
            return None
        groups = np.abs(matrix.reshape(-1, self.m, outputs))
        rank = np.argsort(np.argsort(-groups, axis=1, kind="stable"), axis=1, kind="stable")
        return np.where((rank < self.n).reshape(matrix.shape), matrix, 0)


@dataclass(frozen=True)
class PruneBlocks(Pass):
    """Zero the blocks of ``rows`` input channels by ``columns`` output channels whose squares have the smallest mean
    (S. Narang et al., "Block-sparse recurrent neural networks", 2017). Blocks at the edge may be smaller."""

    name: ClassVar[str] = "prune_blocks"
    title: ClassVar[str] = "Prune blocks"
    summary: ClassVar[str] = "Sets whole blocks of weights to zero, the smallest first, as block-sparse kernels ask."

    sparsity: float = param(
        0.5, "number", "Sparsity", "Share of a layer's blocks that are zero afterwards.", minimum=0, maximum=1
    )
    rows: int = param(4, "integer", "Rows", "Input channels of a block.", minimum=1, maximum=1024)
    columns: int = param(4, "integer", "Columns", "Output channels of a block.", minimum=1, maximum=1024)
    layers: Amounts = param(
        (), "amounts", "Sparsity by layer", "A layer's own sparsity, instead of the one above.", minimum=0, maximum=1
    )
    skip: Names = param((), "names", "Skip", "Layers left as they are.")

    def run(self, graph: ModelGraph) -> PassResult:
        """Prune. Raises PassError where a layer is named that does not exist."""
        _check_names(graph, (*self.skip, *dict(self.layers)), self.name)
        return _rewrite(graph, self.skip, self._pruned, "")

    def _pruned(self, layer: Layer, matrix: np.ndarray) -> np.ndarray:
        own = dict(self.layers)
        sparsity = next((own[name] for name in layer.names if name in own), self.sparsity)
        inputs, outputs = matrix.shape[-2:]
        squares = np.square(matrix.reshape(-1, inputs, outputs), dtype=np.float64)
        starts = np.arange(0, inputs, self.rows), np.arange(0, outputs, self.columns)
        sizes = [np.diff(np.append(start, end)) for start, end in zip(starts, (inputs, outputs), strict=True)]
        sums = np.add.reduceat(np.add.reduceat(squares, starts[0], axis=1), starts[1], axis=2)
        means = sums / (sizes[0][:, None] * sizes[1])
        kept = np.ones(means.size, bool)
        kept[np.argsort(means.reshape(-1), kind="stable")[: math.floor(sparsity * means.size)]] = False
        mask = kept.reshape(means.shape).repeat(sizes[0], axis=1).repeat(sizes[1], axis=2)
        return np.where(mask.reshape(matrix.shape), matrix, 0)


def _check_names(graph: ModelGraph, names: Names, where: str) -> None:
    known = {name for layer in find_layers(graph) for name in layer.names}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known, "name an operation or its weight constant")
            raise PassError(f"there is no layer {name!r}", where=where, hint=hint)


def _rewrite(
    graph: ModelGraph, skip: Names, pruned: Callable[[Layer, np.ndarray], np.ndarray | None], unfit: str
) -> PassResult:
    """Replace the weights of Conv2D and MatMul layers, given as [..., inputs, outputs], by what ``pruned`` makes of
    them; None: a layer is ``unfit``."""
    edit = Edit(graph)
    left: dict[str, list[str]] = {}
    for layer in find_layers(graph):
        if set(layer.names) & set(skip):
            continue
        array = layer.tensor.array
        if layer.op not in ("Conv2D", "MatMul"):
            left.setdefault(f"{layer.op} has no such kernels", []).append(layer.short)
            continue
        if not layer.tensor.dtype.is_floating or not np.isfinite(array).all():
            left.setdefault("the weights are not finite floats", []).append(layer.short)
            continue
        turned = layer.op == "MatMul" and layer.channel_axis == 0
        found = pruned(layer, array.T if turned else array)
        if found is None:
            left.setdefault(unfit, []).append(layer.short)
        elif not np.array_equal(found, array.T if turned else array):
            values = np.ascontiguousarray(found.T if turned else found).astype(array.dtype)
            edit.replace(edit[layer.weight].with_(attrs={"value": Tensor(layer.tensor.dtype, values)}))
    return result(edit, [f"Left alone, as {reason}: {some(names)}." for reason, names in left.items()])

"""A layer as two of low rank, with fewer weights and multiplications (E. Denton et al., "Exploiting linear structure
within convolutional networks for efficient evaluation", NIPS 2014; X. Zhang et al., 2015)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.low_rank import LowRank, Spectrum
from compressor_gui.core.memo import by_identity
from compressor_gui.core.passes.base import Amounts, Names, Pass, PassResult, param, result
from compressor_gui.core.passes.unread import remove_unread
from compressor_gui.core.passes.wording import did_you_mean, some
from compressor_gui.core.values import Attr, Tensor


class Candidate(NamedTuple):
    """A layer that can be factorized: its weights are a matrix of ``shape`` (inputs of one output, outputs), and only
    below rank ``worth`` do two factors have fewer weights."""

    layer: Layer
    shape: tuple[int, int]
    worth: int

    @property
    def spectrum(self) -> Spectrum:
        """What each rank keeps: slow for large weights, and remembered as long as they are."""
        return _spectrum(self.layer.tensor)

    def share(self, rank: int) -> float:
        """What two factors have of the layer's weights, and cost of its multiplications: 1 or more is no gain."""
        inputs, outputs = self.shape
        return rank * (inputs + outputs) / (inputs * outputs)

    def factors(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """The factors, float32 [inputs, rank] and [rank, outputs], whose product is the closest of this rank."""
        left, right = _decompose(self.layer.tensor).factors(rank)
        turned = self.layer.op == "MatMul" and self.layer.channel_axis == 0
        return (right.T, left.T) if turned else (left, right)


@dataclass(frozen=True)
class Factorize(Pass):
    """Split MatMul and Conv2D layers: the first keeps the window and has ``rank`` outputs, the second is a MatMul or
    1x1 convolution that keeps the layer's name, so that its bias and readers stay.

    The rank of a layer is the lowest whose weights differ by at most ``error`` of their norm, or keep at least
    ``energy`` of its square (1 - error^2), or what ``ranks`` says. A layer whose factors would not be
    smaller is left alone. The last bits of the factors depend on the machine's linear algebra library.
    """

    name: ClassVar[str] = "factorize"
    title: ClassVar[str] = "Factorize"
    summary: ClassVar[str] = "Makes two layers of low rank of one: fewer weights and multiplications."

    error: float | None = param(
        None,
        "number",
        "Error",
        "The largest difference of a layer's weights, as a share of their norm; for all layers.",
        minimum=0,
        maximum=1,
    )
    energy: float | None = param(
        None,
        "number",
        "Energy",
        "The least share of a layer's squared weights that is kept, instead of an error; for all layers.",
        minimum=0,
        maximum=1,
    )
    ranks: Amounts = param((), "amounts", "Rank by layer", "A layer's own rank.", minimum=1)
    skip: Names = param((), "names", "Skip", "Layers left as they are.")

    def run(self, graph: ModelGraph) -> PassResult:
        """Split. Raises PassError where nothing is asked, a layer does not exist, or a rank is too high for it."""
        if self.error is None and self.energy is None and not self.ranks:
            raise PassError("no layer is to be split", where=self.name, hint="give an error, or ranks by layer")
        if self.error is not None and self.energy is not None:
            raise PassError("both an error and an energy are given", where=self.name, hint="energy = 1 - error * error")
        error = self.limit
        layers = find_layers(graph)
        ranks = self._named(layers)
        edit = Edit(graph)
        large = []
        for candidate in candidates(graph):
            rank = ranks.get(candidate.layer.weight)
            if rank is None and error is not None and not set(candidate.layer.names) & set(self.skip):
                rank = candidate.spectrum.rank_for(error)
            if rank is None:
                continue
            if rank >= candidate.worth:
                large.append(f"{candidate.layer.short} (rank {rank} of {min(candidate.shape)})")
                continue
            _split(graph, edit, candidate, rank)
        notes = [f"Left alone, as two factors would not be smaller: {some(large)}."] if large else []
        known = {candidate.layer.weight for candidate in candidates(graph)}
        strange = [name for name in ranks if name not in known]
        if strange:
            notes.append(f"Left alone, not a MatMul or Conv2D with float weights of its own: {some(strange)}.")
        return result(edit, notes)

    @property
    def limit(self) -> float | None:
        """The largest error of a layer's weights, from ``error`` or ``energy``; None where neither is given."""
        return self.error if self.energy is None else math.sqrt(1 - self.energy)

    def _named(self, layers: tuple[Layer, ...]) -> dict[str, int]:
        """Weight constant -> the rank that its layer is given."""
        known = {name: layer for layer in layers for name in layer.names}
        for name in (*dict(self.ranks), *self.skip):
            if name not in known:
                hint = did_you_mean(name, known, "name an operation or its weight constant")
                raise PassError(f"there is no layer {name!r}", where=self.name, hint=hint)
        return {known[name].weight: int(rank) for name, rank in self.ranks}


def candidates(graph: ModelGraph) -> tuple[Candidate, ...]:
    """The layers that :class:`Factorize` can split, in the order of the graph."""
    return tuple(_candidate(graph, layer) for layer in find_layers(graph) if not unfit(graph, layer))


def unfit(graph: ModelGraph, layer: Layer) -> str:
    """Why :class:`Factorize` can't split a layer, to follow "as"; empty where it can."""
    node = graph[layer.name]
    if node.op not in ("Conv2D", "MatMul"):
        return f"{node.op} is not the product with one matrix"
    if layer.dequantizer is not None or not layer.tensor.dtype.is_floating:
        return "its weights are not stored as floats"
    if len(layer.users) > 1 or len(graph.consumers[layer.weight]) > 1 or graph.is_output(layer.weight):
        return "something else reads its weights too"
    if node.data_refs[1].name != layer.weight or node.flag("transpose_a"):
        return "its weights are not its plain second input"
    return "" if np.isfinite(layer.tensor.array).all() else "some of its weights are not finite"


def _candidate(graph: ModelGraph, layer: Layer) -> Candidate:
    shape = layer.tensor.array.shape
    outputs = shape[0] if graph[layer.name].flag("transpose_b") else shape[-1]
    inputs = layer.parameters // outputs
    return Candidate(layer, (inputs, outputs), -(-inputs * outputs // (inputs + outputs)))


@by_identity
def _spectrum(tensor: Tensor) -> Spectrum:
    return Spectrum.of(_matrix(tensor))


@by_identity
def _decompose(tensor: Tensor) -> LowRank:
    return LowRank.of(_matrix(tensor))


def _matrix(tensor: Tensor) -> np.ndarray:
    return tensor.array.reshape(-1, tensor.array.shape[-1])


def _split(graph: ModelGraph, edit: Edit, candidate: Candidate, rank: int) -> None:
    """Put two layers in the place of one."""
    layer, node = candidate.layer, graph[candidate.layer.name]
    left, right = candidate.factors(rank)
    kernel = layer.tensor.array.shape
    second: Mapping[str, Attr | None] = {"transpose_b": False, "_output_shapes": None}
    if node.op == "Conv2D":
        left, right = left.reshape(*kernel[:-1], rank), right.reshape(1, 1, rank, -1)
        one = (1, 1, 1, 1)
        second = {"strides": one, "dilations": one, "padding": b"VALID", "explicit_paddings": None,
                  "_output_shapes": None}  # fmt: skip
    constants = []
    for suffix, values in (("first", left), ("second", right)):
        made = Node.const(edit.free_name(f"{layer.weight}_{suffix}"), Tensor.of(values, layer.tensor.dtype))
        constants.append(edit.add(made, [layer.weight], before=node.name))
    first = node.with_(
        name=edit.free_name(f"{node.name}_first"),
        inputs=[node.inputs[0], constants[0], *node.inputs[2:]],
        attrs={"_output_shapes": None, **({"transpose_b": False} if node.op == "MatMul" else {})},
    )
    edit.add(first, [node.name], before=node.name)
    edit.replace(node.with_(inputs=[first.name, constants[1], *node.inputs[2:]], attrs=second), [layer.weight])
    remove_unread(edit, [layer.weight], "its layer was split in two")

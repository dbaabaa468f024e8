"""A layer as two of low rank, with fewer weights and multiplications (E. Denton et al., "Exploiting linear structure
within convolutional networks for efficient evaluation", NIPS 2014; X. Zhang et al., 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import Edit, ModelGraph, Node
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.low_rank import LowRank
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


@dataclass(frozen=True)
class Factorize(Pass):
    """Split MatMul and Conv2D layers: the first keeps the window and has ``rank`` outputs, the second is a MatMul or
    1x1 convolution that keeps the layer's name, so that its bias and readers stay.

    The rank of a layer is the lowest whose weights differ by at most ``error`` of their norm, or what ``ranks`` says.
    A layer whose factors would not be smaller is left alone. The last bits of the factors depend on the machine's
    linear algebra library.
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
    ranks: Amounts = param((), "amounts", "Rank by layer", "A layer's own rank.", minimum=1)
    skip: Names = param((), "names", "Skip", "Layers left as they are.")

    def run(self, graph: ModelGraph) -> PassResult:
        """Split. Raises PassError where nothing is asked, a layer does not exist, or a rank is too high for it."""
        if self.error is None and not self.ranks:
            raise PassError("no layer is to be split", where=self.name, hint="give an error, or ranks by layer")
        layers = find_layers(graph)
        ranks = self._named(layers)
        edit = Edit(graph)
        large = []
        for candidate in candidates(graph):
            rank = ranks.get(candidate.layer.weight)
            if rank is None and self.error is not None and not set(candidate.layer.names) & set(self.skip):
                rank = decompose(candidate).rank_for(self.error)
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
    found = []
    for layer in find_layers(graph):
        node = graph[layer.name]
        alone = len(layer.users) == 1 and node.data_refs[1].name == layer.weight and layer.dequantizer is None
        plain = node.op == "Conv2D" or (node.op == "MatMul" and not node.flag("transpose_a"))
        if not (alone and plain and layer.tensor.dtype.is_floating and np.isfinite(layer.tensor.array).all()):
            continue
        if len(graph.consumers[layer.weight]) > 1 or graph.is_output(layer.weight):
            continue
        shape = layer.tensor.array.shape
        outputs = shape[0] if node.flag("transpose_b") else shape[-1]
        inputs = layer.parameters // outputs
        found.append(Candidate(layer, (inputs, outputs), -(-inputs * outputs // (inputs + outputs))))
    return tuple(found)


def decompose(candidate: Candidate) -> LowRank:
    """The decomposition of a layer's weights as a matrix of inputs by outputs; kept as long as the weights are."""
    found = _decompose(candidate.layer.tensor)
    turned = candidate.layer.op == "MatMul" and candidate.layer.channel_axis == 0
    return LowRank(found.right.T, found.values, found.left.T) if turned else found


@by_identity
def _decompose(tensor: Tensor) -> LowRank:
    return LowRank.of(tensor.array.reshape(-1, tensor.array.shape[-1]))


def _split(graph: ModelGraph, edit: Edit, candidate: Candidate, rank: int) -> None:
    """Put two layers in the place of one."""
    layer, node = candidate.layer, graph[candidate.layer.name]
    left, right = decompose(candidate).factors(rank)
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

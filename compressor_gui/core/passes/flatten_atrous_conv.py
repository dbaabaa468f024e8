"""Dilated convolutions in one operation, as the Graph Transform Tool's transform of this name makes them
(tensorflow/tools/graph_transforms/flatten_atrous.cc).

TensorFlow 1.x writes a dilated convolution as SpaceToBatchND, a convolution and BatchToSpaceND, and TensorFlow 2.x does
so where the size of the picture is not known. With ``paddings`` p and ``crops`` c this is a dilated convolution that
pads with p - c zeros. The tool takes it for padding SAME whatever p and c are; here p - c is what is padded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.evaluate import Constant, constant_values
from compressor_gui.core.graph import ModelGraph, Node, Ref
from compressor_gui.core.passes.base import Pass, PassResult, param, result
from compressor_gui.core.passes.padding import CONVOLUTIONS, Pads, padding_attrs, windows
from compressor_gui.core.passes.unread import remove_unread
from compressor_gui.core.passes.weights import store_weights
from compressor_gui.core.passes.wording import some
from compressor_gui.core.values import Attr, Tensor

_DEEPEST = 20
"""How far the computation of one padding is followed."""


class _KeptError(Exception):
    """Why a convolution stays as it is, in words for the user."""


@dataclass(frozen=True)
class FlattenAtrousConv(Pass):
    """Conv2D gets ``dilations``. DepthwiseConv2dNative gets a larger filter with zeros between the weights, as in the
    tool: of TensorFlow's kernels for the CPU, only oneDNN's takes dilations there, and the others refuse to run.
    """

    name: ClassVar[str] = "flatten_atrous_conv"
    title: ClassVar[str] = "Flatten dilated convolutions"
    summary: ClassVar[str] = (
        "Makes one dilated convolution of SpaceToBatchND, a convolution and BatchToSpaceND, which move all activations "
        "twice."
    )

    depthwise_dilations: bool = param(
        False,
        "flag",
        "Dilated depthwise convolutions",
        "Also depthwise ones get dilations, which only runs where oneDNN is on; off: zeros between their weights.",
    )

    def run(self, graph: ModelGraph) -> PassResult:
        """The convolution takes the name of the BatchToSpaceND."""
        known = constant_values(graph)
        edit = Edit(graph)
        kept: dict[str, list[str]] = {}
        freed: dict[str, None] = {}
        for end in graph.nodes:
            conv = graph.producer(end, 0) if end.op == "BatchToSpaceND" else None
            start = graph.producer(conv, 0) if conv is not None and conv.op in CONVOLUTIONS else None
            if conv is None or start is None or start.op != "SpaceToBatchND":
                continue
            try:
                self._flatten(graph, known, edit, start, conv, end)
            except _KeptError as reason:
                kept.setdefault(str(reason), []).append(conv.name)
                continue
            freed |= dict.fromkeys([start.name, *(ref.name for ref in end.data_refs[1:])])
        remove_unread(edit, freed, "only a convolution read it that is dilated now")
        return result(edit, [f"{some(names)} kept: {reason}." for reason, names in kept.items()])

    def _flatten(
        self, graph: ModelGraph, known: Mapping[str, Constant], edit: Edit, start: Node, conv: Node, end: Node
    ) -> None:
        if len(graph.consumers[conv.name]) != 1 or graph.is_output(conv.name):
            raise _KeptError("its result is also read before the blocks are put together")
        if conv.text("padding") != "VALID" or any(stride != 1 for stride in conv.ints("strides")):
            raise _KeptError("it pads or strides inside the blocks")
        if conv.text("data_format", "NHWC") != "NHWC" or any(rate != 1 for rate in conv.ints("dilations")):
            raise _KeptError("it is dilated already, or in NCHW")
        rates, pads = _block(known, start, end), _pads(graph, known, start, end)
        weight = known.get(conv.data_refs[1].name)
        if weight is None or weight.tensor.array.ndim != 4:
            raise _KeptError("its weights are computed")
        origins = [conv.name, start.name, end.name]
        dilations, read = (1, *rates, 1), conv.inputs[1]
        if conv.op == "DepthwiseConv2dNative" and not self.depthwise_dilations:
            spread = Tensor(weight.tensor.dtype, _spread(weight.tensor.array, rates))
            read = store_weights(graph, edit, conv, Constant(spread, weight.control), origins, "dilated_weights")
            weight, dilations = Constant(spread, weight.control), (1, 1, 1, 1)
        made = conv.with_(name=end.name, attrs={"dilations": dilations})
        found = windows(made, weight.tensor.array.shape)
        assert found is not None
        attrs: dict[str, Attr | None] = padding_attrs(graph, str(start.data_refs[0]), made, found, pads)
        control = dict.fromkeys(text for node in (conv, start, end) for text in node.inputs if text.startswith("^"))
        edit.replace(made.with_(inputs=[start.inputs[0], read, *control], attrs=attrs), origins)
        edit.remove(conv.name, f"dilated now, and goes by the name of {end.name}")


def _block(known: Mapping[str, Constant], start: Node, end: Node) -> tuple[int, int]:
    """The dilation rates. Raises _KeptError."""
    blocks = [known.get(node.data_refs[1].name) for node in (start, end)]
    arrays = [block.tensor.array for block in blocks if block is not None]
    if len(arrays) != 2 or arrays[0].shape != (2,) or not np.array_equal(arrays[0], arrays[1]) or arrays[0].min() < 1:
        raise _KeptError("its blocks are not two known numbers, the same before and behind it")
    return int(arrays[0][0]), int(arrays[0][1])


def _pads(graph: ModelGraph, known: Mapping[str, Constant], start: Node, end: Node) -> Pads:
    """The zeros that are left of the padding after cropping. Raises _KeptError."""
    left = []
    for axis in range(2):
        for side in range(2):
            added, padding = _entry(graph, known, start.data_refs[2], (axis, side))
            cropped, crop = _entry(graph, known, end.data_refs[2], (axis, side))
            if padding != crop or added < cropped:
                raise _KeptError("what is padded and what is cropped is computed, and not known to match")
            left.append(added - cropped)
    return (left[0], left[1]), (left[2], left[3])


Entry = tuple[int, tuple[str, tuple[int, ...]] | None]
"""A number, and what computed entry it is added to: an output and an index into it (None: nothing)."""


def _entry(graph: ModelGraph, known: Mapping[str, Constant], ref: Ref, index: tuple[int, ...], depth: int = 0) -> Entry:
    """One entry of an integer tensor, seen through Pack, StridedSlice, Identity and the addition of constants."""
    value = known.get(ref.name)
    if value is not None:
        return int(value.tensor.array[index]), None
    node = graph[ref.name]
    unknown: Entry = (0, (str(ref), index))
    if depth > _DEEPEST or ref.port:
        return unknown
    refs = node.data_refs
    if node.op == "Identity":
        return _entry(graph, known, refs[0], index, depth + 1)
    if node.op == "Pack" and not node.number("axis") and index:
        return _entry(graph, known, refs[index[0]], index[1:], depth + 1)
    if node.op == "StridedSlice" and not index and int(node.number("shrink_axis_mask")) == 1:
        begin = known.get(refs[1].name)
        if begin is not None and begin.tensor.array.shape == (1,) and begin.tensor.array[0] >= 0:
            return _entry(graph, known, refs[0], (int(begin.tensor.array[0]),), depth + 1)
    if node.op in ("Add", "AddV2"):
        for constant, other in ((0, 1), (1, 0)):
            value = known.get(refs[constant].name)
            if value is not None and value.tensor.array.ndim <= len(index) <= 1:
                size = value.tensor.array.size
                at = index[0] if size > 1 and index else 0
                offset, symbol = _entry(graph, known, refs[other], index, depth + 1)
                return offset + int(value.tensor.array.reshape(-1)[at]), symbol
    return unknown


def _spread(weights: np.ndarray, rates: tuple[int, int]) -> np.ndarray:
    """The filter with ``rate - 1`` zeros between its weights."""
    height, width = ((size - 1) * rate + 1 for size, rate in zip(weights.shape, rates, strict=False))
    spread = np.zeros((height, width, *weights.shape[2:]), weights.dtype)
    spread[:: rates[0], :: rates[1]] = weights
    return spread

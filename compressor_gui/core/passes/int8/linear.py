"""The layers of a plan as what they are: linear maps from patches of what they read to what they put out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from compressor_gui.core.evaluate import PASS_THROUGH
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.int8.match import Op
from compressor_gui.core.passes.int8.plan import Plan


@dataclass(frozen=True, eq=False)
class Linear:
    """A layer whose weights are a constant of its own.

    ``head``: the operation; ``target``: the node that has its result with bias and residual sum, before the Relu;
    ``tail``: the node behind that; ``summand``: what is added; ``weight``, ``bias``: Const nodes, the latter None where
    the layer has no bias of its own; ``shape``: the weight's.
    """

    head: Node
    target: str
    tail: str
    summand: str | None
    weight: str
    bias: str | None
    shape: tuple[int, ...]

    @property
    def depthwise(self) -> bool:
        """Whether each channel is a layer of its own."""
        return self.head.op == "DepthwiseConv2dNative"

    @property
    def size(self) -> tuple[int, int, int]:
        """How many groups there are, and the inputs and outputs of each."""
        if self.depthwise:
            return self.shape[2], self.shape[0] * self.shape[1], self.shape[3]
        rows, columns = int(np.prod(self.shape[:-1])), self.shape[-1]
        return (1, columns, rows) if self.head.flag("transpose_b") else (1, rows, columns)

    @property
    def channels(self) -> int:
        """How many neighbouring inputs are channels of one place, whose products are added; 0 for depthwise layers."""
        return 0 if self.depthwise else self.size[1] if len(self.shape) == 2 else self.shape[2]

    def taken_apart(self, weights: np.ndarray) -> np.ndarray:
        """The weights as (groups, inputs, outputs)."""
        if self.depthwise:
            return weights.reshape(-1, *self.shape[2:]).swapaxes(0, 1)
        return (weights.T if self.head.flag("transpose_b") else weights.reshape(-1, self.shape[-1]))[None]

    def put_together(self, weights: np.ndarray) -> np.ndarray:
        """The weights as the layer has them, from (groups, inputs, outputs)."""
        if self.depthwise:
            return np.ascontiguousarray(weights.swapaxes(0, 1).reshape(self.shape))
        flat = weights[0].T if self.head.flag("transpose_b") else weights[0]
        return np.ascontiguousarray(flat.reshape(self.shape))

    def rows(self, read: np.ndarray, aim: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        """For at most ``most`` places, chosen evenly at random: what is read there, (groups, places, inputs), and the
        values of ``aim`` there, (groups, places, outputs)."""
        groups, inputs, outputs = self.size
        flat = aim.reshape(-1, groups * outputs)
        count = len(flat)
        chosen = np.arange(count) if count <= most else np.random.default_rng(0).choice(count, most, replace=False)
        aims = flat[chosen].reshape(-1, groups, outputs).swapaxes(0, 1)
        if read.ndim == 2:
            return read[chosen][None], aims
        windows = self._windows(read)
        at = np.unravel_index(chosen, windows.shape[:3])
        patches = windows[at]  # places, channels, height, width
        if self.depthwise:
            return patches.reshape(len(chosen), groups, inputs).swapaxes(0, 1), aims
        return patches.transpose(0, 2, 3, 1).reshape(1, len(chosen), inputs), aims

    def _windows(self, read: np.ndarray) -> np.ndarray:
        strides = self.head.ints("strides")[1:3]
        dilations = (self.head.ints("dilations") or (1, 1, 1, 1))[1:3]
        reach = [(size - 1) * by + 1 for size, by in zip(self.shape[:2], dilations, strict=True)]
        widths = self.head.ints("explicit_paddings")
        pads = list(zip(widths[::2], widths[1::2], strict=True)) or [(0, 0)] * 4
        if self.head.text("padding") == "SAME":
            pads = [(0, 0), *map(_same, read.shape[1:3], reach, strides), (0, 0)]
        windows = sliding_window_view(np.pad(read, pads), reach, axis=(1, 2))
        found: np.ndarray = windows[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]
        return found


def find_linear(plan: Plan) -> tuple[tuple[Linear, ...], Mapping[str, str]]:
    """The layers, in topological order, and of the others: operation -> why it is none, in words that finish "left as
    it is, as ..."."""
    found, left = [], {}
    for op in plan.ops:
        if op.kind not in ("conv", "depthwise", "matmul"):
            continue
        made = _linear(plan.graph, op)
        if isinstance(made, str):
            left[op.head.name] = made
        else:
            found.append(made)
    return tuple(found), left


def _linear(graph: ModelGraph, op: Op) -> Linear | str:
    weight = _own_constant(graph, op.head)
    if weight is None or weight.tensor is None:
        return "its weights are not a constant of its own"
    bias, summand, before = None, None, op.head
    behind = op.nodes[1:-1] if op.clamp is not None else op.nodes[1:]
    for step in behind:
        others = [ref.name for ref in step.data_refs if ref.name != before.name]
        if op.summand is not None and op.summand in others:
            summand = op.summand
        elif graph.constant(step, 1) is None or step.op not in ("BiasAdd", "Add", "AddV2"):
            return "a batch norm stands behind it"
        else:
            own = _own_constant(graph, step)
            if own is None or bias is not None:
                return "its bias is not a constant of its own"
            bias = own.name
        before = step
    shape = tuple(weight.tensor.array.shape)
    return Linear(op.head, before.name, op.tail.name, summand, weight.name, bias, shape)


def _own_constant(graph: ModelGraph, node: Node) -> Node | None:
    """The Const that is ``node``'s second input, where nothing else reads it."""
    found = graph.producer(node, 1)
    while found is not None and len(graph.consumers[found.name]) == 1 and not graph.is_output(found.name):
        if found.op == "Const":
            return found
        found = graph.producer(found, 0) if found.op in PASS_THROUGH else None
    return None


def _same(size: int, reach: int, stride: int) -> tuple[int, int]:
    whole = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return whole // 2, whole - whole // 2

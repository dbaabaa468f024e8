"""Makes the nodes of the int8 graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import Node
from compressor_gui.core.passes.carried_ranges import carried_constants, carrier, steps_of, weights_of
from compressor_gui.core.passes.int8 import kernels
from compressor_gui.core.passes.int8.match import Op, Pads
from compressor_gui.core.passes.int8.plan import Plan
from compressor_gui.core.passes.int8.weights import Weights, by_channel, encode
from compressor_gui.core.passes.unread import remove_unread
from compressor_gui.core.values import Attr, DType, Tensor

_MADE = "part of the fused operation {}"
_UNREAD = "stored in 8 bits"
_ROUNDED = "its rounding is that of the codes"
_ONE_PIXEL: dict[str, Attr] = {"ksize": (1, 1, 1, 1), "strides": (1, 1, 1, 1), "padding": b"VALID"}
_LEAST_PEAK = 1e-30
"""Of a channel that is multiplied by zero: a range may not be empty."""


class Rewriter:
    """Carries out a plan; ``without_vnni`` as in :func:`.weights.encode`."""

    def __init__(self, plan: Plan, without_vnni: bool = False) -> None:
        self.plan = plan
        self.graph = plan.graph
        self.edit = Edit(plan.graph)
        self._codes: dict[str, str] = {}
        self._padded: dict[tuple[str, Pads], str] = {}
        self._weights: dict[tuple[str, bool, bytes], tuple[str, Weights]] = {}
        self._constants: dict[str, str] = {}
        self._passed: dict[str, None] = {}
        self._without_vnni = without_vnni

    def run(self) -> Edit:
        """The edit, whose result is the int8 graph."""
        swallowed = {node.name for op in self.plan.ops for node in op.swallowed}
        for op in self.plan.ops:
            if op.kind == "matmul":
                self._matmul(op)
                continue
            made = self._operation(op)
            self._codes[op.tail.name] = made
            for node in op.swallowed[1:]:
                self.edit.remove(node.name, _MADE.format(made))
            self._way_back(op, swallowed)
        remove_unread(self.edit, self._passed, _ROUNDED)
        remove_unread(self.edit, self._constants_of(swallowed), _UNREAD)
        return self.edit

    def _constants_of(self, swallowed: set[str]) -> Iterator[str]:
        """Those that nodes which went away have read."""
        for name in sorted(swallowed):
            node = self.graph[name]
            for at, ref in enumerate(node.data_refs):
                if self.graph.constant(node, at) is not None or ref.name in carried_constants(self.graph):
                    yield ref.name

    # -- operations ------------------------------------------------------------------------------------------------

    def _operation(self, op: Op) -> str:
        """The codes of what ``op`` computes."""
        name, head = self.edit.free_name(f"{op.tail.name}_int8"), op.head
        if op.is_layer:
            return self._layer(op, name)
        codes = [self._read(op, source) for source in op.sources]
        inputs: tuple[str, ...]
        if op.kind == "pad":
            return self._pad(op, codes[0], op.sources[0], self.plan.border(op))
        if op.kind == "pool":
            inputs = (codes[0], self._scalar(0.0, op), self._scalar(self.plan.formats[op.tail.name].span, op))
            return self._add(kernels.POOLS[head.op].node(name, inputs, head), op)
        if carrier(self.graph, op.tail) is not None:
            return codes[0]
        rest = [str(ref) for ref in head.data_refs[len(codes) :]]
        if head.op in kernels.BYTES:
            return self._in_bytes(name, codes[0], lambda read: head.with_(inputs=(read, *rest)), op)
        return self._add(head.with_(name=name, inputs=(*codes, *rest), attrs={"T": DType.QUINT8}), op)

    def _layer(self, op: Op, name: str) -> str:
        source, result = self.plan.formats[op.sources[0]], self.plan.formats[op.tail.name]
        codes, padding = self._with_border(op)
        stored, weights = self._weights_of(op)
        assert op.affine is not None
        bias = op.affine.offset - source.shift * weights.sums + result.shift
        low = self._constant(f"{stored}_low", -weights.peaks, DType.FLOAT, op)
        high = self._constant(f"{stored}_high", weights.peaks, DType.FLOAT, op)
        ends = [self._scalar(0.0, op), self._scalar(source.span, op), low, high]
        ends += [self._scalar(0.0, op), self._scalar(result.span, op)]
        kernel = kernels.CONV if op.kind == "conv" else kernels.DEPTHWISE
        head = op.head if op.kind != "affine" else None
        summand: list[str] = []
        if op.summand is not None:
            kernel, added = kernels.CONV_SUM, self.plan.formats[op.summand]
            bias = bias - added.shift
            limits = (self._scalar(0.0, op), self._scalar(added.span, op))
            codes_added = self._read(op, op.summand)
            if op in self.plan.copying:
                copy_name = self.edit.free_name(f"{name}_summand")
                copy = kernels.COPY.node(copy_name, (codes_added, *limits), None, **_ONE_PIXEL)
                codes_added = self._add(copy.with_(device=op.head.device), op)
            summand = [codes_added, *limits]
        bias_name = self._constant(f"{op.tail.name}_int8_bias", bias, DType.FLOAT, op)
        inputs = (codes, stored, bias_name, *ends, *summand)
        return self._add(kernel.node(name, inputs, head, **padding).with_(device=op.head.device), op)

    def _with_border(self, op: Op) -> tuple[str, dict[str, Attr]]:
        """What a layer reads, and its attributes of padding: a kernel surrounds it with code 0, where that is zero."""
        if op.kind == "affine":
            return self._read(op, op.sources[0]), {key: _ONE_PIXEL[key] for key in ("strides", "padding")}
        codes, pads, zero = self._read(op, op.sources[0]), self.plan.pads(op), self.plan.formats[op.sources[0]].zero
        if op.border is None and (pads is None or not zero or not any(map(any, pads))):
            return codes, {"padding": op.head.attrs["padding"]}
        assert pads is not None
        if not zero and pads == self.plan.same_pads(op):
            return codes, {"padding": b"SAME"}
        if not zero and op.kind == "conv":
            return codes, {"padding": b"VALID", "padding_list": tuple(width for both in pads for width in both)}
        return self._pad(op, codes, op.sources[0], pads), {"padding": b"VALID"}

    def _matmul(self, op: Op) -> None:
        """One range serves all weights of a MatMul, so that each column is brought to it before and back behind."""
        source, head = self.plan.formats[op.sources[0]], op.head
        codes = self._read(op, op.sources[0])
        stored, weights = self._weights_of(op)
        steps = weights.peaks / np.float32(127)
        bias = self._constant(f"{head.name}_int8_bias", -source.shift * weights.sums / steps, DType.FLOAT, op)
        ends = [self._scalar(value, op) for value in (0.0, source.span, -127.0, 127.0, -1.0, 1.0)]
        made = kernels.MATMUL.node(self.edit.free_name(f"{head.name}_int8"), (codes, stored, bias, *ends), head)
        scales = self._constant(f"{head.name}_int8_steps", steps, DType.FLOAT, op)
        inputs = (self._add(made, op), scales)
        self.edit.replace(Node.make(head.name, "Mul", inputs, head.device, T=DType.FLOAT), (head.name,))

    # -- what they read --------------------------------------------------------------------------------------------

    def _read(self, op: Op, source: str) -> str:
        """The codes of a tensor; one that is float is converted once."""
        if source not in self._codes:
            format = self.plan.formats[source]
            ends = (self._scalar(-format.shift, op), self._scalar(format.span - format.shift, op))
            carried = carrier(self.graph, self.graph[source])
            read = source if carried is None else str(carried.source)
            if carried is not None:
                self._passed[source] = None
            made = kernels.QUANTIZE.node(self.edit.free_name(f"{source}_int8"), (read, *ends), self.graph[source])
            self._codes[source] = self.edit.add(made, (source,))
        return self._codes[source]

    def _pad(self, op: Op, codes: str, source: str, pads: Pads) -> str:
        """Codes with the code of zero around them."""
        key = (source, pads)
        if key not in self._padded:
            name, zero = f"{source}_int8_padded", self.plan.formats[source].zero
            border = self._constant(f"{name}/paddings", np.array(pads), DType.INT32, op)
            value = self._constant(f"{name}/zero", zero, DType.UINT8, op)
            pad = partial(kernels.PAD.node, f"{name}/pad", source=op.head)
            self._padded[key] = self._in_bytes(name, codes, lambda read: pad((read, border, value)), op)
        return self._padded[key]

    def _in_bytes(self, name: str, codes: str, make: Callable[[str], Node], op: Op) -> str:
        """The codes that a node makes, which reads and puts out bytes."""
        whole = kernels.TO_BYTES.node(self.edit.free_name(f"{name}/bytes"), (codes,), op.head)
        moving = make(self._add(whole, op))
        moving = moving.with_(name=self.edit.free_name(f"{name}/{moving.op}"), attrs={"T": DType.UINT8})
        made = kernels.FROM_BYTES.node(self.edit.free_name(name), (self._add(moving, op),), op.head)
        return self._add(made, op)

    def _weights_of(self, op: Op) -> tuple[str, Weights]:
        """The constant of a layer's codes, and these."""
        scale = op.affine.scale if op.affine is not None else np.ones(1)
        if op.kind == "affine":
            codes = (np.sign(scale) * 127).astype(np.int8).reshape(1, 1, -1, 1)
            peaks = np.maximum(np.abs(scale), _LEAST_PEAK).astype(np.float32)
            return self._constant(f"{op.head.name}_int8_scale", codes, DType.QINT8, op), Weights(codes, peaks, scale)
        ref, turned = op.head.data_refs[1], op.head.flag("transpose_b")
        key = (ref.name, turned, scale.tobytes())
        if key not in self._weights:
            tensor, steps = weights_of(self.graph, op.head), steps_of(self.graph, op.head)
            assert tensor is not None
            array = (tensor.array * scale.reshape(_behind_space(op.head, tensor.array))).astype(np.float32)
            if steps is not None:
                steps = by_channel(op.head, steps.T if turned else steps)[0] * np.abs(scale)
            found = encode(op.head, array.T if turned else array, self._without_vnni, steps)
            name = self.edit.free_name(f"{ref.name}_int8")
            self._weights[key] = self._constant(name, found.codes, DType.QINT8, op, self._made_of(ref.name)), found
        return self._weights[key]

    def _scalar(self, value: float, op: Op) -> str:
        """A constant that the whole graph shares."""
        short = np.float32(value) + np.float32(0)  # no -0
        return self._constant(f"int8_range/{short}".replace("+", ""), short, DType.FLOAT, op)

    def _made_of(self, name: str) -> tuple[str, ...]:
        """A layer's weights: the constant, seen through what only hands it on."""
        while self.graph[name].op != "Const" and self.graph[name].data_refs:
            name = self.graph[name].data_refs[0].name
        return (name,)

    def _constant(self, name: str, value: object, dtype: DType, op: Op, origins: tuple[str, ...] = ()) -> str:
        """A constant, made of the operation's nodes or of ``origins``; asked for by the same name again, it is the
        same."""
        if name not in self._constants:
            made = Node.const(self.edit.free_name(name), Tensor.of(value, dtype), op.head.device)
            self._constants[name] = self.edit.add(made, origins or self._origins(op))
        return self._constants[name]

    # -- the float graph around ------------------------------------------------------------------------------------

    def _way_back(self, op: Op, swallowed: set[str]) -> None:
        """Give the float value its name back where it is read, or else remove that node."""
        name, codes, format = op.tail.name, self._codes[op.tail.name], self.plan.formats[op.tail.name]
        users = [self.graph[user] for user, _ in self.graph.consumers[name] if user not in swallowed]
        sizes = [user for user in users if user.op == "Shape"]
        if len(sizes) < len(users) or not self.graph.consumers[name] or self.graph.is_output(name):
            ends = (self._scalar(-format.shift, op), self._scalar(format.span - format.shift, op))
            self.edit.replace(kernels.DEQUANTIZE.node(name, (codes, *ends), op.head), self._origins(op))
            return
        self.edit.remove(name, _MADE.format(codes))
        for user in sizes:
            self.edit.replace(user.with_(inputs=(codes, *user.inputs[1:]), attrs={"T": DType.QUINT8}))

    def _origins(self, op: Op) -> tuple[str, ...]:
        return tuple(node.name for node in op.swallowed)

    def _add(self, node: Node, op: Op) -> str:
        return self.edit.add(node, self._origins(op))


def _behind_space(layer: Node, weights: np.ndarray) -> tuple[int, ...]:
    """The shape of a vector over the output channels beside the weights."""
    return (1, 1, *weights.shape[2:]) if layer.op == "DepthwiseConv2dNative" else (-1,)

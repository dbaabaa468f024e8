"""Makes the nodes of the classic 8-bit graph, named as TensorFlow 1.x's ``quantize_graph`` names them.

That tool first surrounds every operation with a way into 8 bits and a way back, and then removes the pairs that meet.
Here a pair is not made where it would meet another: an operation whose input exists in 8 bits reads it as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import Attrs, Node, Ref
from compressor_gui.core.passes.eightbit.constants import store
from compressor_gui.core.passes.eightbit.kernels import RANGE_SUFFIX, REQUANTIZE_SUFFIX, EightBit, concat_axis
from compressor_gui.core.passes.eightbit.links import LinkBuilder
from compressor_gui.core.passes.eightbit.plan import FAKE_QUANT, Plan, constant_of, given_range
from compressor_gui.core.values import Attr, DType, Tensor

Range = tuple[float, float]
_MIN_FIRST: dict[str, Attr] = {"T": DType.QUINT8, "mode": b"MIN_FIRST"}
_LEAST = 1e-6
_PAIR = "its Dequantize/Quantize pair cancelled: who reads it reads 8 bits"


class Rewriter:
    """Carries out a plan.

    ``fallback`` is the range of every qint32 result that no FakeQuant gives one (None: found at run time),
    ``input_range`` that of the placeholders fed as quint8.
    """

    def __init__(self, plan: Plan, fallback: Range | None, input_range: Range) -> None:
        self.plan = plan
        self.graph = plan.graph
        self.edit = Edit(plan.graph)
        self._made: dict[str, EightBit] = {}
        self._ends: dict[str, tuple[str, str]] = {}
        self._fallback = self._fed = ("", "")
        measured = [name for name, kernel in plan.kernels.items() if kernel.wide and name not in plan.ranges]
        if fallback is not None and measured:
            self._fallback = self._shared_range("fallback_quantization", fallback, measured)
        if plan.placeholders:
            self._fed = self._shared_range("quantized_input", input_range, plan.placeholders)

    def run(self) -> Edit:
        """The edit, whose result is the 8-bit graph."""
        for node in self.plan.order:
            if node.name in self.plan.kernels:
                self._operation(node)
            elif node.name in self.plan.placeholders:
                self._placeholder(node)
            elif node.name in self.plan.read:
                self._made[node.name] = self._dequantized(node) if node.op == "Dequantize" else self._constant(node)
        for name in self.plan.measured:
            node = self.graph[name]
            root = self.plan.root(node.refs[0])
            assert root is not None
            self.edit.replace(node.with_(inputs=(self._made[root].codes, *node.inputs[1:]), attrs={"T": DType.QUINT8}))
        for name in self.plan.dropped:
            self.edit.remove(name, _PAIR)
        for node in self.graph.nodes:
            if node.op == "Const" and node.name in self.edit and not self._is_needed(node.name):
                self.edit.remove(node.name, "only a FakeQuant read it, which is part of the stored constant now")
        return self.edit

    def _is_needed(self, name: str) -> bool:
        return self.plan.wants_float(name) or self.plan.has_control_readers(name)

    def _shared_range(self, name: str, limits: Range, users: Sequence[str]) -> tuple[str, str]:
        low, high = (Tensor.of(limit, DType.FLOAT) for limit in limits)
        return (
            self._add(Node.const(f"{name}_min_value", low), *users),
            self._add(Node.const(f"{name}_max_value", high), *users),
        )

    def _placeholder(self, node: Node) -> None:
        """It keeps its name and becomes quint8; who needs float reads a Dequantize behind it."""
        self.edit.replace(node.with_(attrs={"dtype": DType.QUINT8}))
        made = self._made[node.name] = EightBit(node.name, *self._fed)
        users = dict.fromkeys(user for user, _ in self.graph.consumers[node.name])
        if not users or not self.plan.wants_float(node.name):
            return
        name = self._add(_node(f"{node.name}_dequantize", "Dequantize", made, _MIN_FIRST), node.name)
        for user in users:
            if user not in self.plan.kernels:
                reader = self.edit[user]
                pairs = zip(reader.refs, reader.inputs, strict=True)
                inputs = [name if ref == Ref(node.name, 0, False) else text for ref, text in pairs]
                self.edit.replace(reader.with_(inputs=inputs))

    def _constant(self, node: Node) -> EightBit:
        """``node`` in 8 bits; where its float value is still read, a Dequantize takes its name."""
        found = constant_of(self.graph, node)
        assert found is not None
        origins = (node.name, *(ref.name for ref in node.data_refs[:1]))
        names = [
            self._add(Node.const(f"{node.name}_{part}", tensor).with_(inputs=_controls(node)), *origins)
            for part, tensor in zip(("quint8_const", "min", "max"), store(*found), strict=True)
        ]
        made = EightBit(*names)
        self._way_back(node.name, made, origins, f"it is stored in 8 bits, as {made.codes}")
        return made

    def _dequantized(self, node: Node) -> EightBit:
        """What a Dequantize that was there before reads."""
        made = EightBit(*node.inputs)
        if not self._is_needed(node.name):
            self.edit.remove(node.name, _PAIR)
        return made

    def _operation(self, node: Node) -> None:
        kernel = self.plan.kernels[node.name]
        reduction: list[str] = []
        tensors: dict[int, EightBit] = {}
        borders: dict[Ref, EightBit] = {}
        for index in sorted(self.plan.quantized[node.name]):
            ref = node.data_refs[index]
            root = self.plan.root(ref)
            if root is None and ref not in borders:
                borders[ref] = self._way_in(node, ref, reduction)
            tensors[index] = borders[ref] if root is None else self._made[root]
        plain = [self._plain(node, index) for index in range(len(node.data_refs)) if index not in tensors]
        if kernel.form == "ranged":
            inputs = [*kernel.arrange(list(tensors.values()), plain), *_controls(node)]
            made = _node(node.name + kernel.suffix, kernel.op, inputs, kernel.attrs(node))
            out = EightBit.of(self._add(made, node.name))
        else:
            ((at, source),) = tensors.items()
            inputs = [source.codes if index == at else text for index, text in enumerate(node.inputs)]
            out = LinkBuilder(self.graph, lambda new: self._add(new, node.name)).build(node, kernel, source, inputs)
        if kernel.wide:
            out = self._requantize(node, out)
        self._made[node.name] = out
        for port in self.plan.ports(node.name)[1:]:
            self._other_output(node, port, out)
        home = self.plan.home[node.name]
        self._way_back(home, out, (node.name,), _PAIR)
        if home != node.name:
            self._remove(node.name, f"its value goes by the name of the FakeQuant behind it, {home}", out)

    def _other_output(self, node: Node, port: int, first: EightBit) -> None:
        """An output behind the first has the same range; a Dequantize of its own stands in its place."""
        name = f"{node.name}:{port}"
        made = self._made[name] = first._replace(codes=f"{first.codes}:{port}")
        if self.plan.wants_float(node.name, port):
            back = _node(f"{node.name}_eightbit_dequantize_{port}", "Dequantize", made, _MIN_FIRST)
            self.edit.rewire(name, self._add(back, node.name))

    def _plain(self, node: Node, index: int) -> str:
        """An input that stays as it is: a shape, or the axis of a concatenation, which has to count from the front."""
        ref = node.data_refs[index]
        axis = concat_axis(self.graph, node) if node.op in ("Concat", "ConcatV2") else None
        value = self.graph.constant(node, index)
        if axis is None or value is None or int(value.array) == axis:
            return str(ref)
        made = Node.const(f"{node.name}_eightbit_concat_dim", Tensor.of(axis, DType.INT32))
        return self._add(made, node.name, ref.name)

    def _way_in(self, node: Node, ref: Ref, reduction: list[str]) -> EightBit:
        """Quantize a float input of ``node``: Reshape to one dimension, Min and Max, QuantizeV2; or, behind a
        FakeQuant, over its range. ``reduction`` holds the two constants that the inputs of one operation share."""
        prefix, source = f"{node.name}_eightbit", self.graph[ref.name]
        suffix = str(ref).replace(":", "__port__")
        origins = (node.name, ref.name)
        limits: Sequence[str]
        if ref.port == 0 and given_range(self.graph, source) is not None:
            limits = self._given(source)
        else:
            if not reduction:
                for name, value in (("reshape_dims", -1), ("reduction_dims", 0)):
                    tensor = Tensor.of(np.array([value]), DType.INT32)
                    reduction.append(self._add(Node.const(f"{prefix}_{name}", tensor), node.name))
            flat = Node.make(f"{prefix}_reshape_{suffix}", "Reshape", (str(ref), reduction[0]), T=DType.FLOAT)
            inputs = (self._add(flat, *origins), reduction[1])
            found = [
                Node.make(f"{prefix}_{op.lower()}_{suffix}", op, inputs, T=DType.FLOAT, keep_dims=False)
                for op in ("Min", "Max")
            ]
            limits = [self._add(limit, *origins) for limit in found]
        made = _node(f"{prefix}_quantize_{suffix}", "QuantizeV2", (str(ref), *limits), _MIN_FIRST)
        return EightBit.of(self._add(made, *origins))

    def _requantize(self, node: Node, wide: EightBit) -> EightBit:
        """Bring a qint32 result down to quint8, over a range that is given or found in the result."""
        giver = self.plan.ranges.get(node.name)
        limits = self._fallback if giver is None else self._given(self.graph[giver])
        if not limits[0]:
            found = Node.make(node.name + RANGE_SUFFIX, "RequantizationRange", wide, Tinput=DType.QINT32)
            name = self._add(found, node.name)
            limits = (name, f"{name}:1")
            if self.plan.is_rectified(node.name):
                limits = self._rectified(node, f"{name}:1")
        types: dict[str, Attr] = {"Tinput": DType.QINT32, "out_type": DType.QUINT8}
        made = _node(node.name + REQUANTIZE_SUFFIX, "Requantize", (*wide, *limits), types)
        return EightBit.of(self._add(made, node.name))

    def _given(self, giver: Node) -> tuple[str, str]:
        """The ends of the range that a FakeQuant or the like gives: its inputs, or constants made of it."""
        if giver.op == FAKE_QUANT:
            return str(giver.refs[1]), str(giver.refs[2])
        if giver.name not in self._ends:
            limits = given_range(self.graph, giver)
            assert limits is not None
            self._ends[giver.name] = self._shared_range(f"{giver.name}_eightbit", limits, (giver.name,))
        return self._ends[giver.name]

    def _rectified(self, node: Node, high: str) -> tuple[str, str]:
        """The part of a range that is above zero; a narrow one where there is none, which Requantize would refuse."""
        ends = [
            self._add(Node.const(f"{node.name}_eightbit_{name}", Tensor.of(value, DType.FLOAT)), node.name)
            for name, value in (("requant_min", 0.0), ("least_max", _LEAST))
        ]
        most = Node.make(f"{node.name}_eightbit_requant_max", "Maximum", (high, ends[1]), T=DType.FLOAT)
        return ends[0], self._add(most, node.name)

    def _way_back(self, name: str, made: EightBit, origins: Sequence[str], reason: str) -> None:
        """Give the float value of ``made`` the name ``name``, or remove that node where nobody reads it."""
        if self.plan.wants_float(name):
            self.edit.replace(_node(name, "Dequantize", made, _MIN_FIRST), origins)
        else:
            self._remove(name, reason, made)

    def _remove(self, name: str, reason: str, made: EightBit) -> None:
        """Take a node away; who waits for it waits for ``made``."""
        self.edit.remove(name, reason)
        if self.plan.has_control_readers(name):
            self.edit.rewire(name, made.codes)

    def _add(self, node: Node, *origins: str) -> str:
        name = self.edit.free_name(node.name)
        return self.edit.add(node if name == node.name else node.with_(name=name), origins)


def _node(name: str, op: str, inputs: Iterable[str], attrs: Mapping[str, Attr]) -> Node:
    return Node(name, op, tuple(inputs), Attrs(attrs))


def _controls(node: Node) -> list[str]:
    return [text for text in node.inputs if text.startswith("^")]

"""What an int8 graph computes, as a float graph: rounded weights, and FakeQuants wherever values are in codes.

The sums of the fused kernels are exact on processors with VNNI, so this is what they compute, but for the rounding of
biases to 32 bits. It runs everywhere, and between its operations floats can be put in and taken out.
"""

from __future__ import annotations

from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.carried_ranges import weights_of
from compressor_gui.core.passes.int8.plan import Plan
from compressor_gui.core.passes.int8.weights import rounded
from compressor_gui.core.values import DType, Tensor

SUFFIX = "_in_codes"
"""A tensor's name and this is the name of what its codes stand for."""


def simulated(plan: Plan, without_vnni: bool = False) -> ModelGraph:
    """The float graph; its outputs are the same nodes, or their FakeQuants. ``without_vnni`` as in fuse_int8."""
    edit = Edit(plan.graph)
    for op in plan.ops:
        if op.kind in ("conv", "depthwise", "matmul"):
            _round_weights(plan, edit, op.head, without_vnni)
    made = {op.tail.name for op in plan.ops if op.in_codes}
    inside = {node.name for op in plan.ops for node in op.swallowed}
    outputs = {name: name for name in plan.graph.outputs}
    for name in plan.formats:
        coded = _fake_quant(plan, edit, name)
        for reader, at in plan.graph.consumers[name]:
            if (name in made or reader in inside) and not plan.graph[reader].refs[at].control:
                inputs = list(edit[reader].inputs)
                inputs[at] = coded
                edit.replace(edit[reader].with_(inputs=inputs))
        if name in made and name in outputs:
            outputs[name] = coded
    return edit.finish(outputs.values())


def _round_weights(plan: Plan, edit: Edit, layer: Node, without_vnni: bool) -> None:
    weights = weights_of(plan.graph, layer)
    assert weights is not None
    value = Tensor.of(rounded(layer, weights.array, without_vnni), DType.FLOAT)
    name = edit.add(Node.const(edit.free_name(f"{layer.name}_weights{SUFFIX}"), value), (layer.name,))
    edit.replace(layer.with_(inputs=[layer.inputs[0], name, *layer.inputs[2:]]))


def _fake_quant(plan: Plan, edit: Edit, name: str) -> str:
    format = plan.formats[name]
    ends = [
        edit.add(Node.const(edit.free_name(f"{name}{SUFFIX}/{end}"), Tensor.of(value, DType.FLOAT)), (name,))
        for end, value in (("min", -format.shift), ("max", format.span - format.shift))
    ]
    made = Node.make(f"{name}{SUFFIX}", "FakeQuantWithMinMaxVars", (name, *ends), num_bits=8, narrow_range=False)
    return edit.add(made, (name,))

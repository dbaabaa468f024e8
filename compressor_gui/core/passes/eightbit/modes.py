"""The modes of TensorFlow 1.x's ``quantize_graph`` other than ``eightbit``: they show what rounding does to a network
that goes on computing in floats, or store its weights in 8 bits.

Source: ``tensorflow/tools/quantization/quantize_graph.py`` of TensorFlow 1.x, whose names are kept. What differs, and
why, stands in the help page ``quantize_nodes.md``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.base import PassResult, result
from compressor_gui.core.passes.eightbit.constants import store
from compressor_gui.core.passes.eightbit.plan import loop_nodes
from compressor_gui.core.passes.readers import redirect
from compressor_gui.core.passes.weights import choose
from compressor_gui.core.passes.wording import some
from compressor_gui.core.values import DType, Tensor

_OPS = ("Conv2D", "BiasAdd", "MatMul")
_ORIGINAL = "_original"


def round_results(graph: ModelGraph, bits: int) -> PassResult:
    """Mode ``round``: what Conv2D, BiasAdd and MatMul put out is rounded to 2^bits levels.

    The levels lie evenly on both sides of zero, over a range found at run time: QuantizeAndDequantizeV2 in the place of
    the old tool's RoundToSteps, an operation that no release of TensorFlow has.
    """
    edit = Edit(graph)
    notes: list[str] = []
    for node in _layers(graph, notes):
        unused = Node.const(edit.free_name(f"{node.name}_round_range"), Tensor.of(0, DType.FLOAT))
        read = edit.add(unused, [node.name])
        made = Node.make(
            node.name,
            "QuantizeAndDequantizeV2",
            (_original(edit, node), read, read),
            node.device,
            T=DType.FLOAT,
            signed_input=True,
            num_bits=bits,
            range_given=False,
        )
        edit.replace(made)
    return result(edit, notes)


def pass_through_8_bits(graph: ModelGraph) -> PassResult:
    """Mode ``quantize``: what Conv2D, BiasAdd and MatMul read and put out goes through 8 bits and back."""
    edit = Edit(graph)
    notes: list[str] = []
    done: set[str] = set()
    for layer in _layers(graph, notes):
        for ref in (*layer.data_refs, None):
            name = layer.name if ref is None else ref.name
            if ref is not None and ref.port:
                notes.append(f"{layer.name} reads {ref} as it is.")
            elif name not in done:
                done.add(name)
                _there_and_back(edit, graph[name])
    return result(edit, notes)


def store_weights(graph: ModelGraph) -> PassResult:
    """Mode ``weights``: float32 constants in 8 bits, read by a Dequantize (MIN_COMBINED); those of one value stay."""
    not_float = "only float32 can be read by a Dequantize"
    chosen, notes = choose(graph, 0, lambda _, tensor: None if tensor.dtype == DType.FLOAT else not_float)
    edit = Edit(graph)
    for node, tensor in chosen:
        stored = store(tensor, combined=True)
        read = [
            edit.add(
                Node.const(edit.free_name(f"{node.name}_{part}"), value, node.device).with_(inputs=node.inputs),
                [node.name],
            )
            for part, value in zip(("quint8_const", "min", "max"), stored, strict=True)
        ]
        edit.replace(Node.make(node.name, "Dequantize", read, node.device, T=DType.QUINT8, mode=b"MIN_COMBINED"))
    return result(edit, notes)


def _layers(graph: ModelGraph, notes: list[str]) -> Iterator[Node]:
    """The nodes that the modes ``round`` and ``quantize`` look at; those in loops are named in ``notes``."""
    loops = loop_nodes(graph)
    found = [node for node in graph.nodes if node.op in _OPS and node.dtype() == DType.FLOAT]
    left = [node.name for node in found if node.name in loops]
    if left:
        notes.append(f"Left alone, as they are in a while loop: {some(left)}.")
    return (node for node in found if node.name not in loops)


def _original(edit: Edit, node: Node) -> str:
    """Give ``node`` another name, so that something else can take its own: the name it has now."""
    name = edit.free_name(node.name + _ORIGINAL)
    edit.add(edit[node.name].with_(name=name), [node.name])
    for port in sorted({edit.graph[user].refs[at].port for user, at in edit.graph.consumers[node.name]}):
        if port > 0:
            edit.rewire(f"{node.name}:{port}", f"{name}:{port}")
    return name


def _there_and_back(edit: Edit, node: Node) -> None:
    """Reshape to one dimension, Min and Max, QuantizeV2, and a Dequantize that takes the name of ``node``.

    A placeholder has to keep its name; there the Dequantize is called ``<name>_dequantize``.
    """
    fed = node.op.startswith("Placeholder")
    source = node.name if fed else _original(edit, node)

    def add(part: str, op: str, *inputs: str, **attrs: DType | bytes | bool) -> str:
        made = Node.make(edit.free_name(f"{node.name}_{part}"), op, inputs, node.device, **attrs)
        return edit.add(made, [node.name])

    def const(part: str, value: int) -> str:
        tensor = Tensor.of(np.array([value]), DType.INT32)
        # control inputs tell in which branch a constant lives
        controls = [text for text in node.inputs if text.startswith("^")]
        made = Node.const(edit.free_name(f"{node.name}_{part}"), tensor, node.device).with_(inputs=controls)
        return edit.add(made, [node.name])

    flat = add("reshape", "Reshape", source, const("reshape_dims", -1), T=DType.FLOAT)
    dims = const("dims", 0)
    limits = [add(op.lower(), op, flat, dims, T=DType.FLOAT, keep_dims=False) for op in ("Min", "Max")]
    codes = add("quantize", "QuantizeV2", source, *limits, T=DType.QUINT8, mode=b"MIN_FIRST")
    inputs = (codes, f"{codes}:1", f"{codes}:2")
    if fed:
        redirect(edit, node.name, add("dequantize", "Dequantize", *inputs, T=DType.QUINT8, mode=b"MIN_FIRST"))
    else:
        edit.replace(Node.make(node.name, "Dequantize", inputs, node.device, T=DType.QUINT8, mode=b"MIN_FIRST"))

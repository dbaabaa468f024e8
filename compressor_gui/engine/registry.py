"""Has the TensorFlow that runs what a graph's 8-bit operations need: the operation, its signature, a kernel for it?

The core rewrites by a table (:mod:`..core.passes.int8.kernels`), as it knows no TensorFlow; here it is held against the
registries of the one that is installed, before a graph is checked, measured or its regions are chosen. Another version,
or a build for another kind of processor, may have less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tensorflow.python.framework import kernels, op_def_registry

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.machine import onednn_is_on
from compressor_gui.core.passes.int8.kernels import FUSED_OPS
from compressor_gui.core.passes.wording import some
from compressor_gui.core.values import DType
from compressor_gui.engine.session import ONEDNN_CRASHED, ONEDNN_IS_OFF, REMAPPING, VERSION

_CODES = frozenset((DType.QINT8, DType.QUINT8, DType.QINT16, DType.QUINT16, DType.QINT32))

_OFF = "its fused 8-bit operations have oneDNN's kernels alone, and oneDNN is off"
"""Said of all of them together; why it is off is the hint."""


@dataclass(frozen=True)
class Lack:
    """``words``: what TensorFlow lacks; ``nodes``: those of the graph that need it."""

    words: str
    nodes: tuple[str, ...]


def lacks(graph: ModelGraph) -> tuple[Lack, ...]:
    """What the graph's 8-bit operations need and TensorFlow has not, in the graph's order."""
    known: dict[tuple[str, frozenset[tuple[str, DType]], frozenset[str]], str] = {}
    found: dict[str, list[str]] = {}
    for node in graph.nodes:
        types = _types(node)
        if node.op in FUSED_OPS or not _CODES.isdisjoint(types.values()):
            key = node.op, frozenset(types.items()), frozenset(node.attrs)
            if key not in known:
                known[key] = _lacking(node, types)
            if known[key]:
                found.setdefault(known[key], []).append(node.name)
    return tuple(Lack(words, tuple(names)) for words, names in found.items())


def refuse_lacking(graph: ModelGraph, where: str) -> None:
    """Raise CompressorError where TensorFlow lacks what one of the graph's 8-bit operations needs."""
    if not (missing := lacks(graph)):
        return
    first = missing[0]
    if first.words == _OFF:
        hint = ONEDNN_IS_OFF if REMAPPING else ONEDNN_CRASHED
    elif FUSED_OPS.isdisjoint(graph[name].op for name in first.nodes):
        hint = "keep these layers in float with skip="
    else:
        hint = "choose-regions leaves such regions in float; quantize_nodes instead has the classic kernels"
    raise CompressorError(f"{first.words} ({some(first.nodes)})", where=where, hint=hint)


def _types(node: Node) -> Mapping[str, DType]:
    return {key: value for key, value in node.attrs.items() if isinstance(value, DType)}


def _lacking(node: Node, types: Mapping[str, DType]) -> str:
    """What there is not, as the beginning of a sentence; empty where all is there."""
    tensorflow = f"TensorFlow {VERSION}"
    definition = op_def_registry.get(node.op)
    if definition is None:
        return f"{tensorflow} has no operation {node.op}"
    attrs = {attr.name: attr for attr in definition.attr}
    for key in node.attrs:
        if key not in attrs and not key.startswith("_"):
            return f"the {node.op} of {tensorflow} has no attribute {key}"
    for key, dtype in types.items():
        allowed = attrs[key].allowed_values.list.type if key in attrs else ()
        if allowed and dtype not in allowed:
            return f"the {node.op} of {tensorflow} allows no {dtype.name.lower()} as {key}"
    every = {key: DType(attr.default_value.type) for key, attr in attrs.items() if attr.type == "type"} | dict(types)
    for kernel in kernels.get_registered_kernels_for_op(node.op).kernel:
        fits = all(every.get(one.name) in one.allowed_values.list.type for one in kernel.constraint)
        if kernel.device_type == "CPU" and not kernel.label and fits:
            break
    else:
        of = ", ".join(f"{key} {dtype.name.lower()}" for key, dtype in types.items())
        return f"{tensorflow} has no kernel for {node.op} here" + (f" ({of})" if of else "")
    if node.op in FUSED_OPS and not onednn_is_on():
        return _OFF
    return ""

"""Nodes that say the same become one, as by the Graph Transform Tool's transform of this name
(tensorflow/tools/graph_transforms/quantize_nodes.cc)."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from compressor_gui.core.attr_value import encode_attr
from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import ModelGraph, Node, parse_ref
from compressor_gui.core.passes.base import Pass, PassResult, result
from compressor_gui.core.trust import harmless_ops
from compressor_gui.core.values import DType, Tensor

_STATE = re.compile(
    r"Random|TruncatedNormal|Sampl|Skipgram|Stateful|Multinomial|Table|TensorArray|^Stack|Variable|^Var|Resource"
    r"|^(Assert|Print|CheckNumerics\w*|Empty|GuaranteeConst|DeviceIndex|Placeholder\w*|If|While|Case|PartitionedCall)$"
    r"|^(Ref)?(Switch|Merge|Enter|Exit|NextIteration)$|^(LoopCond|NoOp|ControlTrigger|StatelessIf|StatelessWhile)$"
)
"""Operations that two nodes may do for a reason: state, chance, effects, inputs, and version 1 control flow."""


@dataclass(frozen=True)
class MergeDuplicateNodes(Pass):
    """Two nodes are the same when operation, device, inputs and attributes are; constants when their values are.

    The first one in order of computation stays. Outputs keep their names. Nodes of operations that have state, or that
    TensorFlow does not know, stay.
    """

    name: ClassVar[str] = "merge_duplicate_nodes"
    title: ClassVar[str] = "Merge duplicate nodes"
    summary: ClassVar[str] = "Makes one node of several that compute the same, and one constant of equal ones."

    def run(self, graph: ModelGraph) -> PassResult:
        """In order of computation, so that a node whose inputs were merged can be merged in the same step."""
        edit = Edit(graph)
        first: dict[Hashable, str] = {}
        ports = _ports(graph)
        shapes = Counter(_kind(node.tensor) for node in graph.nodes if node.tensor is not None)
        for node in graph.topological():
            if node.op not in harmless_ops() or _STATE.search(node.op):
                continue
            if node.tensor is not None and shapes[_kind(node.tensor)] == 1:
                continue
            kept = first.setdefault(_key(edit, node), node.name)
            if kept == node.name or graph.is_output(node.name):
                continue
            for port in sorted(ports.get(node.name, set()) | {0}):
                edit.rewire(f"{node.name}:{port}", f"{kept}:{port}")
            edit.remove(node.name, f"the same as {kept}")
        return result(edit)


def _ports(graph: ModelGraph) -> dict[str, set[int]]:
    """Node -> its outputs that are read."""
    found: dict[str, set[int]] = {}
    for node in graph.nodes:
        for ref in node.data_refs:
            found.setdefault(ref.name, set()).add(ref.port)
    return found


def _kind(tensor: Tensor) -> Hashable:
    return tensor.dtype, tensor.array.shape


def _key(edit: Edit, node: Node) -> Hashable:
    """What two nodes have in common exactly when they are the same, after the merging so far."""
    data = tuple(edit.resolve(str(ref)) for ref in node.data_refs)
    control = frozenset(parse_ref(edit.resolve(ref.name)).name for ref in node.refs if ref.control)
    attrs = tuple(
        (key, _digest(value) if isinstance(value, Tensor) else encode_attr(value))
        for key, value in sorted((key, node.attrs[key]) for key in node.attrs)
    )
    return node.op, node.device, data, control, attrs


def _digest(tensor: Tensor) -> Hashable:
    """A constant's content, however it was stored."""
    if tensor.dtype == DType.STRING:
        return _kind(tensor), tuple(tensor.array.ravel())
    content = np.ascontiguousarray(tensor.array).reshape(-1).view(np.uint8)
    return _kind(tensor), hashlib.sha256(content.data).digest()

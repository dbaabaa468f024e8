"""What holds of every graph, checked after reading and after every pass."""

from __future__ import annotations

from compressor_gui.core.errors import GraphError
from compressor_gui.core.graph import ModelGraph, Node, check_tensor
from compressor_gui.core.values import DType, RawAttr, Tensor

_LOOP_OPS = frozenset({"Enter", "RefEnter", "Merge", "RefMerge"})


def verify(graph: ModelGraph, before: ModelGraph | None = None) -> None:
    """Check that inputs exist, that there is no cycle outside loops, that the loops of version 1 are entered, that
    outputs are kept, and that attributes can be decoded and constants fit their shapes. (That names are unique is a
    ModelGraph's own doing.)

    With ``before``, the version that passed already, nodes shared with it are not decoded again. Raises GraphError
    naming the node.
    """
    for node in graph.nodes:
        if before is not None and before.get(node.name) is node:
            shared = True
        else:
            shared = False
            check_tensor(node)
        control = False
        for text, ref in zip(node.inputs, node.refs, strict=True):
            if ref.name not in graph:
                words = f"its input {text!r} is not in the graph"
                raise GraphError(words, where=f"node {node.name!r}", hint="the graph is incomplete")
            if control and not ref.control and not shared:
                raise GraphError(f"its input {text!r} stands behind a control input", where=f"node {node.name!r}")
            control = control or ref.control
        if node.op == "Const" and not shared:
            _check_constant(node)
        if node.op in _LOOP_OPS:
            _check_loop(graph, node)
    for name in graph.outputs:
        if name not in graph:
            raise GraphError("this output is missing", where=f"node {name!r}", hint="name one that is in the graph")
    graph.topological()


def _check_constant(node: Node) -> None:
    value, dtype = node.attrs.get("value"), node.dtype("dtype")
    words = ""
    if node.data_refs:
        words = "it is a constant and has an input"
    elif not isinstance(value, Tensor) and not (isinstance(value, RawAttr) and value.kind == "tensor"):
        words = "it is a constant and has no value"
    elif isinstance(value, Tensor) and dtype is not None and dtype != value.dtype:
        words = f"it is a constant of {dtype.label}, and its value is of {value.dtype.label}"
    elif isinstance(value, RawAttr) and dtype is not None and dtype != DType.STRING and dtype.numpy is not None:
        words = f"its value is not a tensor of {dtype.label} that can be read"
    if words:
        raise GraphError(words, where=f"node {node.name!r}", hint="the file is damaged")


def _check_loop(graph: ModelGraph, node: Node) -> None:
    """The rules of TensorFlow's version 1 loops that a broken graph would break first."""
    if node.op in ("Enter", "RefEnter"):
        if not node.text("frame_name"):
            raise GraphError(
                "it enters a loop and does not name it", where=f"node {node.name!r}, attribute 'frame_name'"
            )
        return
    sources = {graph[ref.name].op for ref in node.data_refs if ref.name in graph}
    if sources & {"NextIteration", "RefNextIteration"} and not sources & {"Enter", "RefEnter"}:
        raise GraphError("it is the start of a loop that nothing enters", where=f"node {node.name!r}")

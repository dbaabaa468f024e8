"""What quantizing passes say of a graph that is quantized already."""

from __future__ import annotations

from compressor_gui.core.captions import is_quantized
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.base import PassResult

TAKE_FLOAT = "take the float graph, or leave this step out"


def already_quantized(graph: ModelGraph) -> str:
    """A sentence on a graph with 8-bit operations or weights, without its full stop; empty where it has none."""
    nodes = (node for node in graph.nodes if not node.op.startswith("QuantizeAndDequantize"))  # of training
    found = next((node for node in nodes if is_quantized(node.op)), None)
    return f"the graph is quantized already: {found.name!r} is a {found.op}" if found is not None else ""


def stranger(graph: ModelGraph, what: str, where: str, hint: str) -> PassError:
    """The error for a name that is not in the graph: of a quantized one it says that, as names go with the floats."""
    quantized = already_quantized(graph)
    if not quantized:
        return PassError(what, where=where, hint=hint)
    return PassError(f"{what}, and {quantized}", where=where, hint=TAKE_FLOAT)


def refuse_if_idle(done: PassResult, graph: ModelGraph, where: str) -> PassResult:
    """``done``; raises PassError where it changes nothing because the graph is quantized already."""
    quantized = "" if done.changed else already_quantized(graph)
    if quantized:
        raise PassError(quantized, where=where, hint=TAKE_FLOAT)
    return done

"""Which graphs may run without asking: those whose every op only computes.

A frozen graph is a program. TensorFlow has ops that read and write files, open sockets and run Python, and a file from
the net may hold them; so what runs is what stands on a list of harmless ops (``resources/ops.txt``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files

from compressor_gui.core import wire
from compressor_gui.core.errors import CompressorError, GraphError
from compressor_gui.core.graph import ModelGraph

_LIBRARY = 2  # GraphDef.library
_FUNCTION = 1  # FunctionDefLibrary.function
_SIGNATURE, _NODE = 1, 3  # FunctionDef.signature, .node_def
_NAME, _OP = 1, 2  # NodeDef.name, .op; OpDef.name


@cache
def harmless_ops() -> frozenset[str]:
    """The ops that run without being asked."""
    text = files("resources").joinpath("ops.txt").read_text("utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


def untrusted_ops(graph: ModelGraph) -> tuple[tuple[str, str], ...]:
    """Node and op of everything in ``graph``, its function library included, that is not known to be harmless.

    A node in a function is named ``function/node``. Raises GraphError when the library can't be read.
    """
    try:
        functions = dict(_functions(graph))
    except wire.WireError as error:
        raise GraphError(f"its function library is damaged: {error}", hint="export the model again") from None
    known = harmless_ops() | functions.keys()
    found = [(node.name, node.op) for node in graph.nodes if node.op not in known]
    for function, nodes in functions.items():
        found += [(f"{function}/{name}", op) for name, op in nodes if op not in known]
    return tuple(found)


def refuse_untrusted(graph: ModelGraph, where: str = "") -> None:
    """Raise CompressorError where ``graph`` must not run without the user's word."""
    refuse(untrusted_ops(graph), where)


def refuse(found: Sequence[tuple[str, str]], where: str) -> None:
    """Raise CompressorError for the first of these nodes and ops, if there are any."""
    if not found:
        return
    name, op = found[0]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    raise CompressorError(
        f"the op {op} (node {name!r}){more} may do more than compute, so the graph was not run",
        where=where,
        hint="if you trust the file, allow unsafe ops",
    )


def _functions(graph: ModelGraph) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each function of the library: its name, and its nodes' names and ops."""
    for library in _messages(memoryview(graph.extras), _LIBRARY):
        for function in _messages(library, _FUNCTION):
            signature = memoryview(b"".join(_messages(function, _SIGNATURE)))  # which is how they are merged
            yield _text(signature, _NAME), [(_text(n, _NAME), _text(n, _OP)) for n in _messages(function, _NODE)]


def _messages(data: memoryview, number: int) -> Iterator[memoryview]:
    return (value for found, _, value in wire.fields(data) if found == number and isinstance(value, memoryview))


def _text(data: memoryview, number: int) -> str:
    """A text field's last value, as protocol buffers have it."""
    values = list(_messages(data, number))
    return str(values[-1], "utf-8", "replace") if values else ""

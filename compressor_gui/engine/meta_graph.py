"""What a SavedModel or a checkpoint's ``.meta`` would run when it is loaded and frozen, known before it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import parse_ref
from compressor_gui.core.trust import harmless_ops, refuse

_RESTORING = frozenset({"RestoreV2", "Restore", "RestoreSlice", "ShardedFilename"})
"""Ops that read variables from a checkpoint; TensorFlow feeds them its path."""

_READ = "/Read/ReadVariableOp"
"""Behind a variable's name: the node that convert_variables_to_constants runs for its value, whoever else reads it."""

_INITIALIZERS = ("saved_model_main_op", "legacy_init_op", "saved_model_init_op")
_INIT_SIGNATURE = "__saved_model_init_op"


def read_saved_model(folder: Path) -> Any:
    """The meta graph for serving, or the only one there is. Raises CompressorError."""
    model = saved_model_pb2.SavedModel()
    try:
        binary = folder / "saved_model.pb"
        if binary.exists():
            model.ParseFromString(binary.read_bytes())
        else:
            text_format.Parse((folder / "saved_model.pbtxt").read_text("utf-8"), model)
    except (OSError, UnicodeDecodeError, DecodeError, text_format.ParseError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise CompressorError(f"the SavedModel can't be read: {reason}", where=str(folder)) from None
    if not model.meta_graphs:
        raise CompressorError("the SavedModel is empty", where=str(folder))
    serving = (meta for meta in model.meta_graphs if "serve" in meta.meta_info_def.tags)
    return next(serving, model.meta_graphs[0])


def read_meta(path: Path) -> Any:
    """The meta graph of a checkpoint. Raises CompressorError."""
    try:
        return meta_graph_pb2.MetaGraphDef.FromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no MetaGraphDef"
        raise CompressorError(f"it can't be read: {reason}", where=str(path)) from None


def signatures(meta: Any) -> dict[str, Any]:
    """Name -> signature of those that compute something, the default first."""
    found = {name: signature for name, signature in meta.signature_def.items() if name != _INIT_SIGNATURE}
    return dict(sorted(found.items(), key=lambda item: (item[0] != "serving_default", item[0])))


def refuse_untrusted_meta(meta: Any, outputs: Iterable[str], where: str) -> None:
    """Raise CompressorError where loading ``meta``, freezing it and computing ``outputs`` may do more than compute.

    What saves variables stands in every SavedModel; it does not count, because nothing that is run leads there. What
    restores them may read files where the saver runs it, and nowhere else.
    """
    roots = [*outputs, *(f"{node.name}{_READ}" for node in meta.graph_def.node if node.op == "VarHandleOp")]
    for signature in meta.signature_def.values():
        roots += [tensor.name for tensor in signature.outputs.values()]
    for key in _INITIALIZERS:
        roots += meta.collection_def[key].node_list.value if key in meta.collection_def else ()
    objects = meta.object_graph_def.concrete_functions
    found = [(name, op) for name, op in _reached(meta, roots, objects) if op not in harmless_ops()]
    restoring = harmless_ops() | _RESTORING
    found += [(name, op) for name, op in _reached(meta, [meta.saver_def.restore_op_name]) if op not in restoring]
    refuse(found, where)


def _reached(meta: Any, roots: Iterable[str], objects: Iterable[str] = ()) -> Iterator[tuple[str, str]]:
    """Node and op of everything that the nodes ``roots`` and the functions ``objects`` need, in functions too."""
    nodes = {node.name: node for node in meta.graph_def.node}
    functions = {function.signature.name: function for function in meta.graph_def.library.function}
    seen: set[str] = set()
    waiting = [parse_ref(root).name for root in roots]
    called = list(objects)
    entered: set[str] = set()
    while waiting or called:
        if waiting:
            name = waiting.pop()
            if name in seen or name not in nodes:
                continue
            seen.add(name)
            waiting += [parse_ref(text).name for text in nodes[name].input]
            found = [("", nodes[name])]
        else:
            function = called.pop()
            if function in entered or function not in functions:
                continue
            entered.add(function)
            found = [(f"{function}/", node) for node in functions[function].node_def]
        for scope, node in found:
            called += _calls(node)
            if node.op not in functions:
                yield scope + node.name, node.op


def _calls(node: Any) -> Iterator[str]:
    """The functions that a node may call."""
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        for function in value.list.func:
            yield function.name

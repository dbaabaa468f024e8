"""Bytes of ``.pb`` and ``.pbtxt`` files <-> ModelGraph.

Binary graphs are read by walking the wire format: attributes stay where they are in the file's bytes until they are
asked for, tensors are views on them, and a node that nothing changed is written back as the very bytes it was read
from. So whatever this program does not understand survives.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from compressor_gui.core import wire
from compressor_gui.core.attr_value import encode_attr
from compressor_gui.core.collector import collector_paused
from compressor_gui.core.errors import CompressorError, GraphError
from compressor_gui.core.formats import IMPORT, holds_model, refuse_other_formats
from compressor_gui.core.graph import Attrs, ModelGraph, Node
from compressor_gui.core.memo import by_identity
from compressor_gui.core.values import Attr
from compressor_gui.core.verify import verify

MAX_BYTES = (1 << 31) - 1
_NODE = 1
_KNOWN_GRAPH_FIELDS = {1, 2, 3, 4, 5}
_TEXT_FIELD = re.compile(rb"^[ \t]*(node|library|versions?)\s*[:{]", re.MULTILINE)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a model file; ``-`` is standard input. Raises GraphError with a sentence for the user."""
    if str(path) == "-":
        return _whole(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input")
    path = Path(path)
    where = str(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise GraphError(
                "this is a folder, not a frozen graph",
                where=where,
                hint=IMPORT if holds_model(path) else "choose the .pb file in it",
            )
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            raise GraphError("this is a device, not a file", where=where, hint="choose a .pb file")
        if status.st_size > MAX_BYTES:
            raise _too_large(status.st_size, where)
        with path.open("rb") as stream:
            return _whole(stream.read(MAX_BYTES + 1), where)
    except FileNotFoundError:
        raise GraphError("there is no such file", where=where, hint="check the path") from None
    except PermissionError:
        raise GraphError("it can't be read: no permission", where=where, hint="change the file's permissions") from None
    except OSError as error:
        raise GraphError(f"it can't be read: {error.strerror or error}", where=where) from None
    except ValueError:
        raise GraphError("this is not a path", where=repr(where)) from None


def _whole(data: bytes, where: str) -> bytes:
    """What a pipe gave, unless it is more than a graph can be."""
    if len(data) > MAX_BYTES:
        raise _too_large(len(data), where)
    return data


def _too_large(size: int, where: str) -> GraphError:
    return GraphError(
        f"it has {size / 1e9:.2f} GB, and a protocol buffer can't be larger than 2 GB",
        where=where,
        hint="no TensorFlow reads such a .pb; keep the weights in a checkpoint and freeze a part of the model",
    )


def read_graph(path: str | Path, outputs: Iterable[str] | None = None) -> ModelGraph:
    """Read a frozen graph from a file (``-``: standard input). Raises GraphError."""
    return parse_graph(read_bytes(path), where="standard input" if str(path) == "-" else str(path), outputs=outputs)


def parse_graph(data: bytes, where: str = "", outputs: Iterable[str] | None = None) -> ModelGraph:
    """Read a graph from the bytes of a ``.pb`` or ``.pbtxt``, told apart by content, and verify it.

    Raises GraphError.
    """
    data = data.removeprefix(codecs.BOM_UTF8)  # some editors begin text with it; no binary graph does
    refuse_other_formats(data, where)
    if _looks_like_text(data):
        data = _binary_from_text(data, where)
    try:
        with collector_paused():
            graph = _parse_binary(memoryview(data), outputs)
            verify(graph)
            return graph
    except wire.WireError as error:
        raise GraphError(
            f"this is not a whole GraphDef: {error}", where=where, hint="the file is damaged or cut off"
        ) from None
    except CompressorError as error:
        place = f"{where}, {error.where}" if where and error.where else where or error.where
        raise GraphError(error.what, where=place, hint=error.hint) from None


def _parse_binary(data: memoryview, outputs: Iterable[str] | None) -> ModelGraph:
    nodes: list[Node] = []
    extras = bytearray()
    known = True
    for number, kind, value, start, end in wire.spans(data):
        if number == _NODE and isinstance(value, memoryview):
            nodes.append(_parse_node(value, len(nodes)))
        else:
            extras += data[start:end]
            known = known and number in _KNOWN_GRAPH_FIELDS and (kind == wire.BYTES or number == 3)
    if not nodes:
        raise GraphError(
            "there is no node in it" if known else "this is not a TensorFlow graph", hint="a frozen graph is a .pb file"
        )
    return ModelGraph(nodes, bytes(extras), outputs)


def _text(value: int | memoryview, what: str) -> str:
    if isinstance(value, int):
        raise wire.WireError(f"{what} is not text")
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        raise wire.WireError(f"{what} is not valid UTF-8") from None


def _parse_node(data: memoryview, index: int) -> Node:
    name = op = device = ""
    inputs: list[str] = []
    attrs: dict[str, Attr | memoryview] = {}
    extra = bytearray()
    for number, _kind, value, start, end in wire.spans(data):
        if number == 5 and isinstance(value, memoryview):
            key, content = "", memoryview(b"")
            for entry, _, entry_value in wire.fields(value):
                if entry == 1:
                    key = _text(entry_value, "an attribute's name")
                elif entry == 2 and isinstance(entry_value, memoryview):
                    content = entry_value
            attrs[key] = content
        elif number == 3:
            inputs.append(_text(value, f"an input of node {index}"))
        elif number == 1:
            name = _text(value, f"the name of node {index}")
        elif number == 2:
            op = _text(value, f"the op of node {index}")
        elif number == 4:
            device = _text(value, f"the device of node {index}")
        else:
            extra += data[start:end]
    if not name or not op:
        raise GraphError(
            "it has no name" if not name else "it has no op",
            where=f"node {name or index!r}",
            hint="this is not a frozen TensorFlow graph, or it is damaged",
        )
    return Node(name, op, tuple(inputs), Attrs(attrs), device, bytes(extra), data)


def _looks_like_text(data: bytes) -> bool:
    """Text has no control characters; a binary graph has one in every node, the tag of its op (0x12)."""
    head = data[:4096]
    return head.lstrip()[:1] != b"" and not _CONTROL.search(head)


def _binary_from_text(data: bytes, where: str) -> bytes:
    from google.protobuf import text_format
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    if not _TEXT_FIELD.search(data):
        hint = "a frozen graph is a .pb file, or text that begins with node {"
        raise GraphError("this is not a TensorFlow graph", where=where, hint=hint)
    try:
        text = data.decode("utf-8")
        return bytes(text_format.Parse(text, GraphDef()).SerializeToString(deterministic=True))
    except UnicodeDecodeError:
        raise GraphError("this is neither a binary nor a text graph", where=where) from None
    except text_format.ParseError as error:
        line, column = error.GetLine(), error.GetColumn()
        if line is None:
            raise GraphError(f"this is not a text graph: {error}", where=where) from None
        reason = str(error).removeprefix(f"{line}:{column} : ")
        raise GraphError(f"the text graph has an error: {reason}", where=f"{where}, line {line}".lstrip(", ")) from None
    except RecursionError:
        raise GraphError("the text graph is nested too deeply", where=where) from None


def node_parts(node: Node) -> list[bytes | memoryview]:
    """A NodeDef as parts to be joined; an untouched node gives the bytes it was read from."""
    if node.raw is not None:
        return [node.raw]
    parts: list[bytes | memoryview] = [wire.put_bytes(1, node.name.encode()), wire.put_bytes(2, node.op.encode())]
    parts += [wire.put_bytes(3, text.encode()) for text in node.inputs]
    if node.device:
        parts.append(wire.put_bytes(4, node.device.encode()))
    for key, value in sorted(node.attrs.raw_items()):
        content = value if isinstance(value, memoryview) else encode_attr(value)
        entry = wire.put_bytes(1, key.encode())
        head = wire.put_varint(2 << 3 | wire.BYTES) + wire.put_varint(len(content))
        size = len(entry) + len(head) + len(content)
        parts += [wire.put_varint(5 << 3 | wire.BYTES) + wire.put_varint(size) + entry + head, content]
    if node.extra:
        parts.append(node.extra)
    return parts


def serialize(graph: ModelGraph) -> list[bytes | memoryview]:
    """The binary GraphDef as parts to be joined or written one by one. Raises GraphError above 2 GB."""
    out: list[bytes | memoryview] = []
    total = 0
    for node in graph.nodes:
        parts = node_parts(node)
        size = sum(len(part) for part in parts)
        out.append(wire.put_varint(_NODE << 3 | wire.BYTES) + wire.put_varint(size))
        out += parts
        total += size + len(out[-len(parts) - 1])
    out.append(graph.extras)
    if total + len(graph.extras) > MAX_BYTES:
        raise GraphError(f"the graph has {total / 1e9:.2f} GB, and a protocol buffer can't be larger than 2 GB")
    return out


def to_bytes(graph: ModelGraph) -> bytes:
    """The binary GraphDef."""
    return b"".join(serialize(graph))


def to_text(graph: ModelGraph) -> str:
    """The ``.pbtxt`` form (fields unknown to this TensorFlow are left out: text has no place for them).

    Raises GraphError where an attribute that was carried through unread turns out to be malformed.
    """
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    try:
        return str(text_format.MessageToString(GraphDef.FromString(to_bytes(graph))))
    except DecodeError:
        words = "it can't be written as text, because some attribute that is carried through unread is malformed"
        raise GraphError(words, hint="write a .pb") from None


def node_size(node: Node) -> int:
    """How many bytes a node takes in the binary file, tag and length included."""
    size = len(node.raw) if node.raw is not None else _encoded_size(node)
    return size + len(wire.put_varint(_NODE << 3 | wire.BYTES)) + len(wire.put_varint(size))


@by_identity
def _encoded_size(node: Node) -> int:
    """What a node that was made here takes: remembered, because sizes are shown after every step."""
    return sum(len(part) for part in node_parts(node))


def byte_size(graph: ModelGraph) -> int:
    """How many bytes the binary file has."""
    return sum(map(node_size, graph.nodes)) + len(graph.extras)


def write_beside(graph: ModelGraph, target: str | Path) -> Path:
    """Write the graph into a new file in the target's folder, to be checked and then moved by :func:`move_over`.

    ``.pbtxt`` is written as text. Raises CompressorError when the target is a folder or a device, when its folder can't
    be written or the disk is full; nothing is left behind then.
    """
    if Path(target).suffix == ".pbtxt":
        return bytes_beside([to_text(graph).encode()], target)
    return bytes_beside(serialize(graph), target)


def bytes_beside(parts: Iterable[bytes | memoryview], target: str | Path) -> Path:
    """Write any bytes as :func:`write_beside` writes a graph."""
    target = Path(target)
    try:
        if target.exists() and not target.is_file():  # a device would be replaced by the file
            raise CompressorError("this is not a file that can be written over", where=str(target), hint="name a file")
        handle, name = tempfile.mkstemp(
            prefix=f".{target.stem[:40]}-", suffix=target.suffix or ".pb", dir=target.parent
        )
    except OSError as error:
        raise cannot_write(target, error) from None
    except ValueError:
        raise CompressorError("this is not a path", where=repr(str(target))) from None
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.writelines(parts)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(target, error) from None
        raise
    return temporary


def move_over(temporary: Path, target: str | Path, source: str | Path | None = None) -> None:
    """Move a checked file over its target. Raises CompressorError when that is the source, or can't be written."""
    target = Path(target)
    try:
        refuse_source(target, source)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, target)
    except OSError as error:
        raise cannot_write(target, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def refuse_source(target: Path, source: str | Path | None) -> None:
    """Raise CompressorError when ``target`` is the very file that was opened, by whatever path."""
    if source is not None and target.exists() and Path(source).exists() and target.samefile(source):
        raise CompressorError(
            "this is the file that was opened, and it is never overwritten",
            where=str(target),
            hint="choose another name",
        )


def write_graph(graph: ModelGraph, target: str | Path, source: str | Path | None = None) -> int:
    """Write beside the target, then move over it; returns the file's size in bytes. Raises CompressorError."""
    refuse_source(Path(target), source)
    temporary = write_beside(graph, target)
    size = temporary.stat().st_size
    move_over(temporary, target, source)
    return size


def cannot_write(target: Path, error: OSError) -> CompressorError:
    """The sentence for a target that the system refuses."""
    missing = error.errno == errno.ENOENT and target.parent.is_dir()
    reason = "this folder takes no new files" if missing else error.strerror or str(error)
    hint = "free some space or choose another folder" if error.errno == errno.ENOSPC else "choose another folder"
    return CompressorError(f"it can't be written: {reason}", where=str(target), hint=hint)

"""Files that are no graphs, and graphs that are wrong: each gets one sentence that says what, where and what to do."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor_gui.core import pbio, wire
from compressor_gui.core.attr_value import encode_shape
from compressor_gui.core.errors import CompressorError, GraphError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.layers import find_layers
from compressor_gui.core.values import DType, RawAttr, Shape
from tests.support import const, conv_net, graph, node, placeholder

SMALL = pbio.to_bytes(
    graph(
        placeholder("input", (1, 4)), const("weights", [[1.0, -2], [0, 3]]), node("out", "MatMul", "input", "weights")
    )
)


def refused(data: bytes, *words: str) -> None:
    """The bytes are refused in one sentence with all these words, and the file is named."""
    with pytest.raises(GraphError) as caught:
        pbio.parse_graph(data, where="model.pb")
    text = str(caught.value)
    assert text.startswith("model.pb")
    assert "\n" not in text
    for word in words:
        assert word in text


# --- files that are something else -----------------------------------------------------------------------------------

SAVED_MODEL = wire.put_int(1, 1) + wire.put_bytes(2, wire.put_bytes(1, b"\x0a\x00"), wire.put_bytes(2, SMALL))
ONNX = wire.put_int(1, 8) + wire.put_bytes(2, b"pytorch") + wire.put_bytes(3, b"2.1") + wire.put_bytes(7, b"\x0a\x00")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(50), "JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"\n\n  <html lang='en'>", "web page"),
        (b"PK\x03\x04" + bytes(50), "zip"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
        (b"\x1f\x8b\x08\x00" + bytes(50), "gzip"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(50), "TensorFlow Lite"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b'{"format": "graph-model", "modelTopology": {}}', "TensorFlow.js"),
        (SAVED_MODEL, "SavedModel"),
        (b"saved_model_schema_version: 1\nmeta_graphs {\n}\n", "SavedModel"),
        (ONNX, "ONNX"),
        (bytes(100), "not a whole GraphDef"),
        (b"just some words\n", "this is not a TensorFlow graph"),
        (b"node {\n  hello: 1\n}\n", "line 2"),
        (wire.put_bytes(4, wire.put_int(1, 27)), "there is no node in it"),
        (wire.put_bytes(17, b"abc"), "not a TensorFlow graph"),
    ],
)
def test_not_a_graph(data: bytes, words: str) -> None:
    refused(data, words)


def test_every_prefix_of_a_graph_is_an_error_or_a_graph() -> None:
    whole = pbio.to_bytes(conv_net())
    ends = {end for *_, end in wire.spans(memoryview(SMALL))}
    for size in range(len(SMALL)):
        try:
            read = pbio.parse_graph(SMALL[:size])
        except GraphError:
            assert size not in ends
        else:
            assert size in ends
            assert len(read) < 3
    refused(whole[: len(whole) // 2], "not a whole GraphDef", "damaged or cut off")


def survives(data: bytes) -> None:
    """Reading gives a graph that can be worked with, or an error for the user; nothing else."""
    try:
        read = pbio.parse_graph(data)
        for found in read.nodes:
            dict(found.attrs.items())
        find_layers(read)
        pbio.to_bytes(ModelGraph([n.with_() for n in read.nodes], read.extras))
    except CompressorError:
        pass


@settings(max_examples=400)
@given(st.integers(0, len(SMALL) * 8 - 1), st.integers(0, len(SMALL) * 8 - 1))
def test_flipped_bits(first: int, second: int) -> None:
    data = bytearray(SMALL)
    data[first // 8] ^= 1 << first % 8
    survives(bytes(data))
    data[second // 8] ^= 1 << second % 8
    survives(bytes(data))


def test_every_byte_set_to_extremes() -> None:
    for index in range(len(SMALL)):
        for value in (0x00, 0x7F, 0x80, 0xFF):
            survives(SMALL[:index] + bytes([value]) + SMALL[index + 1 :])


@settings(max_examples=200)
@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    survives(data)
    survives(wire.put_bytes(1, data))
    entry = wire.put_bytes(1, b"value"), wire.put_bytes(2, wire.put_bytes(8, data))
    survives(wire.put_bytes(1, wire.put_bytes(1, b"c"), wire.put_bytes(2, b"Const"), wire.put_bytes(5, *entry)))


# --- paths -----------------------------------------------------------------------------------------------------------


def path_refused(path: Path | str, *words: str) -> None:
    with pytest.raises(GraphError) as caught:
        pbio.read_graph(path)
    for word in (*words, Path(str(path).replace("\0", "")).name):
        assert word in str(caught.value)


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    path_refused(tmp_path / "missing.pb", "there is no such file")
    path_refused(tmp_path, "this is a folder", "choose the .pb file in it")
    path_refused(tmp_path / ("x" * 300), "it can't be read")
    path_refused("/dev/zero", "a device")
    with pytest.raises(GraphError, match="not a path"):
        pbio.read_graph("a\0b.pb")
    (tmp_path / "saved_model.pb").write_bytes(SAVED_MODEL)
    path_refused(tmp_path, "this is a folder", "compressor-cli import")
    path_refused(tmp_path / "saved_model.pb", "SavedModel", "compressor-cli import")
    for name, content in (("a.meta", SMALL), ("a.index", bytes(9)), ("a.keras", b"PK\x03\x04"), ("a.h5", b"\x89HDF")):
        (tmp_path / name).write_bytes(content)
        path_refused(tmp_path / name, "compressor-cli import")
    (tmp_path / "file").touch()
    path_refused(tmp_path / "file" / "inner.pb", "it can't be read")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.pb").write_bytes(SMALL)

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # the tests may run as root, whom no permission stops
    path_refused(tmp_path / "secret.pb", "no permission")


def test_more_than_two_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "huge.pb").open("wb") as stream:
        stream.truncate(5 << 30)  # sparse: takes no space on the disk
    path_refused(tmp_path / "huge.pb", "5.37 GB", "can't be larger than 2 GB")
    monkeypatch.setattr(pbio, "MAX_BYTES", 100)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SMALL)))
    with pytest.raises(GraphError, match=r"standard input: it has .* GB"):
        pbio.read_graph("-")
    with pytest.raises(GraphError, match="can't be larger than 2 GB"):
        pbio.write_graph(conv_net(), tmp_path / "out.pb")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["huge.pb"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SMALL)))
    assert list(pbio.read_graph("-")) == ["input", "weights", "out"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"<html>")))
    with pytest.raises(GraphError, match="standard input: this is a web page"):
        pbio.read_graph("-")


# --- export ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.pb", "out.pbtxt"])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / name).write_bytes(b"the old one")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CompressorError, match=r"out.* No space left on device \(free some space"):
        pbio.write_graph(conv_net(), tmp_path / name)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(name, b"the old one")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a device of Linux")
def test_a_disk_that_is_full_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.fdopen

    def on_full_disk(handle: int, mode: str) -> Any:
        os.close(handle)
        return opened(os.open("/dev/full", os.O_WRONLY), mode)

    monkeypatch.setattr(os, "fdopen", on_full_disk)
    with pytest.raises(CompressorError, match="No space left on device"):
        pbio.write_graph(conv_net(), tmp_path / "out.pb")
    assert list(tmp_path.iterdir()) == []


def test_targets_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(CompressorError, match=r"nowhere.out\.pb: it can't be written: No such file or directory"):
        pbio.write_graph(conv_net(), tmp_path / "nowhere" / "out.pb")
    (tmp_path / "folder.pb").mkdir()
    with pytest.raises(CompressorError, match=r"folder\.pb: this is not a file"):
        pbio.write_graph(conv_net(), tmp_path / "folder.pb")
    with pytest.raises(CompressorError, match="not a path"):
        pbio.write_graph(conv_net(), f"{tmp_path}/a\0b.pb")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.pb"]


def test_never_over_the_source(tmp_path: Path) -> None:
    source = tmp_path / "model.pb"
    source.write_bytes(SMALL)
    (tmp_path / "link.pb").symlink_to(source)
    (tmp_path / "hard.pb").hardlink_to(source)
    for target in (source, tmp_path / "link.pb", tmp_path / "hard.pb", tmp_path / "." / "model.pb"):
        with pytest.raises(CompressorError, match=r"never overwritten \(choose another name\)"):
            pbio.write_graph(conv_net(), target, source=source)
    beside = pbio.write_beside(conv_net(), source)
    with pytest.raises(CompressorError, match="never overwritten"):
        pbio.move_over(beside, source, source=source)
    assert source.read_bytes() == SMALL
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hard.pb", "link.pb", "model.pb"]


def test_a_malformed_attribute_that_was_carried_through_can_not_be_text() -> None:
    made = graph(Node.make("x", "NoOp", f=RawAttr(wire.put_bytes(10, b"\xff\xff"))))
    assert pbio.parse_graph(pbio.to_bytes(made))["x"].same(made["x"])
    with pytest.raises(GraphError, match=r"can't be written as text.*\(write a \.pb\)"):
        pbio.to_text(made)


# --- graphs that are wrong -------------------------------------------------------------------------------------------


def raw(*nodes: Node) -> bytes:
    """The bytes of nodes that ModelGraph would refuse."""
    return b"".join(wire.put_bytes(1, *pbio.node_parts(n)) for n in nodes)


def test_duplicate_names() -> None:
    refused(raw(const("a/b", 1.0), const("a/b", 2.0)), "node 'a/b'", "two nodes have this name")


def test_missing_inputs() -> None:
    refused(raw(node("x", "Relu", "nowhere:1")), "node 'x'", "its input 'nowhere:1' is not in the graph")
    refused(raw(node("x", "Relu", "^nowhere")), "node 'x'", "'^nowhere' is not in the graph")
    refused(raw(node("x", "Relu", "x:" + "9" * 5000)), "node 'x'", "is not in the graph")
    refused(raw(node("x", "Relu", "")), "node 'x'", "its input '' is not in the graph")


def test_cycles() -> None:
    refused(raw(node("x", "Relu", "x")), "node 'x'", "a cycle outside a loop")
    refused(raw(const("c", 1.0), node("x", "AddV2", "y", "c"), node("y", "Relu", "x")), "a cycle outside a loop")
    refused(raw(node("x", "Relu", "y"), node("y", "NoOp", "^x")), "a cycle outside a loop")


def test_nodes_without_name_or_op() -> None:
    refused(raw(const("c", 1.0), Node.make("", "NoOp")), "node 1", "it has no name")
    refused(raw(Node.make("x", "")), "node 'x'", "it has no op")
    refused(raw(Node.make("x", "NoOp")).replace(b"NoOp", b"\xff\xfe\xfd\xfc"), "the op of node 0 is not valid UTF-8")
    refused(wire.put_bytes(1, wire.put_int(1, 5)), "the name of node 0 is not text")


@pytest.mark.parametrize(
    ("shape", "fields", "words"),
    [
        ((3, 3), wire.put_bytes(4, bytes(20)), "asks for 36 bytes, and 20 are there"),
        ((2,), wire.put_bytes(5, bytes(12)), "holds 2 values, and 3 are there"),
        ((-3, 2), wire.put_bytes(5, bytes(4)), "no definite shape"),
        ((2**40, 2**40), wire.put_bytes(5, bytes(4)), "more than the 2 GB"),
        ((2**28,), wire.put_bytes(5, bytes(8)), "2 values are there"),
        ((2,), wire.put_bytes(5, bytes(7)), "cut off"),
        ((2,), wire.put_bytes(4, bytes(8))[:-2], "8 bytes long, and 6 are left"),
        ((0, 2**62, 2**62), b"", "larger than any memory"),
    ],
)
def test_a_constant_that_lies_about_its_shape(shape: tuple[int, ...], fields: bytes, words: str) -> None:
    tensor = wire.put_int(1, DType.FLOAT) + wire.put_bytes(2, encode_shape(Shape(shape))) + fields
    liar = Node.make("w", "Const", dtype=DType.FLOAT, value=RawAttr(wire.put_bytes(8, tensor)))
    refused(raw(liar), "node 'w', attribute 'value'", words)


def test_text_with_an_error_names_the_line() -> None:
    text = pbio.to_text(conv_net()).splitlines()
    text[7] = "  oops }"
    refused("\n".join(text).encode(), "model.pb, line 8", "the text graph has an error")
    refused(b'node { name: "a" op: "NoOp" \n', "line")
    refused(b'node { name: "a" op: "NoOp" }\nnode { name: "a" op: "NoOp" }', "two nodes have this name")
    refused('node { name: "caf\xe9" }'.encode("latin-1"), "neither a binary nor a text graph")


def test_deep_nests_and_giant_lengths() -> None:
    deep = b""
    for _ in range(20_000):
        deep = wire.put_bytes(2, deep[-2000:])
    survives(wire.put_bytes(1, wire.put_bytes(1, b"x"), wire.put_bytes(2, b"NoOp"), wire.put_bytes(5, deep)))
    nest = 'attr { key: "f" value { func { name: "f" ' * 5000
    refused(b'node { name: "x" op: "NoOp" ' + nest.encode(), "text graph")
    refused(b"\x0a" + b"\xff" * 9 + b"\x01", "not a whole GraphDef", "bytes long")
    refused(b"\x0a" + b"\xff" * 12 + bytes(9), "longer than ten bytes")


# --- graphs that are unusual and right -------------------------------------------------------------------------------


def test_unusual_graphs_are_fine() -> None:
    strange = graph(
        placeholder("scope/深い/名前 mit Leerzeichen", (1,)),
        Node.make("op", "AnOpFromTheFuture", ["scope/深い/名前 mit Leerzeichen:7"], knob=RawAttr(b"\xea\x04\x01x")),
        Node.make("call", "PartitionedCall", ["op"], f=RawAttr(wire.put_bytes(10, wire.put_bytes(1, b"fn")))),
    )
    read = pbio.parse_graph(pbio.to_bytes(strange))
    assert [n.op for n in read.topological()] == ["Placeholder", "AnOpFromTheFuture", "PartitionedCall"]
    assert all(read[name].same(strange[name]) for name in strange)


def test_an_error_says_what_where_and_how() -> None:
    assert str(CompressorError("it is wrong", where="here", hint="mend it")) == "here: it is wrong (mend it)"
    assert str(CompressorError("it is wrong")) == "it is wrong"

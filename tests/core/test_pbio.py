"""Reading and writing: what was read is what is written, whether this program understands it or not."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto.graph_pb2 import GraphDef

from compressor_gui.core import pbio, wire
from compressor_gui.core.errors import CompressorError, GraphError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.values import DType, RawAttr, Shape, Tensor
from tests.support import MODEL_FILES, SHARED, const, conv_net, graph, graphs, needs_shared, node, placeholder


def rich() -> bytes:
    """A graph with all that this program does not read: library, versions, debug info, devices, unknown fields."""
    definition = GraphDef()
    definition.versions.producer = 1882
    definition.versions.bad_consumers.extend([3, 4])
    function = definition.library.function.add()
    function.signature.name = "double"
    function.node_def.add(name="inner", op="Mul")
    definition.library.gradient.add(function_name="double", gradient_func="double_grad")
    first = definition.node.add(name="größe/x", op="Placeholder", device="/job:localhost/device:CPU:0")
    first.attr["dtype"].type = 1
    first.attr["shape"].shape.unknown_rank = True
    first.attr["_output_shapes"].list.shape.add().dim.add(size=-1, name="batch")
    first.experimental_debug_info.original_node_names.append("before")
    second = definition.node.add(name="call", op="double", input=["größe/x:0", "^größe/x"])
    second.attr["f"].func.name = "double"
    second.attr["f"].func.attr["T"].type = 1
    second.attr["_class"].list.s.append(b"loc:@x")
    second.attr["empty"].SetInParent()
    data = bytearray()
    for item in definition.node:
        unknown = item.SerializeToString() + wire.put_bytes(99, b"from the future") + wire.put_int(98, 5)
        entry = wire.put_bytes(1, b"future") + wire.put_bytes(2, wire.put_bytes(77, b"new kind of value"))
        data += wire.put_bytes(1, unknown + wire.put_bytes(5, entry))
    definition.ClearField("node")
    return bytes(data) + definition.SerializeToString() + wire.put_bytes(50, b"unknown of the graph")


def fields_of(data: bytes) -> list[tuple[int, bytes]]:
    """The top fields, nodes first, for comparison byte for byte."""
    found = [(number, data[start:end]) for number, _, _, start, end in wire.spans(memoryview(data))]
    return sorted(found, key=lambda field: field[0] != 1)


def test_open_and_export_keeps_every_byte() -> None:
    data = rich()
    again = pbio.to_bytes(pbio.parse_graph(data))
    assert again == data
    assert GraphDef.FromString(again) == GraphDef.FromString(data)


def test_order_of_the_graphs_fields_does_not_matter() -> None:
    fields = fields_of(rich())
    turned = b"".join(content for _, content in reversed(fields))
    read = pbio.parse_graph(turned)
    assert sorted(fields_of(pbio.to_bytes(read))) == sorted(fields)


def test_a_changed_node_keeps_what_was_not_changed() -> None:
    read = pbio.parse_graph(rich())
    call = read["call"].with_(attrs={"T": DType.HALF}, inputs=["größe/x"])
    again = pbio.parse_graph(pbio.to_bytes(ModelGraph([read["größe/x"], call], read.extras)))
    assert again["call"].dtype() == DType.HALF
    assert again["call"].extra == read["call"].extra == wire.put_bytes(99, b"from the future") + wire.put_int(98, 5)
    assert isinstance(again["call"].attrs["f"], RawAttr)
    assert again["call"].changed_attrs(read["call"]) == ("T",)
    moved = read["größe/x"].with_(name="y")
    assert moved.device == "/job:localhost/device:CPU:0"
    assert pbio.node_parts(moved) != pbio.node_parts(read["größe/x"])
    proto = GraphDef.FromString(pbio.to_bytes(graph(moved))).node[0]
    original = GraphDef.FromString(rich()).node[0]
    original.name = "y"
    assert proto.SerializeToString(deterministic=True) == original.SerializeToString(deterministic=True)


def test_what_was_decoded_is_there() -> None:
    x, call = pbio.parse_graph(rich()).nodes
    assert (x.name, x.op, x.device, x.dtype("dtype"), x.shape()) == (
        "größe/x",
        "Placeholder",
        "/job:localhost/device:CPU:0",
        DType.FLOAT,
        Shape(None),
    )
    assert x.attrs["_output_shapes"] == (Shape((-1,)),)
    assert [str(ref) for ref in call.refs] == ["größe/x", "^größe/x"]


@given(graphs())
def test_random_graphs_survive(made: ModelGraph) -> None:
    data = pbio.to_bytes(made)
    read = pbio.parse_graph(data)
    assert list(read) == list(made)
    assert all(read[name].same(made[name]) for name in made)
    assert pbio.to_bytes(read) == data
    assert pbio.byte_size(made) == len(data)
    assert sum(map(pbio.node_size, read.nodes)) == len(data)


@given(graphs(max_blocks=3))
def test_text_and_binary_are_the_same_graph(made: ModelGraph) -> None:
    text = pbio.to_text(made).encode()
    read = pbio.parse_graph(text)
    assert list(read) == list(made)
    assert all(read[name].same(made[name]) for name in made)
    assert pbio.to_text(read).encode() == text


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(
    lambda text: not text.startswith("^") and ":" not in text
)


@given(st.lists(names, min_size=1, max_size=8, unique=True))
def test_any_name_survives(wanted: list[str]) -> None:
    made = graph(placeholder(wanted[0], (1,)), *(node(b, "Identity", a) for a, b in pairwise(wanted)))
    assert list(pbio.parse_graph(pbio.to_bytes(made))) == wanted


def test_text_is_told_by_content(tmp_path: Path) -> None:
    for name, content in (("text.pb", pbio.to_text(conv_net()).encode()), ("binary.pbtxt", pbio.to_bytes(conv_net()))):
        path = tmp_path / name
        path.write_bytes(content)
        assert list(pbio.read_graph(path)) == list(conv_net())
    assert list(pbio.parse_graph(b"# a comment\n" + pbio.to_text(conv_net()).encode())) == list(conv_net())
    assert list(pbio.parse_graph(pbio.to_text(conv_net()).encode("utf-8-sig"))) == list(conv_net())


def test_a_binary_graph_with_braces_and_without_zeros_is_not_text() -> None:
    made = graph(Node.make("A{" + "x" * 60, "NoOp"), Node.make("n" * 60, "Identity", ["A{" + "x" * 60]))
    data = pbio.to_bytes(made)
    assert b"\x00" not in data
    assert data[1:2].isalpha()
    assert list(pbio.parse_graph(data)) == list(made)


def test_tensors_are_views_on_the_files_bytes() -> None:
    data = pbio.to_bytes(conv_net())
    whole = np.frombuffer(data, np.uint8)
    tensors = [n.tensor for n in pbio.parse_graph(data).nodes if n.tensor is not None]
    assert len(tensors) > 4
    for tensor in tensors:
        assert np.shares_memory(tensor.array, whole)
        assert not tensor.array.flags.writeable


def test_writing_beside_and_moving_over(tmp_path: Path) -> None:
    target = tmp_path / "small.pb"
    size = pbio.write_graph(conv_net(), target)
    assert (target.stat().st_size, [p.name for p in tmp_path.iterdir()]) == (size, ["small.pb"])
    assert target.read_bytes() == pbio.to_bytes(conv_net())
    pbio.write_graph(conv_net(seed=1), target, source=tmp_path / "other.pb")
    assert target.read_bytes() == pbio.to_bytes(conv_net(seed=1))
    pbio.write_graph(conv_net(), tmp_path / "small.pbtxt")
    assert (tmp_path / "small.pbtxt").read_text() == pbio.to_text(conv_net())


def test_outputs_are_the_users(tmp_path: Path) -> None:
    data = pbio.to_bytes(conv_net())
    assert pbio.parse_graph(data).outputs == ("softmax",)
    assert pbio.parse_graph(data, outputs=["conv"]).outputs == ("conv",)
    with pytest.raises(GraphError, match="node 'nothing': this output is missing"):
        pbio.parse_graph(data, outputs=["nothing"])


def test_a_node_with_ten_thousand_inputs() -> None:
    made = graph(const("c", 1.0), Node.make("all", "AddN", ["c"] * 10_000, T=DType.FLOAT, N=10_000))
    read = pbio.parse_graph(pbio.to_bytes(made))
    assert len(read["all"].refs) == 10_000
    assert len(read.consumers["c"]) == 10_000
    assert [n.name for n in read.topological()] == ["c", "all"]


def test_zero_sized_and_nan_weights() -> None:
    weights = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)
    made = graph(const("empty", np.zeros((0, 3))), const("odd", weights), node("sum", "AddN", "empty", "odd", N=2))
    read = pbio.parse_graph(pbio.to_bytes(made))
    empty, odd = read["empty"].tensor, read["odd"].tensor
    assert empty is not None
    assert odd is not None
    assert (empty.array.shape, odd.array.tobytes()) == ((0, 3), weights.tobytes())


@needs_shared
@pytest.mark.parametrize("path", MODEL_FILES, ids=lambda path: path.stem)
def test_real_models_survive(path: Path) -> None:
    data = path.read_bytes()
    read = pbio.parse_graph(data)
    assert GraphDef.FromString(pbio.to_bytes(read)) == GraphDef.FromString(data)
    rebuilt = ModelGraph([n.with_() for n in read.nodes], read.extras)
    again = GraphDef.FromString(pbio.to_bytes(rebuilt))
    assert [(n.name, n.op, list(n.input)) for n in again.node] == [
        (n.name, n.op, list(n.input)) for n in GraphDef.FromString(data).node
    ]
    assert all(n.same(read[n.name]) for n in pbio.parse_graph(again.SerializeToString()).nodes)


MEMORY = """
import re, sys
from pathlib import Path
from compressor_gui.core import pbio
graph = pbio.read_graph(sys.argv[1])
sums = [int(n.tensor.array.size) for n in graph.nodes if n.tensor is not None]
pbio.write_graph(graph, sys.argv[2])
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""


@needs_shared
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
def test_memory_stays_under_three_times_the_file_and_250_mb(tmp_path: Path) -> None:
    path = SHARED / "models" / "blazepose-heavy.pb"
    command = [sys.executable, "-c", MEMORY, str(path), str(tmp_path / "out.pb")]
    used = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert used < 3 * path.stat().st_size + 250e6


def test_a_tensor_made_from_an_array_is_written_as_it_is() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for array in (values, values.T, values[:, ::2], np.broadcast_to(values[:1], (4, 3))):
        made = graph(Node.const("c", Tensor.of(array, DType.FLOAT)))
        tensor = pbio.parse_graph(pbio.to_bytes(made))["c"].tensor
        assert tensor is not None
        assert np.array_equal(tensor.array, array)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no folder that takes no files")
def test_a_folder_that_takes_no_files_is_said_to() -> None:
    with pytest.raises(CompressorError, match=r"^/proc/x\.pb: it can't be written: this folder takes no new files"):
        pbio.write_graph(conv_net(), "/proc/x.pb")

"""What holds of every graph."""

from __future__ import annotations

import pytest
from hypothesis import given

from compressor_gui.core import pbio, wire
from compressor_gui.core.errors import GraphError
from compressor_gui.core.graph import Attrs, ModelGraph, Node
from compressor_gui.core.values import DType, RawAttr
from compressor_gui.core.verify import verify
from tests.support import const, graph, graphs, node, placeholder


def loop(**changed: Node) -> ModelGraph:
    """``while i < 10: i += 1`` as TensorFlow 1 writes it."""
    nodes = {
        "start": const("start", 0.0),
        "limit": const("limit", 10.0),
        "one": const("one", 1.0).with_(inputs=["^switch"]),
        "enter": node("enter", "Enter", "start", frame_name=b"while", is_constant=False, parallel_iterations=10),
        "bound": node("bound", "Enter", "limit", frame_name=b"while", is_constant=True, parallel_iterations=10),
        "merge": node("merge", "Merge", "enter", "next", N=2),
        "less": node("less", "Less", "merge", "bound"),
        "cond": Node.make("cond", "LoopCond", ["less"]),
        "switch": node("switch", "Switch", "merge", "cond"),
        "add": node("add", "AddV2", "switch:1", "one"),
        "next": node("next", "NextIteration", "add"),
        "exit": node("exit", "Exit", "switch"),
    }
    return ModelGraph({**nodes, **changed}.values(), outputs=["exit"])


def refused(made: ModelGraph, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        verify(made)


@given(graphs())
def test_random_networks_pass(made: ModelGraph) -> None:
    verify(made)
    verify(pbio.parse_graph(pbio.to_bytes(made)), before=made)


def test_loops_of_version_1_are_legal() -> None:
    verify(loop())
    read = pbio.parse_graph(pbio.to_bytes(loop()))
    order = [n.name for n in read.topological()]
    assert sorted(order) == sorted(loop())
    assert order.index("merge") < order.index("add") < order.index("next")


def test_loops_that_are_broken() -> None:
    refused(loop(enter=node("enter", "Enter", "start")), "node 'enter', attribute 'frame_name': it enters a loop")
    refused(loop(merge=node("merge", "Merge", "start", "next", N=2)), "node 'merge': it is the start of a loop that")
    refused(loop(next=node("next", "Identity", "add")), "a cycle outside a loop")


def test_outputs_are_there() -> None:
    refused(graph(const("c", 1.0), outputs=["c", "gone"]), r"node 'gone': this output is missing \(name one")


def test_inputs() -> None:
    refused(graph(node("x", "Neg", "gone")), "node 'x': its input 'gone' is not in the graph")
    refused(
        graph(const("c", 1.0), node("x", "Neg", "^c", "c")), "node 'x': its input 'c' stands behind a control input"
    )
    refused(graph(placeholder("p", ()), const("c", 1.0).with_(inputs=["p"])), "node 'c': it is a constant and has an")


def test_constants_have_values() -> None:
    refused(graph(Node.make("c", "Const", dtype=DType.FLOAT)), "node 'c': it is a constant and has no value")
    refused(graph(const("c", 1.0).with_(attrs={"value": 1})), "it is a constant and has no value")
    refused(
        graph(const("c", 1.0).with_(attrs={"dtype": DType.HALF})), "constant of float16, and its value is of float32"
    )
    untyped = RawAttr(wire.put_bytes(8, wire.put_bytes(4, bytes(4))))
    refused(graph(const("c", 1.0).with_(attrs={"value": untyped})), "its value is not a tensor of float32 that can be")
    verify(graph(Node.make("c", "Const", dtype=DType.RESOURCE, value=RawAttr(wire.put_bytes(8, wire.put_int(1, 20))))))


def test_attributes_can_be_decoded() -> None:
    broken = Node("x", "Neg", (), Attrs({"T": memoryview(wire.put_bytes(6, b"abc"))}))
    refused(graph(broken), "node 'x', attribute 'T': a message stands where a number belongs")


def test_shared_nodes_are_not_decoded_again() -> None:
    broken = Node("x", "Neg", (), Attrs({"T": memoryview(wire.put_bytes(6, b"abc"))}))
    before = graph(broken)
    verify(graph(broken, const("c", 1.0)), before=before)
    with pytest.raises(GraphError):
        verify(graph(broken.with_(attrs={"k": DType.FLOAT})), before=before)

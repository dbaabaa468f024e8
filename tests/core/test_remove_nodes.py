from __future__ import annotations

import pytest
from hypothesis import given

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.remove_nodes import RemoveNodes
from compressor_gui.core.values import DType
from tests.support import applied, const, graph, graphs, node, placeholder


def test_readers_read_what_stood_before() -> None:
    before = graph(
        placeholder("x", (4,)),
        node("a", "Identity", "x"),
        node("b", "CheckNumerics", "a", message=b""),
        node("c", "StopGradient", "b"),
        node("parts", "Split", "c", num_split=2),
        node("d", "Identity", "parts:1"),
        node("y", "Neg", "d", "^c"),
    )
    done = applied(RemoveNodes(), before)
    assert list(done.graph) == ["x", "parts", "y"]
    assert done.graph["parts"].inputs == ("x",)
    assert done.graph["y"].inputs == ("parts:1", "^x")
    assert set(done.removed) == {"a", "b", "c", "d"}


def test_only_the_operations_asked_for() -> None:
    before = graph(
        placeholder("x", ()), node("a", "Identity", "x"), node("b", "StopGradient", "a"), node("y", "Neg", "b")
    )
    done = applied(RemoveNodes(ops=("Identity",)), before)
    assert list(done.graph) == ["x", "b", "y"]
    done = applied(RemoveNodes(ops=("Neg",)), graph(*before.nodes, node("z", "Neg", "y")))
    assert done.graph["z"].inputs == ("b",)


def test_an_output_is_kept_and_said_so() -> None:
    before = graph(placeholder("x", ()), node("y", "Identity", "x"))
    done = applied(RemoveNodes(), before)
    assert not done.changed
    assert "y kept: an output" in done.notes[0]


def test_identity_of_many() -> None:
    before = graph(
        placeholder("p", ()),
        placeholder("q", ()),
        node("both", "IdentityN", "p", "q", T=(DType.FLOAT, DType.FLOAT)),
        node("y", "Sub", "both:1", "both"),
    )
    assert applied(RemoveNodes(), before).graph["y"].inputs == ("q", "p")
    waiting = graph(*before.nodes, node("z", "Neg", "p", "^both"))
    assert not applied(RemoveNodes(), waiting).changed


@pytest.mark.parametrize("inputs", [1, 2])
def test_nodes_with_more_inputs_need_the_word(inputs: int) -> None:
    before = graph(placeholder("x", ()), const("low", 0.0), node("a", "Faked", "x", "low"), node("y", "Neg", "a"))
    done = applied(RemoveNodes(ops=("Faked",), max_inputs=inputs), before)
    assert ("a" in done.graph) == (inputs == 1)


def test_branches_and_waiting_nodes_keep_their_marks() -> None:
    before = graph(
        placeholder("x", ()),
        placeholder("pred", (), DType.BOOL),
        node("switch", "Switch", "x", "pred"),
        node("on", "Identity", "switch:1"),
        node("off", "Identity", "switch"),
        const("c", 1.0).with_(inputs=["^on"]),
        node("waits", "Identity", "x", "^pred"),
        node("merge", "Merge", "c", "off", N=2),
        node("y", "Mul", "merge", "waits"),
    )
    done = applied(RemoveNodes(), before)
    assert not done.changed
    assert len(done.notes) == 2


def test_resources_are_handed_on_by_their_own_node() -> None:
    before = graph(
        node("h", "VarHandleOp", dtype=DType.FLOAT),
        node("a", "Identity", "h", T=DType.RESOURCE),
        node("y", "ReadVariableOp", "a", dtype=DType.FLOAT),
    )
    assert not applied(RemoveNodes(), before).changed


def test_nothing_wants_to_be_near_a_node_that_is_gone() -> None:
    before = graph(
        placeholder("x", ()),
        node("a", "Identity", "x"),
        node("b", "Neg", "a", _class=(b"loc:@a",)),
        node("y", "Neg", "b", _class=(b"loc:@a", b"loc:@b")),
    )
    done = applied(RemoveNodes(), before)
    assert "_class" not in done.graph["b"].attrs
    assert done.graph["y"].attrs["_class"] == (b"loc:@b",)


def dropout(keep: float, modern: bool) -> ModelGraph:
    shape = const("shape", [4], DType.INT32)
    noise = [
        shape,
        node("uniform", "RandomUniform", "shape", dtype=DType.FLOAT, T=DType.INT32),
        const("one", 1.0),
        const("zero", 0.0),
        node("wide", "Mul", "uniform", "one"),
        node("noise", "Add", "wide", "zero"),
        const("keep", keep),
        const("rate", 1 - keep),
    ]
    if modern:
        mask = [
            node("test", "GreaterEqual", "noise", "rate"),
            node("mask", "Cast", "test", SrcT=DType.BOOL, DstT=DType.FLOAT),
            const("scale", 1 / keep),
            node("scaled", "Mul", "x", "scale"),
        ]
    else:
        mask = [
            node("test", "Add", "keep", "noise"),
            node("mask", "Floor", "test"),
            node("scaled", "RealDiv", "x", "keep"),
        ]
    return graph(
        placeholder("x", (4,)),
        *noise,
        *mask,
        node("drop", "Mul", "scaled", "mask"),
        node("y", "Neg", "drop"),
        outputs=["y"],
    )


@pytest.mark.parametrize("modern", [False, True])
def test_dropout_goes_where_it_keeps_everything(modern: bool) -> None:
    assert applied(RemoveNodes(), dropout(1.0, modern)).graph["y"].inputs == ("x",)
    assert not applied(RemoveNodes(), dropout(0.5, modern)).changed
    assert not applied(RemoveNodes(ops=("Identity",)), dropout(1.0, modern)).changed


@given(graphs())
def test_any_graph(model: ModelGraph) -> None:
    done = applied(RemoveNodes(), model)
    assert not applied(RemoveNodes(), done.graph).changed
    left = [n for n in done.graph.nodes if n.op in ("Identity", "CheckNumerics") and not n.refs[-1].control]
    assert {n.name for n in left} <= set(model.outputs)

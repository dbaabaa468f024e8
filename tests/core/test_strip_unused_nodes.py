from __future__ import annotations

import pytest
from hypothesis import given

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.strip_unused_nodes import StripUnusedNodes
from compressor_gui.core.values import DType, Shape
from tests.support import applied, const, conv_net, graph, graphs, node, placeholder


def test_what_no_output_needs_goes() -> None:
    before = graph(
        placeholder("x", ()),
        placeholder("unused", ()),
        const("c", 1.0),
        node("wait", "NoOp", "^c"),
        node("y", "Neg", "x", "^wait"),
        node("dead", "Neg", "unused"),
        outputs=["y"],
    )
    done = applied(StripUnusedNodes(), before)
    assert set(done.graph) == {"x", "c", "wait", "y"}
    assert all(done.graph[name] is before[name] for name in done.graph)


def test_other_outputs_become_the_graphs_outputs() -> None:
    done = applied(StripUnusedNodes(outputs=("maxpool:0",)), conv_net())
    assert done.graph.outputs == ("maxpool",)
    assert "dense" not in done.graph


def test_an_input_becomes_a_placeholder_and_what_stood_before_goes() -> None:
    done = applied(StripUnusedNodes(inputs=("relu",)), conv_net())
    relu = done.graph["relu"]
    assert (relu.op, relu.inputs, relu.dtype("dtype"), relu.shape()) == ("Placeholder", (), DType.FLOAT, Shape(None))
    assert "conv" not in done.graph
    assert "input" not in done.graph


@pytest.mark.parametrize(
    ("op", "attrs", "dtype"),
    [
        ("Cast", {"SrcT": DType.INT32, "DstT": DType.HALF}, DType.HALF),
        ("Less", {"T": DType.INT32}, DType.BOOL),
        ("Shape", {"T": DType.FLOAT, "out_type": DType.INT64}, DType.INT64),
        ("Shape", {"T": DType.FLOAT}, DType.INT32),
        ("ArgMax", {"T": DType.FLOAT, "Tidx": DType.INT32}, DType.INT64),
        ("IsNan", {"T": DType.FLOAT}, DType.BOOL),
        ("Where", {"T": DType.BOOL}, DType.INT64),
        ("Rank", {"T": DType.FLOAT}, DType.INT32),
        ("Dequantize", {"T": DType.QUINT8}, DType.FLOAT),
        ("Neg", {"T": DType.DOUBLE, "_output_shapes": (Shape((2, -1)),)}, DType.DOUBLE),
    ],
)
def test_the_placeholders_type_and_shape_are_what_the_graph_tells(op: str, attrs: dict, dtype: DType) -> None:
    before = graph(placeholder("x", ()), node("a", op, "x", **attrs), node("y", "Identity", "a", T=dtype))
    found = applied(StripUnusedNodes(inputs=("a",)), before).graph["a"]
    assert found.dtype("dtype") == dtype
    assert found.shape() == (attrs["_output_shapes"][0] if "_output_shapes" in attrs else Shape(None))


def test_an_operation_that_is_not_known_is_taken_for_float_and_said_so() -> None:
    before = graph(placeholder("x", ()), node("a", "Unheard", "x"), node("y", "Neg", "a"))
    done = applied(StripUnusedNodes(inputs=("a",)), before)
    assert done.graph["a"].dtype("dtype") == DType.FLOAT
    assert done.notes == ("The type of a is not known, and is taken for float.",)


def test_an_input_that_nothing_needs_stays_and_is_said_so() -> None:
    before = graph(placeholder("x", ()), placeholder("z", ()), node("y", "Neg", "x"))
    done = applied(StripUnusedNodes(inputs=("x", "z")), before)
    assert not done.changed
    assert "z" in done.notes[0]


@pytest.mark.parametrize("key", ["outputs", "inputs"])
def test_unknown_names(key: str) -> None:
    with pytest.raises(PassError, match="there is no node 'nowhere'"):
        StripUnusedNodes(**{key: ("nowhere",)}).run(conv_net())


@given(graphs())
def test_any_graph(model: ModelGraph) -> None:
    done = applied(StripUnusedNodes(), model)
    assert "dead" not in done.graph
    assert done.graph.outputs == model.outputs
    assert not applied(StripUnusedNodes(), done.graph).changed

from __future__ import annotations

import numpy as np
from hypothesis import given

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.fold_constants import FoldConstants
from compressor_gui.core.values import DType
from tests.support import applied, const, graph, graphs, node, placeholder


def test_a_chain_becomes_one_constant_of_the_last_name() -> None:
    before = graph(
        placeholder("x", (2,)),
        const("a", [1.0, 4.0]),
        node("read", "Identity", "a"),
        node("root", "Sqrt", "read"),
        node("y", "Mul", "x", "root"),
    )
    done = applied(FoldConstants(), before)
    assert list(done.graph) == ["x", "root", "y"]
    assert done.graph["y"] is before["y"]
    np.testing.assert_array_equal(done.graph["root"].tensor.array, np.float32([1.0, 2.0]))
    assert set(done.removed) == {"a", "read"}


def test_an_output_keeps_its_name_and_is_a_constant() -> None:
    done = applied(FoldConstants(), graph(const("a", 2.0), node("y", "Neg", "a")))
    assert list(done.graph) == ["y"]
    assert done.graph["y"].tensor.array == -2.0


def test_a_constant_that_others_read_stays() -> None:
    before = graph(
        placeholder("x", ()),
        const("a", 2.0),
        node("b", "Neg", "a"),
        node("y", "Mul", "x", "b"),
        node("z", "Mul", "x", "a"),
    )
    assert set(applied(FoldConstants(), before).graph) == {"x", "a", "b", "y", "z"}


def test_a_large_shared_weight_is_not_stored_twice() -> None:
    before = graph(
        placeholder("x", (1, 40)),
        const("w", np.ones((40, 40))),
        const("order", [1, 0], DType.INT32),
        node("turned", "Transpose", "w", "order", Tperm=DType.INT32),
        node("y", "MatMul", "x", "w"),
        node("z", "MatMul", "x", "turned"),
    )
    assert applied(FoldConstants(maximum_bytes=6399), before).graph["turned"].op == "Transpose"
    assert applied(FoldConstants(maximum_bytes=6400), before).graph["turned"].op == "Const"


def test_what_a_constant_waits_for_is_kept() -> None:
    before = graph(
        placeholder("x", ()),
        placeholder("pred", (), DType.BOOL),
        node("switch", "Switch", "x", "pred"),
        node("branch", "Identity", "switch:1"),
        const("a", 2.0).with_(inputs=["^branch"]),
        node("b", "Neg", "a"),
        node("y", "Merge", "b", "switch", N=2),
        outputs=["y"],
    )
    done = applied(FoldConstants(), before)
    assert done.graph["b"].op == "Const"
    assert done.graph["b"].inputs == ("^branch",)


def test_a_control_input_does_not_keep_a_constant() -> None:
    before = graph(
        placeholder("x", ()),
        const("a", 2.0),
        node("read", "Identity", "a"),
        node("b", "Neg", "read"),
        node("done", "NoOp", "^read"),
        node("y", "Mul", "x", "b", "^done"),
    )
    done = applied(FoldConstants(), before)
    assert set(done.graph) == {"x", "b", "done", "y"}
    assert done.graph["done"].inputs == ()


@given(graphs())
def test_any_graph(model: ModelGraph) -> None:
    done = applied(FoldConstants(), model)
    assert not applied(FoldConstants(), done.graph).changed

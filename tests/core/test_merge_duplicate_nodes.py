from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.merge_duplicate_nodes import _STATE, MergeDuplicateNodes
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.pbio import parse_graph, to_bytes
from compressor_gui.core.trust import harmless_ops
from compressor_gui.core.values import DType, Tensor
from tests.support import (
    applied,
    assert_same_numbers,
    concat_net,
    const,
    graph,
    graphs,
    node,
    placeholder,
    real_model,
    tensorflow,
)


def test_readers_read_the_first_of_them_by_every_port_and_by_control() -> None:
    before = graph(
        placeholder("x", (4,)),
        node("a", "Split", "x", num_split=2),
        node("b", "Split", "x", num_split=2),
        node("y", "Sub", "a:1", "b"),
        node("z", "Neg", "b:1", "^b"),
    )
    done = applied(MergeDuplicateNodes(), before)
    assert set(done.removed) == {"b"}
    assert done.graph["y"].inputs == ("a:1", "a")
    assert done.graph["z"].inputs == ("a:1", "^a")


def test_a_chain_of_duplicates_goes_in_one_step() -> None:
    before = graph(
        placeholder("x", ()),
        const("c", 2.0), const("d", 2.0),
        node("a", "Mul", "x", "c"), node("b", "Mul", "x", "d"),
        node("e", "Neg", "a"), node("f", "Neg", "b"),
        node("y", "Sub", "e", "f"),
    )  # fmt: skip
    done = applied(MergeDuplicateNodes(), before)
    assert set(done.removed) == {"d", "b", "f"}
    assert done.graph["y"].inputs == ("e", "e")


def test_a_constant_is_the_same_however_it_was_stored() -> None:
    """A value for each place, or one that fills the shape."""
    filled = Node.const("b", Tensor(DType.FLOAT, np.broadcast_to(np.float32(7), (100,))))
    before = parse_graph(to_bytes(graph(const("a", [7.0] * 100), filled, node("y", "Sub", "a", "b"))))
    assert set(applied(MergeDuplicateNodes(), before).removed) == {"b"}


@pytest.mark.parametrize(
    "twin",
    [
        const("b", [1.0, 3.0]),
        const("b", [[1.0, 2.0]]),
        const("b", [1, 2], DType.INT32),
        const("b", [1.0, 2.0]).with_(device="/device:CPU:0"),
        const("b", [1.0, 2.0]).with_(inputs=["^x"]),
    ],
)
def test_what_differs_stays(twin: Node) -> None:
    before = graph(placeholder("x", ()), const("a", [1.0, 2.0]), twin, node("y", "Pack", "a", "b"))
    assert not applied(MergeDuplicateNodes(), before).changed


def test_negative_zero_and_nan_are_compared_by_their_bits() -> None:
    nan = np.float32([np.nan])
    before = graph(const("a", [0.0]), const("b", [-0.0]), const("c", nan), const("d", nan),
                   node("y", "AddN", "a", "b", "c", "d", N=4))  # fmt: skip
    assert set(applied(MergeDuplicateNodes(), before).removed) == {"d"}


def test_strings() -> None:
    texts = [Node.const(name, Tensor.of(values, DType.STRING)) for name, values in
             (("a", [b"x", b"yz"]), ("b", [b"x", b"yz"]), ("c", [b"xy", b"z"]))]  # fmt: skip
    before = graph(*texts, node("y", "StringJoin", "a", "b", "c", N=3))
    assert set(applied(MergeDuplicateNodes(), before).removed) == {"b"}


def test_an_output_keeps_its_name() -> None:
    before = graph(placeholder("x", ()), node("a", "Neg", "x"), node("b", "Neg", "x"), node("c", "Exp", "b"))
    done = applied(MergeDuplicateNodes(), ModelGraph(before.nodes, outputs=["b", "c"]))
    assert not done.changed
    first = applied(MergeDuplicateNodes(), ModelGraph(before.nodes, outputs=["a", "c"]))
    assert set(first.removed) == {"b"}


@pytest.mark.parametrize("op", ["RandomUniform", "Placeholder", "Print", "Switch", "NobodyKnows"])
def test_chance_inputs_effects_and_what_is_not_known_stay(op: str) -> None:
    before = graph(placeholder("x", ()), node("a", op, "x"), node("b", op, "x"), node("y", "Add", "a", "b"))
    assert not applied(MergeDuplicateNodes(), before).changed


def test_what_the_8_bit_pass_makes_twice() -> None:
    before = applied(QuantizeNodes(), concat_net()).graph
    done = applied(MergeDuplicateNodes(), before)
    assert done.removed
    assert len(done.graph) < len(before)


@given(graphs())
def test_any_graph(model: ModelGraph) -> None:
    done = applied(MergeDuplicateNodes(), model)
    assert not applied(MergeDuplicateNodes(), done.graph).changed
    doubled = [*model.nodes, *(n.with_(name=f"{n.name}_twin") for n in model.nodes if n.op == "Const")]
    twins = applied(MergeDuplicateNodes(), ModelGraph(doubled, outputs=model.outputs))
    assert not any(name.endswith("_twin") for name in twins.graph)


@pytest.mark.tensorflow
def test_every_operation_with_state_stays() -> None:
    tensorflow()
    from tensorflow.python.framework import op_def_registry

    stateful = [op for op in harmless_ops() if (known := op_def_registry.get(op)) and known.is_stateful]
    assert len(stateful) > 50
    assert [op for op in stateful if not _STATE.search(op)] == []


@pytest.mark.tensorflow
@pytest.mark.parametrize("model", ["movenet-lightning", "rvm"])
def test_real_models_compute_the_same(model: str) -> None:
    before = real_model(model)
    done = applied(MergeDuplicateNodes(), before)
    assert done.changed
    assert_same_numbers(before, done.graph, 1e-5)

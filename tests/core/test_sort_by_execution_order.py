from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.sort_by_execution_order import SortByExecutionOrder
from compressor_gui.core.values import DType
from tests.same_bits import assert_same_bits
from tests.support import applied, graph, graphs, node, placeholder, real_model


def is_sorted(model: ModelGraph) -> bool:
    seen: set[str] = set()
    for found in model.nodes:
        if not all(ref.name in seen for ref in found.refs):
            return False
        seen.add(found.name)
    return True


def test_nodes_move_and_stay_the_same() -> None:
    before = graph(node("y", "Neg", "a", "^x"), node("a", "Exp", "x"), placeholder("x", ()))
    done = applied(SortByExecutionOrder(), before)
    assert list(done.graph) == ["x", "a", "y"]
    assert all(done.graph[name] is before[name] for name in before)
    assert set(done.origins) == {"y", "a"}


def test_a_sorted_file_stays() -> None:
    before = graph(placeholder("x", ()), placeholder("z", ()), node("a", "Neg", "x"), node("b", "Neg", "z"))
    assert applied(SortByExecutionOrder(), before).graph is before


def test_the_way_back_of_a_loop_does_not_count() -> None:
    before = graph(
        placeholder("x", ()),
        Node.make("enter", "Enter", ["x"], T=DType.FLOAT, frame_name=b"loop"),
        Node.make("merge", "Merge", ["enter", "next"], T=DType.FLOAT, N=2),
        Node.make("next", "NextIteration", ["merge"], T=DType.FLOAT),
        outputs=["merge"],
    )
    assert not applied(SortByExecutionOrder(), before).changed


@given(graphs(), st.randoms(use_true_random=False))
def test_any_order(model: ModelGraph, chance: random.Random) -> None:
    nodes = list(model.nodes)
    chance.shuffle(nodes)
    shuffled = ModelGraph(nodes, outputs=model.outputs)
    done = applied(SortByExecutionOrder(), shuffled)
    assert is_sorted(done.graph)
    assert done.changed != is_sorted(shuffled)
    assert not applied(SortByExecutionOrder(), done.graph).changed


@pytest.mark.tensorflow
@pytest.mark.parametrize("model", ["emotion", "gear"])
def test_real_models_compute_the_same_bits(model: str) -> None:
    sorted_file = real_model(model)
    before = ModelGraph(reversed(list(sorted_file.nodes)), sorted_file.extras, sorted_file.outputs)
    done = applied(SortByExecutionOrder(), before)
    assert done.changed
    assert is_sorted(done.graph)
    assert_same_bits(before, done.graph)

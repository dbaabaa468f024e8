from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.remove_device import RemoveDevice
from compressor_gui.core.passes.set_device import SetDevice
from tests.same_bits import assert_same_bits
from tests.support import applied, graph, graphs, node, placeholder, real_model


def test_only_nodes_with_a_device_change() -> None:
    before = graph(placeholder("x", ()), node("y", "Neg", "x").with_(device="/device:GPU:0"))
    done = applied(RemoveDevice(), before)
    assert done.graph["x"] is before["x"]
    assert done.graph["y"].device == ""
    assert list(done.origins) == ["y"]


@given(graphs(), st.booleans())
def test_any_graph(model: ModelGraph, placed: bool) -> None:
    before = applied(SetDevice(), model).graph if placed else model
    done = applied(RemoveDevice(), before)
    assert done.changed == placed
    assert all(done.graph[name].same(model[name]) for name in model)


@pytest.mark.tensorflow
@pytest.mark.parametrize("model", ["handlandmark-full", "centernet"])
def test_real_models_compute_the_same_bits(model: str) -> None:
    before = real_model(model)
    done = applied(RemoveDevice(), before)
    assert done.changed
    assert_same_bits(before, done.graph)

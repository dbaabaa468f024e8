from __future__ import annotations

import pytest
from hypothesis import given

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.rename_node import RenameNode
from tests.same_bits import assert_same_bits
from tests.support import applied, conv_net, graph, graphs, node, placeholder, real_model


def test_readers_and_outputs_follow() -> None:
    before = graph(placeholder("x", ()), node("a", "Neg", "x"), node("y", "Exp", "a", "^a"))
    done = applied(RenameNode("a", "b/c"), before)
    assert done.graph["y"].inputs == ("b/c", "^b/c")
    assert applied(RenameNode("y", "z"), before).graph.outputs == ("z",)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("rename_node(new_node_name=a)", "old_node_name is missing"),
        ("rename_node(old_node_name=relu)", "new_node_name is missing"),
        ("rename_node(old_node_name=nowhere, new_node_name=a)", "rename_node: there is no node 'nowhere'"),
        ("rename_node(old_node_name=relu, new_node_name=conv)", "'conv' is taken"),
        ("rename_node(old_node_name=relu, new_node_name='a b')", "no name"),
    ],
)
def test_what_cannot_be_done(call: str, words: str) -> None:
    with pytest.raises(PassError, match=words):
        parse(call).run(conv_net())


@given(graphs())
def test_any_graph(model: ModelGraph) -> None:
    done = applied(RenameNode("input", "picture"), model)
    back = applied(RenameNode("picture", "input"), done.graph)
    assert all(back.graph[name].same(model[name]) for name in model)


@pytest.mark.tensorflow
@pytest.mark.parametrize("model", ["emotion", "liveness"])
def test_real_models_compute_the_same_bits(model: str) -> None:
    before = real_model(model)
    output = before.outputs[0]
    assert_same_bits(before, applied(RenameNode(output, "scope/answer"), before).graph)

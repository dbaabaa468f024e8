from __future__ import annotations

import pytest
from hypothesis import given

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.rename_outputs import RenameOutputs
from tests.support import applied, conv_net, graph, graphs, node, placeholder


def test_readers_follow_by_every_port_and_by_control() -> None:
    before = graph(
        placeholder("x", ()),
        node("parts", "Split", "x", num_split=2),
        node("a", "Neg", "parts:1"),
        node("b", "Neg", "parts", "^parts"),
    )
    done = applied(RenameOutputs(names={"parts": "halves", "b": "scope/b"}), before)
    assert list(done.graph) == ["x", "halves", "a", "scope/b"]
    assert done.graph["a"].inputs == ("halves:1",)
    assert done.graph["scope/b"].inputs == ("halves", "^halves")
    assert done.graph.outputs == ("a", "scope/b")
    assert done.origins["halves"] == ("parts",)


def test_names_can_be_exchanged() -> None:
    before = graph(placeholder("x", ()), node("a", "Neg", "x"), node("b", "Exp", "x"))
    done = applied(RenameOutputs(names={"a": "b", "b": "a"}), before)
    assert (done.graph["b"].op, done.graph["a"].op) == ("Neg", "Exp")
    assert done.graph.outputs == ("b", "a")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"nowhere": "a"}, "no node 'nowhere'"),
        ({"softmax": "conv"}, "'conv' is taken"),
        ({"softmax": "a", "relu": "a"}, "'a' is taken"),
        ({"softmax": "a b"}, "no name"),
        ({"softmax": "_a"}, "no name"),
        ({"softmax": "a:1"}, "no name"),
        ({"softmax": ""}, "no name"),
        ({"softmax": "ä"}, "no name"),
    ],
)
def test_wrong_names(names: dict[str, str], words: str) -> None:
    with pytest.raises(PassError, match=words):
        RenameOutputs(names=names).run(conv_net())


def test_the_same_name_is_nothing_to_do() -> None:
    assert not applied(RenameOutputs(names={"softmax": "softmax"}), conv_net()).changed


@given(graphs())
def test_any_graph_there_and_back(model: ModelGraph) -> None:
    there = {name: f"new/{index}" for index, name in enumerate(model.outputs)}
    done = applied(RenameOutputs(names=there), model)
    assert done.graph.outputs == tuple(there.values())
    back = applied(RenameOutputs(names={new: old for old, new in there.items()}), done.graph)
    assert all(back.graph[name].same(found) for name, found in model.items())

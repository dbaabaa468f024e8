from __future__ import annotations

import pytest
from hypothesis import given

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.rename_attribute import RenameAttribute
from compressor_gui.core.values import DType
from tests.same_bits import assert_same_bits
from tests.support import applied, conv_net, graph, graphs, node, placeholder, real_model


def test_the_value_goes_by_its_new_name() -> None:
    before = graph(placeholder("x", ()), node("a", "Squeeze", "x", axis=(0,)), node("y", "Neg", "a", axis=(1,)))
    done = applied(RenameAttribute("axis", "squeeze_dims", "Squeeze"), before)
    assert done.graph["a"].ints("squeeze_dims") == (0,)
    assert "axis" not in done.graph["a"].attrs
    assert done.graph["y"] is before["y"]


def test_an_attribute_of_the_new_name_is_not_overwritten() -> None:
    before = graph(placeholder("x", ()), node("y", "Neg", "x", U=DType.INT32))
    assert not applied(RenameAttribute("T", "U"), before).changed


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("rename_attribute(new_attribute_name=T)", "old_attribute_name is missing"),
        ("rename_attribute(old_attribute_name=T)", "new_attribute_name is missing"),
        ("rename_attribute(old_attribute_name=value, new_attribute_name=v)", "is a constant and has no value"),
    ],
)
def test_what_cannot_be_done(call: str, words: str) -> None:
    with pytest.raises(PassError, match=words):
        parse(call).run(conv_net())


@given(graphs())
def test_there_and_back(model: ModelGraph) -> None:
    done = applied(RenameAttribute("padding", "edges"), model)
    back = applied(RenameAttribute("edges", "padding"), done.graph)
    assert all(not back.graph[name].changed_attrs(model[name]) for name in model)


@pytest.mark.tensorflow
@pytest.mark.parametrize("model", ["emotion", "gear"])
def test_real_models_compute_the_same_bits(model: str) -> None:
    """``data_format`` has a default, and a graph may carry attributes of its own that begin with an underscore."""
    before = real_model(model)
    done = applied(RenameAttribute("data_format", "_data_format"), before)
    assert done.changed
    assert_same_bits(before, done.graph)

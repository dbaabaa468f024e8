from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.remove_attribute import RemoveAttribute
from tests.support import applied, assert_same_numbers, conv_net, graphs, real_model


def test_everywhere_or_from_one_operation() -> None:
    before = conv_net()
    everywhere = applied(RemoveAttribute("data_format"), before)
    assert not any("data_format" in found.attrs for found in everywhere.graph.nodes)
    one = applied(RemoveAttribute("data_format", "Conv2D"), before)
    assert list(one.origins) == ["conv"]
    assert applied(RemoveAttribute("data_format", "*"), before).origins == everywhere.origins


def test_nothing_to_remove_is_said() -> None:
    done = applied(RemoveAttribute("color", "Conv2D"), conv_net())
    assert done.notes == ("No node of the operation Conv2D has to change color.",)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("remove_attribute", "attribute_name is missing"),
        (
            "remove_attribute(attribute_name=value)",
            "conv/weights': it is a constant and has no value .TensorFlow would",
        ),
    ],
)
def test_what_cannot_be_done(call: str, words: str) -> None:
    with pytest.raises(PassError, match=words):
        parse(call).run(conv_net())


@given(graphs(), st.sampled_from(["T", "padding", "data_format", "shape"]))
def test_any_graph(model: ModelGraph, attribute: str) -> None:
    done = applied(RemoveAttribute(attribute), model)
    assert set(done.origins) == {found.name for found in model.nodes if attribute in found.attrs}
    assert not applied(RemoveAttribute(attribute), done.graph).changed


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("model", "attribute"),
    [("emotion", "data_format"), ("handlandmark-full", "_grappler_ArithmeticOptimizer_AddOpsRewriteStage")],
)
def test_real_models_compute_the_same(model: str, attribute: str) -> None:
    """Within 1e-5: Grappler optimises once more what it had marked as done."""
    before = real_model(model)
    done = applied(RemoveAttribute(attribute), before)
    assert done.changed
    assert_same_numbers(before, done.graph, 1e-5)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.passes.quantize_placeholders import QuantizePlaceholders
from compressor_gui.core.values import DType
from tests.support import applied, conv_net, graph, graphs, node, placeholder, real_model, relative_error, run_tf


def test_the_names_and_operations_are_the_tool_s() -> None:
    done = applied(QuantizePlaceholders(input_min=-1), conv_net())
    after = done.graph
    assert after["input"].dtype("dtype") == DType.QUINT8
    assert after["input"].shape() == conv_net()["input"].shape()
    made = after["input_eightbit/dequantize"]
    assert made.inputs == ("input", "input_eightbit/min", "input_eightbit/max")
    assert (made.dtype("T"), made.text("mode")) == (DType.QUINT8, "MIN_FIRST")
    assert after["input_eightbit/min"].tensor.array == -1
    assert after["conv"].inputs[0] == "input_eightbit/dequantize"


def test_only_float_inputs_that_are_read_and_no_outputs() -> None:
    before = graph(
        placeholder("n", (), DType.INT32), placeholder("x", ()), placeholder("y", ()), placeholder("unread", ()),
        node("z", "Add", "x", "y", "^x"), node("m", "Neg", "n", T=DType.INT32), outputs=["z", "y", "m"],
    )  # fmt: skip
    done = applied(QuantizePlaceholders(), before)
    assert done.graph["z"].inputs == ("x_eightbit/dequantize", "y", "^x")
    assert {name for name in before if done.graph[name] is before[name]} == {"n", "y", "unread", "m"}
    assert done.notes == ("y stays in float: it is an output too.",)
    assert not applied(QuantizePlaceholders(inputs=("y",)), before).changed


def test_quantize_nodes_reads_the_codes() -> None:
    after = applied(QuantizeNodes(), applied(QuantizePlaceholders(), conv_net()).graph).graph
    conv = after["conv_eightbit_quantized_conv"]
    assert conv.inputs[0] == "input"
    assert "input_eightbit/dequantize" not in after


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("quantize_placeholders(input_min=1)", "empty or does not include 0"),
        ("quantize_placeholders(input_min=1, input_max=2)", "does not include 0"),
        ("quantize_placeholders(inputs=image)", "'image' is no float32 placeholder .there is input"),
        ("quantize_placeholders(inputs=conv)", "'conv' is no float32 placeholder"),
    ],
)
def test_what_cannot_be_done(call: str, words: str) -> None:
    with pytest.raises(PassError, match=words):
        parse(call).run(conv_net())


@given(graphs(), st.floats(-100, 0, width=32), st.floats(0.5, 100, width=32))
def test_any_graph(model: ModelGraph, low: float, high: float) -> None:
    transform = QuantizePlaceholders(input_min=low, input_max=high)
    done = applied(transform, model)
    assert done.graph["input"].dtype("dtype") == DType.QUINT8
    if done.changed:
        with pytest.raises(PassError, match="is fed as quint8"):
            applied(transform, done.graph)


@pytest.mark.tensorflow
@pytest.mark.parametrize("model", ["emotion", "liveness"])
def test_codes_give_what_the_numbers_that_they_stand_for_give(model: str) -> None:
    """Within 1e-5."""
    before = real_model(model)
    name = before.inputs[0]
    done = applied(QuantizePlaceholders(input_min=-1, input_max=1), before)
    dims = before[name].shape().dims  # type: ignore[union-attr]
    codes = np.random.default_rng(0).integers(0, 256, [max(size, 1) for size in dims or ()]).astype(np.uint8)
    # -1 is no whole number of steps of 2 / 255 from 0: MIN_FIRST moves the range so that zero has a code
    values = ((codes.astype(np.float64) + np.round(-1 * 255 / 2)) * 2 / 255).astype(np.float32)
    expected, found = run_tf(before, {name: values}), run_tf(done.graph, {name: codes})
    for output in before.outputs:
        assert relative_error(expected[output], found[output]) < 1e-5

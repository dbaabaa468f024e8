"""The modes of ``quantize_graph`` that go on computing in floats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.eightbit.constants import store
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.passes.round_weights import RoundWeights
from compressor_gui.core.pbio import byte_size, to_bytes
from compressor_gui.core.values import DType, Tensor
from tests.support import (
    Net,
    applied,
    const,
    conv_net,
    graph,
    graphs,
    node,
    placeholder,
    real_model,
    relative_error,
    run_tf,
    sqnr_db,
    synthetic_feeds,
)

MODES = ("weights", "weights_rounded", "round", "quantize")


# --- round -----------------------------------------------------------------------------------------------------------


def test_round_puts_a_rounding_behind_each_layer() -> None:
    before = conv_net()
    done = applied(QuantizeNodes(mode="round", bitdepth=4), before)
    after = done.graph
    made = after["bias"]
    assert made.op == "QuantizeAndDequantizeV2"
    assert made.inputs == ("bias_original", "bias_round_range", "bias_round_range")
    assert (made.number("num_bits"), made.flag("range_given", True)) == (4, False)
    assert after["bias_original"].inputs == ("conv", "bias/values")
    layers = {n.name for n in before.nodes if n.op in ("Conv2D", "BiasAdd", "MatMul")}
    assert {name for name in before if after[name] is not before[name]} == layers


# --- quantize --------------------------------------------------------------------------------------------------------


def test_quantize_takes_inputs_and_results_through_8_bits_under_the_old_tool_s_names() -> None:
    before = graph(placeholder("x", (1, 4)), const("w", np.ones((4, 2))), node("y", "MatMul", "x", "w"))
    after = applied(QuantizeNodes(mode="quantize"), before).graph
    names = ("original", "reshape_dims", "reshape", "dims", "min", "max", "quantize")
    assert {f"w_{part}" for part in names} | {f"y_{part}" for part in names} <= set(after)
    assert after["y"].inputs == ("y_quantize", "y_quantize:1", "y_quantize:2")
    assert after["y_quantize"].inputs == ("y_original", "y_min", "y_max")
    assert after["y_original"].inputs == ("x_dequantize", "w")
    assert after["w_original"].op == "Const"
    assert after["x"] is before["x"]
    assert after["x_reshape"].inputs == ("x", "x_reshape_dims")


def test_other_outputs_of_a_node_are_read_as_they_are() -> None:
    before = graph(
        placeholder("x", (1, 4)),
        node("parts", "Split", "axis", "x", num_split=2), const("axis", 1, DType.INT32), const("w", np.ones((2, 2))),
        node("y", "MatMul", "parts", "w"), node("z", "MatMul", "parts:1", "w"),
    )  # fmt: skip
    done = applied(QuantizeNodes(mode="quantize"), before)
    assert done.graph["y_original"].inputs[0] == "parts"
    assert done.graph["parts"].op == "Dequantize"
    assert done.graph["z_original"].inputs[0] == "parts_original:1"
    assert done.notes == ("z reads parts:1 as it is.",)


@pytest.mark.parametrize("mode", ["round", "quantize"])
def test_loops_are_left_alone(mode: str) -> None:
    before = graph(
        placeholder("x", (2, 2)),
        Node.make("enter", "Enter", ["x"], T=DType.FLOAT, frame_name=b"loop"),
        Node.make("merge", "Merge", ["enter", "next"], T=DType.FLOAT, N=2),
        node("inside", "MatMul", "merge", "merge"),
        Node.make("next", "NextIteration", ["inside"], T=DType.FLOAT),
        outputs=["inside"],
    )
    done = applied(QuantizeNodes(mode=mode), before)
    assert not done.changed
    assert "while loop: inside" in done.notes[0]


# --- weights ---------------------------------------------------------------------------------------------------------


def test_weights_are_stored_in_8_bits_whatever_their_size() -> None:
    before = conv_net()
    after = applied(QuantizeNodes(mode="weights"), before).graph
    made = after["conv/weights"]
    assert made.inputs == ("conv/weights_quint8_const", "conv/weights_min", "conv/weights_max")
    assert made.text("mode") == "MIN_COMBINED"
    assert after["bias/values"].op == "Dequantize"
    assert after["conv"] is before["conv"]
    weights = before["conv/weights"].tensor.array  # type: ignore[union-attr]
    assert after["conv/weights_min"].tensor.array == weights.min()  # type: ignore[union-attr]


def test_what_one_value_fills_stays() -> None:
    before = graph(placeholder("x", (2,)), const("c", 2.0), const("d", [1, 1]), node("y", "AddN", "x", "c", "d", N=3))
    done = applied(QuantizeNodes(mode="weights"), before)
    assert not done.changed
    assert "all its values are equal" in done.notes[0]


def test_weights_rounded_is_round_weights_for_all_sizes() -> None:
    before = conv_net()
    done = applied(QuantizeNodes(mode="weights_rounded", bitdepth=3), before)
    assert to_bytes(done.graph) == to_bytes(RoundWeights(num_steps=8, minimum_size=0).run(before).graph)
    assert np.unique(done.graph["conv/weights"].tensor.array).size <= 8  # type: ignore[union-attr]


# --- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("quantize_nodes(mode=round, bitdepth=0)", "bitdepth=0 must be at least 1 and at most 16"),
        ("quantize_nodes(mode=weights_rounded, bitdepth=17)", "bitdepth=17 must be at least 1 and at most 16"),
        ("quantize_nodes(mode=round, bitdepth=1)", "bitdepth of 2 at least"),
        ("quantize_nodes(bitdepth=4)", "mode eightbit has 8 bits"),
        ("quantize_nodes(mode=weights, bitdepth=4)", "mode weights has 8 bits"),
        ("quantize_nodes(mode=round, quantized_input=true)", "quantized_input is for mode eightbit"),
        ("quantize_nodes(mode=weights, fallback_min=-1, fallback_max=1)", "fallback_min is for mode eightbit"),
        ("quantize_nodes(mode=quantize, skip=conv)", "skip is for mode eightbit"),
    ],
)
def test_wrong_parameters_say_so(call: str, words: str) -> None:
    with pytest.raises(PassError, match=words):
        parse(call)


@given(graphs(), st.sampled_from(MODES))
def test_any_graph(model: ModelGraph, mode: str) -> None:
    done = applied(QuantizeNodes(mode=mode), model)
    names = {n.name for n in done.graph.nodes}
    assert set(model) <= names


# --- in TensorFlow ---------------------------------------------------------------------------------------------------


@pytest.mark.tensorflow
def test_min_combined_codes_are_the_kernel_s() -> None:
    random = np.random.default_rng(0)
    tensors = [Tensor.of(random.normal(size=1000) * scale + shift, DType.FLOAT)
               for scale, shift in ((1, 0), (1e-3, 0), (50, 7), (0.1, 3), (0.1, -3))]  # fmt: skip
    stored = [store(tensor, combined=True) for tensor in tensors]
    nodes = []
    for at, (tensor, found) in enumerate(zip(tensors, stored, strict=True)):
        nodes += [
            Node.const(f"{at}/x", tensor),
            Node.const(f"{at}/low", found.low),
            Node.const(f"{at}/high", found.high),
        ]
        nodes.append(node(f"q{at}", "QuantizeV2", f"{at}/x", f"{at}/low", f"{at}/high", T=DType.QUINT8,
                          mode=b"MIN_COMBINED", ensure_minimum_range=0.0))  # fmt: skip
    theirs = run_tf(graph(*nodes), {}, [f"q{at}" for at in range(len(tensors))])
    for at, found in enumerate(stored):
        np.testing.assert_array_equal(theirs[f"q{at}"].view(np.uint8), found.codes.array)


@pytest.mark.tensorflow
@pytest.mark.parametrize("model", ["emotion", "liveness"])
@pytest.mark.parametrize(
    ("mode", "bits", "decibel"),
    [("weights", 8, 12), ("weights_rounded", 8, 16), ("round", 8, 20), ("quantize", 8, 12), ("round", 16, 60),
     ("weights_rounded", 16, 60)],
)  # fmt: skip
def test_real_models(model: str, mode: str, bits: int, decibel: float) -> None:
    before = real_model(model)
    done = applied(QuantizeNodes(mode=mode, bitdepth=bits), before)
    feeds = synthetic_feeds(before)
    expected, found = run_tf(before, feeds), run_tf(done.graph, feeds)
    for output in before.outputs:
        assert sqnr_db(expected[output], found[output]) > decibel
    if mode == "weights":
        assert byte_size(done.graph) < 0.3 * byte_size(before)


@pytest.mark.tensorflow
@pytest.mark.parametrize("bits", [2, 3, 8])
def test_a_rounded_layer_has_so_many_values(bits: int) -> None:
    before = Net().conv(4).build()
    after = applied(QuantizeNodes(mode="round", bitdepth=bits), before).graph
    found, expected = run_tf(after)["conv"], run_tf(before)["conv"]
    assert np.unique(found).size <= 2**bits
    assert relative_error(expected, found) <= 1.01 / (2 ** (bits - 1) - 1)

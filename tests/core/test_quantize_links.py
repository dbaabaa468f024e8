from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.base import PassResult
from compressor_gui.core.passes.eightbit.links import LINKS
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.regions import islands, regions
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import DType
from tests.links import LINKED, between, ints
from tests.support import Net, applied, graph, graphs, node, real_model, residual_net


def linked(model: ModelGraph, **values: object) -> PassResult:
    return applied(QuantizeNodes(**values), model)  # type: ignore[arg-type]


def conversions(model: ModelGraph) -> int:
    return sum(made.op in ("QuantizeV2", "Dequantize") and not made.name.endswith("_zero") for made in model.nodes)


@pytest.mark.parametrize("name", LINKED)
def test_a_link_tears_nothing_apart(name: str) -> None:
    model = between(LINKED[name])
    (region,) = regions(linked(model).graph)
    assert region.islands == ()
    assert conversions(linked(model).graph) == 2
    assert infer_shapes(linked(model).graph)["back"][0].dims == infer_shapes(model)["back"][0].dims
    torn = regions(linked(model, classic=True).graph)
    assert len(torn) > 1 or name == "Shape"  # a Shape was no border, but took a Dequantize of its own


def test_every_link_is_tested() -> None:
    made = {made.op for grow in LINKED.values() for made in between(grow).nodes}
    assert set(LINKS) - made == {"SplitV"}  # Split with sizes


def test_the_kernels_that_stand_for_a_residual_sum() -> None:
    model = linked(residual_net()).graph
    assert model["sum_eightbit_quantized_add"].inputs == (
        "bias_2_eightbit_requantize",
        "relu_eightbit_quantized",
        "bias_2_eightbit_requantize:1",
        "bias_2_eightbit_requantize:2",
        "relu_eightbit_quantized:1",
        "relu_eightbit_quantized:2",
    )
    assert model["sum_eightbit_quantized_add"].dtype("Toutput") == DType.QINT32
    assert model["sum_eightbit_requantize"].inputs[3:] == (
        "sum_eightbit_requant_min",  # Relu6 reads it: no codes for what is below zero
        "sum_eightbit_requant_max",
    )
    assert model["sum_eightbit_requant_max"].inputs == ("sum_eightbit_requant_range:1", "sum_eightbit_least_max")
    assert "sum" not in model


def test_a_link_that_links_nothing_stays() -> None:
    """In front of all layers, behind them, or beside a float input, it would only cost conversions and accuracy."""
    net = Net((2, 8, 8, 3)).then("Mul", "scale", name="front")
    net.const("scale", 2.0)
    net.conv(4).then("Mul", "scale", name="behind")
    done = linked(net.build())
    assert done.graph["front"].op == done.graph["behind"].op == "Mul"
    assert done.left["front"] == "Mul reads what is float"
    assert done.left["behind"] == "Mul is read by nothing that is 8-bit"
    beside = between(lambda net: net.then("Tanh", name="other").then("Mul", "start", name="link"))
    assert linked(beside).graph["link"].op == "Mul"


def test_a_chain_of_links_that_ends_in_float_stays_as_a_whole() -> None:
    net = Net((2, 8, 8, 3)).conv(4).then("Identity")
    order = ints(net, "order", 0, 2, 1, 3)
    model = net.then("Transpose", order, name="turned").then("Mul", net.top, name="square").then("Softmax").build()
    after = linked(model).graph
    assert (after["turned"].op, after["square"].op) == ("Transpose", "Mul")


@pytest.mark.parametrize(
    ("grow", "words"),
    [
        (lambda net: net.then("Mul", net.const("c", np.ones((2, 1, 1, 4))), name="link"), "Mul with a broadcast"),
        (lambda net: net.then("AddV2", net.const("c", np.ones((8, 1))), name="link"), "AddV2 with a broadcast"),
        (lambda net: net.then("Sum", ints(net, "c", 3), name="link", keep_dims=True), "Sum has no 8-bit kernel"),
        (lambda net: net.then("Sigmoid", name="link"), "Sigmoid has no 8-bit kernel"),
        (lambda net: net.depthwise(name="link"), "runs without oneDNN"),
    ],
)
def test_islands_say_why_they_are_float(grow: object, words: str) -> None:
    model = between(grow)  # type: ignore[arg-type]
    done = linked(model)
    (island,) = islands(regions(done.graph, done.left))
    assert island.nodes == ("link",)
    assert words in island.reason


def test_sums_of_tensors_of_unknown_size() -> None:
    """That both have one size can be known without the size."""
    model = between(LINKED["AddV2"])
    free = model["input"].with_(attrs={"shape": None})
    open_ = ModelGraph([free, *list(model.nodes)[1:]], outputs=model.outputs)
    assert linked(open_).graph["back_eightbit_quantized_conv"].inputs[0] == "back_eightbit_quantize_link"
    sized = model["input"].with_(attrs={"shape": model["input"].shape().__class__((-1, -1, -1, 3))})
    open_ = ModelGraph([sized, *list(model.nodes)[1:]], outputs=model.outputs)
    assert len(regions(linked(open_).graph)) == 1


def test_a_mean_of_so_many_numbers_that_their_sum_may_overflow_stays() -> None:
    def mean(size: int) -> str:
        net = Net((1, size, 64, 3)).conv(4).then("Relu")
        net.then("Mean", ints(net, "axes", 1, -2), name="link", keep_dims=True, Tidx=DType.INT32)
        after = linked(net.conv(3, kernel=1).build()).graph
        return after["link"].op if "link" in after else "8-bit"

    assert (mean(128), mean(130)) == ("8-bit", "Mean")


def test_the_outputs_of_a_split_that_floats_read_have_names_of_their_own() -> None:
    model = between(LINKED["Split"])
    reading = [node("first", "Tanh", "link"), node("second", "Tanh", "link:1")]
    after = linked(graph(*model.nodes, *reading, outputs=("back", "first", "second"))).graph
    assert after["link"].op == "Dequantize"
    assert after["first"].inputs == ("link",)
    assert after["second"].inputs == ("link_eightbit_dequantize_1",)
    assert after["right_eightbit_quantized"].inputs[0] == "link_eightbit_quantized:1"


def test_links_can_be_skipped_and_left_out() -> None:
    model = residual_net()
    assert linked(model, skip=("sum",)).graph["sum"].op == "AddV2"
    assert linked(model, classic=True).graph["sum"].op == "AddV2"


@given(graphs())
@settings(max_examples=40)
def test_random_graphs_have_no_more_conversions_than_without_links(model: ModelGraph) -> None:
    def largest(**values: object) -> int:
        return conversions(linked(model, **values).graph)

    assert largest() <= largest(classic=True)


@pytest.mark.parametrize(("name", "before", "after"), [("gear", 9, 1), ("liveness", 6, 1), ("emotion", 8, 3)])
def test_the_regions_of_real_models_grow_together(name: str, before: int, after: int) -> None:
    model = applied(QuantizeNodes(classic=True), real_model(name)).graph
    assert (len(regions(model)), len(regions(linked(real_model(name)).graph))) == (before, after)

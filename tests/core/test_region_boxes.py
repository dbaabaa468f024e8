"""8-bit regions and float islands in the picture: which boxes they are, and what is said of them."""

from __future__ import annotations

import pytest

from compressor_gui.core.fold import Folded, fold
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import apply, parse
from compressor_gui.core.region_boxes import cost_words
from compressor_gui.core.regions import Island, regions
from tests.support import Net


def torn(scope: str = "") -> ModelGraph:
    """Two 8-bit regions with an Exp between them."""
    net = Net().conv(4).bias().then("Relu").then("Exp", name=f"{scope}exp").conv(4).bias().then("Relu")
    return apply(parse("quantize_nodes"), net.build()).graph


def ops(folded: Folded, model: ModelGraph, boxes: tuple[int, ...]) -> set[str]:
    return {model[name].op for box in boxes for name in folded.boxes[box].ops}


def test_an_island_is_the_boxes_of_its_float_operations() -> None:
    model = torn()
    folded = fold(model)
    (island,) = folded.islands
    assert ops(folded, model, island.boxes) == {"Exp"}
    assert "Exp" in island.caption
    assert island.caption.startswith("float · ")
    assert len(folded.regions) == 2
    assert {"QuantizedConv2D", "Dequantize"} <= ops(folded, model, folded.regions[0].boxes)


def test_regions_that_are_known_are_not_looked_for_again() -> None:
    model = torn()
    found = regions(model, {"exp": "because it was asked for"})
    (island,) = fold(model, found=found).islands
    assert island.island.reason == "because it was asked for"
    assert fold(model, found=()).regions == ()


def test_an_island_inside_of_a_closed_scope_of_8_bits_has_no_box() -> None:
    net = Net().conv(4, name="block/conv").bias("block/bias").then("Relu", name="block/relu")
    net.then("Exp", name="block/exp").conv(4, name="block/conv_1").conv(2, name="tail/conv").then(
        "Relu", name="tail/relu"
    )
    model = apply(parse("quantize_nodes"), net.build()).graph
    assert fold(model, ["block/"]).islands
    closed = fold(model, ())
    assert any(box.kind == "scope" for box in closed.boxes)
    assert not closed.islands


@pytest.mark.parametrize(
    ("conversions", "elements", "words"),
    [
        (("a", "b"), 1_787_952, "2 conversions of 1.79 M numbers for each example"),
        (("a",), None, "1 conversion"),
    ],
)
def test_what_an_island_costs_in_words(conversions: tuple[str, ...], elements: int | None, words: str) -> None:
    assert cost_words(Island(("x",), {"why": ("x",)}, conversions, elements)) == words

"""Folding loses no node, and makes the boxes that people expect."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from compressor_gui.core.fold import AT_LEAST, OPEN_UP_TO, Folded, fold
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import apply, parse
from compressor_gui.core.pbio import read_graph
from tests.support import const, conv_net, graph, graphs, node, placeholder, residual_net


def check(model: ModelGraph, folded: Folded) -> None:
    """What holds of every folding: each node in one box, each edge between boxes from the graph, once."""
    members = [name for box in folded.boxes for name in box.members]
    assert sorted(members) == sorted(model)
    assert all(name in folded.boxes[index].members for name, index in folded.owner.items())
    pairs = [tuple(edge) for edge in folded.edges.tolist()]
    assert len(set(pairs)) == len(pairs) == len(folded.tensors)
    assert all(a != b for a, b in pairs)
    read = {(folded.owner[ref.name], folded.owner[user.name]) for user in model.nodes for ref in user.refs}
    assert set(pairs) <= read


@given(graphs())
def test_every_node_has_one_box(model: ModelGraph) -> None:
    for options in ({}, {"constants": True}, {"chains": False}, {"open_scopes": ()}):
        check(model, fold(model, **options))


def test_a_layer_is_one_box_with_its_constants() -> None:
    folded = fold(conv_net())
    box = folded.boxes[folded.owner["conv"]]
    assert (box.kind, box.label, box.family) == ("fused", "Conv2D · Bias · Relu", "convolution")
    assert box.title == "conv · 3×3×3×8"
    assert box.ops == ("conv", "bias", "relu")
    assert set(box.members) - set(box.ops) == {"conv/weights", "bias/values"}
    assert box.bytes == 4 * (3 * 3 * 3 * 8 + 8)


def test_nodes_kept_apart_are_boxes_of_their_own() -> None:
    folded = fold(conv_net(), apart={"bias"})
    assert [folded.boxes[folded.owner[name]].label for name in ("conv", "bias", "relu")] == [
        "Conv2D",
        "BiasAdd",
        "Relu",
    ]


def test_a_stored_weight_stands_in_its_layer() -> None:
    plain, model = conv_net(), apply(parse("quantize_weights(minimum_size=1)"), conv_net()).graph
    folded = fold(model)
    assert folded.edges.tolist() == fold(plain).edges.tolist()  # the trunk is as straight as before
    box = folded.boxes[folded.owner["conv"]]
    assert (box.title, box.stored) == ("conv · 3×3×3×8 · quint8", "quint8")
    assert {model[name].op for name in box.members[len(box.ops) :]} == {"Const", "Dequantize"}
    shown = fold(model, constants=True)
    assert shown.boxes[shown.owner["conv/weights"]].label == "Dequantize"


def test_a_weight_that_two_layers_share_is_no_edge_between_them() -> None:
    model = graph(
        placeholder("x", (1, 4)),
        const("codes", [[1.0]]),
        node("weight", "Identity", "codes"),
        node("left", "MatMul", "x", "weight"),
        node("right", "MatMul", "x", "weight"),
    )
    folded = fold(model)
    pairs = {(folded.boxes[a].id, folded.boxes[b].id) for a, b in folded.edges.tolist()}
    assert pairs == {("x", "left"), ("x", "right")}


def test_constants_can_be_shown() -> None:
    folded = fold(conv_net(), constants=True)
    box = folded.boxes[folded.owner["conv/weights"]]
    assert (box.label, box.title) == ("Const", "conv/weights · float32 3×3×3×8")
    assert [folded.owner["conv/weights"], folded.owner["conv"]] in folded.edges.tolist()


def test_what_two_read_ends_a_chain() -> None:
    folded = fold(residual_net())
    assert folded.owner["relu"] != folded.owner["conv_1"]
    assert folded.boxes[folded.owner["sum"]].ops == ("sum", "relu6")  # the addition and its activation


def test_an_output_in_the_middle_of_a_layer_keeps_its_box() -> None:
    model = conv_net()
    folded = fold(ModelGraph(model.nodes, outputs=("conv", "softmax")))
    assert folded.boxes[folded.owner["conv"]].ops == ("conv",)


def scoped(blocks: int, each: int) -> ModelGraph:
    nodes = [placeholder("input", (1, 4))]
    for block in range(blocks):
        for index in range(each):
            nodes.append(node(f"net/block{block}/op{index}", "Softmax", nodes[-1].name))
    return graph(*nodes)


def test_a_small_graph_starts_open_and_scopes_close() -> None:
    model = scoped(4, 5)
    assert all(box.kind == "op" for box in fold(model).boxes)
    closed = fold(model, ())
    assert [box.label for box in closed.boxes] == ["Placeholder", "block0", "block1", "block2", "block3"]
    assert closed.edges.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert closed.scopes == {f"net/block{i}/": 5 for i in range(4)}  # the scope that holds all is none


def test_a_large_graph_starts_readable() -> None:
    assert AT_LEAST <= len(fold(scoped(40, 50)).boxes) <= OPEN_UP_TO
    one = ModelGraph([*scoped(1, 300).nodes, node("net/last", "Neg", "net/block0/op299")])
    assert len(fold(one).boxes) > AT_LEAST  # a single giant box would say nothing


def test_eight_bit_regions_hold_what_computes_on_codes() -> None:
    model = apply(parse("quantize_nodes"), conv_net()).graph
    (region,) = fold(model).regions
    inside = {model[name].op for box in region.boxes for name in fold(model).boxes[box].ops}
    assert {"QuantizeV2", "QuantizedConv2D", "Requantize", "Dequantize"} <= inside
    assert not inside & {"Placeholder", "Softmax"}
    assert f"region 1 · {region.nodes} nodes · {region.borders} borders" in region.caption


def test_stored_weights_are_no_region() -> None:
    assert not fold(apply(parse("quantize_weights(minimum_size=1)"), conv_net()).graph).regions


def test_a_loop_folds() -> None:
    model = graph(
        placeholder("x", ()),
        node("enter", "Enter", "x"),
        node("merge", "Merge", "enter", "next"),
        const("limit", 3.0),
        node("less", "Less", "merge", "limit"),
        node("cond", "LoopCond", "less"),
        node("switch", "Switch", "merge", "cond"),
        node("double", "Square", "switch:1"),
        node("next", "NextIteration", "double"),
        node("exit", "Exit", "switch"),
    )
    check(model, fold(model))


@pytest.mark.parametrize("name", ["gear", "rvm", "blazepose-heavy"])
def test_real_graphs(name: str, shared_models: dict[str, Path]) -> None:
    model = read_graph(shared_models[name])
    folded = fold(model)
    check(model, folded)
    assert AT_LEAST < len(folded.boxes) < len(model) / 2

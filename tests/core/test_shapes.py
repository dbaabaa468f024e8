from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import find_layers
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.shapes import infer_shapes
from compressor_gui.core.values import DType, Shape
from tests.support import Net, const, conv, graph, graphs, node, placeholder, run_tf


def dims(model: ModelGraph, name: str) -> tuple[int, ...] | None:
    return infer_shapes(model)[name][0].dims


@pytest.mark.parametrize(("padding", "stride", "side"), [("SAME", 2, 4), ("VALID", 1, 6), ("VALID", 2, 3)])
def test_convolution(padding: str, stride: int, side: int) -> None:
    nodes = [placeholder("x", (-1, 8, 8, 3)), const("w", np.ones((3, 3, 3, 5)))]
    model = graph(*nodes, conv("y", "x", "w", stride=stride, padding=padding))
    assert dims(model, "y") == (-1, side, side, 5)
    assert find_layers(model)[0].multiply_adds == side * side * 27 * 5


def test_depthwise_and_dense_multiply_adds() -> None:
    depthwise, dense = find_layers(Net((-1, 8, 8, 3)).depthwise().flatten().dense(10).build())
    assert depthwise.multiply_adds == 8 * 8 * 9 * 3
    assert dense.multiply_adds == 8 * 8 * 3 * 10


def test_a_shape_cut_apart_and_put_together() -> None:
    def number(name: str, value: int) -> object:
        return const(name, [value], DType.INT32)

    nodes = [
        placeholder("x", (-1, 4, 6)),
        node("shape", "Shape", "x", out_type=DType.INT32),
        *(number(name, value) for name, value in (("zero", 0), ("one", 1))),
        const("rest", 24, DType.INT32),
        node("batch", "StridedSlice", "shape", "zero", "one", "one", shrink_axis_mask=1),
        node("wanted", "Pack", "batch", "rest", N=2),
        node("flat", "Reshape", "x", "wanted"),
    ]
    assert dims(graph(*nodes), "flat") == (-1, 24)  # type: ignore[arg-type]


def test_unknown_operations_give_unknown_shapes_and_stated_ones_are_kept() -> None:
    nodes = [
        placeholder("x", (2, 3)),
        node("a", "Mystery", "x"),
        node("b", "Mystery", "x", _output_shapes=(Shape((7,)),)),
    ]
    model = graph(*nodes, node("c", "AddV2", "x", "a"))
    assert (dims(model, "a"), dims(model, "b"), dims(model, "c")) == (None, (7,), None)


def test_shapes_that_contradict_each_other_are_unknown() -> None:
    nodes = [placeholder("x", (4,)), const("w", np.ones((3, 3, 3, 5))), conv("y", "x", "w")]
    assert dims(graph(*nodes), "y") is None


@given(graphs())
def test_random_networks_have_known_shapes(model: ModelGraph) -> None:
    assert all(
        shape.dims is not None and -1 not in shape.dims for found in infer_shapes(model).values() for shape in found
    )


@pytest.mark.tensorflow
def test_shapes_are_those_that_tensorflow_computes(shared_models: dict) -> None:
    for name in ("emotion", "handlandmark-full"):
        model = read_graph(shared_models[name])
        shapes = {n: found[0].dims for n, found in infer_shapes(model).items() if model[n].op != "Const"}
        known = [n for n, found in shapes.items() if found is not None]
        assert len(known) > 0.8 * len(shapes)
        for n, value in run_tf(model, outputs=known).items():
            assert len(shapes[n]) == value.ndim, n
            assert all(d in (-1, size) for d, size in zip(shapes[n], value.shape, strict=True)), n

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.eightbit.plan import fake_quant_range
from compressor_gui.core.passes.fake_quantize_concat import FakeQuantizeConcat
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.values import Attr, DType
from tests.support import applied, assert_same_numbers, const, graph, graphs, node, placeholder, relative_error, run_tf

Range = tuple[float, float]


def fake_quant(name: str, source: str, limits: Range, **attrs: Attr) -> list[Node]:
    ends = [const(f"{name}/{end}", np.float32(value)) for end, value in zip(("min", "max"), limits, strict=True)]
    return [*ends, Node.make(name, "FakeQuantWithMinMaxVars", (source, *(n.name for n in ends)), **attrs)]


def concat(name: str, *sources: str, op: str = "ConcatV2") -> list[Node]:
    axis = const(f"{name}/axis", 1, DType.INT32)
    inputs = (*sources, axis.name) if op == "ConcatV2" else (axis.name, *sources)
    return [axis, node(name, op, *inputs, N=len(sources), **({"Tidx": DType.INT32} if op == "ConcatV2" else {}))]


X = [placeholder("a", (1, 4)), placeholder("b", (1, 4))]


def ranges(model: ModelGraph) -> dict[str, Range | None]:
    return {n.name: fake_quant_range(model, n) for n in model.nodes if n.op.startswith("FakeQuant")}


def test_the_inputs_get_the_union_of_their_ranges() -> None:
    before = graph(*X, *fake_quant("p", "a", (-1, 2)), *fake_quant("q", "b", (0, 6)), *concat("y", "p", "q"))
    done = applied(FakeQuantizeConcat(), before)
    assert ranges(done.graph) == {"p": (-1, 6), "q": (-1, 6)}
    assert set(done.removed) == {"p/min", "p/max", "q/min", "q/max"}
    assert done.notes[0].endswith(": p, q.")


@pytest.mark.parametrize("op", ["Concat", "ConcatV2"])
def test_a_range_behind_moves_in_front(op: str) -> None:
    before = graph(*X, *concat("joined", "a", "b", "a", op=op), *fake_quant("y", "joined", (-1, 2)))
    after = applied(FakeQuantizeConcat(), before).graph
    assert after["y"].op == op
    assert after["y"].inputs == (("joined/axis",) * (op == "Concat") + ("y_0", "y_1", "y_0")
                                 + ("joined/axis",) * (op == "ConcatV2"))  # fmt: skip
    assert ranges(after) == {"y_0": (-1, 2), "y_1": (-1, 2)}
    assert "joined" not in after


def test_concatenations_that_share_an_input_or_are_joined_have_one_range() -> None:
    before = graph(
        *X, *fake_quant("p", "a", (-1, 2)), *fake_quant("q", "b", (0, 6)), *fake_quant("r", "a", (-8, 1)),
        *concat("first", "p", "q"), *concat("y", "first", "r"),
    )  # fmt: skip
    assert set(ranges(applied(FakeQuantizeConcat(), before).graph).values()) == {(-8, 6)}


@pytest.mark.parametrize(
    "before",
    [
        graph(*X, *fake_quant("p", "a", (-1, 2)), *concat("y", "p", "b")),
        graph(*X, *fake_quant("p", "a", (-1, 2)), *fake_quant("q", "b", (-1, 2)), *concat("y", "p", "q")),
        graph(*X, *fake_quant("p", "a", (-1, 2), num_bits=4), *fake_quant("q", "b", (0, 2)), *concat("y", "p", "q")),
        graph(*X, *concat("z", "a", "b"), *fake_quant("y", "z", (-1, 2)), outputs=["y", "z"]),
    ],
)
def test_what_stays(before: ModelGraph) -> None:
    assert not applied(FakeQuantizeConcat(), before).changed


@given(graphs())
def test_graphs_without_fake_quants_stay(model: ModelGraph) -> None:
    assert not applied(FakeQuantizeConcat(), model).changed


@given(st.lists(st.tuples(st.floats(-8, 0, width=16), st.floats(0.5, 8, width=16)), min_size=2, max_size=5))
def test_any_ranges(limits: list[Range]) -> None:
    parts = [n for at, one in enumerate(limits) for n in fake_quant(f"p{at}", "a", one)]
    before = graph(X[0], *parts, *concat("y", *(f"p{at}" for at in range(len(limits)))))
    done = applied(FakeQuantizeConcat(), before)
    assert set(ranges(done.graph).values()) == {(min(low for low, _ in limits), max(high for _, high in limits))}
    assert not applied(FakeQuantizeConcat(), done.graph).changed


@pytest.mark.tensorflow
def test_tensorflow_computes_the_same_bits_where_a_range_moves() -> None:
    before = graph(*X, *concat("joined", "a", "b"), *fake_quant("y", "joined", (-1.5, 2)))
    feeds = {name: np.random.default_rng(0).normal(0, 2, (1, 4)).astype(np.float32) for name in "ab"}
    assert_same_numbers(before, applied(FakeQuantizeConcat(), before).graph, feeds=feeds)


@pytest.mark.tensorflow
def test_in_8_bits_the_concatenation_has_one_range() -> None:
    """And is within a step of the union of what it was in float."""
    before = graph(*X, *fake_quant("p", "a", (-1, 2)), *fake_quant("q", "b", (0, 6)), *concat("y", "p", "q"))
    done = applied(FakeQuantizeConcat(), before)
    eight = applied(QuantizeNodes(), done.graph).graph
    joined = eight["y_eightbit_quantized_concat"]
    limits = [run_tf(eight, {"a": np.ones((1, 4)), "b": np.ones((1, 4))}, joined.inputs[3:])[ref]
              for ref in joined.inputs[3:]]  # fmt: skip
    assert limits[0] == limits[1]
    assert limits[2] == limits[3]
    feeds = {"a": np.float32([[-1, 0, 1, 2]]), "b": np.float32([[0, 2, 4, 6]])}
    expected, found = run_tf(before, feeds)["y"], run_tf(eight, feeds)["y"]
    assert relative_error(expected, found) * 6 <= 7 / 255

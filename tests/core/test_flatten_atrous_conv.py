from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.flatten_atrous_conv import FlattenAtrousConv
from compressor_gui.core.passes.fuse_pad import FusePad
from compressor_gui.core.values import Attr, DType
from tests.support import applied, assert_same_numbers, const, conv, graph, graphs, node, placeholder, real_model

INT = DType.INT32


def blocks(
    size: tuple[int, int] = (8, 8), rates: tuple[int, int] = (2, 2), kernel: tuple[int, int] = (3, 3),
    pads: tuple[tuple[int, int], tuple[int, int]] = ((2, 2), (2, 2)), op: str = "Conv2D", crop: int | None = None,
    **attrs: Attr,
) -> list[Node]:  # fmt: skip
    """A dilated convolution as TensorFlow 1.x writes it: what it pads, and as much more as blocks need, cropped."""
    more = [-(side + sum(pad)) % rate for side, pad, rate in zip(size, pads, rates, strict=True)]
    paddings = [(pad[0], pad[1] + extra) for pad, extra in zip(pads, more, strict=True)]
    crops = [(0, extra if crop is None else crop) for extra in more]
    weights = np.random.default_rng(0).normal(size=(*kernel, 2, 3)).astype(np.float32)
    kinds: dict[str, Attr] = {"Tblock_shape": INT}
    return [
        placeholder("x", (1, *size, 2)), const("rates", rates, INT), const("pads", paddings, INT),
        const("crops", crops, INT), const("w", weights),
        node("start", "SpaceToBatchND", "x", "rates", "pads", Tpaddings=INT, **kinds),
        conv("conv", "start", "w", op=op, **{"padding": "VALID", **attrs}),  # type: ignore[arg-type]
        node("y", "BatchToSpaceND", "conv", "rates", "crops", Tcrops=INT, **kinds),
    ]  # fmt: skip


def test_a_dilated_convolution_takes_the_name_of_the_end() -> None:
    done = applied(FlattenAtrousConv(), graph(*blocks()))
    after = done.graph
    assert list(after) == ["x", "w", "y"]
    assert after["y"].op == "Conv2D"
    assert after["y"].inputs == ("x", "w")
    assert after["y"].ints("dilations") == (1, 2, 2, 1)
    assert after["y"].text("padding") == "SAME"
    assert done.origins["y"] == ("conv", "start", "y")


def test_what_is_left_after_cropping_is_padded() -> None:
    after = applied(FlattenAtrousConv(), graph(*blocks(size=(7, 8), pads=((1, 0), (0, 3))))).graph
    assert after["y"].ints("explicit_paddings") == (0, 0, 1, 0, 0, 3, 0, 0)
    assert applied(FlattenAtrousConv(), graph(*blocks(pads=((0, 0), (0, 0))))).graph["y"].text("padding") == "VALID"


def test_depthwise_weights_get_zeros_between_them() -> None:
    before = graph(*blocks(op="DepthwiseConv2dNative", rates=(2, 3), pads=((2, 2), (3, 3))))
    after = applied(FlattenAtrousConv(), before).graph
    spread, weights = after["w"].tensor.array, before["w"].tensor.array  # type: ignore[union-attr]
    assert spread.shape == (5, 7, 2, 3)
    np.testing.assert_array_equal(spread[::2, ::3], weights)
    assert np.count_nonzero(spread) == weights.size
    assert after["y"].ints("dilations") == (1, 1, 1, 1)
    dilated = applied(FlattenAtrousConv(depthwise_dilations=True), before).graph
    assert dilated["w"] is before["w"]
    assert dilated["y"].ints("dilations") == (1, 2, 3, 1)


def test_weights_that_others_read_are_copied() -> None:
    made = blocks(op="DepthwiseConv2dNative")
    after = applied(FlattenAtrousConv(), graph(*made, node("z", "Neg", "w"), outputs=["y", "z"])).graph
    assert after["y"].inputs == ("x", "conv_dilated_weights")
    assert after["w"].tensor.array.shape == (3, 3, 2, 3)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (blocks(padding="SAME"), "pads or strides inside the blocks"),
        (blocks(strides=(1, 2, 2, 1)), "pads or strides inside the blocks"),
        (blocks(dilations=(1, 2, 2, 1)), "dilated already"),
        (blocks(crop=3), "not known to match"),
        ([*blocks(), node("z", "Neg", "conv")], "also read before"),
        ([placeholder("w", (3, 3, 2, 3)), *(n for n in blocks() if n.name != "w")], "weights are computed"),
        ([placeholder("crops", (2, 2), INT), *(n for n in blocks() if n.name != "crops")], "not known to match"),
        ([placeholder("rates", (2,), INT), *(n for n in blocks() if n.name != "rates")], "not two known numbers"),
    ],
)
def test_what_stays_is_said(made: list[Node], reason: str) -> None:
    done = applied(FlattenAtrousConv(), graph(*made))
    assert not done.changed
    assert reason in done.notes[0]


@pytest.mark.parametrize(("base", "left"), [(0, 0), (2, 2)])
def test_computed_paddings_that_are_known_to_match(base: int, left: int) -> None:
    """As Keras writes them where the picture's size is not known: what blocks need more is computed, and cropped."""

    def pack(name: str, *inputs: str) -> Node:
        return node(name, "Pack", *inputs, N=2, axis=0, T=INT)

    def entry(name: str, source: str, at: str) -> Node:
        return node(name, "StridedSlice", source, at, "one", "one", T=INT, Index=INT, shrink_axis_mask=1)

    computed = [
        placeholder("more", (2,), INT), const("zero", 0, INT), const("at0", [0], INT), const("at1", [1], INT),
        const("one", [1], INT), const("base", [base, base], INT), node("ends", "AddV2", "base", "more", T=INT),
        entry("end0", "ends", "at0"), entry("end1", "ends", "at1"), entry("crop0", "more", "at0"),
        entry("crop1", "more", "at1"), pack("pads0", "zero", "end0"), pack("pads1", "zero", "end1"),
        pack("pads", "pads0", "pads1"), pack("crops0", "zero", "crop0"), pack("crops1", "zero", "crop1"),
        pack("crops", "crops0", "crops1"),
    ]  # fmt: skip
    rest = [n for n in blocks() if n.name not in ("pads", "crops")]
    after = applied(FlattenAtrousConv(), graph(*computed, *rest, outputs=["y"])).graph
    assert set(after) <= {"x", "w", "y", "more"}
    assert after["y"].ints("explicit_paddings") == ((0, 0, 0, left, 0, left, 0, 0) if left else ())


@given(graphs())
def test_graphs_without_blocks_stay(model: ModelGraph) -> None:
    assert not applied(FlattenAtrousConv(), model).changed


pads = st.tuples(st.integers(0, 4), st.integers(0, 4))


@pytest.mark.tensorflow
@settings(max_examples=25)
@given(
    size=st.tuples(st.integers(9, 12), st.integers(9, 12)), rates=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)), padding=st.tuples(pads, pads),
    op=st.sampled_from(["Conv2D", "DepthwiseConv2dNative"]),
)  # fmt: skip
def test_tensorflow_computes_the_same(size: Any, rates: Any, kernel: Any, padding: Any, op: str) -> None:
    """Within 1e-5: the order of summation may differ."""
    before = graph(*blocks(size, rates, kernel, padding, op))
    done = applied(FlattenAtrousConv(), before)
    assert done.changed
    assert_same_numbers(before, done.graph, 1e-5)


@pytest.mark.tensorflow
def test_a_real_model_computes_the_same() -> None:
    """rvm alone of the real models has such convolutions: three, depthwise, in blocks whose padding is computed."""
    before = real_model("rvm")
    done = applied(FlattenAtrousConv(), before)
    assert "SpaceToBatchND" not in done.graph.op_counts
    assert len(done.removed) > 100
    assert_same_numbers(before, done.graph, 1e-5)
    both = applied(FusePad(), done.graph).graph
    assert "Pad" not in both.op_counts
    assert_same_numbers(before, both, 1e-5)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.fuse_pad import FusePad
from compressor_gui.core.values import Attr, DType
from tests.support import applied, assert_same_numbers, const, conv, graph, graphs, node, placeholder, real_model

ONES = [[0, 0], [1, 1], [1, 1], [0, 0]]


def padded(
    pads: Any = ONES, size: int | tuple[int, int] = 8, kernel: tuple[int, int] = (3, 3), op: str = "Conv2D",
    value: float | None = None, seed: int = 0, **attrs: Attr,
) -> ModelGraph:  # fmt: skip
    height, width = (size, size) if isinstance(size, int) else size
    weights = np.random.default_rng(seed).normal(size=(*kernel, 2, 3)).astype(np.float32)
    made = {"padding": "VALID", **attrs}
    extra = [] if value is None else [const("value", np.float32(value))]
    pad = node("pad", "Pad" if value is None else "PadV2", "x", "amounts", *(n.name for n in extra),
               Tpaddings=DType.INT32)  # fmt: skip
    return graph(placeholder("x", (1, height, width, 2)), const("amounts", pads, DType.INT32), *extra, pad,
                 const("w", weights), conv("y", "pad", "w", op=op, **made))  # type: ignore[arg-type]  # fmt: skip


def test_same_padding_says_it_where_it_adds_the_same_zeros() -> None:
    done = applied(FusePad(), padded())
    assert done.graph["y"].text("padding") == "SAME"
    assert done.graph["y"].inputs == ("x", "w")
    assert set(done.removed) == {"pad", "amounts"}
    assert done.origins["y"] == ("y", "pad")


def test_explicit_padding_says_the_rest() -> None:
    pads = [[0, 0], [0, 2], [3, 1], [0, 0]]
    after = applied(FusePad(), padded(pads)).graph
    assert after["y"].text("padding") == "EXPLICIT"
    assert after["y"].ints("explicit_paddings") == (0, 0, 0, 2, 3, 1, 0, 0)
    done = applied(FusePad(explicit=False), padded(pads))
    assert not done.changed
    assert done.notes == ("pad kept: only explicit padding says what it adds.",)


@pytest.mark.parametrize(("size", "padding"), [(8, "SAME"), (9, "EXPLICIT"), (-1, "EXPLICIT")])
def test_with_strides_same_depends_on_the_size(size: int, padding: str) -> None:
    after = applied(FusePad(), padded([[0, 0], [0, 1], [0, 1], [0, 0]], size, strides=(1, 2, 2, 1))).graph
    assert after["y"].text("padding") == padding


def test_what_the_convolution_pads_itself_is_added() -> None:
    same = applied(FusePad(), padded(padding="SAME")).graph["y"]
    assert same.ints("explicit_paddings") == (0, 0, 2, 2, 2, 2, 0, 0)
    before = padded(padding="EXPLICIT", explicit_paddings=(0, 0, 1, 0, 0, 0, 0, 0))
    assert applied(FusePad(), before).graph["y"].ints("explicit_paddings") == (0, 0, 2, 1, 1, 1, 0, 0)
    nothing = applied(FusePad(), padded([[0, 0]] * 4)).graph["y"]
    assert (nothing.text("padding"), nothing.ints("explicit_paddings")) == ("VALID", ())


def test_channels_first() -> None:
    pads = [[0, 0], [0, 0], [1, 2], [3, 4]]
    after = applied(FusePad(), padded(pads, data_format=b"NCHW")).graph
    assert after["y"].ints("explicit_paddings") == (0, 0, 0, 0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (padded([[0, 0], [1, 1], [1, 1], [1, 0]]), "pads the batch or the channels"),
        (padded([[0, 0], [-1, 1], [1, 1], [0, 0]]), "pads the batch or the channels"),
        (padded([[1, 1], [1, 1]]), "not known for four dimensions"),
        (padded(value=1.0), "other values than zeros"),
        (padded(padding="SAME", strides=(1, 2, 2, 1)), "depends on the size of its input"),
        (padded(strides=(1, 0, 1, 1)), "depends on the size of its input"),
    ],
)
def test_what_stays_is_said(before: ModelGraph, reason: str) -> None:
    done = applied(FusePad(), before)
    assert not done.changed
    assert reason in done.notes[0]


def test_computed_amounts_stay() -> None:
    nodes = [n for n in padded().nodes if n.name != "amounts"]
    done = applied(FusePad(), graph(placeholder("amounts", (4, 2), DType.INT32), *nodes))
    assert "is computed" in done.notes[0]


def test_a_pad_that_others_read_stays_for_them() -> None:
    before = padded(value=0.0)
    shared = graph(*before.nodes, node("z", "Neg", "pad", "^pad"), outputs=["y", "z"])
    done = applied(FusePad(), shared)
    assert done.graph["y"].inputs == ("x", "w")
    assert done.graph["pad"] is shared["pad"]
    assert applied(FusePad(), graph(*before.nodes, outputs=["y", "pad"])).graph["pad"].op == "PadV2"


@given(graphs())
def test_graphs_without_padding_stay(model: ModelGraph) -> None:
    assert not applied(FusePad(), model).changed


amounts = st.tuples(st.integers(0, 3), st.integers(0, 3))


@pytest.mark.tensorflow
@settings(max_examples=25)
@given(
    rows=amounts, columns=amounts, size=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)), stride=st.integers(1, 2),
    op=st.sampled_from(["Conv2D", "DepthwiseConv2dNative"]), padding=st.sampled_from(["VALID", "SAME"]),
)  # fmt: skip
def test_tensorflow_computes_the_same(
    rows: tuple[int, int], columns: tuple[int, int], size: tuple[int, int], kernel: tuple[int, int], stride: int,
    op: str, padding: str,
) -> None:  # fmt: skip
    """Within 1e-5: the order of summation may differ."""
    pads = [[0, 0], list(rows), list(columns), [0, 0]]
    before = padded(pads, size, kernel, op, strides=(1, stride, stride, 1), padding=padding)
    done = applied(FusePad(), before)
    assert done.changed == (padding == "VALID" or stride == 1)
    assert_same_numbers(before, done.graph, 1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("model", ["blazepose-heavy", "rvm"])
def test_real_models_compute_the_same(model: str) -> None:
    """Within 1e-5. Three of rvm's paddings stand in front of blocks, which ``flatten_atrous_conv`` puts together."""
    before = real_model(model)
    done = applied(FusePad(), before)
    assert sum(n.op == "Pad" for n in done.graph.nodes) == 3
    assert_same_numbers(before, done.graph, 1e-5)

"""What ``quantize_nodes`` leaves in float, and why."""

from __future__ import annotations

import numpy as np
import pytest

from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.values import Attr, DType
from tests.core.eightbit import eightbit
from tests.support import Net, applied, const, conv, graph, node, placeholder

FLOAT = DType.FLOAT


def refused_conv(depth: int = 2, **attrs: Attr) -> ModelGraph:
    return graph(placeholder("x", (1, 8, 8, depth)), const("w", np.ones((3, 3, 2, 2), np.float32)),
                 conv("layer", "x", "w", **attrs))  # type: ignore[arg-type]  # fmt: skip


def refused_bias(values: np.ndarray, **attrs: Attr) -> ModelGraph:
    return graph(placeholder("x", (1, 2)), const("b", values), node("layer", "BiasAdd", "x", "b", **attrs))


def pool(op: str, window: tuple[int, ...], **attrs: Attr) -> ModelGraph:
    given: dict[str, Attr] = {"ksize": window, "strides": (1, 1, 1, 1), "padding": b"VALID", **attrs}
    return graph(placeholder("x", (1, 8, 8, 2)), node("layer", op, "x", **given))


ONES = np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (refused_conv(dilations=(1, 2, 2, 1)), "dilations"),
        (refused_conv(padding="EXPLICIT", explicit_paddings=(0, 0, 1, 1, 1, 1, 0, 0)), "explicit padding"),
        (refused_conv(strides=(1, 1, 2, 1)), "unequal strides"),
        (refused_conv(data_format=b"NCHW"), "NCHW"),
        (refused_conv(depth=4), "groups"),
        (refused_bias(ONES, data_format=b"NCHW"), "NCHW"),
        (refused_bias(np.float32([np.nan, 1])), "not finite"),
        (refused_bias(np.zeros(0, np.float32)), "empty"),
        (pool("MaxPool", (1, 1, 1, 2)), "channels"),
        (pool("AvgPool", (2, 1, 1, 1)), "batch"),
    ],
)
def test_what_has_no_kernel_stays_with_a_note(before: ModelGraph, reason: str) -> None:
    done = applied(QuantizeNodes(), before)
    assert not done.changed
    assert reason in done.notes[0]
    assert "layer" in done.notes[0]


def test_other_types_stay() -> None:
    before = graph(placeholder("x", (2, 2), DType.INT32), node("y", "MatMul", "x", "x", T=DType.INT32))
    done = applied(QuantizeNodes(), before)
    assert not done.changed
    assert done.notes == ("No operation of this graph has a classic 8-bit kernel.",)


def test_a_computed_axis_stays() -> None:
    before = graph(placeholder("x", (2, 2)), placeholder("axis", (), DType.INT32),
                   node("y", "ConcatV2", "x", "x", "axis", N=2, Tidx=DType.INT32))  # fmt: skip
    done = applied(QuantizeNodes(), before)
    assert not done.changed
    assert "axis" in done.notes[0]


def test_loops_stay() -> None:
    before = graph(
        placeholder("x", (2, 2)),
        Node.make("enter", "Enter", ["x"], T=DType.FLOAT, frame_name=b"loop"),
        Node.make("merge", "Merge", ["enter", "next"], T=DType.FLOAT, N=2),
        Node.make("go", "LoopCond", ["test"]),
        Node.make("test", "IsFinite", ["merge"], T=DType.FLOAT),
        Node.make("switch", "Switch", ["merge", "go"], T=DType.FLOAT),
        node("inside", "Relu", "switch:1"),
        Node.make("next", "NextIteration", ["inside"], T=DType.FLOAT),
        Node.make("exit", "Exit", ["switch"], T=DType.FLOAT),
        node("outside", "Relu", "exit"),
        outputs=["outside"],
    )
    done = applied(QuantizeNodes(), before)
    assert done.graph["inside"].op == "Relu"
    assert done.graph["outside"].op == "Dequantize"
    assert "loop: inside" in done.notes[0]


def test_skipped_operations_and_scopes_stay() -> None:
    net = Net()
    net.conv(2, name="head/conv").bias(name="head/bias").then("Relu", name="headless").conv(2)
    before = net.build()
    after = eightbit(before, skip=("head", "conv"))
    assert {name for name in before if after.get(name) is before[name]} >= {"head/conv", "head/bias", "conv"}
    assert "headless_eightbit_quantized" in after

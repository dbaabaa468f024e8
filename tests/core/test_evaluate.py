"""Constants are worked out as TensorFlow would, or not at all (tests/engine compares the results with TensorFlow's)."""

from __future__ import annotations

import numpy as np
import pytest

from compressor_gui.core.evaluate import compute, constant_values
from compressor_gui.core.graph import Node
from compressor_gui.core.values import Attr, DType, Tensor
from tests.support import const, graph, node, placeholder


def evaluated(op: str, *inputs: object, dtype: DType = DType.FLOAT, **attrs: Attr) -> np.ndarray | None:
    tensors = [x if isinstance(x, Tensor) else Tensor.of(x, dtype) for x in inputs]
    found = compute(Node.make("it", op, **{"T": dtype, **attrs}), tensors)
    return None if found is None else found.array


@pytest.mark.parametrize(
    ("op", "inputs", "attrs"),
    [
        ("RealDiv", ([1, 2], [1, 2]), {"T": DType.INT32}),  # no such kernel
        ("FloorDiv", ([1], [0]), {"T": DType.INT32}),  # TensorFlow stops with an error
        ("Maximum", ([np.nan], [1]), {}),
        ("Add", ([1, 2], [1, 2, 3]), {}),
        ("Cast", ([3e9],), {"SrcT": DType.FLOAT, "DstT": DType.INT32}),
        ("Cast", ([np.nan],), {"SrcT": DType.FLOAT, "DstT": DType.INT32}),
        ("Cast", ([1.0],), {"SrcT": DType.FLOAT, "DstT": DType.QINT8}),
        ("Cast", ([1.0],), {"SrcT": DType.FLOAT, "DstT": DType.HALF, "Truncate": True}),
        ("Softmax", ([1.0],), {}),
        ("Sum", ([1.0, 2.0], [0]), {}),  # the order of additions is TensorFlow's
        ("Identity", (), {}),
    ],
)
def test_what_is_left_to_tensorflow(op: str, inputs: tuple, attrs: dict[str, Attr]) -> None:
    dtype = attrs.pop("T", DType.FLOAT)
    assert isinstance(dtype, DType)
    assert evaluated(op, *inputs, dtype=dtype, **attrs) is None


def test_a_broken_reshape_is_not_an_error_here() -> None:
    assert evaluated("Reshape", np.ones(6), Tensor.of([4], DType.INT32)) is None


def test_values_flow_through_chains_and_stop_at_inputs() -> None:
    found = constant_values(
        graph(
            placeholder("x", (2,)),
            const("a", [1.0, 4.0]),
            node("root", "Rsqrt", "a"),
            node("twice", "AddV2", "root", "root"),
            node("y", "Mul", "x", "twice"),
        )
    )
    assert set(found) == {"a", "root", "twice"}
    np.testing.assert_array_equal(found["twice"].tensor.array, np.float32([2.0, 1.0]))


def test_control_inputs_are_inherited() -> None:
    found = constant_values(
        graph(
            placeholder("x", ()),
            const("a", 1.0).with_(inputs=["^x"]),
            const("b", 2.0),
            node("sum", "Add", "a", "b"),
        )
    )
    assert found["sum"].control == ("^x",)
    assert found["b"].control == ()


@pytest.mark.parametrize(
    ("op", "inputs", "attrs"),
    [
        ("Fill", (Tensor.of([1000, 1000], DType.INT32), 1.0), {}),
        ("Tile", ([1.0], Tensor.of([1_000_000], DType.INT32)), {}),
        ("BroadcastTo", ([1.0], Tensor.of([1_000_000], DType.INT32)), {}),
        ("Pad", ([1.0], Tensor.of([[0, 1_000_000]], DType.INT32)), {}),
        ("Mul", (np.ones((1000, 1)), np.ones((1, 1000))), {}),
        ("GatherV2", ([1.0], Tensor.of(np.zeros(1_000_000), DType.INT32), Tensor.of(0, DType.INT32)), {}),
        ("Range", tuple(Tensor.of(x, DType.INT32) for x in (0, 1_000_000, 1)), {"Tidx": DType.INT32}),
    ],
)
def test_the_limit_stops_what_would_blow_up(op: str, inputs: tuple, attrs: dict[str, Attr]) -> None:
    tensors = [x if isinstance(x, Tensor) else Tensor.of(x, DType.FLOAT) for x in inputs]
    made = Node.make("it", op, **{"T": DType.FLOAT, "Tparams": DType.FLOAT, **attrs})
    assert compute(made, tensors, limit=3_999_999) is None
    found = compute(made, tensors, limit=4_100_000)
    assert found is not None
    assert found.nbytes >= 4_000_000

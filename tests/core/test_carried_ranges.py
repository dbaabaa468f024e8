from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.carried_ranges import carried_ranges, carrier, steps_of, weights_of
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.values import DType
from tests.support import Net, applied, conv

KINDS = ("vars", "args", "per channel", "v2", "v3", "v4", "pair", "pair scaled")
ONE_CHANNEL = tuple(kind for kind in KINDS if kind != "per channel")
KINDS_AND_WEIGHTS = [*((kind, "vars") for kind in ONE_CHANNEL), ("vars", "per channel"), ("v2", "v2")]


def rounded(net: Net, top: str, low: float, high: float, kind: str = "vars", **attrs: Any) -> str:
    """``top`` behind a carrier of a range; both are named for it."""
    name = net.name(f"{top}/rounded")
    if kind == "args":
        ends = {"min": low, "max": high, "num_bits": 8, "narrow_range": False}
        net.then("FakeQuantWithMinMaxArgs", name=name, **{**ends, **attrs})
        return name
    channels = 6 if kind == "per channel" else ()
    names = [net.const(f"{name}/{end}", np.full(channels, v, np.float32)) for end, v in (("min", low), ("max", high))]
    fake = {"num_bits": 8, "narrow_range": False, **attrs}
    trip = {"signed_input": low < 0, "range_given": True, "narrow_range": False, **attrs}
    if kind in ("vars", "per channel"):
        net.then("FakeQuantWithMinMaxVars" + ("PerChannel" if channels else ""), *names, name=name, **fake)
    elif kind == "v3":
        net.then("QuantizeAndDequantizeV3", *names, net.const(f"{name}/bits", 8, DType.INT32), name=name, **trip)
    elif kind in ("v2", "v4"):
        net.then(f"QuantizeAndDequantize{kind.upper()}", *names, name=name, num_bits=8, **trip)
    else:
        how = {"mode": b"SCALED" if "scaled" in kind else b"MIN_COMBINED", "T": DType.QUINT8}
        if "scaled" in kind and low < 0:
            how["T"] = DType.QINT8
        codes = net.then("QuantizeV2", *names, name=f"{name}/codes", **how).top
        net.then("Dequantize", f"{codes}:1", f"{codes}:2", name=name, **how)
    return name


def trained(kind: str = "vars", weights: str = "vars") -> ModelGraph:
    """What training with simulated quantization leaves: rounded input, weights and results, a sum and a batch norm."""
    net = Net((2, 8, 8, 4))
    net.top = rounded(net, "input", 0.0, 1.0, kind)
    for channels, size in ((6, 3), (6, 1), (6, 3)):
        start, name = net.top, net.name("conv")
        net.weights(f"{name}/weights", size, size, net.shape[3], channels)
        net.top = f"{name}/weights"
        net.top = rounded(net, net.top, -4.0, 4.0, weights, **({"narrow_range": True} if weights == "vars" else {}))
        kernel, net.top = net.top, start
        net.top = net.add(conv(name, start, kernel))
        net.shape = (*net.shape[:3], channels)
        net.batch_norm()
        if name == "conv_1":
            net.then("AddV2", start, name="sum")
        net.then("Relu")
        net.top = rounded(net, net.top, 0.0, 8.0, kind)
    return net.build()


@pytest.mark.parametrize("kind", ONE_CHANNEL)
def test_what_each_kind_carries(kind: str) -> None:
    net = Net((1, 8, 8, 6))
    name = rounded(net, "input", 0.0, 6.0, kind)
    model = net.build()
    assert carried_ranges(model)[name] == pytest.approx((0, 6))
    assert carried_ranges(model)["input"] == pytest.approx((0, 6))


@pytest.mark.parametrize(
    ("low", "high", "kind", "attrs", "expected"),
    [
        (-1.0, 3.0, "vars", {}, (-64 * 4 / 255, 191 * 4 / 255)),  # nudged: 0 is a whole number of steps away
        (-1.0, 1.0, "vars", {"narrow_range": True}, (-128 / 127, 1)),
        (1.0, 3.0, "vars", {}, (0.0, 2.0)),  # TensorFlow's nudge moves it to begin at 0
        (-2.0, 1.0, "v2", {}, (-2.0, 127 / 64)),
        (-1.0, 1.0, "v4", {"narrow_range": True}, (-128 / 127, 1.0)),
    ],
)
def test_ranges_are_nudged_as_the_kernels_do(
    low: float, high: float, kind: str, attrs: dict, expected: tuple[float, float]
) -> None:
    net = Net((1, 8, 8, 6))
    name = rounded(net, "input", low, high, kind, **attrs)
    assert carried_ranges(net.build())[name] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "attrs"),
    [("vars", {"num_bits": 4}), ("args", {"num_bits": 16}), ("v2", {"range_given": False}), ("v4", {"num_bits": 6})],
)
def test_other_bits_and_ranges_found_at_run_time_are_not_carried(kind: str, attrs: dict) -> None:
    net = Net((1, 8, 8, 6))
    name = net.name("input/rounded")
    if kind == "v4":
        ends = [net.const(end, np.float32(v)) for end, v in (("low", -1), ("high", 1))]
        net.then("QuantizeAndDequantizeV4", *ends, name=name, signed_input=True, range_given=True, **attrs)
    else:
        rounded(net, "input", -1.0, 1.0, kind, **attrs)
    model = net.build()
    assert carrier(model, model[name]) is None


@pytest.mark.parametrize(("low", "high"), [(1.0, -1.0), (0.0, 0.0), (0.0, float("nan")), (0.0, float("inf"))])
def test_bad_ranges_are_not_carried(low: float, high: float) -> None:
    net = Net((1, 8, 8, 6))
    rounded(net, "input", low, high)
    assert not carried_ranges(net.build())


@pytest.mark.parametrize("kind", ["vars", "per channel", "v2"])
def test_weights_are_on_the_grid_that_they_carry(kind: str) -> None:
    model = trained(weights=kind)
    layer = model["conv"]
    weights, steps = weights_of(model, layer), steps_of(model, layer)
    assert weights is not None
    assert steps is not None
    levels = weights.array / steps
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
    made = applied(FuseInt8(everywhere=True), model).graph
    codes = made.constant(made["relu/rounded_int8"], 1)
    assert codes is not None
    scale = np.sign(codes.array.reshape(-1, 6).astype(int) * np.rint(levels).reshape(-1, 6)).sum(axis=0)
    assert set(np.sign(scale)) == {1}  # gammas are positive here
    np.testing.assert_array_equal(codes.array, np.rint(levels))


@pytest.mark.parametrize(("kind", "weights"), KINDS_AND_WEIGHTS)
def test_a_graph_that_carries_ranges_needs_no_others(kind: str, weights: str) -> None:
    model = trained(kind, weights)
    assert FuseInt8(everywhere=True).activations(model) == ()
    made = applied(FuseInt8(everywhere=True), model).graph
    assert Counter(node.op for node in made.nodes if node.op not in ("Const", "Placeholder")) == {
        "QuantizeV2": 1,
        "QuantizedConv2DWithBiasAndReluAndRequantize": 2,
        "QuantizedConv2DWithBiasSumAndReluAndRequantize": 1,
        "QuantizedAvgPool": 1,
        "Dequantize": 1,
    }
    read = {ref.name for node in made.nodes for ref in node.refs}
    assert all(node.name in read for node in made.nodes if node.op == "Const")


def test_given_ranges_come_before_carried_ones() -> None:
    model = trained()
    wide = applied(FuseInt8({"relu/rounded": (0.0, 16.0)}, everywhere=True), model).graph  # type: ignore[arg-type]
    high = wide.constant(wide["relu/rounded_int8"], 8)
    assert high is not None
    assert float(high.array) == 16


def test_without_any_range_it_is_refused() -> None:
    with pytest.raises(PassError, match="no range is given"):
        FuseInt8().run(Net((1, 8, 8, 4)).conv(4).build())


def test_carriers_outside_of_8_bit_regions_stay() -> None:
    net = Net((2, 8, 8, 4))
    net.top = rounded(net, "input", 0.0, 1.0)
    net.then("Sigmoid")
    name = rounded(net, net.top, 0.0, 1.0)
    model = net.then("Tanh").build()
    made = applied(FuseInt8(everywhere=True), model).graph
    assert made[name] is model[name]


def test_a_carrier_behind_a_pool_or_a_concatenation_is_left_out() -> None:
    net = Net((2, 8, 8, 4))
    net.top = rounded(net, "input", 0.0, 1.0)
    net.conv(4, kernel=1).then("Relu").pool()
    net.top = rounded(net, net.top, 0.0, 3.0)
    model = net.conv(6, kernel=1).then("Relu").build()
    ranges = {"relu_1": (0.0, 2.0)}
    assert FuseInt8(everywhere=True).activations(model) == ("relu_1",)
    made = applied(FuseInt8(ranges, everywhere=True), model).graph  # type: ignore[arg-type]
    assert not any(node.op.startswith("FakeQuant") for node in made.nodes)

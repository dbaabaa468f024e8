"""``quantize_nodes`` where eight bits were simulated: FakeQuant and its like give their ranges."""

from __future__ import annotations

import numpy as np
import pytest

from compressor_gui.core.graph import Node
from compressor_gui.core.values import Attr, DType
from tests.core.eightbit import eightbit, ops, value
from tests.support import Net, node


def fake_quant(name: str, source: str, **attrs: Attr) -> Node:
    return Node.make(name, "FakeQuantWithMinMaxVars", (source, f"{name}/min", f"{name}/max"), **attrs)  # type: ignore[arg-type]


def with_fake_quant(net: Net, name: str, low: float, high: float, **attrs: Attr) -> Net:
    net.const(f"{name}/min", np.float32(low))
    net.const(f"{name}/max", np.float32(high))
    net.top = net.add(fake_quant(name, net.top, **attrs))
    return net


def test_a_fake_quant_gives_its_range_and_name() -> None:
    net = with_fake_quant(Net().conv(4), "fq", -1, 2).then("Tanh")
    after = eightbit(net.build())
    assert after["conv_eightbit_requantize"].inputs[3:] == ("fq/min", "fq/max")
    assert after["fq"].op == "Dequantize"
    assert after["fq"].inputs[0] == "conv_eightbit_requantize"
    assert "conv" not in after


def test_a_fake_quant_behind_relu_and_pool_gives_its_range_to_the_requantize() -> None:
    net = with_fake_quant(Net().conv(4).bias().then("Relu").pool(), "fq", 0, 6).conv(2)
    after = eightbit(net.build())
    assert after["bias_eightbit_requantize"].inputs[3:] == ("fq/min", "fq/max")
    assert after["conv_eightbit_requantize"].inputs[3] == "conv_eightbit_requant_range"
    assert after["conv_1_eightbit_quantized_conv"].inputs[0] == "maxpool_eightbit_quantized"
    assert "fq" not in after


def test_weights_behind_a_fake_quant_are_stored_over_its_range() -> None:
    net = Net().conv(4)
    net.const("fq/min", np.float32(-0.25))
    net.const("fq/max", np.float32(0.5))
    net.add(fake_quant("fq", "conv/weights"))
    net.nodes["conv"] = net.nodes["conv"].with_(inputs=["input", "fq"])
    before = net.build()
    after = eightbit(before)
    assert value(after, "fq_min") == -0.25
    assert value(after, "fq_max") == 0.5
    assert {"fq", "conv/weights", "fq/min", "fq/max"}.isdisjoint(after)
    assert after["conv_eightbit_quantized_conv"].inputs[1] == "fq_quint8_const"


@pytest.mark.parametrize("attrs", [{"num_bits": 4}, {"narrow_range": True}])
def test_other_fake_quants_stay(attrs: dict[str, Attr]) -> None:
    after = eightbit(with_fake_quant(Net().conv(4), "fq", -1, 2, **attrs).then("Relu").build())
    assert after["fq"].op == "FakeQuantWithMinMaxVars"
    assert after["fq"].inputs[0] == "conv"
    assert after["conv"].op == "Dequantize"
    assert "relu_eightbit_min_fq" in after


def simulated(net: Net, op: str, source: str, low: float, high: float) -> str:
    """What quantization-aware training puts behind ``source``."""
    ends = [net.const(f"{source}/{end}", np.float32(limit)) for end, limit in (("low", low), ("high", high))]
    if op == "FakeQuantWithMinMaxArgs":
        made = Node.make("sim", op, [source], min=low, max=high)
    elif op == "FakeQuantWithMinMaxVarsPerChannel":
        wide = [net.const(f"{source}/{at}", np.full(4, limit, np.float32)) for at, limit in enumerate((low, high))]
        made = Node.make("sim", op, [source, *wide])
    else:
        bits = [net.const(f"{source}/bits", 8, DType.INT32)] if op.endswith("V3") else []
        made = node("sim", op, source, *ends, *bits, range_given=True, signed_input=True)
    return net.add(made)


ROUND_TRIPS = ("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4")


@pytest.mark.parametrize("op", ["FakeQuantWithMinMaxArgs", *ROUND_TRIPS])
def test_what_else_simulates_eight_bits_gives_its_range_too(op: str) -> None:
    net = Net().conv(4)
    net.top = simulated(net, op, "conv", -1.0, 1.0)
    after = eightbit(net.conv(2).build())
    names = ("sim_eightbit_min_value", "sim_eightbit_max_value")
    assert after["conv_eightbit_requantize"].inputs[3:] == names
    assert {"sim", "conv"}.isdisjoint(after)
    low, high = (float(value(after, name)) for name in names)
    assert -1.01 < low <= -1 < 0 < 0.99 < high < 1.01
    assert round(-low / (high - low) * 255, 3) == round(round(-low / (high - low) * 255), 3)  # 0 has a code


@pytest.mark.parametrize("op", ["FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVarsPerChannel", *ROUND_TRIPS])
def test_weights_whose_eight_bits_were_simulated_are_stored(op: str) -> None:
    net = Net().conv(4)
    source = simulated(net, op, "conv/weights", -0.5, 0.5)
    net.nodes["conv"] = net.nodes["conv"].with_(inputs=["input", source])
    after = eightbit(net.build())
    assert after["conv_eightbit_quantized_conv"].inputs[1] == "sim_quint8_const"
    assert {"sim", "conv/weights"}.isdisjoint(after)


def test_a_float_fake_quant_gives_its_range_to_the_quantize_behind_it() -> None:
    after = eightbit(with_fake_quant(Net().then("Tanh"), "fq", -1, 2).conv(2).build())
    assert after["conv_eightbit_quantize_fq"].inputs == ("fq", "fq/min", "fq/max")
    assert {"Min", "Max"}.isdisjoint(ops(after))

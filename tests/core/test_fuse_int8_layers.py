"""What ``fuse_int8`` makes of a layer, with its bias, borders and batch norm."""

from __future__ import annotations

import numpy as np
import pytest

from compressor_gui.core.passes import parse
from compressor_gui.core.passes.int8.formats import Format
from compressor_gui.core.values import DType
from tests.core.fusing import CONV, DEPTHWISE, fused, ops, value
from tests.support import Net, applied, conv


def test_a_layer_with_bias_and_relu_is_one_operation() -> None:
    net = Net((1, 8, 8, 4)).conv(6).bias().then("Relu6")
    made = fused(net.build(), 0.0, 9.0).graph
    assert ops(made) == {"QuantizeV2": 1, CONV: 1, "Dequantize": 1}
    layer = made["relu6_int8"]
    assert [layer.dtype(key) for key in ("Tinput", "Tfilter", "Tbias", "out_type")] == [
        DType.QUINT8, DType.QINT8, DType.FLOAT, DType.QUINT8,
    ]  # fmt: skip
    weights = net.nodes["conv/weights"].tensor
    assert weights is not None
    peaks = np.abs(weights.array).max(axis=(0, 1, 2))
    np.testing.assert_allclose(value(made, layer.name, 6), peaks, rtol=1e-4)
    np.testing.assert_allclose(value(made, layer.name, 1) * peaks / 127, weights.array, atol=1.01 * peaks.max() / 127)
    assert [float(value(made, layer.name, index)) for index in (3, 4, 7, 8)] == [0, 9, 0, 6]  # Relu6 is the range's end


def test_padding_with_zeros_is_written_out_where_zero_is_not_code_zero() -> None:
    net = Net((1, 8, 8, 4)).depthwise().then("Relu")
    shifted, plain = fused(net.build(), -1.0, 3.0).graph, fused(net.build(), 0.0, 3.0).graph
    assert ops(shifted) == {"QuantizeV2": 1, DEPTHWISE: 1, "Dequantize": 1, "Bitcast": 2, "PadV2": 1}
    assert ops(plain) == {"QuantizeV2": 1, DEPTHWISE: 1, "Dequantize": 1}
    pad = next(made for made in shifted.nodes if made.op == "PadV2")
    assert value(shifted, pad.name, 1).tolist() == [[0, 0], [1, 1], [1, 1], [0, 0]]
    assert int(value(shifted, pad.name, 2)) == 64  # zero lies a quarter of the way from -1 to 3
    assert shifted["relu_int8"].text("padding") == "VALID"


@pytest.mark.parametrize(("widths", "attrs"), [((0, 1), {"padding": b"SAME"}), ((1, 1), {"padding": b"VALID"})])
@pytest.mark.parametrize("explicit", [False, True])
def test_a_border_of_zeros_is_part_of_the_layer(widths: tuple[int, int], attrs: dict, explicit: bool) -> None:
    net, whole = Net((1, 8, 8, 4)), ((0, 0), widths, widths, (0, 0))
    net.weights("w", 3, 3, 4, 4)
    flat = tuple(width for both in whole for width in both)
    if explicit:
        net.top = net.add(conv("c", "input", "w", stride=2, padding="EXPLICIT", explicit_paddings=flat))
    else:
        net.const("widths", np.array(whole), DType.INT32)
        net.then("Pad", "widths", Tpaddings=DType.INT32)
        net.top = net.add(conv("c", net.top, "w", stride=2, padding="VALID"))
    plain, shifted = fused(net.build(), 0.0, 2.0).graph, fused(net.build(), -2.0, 2.0).graph
    assert ops(plain) == {"QuantizeV2": 1, CONV: 1, "Dequantize": 1}
    assert plain["c_int8"].attrs["padding"] == attrs["padding"]
    assert plain["c_int8"].ints("padding_list") == (() if widths == (0, 1) else flat)
    assert ops(shifted) == {"QuantizeV2": 1, "Bitcast": 2, "PadV2": 1, CONV: 1, "Dequantize": 1}
    assert not {"widths", "w", "pad"} & set(plain)


def test_a_border_of_channels_is_not_part_of_the_layer() -> None:
    net = Net((1, 8, 8, 4))
    net.const("widths", np.array(((0, 0), (0, 0), (0, 0), (0, 2))), DType.INT32)
    net.then("Pad", "widths", Tpaddings=DType.INT32)
    net.weights("w", 1, 1, 6, 4)
    net.top = net.add(conv("c", net.top, "w", padding="VALID"))
    assert ops(fused(net.build(), 0.0, 2.0).graph)["PadV2"] == 1


def test_a_matrix_product_has_a_step_for_each_column() -> None:
    net = Net((2, 12)).dense(5).bias()
    made = fused(net.build(), -1.0, 1.0).graph
    assert ops(made) == {"QuantizeV2": 1, "QuantizedMatMulWithBiasAndDequantize": 1, "Mul": 1, "BiasAdd": 1}
    weights = net.nodes["dense/weights"].tensor
    assert weights is not None
    steps = value(made, "dense", 1)
    np.testing.assert_allclose(steps, np.abs(weights.array).max(axis=0) / 127, rtol=1e-4)
    sums = value(made, "dense_int8", 1).astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(value(made, "dense_int8", 2), -Format.of(-1.0, 1.0).shift * sums, rtol=1e-5)


def test_a_batch_norm_behind_a_layer_is_part_of_it() -> None:
    net = Net((1, 8, 8, 4)).conv(6).batch_norm().then("Relu").depthwise(2).batch_norm()
    made = fused(net.build(), 0.0, 9.0).graph
    assert ops(made) == {"QuantizeV2": 1, CONV: 1, DEPTHWISE: 1, "Dequantize": 1}
    folded = applied(parse("fold_batch_norms"), net.build()).graph
    expected = fused(folded, 0.0, 9.0).graph
    for name, before in (("relu_int8", "relu_int8"), ("bn_1_int8", folded.outputs[0] + "_int8")):
        for at in (1, 2, 6):
            np.testing.assert_allclose(value(made, name, at), value(expected, before, at), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("between", [(), ("MaxPool",)])
@pytest.mark.parametrize("steps", ["norm", "mul and add", "sub"])
def test_a_batch_norm_behind_a_relu_is_a_depthwise_layer_of_one_pixel(between: tuple[str, ...], steps: str) -> None:
    net = Net((1, 8, 8, 4)).conv(6, kernel=1).then("Relu")
    if steps == "norm":
        net.batch_norm()
    elif steps == "sub":
        net.then("Sub", net.vector("low", 6))
    else:
        net.then("Mul", net.vector("factor", 6, -1, 1)).then("AddV2", net.vector("low", 6)).then("Relu6")
    scaled = net.top
    for op in between:
        net.pool(op)
    made = fused(net.conv(4, kernel=1).build(), -2.0, 6.0).graph
    counts = ops(made)
    assert (counts[CONV], counts[DEPTHWISE], counts["QuantizeV2"], counts["Dequantize"]) == (2, 1, 1, 1)
    assert counts.total() == 5 + len(between)
    layer = made[f"{scaled}_int8"]
    assert set(np.abs(value(made, layer.name, 1)).ravel()) == {127}
    scale = value(made, layer.name, 1).ravel() / 127 * value(made, layer.name, 6)
    if steps == "norm":
        gamma, _, _, variance = (value(net.build([scaled]), scaled, at) for at in range(1, 5))
        np.testing.assert_allclose(scale, gamma / np.sqrt(variance + 1e-3), rtol=1e-5)
    elif steps == "sub":
        np.testing.assert_allclose(scale, 1)
    else:
        np.testing.assert_allclose(scale, value(net.build([scaled]), "mul", 1), rtol=1e-5)


def test_weights_that_are_all_zero_or_not_finite() -> None:
    net = Net((1, 8, 8, 4))
    net.const("w", np.zeros((1, 1, 4, 4), np.float32))
    net.const("bad", np.full((1, 1, 4, 4), np.inf, np.float32))
    net.add(conv("zero", "input", "w"))
    net.add(conv("infinite", "zero", "bad"))
    done = fused(net.build(["infinite"]))
    assert not value(done.graph, "zero_int8", 1).any()
    assert "Conv2D whose weights are empty or not finite: infinite stays in float." in done.notes


def test_a_shared_weight_is_stored_once() -> None:
    net = Net((1, 8, 8, 4))
    net.weights("w", 1, 1, 4, 4)
    net.add(conv("a", "input", "w"))
    net.top = net.add(conv("b", "a", "w"))
    made = fused(net.build()).graph
    assert made["a_int8"].inputs[1] == made["b_int8"].inputs[1]
    assert "w" not in made

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core import passes
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.layers import find_layers
from compressor_gui.core.passes import PassResult
from compressor_gui.core.pbio import read_graph, to_bytes
from compressor_gui.core.rounding import SYMMETRIES, encode
from compressor_gui.core.values import DType
from tests.support import Net, const, graph, graphs, node, placeholder, run_tf, sqnr_db


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def dense(values: np.ndarray, dtype: DType = DType.FLOAT, **attrs: bool) -> ModelGraph:
    """A MatMul named ``y`` with the weight ``w``."""
    x = placeholder("x", (1, values.shape[1 if attrs.get("transpose_b") else 0]), dtype)
    return graph(x, const("w", values, dtype), node("y", "MatMul", "x", "w", T=dtype, **attrs))


def quantized(model: ModelGraph, **values: object) -> PassResult:
    return passes.apply(passes.make("quantize_weights", values), model)


def stored(model: ModelGraph) -> np.ndarray:
    """The weights of the only layer, as Dequantize gives them."""
    (layer,) = find_layers(model)
    return layer.weights


def test_names_are_those_of_the_graph_transform_tool() -> None:
    after = quantized(dense(normal(64, 32)), per_channel=False).graph
    read = after["w"]
    assert read.op == "Dequantize"
    assert read.inputs == ("w_quantized_const", "w_quantized_min", "w_quantized_max")
    assert dict(read.attrs) == {"T": DType.QUINT8, "mode": b"MIN_FIRST"}
    assert after["w_quantized_const"].tensor.array.dtype == np.uint8  # type: ignore[union-attr]
    assert after["w_quantized_min"].tensor.array.shape == ()  # type: ignore[union-attr]
    assert after["y"].inputs == ("x", "w")


def test_every_channel_has_its_range() -> None:
    scales = np.geomspace(0.01, 100, 32, dtype=np.float32)
    for values, axis, attrs in (
        (normal(64, 32) * scales, 1, {}),
        ((normal(64, 32) * scales).T, 0, {"transpose_b": True}),
    ):
        after = quantized(dense(values, **attrs)).graph
        assert after["w"].attrs["axis"] == axis
        error = np.abs(stored(after) - values).max(axis=1 - axis) / np.abs(values).max(axis=1 - axis)
        assert error.max() < 1.01 / 127


@pytest.mark.parametrize(("shift", "mode"), [(0.0, b"SCALED"), (3.0, b"MIN_COMBINED")])
def test_lopsided_channels_have_a_zero_point(shift: float, mode: bytes) -> None:
    values = np.clip(normal(64, 32), -1, 1) + np.float32(shift)
    values[0], values[1] = 1 + shift, -1 + shift
    values *= np.geomspace(0.01, 1, 32, dtype=np.float32)
    assert quantized(dense(values)).graph["w"].attrs["mode"] == mode


def test_weights_that_were_in_8_bits_keep_their_grid() -> None:
    values = np.random.default_rng(0).integers(-100, 156, (64, 32)).astype(np.float32)
    values[0, 0], values[0, 1] = -100, 155
    after = quantized(dense(values)).graph
    assert after["w"].attrs["mode"] == b"MIN_FIRST"
    assert (stored(after) == values).all()


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_zero_is_exact(per_channel: bool, shift: float) -> None:
    values = normal(64, 32) + np.float32(shift)
    values[np.abs(values) < 1] = 0
    codes = stored(quantized(dense(values), per_channel=per_channel).graph)
    assert ((codes == 0) == (values == 0)).all()


def test_errors_of_a_channel_add_up_to_nothing() -> None:
    values = normal(512, 8)
    for per_channel in (True, False):
        error = stored(quantized(dense(values), per_channel=per_channel).graph) - values
        step = np.ptp(values) / 255
        assert np.abs(error.sum(axis=0)).max() < 0.6 * step
        assert np.abs(error).max() < 1.02 * step
        assert np.sqrt(np.mean(error**2)) < 1.2 * step / np.sqrt(12)  # nearly that of rounding to the nearest


def test_errors_of_a_channel_add_up_to_less_than_a_step() -> None:
    weights = normal(5, 5, 6, 8)
    found = encode(weights, 3, True)
    step = (found.maximum - found.minimum) / (127 if found.mode == "SCALED" else 255)
    levels = found.codes.astype(np.float64)
    values = levels * step if found.mode == "SCALED" else levels * step + found.minimum
    assert np.abs((values - weights).sum(axis=(0, 1, 2)) / step).max() < 0.6


def reasons(model: ModelGraph) -> str:
    done = quantized(model)
    assert not done.changed
    return " ".join(done.notes)


def test_what_is_left_alone() -> None:
    broken = normal(64, 32)
    broken[3, 3] = np.inf
    assert "not finite" in reasons(dense(broken))
    assert "too far apart" in reasons(dense(np.sign(normal(64, 32)) * np.float32(3e38)))
    assert "equal" in reasons(dense(np.ones((64, 32))))
    assert "float32" in reasons(dense(normal(64, 32), DType.DOUBLE))
    assert reasons(dense(normal(8, 8))) == ""
    assert reasons(dense(np.zeros((0, 8)))) == ""
    assert "bias" in reasons(big_bias())


def big_bias() -> ModelGraph:
    shape = const("one", np.ones((1, 1024), np.float32))
    bias = const("b", normal(1024))
    return graph(
        placeholder("x", (1, 1)), shape, bias, node("y", "MatMul", "x", "one"), node("out", "BiasAdd", "y", "b")
    )


@pytest.mark.parametrize(
    ("symmetry", "per_channel", "mode"),
    [
        ("symmetric", True, b"SCALED"),
        ("symmetric", False, b"SCALED"),
        ("asymmetric", True, b"MIN_COMBINED"),
        ("asymmetric", False, b"MIN_FIRST"),
        ("automatic", False, b"MIN_FIRST"),
    ],
)
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_levels_around_zero_or_with_a_zero_point(symmetry: str, per_channel: bool, mode: bytes, shift: float) -> None:
    values = (normal(64, 32) + np.float32(shift)) * np.geomspace(0.01, 1, 32, dtype=np.float32)
    values[np.abs(values) < 0.002] = 0
    after = quantized(dense(values), symmetry=symmetry, per_channel=per_channel).graph
    assert after["w"].attrs["mode"] == mode
    ends = np.abs(values).max(axis=0), np.ptp(np.vstack([values, np.zeros(32)]), axis=0)
    width = ends[0] * 2 / 254 if symmetry == "symmetric" else ends[1] / 255
    step = width if per_channel else width.max()
    assert (np.abs(stored(after) - values) < 1.05 * step).all()
    assert (stored(after)[values == 0] == 0).all()


def test_constants_that_are_no_layers_weight_have_one_range() -> None:
    model = graph(placeholder("x", (64, 32)), const("table", normal(64, 32)), node("sum", "AddV2", "x", "table"))
    after = quantized(model).graph
    assert (after["table"].op, after["table"].attrs["mode"]) == ("Dequantize", b"MIN_FIRST")


def test_control_inputs_go_to_the_constants() -> None:
    before = dense(normal(64, 32))
    held = before["w"].with_(inputs=("^x",))
    after = quantized(ModelGraph([before["x"], held, before["y"]])).graph
    assert all(after[f"w_quantized_{part}"].inputs == ("^x",) for part in ("const", "min", "max"))


def test_names_that_are_taken() -> None:
    taken = Node.make("w_quantized_min", "NoOp")
    after = quantized(ModelGraph([*dense(normal(64, 32)).nodes, taken])).graph
    assert after["w_quantized_min"] is taken
    assert after["w"].inputs[1] == "w_quantized_min_1"


@given(graphs(), st.booleans(), st.integers(0, 40))
def test_any_network(model: ModelGraph, per_channel: bool, minimum_size: int) -> None:
    before = to_bytes(model)
    step = passes.make("quantize_weights", {"per_channel": per_channel, "minimum_size": minimum_size})
    values = {k: v for k, v in json.loads(json.dumps(step.to_json())).items() if k != "pass"}
    assert passes.make("quantize_weights", values) == step
    done = passes.apply(step, model)
    assert to_bytes(model) == before
    assert to_bytes(passes.apply(step, model).graph) == to_bytes(done.graph)
    for old, new in zip(find_layers(model), find_layers(done.graph), strict=True):
        assert np.abs(old.weights - new.weights).max(initial=0) <= np.abs(old.weights).max(initial=0) / 60


def test_the_weights_of_skipped_layers_stay_in_float() -> None:
    model = Net((1, 8, 8, 16)).conv(32).bias().conv(64, kernel=1).flatten().dense(20).build()
    first, second, _ = find_layers(model)
    done = quantized(model, skip=[first.short])
    assert done.graph[first.weight] is model[first.weight]
    assert done.graph[second.weight].op == "Dequantize"
    assert f"Left alone, as its layer is to be skipped: {first.weight}." in done.notes
    with pytest.raises(PassError, match="there is no node or scope 'none' to skip"):
        quantized(model, skip=["none"])


@pytest.mark.tensorflow
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_tensorflow_reads_the_very_weights_that_were_meant(symmetry: str, per_channel: bool) -> None:
    net = Net((1, 8, 8, 16)).conv(32).bias().depthwise(kernel=7).conv(64, kernel=1).depthwise(2, kernel=5)
    model = net.then("Relu").flatten().dense(20).build()
    after = quantized(model, symmetry=symmetry, per_channel=per_channel, minimum_size=500).graph
    layers = {layer.name: layer for layer in find_layers(after)}
    read = {layer.name: f"{layer.weight.removesuffix('_quantized_const')}" for layer in layers.values()}
    values = run_tf(after, outputs=[*read.values(), *after.outputs])
    for name, weight in read.items():
        assert after[weight].op == "Dequantize"
        assert (values[weight] == layers[name].weights).all()
    assert sqnr_db(run_tf(model)[model.outputs[0]], values[model.outputs[0]]) > (35 if per_channel else 25)


@pytest.mark.tensorflow
@pytest.mark.parametrize(("name", "worst"), [("emotion", 20), ("posenet", 14)])
def test_real_models_stay_close(shared_models: dict, name: str, worst: float) -> None:
    model = read_graph(shared_models[name])
    after = quantized(model).graph
    before, now = run_tf(model), run_tf(after)
    assert min(sqnr_db(before[output], now[output]) for output in model.outputs) > worst
    assert len(to_bytes(after)) < 0.3 * len(to_bytes(model))

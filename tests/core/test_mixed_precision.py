from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.errors import PassError
from compressor_gui.core.fold import fold
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.layers import find_layers
from compressor_gui.core.packing import pack, unpacked
from compressor_gui.core.passes import make
from compressor_gui.core.passes.mixed_precision import WIDTHS, MixedPrecision, stored_bytes
from compressor_gui.core.pbio import byte_size
from compressor_gui.core.regions import regions
from compressor_gui.core.values import DType
from tests.support import Net, applied, const, graph, graphs, node, placeholder, real_model, run_tf, sqnr_db


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def dense(values: np.ndarray, dtype: DType = DType.FLOAT) -> ModelGraph:
    """A MatMul named ``y`` with the weight ``w``."""
    return graph(
        placeholder("x", (1, len(values)), dtype), const("w", values, dtype), node("y", "MatMul", "x", "w", T=dtype)
    )


def small_net() -> ModelGraph:
    net = Net((1, 8, 8, 16)).conv(32).bias().depthwise(kernel=7).conv(64, kernel=1)
    return net.then("Relu").flatten().dense(20).build()


def all_in(bits: int) -> MixedPrecision:
    return MixedPrecision(rest=bits)


@pytest.mark.parametrize("bits", range(2, 16))
def test_a_weight_is_off_by_half_a_step_of_its_clipped_channel(bits: int) -> None:
    values = normal(128, 32) * np.geomspace(0.01, 100, 32, dtype=np.float32)
    after = applied(all_in(bits), dense(values)).graph
    (layer,) = find_layers(after)
    assert after["w"].op == "Dequantize"
    assert layer.dequantizer is not None
    assert len(np.unique(layer.weights[:, 0])) <= 2**bits - (bits != 8)
    top = 2 ** (bits - 1) - 1
    highest = np.iinfo(layer.tensor.array.dtype).max
    step = layer.dequantizer.maximum.array / highest if bits != 8 else np.ptp(values, axis=0) / 255
    step *= 2 ** (16 - bits) if bits > 8 else 1
    inside = np.abs(values) <= step * (top + 0.5)
    error = np.abs(layer.weights - values) / step
    assert np.median(error[inside]) < 0.5  # a few are moved to the other neighbour, so that errors add up to nothing
    assert error[inside].max() < 1.1


def test_16_bits_are_float16() -> None:
    values = normal(128, 32)
    after = applied(all_in(16), dense(values)).graph
    assert after["w"].op == "Cast"
    (layer,) = find_layers(after)
    assert layer.tensor.dtype == DType.HALF
    assert (layer.weights == values.astype(np.float16)).all()


def test_packed_codes_take_fewer_bytes_than_their_bits() -> None:
    model = dense(normal(512, 512))
    for bits in (2, 3, 4, 5, 6, 7, 9, 10, 12, 15):
        done = applied(all_in(bits), model).graph
        (layer,) = find_layers(done)
        assert layer.packed_bytes is not None
        assert layer.packed_bytes < layer.parameters * bits / 8
        assert layer.bytes == layer.packed_bytes + 2 * 512 * 4
        assert byte_size(done) < layer.bytes + 1000
        assert done["w_quantized_const"].op == "Bitcast"


def test_pruned_layers_take_few_bytes() -> None:
    values = normal(512, 512)
    values[np.abs(values) < 1.75] = 0  # 8 % are left
    (layer,) = find_layers(applied(all_in(4), dense(values)).graph)
    assert ((layer.weights == 0) >= (values == 0)).all()
    assert layer.bytes < 0.14 * values.size  # 1.1 bits each


def test_few_weights_are_not_packed() -> None:
    after = applied(all_in(4), dense(normal(16, 8))).graph
    assert after["w_quantized_const"].op == "Const"


def test_what_a_layer_takes_is_what_the_file_grows_by() -> None:
    model = small_net()
    layers = find_layers(model)
    for bits in WIDTHS:
        done = applied(all_in(bits), model).graph
        sizes = [stored_bytes(model, layer, bits) for layer in layers]
        assert None not in sizes
        before = sum(stored_bytes(model, layer, 32) or 0 for layer in layers)
        assert byte_size(done) - byte_size(model) == sum(filter(None, sizes)) - before


def test_each_layer_has_its_own_bits() -> None:
    model = small_net()
    first, second, third, last = find_layers(model)
    step = MixedPrecision(bits=((first.short, 32), (second.weight, 16), (last.name, 3)), rest=5)
    done = applied(step, model)
    assert done.graph[first.weight] is model[first.weight]
    assert done.graph[second.weight].op == "Cast"
    levels = [len(np.unique(layer.tensor.array)) for layer in find_layers(done.graph)]
    assert levels[3] <= 7 < levels[2] <= 31
    assert third.name in {layer.name for layer in find_layers(done.graph)}


def test_what_is_unpacked_at_every_run_is_said() -> None:
    weights = np.zeros((2049, 1280), np.float32)
    weights[0] = 1
    assert "every run" in applied(all_in(4), dense(weights)).notes[0]
    assert applied(all_in(4), dense(weights[:2048])).notes == ()


def test_twice_is_refused_where_nothing_is_left_to_do() -> None:
    once = applied(all_in(4), small_net()).graph
    with pytest.raises(PassError, match="the graph is quantized already"):
        applied(all_in(4), once)


def test_what_is_left_alone() -> None:
    broken = normal(8, 8)
    broken[3, 3] = np.nan
    for values, bits, dtype, reason in (
        (broken, 4, DType.FLOAT, "not finite"),
        (broken, 16, DType.FLOAT, "not finite"),
        (np.zeros((8, 8)), 4, DType.FLOAT, "all its values are equal"),
        (np.full((8, 8), 1e6), 16, DType.FLOAT, "too large for float16"),
        (normal(8, 8), 4, DType.DOUBLE, "not float32"),
        (normal(8, 8), 16, DType.HALF, "float16 already"),
    ):
        done = applied(all_in(bits), dense(values, dtype))
        assert not done.changed
        assert reason in " ".join(done.notes)


@pytest.mark.parametrize("bits", [0, 1, 17, 18.0, 31, 33, 4.5, float("nan")])
def test_numbers_of_bits_that_there_are_not(bits: float) -> None:
    with pytest.raises(PassError, match=f"{bits:g}"):
        make("mixed_precision", {"bits": {"y": bits}})


def test_layers_that_there_are_not() -> None:
    with pytest.raises(PassError, match=r"no layer 'conv'.*did you mean conv1"):
        MixedPrecision(bits=(("conv", 4),)).run(small_net_named("conv1"))
    with pytest.raises(PassError, match="same layer"):
        MixedPrecision(bits=(("w", 4), ("y", 5))).run(dense(normal(8, 8)))


def small_net_named(name: str) -> ModelGraph:
    model = dense(normal(8, 8))
    return graph(model["x"], model["w"], node(name, "MatMul", "x", "w"))


def test_control_inputs_go_to_the_constants() -> None:
    before = dense(normal(64, 64))
    held = before["w"].with_(inputs=("^x",))
    after = applied(all_in(4), ModelGraph([before["x"], held, before["y"]])).graph
    constants = [found for found in after.nodes if found.op == "Const"]
    assert len(constants) == 4
    assert all(found.inputs == ("^x",) for found in constants)


def test_damaged_streams_are_no_codes() -> None:
    after = applied(all_in(4), dense(normal(64, 64))).graph
    good = after["w_quantized_const"]
    assert unpacked(after, good) is not None
    name = "w_quantized_const/packed"
    for stream in (b"nonsense", zlib.compress(b"short"), pack(np.zeros((65, 65), np.int8))):
        changed = const(name, stream, DType.STRING)
        broken = ModelGraph([changed if found.name == name else found for found in after.nodes])
        assert unpacked(broken, broken["w_quantized_const"]) is None
        assert find_layers(broken) == ()


def test_packed_weights_are_one_box_with_their_layer_and_no_8_bit_region() -> None:
    for bits, label in ((4, "qint8"), (10, "")):
        after = applied(all_in(bits), dense(normal(64, 64))).graph
        boxes = {box.id: box for box in fold(after).boxes}
        assert set(boxes) == {"x", "y"}
        assert boxes["y"].stored == label
        assert regions(after) == ()


@given(graphs(), st.sampled_from(WIDTHS))
def test_any_network(model: ModelGraph, bits: int) -> None:
    done = applied(all_in(bits), model)
    for old, new in zip(find_layers(model), find_layers(done.graph), strict=True):
        peak = np.abs(old.weights).max(initial=0)
        assert np.abs(old.weights - new.weights).max(initial=0) <= peak  # at 2 bits a channel keeps 0 and its peak


@pytest.mark.tensorflow
@pytest.mark.parametrize("bits", [2, 3, 5, 7, 8, 10, 15, 16])
def test_tensorflow_reads_the_very_weights_that_were_meant(bits: int) -> None:
    after = applied(all_in(bits), small_net()).graph
    weights = {node_reading(after, layer.weight): layer.weights for layer in find_layers(after)}
    for name, values in run_tf(after, outputs=weights).items():
        np.testing.assert_array_equal(values, weights[name])


def node_reading(model: ModelGraph, name: str) -> str:
    """The Dequantize or Cast that reads stored weights."""
    reader: Node = model[model.consumers[name][0][0]]
    return reader.name


@pytest.mark.tensorflow
@pytest.mark.parametrize(("name", "least_db"), [("emotion", 15), ("posenet", 8)])
def test_real_models_in_mixed_bits(name: str, least_db: float) -> None:
    model = real_model(name)
    layers = find_layers(model)
    bits = tuple((layer.name, float((8, 7, 16, 10)[at % 4])) for at, layer in enumerate(layers))
    after = applied(MixedPrecision(bits=bits), model).graph
    assert byte_size(after) < 0.4 * byte_size(model)
    expected, found = run_tf(model), run_tf(after)
    assert min(sqnr_db(expected[output], found[output]) for output in model.outputs) > least_db

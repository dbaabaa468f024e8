"""equalize_layers: channels are scaled where that changes nothing; what it needs and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from compressor_gui.core import weight_store
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.equalize_layers import EqualizeLayers
from compressor_gui.core.scaling import find_groups, in_channels, out_channels
from tests.support import (
    Net,
    applied,
    assert_same_numbers,
    concat_net,
    graphs,
    real_model,
    residual_net,
    run_tf,
    synthetic_feeds,
)


def pair(between: str = "Relu", op: str = "BiasAdd") -> ModelGraph:
    return Net((1, 6, 6, 3)).conv(4).bias(op=op).then(between).conv(5, kernel=1).bias().build()


def layers_of(model: ModelGraph) -> list[str]:
    return [name for name, found in model.items() if found.op in ("Conv2D", "DepthwiseConv2dNative", "MatMul")]


def weights(model: ModelGraph, layer: str) -> np.ndarray:
    tensor = model.constant(model[layer], 1)
    assert tensor is not None
    return tensor.array


def peaks_of(model: ModelGraph, feeds: dict[str, np.ndarray], ops: tuple[str, ...] = ("Relu", "Relu6")) -> str:
    names = [name for name, found in model.items() if found.op in ops]
    found = run_tf(model, feeds, names)
    return weight_store.save({name: np.abs(v).reshape(-1, v.shape[-1]).max(axis=0) for name, v in found.items()})


def test_both_sides_of_a_pair_get_the_same_peaks() -> None:
    model = pair()
    done = applied(EqualizeLayers(), model).graph
    first, second = layers_of(done)
    made = np.abs(out_channels(done[first], weights(done, first))).max(axis=1)
    read = np.abs(in_channels(done[second], weights(done, second))).max(axis=1)
    assert np.allclose(made, read, rtol=1e-3)
    before = np.abs(out_channels(model[first], weights(model, first))).max(axis=1)
    assert not np.allclose(made, before, rtol=1e-2)


@pytest.mark.parametrize("dead", [0.0, 3.0])
def test_weights_all_equal_or_all_zero(dead: float) -> None:
    model = pair()
    first = layers_of(model)[0]
    const = model[model[first].data_refs[1].name]
    tensor = const.tensor
    assert tensor is not None
    flat = const.with_(attrs={"value": type(tensor)(tensor.dtype, np.full_like(tensor.array, dead))})
    model = ModelGraph((flat if one is const else one for one in model.nodes), outputs=model.outputs)
    done = applied(EqualizeLayers(), model).graph
    assert all(np.isfinite(weights(done, name)).all() for name in layers_of(done))


def test_relu6_needs_peaks() -> None:
    done = applied(EqualizeLayers(), pair("Relu6"))
    assert not done.changed
    assert done.notes == ("Relu6 stands between layers; that needs measured peaks.",)


@pytest.mark.parametrize("between", ["Sigmoid", "Elu"])
def test_what_is_not_homogeneous_stays(between: str) -> None:
    assert not find_groups(pair(between))
    assert not applied(EqualizeLayers(), pair(between)).changed


def test_a_sum_ties_its_summands_together() -> None:
    group = next(group for group in find_groups(residual_net()) if "sum" not in group.tensors)
    assert len(group.makers) == 1
    net = Net((1, 6, 6, 4)).conv(4).bias()
    shortcut = net.top
    net.conv(4).bias().then("AddV2", shortcut, name="sum").then("Relu").conv(3)
    (group,) = find_groups(net.build())
    assert (len(group.makers), len(group.readers), len(group.biases)) == (2, 2, 2)


def test_what_an_output_needs_stays() -> None:
    model = pair()
    kept = ModelGraph(model.nodes, outputs=(*model.outputs, layers_of(model)[0]))
    assert not find_groups(kept)


@pytest.mark.parametrize(
    ("sha256", "message"), [("no", "'no' is no SHA-256"), ("0" * 64, "these weights are not on this machine")]
)
def test_peaks_that_are_not_there(sha256: str, message: str) -> None:
    with pytest.raises(PassError, match=message):
        EqualizeLayers(sha256).run(pair())


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"strange": np.ones(4, np.float32)}, "there is no node 'strange'"),
        ({"Relu": np.ones(5, np.float32)}, "are of other channels"),
        ({"Relu": np.array([1, np.nan, 1, 1], np.float32)}, "not one finite number a channel"),
    ],
)
def test_peaks_of_another_graph(arrays: dict[str, np.ndarray], message: str) -> None:
    model = pair()
    relu = next(name for name, found in model.items() if found.op == "Relu")
    named = {relu if name == "Relu" else name: array for name, array in arrays.items()}
    with pytest.raises(PassError, match=message):
        EqualizeLayers(weight_store.save(named)).run(model)


@given(graphs())
def test_any_network(model: ModelGraph) -> None:
    applied(EqualizeLayers(), model)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "model",
    [pair(), pair(op="AddV2"), residual_net(), concat_net()],
    ids=["a pair", "a bias of AddV2", "a residual sum", "a concatenation"],
)
def test_the_result_is_the_same(model: ModelGraph) -> None:
    assert_same_numbers(model, applied(EqualizeLayers(), model).graph, 1e-5)


@pytest.mark.tensorflow
def test_peaks_become_equal_before_depthwise_layers_and_relu6_clips_nothing() -> None:
    model = Net((1, 8, 8, 3)).conv(6).bias().then("Relu6").depthwise().bias().then("Relu6").conv(4, kernel=1).build()
    feeds = synthetic_feeds(model)
    done = applied(EqualizeLayers(peaks_of(model, feeds)), model).graph
    first = next(name for name, found in model.items() if found.op == "Relu6")
    before, after = (run_tf(graph, feeds, [first])[first].max(axis=(0, 1, 2)) for graph in (model, done))
    assert np.allclose(after[before > 0.01], before.max(), rtol=1e-4)
    assert_same_numbers(model, done, 1e-5, feeds)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["emotion", "gear"])
def test_real_models(name: str) -> None:
    model = real_model(name)
    assert_same_numbers(model, applied(EqualizeLayers(), model).graph, 1e-4)

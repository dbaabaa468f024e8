"""correct_biases: the mean error of rounded weights is in the biases; what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from compressor_gui.core import weight_store
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.correct_biases import CorrectBiases
from compressor_gui.core.passes.int8.weights import rounded
from compressor_gui.core.scaling import LAYERS
from compressor_gui.core.values import DType, Tensor
from tests.support import Net, applied, real_model, run_tf, synthetic_feeds


def net() -> ModelGraph:
    """No SAME padding but of one pixel's windows; a mean far from zero in some channels only."""
    grown = Net((2, 9, 9, 8), seed=4).conv(12, kernel=1).bias().then("Relu").depthwise(kernel=1).bias().then("Relu")
    return grown.conv(6, kernel=1).bias().then("Relu").flatten().dense(5).bias().build()


def means(model: ModelGraph, feeds: dict[str, np.ndarray]) -> str:
    names = list(dict.fromkeys(found.data_refs[0].name for found in model.nodes if found.op in LAYERS))
    found = run_tf(model, feeds, names)
    return weight_store.save({name: value.reshape(-1, value.shape[-1]).mean(axis=0) for name, value in found.items()})


def with_rounded_weights(model: ModelGraph) -> ModelGraph:
    changed = {}
    for layer in model.nodes:
        tensor = model.constant(layer, 1) if layer.op in LAYERS else None
        if tensor is not None:
            const = model[layer.data_refs[1].name]
            changed[const.name] = const.with_(attrs={"value": Tensor(DType.FLOAT, rounded(layer, tensor.array))})
    return ModelGraph((changed.get(one.name, one) for one in model.nodes), model.extras, model.outputs)


@pytest.mark.tensorflow
@pytest.mark.parametrize("op", ["Conv2D", "DepthwiseConv2dNative", "MatMul"])
def test_the_mean_error_of_each_layer_is_gone(op: str) -> None:
    model = net()
    feeds = synthetic_feeds(model)
    done = applied(CorrectBiases(means(model, feeds)), model).graph
    layer = next(found for found in model.nodes if found.op == op)
    bias = model.consumers[layer.name][0][0]
    given = run_tf(model, feeds, [layer.data_refs[0].name, bias])
    fed = {layer.data_refs[0].name: given[layer.data_refs[0].name]}
    errors = []
    for graph in (model, done):
        found = run_tf(with_rounded_weights(graph), {**feeds, **fed}, [bias])[bias]
        errors.append(np.abs((found - given[bias]).reshape(-1, found.shape[-1]).mean(axis=0)))
    assert errors[1].max() < 1e-5
    assert errors[0].max() > 20 * errors[1].max()


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["emotion", "liveness"])
def test_real_models(name: str) -> None:
    model = real_model(name)
    feeds = synthetic_feeds(model)
    done = applied(CorrectBiases(means(model, feeds)), model)
    assert done.changed
    before, after = run_tf(model, feeds), run_tf(done.graph, feeds)
    assert all(np.allclose(before[key], after[key], atol=0.05) for key in before)


def test_a_layer_without_a_bias_is_told() -> None:
    model = Net((1, 4, 4, 3)).conv(4, name="one").build()
    key = weight_store.save({"input": np.ones(3, np.float32)})
    assert applied(CorrectBiases(key), model).notes == ("Without a bias that could take the error: one.",)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"strange": np.ones(8, np.float32)}, "there is no node 'strange'"),
        ({"input": np.ones(5, np.float32)}, "reads 8 channels, and means of 5 are given"),
        ({"input": np.full(8, np.inf, np.float32)}, "not one finite number a channel"),
    ],
)
def test_means_of_another_graph(arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(PassError, match=message):
        CorrectBiases(weight_store.save(arrays)).run(net())


def test_no_means() -> None:
    with pytest.raises(PassError, match="is no SHA-256"):
        CorrectBiases().run(net())

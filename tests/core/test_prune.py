from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core import passes
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import find_layers
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.pbio import read_graph, to_bytes
from compressor_gui.core.stats import Magnitudes
from compressor_gui.core.values import DType
from tests.support import Net, const, conv_net, graph, graphs, node, placeholder, residual_net, run_tf


def dense(*weights: float, dtype: DType = DType.FLOAT) -> ModelGraph:
    """One MatMul whose weights are these, a row."""
    w = const("w", [weights], dtype)
    return graph(placeholder("x", (1, 1), dtype), w, node("layer", "MatMul", "x", "w", T=dtype))


def pruned(model: ModelGraph, **values: object) -> ModelGraph:
    return passes.apply(passes.make("prune", values), model).graph


def weights(model: ModelGraph, name: str = "w") -> list[float]:
    tensor = model[name].tensor
    assert tensor is not None
    return [float(v) for v in tensor.array.ravel()]


def test_the_smallest_magnitudes_become_zero() -> None:
    assert weights(pruned(dense(3, -1, 2, -4), sparsity=0.5)) == [3, 0, 0, -4]


def test_ties_are_broken_by_position() -> None:
    assert weights(pruned(dense(1, -1, 1, 1, 2), sparsity=0.4)) == [0, 0, 1, 1, 2]


def test_zeros_that_are_there_count() -> None:
    model = dense(0, 0, 5, 6)
    assert pruned(model, sparsity=0.5)["w"] is model["w"]
    assert weights(pruned(model, sparsity=0.75)) == [0, 0, 0, 6]


def test_weights_below_a_threshold_become_zero() -> None:
    assert weights(pruned(dense(3, -1, 2, -4), threshold=2)) == [3, 0, 2, -4]


def test_all_and_nothing() -> None:
    model = dense(3, -1)
    assert weights(pruned(model, sparsity=1)) == [0, 0]
    assert pruned(model, sparsity=0)["w"] is model["w"]
    assert pruned(model, threshold=0)["w"] is model["w"]


@pytest.mark.parametrize("dtype", [DType.HALF, DType.BFLOAT16, DType.DOUBLE])
def test_other_floating_point_types(dtype: DType) -> None:
    after = pruned(dense(3, -1, 2, -4, dtype=dtype), sparsity=0.5)
    assert weights(after) == [3, 0, 0, -4]
    assert after["w"].tensor.dtype == dtype  # type: ignore[union-attr]


def test_weights_that_are_not_finite_are_kept_and_told() -> None:
    done = passes.apply(Prune(sparsity=1), dense(np.nan, 1, np.inf))
    assert str(weights(done.graph)) == "[nan, 0.0, inf]"
    assert "not finite" in done.notes[0]
    assert "layer" in done.notes[0]


def test_a_layer_has_its_own_amount_by_any_of_its_names() -> None:
    model = conv_net()
    for name in ("conv", "conv/weights"):
        first, second = find_layers(pruned(model, sparsity=0.25, layers={name: 0.75}))
        assert (first.sparsity, second.sparsity) == (0.75, 0.25)
    first, second = find_layers(pruned(model, thresholds={"dense": 10}))
    assert (first.sparsity, second.sparsity) == (0, 1)


def test_what_is_skipped_keeps_its_identity() -> None:
    model = conv_net()
    after = pruned(model, sparsity=0.5, skip=["dense"])
    assert after["dense/weights"] is model["dense/weights"]
    assert after["conv/weights"] is not model["conv/weights"]


def test_biases_are_left_alone() -> None:
    model = residual_net()
    after = pruned(model, sparsity=1)
    touched = {name for name in model if after[name] is not model[name]}
    assert touched == {layer.weight for layer in find_layers(model)}


def test_one_threshold_for_all_layers() -> None:
    model = conv_net()
    layers = find_layers(pruned(model, sparsity=0.5, scope="global"))
    total = sum(layer.parameters for layer in layers)
    assert sum(layer.parameters - layer.nonzero for layer in layers) == total // 2
    kept = [np.abs(layer.weights[layer.weights != 0]).min() for layer in layers]
    gone = [np.abs(old.weights[new.weights == 0]).max() for old, new in zip(find_layers(model), layers, strict=True)]
    assert max(gone) <= min(kept)


def test_layers_with_their_own_amount_stand_aside_of_the_global_one() -> None:
    first, second = find_layers(pruned(conv_net(), sparsity=0.5, scope="global", layers={"conv": 0.1}))
    assert first.parameters - first.nonzero == 21
    assert second.sparsity == 0.5


def test_weights_in_8_bits_are_skipped_with_a_note() -> None:
    model = Net((1, 64)).dense(32).build()
    stored = passes.apply(passes.make("quantize_weights", {}), model).graph
    done = passes.apply(Prune(sparsity=0.5), stored)
    assert not done.changed
    assert "prune before quantize_weights" in done.notes[0]


def test_nothing_asked_for_is_told() -> None:
    with pytest.raises(PassError, match=r"nothing to prune \(give a sparsity or a threshold\)"):
        pruned(conv_net(), skip=["conv"])
    assert "all layers are skipped" in passes.apply(Prune(sparsity=0.5, skip=("conv", "dense")), conv_net()).notes[0]
    assert "there is no layer" in passes.apply(Prune(sparsity=0.5), graph(placeholder("x", (1,)))).notes[0]


def test_a_layer_that_does_not_exist() -> None:
    with pytest.raises(PassError, match=r"no layer 'dens'.*did you mean dense"):
        pruned(conv_net(), layers={"dens": 0.5})
    with pytest.raises(PassError, match="no layer 'x9'"):
        pruned(conv_net(), skip=["x9"])


@pytest.mark.parametrize(
    "values",
    [
        {"sparsity": 1.5},
        {"threshold": -1},
        {"sparsity": 0.5, "threshold": 1},
        {"scope": "all"},
        {"layers": {"a": 2}},
        {"layers": {"a": 0.5}, "thresholds": {"a": 1}},
    ],
)
def test_wrong_parameters(values: dict) -> None:
    with pytest.raises(PassError):
        passes.make("prune", values)


def test_with_layer_takes_the_place_of_what_was_asked_before() -> None:
    conv, _ = find_layers(conv_net())
    step = Prune(thresholds={"conv": 1.0}, skip=("conv/weights",), layers={"dense": 0.3})  # type: ignore[arg-type]
    again = step.with_layer(conv, 0.7)
    assert (again.layers, again.thresholds, again.skip) == ((("conv", 0.7), ("dense", 0.3)), (), ())
    by_weight = Prune(layers={"conv/weights": 0.1})  # type: ignore[arg-type]
    assert by_weight.with_layer(conv, 0.7).layers == (("conv", 0.7),)


def scoped() -> ModelGraph:
    """A layer whose short name is that of another's weight, and one whose short name is its own."""
    nodes = [placeholder("x", (1, 2))]
    for scope, weight in (("model/a", "w"), ("model/b", "a")):
        nodes += [const(weight, [[1, 4], [2, 3]]), node(f"{scope}/MatMul", "MatMul", "x", weight)]
    return graph(*nodes)


def test_a_layer_goes_by_its_short_name_where_nothing_else_does() -> None:
    first, second = find_layers(scoped())
    assert (first.short, second.short) == ("model/a/MatMul", "b")
    after = pruned(scoped(), layers={"b": 0.5})
    assert (weights(after, "w"), weights(after, "a")) == ([1, 4, 2, 3], [0, 4, 0, 3])
    assert weights(pruned(scoped(), layers={"a": 0.25}), "a") == [0, 4, 2, 3]
    assert weights(pruned(scoped(), threshold=9, skip=["b"]), "a") == [1, 4, 2, 3]
    with pytest.raises(PassError, match="'b' and 'model/b/MatMul' are the same layer"):
        pruned(scoped(), layers={"b": 0.5}, thresholds={"model/b/MatMul": 1})


@pytest.mark.parametrize("values", [{"sparsity": 0.6}, {"threshold": 0.1}, {"sparsity": 0.4, "scope": "global"}])
def test_wanted_foretells_the_sparsity(values: dict) -> None:
    model = conv_net()
    step = passes.make("prune", values)
    assert isinstance(step, Prune)
    together = Magnitudes.of(np.concatenate([layer.weights.ravel() for layer in find_layers(model)]))
    after = passes.apply(step, model).graph
    for old, new in zip(find_layers(model), find_layers(after), strict=True):
        found = step.wanted(old, Magnitudes.of(old.weights), together)
        assert found == pytest.approx(new.sparsity, abs=0.01)


@given(graphs(), st.floats(0, 1), st.sampled_from(["layer", "global"]))
def test_any_network(model: ModelGraph, sparsity: float, scope: str) -> None:
    before = to_bytes(model)
    step = Prune(sparsity=sparsity, scope=scope)
    step = passes.make("prune", {k: v for k, v in json.loads(json.dumps(step.to_json())).items() if k != "pass"})  # type: ignore[assignment]
    done = passes.apply(step, model)
    assert to_bytes(model) == before
    assert to_bytes(passes.apply(step, model).graph) == to_bytes(done.graph)
    layers = find_layers(done.graph)
    zeros = [layer.parameters - layer.nonzero for layer in layers]
    if scope == "layer":
        assert zeros == [int(sparsity * layer.parameters) for layer in layers]
    else:
        assert sum(zeros) == int(sparsity * sum(layer.parameters for layer in layers))
    for old, new in zip(find_layers(model), layers, strict=True):
        kept = new.weights != 0
        assert (new.weights[kept] == old.weights[kept]).all()


@pytest.mark.tensorflow
def test_tensorflow_computes_with_the_pruned_weights(shared_models: dict) -> None:
    model = read_graph(shared_models["emotion"])
    before, after = run_tf(model), run_tf(pruned(model, sparsity=0.8))
    for name in model.outputs:
        assert np.isfinite(after[name]).all()
        assert not np.array_equal(before[name], after[name])
    nearly = run_tf(pruned(model, sparsity=0.02))
    for name in model.outputs:
        np.testing.assert_allclose(nearly[name], before[name], atol=0.02)

"""Weights rounded on examples: the recipe that comes back, its numbers, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from compressor_gui.cli.commands import cli
from compressor_gui.core import weight_store
from compressor_gui.core.adaround import Adaround, Adarounded
from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes.equalize_layers import EqualizeLayers
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.int8.plan import Plan
from compressor_gui.core.passes.int8.simulate import simulated
from compressor_gui.core.passes.stored_weights import Weights
from compressor_gui.core.pbio import write_graph
from compressor_gui.core.recipe import Recipe, Replayer
from tests.support import Net, batch_norm_net, conv, residual_net, run_tf, sqnr_db

pytestmark = pytest.mark.tensorflow

EVERYWHERE = FuseInt8(everywhere=True)


@pytest.fixture(scope="module")
def engine() -> Any:
    with EngineClient() as client:
        yield client


def examples(folder: Path, model: ModelGraph, count: int = 6) -> tuple[DataSpec, np.ndarray]:
    shape = model[model.inputs[0]].shape()
    assert shape is not None
    assert shape.dims is not None
    values = np.random.default_rng(5).random((count, *shape.dims[1:])).astype(np.float32)
    np.save(folder / "examples.npy", values)
    return guess(model, folder / "examples.npy"), values


def rounded(engine: EngineClient, folder: Path, model: ModelGraph, **values: Any) -> Adarounded:
    path = folder / "model.pb"
    write_graph(model, path)
    data, _ = examples(folder, model)
    recipe = Recipe.of(*values.pop("steps", (FoldBatchNorms(), EVERYWHERE)))
    return engine.run(Adaround(ModelRef(str(path), recipe.to_json(), model.outputs), data, **values))


def wide_net() -> ModelGraph:
    """Channels of very different sizes between the layers, as MobileNets have them."""
    net = Net((1, 12, 12, 3), seed=2).conv(8).bias().then("Relu6").depthwise().bias().then("Relu6").conv(8, kernel=1)
    net.bias().then("Relu").conv(6, kernel=3, stride=2).bias().flatten().dense(5).bias()
    model = net.build()
    first = next(name for name, found in model.items() if found.op == "Conv2D")
    const = model[model[first].data_refs[1].name]
    tensor = const.tensor
    assert tensor is not None
    uneven = tensor.array * np.geomspace(0.02, 1, 8).astype(np.float32)
    changed = const.with_(attrs={"value": type(tensor)(tensor.dtype, uneven)})
    return ModelGraph((changed if one is const else one for one in model.nodes), outputs=model.outputs)


def worst(model: ModelGraph, recipe: Recipe, values: np.ndarray) -> float:
    """The lowest SQNR of what the recipe's int8 graph computes where sums are exact."""
    *before, last = recipe.steps
    assert isinstance(last.transform, FuseInt8)
    graph = Replayer(model).replay(replace(recipe, steps=tuple(before))).graph
    coded = simulated(Plan(graph, dict(last.transform.ranges), everywhere=True))
    noise = []
    for value in values:
        feeds = {model.inputs[0]: value[None]}
        expected, found = run_tf(model, feeds), run_tf(coded, feeds)
        noise += [sqnr_db(expected[a], found[b]) for a, b in zip(model.outputs, coded.outputs, strict=True)]
    return min(noise)


def test_less_noise_than_rounding_to_the_nearest(engine: EngineClient, tmp_path: Path) -> None:
    model = wide_net()
    found = rounded(engine, tmp_path, model)
    recipe = Recipe.from_json(found.recipe)
    *_, equalize, weights, fuse = recipe.active
    assert isinstance(equalize, EqualizeLayers)
    assert isinstance(weights, Weights)
    assert isinstance(fuse, FuseInt8)
    assert (weights.by, found.n, len(found.layers), found.left) == ("adaround on 6 examples", 6, 5, {})
    plain = Recipe.of(rounded_ranges(engine, tmp_path, model))
    _, values = examples(tmp_path, model)
    fresh = np.random.default_rng(6).random(values.shape).astype(np.float32)
    assert worst(model, recipe, fresh) > worst(model, plain, fresh) + 3


def rounded_ranges(engine: EngineClient, folder: Path, model: ModelGraph) -> FuseInt8:
    """Plain fuse_int8 over the same examples."""
    found = rounded(engine, folder, model, equalize=False)
    fuse = Recipe.from_json(found.recipe).active[-1]
    assert isinstance(fuse, FuseInt8)
    return fuse


def test_the_kernels_compute_what_was_simulated(engine: EngineClient, tmp_path: Path) -> None:
    model = wide_net()
    found = rounded(engine, tmp_path, model, steps=(FuseInt8(everywhere=True, without_vnni=True),))
    recipe = Recipe.from_json(found.recipe)
    *before, last = recipe.steps
    assert isinstance(last.transform, FuseInt8)
    graph = Replayer(model).replay(replace(recipe, steps=tuple(before))).graph
    plan = Plan(graph, dict(last.transform.ranges), everywhere=True)
    coded, real = simulated(plan, without_vnni=True), Replayer(model).replay(recipe).graph
    for layer in (op.head for op in plan.ops if op.kind in ("conv", "depthwise", "matmul")):
        old, new = graph.constant(layer, 1), coded.constant(coded[layer.name], 1)
        assert old is not None
        assert new is not None
        assert np.array_equal(old.array, new.array)
    _, values = examples(tmp_path, model)
    feeds = {model.inputs[0]: values[:1]}
    simulation, kernels = run_tf(coded, feeds), run_tf(real, feeds)
    for name, other in zip(coded.outputs, real.outputs, strict=True):
        assert sqnr_db(simulation[name], kernels[other]) > 40


def test_fuse_int8_rounds_the_weights_no_further(engine: EngineClient, tmp_path: Path) -> None:
    model = wide_net()
    recipe = Recipe.from_json(rounded(engine, tmp_path, model).recipe)
    replay = Replayer(model).replay(recipe)
    before = replay.stages[-1].before
    plan = Plan(before, dict(recipe.steps[-1].transform.ranges), everywhere=True)  # type: ignore[attr-defined]
    coded = simulated(plan)
    layers = [op.head for op in plan.ops if op.kind in ("conv", "depthwise", "matmul")]
    assert len(layers) == 5
    for layer in layers:
        old, new = before.constant(layer, 1), coded.constant(coded[layer.name], 1)
        assert old is not None
        assert new is not None
        assert np.array_equal(old.array, new.array)


def bare_net() -> ModelGraph:
    """Layers without bias and Relu."""
    return Net((1, 8, 8, 3)).conv(6).depthwise().conv(4, kernel=1).build()


@pytest.mark.parametrize("model", [residual_net(), batch_norm_net(), bare_net()], ids=["residual", "norms", "bare"])
def test_what_is_reported_is_what_the_graph_computes(engine: EngineClient, tmp_path: Path, model: ModelGraph) -> None:
    found = rounded(engine, tmp_path, model)
    assert all(layer.sqnr_db > 25 for layer in found.layers)
    _, values = examples(tmp_path, model)
    assert worst(model, Recipe.from_json(found.recipe), values) > 20


def test_again_makes_the_same_and_replaces_its_steps(engine: EngineClient, tmp_path: Path) -> None:
    model = wide_net()
    first = rounded(engine, tmp_path, model)
    again = rounded(engine, tmp_path, model, steps=Recipe.from_json(first.recipe).active)
    assert again.recipe == first.recipe


def test_a_recipe_is_completed_and_saved_with_its_arrays(engine: EngineClient, tmp_path: Path) -> None:
    model = batch_norm_net()
    found = rounded(engine, tmp_path, model)
    recipe = Recipe.from_json(found.recipe)
    assert [step.name for step in recipe.active] == ["fold_batch_norms", "equalize_layers", "weights", "fuse_int8"]
    recipe.save(tmp_path / "saved" / "recipe.json")
    assert len(list((tmp_path / "saved").glob("*.npz"))) == len(recipe.weights) == 2
    assert all(weight_store.is_key(key) for key in recipe.weights)


def test_a_shared_weight_is_left_to_fuse_int8(engine: EngineClient, tmp_path: Path) -> None:
    net = Net((1, 6, 6, 4)).conv(4, name="one").bias().then("Relu")
    shared = net.nodes["one"].inputs[1]
    net.top = net.add(conv("two", net.top, shared))
    net.bias().then("Relu").conv(4).bias()
    found = rounded(engine, tmp_path, net.build(), equalize=False)
    assert found.left == dict.fromkeys(("one", "two"), "its weights are not a constant of its own")
    assert len(found.layers) == 1


def test_bad_examples_and_layers_that_are_not_there(engine: EngineClient, tmp_path: Path) -> None:
    model = wide_net()
    path = tmp_path / "model.pb"
    write_graph(model, path)
    data, values = examples(tmp_path, model)
    values[1, 0, 0, 0] = np.nan
    np.save(tmp_path / "examples.npy", values)
    ref = ModelRef(str(path), Recipe.of(EVERYWHERE).to_json(), model.outputs)
    found = engine.run(Adaround(ref, data))
    assert (found.n, len(found.skipped)) == (5, 1)
    assert "not finite" in found.skipped[0]
    np.save(tmp_path / "examples.npy", np.full_like(values, np.nan))
    with pytest.raises(CompressorError, match="no example is left"):
        engine.run(Adaround(ref, data))
    wrong = replace(ref, recipe=Recipe.of(FuseInt8(skip=("none",))).to_json())
    with pytest.raises(CompressorError, match="there is no node or scope 'none' to skip"):
        engine.run(Adaround(wrong, data))


def test_a_model_without_layers(engine: EngineClient, tmp_path: Path) -> None:
    with pytest.raises(CompressorError, match="no layer of this model can be in 8 bits"):
        rounded(engine, tmp_path, Net((1, 4, 4, 3)).then("Sigmoid").build())


def test_the_command_saves_a_recipe_that_compresses(tmp_path: Path) -> None:
    model = batch_norm_net()
    write_graph(model, tmp_path / "model.pb")
    examples(tmp_path, model)
    recipe, small = tmp_path / "model.recipe.json", tmp_path / "small.pb"
    everywhere = tmp_path / "everywhere.json"
    Recipe.of(FoldBatchNorms(), EVERYWHERE).save(everywhere)
    data = ("--data", tmp_path / "examples.npy")
    done = run("adaround", tmp_path / "model.pb", "--recipe", everywhere, *data, "--json", "-o", recipe)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["n"], len(report["layers"]), report["recipe"]) == (6, 2, str(recipe))
    done = run("compress", tmp_path / "model.pb", "--recipe", recipe, "-o", small)
    assert done.exit_code == 0, done.output
    assert small.exists()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_where_nothing_pays_no_weights_are_stored(engine: EngineClient, tmp_path: Path) -> None:
    found = rounded(engine, tmp_path, batch_norm_net(), steps=(), equalize=False)
    assert [step.name for step in Recipe.from_json(found.recipe).active] == ["fold_batch_norms", "fuse_int8"]
    assert found.layers == ()


def test_biases_can_be_corrected_instead(engine: EngineClient, tmp_path: Path) -> None:
    found = rounded(engine, tmp_path, wide_net(), rounding="correct_biases", steps=(EVERYWHERE,))
    names = [step.name for step in Recipe.from_json(found.recipe).active]
    assert names == ["equalize_layers", "correct_biases", "fuse_int8"]
    assert found.layers == ()

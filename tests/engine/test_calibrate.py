"""Ranges measured by the engine: what the float model computes, and what its 8-bit form does with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import METHODS, Calibrate, Calibration, ModelRef
from compressor_gui.core.passes import apply
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.pbio import read_graph, write_graph
from compressor_gui.core.ranges import choose_ranges, plan_calibration, with_ranges
from compressor_gui.core.ranges_file import read_ranges
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.core.serve import Job
from tests.support import const, conv_net, graph, node, placeholder, run_tf

pytestmark = pytest.mark.tensorflow

SAMPLES = Path(__file__).resolve().parents[2] / "resources" / "samples"
Measure = Callable[..., Calibration]


@pytest.fixture(scope="module")
def measure() -> Measure:
    from compressor_gui.engine.calibrate import calibrate

    return lambda model, data, **options: calibrate(Calibrate(model, data, **options), Job(1, lambda *_: None))


def saved(model: ModelGraph, folder: Path) -> ModelRef:
    path = str(folder / "model.pb")
    write_graph(model, path)
    return ModelRef(path)


def arrays(folder: Path, values: np.ndarray) -> DataSpec:
    path = str(folder / "values.npy")
    np.save(path, values)
    return DataSpec("numpy", path, channels=0, mean=0.0, std=1.0)


def pictures(count: int = 40) -> np.ndarray:
    return np.random.default_rng(1).random((count, 8, 8, 3), np.float32)


def test_the_ranges_are_those_of_the_float_tensors(measure: Measure, tmp_path: Path) -> None:
    source, values = conv_net(), pictures(6)  # it has a fixed batch of 1
    recipe = Recipe.of(Prune(sparsity=0.5))
    model = replace(saved(source, tmp_path), recipe=recipe.to_json())
    found = measure(model, arrays(tmp_path, values), batch=16)
    plan = plan_calibration(source, recipe)
    names = {name: tensor.removesuffix(":0") for name, (tensor,) in plan.tensors.items()}
    runs = [run_tf(plan.graph, {"input": value[None]}, list(names.values())) for value in values]
    assert found.n == 6
    assert found.ranges.keys() == names.keys()
    for name, op in names.items():
        computed = np.stack([run[op] for run in runs])
        low, high = min(float(computed.min()), 0.0), max(float(computed.max()), 0.0)
        assert found.ranges[name] == pytest.approx((low, high), rel=1e-5)
        assert sum(found.histograms[name].counts) == computed.size


def test_another_method_needs_no_second_run(measure: Measure, tmp_path: Path) -> None:
    model, data = saved(conv_net(), tmp_path), arrays(tmp_path, pictures())
    first = measure(model, data)
    for method in METHODS:
        assert choose_ranges(first.histograms, method) == measure(model, data, method=method).ranges


def test_an_example_that_is_not_finite_is_left_out_and_named(measure: Measure, tmp_path: Path) -> None:
    model, values = saved(conv_net(), tmp_path), pictures()
    good = measure(model, arrays(tmp_path, np.delete(values, [5, 17], axis=0)), batch=8)
    values[5, 0, 0, 0], values[17] = np.nan, np.inf
    found = measure(model, arrays(tmp_path, values), batch=8)
    assert found.n == 38
    assert len(found.skipped) == 2
    assert "5" in found.skipped[0]
    assert found.skipped[0].endswith("is not finite")
    assert found.ranges == good.ranges
    with pytest.raises(CompressorError, match=r"no example is left.*node '.*' is not finite"):
        measure(model, arrays(tmp_path, values[5:6]))


def test_a_fixed_batch_that_is_filled_up_counts_each_example_once(measure: Measure, tmp_path: Path) -> None:
    weights = const("w", np.eye(4, 3))
    model = saved(graph(placeholder("x", (8, 4)), weights, node("y", "MatMul", "x", "w")), tmp_path)
    values = np.random.default_rng(2).random((11, 4), np.float32)
    found = measure(model, arrays(tmp_path, values))
    (histogram,) = found.histograms.values()
    assert (found.n, sum(histogram.counts)) == (11, 33)


def test_a_graph_in_8_bits_is_measured_at_its_sums(measure: Measure, tmp_path: Path) -> None:
    source, values = conv_net(), pictures()
    made = saved(apply(QuantizeNodes(), source).graph, tmp_path)
    found = measure(made, arrays(tmp_path, values))
    floats = measure(saved(source, tmp_path), arrays(tmp_path, values))
    assert found.ranges.keys() == floats.ranges.keys()
    for name, (low, high) in floats.ranges.items():
        assert found.ranges[name] == pytest.approx((low, high), abs=0.1 * (high - low))


def test_frozen_ranges_compute_what_the_float_model_does(measure: Measure) -> None:
    path = SAMPLES / "lenet-5.pb"
    data = guess(read_graph(path), SAMPLES / "t10k-1000-images-idx3-ubyte.gz")
    found = measure(ModelRef(str(path)), replace(data, limit=10))
    assert found.n == 10
    source = read_graph(path)
    frozen = Replayer(source).replay(with_ranges(plan_calibration(source, Recipe()).recipe, found.ranges)).graph
    assert not [node.name for node in frozen.nodes if node.op == "RequantizationRange"]
    from compressor_gui.engine.dataset import open_dataset

    (batch,) = open_dataset(replace(data, limit=100), source, 100)
    floats, codes = (run_tf(model, batch.feeds, ["output"])["output"].argmax(1) for model in (source, frozen))
    assert (floats == codes).mean() >= 0.97


def test_a_job_of_the_engine(tmp_path: Path) -> None:
    model, data = saved(conv_net(), tmp_path), arrays(tmp_path, pictures(4))
    with EngineClient() as engine:
        seen = []
        found = engine.run(Calibrate(model, data, method="kl"), seen.append)
        assert (found.n, found.method) == (4, "kl")
        assert any("measuring" in event.message for event in seen)
        with pytest.raises(CompressorError, match="no activation of this model is requantized"):
            engine.run(Calibrate(saved(graph(placeholder("x", (-1, 4)), node("y", "Relu6", "x")), tmp_path), data))


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_command(tmp_path: Path) -> None:
    ranges, recipe, chart = tmp_path / "ranges.json", tmp_path / "recipe.json", tmp_path / "chart.svg"
    result = run(
        "calibrate", SAMPLES / "lenet-300-100.pb", "--data", SAMPLES / "t10k-1000-images-idx3-ubyte.gz", "--limit", 10,
        "--method", "kl", "-o", ranges, "--chart", chart, "--save-recipe", recipe, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["n"], report["method"]) == (10, "kl")
    assert {name: list(limits) for name, limits in read_ranges(str(ranges)).items()} == report["ranges"]
    assert len(Recipe.load(recipe).steps) == 2
    assert "quantize_nodes was added" in result.stderr

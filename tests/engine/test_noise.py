"""The noise of each layer is what numpy computes from the values of both graphs; its own noise is its alone."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core.compare import sqnr_db
from compressor_gui.core.counterparts import Place, chains, places
from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.measure import Calibrate, ModelRef
from compressor_gui.core.noise import LayerNoise, LayerNoiseResult
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.pbio import read_graph, write_graph
from compressor_gui.core.ranges import with_ranges
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.core.serve import Job, Stop
from compressor_gui.core.values import DType
from tests.core.test_data import SAMPLES
from tests.support import SHARED, const, graph, needs_shared, node, placeholder, run_tf, tensorflow

pytestmark = pytest.mark.tensorflow
LENET = ModelRef(str(SAMPLES / "lenet-5.pb"))
GRAPH = read_graph(LENET.path)
SPEC = guess(GRAPH, SAMPLES / "t10k-1000-images-idx3-ubyte.gz")
FEW = dataclasses.replace(SPEC, limit=50)


@pytest.fixture(scope="module", autouse=True)
def quiet_tensorflow() -> Any:
    return tensorflow()


def measured(
    recipe: Recipe, model: ModelRef = LENET, data: DataSpec = FEW, job: Job | None = None, **fields: Any
) -> LayerNoiseResult:
    from compressor_gui.engine.noise import layer_noise

    compressed = dataclasses.replace(model, recipe=recipe.to_json())
    return layer_noise(LayerNoise(model, compressed, data, **fields), job or Job(1, lambda *_: None))


def of(*steps: str) -> Recipe:
    return Recipe.of(*(parse(step) for step in steps))


def calibrated(recipe: Recipe, model: ModelRef = LENET, data: DataSpec = FEW) -> Recipe:
    from compressor_gui.engine.calibrate import calibrate

    request = Calibrate(dataclasses.replace(model, recipe=recipe.to_json()), data)
    return with_ranges(recipe, calibrate(request, Job(1, lambda *_: None)).ranges)


def images() -> np.ndarray:
    """What FEW describes."""
    from compressor_gui.engine.dataset import open_dataset

    return next(iter(open_dataset(FEW, GRAPH, 50))).feeds["input"]


def ends() -> list[str]:
    return [chain.end for chain in chains(GRAPH)]


def test_nothing_differs_where_nothing_was_done() -> None:
    found = measured(Recipe())
    assert [node.name for node in found.nodes] == ends()
    assert (found.n, found.missing, found.notes) == (50, (), ())
    assert {(node.sqnr_db, node.own_db) for node in found.nodes} == {(EXACT_DB, EXACT_DB)}


@pytest.mark.parametrize("batch", [7, 50])
def test_the_numbers_are_those_of_numpy_however_the_batches_are_cut(batch: int) -> None:
    recipe = of("prune(sparsity=0.9)")
    fed = {"input": images()}
    before = run_tf(GRAPH, fed, ends())
    after = run_tf(Replayer(GRAPH).replay(recipe).graph, fed, ends())
    found = measured(recipe, batch=batch)
    for one in found.nodes:
        assert one.sqnr_db == pytest.approx(sqnr_db(before[one.name], after[one.name]), abs=1e-3)


def test_a_budget_of_memory_makes_the_batches_small_not_the_numbers_other() -> None:
    recipe = of("prune(sparsity=0.9)")
    runs: list[int] = []
    small = measured(recipe, job=Job(1, lambda *_: runs.append(1)), activation_bytes=1)
    assert len(runs) >= 50
    large = measured(recipe)
    for one, other in zip(small.nodes, large.nodes, strict=True):
        assert one.sqnr_db == pytest.approx(other.sqnr_db, abs=1e-3)


def test_only_the_layer_that_was_pruned_adds_noise() -> None:
    second = chains(GRAPH)[2]
    assert second.head.op == "Conv2D"
    found = measured(of(f"prune(layers={{'{second.head.name}': 0.9}})"))
    names = [one.name for one in found.nodes]
    at = names.index(second.end)
    own = [one.own_db for one in found.nodes]
    assert own[at] == found.nodes[at].sqnr_db < 30
    # The rest computes the same of the same, but for what feeding in the middle does to TensorFlow's fusions.
    assert min(value for place, value in enumerate(own) if place != at and value is not None) > 100
    assert all(one.sqnr_db > 100 for one in found.nodes[:at])
    assert all(one.sqnr_db < 60 for one in found.nodes[at:])
    assert found.worst[0].name == second.end


@pytest.mark.parametrize("stored", [False, True])
def test_classic_codes_are_read_as_tensorflow_reads_them(stored: bool) -> None:
    recipe = of("quantize_nodes")
    if stored:
        recipe = calibrated(recipe)
    after = Replayer(GRAPH).replay(recipe).graph
    fed = {"input": images()}
    before = run_tf(GRAPH, fed, ends())
    found = measured(recipe, batch=50)
    assert found.missing == ()
    inside = [one for one in found.nodes if one.name not in after]
    assert inside
    for one in inside:
        codes = next(name for name in (f"{one.name}_eightbit_quantized", f"{one.name}_eightbit_requantize")
                     if name in after)  # fmt: skip
        reader = node("told", "Dequantize", codes, f"{codes}:1", f"{codes}:2", T=DType.QUINT8, mode=b"MIN_FIRST")
        told = run_tf(graph(*after.nodes, reader), fed, ["told"])["told"]
        assert one.sqnr_db == pytest.approx(sqnr_db(before[one.name], told), abs=0.05)


@pytest.mark.skipif(os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0", reason="oneDNN has the only fused int8 kernels")
def test_fused_codes_stand_for_what_the_float_graph_computes() -> None:
    recipe = calibrated(Recipe.of(FuseInt8(everywhere=True, without_vnni=True)))
    found = measured(recipe)
    assert found.missing == ()
    layers = {one.what: one for one in found.nodes if "Conv2D" in one.what or "MatMul" in one.what}
    assert layers
    assert all(one.sqnr_db > 20 and (one.own_db or 0) > 20 for one in layers.values())


@pytest.mark.parametrize(("steps", "least"), [(("equalize_layers",), 100), (("equalize_layers", "quantize_nodes"), 15)])
def test_channels_that_were_rescaled_are_compared_at_the_originals_scale(steps: tuple[str, ...], least: float) -> None:
    found = measured(of(*steps))
    assert any(place.factors is not None for place in _places(of(*steps)).values())
    assert all(one.sqnr_db > least and (one.own_db or 0) > least for one in found.nodes)


def _places(recipe: Recipe) -> dict[str, Place]:
    return places(Replayer(GRAPH).replay(recipe), {chain.end: chain.nodes[-1] for chain in chains(GRAPH)})


@needs_shared
@pytest.mark.parametrize(("name", "step"), [("emotion", "quantize_nodes"), ("posenet", "fuse_int8")])
def test_a_real_models_outputs_have_the_noise_that_evaluate_finds(name: str, step: str) -> None:
    from compressor_gui.core.measure import Evaluate
    from compressor_gui.engine.evaluate import evaluate

    if step == "fuse_int8" and os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        pytest.skip("oneDNN is off")
    model = ModelRef(str(SHARED / "models" / f"{name}.pb"))
    data = dataclasses.replace(guess(read_graph(model.path), SHARED / "images"), limit=2)
    recipe = of("quantize_nodes") if step == "quantize_nodes" else calibrated(Recipe.of(FuseInt8()), model, data)
    found = measured(recipe, model, data, batch=1)  # ranges that are found at run time are those of a batch
    compressed = dataclasses.replace(model, recipe=recipe.to_json())
    outputs = evaluate(Evaluate(compressed, data, model, batch=1), Job(1, lambda *_: None)).fidelity
    graph_ = read_graph(model.path)
    for output in outputs:
        name = output.check.name
        name = graph_[name].data_refs[0].name if graph_[name].op == "Identity" else name
        assert found.by_node[name].sqnr_db == pytest.approx(output.check.sqnr_db, abs=0.5)
    assert all((one.own_db or 0) >= one.sqnr_db - 3 for one in found.nodes if "Conv2D" in one.what)


def test_a_layer_that_is_no_longer_finite_is_said_to_be_broken(tmp_path: Path) -> None:
    ops = (node("y", "Mul", "x", "factor"), node("z", "Log", "y"))
    net = graph(placeholder("x", (-1, 2)), const("factor", [0.5, 1.0]), *ops)
    write_graph(net, tmp_path / "net.pb")
    broken = graph(*(const("factor", [-1.0, 1.0]) if one.name == "factor" else one for one in net.nodes))
    write_graph(broken, tmp_path / "broken.pb")
    np.savez(tmp_path / "rows.npz", x=np.ones((3, 2), np.float32))
    from compressor_gui.engine.noise import layer_noise

    request = LayerNoise(ModelRef(str(tmp_path / "net.pb")), ModelRef(str(tmp_path / "broken.pb")),
                         guess(net, tmp_path / "rows.npz"))  # fmt: skip
    found = layer_noise(request, Job(1, lambda *_: None)).by_node
    assert found["z"].sqnr_db == -EXACT_DB


def test_graphs_that_share_no_value_are_refused(tmp_path: Path) -> None:
    from compressor_gui.engine.noise import layer_noise

    write_graph(graph(placeholder("input", (-1, 28, 28, 1)), node("other", "Neg", "input")), tmp_path / "other.pb")
    with pytest.raises(CompressorError, match="no value of the original is in the compressed graph"):
        layer_noise(LayerNoise(LENET, ModelRef(str(tmp_path / "other.pb")), FEW), Job(1, lambda *_: None))


def test_it_can_be_cancelled() -> None:
    job = Job(1, lambda *_: None)

    def send(*_: object) -> None:
        job.cancelled.set()

    job._send = send
    with pytest.raises(Stop):
        measured(of("prune(sparsity=0.5)"), job=job)


def test_the_command_reports_every_layer_and_draws_them(tmp_path: Path) -> None:
    recipe = tmp_path / "r.recipe.json"
    of("quantize_nodes").save(recipe)
    data = ["--data", str(SAMPLES / "t10k-1000-images-idx3-ubyte.gz"), "--limit", "20"]
    chart = tmp_path / "noise.svg"
    done = CliRunner().invoke(cli, ["noise", LENET.path, "--recipe", str(recipe), *data, "--json", "-o", str(chart)])
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert [one["name"] for one in report["nodes"]] == ends()
    assert report["n"] == 20
    assert "by itself" in chart.read_text()

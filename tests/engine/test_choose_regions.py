from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core.choose import ChooseRegions, ChosenRegions
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.pbio import read_graph, write_graph
from compressor_gui.core.recipe import Recipe, Replayer
from tests.support import Net, tensorflow

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def model(tmp_path: Path) -> ModelRef:
    """Two regions, and a recipe that makes them."""
    tensorflow()
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        pytest.skip("oneDNN is off, and has the only fused int8 kernels")
    net = Net((-1, 16, 16, 8)).conv(16).bias().then("Relu").then("Sigmoid").conv(8).bias().then("Relu6").build()
    write_graph(net, tmp_path / "model.pb")
    ranges = dict.fromkeys(FuseInt8(everywhere=True).activations(net), (0.0, 4.0))
    return ModelRef(str(tmp_path / "model.pb"), Recipe.of(FuseInt8(ranges, everywhere=True)).to_json())  # type: ignore[arg-type]


def test_every_region_is_timed(model: ModelRef) -> None:
    with EngineClient() as engine:
        found = engine.run(ChooseRegions(model, batch=2, runs=3))
    assert isinstance(found, ChosenRegions)
    assert [region.operations for region in found.regions] == [("conv",), ("conv_1",)]
    assert found.skip == tuple(name for r in found.regions if not r.kept for name in r.operations)
    assert min(found.float_ms, found.fused_ms, found.chosen_ms) > 0
    assert (found.batch, found.runs) == (2, 3)
    with EngineClient() as engine, pytest.raises(CompressorError, match="no step fuse_int8"):
        engine.run(ChooseRegions(ModelRef(model.path)))


def test_the_recipe_that_is_saved_skips_what_was_slower(model: ModelRef, tmp_path: Path) -> None:
    recipe, chosen = tmp_path / "fused.json", tmp_path / "chosen.json"
    recipe.write_text(model.recipe)
    arguments = ["choose-regions", model.path, "--recipe", recipe, "--runs", "2", "--save-recipe", chosen, "--json"]
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (step,) = Recipe.load(chosen).active
    assert isinstance(step, FuseInt8)
    assert list(step.skip) == found["skip"]
    made = Replayer(read_graph(model.path)).replay(Recipe.load(chosen)).graph
    kept = sum(region["kept"] for region in found["regions"])
    assert made.op_counts.get("QuantizedConv2DWithBiasAndReluAndRequantize", 0) == kept

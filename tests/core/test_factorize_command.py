from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compressor_gui.cli.commands import cli
from compressor_gui.core.pbio import read_graph, write_graph
from tests.support import Net


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["factorize", *map(str, arguments)])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.pb"
    write_graph(Net((1, 8, 8, 3)).conv(32).bias().then("Relu").flatten().dense(10, name="fc").build(), path)
    return path


def test_the_curves_of_all_layers(model: Path) -> None:
    done = run(model, "--json")
    assert done.exit_code == 0
    conv, dense = json.loads(done.stdout)["layers"]
    assert (conv["name"], conv["full_rank"], conv["worth_below"]) == ("conv", 27, 15)
    assert (dense["weights"], dense["full_rank"]) == (20480, 10)
    for curve in (conv, dense):
        ranks = [point["rank"] for point in curve["points"]]
        assert ranks == sorted(ranks)
        assert all(point["error"] <= limit for point, limit in zip(curve["points"], (0.5, 0.3, 0.2, 0.1), strict=False))
    assert conv["points"][0]["weights"] == round(conv["points"][0]["rank"] * 59 / 864, 4)
    assert run(model).stdout.startswith("layer")


@pytest.mark.tensorflow
def test_ranks_are_applied_and_the_recipe_says_so(model: Path, tmp_path: Path) -> None:
    out, recipe = tmp_path / "small.pb", tmp_path / "recipe.json"
    done = run(model, "--rank", "conv=4", "-o", out, "--save-recipe", recipe, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["verified"]
    assert read_graph(out)["conv_first"].op == "Conv2D"
    assert json.loads(recipe.read_text())["steps"][0]["ranks"] == {"conv": 4}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--rank", "conv", "-o", "x.pb"), "--rank 'conv' is not LAYER=R"),
        (("--rank", "convv=3", "-o", "x.pb"), "there is no layer 'convv'"),
        (("--error", "0.1"), "Missing option '-o'"),
    ],
)
def test_bad_requests(model: Path, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    where = tuple(str(tmp_path / a) if a == "x.pb" else a for a in arguments)
    done = run(model, *where)
    assert done.exit_code == 2
    assert words in done.stderr
    assert not (tmp_path / "x.pb").exists()

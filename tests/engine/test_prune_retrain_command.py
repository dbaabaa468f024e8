"""``compressor-cli prune-retrain``: what it writes, prints and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compressor_gui.cli.commands import cli
from compressor_gui.core import pbio, weight_store
from compressor_gui.core.layers import find_layers
from compressor_gui.core.recipe import Recipe, Replayer

SAMPLES = Path(__file__).parents[2] / "resources" / "samples"
LENET = SAMPLES / "lenet-300-100.pb"


def run(*arguments: object) -> Result:
    command = ("prune_retrain", LENET, "--data", SAMPLES, "--limit", 400, *arguments)
    return CliRunner().invoke(cli, [str(argument) for argument in command])


@pytest.mark.tensorflow
def test_the_network_is_written_with_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, recipe = tmp_path / "small.pb", tmp_path / "small.recipe.json"
    how = ("--ratio", 10, "--epochs", 3, "--shift", 1, "--checkpoint", tmp_path / "kept")
    done = run("-o", out, "--save-recipe", recipe, *how, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    point = report["point"]
    assert point["nonzero"] == 26620 == sum(layer.nonzero for layer in find_layers(pbio.read_graph(out)))
    assert report["written_top1"] == pytest.approx(point["value"])
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [news["epoch"]["epoch"] for news in told if "epoch" in news] == [1, 2, 3]
    assert [news["point"]["step"] for news in told if "point" in news] == [0, 1]

    monkeypatch.setenv(weight_store.FOLDER, str(tmp_path / "another machine"))
    again = Replayer(pbio.read_graph(LENET)).replay(Recipe.load(recipe)).graph
    assert pbio.to_bytes(again) == out.read_bytes()
    monkeypatch.undo()

    text = run("-o", out, *how)
    assert "3 epochs of them remembered" in text.stdout
    assert "10x" in text.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "there is no target (give one of --ratio, --sparsity, --target-bytes and --max-drop)"),
        (("--ratio", 2, "--sparsity", 0.5), "two targets"),
        (("--max-drop", 200), "'--max-drop': 200.0 is not in the range"),
        (("--ratio", 2, "--epochs", 0), "epochs is 0"),
        (("--ratio", 2, "--test-data", "nowhere"), "no such file"),
        (("--ratio", 2, "--random-crop", 2), "'--random-crop': 2.0 is not in the range"),
    ],
)
def test_what_makes_no_sense_is_said_before_the_engine_starts(
    tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    done = run("-o", tmp_path / "small.pb", *arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_graph_is_written_as_pb_or_pbtxt(tmp_path: Path) -> None:
    assert "written as .pb or .pbtxt" in run("-o", tmp_path / "small.h5", "--ratio", 2).stderr

"""``calibrate`` as far as it needs no TensorFlow: ranges from logs, and what is refused before the engine starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compressor_gui.cli.commands import cli
from compressor_gui.core.pbio import read_graph, write_graph
from compressor_gui.core.ranges import plan_calibration
from compressor_gui.core.ranges_file import read_ranges
from compressor_gui.core.recipe import Recipe, Replayer, digest
from tests.core.commands import sentence
from tests.support import conv_net, graph, node, placeholder


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two runs of the model's 8-bit form."""
    names = plan_calibration(conv_net(), Recipe()).tensors
    lines = [f";{n}__print__;__requant_min_max:[-{run}.5][{run}.25]" for run in (1, 2) for n in names]
    path = tmp_path / "min_max_log.txt"
    path.write_text("\n".join(lines), "utf-8")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["calibrate", *map(str, arguments)])


def test_a_log_becomes_ranges_and_a_recipe_without_range_nodes(model: Path, log: Path, tmp_path: Path) -> None:
    ranges, recipe = tmp_path / "ranges.json", tmp_path / "recipe.json"
    result = run(model, "--from-log", log, "-o", ranges, "--save-recipe", recipe, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["n"], report["method"]) == (2, "log")
    assert read_ranges(str(ranges)) == report["ranges"]
    assert set(map(tuple, report["ranges"].values())) == {(-2.5, 2.25)}
    made = Replayer(read_graph(model)).replay(Recipe.load(recipe)).graph
    assert not any(found.op == "RequantizationRange" for found in made.nodes)


@pytest.mark.parametrize(("sha256", "noted"), [("", False), ("0" * 64, True), ("model", False)])
def test_a_recipe_for_another_file_is_noted(model: Path, log: Path, tmp_path: Path, sha256: str, noted: bool) -> None:
    path = tmp_path / "recipe.json"
    Recipe(sha256=digest(model.read_bytes()) if sha256 == "model" else sha256).save(path)
    result = run(model, "--from-log", log, "--recipe", path)
    assert result.exit_code == 0, result.output
    assert ("the recipe was made for another file" in result.stderr) == noted


def test_ranges_that_are_kept_nowhere_are_said_to_be(model: Path, log: Path, tmp_path: Path) -> None:
    words = "nothing is written: -o RANGES keeps the ranges"
    assert words in run(model, "--from-log", log).stderr
    assert words not in run(model, "--from-log", log, "-o", tmp_path / "ranges.json").stderr
    assert words not in run(model, "--from-log", log, "--json").stderr


def test_ranges_in_a_pipe(model: Path, log: Path) -> None:
    result = run(model, "--from-log", log, "-o", "-")
    assert json.loads(result.stdout).keys() == plan_calibration(conv_net(), Recipe()).tensors.keys()
    assert "2 runs" in result.stderr


def test_a_log_of_another_model_is_refused(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pb"
    write_graph(graph(placeholder("x", (-1, 4)), node("y", "BiasAdd", "x", "x")), other)
    assert "has no RequantizationRange" in sentence(run(other, "--from-log", log))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give either --data or --from-log"),
        (("--data", "x", "--from-log", "y"), "give either --data or --from-log"),
        (("--data", "missing"), "there is no such file or folder"),
        (("--data", "missing", "--chart", "x.gif"), "a picture is .svg or .png"),
        (("--from-log", "missing"), "missing: it can't be read"),
        (("--from-log", "LOG", "--chart", "x.svg"), "a log has no histograms"),
        (("--from-log", "MODEL"), "there is no range of a RequantizationRange in this log"),
        (("--from-log", "LOG", "-o", "no/such/folder.json"), "there is no such folder"),
        (("--from-log", "LOG", "-o", "MODEL"), "model.pb"),
        (("--data", "x", "-o", "-", "--chart", "-"), "can't both go to standard output"),
    ],
)
def test_what_can_not_be_is_one_sentence(model: Path, log: Path, arguments: tuple[str, ...], words: str) -> None:
    given = [{"LOG": str(log), "MODEL": str(model)}.get(argument, argument) for argument in arguments]
    assert words in sentence(run(model, *given))


def test_nothing_to_requantize(tmp_path: Path) -> None:
    other = tmp_path / "other.pb"
    write_graph(graph(placeholder("x", (-1, 4)), node("y", "Sigmoid", "x")), other)
    assert "no activation of this model is requantized" in sentence(run(other, "--data", "missing"))

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from click.testing import CliRunner, Result

from compressor_gui.cli.commands import cli
from compressor_gui.core.measure import LayerCurve, Sensitivity, SensitivityResult
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.pbio import write_graph
from compressor_gui.core.recipe import Recipe
from tests.support import conv_net

CURVES = SensitivityResult(
    "top1",
    0.9,
    3,
    (
        LayerCurve("conv", (0.0, 0.5, 0.9), (0.9, 0.9, 0.2), (8,), (0.9,)),
        LayerCurve("dense", (0.0, 0.5, 0.7, 0.9), (0.9, 0.9, 0.895, 0.8), (8,), (0.9,)),
    ),
    seconds=1.0,
    reused=2,
    notes=("a note",),
)


class FakeEngine:
    """Stands in for the engine's client: answers the curves, and keeps what it was asked."""

    asked: ClassVar[list[Sensitivity]] = []
    answer: ClassVar[SensitivityResult] = CURVES

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, request: Sensitivity, *_: Any) -> SensitivityResult:
        self.asked.append(request)
        return self.answer


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> type[FakeEngine]:
    monkeypatch.setattr(FakeEngine, "asked", [])
    monkeypatch.setattr(import_module("compressor_gui.cli.sensitivity"), "EngineClient", FakeEngine)
    return FakeEngine


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_graph(conv_net(), tmp_path / "model.pb")
    np.save(tmp_path / "data.npy", np.zeros((3, 8, 8, 3), np.float32))
    return tmp_path / "model.pb"


@pytest.fixture
def curves(model: Path, engine: type[FakeEngine]) -> Path:
    path = model.with_name("curves.json")
    path.write_text(swept(model, "--json").stdout)
    return path


def run(*arguments: object, stdin: str = "") -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], input=stdin)


def swept(model: Path, *arguments: object) -> Result:
    return run("sensitivity", model, "--data", model.with_name("data.npy"), *arguments)


def sentence(result: Result) -> str:
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output
    return result.stderr


def test_the_json_has_these_keys(model: Path, engine: type[FakeEngine]) -> None:
    found = json.loads(swept(model, "--json").stdout)
    assert list(found) == ["baseline", "metric", "layers", "seconds"]
    assert list(found["layers"][0]) == ["name", "sparsity", "value", "bits", "bits_value"]
    assert found["layers"][1]["value"] == [0.9, 0.9, 0.895, 0.8]


def test_options_reach_the_engine(model: Path, engine: type[FakeEngine]) -> None:
    swept(model, "--layers", "conv, dense", "--limit", 2, "--sparsities", "0,0.5", "--bits", "8", "--refine", 0,
          "--scheduler", "tcp://a:1", "--activation-mb", 5, "--cache", "here")  # fmt: skip
    (request,) = engine.asked
    assert (request.layers, request.data.limit, request.sparsities, request.bits) == (
        ("conv", "dense"),
        2,
        (0.0, 0.5),
        (8,),
    )
    assert (request.scheduler, request.activation_bytes, request.cache, request.refine) == (
        "tcp://a:1",
        5_000_000,
        "here",
        0,
    )


def test_the_table_has_the_points_that_all_layers_have(model: Path, engine: type[FakeEngine]) -> None:
    result = swept(model)
    heads, first, second, *_ = result.stdout.splitlines()
    assert heads.split() == ["top-1", "at", "sparsity", "0", "%", "50", "%", "90", "%"]
    assert first.split() == ["conv", "90.0", "%", "90.0", "%", "20.0", "%"]
    assert second.split() == ["dense", "90.0", "%", "90.0", "%", "80.0", "%"]
    assert "3 examples, 9 points, 2 of them remembered" in result.stdout
    assert "a note" in result.stderr


def test_curves_are_drawn(model: Path, engine: type[FakeEngine]) -> None:
    chart = model.with_suffix(".svg")
    assert swept(model, "-o", chart).exit_code == 0
    assert "dense" in chart.read_text()
    assert "a picture is .svg" in sentence(swept(model, "-o", "x.gif"))


def test_numbers_are_checked(model: Path, engine: type[FakeEngine]) -> None:
    result = swept(model, "--sparsities", "a,b")
    assert result.exit_code == 2
    assert "not a list of numbers" in result.stderr
    assert not engine.asked


def test_a_suggestion_becomes_a_recipe(model: Path, curves: Path) -> None:
    saved = model.with_name("recipe.json")
    result = run("suggest", model, "--curves", curves, "--max-drop", 0.6, "--save-recipe", saved, "--json")
    found = json.loads(result.stdout)
    assert found["layers"] == {"conv": 0.5, "dense": 0.7}
    assert found["predicted"] == pytest.approx(0.895)
    assert found["metric"] == "top1"
    (step,) = Recipe.load(saved).active
    assert isinstance(step, Prune)
    assert dict(step.layers) == found["layers"]
    assert run("compress", model, "-o", model.with_name("small.pb"), "--recipe", saved, "--no-verify").exit_code == 0
    assert "about 89.5 %" in run("suggest", model, "--curves", curves, "--max-drop", 0.6).stdout


def test_curves_come_through_a_pipe(model: Path, curves: Path) -> None:
    result = run("suggest", model, "--curves", "-", "--sparsity", 0.3, "--json", stdin=curves.read_text())
    assert json.loads(result.stdout)["sparsity"] >= 0.3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sparsity", "0.99"], "of all weights are zero"),
        (["--target-bytes", "10"], "too many"),
        (["--min-sqnr", "20"], "not SQNR"),
        ([], "give exactly one"),
        (["--sparsity", "0.5", "--max-drop", "1"], "give exactly one"),
    ],
)
def test_targets_that_can_not_be_met_end_in_a_sentence(
    model: Path, curves: Path, arguments: list[str], words: str
) -> None:
    assert words in sentence(run("suggest", model, "--curves", curves, *arguments))


def test_files_that_are_no_curves_are_refused(model: Path, tmp_path: Path) -> None:
    assert "it is not text" in sentence(
        run("suggest", model, "--curves", model.with_name("data.npy"), "--sparsity", 0.5)
    )
    (tmp_path / "no.json").write_text("{}")
    assert "these are no curves" in sentence(run("suggest", model, "--curves", tmp_path / "no.json", "--sparsity", 0.5))
    assert "can't be read" in sentence(run("suggest", model, "--curves", tmp_path / "gone", "--sparsity", 0.5))


def test_nothing_is_written_over_what_is_read(model: Path, curves: Path, engine: type[FakeEngine]) -> None:
    before, asked = (model.read_bytes(), curves.read_bytes()), len(engine.asked)
    for target in (model, curves):
        saving = ("suggest", model, "--curves", curves, "--sparsity", 0.5, "--save-recipe", target)
        assert "never overwritten" in sentence(run(*saving))
    assert (model.read_bytes(), curves.read_bytes()) == before
    assert "there is no such folder" in sentence(swept(model, "-o", model.parent / "no" / "x.svg"))
    assert len(engine.asked) == asked

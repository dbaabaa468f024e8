from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from click.testing import CliRunner, Result

from compressor_gui.cli.commands import cli
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.measure import Latency, LatencyResult, Timing
from compressor_gui.core.mixed import Path as ParetoPath
from compressor_gui.core.mixed_job import OFFERED, FindPrecision, LayerOptions, MeasuredPoint, Precision
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.mixed_precision import MixedPrecision
from compressor_gui.core.pbio import read_graph, write_graph
from compressor_gui.core.protocol import Done, build, event_line
from compressor_gui.core.recipe import Recipe
from tests.support import conv_net

FOUND = Precision(
    "sqnr_db",
    25.0,
    EXACT_DB,
    3,
    False,
    (
        LayerOptions("conv", (32, 8), (1000, 300), (EXACT_DB, 31.0)),
        LayerOptions("dense", (32, 8, 4), (6000, 1700, 900), (EXACT_DB, 45.0, 27.0)),
    ),
    ParetoPath(
        {"conv": 32, "dense": 32},
        (("dense", 8), ("dense", 4), ("conv", 8)),
        (7000, 2700, 1900, 1200),
        (0.0, 3e-5, 2e-3, 3e-3),
    ),
    (MeasuredPoint(2, 26.5, 1900, (("softmax", 26.5),)), MeasuredPoint(3, 24.0, 1200, (("softmax", 24.0),))),
    4.0,
)


class FakeEngine:
    """Stands in for the engine's client, and keeps what it was asked."""

    asked: ClassVar[list[Any]] = []
    answer: ClassVar[Precision] = FOUND

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, request: Any, *_: Any) -> Any:
        self.asked.append(request)
        if isinstance(request, FindPrecision):
            return self.answer
        timing = Timing(2.0, 2.5, 500.0)
        return LatencyResult(1, 2, request.runs, timing, timing, 1.0)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> type[FakeEngine]:
    monkeypatch.setattr(FakeEngine, "asked", [])
    monkeypatch.setattr(import_module("compressor_gui.cli.mixed_precision"), "EngineClient", FakeEngine)
    return FakeEngine


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_graph(conv_net(), tmp_path / "model.pb")
    np.save(tmp_path / "data.npy", np.zeros((3, 8, 8, 3), np.float32))
    return tmp_path / "model.pb"


def run(model: Path, *options: str) -> Result:
    data = str(model.with_name("data.npy"))
    return CliRunner().invoke(cli, ["mixed-precision", str(model), "--data", data, *options])


def test_the_chosen_point_is_told_and_written(model: Path, engine: type[FakeEngine]) -> None:
    small, recipe = model.with_name("small.pb"), model.with_name("small.json")
    done = run(model, "--target", "25dB", "-o", str(small), "--save-recipe", str(recipe))
    assert done.exit_code == 0
    request, timed = engine.asked
    assert (request.min_sqnr_db, request.max_drop, request.bits, request.fused) == (25.0, None, OFFERED, False)
    step = MixedPrecision(bits=(("dense", 4.0),))
    assert Recipe.load(recipe).active == (step,)
    assert Recipe.from_json(timed.model.recipe).active == (step,)
    assert isinstance(timed, Latency)
    assert read_graph(small)[find_weight(model, "dense")].op == "Dequantize"
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["conv", "float", "1.00", "kB", "equal", "31.0", "dB"]
    assert lines[2].split() == ["dense", "4", "bits", "900", "B", "27.0", "dB", "45.0", "dB"]
    assert "1.90 kB, 1.00 times as fast (2 ms)" in done.stdout
    assert "2 points of 4 measured on 3 examples" in done.stdout
    assert "stored: packed in the file" in lines[3]
    assert "8 bits span all weights" in lines[4]
    assert "the target is at least 25 dB on every output" in lines
    assert "no target is given" not in done.stderr


def test_a_target_that_was_not_given_is_told(model: Path, engine: type[FakeEngine]) -> None:
    done = run(model, "--runs", "0")
    assert "no target is given, so that it is the usual one: every output has at least 25 dB" in done.stderr
    assert engine.asked[0].min_sqnr_db == 25.0
    assert "25dB without --max-drop" in " ".join(CliRunner().invoke(cli, ["mixed-precision", "--help"]).stdout.split())


def find_weight(model: Path, layer: str) -> str:
    graph = read_graph(model)
    return graph[layer].data_refs[1].name


def test_the_json_has_the_curve_and_the_layers(model: Path, engine: type[FakeEngine]) -> None:
    report = json.loads(run(model, "--json", "--runs", "0").stdout)
    assert engine.asked[0].min_sqnr_db == 25.0
    assert report["bits"] == {"conv": 32, "dense": 4}
    assert (report["bytes"], report["value"], report["outputs"]) == (1900, 26.5, {"softmax": 26.5})
    assert [point["measured"] for point in report["points"]] == [False, False, True, True]
    assert report["layers"][0] == {"name": "conv", "bits": [32, 8], "cost": [1000, 300], "db": [EXACT_DB, 31.0]}
    assert report["speedup"] is None


def test_a_target_that_is_not_met(model: Path, engine: type[FakeEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "answer", replace(FOUND, target=40.0))
    small = model.with_name("small.pb")
    done = run(model, "--target", "40", "--bits", "8,4", "-o", str(small), "--runs", "0")
    assert done.exit_code == 1
    assert "the best point found has 26.5 dB on softmax, 13.5 dB less than the target" in done.stderr
    assert not small.exists()


def test_a_drop_of_top1(model: Path, engine: type[FakeEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    points = tuple(replace(point, value=value) for point, value in zip(FOUND.measured, (0.9, 0.8), strict=True))
    monkeypatch.setattr(engine, "answer", replace(FOUND, metric="top1", baseline=0.9, target=0.895, measured=points))
    done = run(model, "--max-drop", "0.5", "--chart", str(model.with_name("curve.svg")))
    assert engine.asked[0].max_drop == pytest.approx(0.005)
    assert engine.asked[0].min_sqnr_db is None
    assert "top-1 90.0 %, 90.0 % untouched; the target is at least 89.5 %" in done.stdout
    assert "no target is given" not in done.stderr
    assert "top-1, %" in model.with_name("curve.svg").read_text()


def test_fused_layers(model: Path, engine: type[FakeEngine]) -> None:
    ranges = model.with_name("ranges.json")
    ranges.write_text('{"bias": [-1, 9], "input": [0, 1]}')
    assert run(model, "--fused", "--ranges", str(ranges), "--without-vnni", "--runs", "0").exit_code == 0
    request = engine.asked[0]
    assert (request.fused, request.without_vnni) == (True, True)
    assert request.ranges == {"bias": (-1.0, 9.0), "input": (0.0, 1.0)}
    fused = request.step({"conv": 32, "dense": 8})
    assert fused == FuseInt8(ranges=tuple(request.ranges.items()), skip=("conv",), without_vnni=True)
    assert request.step({"conv": 32, "dense": 32}) is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--target", "much"), "is not an SQNR such as 25dB"),
        (("--target", "-5"), "between 0 and 200"),
        (("--target", "25dB", "--max-drop", "1"), "either an SQNR or a drop"),
        (("--bits", "8,17"), "can't have 17 bits"),
        (("--bits", "0"), "can't have 0 bits"),
        (("--bits", "x"), "is not a list of numbers"),
        (("--fused",), "needs the ranges"),
        (("--ranges", "r.json"), "for --fused alone"),
        (("-o", "-"), "name a file"),
    ],
)
def test_what_makes_no_sense_is_said(
    model: Path, engine: type[FakeEngine], options: tuple[str, ...], sentence: str
) -> None:
    done = run(model, *options)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert not engine.asked


def test_answers_travel() -> None:
    line = json.loads(event_line(1, Done(FOUND)))
    assert build(line["with"]["result"], Precision, "it") == FOUND

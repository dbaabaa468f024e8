"""The experiment's order, rows and tables, with an engine that makes its answers up."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from compressor_gui.cli.commands import cli
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.experiment import VARIANTS, Experiment, Table, base_of, conduct, run
from compressor_gui.core.experiment_table import as_csv, captions, cells, chart, heads, markdown, report
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EngineInfo, Hello, OutputCheck
from compressor_gui.core.measure import (
    Accuracy,
    Calibrate,
    Calibration,
    Evaluate,
    Evaluation,
    Fidelity,
    Latency,
    LatencyResult,
    ModelRef,
    Preview,
    PreviewItem,
    PreviewResult,
    RangeHistogram,
    Timing,
)
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.pbio import byte_size, write_graph
from compressor_gui.core.protocol import Progress, Request
from compressor_gui.core.ranges import plan_calibration
from compressor_gui.core.recipe import Recipe, Replayer
from tests.support import Net, conv_net

MODEL = ModelRef("net.pb")
DATA = DataSpec("idx", "/data/test", input="input")


def network() -> ModelGraph:
    """Two convolutions that are worth computing in 8 bits, and a classifier."""
    net = Net((1, 32, 32, 3)).conv(64).bias().then("Relu").conv(64).bias().then("Relu").pool()
    return net.flatten().dense(10).bias(name="dense_bias").then("Softmax").build()


SOURCE = network()
NAMES = [variant.name for variant in VARIANTS]


class FakeEngine:
    """Answers at once; ``labelled`` says what the data has, ``broken`` which requests fail."""

    def __init__(
        self, *, labelled: bool = True, broken: tuple[type[Request], str] | None = None, source: ModelGraph = SOURCE
    ) -> None:
        self.labelled, self.broken, self.source = labelled, broken, source
        self.asked: list[Any] = []

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, request: Any, on_progress: Any = None) -> Any:
        self.asked.append(request)
        if on_progress:
            on_progress(Progress(1, 2, "half"))
        if self.broken and isinstance(request, self.broken[0]) and self.broken[1] in request.model.recipe:
            raise CompressorError("it broke", where="engine", hint="mend it")
        return getattr(self, request.name)(request)

    def hello(self, _: Hello) -> EngineInfo:
        return EngineInfo("9.8.7", "3")

    def preview(self, _: Preview) -> PreviewResult:
        return PreviewResult((PreviewItem("", "one", 0 if self.labelled else -1),), 10, ())

    def calibrate(self, request: Calibrate) -> Calibration:
        plan = plan_calibration(self.source, Recipe.from_json(request.model.recipe))
        histogram = RangeHistogram(-1.0, 1.0, (1,), -1.0, 1.0)
        ranges = dict.fromkeys(plan.tensors, (-1.0, 1.0))
        return Calibration(request.data.limit, request.method, ranges, dict.fromkeys(ranges, histogram))

    def evaluate(self, request: Evaluate) -> Evaluation:
        counted = Accuracy(100, 0.9, 0.99, (0.83, 0.94)) if self.labelled else Accuracy(100)
        if request.against is None:
            return Evaluation(counted)
        checks = [OutputCheck(name, db, 1.0, True, False, (10,)) for name, db in (("a", 31.0), ("b", 12.5))]
        return Evaluation(counted, counted, tuple(map(Fidelity, checks)), 0.6 if self.labelled else None)

    def latency(self, request: Latency) -> LatencyResult:
        against = Timing(8.0, 9.0, 125.0) if request.against else None
        return LatencyResult(1, 2, request.runs, Timing(4.0, 5.0, 250.0), against, 2.0 if against else None)


def conducted(engine: FakeEngine, **changes: Any) -> Table:
    return run(conduct(Experiment(MODEL, DATA, **changes), SOURCE), engine)


def texts(svg: str) -> set[str]:
    return {element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("text")}


def test_every_variant_is_calibrated_evaluated_and_timed_against_float() -> None:
    engine = FakeEngine()
    table = conducted(engine)
    kinds = [type(request) for request in engine.asked]
    plain, stored = [Evaluate, Latency], [Calibrate, Evaluate, Latency]
    assert kinds == [Hello, Preview, *plain * 3, *stored * 3]
    compared = [request for request in engine.asked if isinstance(request, Evaluate | Latency)]
    assert [request.against for request in compared] == [None, None, *[MODEL] * 10]
    assert [request.data.limit for request in engine.asked if isinstance(request, Calibrate)] == [10, 1000, 1000]
    assert [row.name for row in table.rows] == NAMES
    assert all(row.accuracy and row.latency and not row.problem for row in table.rows)
    assert (table.tensorflow, table.scored, table.rows[1].sqnr_db) == ("9.8.7", True, 12.5)


def test_each_row_is_a_recipe_that_replays_to_its_size() -> None:
    table = conducted(FakeEngine(), base=Recipe.of(Prune(sparsity=0.5), sha256="ab"))
    for row in table.rows:
        replay = Replayer(SOURCE).replay(Recipe.from_json(row.recipe.to_json()))
        assert byte_size(replay.graph) == row.size
        assert not replay.idle
        assert row.recipe.sha256 == "ab"
        assert isinstance(row.recipe.active[0], Prune)
    steps = {row.name: row.recipe.active for row in table.rows}
    assert len(steps["float"]) == 1
    assert isinstance(steps["stored_10"][-1], FreezeRequantizationRanges)
    fused = steps["fused"][-1]
    assert isinstance(fused, FuseInt8)
    assert fused.ranges
    assert {row.name: row.examples for row in table.rows if row.examples} == {
        "stored_10": 10,
        "stored_1000": 1000,
        "fused": 1000,
    }


def test_ranges_come_from_other_examples_where_they_are_given() -> None:
    engine = FakeEngine()
    other = DataSpec("idx", "/data/train", input="input", limit=300)
    table = conducted(engine, calibration=other)
    found = {(request.data.path, request.data.limit) for request in engine.asked if isinstance(request, Calibrate)}
    assert found == {("/data/train", 10), ("/data/train", 300)}
    assert "from train" in " ".join(captions(table))
    assert "from these same examples" in " ".join(captions(conducted(FakeEngine())))


def test_what_a_recipe_has_of_the_rows_own_steps_is_left_out() -> None:
    recipe = Recipe.of(Prune(sparsity=0.5), QuantizeNodes(), sha256="ab")
    assert base_of(recipe) == Recipe.of(Prune(sparsity=0.5), sha256="ab")


def test_a_row_that_fails_says_why_and_the_others_go_on() -> None:
    table = conducted(FakeEngine(broken=(Latency, "fuse_int8")))
    *others, fused = table.rows
    assert not any(row.problem for row in others)
    assert (fused.problem, fused.latency) == ("engine: it broke (mend it)", None)
    assert fused.accuracy is not None
    assert "fused int8, 1,000 examples failed: engine: it broke" in " ".join(captions(table))
    assert cells(table, fused)[-2:] == ("–", "–")


def test_a_form_that_leaves_the_model_as_it_is_is_not_measured_as_float() -> None:
    table = run(conduct(Experiment(MODEL, DATA), conv_net()), FakeEngine(source=conv_net()))
    fused = table.rows[-1]
    assert (fused.accuracy, fused.latency) == (None, None)
    assert "Nothing in this graph gains" in fused.problem


def test_without_float_there_is_no_table() -> None:
    with pytest.raises(CompressorError, match="it broke"):
        conducted(FakeEngine(broken=(Evaluate, "")))


def test_without_labels_the_worst_output_stands_in_place_of_accuracy() -> None:
    engine = FakeEngine(labelled=False)
    table = conducted(engine)
    assert sum(isinstance(request, Evaluate) for request in engine.asked) == len(VARIANTS) - 1
    assert heads(table) == ("", "SQNR of the worst output", "bytes", "of float", "ms", "speed")
    assert [cells(table, row)[1] for row in table.rows] == ["the reference", *["12.5 dB"] * 5]
    assert "Without labels" in " ".join(captions(table))
    assert "SQNR of the worst output, dB" in texts(chart(table))


def test_labels_without_an_output_of_scores_are_as_none() -> None:
    engine = FakeEngine(labelled=False)
    engine.preview = lambda _: PreviewResult((PreviewItem("", "one", 3),), 10, ())  # type: ignore[method-assign]
    assert heads(conducted(engine))[1] == "SQNR of the worst output"


def test_the_table_grows_while_it_is_measured() -> None:
    seen: list[Table] = []
    told: list[Progress] = []
    table = run(conduct(Experiment(MODEL, DATA), SOURCE), FakeEngine(), told.append, seen.append)
    assert seen[-1] == table
    measured = [sum(row.latency is not None for row in one.rows) for one in seen]
    assert measured == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6]
    assert all([row.name for row in one.rows] == NAMES for one in seen)
    assert chart(seen[0]) == ""
    assert captions(seen[0]) == ()
    assert told[-1].message == "fused int8: latency (half, 50%)"
    assert {at.total for at in told} == {told[-1].done}


def test_markdown_csv_and_json_have_the_same_rows() -> None:
    table = conducted(FakeEngine())
    lines = markdown(table).splitlines()
    assert lines[0] == "| net | top-1 | 95 % interval | recall_5 | bytes | of float | ms | speed |"
    assert all(line.count("|") == lines[0].count("|") for line in lines[:8])
    assert lines[2].startswith("| float | 90.00 % | 83.00 to 94.00 | 99.00 % |")
    assert lines[7].startswith("| fused int8, 1,000 examples |")
    assert lines[7].endswith("| 4 | 2.00 |")
    assert "9.8.7" in lines[9]
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [row["name"] for row in rows] == NAMES
    assert (rows[-1]["speedup"], rows[0]["speedup"], rows[0]["tensorflow"]) == ("2.0", "", "9.8.7")
    data = json.loads(json.dumps(report(table), allow_nan=False))
    assert [row["bytes"] for row in data["rows"]] == [int(row["bytes"]) for row in rows]
    assert {"stored ranges, 10 examples", "file, MB", "latency, ms", "top-1, %"} <= texts(chart(table))


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(import_module("compressor_gui.cli.experiment"), "EngineClient", FakeEngine)
    write_graph(SOURCE, tmp_path / "net.pb")
    np.save(tmp_path / "data.npy", np.zeros((3, 32, 32, 3), np.float32))
    np.save(tmp_path / "more.npy", np.zeros((3, 32, 32, 3), np.float32))
    return tmp_path / "net.pb"


def command(model: Path, *arguments: object) -> Result:
    given = ["experiment", model, "--data", model.with_name("data.npy"), *arguments]
    return CliRunner().invoke(cli, [str(argument) for argument in given])


def test_the_command_writes_every_kind_and_recipes_that_compress_takes(model: Path) -> None:
    table, numbers, picture = (model.with_name(name) for name in ("t.md", "t.csv", "t.svg"))
    folder = model.with_name("recipes")
    result = command(model, "-o", table, "-o", numbers, "-o", picture, "--recipes", folder,
                     "--calibrate", model.with_name("more.npy"))  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "stored ranges, 1,000 examples" in result.stdout
    assert table.read_text().startswith("| net |")
    assert "from more.npy" in table.read_text()
    assert len(numbers.read_text().splitlines()) == 1 + len(VARIANTS)
    assert "latency, ms" in texts(picture.read_text())
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.recipe.json" for name in NAMES)
    made = CliRunner().invoke(cli, ["compress", str(model), "-o", str(model.with_name("small.pb")), "--no-verify",
                                    "--recipe", str(folder / "fused.recipe.json")])  # fmt: skip
    assert made.exit_code == 0, made.output
    assert "another file" not in made.output


def test_a_row_that_failed_is_exit_code_1(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = partial(FakeEngine, broken=(Latency, "fuse_int8"))
    monkeypatch.setattr(import_module("compressor_gui.cli.experiment"), "EngineClient", broken)
    table = model.with_name("t.md")
    result = command(model, "-o", table)
    assert result.exit_code == 1
    words = "a row could not be measured: fused int8, 1,000 examples: engine: it broke (mend it)"
    assert words in result.stderr.splitlines()
    assert "fused int8, 1,000 examples failed" in table.read_text()


def test_the_command_prints_json(model: Path) -> None:
    found = json.loads(command(model, "--json", "--limit", 2).stdout)
    assert [row["name"] for row in found["rows"]] == NAMES
    assert found["calibration"] == found["data"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("-", "standard output"),
        ("t.txt", "a table or chart is .md, .csv,"),
        ("no/t.md", "no such folder"),
    ],
)
def test_targets_are_refused_before_anything_is_measured(model: Path, target: str, words: str) -> None:
    result = command(model, "-o", target if target == "-" else model.with_name("x").parent / target)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output

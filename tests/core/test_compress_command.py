"""``compress``: what it writes, what it measures, and what it refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import Node
from compressor_gui.core.jobs import Died, ExportCheck, OutputCheck, WorkerDied
from compressor_gui.core.pbio import write_graph
from compressor_gui.core.recipe import Replayer
from compressor_gui.core.values import DType
from tests.core.commands import PRUNE, program, run, sentence
from tests.support import const, graph, node, placeholder

COMPRESS_KEYS = {"bytes_before", "bytes_after", "seconds", "sparsity", "verified", "outputs"}


def test_compress_writes_and_reports(model: Path, small: Path) -> None:
    recipe = small.parent / "r.json"
    result = run("compress", model, "-o", small, "--pass", PRUNE, "--save-recipe", recipe, "--no-verify", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    data = json.loads(result.stdout)
    assert data.keys() >= COMPRESS_KEYS
    assert data["bytes_before"] == model.stat().st_size
    assert data["bytes_after"] == small.stat().st_size
    assert data["sparsity"] == pytest.approx(0.8, abs=0.01)
    assert (data["written"], data["verified"], data["outputs"]) == (True, False, [])
    assert (data["steps"][0]["label"], data["steps"][0]["call"]) == (PRUNE, PRUNE)

    again = small.parent / "again.pb"
    assert run("compress", model, "-o", again, "--recipe", recipe, "--no-verify", "-q").output == ""
    assert again.read_bytes() == small.read_bytes()
    assert sorted(path.name for path in small.parent.iterdir()) == ["again.pb", "r.json", "small.pb"]


def test_compress_without_a_pass_keeps_every_node(model: Path, small: Path) -> None:
    assert run("compress", model, "-o", small, "--no-verify").exit_code == 0
    assert run("diff", model, small).exit_code == 0


def test_compress_in_a_pipe(model: Path) -> None:
    data = model.read_bytes()
    result = run("compress", "-", "-o", "-", "--pass", PRUNE, "--no-verify", "--json", stdin=data)
    assert result.exit_code == 0
    expected = run("compress", model, "-o", model.with_name("file.pb"), "--pass", PRUNE, "--no-verify")
    assert expected.exit_code == 0
    assert result.stdout_bytes == model.with_name("file.pb").read_bytes()
    assert json.loads(result.stderr)["bytes_after"] == len(result.stdout_bytes)


def test_the_source_is_never_written_over(model: Path) -> None:
    link = model.with_name("link.pb")
    link.symlink_to(model)
    before = model.read_bytes()
    for target in (model, link, model.parent / "." / "model.pb"):
        assert "never overwritten" in sentence(run("compress", model, "-o", target, "--pass", PRUNE))
        saving = ("compress", model, "-o", model.with_name("small.pb"), "--no-verify", "--save-recipe", target)
        assert "never overwritten" in sentence(run(*saving))
    assert model.read_bytes() == before


def test_targets_that_can_not_be_written_are_said_before_the_work(model: Path, tmp_path: Path) -> None:
    assert "there is no such folder" in sentence(run("compress", model, "-o", tmp_path / "no" / "x.pb"))
    assert "this is a folder" in sentence(run("compress", model, "-o", tmp_path))
    assert "this is a device" in sentence(run("compress", model, "-o", os.devnull))
    same = ("-o", tmp_path / "x.pb", "--save-recipe", tmp_path / "." / "x.pb", "--no-verify")
    assert "can't go to one file" in sentence(run("compress", model, *same))


def test_a_full_disk_is_one_sentence(model: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    line = sentence(run("compress", model, "-o", small, "--no-verify"))
    assert "No space left on device" in line
    assert "free some space" in line
    assert list(small.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("prun", "there is no pass 'prun'"),
        ("prune(x=1)", "there is no parameter 'x'"),
        ("prune(sparsity=2)", "at most 1"),
        ("prune(", "is not a pass"),
    ],
)
def test_a_wrong_pass_is_one_sentence(model: Path, small: Path, call: str, words: str) -> None:
    assert words in sentence(run("compress", model, "-o", small, "--pass", call))


def test_a_recipe_of_another_file_says_what_it_did_not_find(model: Path, small: Path) -> None:
    recipe = small.with_name("r.json")
    assert run("compress", model, "-o", small, "--pass", PRUNE, "--save-recipe", recipe, "--no-verify").exit_code == 0
    other = model.with_name("other.pb")
    write_graph(graph(placeholder("x", (1,)), node("y", "Relu", "x")), other)
    result = run("compress", other, "-o", small, "--recipe", recipe, "--no-verify")
    assert result.exit_code == 0
    assert "made for another file" in result.stderr
    assert "step 1, prune(sparsity=0.8), found nothing to do" in result.stderr


def test_an_unsafe_graph_is_not_run_by_itself(model: Path, small: Path) -> None:
    path = const("path", np.array(b"/etc/hostname", object), DType.STRING)
    write_graph(graph(path, Node.make("y", "ReadFile", ("path",))), model)
    line = sentence(run("compress", model, "-o", small))
    assert "ReadFile" in line
    assert "--allow-unsafe-ops" in line
    assert run("compress", model, "-o", small, "--no-verify").exit_code == 0


class FakeEngine:
    """Stands in for the engine's client: raises or answers what it was given."""

    outcome: ExportCheck | BaseException

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, request: object, on_progress: object) -> ExportCheck:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> type[FakeEngine]:
    monkeypatch.setattr("compressor_gui.cli.compress.EngineClient", FakeEngine)
    return FakeEngine


def checked(finite: bool = True, remapper_off: bool = False, sqnr: float = 31.25, same: float = 1.0) -> ExportCheck:
    output = OutputCheck("softmax", sqnr, same, finite, False, (1, 10))
    return ExportCheck((output,), ("input float32 1×8×8×3",), ("a note",), 1.0, remapper_off=remapper_off)


def test_what_was_measured_is_reported(model: Path, small: Path, engine: type[FakeEngine]) -> None:
    engine.outcome = checked(remapper_off=True)
    data = json.loads(run("compress", model, "-o", small, "--json").stdout)
    assert data["verified"] is True
    assert data["remapper_off"] is True
    assert data["outputs"][0].items() >= {"name": "softmax", "sqnr_db": 31.25, "argmax_agreement": 1.0}.items()
    result = run("compress", model, "-o", small)
    assert "softmax  31.2 dB            4 of 4" in result.stdout
    assert "on 4 made-up inputs" in result.stdout
    assert "checked in TensorFlow" in result.stdout
    assert "warning" not in result.stderr
    assert "a note" in result.stderr
    assert "without Grappler's remapper" in result.stderr


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (CompressorError("TensorFlow does not load this graph: no kernel"), "no kernel"),
        (
            WorkerDied(Died("the engine's process was ended by SIGSEGV", True, "one\nno kernel")),
            "SIGSEGV (its last words: no kernel)",
        ),
        (checked(finite=False), "not finite"),
    ],
)
def test_what_fails_the_check_is_not_written(
    model: Path, small: Path, engine: type[FakeEngine], outcome: ExportCheck | Exception, words: str
) -> None:
    engine.outcome = outcome
    recipe = small.with_name("r.json")
    result = run("compress", model, "-o", small, "--json", "--save-recipe", recipe)
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert (data["verified"], data["written"]) == (False, False)
    assert words in result.stderr
    assert "--no-verify" in result.stderr
    assert list(small.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (checked(sqnr=9.5), "(softmax: 9.5 dB, same top class in 4 of 4)"),
        (checked(sqnr=2.5, same=0.5), "(softmax: 2.5 dB, same top class in 2 of 4)"),
    ],
)
def test_outputs_that_are_far_from_the_originals_are_told(
    model: Path, small: Path, engine: type[FakeEngine], check: ExportCheck, words: str
) -> None:
    engine.outcome = check
    result = run("compress", model, "-o", small, "--pass", PRUNE, "--json")
    assert result.exit_code == 0
    warning = json.loads(result.stdout)["warning"]
    told = f"the outputs for 4 made-up inputs are far from the original's {words}: retrain or take less away"
    assert warning == told
    assert f"warning: {warning}\n" in result.stderr
    assert small.exists()


def test_a_least_sqnr_decides_what_is_written(model: Path, small: Path, engine: type[FakeEngine]) -> None:
    engine.outcome = checked()
    assert run("compress", model, "-o", small, "--min-sqnr", "31.25").exit_code == 0
    small.unlink()
    result = run("compress", model, "-o", small, "--min-sqnr", "32", "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert (data["verified"], data["written"]) == (True, False)
    assert data["failure"] == "softmax has 31.2 dB, and --min-sqnr asks for 32 dB"
    assert data["failure"] in result.stderr
    engine.outcome = ExportCheck((), (), (), 1.0)
    assert "no output could be compared" in run("compress", model, "-o", small, "--min-sqnr", "1").stderr
    assert run("compress", model, "-o", small, "--min-sqnr", "1", "--no-verify").exit_code == 2
    assert list(small.parent.iterdir()) == []


@pytest.mark.parametrize("target", [(), ("-o", "-"), ("-o", "small.pb")])
def test_a_dry_run_writes_nothing(
    model: Path, small: Path, engine: type[FakeEngine], monkeypatch: pytest.MonkeyPatch, target: tuple[str, ...]
) -> None:
    engine.outcome = checked()
    monkeypatch.chdir(small.parent)
    result = run("compress", model, *target, "--pass", PRUNE, "--dry-run", "--save-recipe", "r.json", "--json")
    assert result.exit_code == 0
    data = json.loads(result.stdout)
    assert (data["dry_run"], data["written"], data["verified"]) == (True, False, True)
    assert list(small.parent.iterdir()) == []


def test_each_step_and_each_layer_tells_its_bytes(model: Path, small: Path) -> None:
    calls = ("--pass", "prune(layers={'conv': 0.5})", "--pass", "quantize_weights(minimum_size=300)")
    result = run("compress", model, "-o", small, *calls, "--no-verify", "--json")
    data = json.loads(result.stdout)
    first, second = data["steps"]
    assert first["call"] == "prune(layers={'conv': 0.5})"
    assert first["bytes_after"] == pytest.approx(model.stat().st_size, abs=20)
    assert second["bytes_after"] == small.stat().st_size == data["bytes_after"]
    conv, dense = data["layers"]
    assert conv.items() >= {"name": "conv", "bytes_before": 864, "bytes_after": 864, "sparsity": 0.5}.items()
    assert (dense["bytes_before"], dense["bytes_after"]) == (5120, 1280 + 10 * 8)

    text = run("compress", model, "-o", small, *calls, "--no-verify", "--layers").stdout
    assert "1  prune(layers={'conv': 0.5})" in text
    assert f"{second['bytes_after'] / 1000:.2f} kB" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith(("conv ", "dense "))] == ["conv", "dense"]


def test_a_layer_that_is_gone_says_so(model: Path, small: Path) -> None:
    cut = ("--pass", "strip_unused_nodes(outputs=conv)", "--no-verify")
    conv, dense = json.loads(run("compress", model, "-o", small, *cut, "--json").stdout)["layers"]
    assert conv["bytes_after"] == 864
    assert (dense["bytes_after"], dense["sparsity"]) == (0, None)
    assert "gone" in run("compress", model, "-o", small, *cut, "--layers").stdout


def test_a_target_of_another_format_is_refused(model: Path) -> None:
    for name in ("x.h5", "x.tflite", "x"):
        line = sentence(run("compress", model, "-o", model.with_name(name), "--no-verify"))
        assert "a graph is written as .pb or .pbtxt" in line
    assert [path.name for path in model.parent.iterdir()] == ["model.pb"]


def test_an_error_is_an_object_under_json(model: Path) -> None:
    result = run("compress", model, "-o", model.with_name("x.pb"), "--pass", "prune(sparsity=80%)", "--json")
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert error["what"] == "sparsity='80%' is not a number"
    assert (error["where"], error["hint"]) == ("prune", "write 80 % as 0.8")
    assert result.stderr == f"error: {error['message']}\n"


def test_an_interrupt_cleans_up(model: Path, small: Path, engine: type[FakeEngine]) -> None:
    engine.outcome = KeyboardInterrupt()
    result = run("compress", model, "-o", small)
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")
    assert list(small.parent.iterdir()) == []


def test_a_bug_is_one_sentence_too(model: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(Replayer, "replay", broken)
    assert "COMPRESSOR_DEBUG=1" in sentence(run("compress", model, "-o", small))
    monkeypatch.setenv("COMPRESSOR_DEBUG", "1")
    assert isinstance(run("compress", model, "-o", small).exception, ZeroDivisionError)


@pytest.mark.tensorflow
def test_a_pipe_is_checked_in_tensorflow(model: Path) -> None:
    result = program("compress", "-", "-o", "-", "--pass", "prune(sparsity=0.1)", "--json", stdin=model.read_bytes())
    assert result.returncode == 0, result.stderr
    data = json.loads(result.stderr)
    (output,) = data["outputs"]
    assert data["verified"]
    assert output["name"] == "softmax"
    assert output["sqnr_db"] > 20
    assert output["argmax_agreement"] >= 0.75

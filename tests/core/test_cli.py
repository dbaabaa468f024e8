from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from compressor_gui.cli.commands import cli
from compressor_gui.core import passes, units
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.measure import LatencyResult, ModelRef, Timing
from compressor_gui.core.pbio import read_graph, to_bytes
from tests.core.commands import PRUNE, run, sentence
from tests.support import SHARED, conv_net, graph, needs_shared, node, placeholder

INSPECT_KEYS = {"nodes", "bytes", "parameters", "ops", "inputs", "outputs", "layers"}
LAYER_KEYS = {"name", "op", "shape", "parameters", "bytes", "nonzero", "sparsity"}
DIFF_KEYS = {"equal", "added", "removed", "changed", "unchanged", "ops_before", "ops_after", "bytes_before",
             "bytes_after", "nodes"}  # fmt: skip
NODE_KEYS = {"name", "op", "change", "from", "step"}


# --- inspect ---------------------------------------------------------------------------------------------------------


def test_inspect_as_json(model: Path) -> None:
    result = run("inspect", model, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    data = json.loads(result.stdout)
    assert data.keys() >= INSPECT_KEYS
    assert (data["nodes"], data["bytes"]) == (len(conv_net()), model.stat().st_size)
    assert (data["inputs"], data["outputs"]) == (["input"], ["softmax"])
    assert data["input_shapes"] == {"input": [1, 8, 8, 3]}
    assert data["ops"]["Conv2D"] == 1
    assert all(layer.keys() >= LAYER_KEYS for layer in data["layers"])
    conv, dense = data["layers"]
    assert (conv["op"], conv["shape"], conv["parameters"], conv["bytes"]) == ("Conv2D", [3, 3, 3, 8], 216, 864)
    assert (dense["nonzero"], dense["sparsity"]) == (1280, 0.0)
    assert data["parameters"] == 216 + 8 + 1280 + 10


def test_inspect_for_people(model: Path) -> None:
    lines = run("inspect", model).stdout.splitlines()
    assert lines[0].endswith("1.51 k parameters, 0 % zero")
    assert "inputs   input  float32 1×8×8×3" in lines
    assert len({line.rindex("%") for line in lines[-2:]}) == 1  # aligned


def test_inspect_quietly_says_nothing(model: Path) -> None:
    assert run("inspect", model, "--quiet").output == ""


def test_outputs_can_be_named(model: Path) -> None:
    assert json.loads(run("inspect", model, "--json", "--outputs", "conv, dense").stdout)["outputs"] == [
        "conv",
        "dense",
    ]
    assert "this output is missing" in sentence(run("inspect", model, "--outputs", "nowhere"))


BAD = {
    "empty": (b"", "the file is empty"),
    "page": (b"<!DOCTYPE html><html></html>", "web page"),
    "picture": (b"\xff\xd8\xff\xe0 and more", "JPEG"),
    "cut": (to_bytes(conv_net())[:-100], "not a whole GraphDef"),
    "open": (to_bytes(graph(node("y", "Relu", "x"))), "its input 'x' is not in the graph"),
    "twice": (to_bytes(graph(placeholder("x", ()))) * 2, "two nodes have this name"),
    "circle": (to_bytes(graph(node("a", "Relu", "b"), node("b", "Relu", "a"), outputs=[])), "cycle"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("command", ["inspect", "compress", "diff", "render"])
def test_bad_input_is_one_sentence(command: str, case: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pb"
    bad.write_bytes(BAD[case][0])
    more = {"compress": ("-o", tmp_path / "out.pb"), "diff": (bad,), "render": ("-o", tmp_path / "x.svg")}
    line = sentence(run(command, bad, *more.get(command, ())))
    assert BAD[case][1] in line
    assert str(bad) in line
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pb"]


def test_what_is_no_file_is_one_sentence(tmp_path: Path) -> None:
    assert "no such file" in sentence(run("inspect", tmp_path / "nothing.pb"))
    assert "this is a folder" in sentence(run("inspect", tmp_path))
    assert "standard input: the file is empty" in sentence(run("inspect", "-"))


def test_wrong_usage_ends_with_2() -> None:
    assert run("no-such-command").exit_code == 2
    assert run("compress", "x.pb").exit_code == 2


@pytest.mark.parametrize("command", [None, "inspect", "compress", "diff", "render", "passes"])
def test_every_help_has_an_example(command: str | None) -> None:
    result = run(*([command] if command else []), "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"compressor-cli {command or 'compress'} " in result.output


# --- diff ------------------------------------------------------------------------------------------------------------


def test_diff_of_equals(model: Path) -> None:
    result = run("diff", model, "-", "--json", stdin=model.read_bytes())
    assert result.exit_code == 0
    data = json.loads(result.stdout)
    assert data.keys() >= DIFF_KEYS
    assert (data["equal"], data["unchanged"]) == (True, len(conv_net()))
    assert run("diff", model, model).stdout.startswith("equal: ")


def test_diff_counts_and_explains(model: Path, small: Path) -> None:
    recipe = small.with_name("r.json")
    assert run("compress", model, "-o", small, "--pass", PRUNE, "--save-recipe", recipe, "--no-verify").exit_code == 0
    bare = run("diff", model, small, "--json")
    assert bare.exit_code == 1
    data = json.loads(bare.stdout)
    assert (data["equal"], data["changed"], data["added"], data["removed"]) == (False, 2, 0, 0)
    assert all(entry.keys() >= NODE_KEYS for entry in data["nodes"])
    assert {entry["step"] for entry in data["nodes"]} == {None}
    assert (data["by_op"]["Const"]["changed"], data["by_op"]["Conv2D"]["changed"]) == (2, 0)
    assert sum(totals["bytes_after"] for totals in data["by_op"].values()) == data["bytes_after"]

    explained = json.loads(run("diff", model, small, "--json", "--recipe", recipe).stdout)
    changed = [entry for entry in explained["nodes"] if entry["change"] == "changed"]
    assert [entry["step"] for entry in changed] == [1, 1]
    assert [entry["from"] for entry in changed] == [[entry["name"]] for entry in changed]

    text = run("diff", model, small, "--recipe", recipe, "--limit", "1").stdout
    assert "1 prune, value" in text
    heads, consts = (line.split() for line in text.split("\n\n")[1].splitlines())
    assert heads == ["op", "before", "after", "added", "removed", "changed", "bytes"]
    assert (consts[0], consts[3:]) == ("Const", ["0", "0", "2", "+0"])
    twice = ("--pass", PRUNE, "--pass", "quantize_weights(minimum_size=300)", "--save-recipe", recipe)
    assert run("compress", model, "-o", small, *twice, "--no-verify").exit_code == 0
    both = json.loads(run("diff", model, small, "--json", "--recipe", recipe).stdout)
    steps = next(entry["steps"] for entry in both["nodes"] if entry["name"] == "dense/weights")
    assert [(step["step"], step["name"]) for step in steps] == [(1, "prune"), (2, "quantize_weights")]
    assert "1 prune, 2 quantize_weights, op" in run("diff", model, small, "--recipe", recipe).stdout
    assert run("compress", model, "-o", small, *twice[:2], "--save-recipe", recipe, "--no-verify").exit_code == 0
    assert "... and 1 more" in text
    assert "another graph" in sentence(run("diff", model, model, "--recipe", recipe))


def test_diff_takes_standard_input_once(model: Path) -> None:
    assert "both" in sentence(run("diff", "-", "-", stdin=model.read_bytes()))


# --- passes ----------------------------------------------------------------------------------------------------------


def test_the_readme_describes_every_pass() -> None:
    readme = Path(__file__).parents[2].joinpath("README.md").read_text("utf-8")
    table = readme.partition("\n| pass | what it does |\n")[2].partition("\n\n")[0]
    first = "".join(line.split("|")[1] for line in table.splitlines())
    assert sorted(first.split("`")[1::2]) == sorted(passes.BY_NAME)


def test_passes_are_described_from_their_declarations() -> None:
    found = json.loads(run("passes", "--json").stdout)["passes"]
    assert [entry["name"] for entry in found] == [kind.name for kind in passes.ALL]
    prune = next(entry for entry in found if entry["name"] == "prune")
    sparsity = next(p for p in prune["parameters"] if p["name"] == "sparsity")
    assert (sparsity["minimum"], sparsity["maximum"], sparsity["default"]) == (0, 1, None)
    freeze = next(entry for entry in found if entry["name"] == "freeze_requantization_ranges")
    assert [p["required"] for p in freeze["parameters"]] == [True]
    assert "required" in run("passes", "freeze_requantization_ranges").stdout
    assert "there is no pass 'x'" in sentence(run("passes", "x"))
    assert "(did you mean quantize_weights" in sentence(run("passes", "quantize_weight"))


@pytest.mark.parametrize("kind", passes.ALL, ids=lambda kind: kind.name)
def test_the_example_of_a_pass_can_be_parsed(kind: type[passes.Pass]) -> None:
    text = run("passes", kind.name).stdout
    call = text.splitlines()[-1].removeprefix('example: --pass "').removesuffix('"')
    assert isinstance(passes.parse(call), kind)
    assert all(key in text for key in kind.params())


# --- render ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The drawing program's command lines; each run of it makes a picture."""
    seen: list[list[str]] = []

    def draw(command: list[str], **_: object) -> subprocess.CompletedProcess:
        seen.append(command)
        Path(command[command.index("-o") + 1]).write_bytes(b"<svg/>")
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(subprocess, "run", draw)
    return seen


def test_render_writes_the_picture(model: Path, drawn: list[list[str]]) -> None:
    picture = model.with_suffix(".svg")
    result = run("render", model, "--compare", model, "-o", picture, "--theme", "dark", "--json")
    assert json.loads(result.stdout).items() >= {"picture": str(picture), "bytes": 6}.items()
    assert picture.read_bytes() == b"<svg/>"
    (command,) = drawn
    assert command[command.index("compressor_gui.gui.render") + 1] == str(model)
    assert command[command.index("--theme") + 1] == "dark"
    assert command[command.index("--compare") + 1] == str(model)


def test_render_in_a_pipe(model: Path, drawn: list[list[str]]) -> None:
    result = run("render", "-", "-o", "-", stdin=model.read_bytes())
    assert (result.exit_code, result.stdout_bytes) == (0, b"<svg/>")


def test_render_refuses_what_it_can_not_draw(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a picture is .svg" in sentence(run("render", model, "-o", "x.gif"))
    assert "there is no such folder" in sentence(run("render", model, "-o", model.parent / "no" / "x.svg"))
    failed = subprocess.CompletedProcess([], 1, b"", b"Traceback\nno display\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    assert "could not be drawn: no display" in sentence(run("render", model, "-o", model.with_suffix(".png")))


# --- the program -----------------------------------------------------------------------------------------------------


def test_the_program_imports_neither_qt_nor_tensorflow(model: Path) -> None:
    code = (
        "import sys; from compressor_gui.cli.commands import cli; cli(['inspect', sys.argv[1]], standalone_mode=False);"
        "print([m for m in sys.modules if m.split('.')[0] in ('PySide6', 'tensorflow')])"
    )
    result = subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True, check=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_a_closed_pipe_is_quiet(model: Path) -> None:
    command = [sys.executable, "-c", "from compressor_gui.cli import main; main()", "inspect", str(model), "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (result.returncode, result.stderr) == (141, b"")


@needs_shared
@pytest.mark.parametrize("name", ["emotion", "liveness", "gear"])
def test_real_models_go_through_every_command(name: str, small: Path) -> None:
    source = SHARED / "models" / f"{name}.pb"
    nodes = json.loads(run("inspect", source, "--json").stdout)["nodes"]
    assert run("compress", source, "-o", small, "--pass", PRUNE, "--no-verify", "--json").exit_code == 0
    assert json.loads(run("diff", source, small, "--json").stdout)["unchanged"] < nodes == len(read_graph(small))


def test_an_interrupt_while_a_command_is_imported_is_no_traceback(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.delitem(cli.commands, "inspect", raising=False)
    monkeypatch.setattr("compressor_gui.cli.group.import_module", interrupted)
    result = run("inspect", model)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")


def test_an_interrupt_while_the_program_is_imported_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    command = [sys.executable, "-c", "from compressor_gui.cli import main; main()", "--version"]
    place = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": place}, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"interrupted\n")


def test_the_program_starts_without_what_only_commands_need() -> None:
    program = "import sys, compressor_gui.cli.commands; print(*({'numpy', 'google'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == []


def test_a_command_that_there_is_not_is_one_that_was_meant() -> None:
    assert "Did you mean 'evaluate'?" in run("evalute").stderr


def test_every_command_is_where_it_is_said_to_be() -> None:
    listed = cli.list_commands(click.Context(cli))
    assert len(listed) == 23
    for name in listed:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert command.name == name


def test_long_names_leave_room_for_the_times_of_the_slowest_nodes() -> None:
    from compressor_gui.cli.latency import _text

    slow = Timing(1.0, 1.0, 1000.0, nodes=((f"{'scope/' * 60}conv", "_MklNativeFusedConv2D", 0.5),))
    lines = list(_text(LatencyResult(1, 2, 3, slow), ModelRef("net.pb"), None))
    assert all(len(line) < 140 for line in lines)
    assert lines[-1].startswith("scope/scope/")
    assert lines[-1].endswith("0.5 ms")


def test_what_does_not_differ_is_equal_wherever_decibels_are_told() -> None:
    assert [units.decibel(value) for value in (None, EXACT_DB, 25.04)] == ["equal", "equal", "25.0 dB"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (("prune_retrain", "--learning_rate", "0.1"), "prune-retrain"),
        (("prune-retrain", "--learning-rate", "0.1"), "prune-retrain"),
        (("mixed_precision", "--save_recipe", "x"), "mixed-precision"),
        (("label-image", "--output-layer", "x"), "label_image"),
        (("transfer", "--learning-rate", "0.1", "--image-dir", "x"), "transfer"),
        (("prune_retrain", "--schedule", "one-shot"), "prune-retrain"),
    ],
)
def test_names_are_understood_in_either_spelling(written: tuple[str, ...], shown: str) -> None:
    done = run(*written, "--help")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: cli {shown} ")


def test_one_spelling_is_shown_that_of_tensorflows_tools_as_they_have_it() -> None:
    listed = cli.list_commands(click.Context(cli))
    assert [name for name in listed if "_" in name] == ["label_image"]
    for name in listed:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        flags = [flag for param in command.params for flag in param.opts if flag.startswith("--")]
        assert len({flag.replace("_", "-") for flag in flags}) == len(flags), name
        own = [flag for flag in flags if "_" in flag and name not in ("label_image", "transfer")]
        assert not [flag for flag in own if not flag.startswith(("--input_", "--output_"))], name

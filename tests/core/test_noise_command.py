"""The ``noise`` command: what it prints of an answer, and what it refuses before it asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core.jobs import EXACT_DB, EngineClient
from compressor_gui.core.noise import LayerNoise, LayerNoiseResult, NodeNoise
from tests.core.test_data import SAMPLES

LENET = str(SAMPLES / "lenet-5.pb")
DIGITS = str(SAMPLES / "t10k-1000-images-idx3-ubyte.gz")
FOUND = LayerNoiseResult(
    (
        NodeNoise(("conv1/Conv2D", "conv1/Relu"), "Conv2D · Bias · Relu", 31.26, 31.26),
        NodeNoise(("conv2/Conv2D", "conv2/Relu"), "Conv2D · Bias · Relu", 12.0, 14.5),
        NodeNoise(("softmax",), "Softmax", 11.0, EXACT_DB),
    ),
    n=20,
    missing=("gone",),
    seconds=1.5,
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[LayerNoise]:
    """What the engine is asked; it answers FOUND."""
    requests: list[LayerNoise] = []

    def run(_client: EngineClient, request: LayerNoise, *_: object) -> LayerNoiseResult:
        requests.append(request)
        return FOUND

    monkeypatch.setattr(EngineClient, "run", run)
    return requests


def test_the_layer_that_adds_most_noise_comes_first(asked: list[LayerNoise], tmp_path: Path) -> None:
    small = tmp_path / "small.pb"
    small.write_bytes(Path(LENET).read_bytes())
    done = CliRunner().invoke(cli, ["noise", str(small), "--against", LENET, "--data", DIGITS])
    assert done.exit_code == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["layer", "operations", "SQNR", "by", "itself"],
        ["conv2", "Conv2D", "·", "Bias", "·", "Relu", "12.0", "dB", "14.5", "dB"],
        ["conv1", "Conv2D", "·", "Bias", "·", "Relu", "31.3", "dB", "31.3", "dB"],
        ["softmax", "Softmax", "11.0", "dB", "equal"],
        [],
        ["20", "examples,", "1.5", "s;", "without", "a", "counterpart:", "1"],
    ]
    assert (asked[0].original.path, asked[0].compressed.path) == (LENET, str(small))


def test_the_command_needs_something_to_compare(asked: list[LayerNoise]) -> None:
    done = CliRunner().invoke(cli, ["noise", LENET, "--data", DIGITS])
    assert (done.exit_code, "nothing to compare" in done.stderr, asked) == (2, True, [])


def test_a_chart_that_is_no_picture_is_refused_before_the_work(asked: list[LayerNoise]) -> None:
    done = CliRunner().invoke(cli, ["noise", LENET, "--against", LENET, "--data", DIGITS, "-o", "chart.txt"])
    assert (done.exit_code, "a picture is .svg or .png" in done.stderr, asked) == (2, True, [])

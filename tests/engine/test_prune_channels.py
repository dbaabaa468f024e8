from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core.channel_pruning import ChannelNews, PruneChannels, opened
from compressor_gui.core.data import guess
from compressor_gui.core.layers import find_layers
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.protocol import Event, Piece
from compressor_gui.core.recipe import Recipe, Replayer
from compressor_gui.core.serve import Job
from compressor_gui.core.training import Optimizing
from tests.support import run_tf, tensorflow

pytestmark = pytest.mark.tensorflow
SAMPLES = Path(__file__).resolve().parents[2] / "resources" / "samples"
MODEL = SAMPLES / "lenet-300-100.pb"
DIGITS = SAMPLES / "t10k-1000-images-idx3-ubyte.gz"


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COMPRESSOR_WEIGHTS", str(tmp_path / "weights"))


def test_half_of_the_channels_in_two_steps_each_of_which_can_be_opened() -> None:
    from compressor_gui.engine.train.prune_channels import prune_channels

    tensorflow()
    graph = read_graph(MODEL)
    pieces: list[ChannelNews] = []

    def send(_number: int, event: Event) -> None:
        if isinstance(event, Piece):
            pieces.append(event.part)

    job = Job(1, send)
    request = PruneChannels(
        model=ModelRef(str(MODEL)), data=guess(graph, DIGITS), share=0.5, steps=2, epochs=1,
        optimizing=Optimizing(learning_rate=1e-3, batch=50),
    )  # fmt: skip
    found = prune_channels(request, job)
    assert [point.share for point in found.points] == [0, 0.25, 0.5]
    assert found.lacks == ""
    assert found.point.speedup > 0
    assert found.point.value > 0.9
    made = Replayer(graph).replay(opened(found.point)).graph
    assert [layer.shape.dims for layer in find_layers(made)] == [(784, 150), (150, 50), (50, 10)]
    assert found.point.weights == 784 * 150 + 150 * 50 + 50 * 10
    scores = run_tf(made, {"input": np.zeros((2, 28, 28, 1), np.float32)})["output"]
    assert scores.shape == (2, 10)
    assert [piece.point.step for piece in pieces if piece.point] == [0, 1, 2]
    assert sum(piece.news is not None and piece.news.epoch is not None for piece in pieces) == 2


def test_the_command(tmp_path: Path) -> None:
    arguments = ["prune_channels", MODEL, "--data", DIGITS, "--share", 0.5, "--steps", 1, "--epochs", 1, "-o",
                 tmp_path / "o.pb", "--save-recipe", tmp_path / "r.json", "--json"]  # fmt: skip
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["chosen"] == 1
    assert any(line.startswith('{"point"') for line in done.stderr.splitlines())
    again = Replayer(read_graph(MODEL)).replay(Recipe.load(tmp_path / "r.json")).graph
    np.testing.assert_array_equal(find_layers(again)[0].weights, find_layers(read_graph(tmp_path / "o.pb"))[0].weights)

"""A student in a Keras file, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from compressor_gui.cli.commands import cli
from compressor_gui.core.pbio import read_graph
from tests.support import run_tf, tensorflow

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:You are saving:UserWarning", "ignore:__array__:DeprecationWarning"),  # Keras's
]
SAMPLES = Path(__file__).resolve().parents[2] / "resources" / "samples"


def distilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, student: Any, ending: str) -> Result:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / f"mine{ending}"
    student.save(path)
    arguments = ["distill", "--teacher", SAMPLES / "lenet-5.pb", "--student", path, "-o", tmp_path / "made.pb",
                 "--data", SAMPLES / "t10k-1000-images-idx3-ubyte.gz", "--epochs", 2, "--batch", 20,
                 "--json"]  # fmt: skip
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def network(*more: Any) -> Any:
    """A Sequential, which has no names of outputs."""
    tensorflow()
    import keras

    layers = keras.layers
    return keras.Sequential(
        [keras.Input((28, 28, 1), name="picture"), layers.Flatten(), *more, layers.Dense(10, activation="softmax")]
    )


def test_a_keras_file_is_frozen_and_taught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = distilled(tmp_path, monkeypatch, network(), ".keras")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["weights"] == 7840  # biases are not counted
    assert found["value"] > found["before"] + 0.3  # two epochs of 800 digits, from random weights
    graph = read_graph(tmp_path / "made.pb")
    assert graph.inputs == ("input",)  # as the teacher's is called
    (scores,) = run_tf(graph, {"input": np.zeros((3, 28, 28, 1), np.float32)}).values()
    assert scores.shape == (3, 10)


def test_code_in_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensorflow()
    import keras

    secret = keras.layers.Lambda(lambda values: values * 2, name="secret")
    done = distilled(tmp_path, monkeypatch, network(secret), ".h5")
    assert done.exit_code == 2
    assert "the layer 'secret' (Lambda) is Python code" in done.stderr
    assert not (tmp_path / "made.pb").exists()

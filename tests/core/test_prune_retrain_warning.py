"""``compressor-cli prune-retrain`` tells when what it wrote is much worse than the original; with a made-up engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from compressor_gui.cli.commands import cli
from compressor_gui.core import weight_store
from compressor_gui.core.jobs import OutputCheck
from compressor_gui.core.measure import Accuracy, Evaluation, Fidelity
from compressor_gui.core.pbio import write_graph
from compressor_gui.core.training import Point, PruneRetrain, Retrained
from tests.support import conv_net


class FakeEngine:
    """Answers at once: a network with one point, of ``metric``, and ``check`` of the file."""

    metric: str
    check: Evaluation

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, request: object, *_: object) -> Any:
        if not isinstance(request, PruneRetrain):
            return self.check
        sha256 = weight_store.save({"dense/weights": np.zeros((128, 10), np.float32)})
        points = [
            Point(at, 1280, 640, 5120, 0.5, {}, found, metric=self.metric) for at, found in enumerate(("", sha256))
        ]
        return Retrained(self.metric, tuple(points), 1, (), 30, 10)


def evaluated(
    sqnr: float, top1: float | None = None, original: float | None = None, p: float | None = None
) -> Evaluation:
    output = Fidelity(OutputCheck("softmax", sqnr, 1.0, True, False, (1, 10)))
    return Evaluation(Accuracy(203, top1), Accuracy(203, original), (output,), p)


def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str, check: Evaluation, *goal: object) -> Result:
    FakeEngine.metric, FakeEngine.check = metric, check
    monkeypatch.setattr("compressor_gui.cli.prune_retrain.EngineClient", FakeEngine)
    monkeypatch.setenv(weight_store.FOLDER, str(tmp_path / "weights"))
    write_graph(conv_net(), tmp_path / "model.pb")
    np.save(tmp_path / "data.npy", np.zeros((3, 8, 8, 3), np.float32))
    command = ("prune_retrain", tmp_path / "model.pb", "--data", tmp_path / "data.npy", "-o", tmp_path / "small.pb")
    done = CliRunner().invoke(cli, [str(argument) for argument in (*command, *(goal or ("--ratio", 2)), "--json")])
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize(
    ("metric", "check", "words"),
    [
        ("sqnr_db", evaluated(0.4), "far from the original's (softmax: 0.4 dB)"),
        ("mse", evaluated(0.4), "far from the original's (softmax: 0.4 dB)"),
        ("sqnr_db", evaluated(25), None),
        ("top1", evaluated(2.5, 0.867, 0.9261, 0.01), "the original has 92.61 %, which is hardly chance on 203"),
        ("top1", evaluated(2.5, 0.9212, 0.9261, 0.9), None),
        ("top1", evaluated(2.5, 0.95, 0.90, 0.01), None),
    ],
)  # fmt: skip
def test_a_ruined_network_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str, check: Evaluation, words: str | None
) -> None:
    done = written(tmp_path, monkeypatch, metric, check)
    warning = json.loads(done.stdout)["warning"]
    if words is None:
        assert (warning, "warning" in done.stderr) == (None, False)
    else:
        assert words in warning
        assert f"warning: {warning}" in done.stderr


def test_a_drop_that_was_allowed_is_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = written(tmp_path, monkeypatch, "top1", evaluated(2.5, 0.867, 0.9261, 0.01), "--max-drop", 8)
    assert json.loads(done.stdout)["warning"] is None

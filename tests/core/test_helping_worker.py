"""``compressor-cli prune-retrain`` on a machine that only trains with others; with a made-up engine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core.caution import CPU_DEVICES
from compressor_gui.core.data import DataSpec
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.pbio import write_graph
from compressor_gui.core.training import MULTI_WORKER, TF_CONFIG, Goal, PruneRetrain, Retrained
from tests.support import conv_net


class Helping:
    """The engine of a worker that is not the first."""

    def __enter__(self) -> Helping:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, request: PruneRetrain, *_: object) -> Retrained:
        assert request.strategy == MULTI_WORKER
        return Retrained("top1", (), 0, (), 30, 10)


def test_a_worker_that_helped_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compressor_gui.cli.prune_retrain.EngineClient", Helping)
    model, data, output = tmp_path / "model.pb", tmp_path / "data.npy", tmp_path / "small.pb"
    write_graph(conv_net(), model)
    np.save(data, np.zeros((3, 8, 8, 3), np.float32))
    command = ("prune_retrain", model, "--data", data, "-o", output, "--ratio", 2, "--strategy", MULTI_WORKER, "--json")
    done = CliRunner().invoke(cli, [str(argument) for argument in command])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["helped"] is True
    assert not output.exists()


def test_workers_have_a_process_of_their_own_and_none_starts_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TF_CONFIG, "{}")

    def asked(strategy: str) -> PruneRetrain:
        return PruneRetrain(
            model=ModelRef("a.pb"), data=DataSpec("npy", "a.npy"), goal=Goal(ratio=2), strategy=strategy
        )

    worker, parts, alone = asked(MULTI_WORKER), asked("mirrored:2"), asked("")
    assert worker.environment() == {**alone.environment(), TF_CONFIG: "{}"}
    assert parts.environment() == {**alone.environment(), CPU_DEVICES: "2"}
    assert worker.after_crash() is None
    assert worker.given_up("SIGABRT").startswith("another worker has ended")
    again = alone.after_crash()
    assert again is not None
    assert again.caution == 1

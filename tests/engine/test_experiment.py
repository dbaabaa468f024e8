"""The experiment on a sample in TensorFlow: every form runs, and each row's recipe is what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from compressor_gui.core.data import guess
from compressor_gui.core.experiment import Experiment, conduct, run
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import Evaluate, ModelRef
from compressor_gui.core.pbio import read_graph

SAMPLES = Path(__file__).resolve().parents[2] / "resources" / "samples"


@pytest.mark.tensorflow
def test_every_form_of_a_sample_is_measured() -> None:
    path = SAMPLES / "lenet-300-100.pb"
    source, model = read_graph(path), ModelRef(str(path))
    data = guess(source, SAMPLES / "t10k-1000-images-idx3-ubyte.gz")
    with EngineClient() as engine:
        table = run(conduct(Experiment(model, data, runs=3), source), engine)
        stored = table.rows[3]
        again = engine.run(Evaluate(ModelRef(str(path), stored.recipe.to_json()), data))
    assert again.accuracy == stored.accuracy
    original, *forms = table.rows
    assert original.accuracy is not None
    assert original.accuracy.top1 == pytest.approx(0.991)
    assert original.size is not None
    for row in forms:
        assert not row.problem
        assert row.accuracy is not None
        assert row.accuracy.n == 1000
        assert row.accuracy.top1 == pytest.approx(0.991, abs=0.003)
        assert row.sqnr_db is not None
        assert row.sqnr_db > 25
        assert row.size is not None
        assert row.size < 0.4 * original.size
        assert row.latency is not None
        assert row.latency.against is not None
    assert [row.examples for row in table.rows] == [0, 0, 0, 10, 1000, 1000]

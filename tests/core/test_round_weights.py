from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core import passes
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.pbio import read_graph, to_bytes
from compressor_gui.core.values import DType
from tests.support import const, graph, graphs, node, placeholder, run_tf, sqnr_db


def dense(values: np.ndarray, dtype: DType = DType.FLOAT) -> ModelGraph:
    return graph(
        placeholder("x", (1, len(values)), dtype), const("w", values, dtype), node("y", "MatMul", "x", "w", T=dtype)
    )


def rounded(model: ModelGraph, **values: object) -> np.ndarray:
    tensor = passes.apply(passes.make("round_weights", values), model).graph["w"].tensor
    assert tensor is not None
    return tensor.array


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("steps", [2, 16, 256])
def test_weights_take_the_middles_of_even_buckets(steps: int) -> None:
    values = normal(64, 32)
    after = rounded(dense(values), num_steps=steps)
    width = np.ptp(values.astype(np.float64)) / steps
    assert len(np.unique(after)) <= steps
    assert np.abs(after - values).max() <= width / 2 * (1 + 1e-5)
    places = (np.unique(after) - float(values.min())) / width - 0.5
    np.testing.assert_allclose(places, np.rint(places), atol=1e-3)


def test_zeros_stay_zero() -> None:
    values = normal(64, 32)
    values[values < 0.5] = 0
    after = rounded(dense(values), num_steps=16)
    assert (after[values == 0] == 0).all()
    assert len(np.unique(after)) <= 16


def test_small_constants_and_those_that_cant_be_rounded_are_left_alone() -> None:
    model = dense(normal(8, 8))
    assert passes.apply(passes.make("round_weights", {}), model).graph["w"] is model["w"]
    broken = normal(64, 32)
    broken[0] = np.nan
    for values, words in ((broken, "not finite"), (np.ones((64, 32)), "equal")):
        done = passes.apply(passes.make("round_weights", {}), dense(values))
        assert not done.changed
        assert words in done.notes[0]


@pytest.mark.parametrize("dtype", [DType.HALF, DType.DOUBLE])
def test_other_floating_point_types_keep_theirs(dtype: DType) -> None:
    after = rounded(dense(normal(64, 32), dtype), num_steps=8)
    assert after.dtype == dtype.numpy
    assert len(np.unique(after)) <= 8


def test_one_level_is_refused() -> None:
    with pytest.raises(PassError, match="num_steps"):
        passes.make("round_weights", {"num_steps": 1})


@given(graphs(), st.integers(2, 300))
def test_any_network(model: ModelGraph, steps: int) -> None:
    before = to_bytes(model)
    step = passes.make("round_weights", {"num_steps": steps, "minimum_size": 0})
    assert (
        passes.make("round_weights", {k: v for k, v in json.loads(json.dumps(step.to_json())).items() if k != "pass"})
        == step
    )
    done = passes.apply(step, model)
    assert to_bytes(model) == before
    assert to_bytes(passes.apply(step, model).graph) == to_bytes(done.graph)
    for old, new in zip(model.nodes, done.graph.nodes, strict=True):
        if old.tensor is not None and new.tensor is not None and new is not old:
            width = np.ptp(old.tensor.array) / steps
            assert len(np.unique(new.tensor.array)) <= steps
            assert np.abs(new.tensor.array - old.tensor.array).max() <= width


@pytest.mark.tensorflow
def test_rounded_models_compress_and_compute_nearly_the_same(shared_models: dict) -> None:
    model = read_graph(shared_models["emotion"])
    after = passes.apply(passes.make("round_weights", {}), model).graph
    assert len(zlib.compress(to_bytes(after))) < 0.5 * len(zlib.compress(to_bytes(model)))
    before, now = run_tf(model), run_tf(after)
    assert min(sqnr_db(before[name], now[name]) for name in model.outputs) > 15

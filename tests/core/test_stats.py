from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from compressor_gui.core import stats
from compressor_gui.core.values import DType, Tensor

floats = hnp.arrays(np.float32, st.integers(0, 60), elements=st.floats(width=32, allow_nan=True, allow_infinity=True))
halves = hnp.arrays(np.float16, st.integers(1, 60), elements=st.floats(width=16, allow_nan=False, allow_infinity=False))


def normal(size: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=size).astype(np.float32)


def test_summary_counts_and_measures() -> None:
    found = stats.summarize(np.array([[0.0, -2.0], [4.0, 2.0]], np.float32))
    assert (found.parameters, found.nonzero, found.not_finite) == (4, 3, 0)
    assert (found.minimum, found.maximum, found.mean) == (-2.0, 4.0, 1.0)
    assert found.std == pytest.approx(np.std([0, -2, 4, 2]))
    assert found.sparsity == 0.25


def test_summary_passes_over_what_is_not_finite() -> None:
    found = stats.summarize(np.array([np.nan, np.inf, 1.0, 3.0], np.float32))
    assert (found.not_finite, found.minimum, found.maximum, found.mean) == (2, 1.0, 3.0, 2.0)
    nothing = stats.summarize(np.array([np.nan], np.float32))
    assert (nothing.nonzero, nothing.minimum, nothing.std) == (1, 0.0, 0.0)


def test_summary_of_nothing_is_zero() -> None:
    found = stats.summarize(np.zeros((0, 3), np.float32))
    assert (found.parameters, found.sparsity, found.mean) == (0, 0.0, 0.0)


def test_summary_spans_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = normal(1000)
    whole = stats.summarize(values)
    monkeypatch.setattr(stats, "CHUNK", 7)
    assert stats.summarize(values).std == pytest.approx(whole.std)
    assert stats.Magnitudes.of(values).sparsity_at(0.5) == float(np.mean(np.abs(values) < 0.5))


def test_summary_is_remembered_with_its_tensor() -> None:
    tensor = Tensor.of(normal(10), DType.FLOAT)
    assert stats.summary(tensor) is stats.summary(tensor)
    gone = weakref.ref(tensor)
    del tensor
    gc.collect()
    assert gone() is None


@given(floats)
def test_histogram_counts_every_finite_value(values: np.ndarray) -> None:
    counts, edges = stats.histogram(values, 16)
    assert counts.sum() == np.isfinite(values).sum()
    assert len(edges) == 17
    assert (np.diff(edges) > 0).all()


def test_histogram_agrees_with_numpy() -> None:
    values = normal(5000)
    counts, edges = stats.histogram(values, 40)
    expected, _ = np.histogram(values.astype(np.float64), edges)
    assert np.abs(counts - expected).sum() <= 2  # a value on an edge may fall to either side


@given(halves)
def test_magnitudes_are_exact_for_values_that_float16_holds(values: np.ndarray) -> None:
    table = stats.Magnitudes.of(values)
    sizes = np.abs(values.astype(np.float32))
    for threshold in (*sizes, 0.0, 1.0, np.inf):
        assert table.sparsity_at(threshold) == np.mean((sizes < threshold) | (sizes == 0))


@given(floats, st.floats(0, 1))
def test_threshold_reaches_the_sparsity_asked_for(values: np.ndarray, sparsity: float) -> None:
    table = stats.Magnitudes.of(values)
    threshold = table.threshold_for(sparsity)
    reachable = np.isfinite(values).mean() if values.size else 0.0
    assert table.sparsity_at(threshold) * values.size >= np.floor(min(sparsity, reachable) * values.size)


def test_thresholds_of_many_weights_are_near_the_exact_ones() -> None:
    values = normal(100_000)
    table = stats.Magnitudes.of(values)
    exact = np.sort(np.abs(values))
    for sparsity in (0.1, 0.5, 0.9, 0.99):
        assert table.threshold_for(sparsity) == pytest.approx(exact[int(sparsity * values.size)], rel=2**-10)
    assert table.threshold_for(0) == 0
    assert table.sparsity_at(table.threshold_for(1)) == 1


def test_error_curve_is_that_of_pruning() -> None:
    values = normal(2000)
    squares = np.sort(np.square(values.astype(np.float64)))
    wanted = np.array([0.0, 0.25, 0.5, 0.9, 1.0])
    expected = [np.sqrt(squares[: int(s * 2000)].sum() / squares.sum()) for s in wanted]
    assert stats.Magnitudes.of(values).error_at(wanted) == pytest.approx(expected, abs=2e-3)


def test_curves_of_zeros_and_of_nothing_are_zero() -> None:
    for values in (np.zeros(5, np.float32), np.zeros(0, np.float32), np.array([np.nan], np.float32)):
        table = stats.Magnitudes.of(values)
        assert not table.error_at(np.array([0.0, 0.5, 1.0])).any()
        assert not table.quantization_errors().any()


def test_quantization_errors_grow_as_bits_go() -> None:
    errors = stats.quantization_errors(normal(20_000))
    assert (np.diff(errors) > 0).all()
    assert errors[0] < 0.02
    assert errors[-1] == pytest.approx(np.sqrt(1 - 2 / np.pi), abs=0.01)  # one bit: what mean|w| leaves of a normal


def test_quantization_errors_of_levels_that_fit_are_nothing() -> None:
    values = np.random.default_rng(0).integers(-7, 8, 500).astype(np.float32)
    assert stats.quantization_errors(values, (4,))[0] < 1e-6

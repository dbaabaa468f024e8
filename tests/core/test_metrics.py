from __future__ import annotations

import dataclasses
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core import metrics
from compressor_gui.core.compare import Comparison
from compressor_gui.core.jobs import EXACT_DB


def test_wilsons_interval_as_in_the_literature() -> None:
    # R. G. Newcombe, Statistics in Medicine 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    for hits, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert metrics.wilson_interval(hits, n) == pytest.approx((low, high), abs=5e-5)
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test(only_first: int, only_second: int) -> None:
    n, least = only_first + only_second, min(only_first, only_second)
    exact = min(1.0, 2 * sum(comb(n, k) for k in range(least + 1)) / 2**n)
    assert metrics.mcnemar_p(only_first, only_second) == pytest.approx(exact, rel=1e-9)


def test_mcnemar_of_many_examples_is_a_number() -> None:
    assert metrics.mcnemar_p(20_000, 20_000) == 1.0
    assert 0 < metrics.mcnemar_p(5_000, 5_400) < 1e-4
    assert metrics.mcnemar_p(0, 100_000) == 0.0


def test_ranks_and_top_k_agree_and_the_lower_class_wins_a_tie() -> None:
    scores = np.array([[0.1, 0.5, 0.5], [0.5, 0.1, 0.5], [np.nan, np.nan, np.nan], [np.nan, 0.2, 0.1]])
    assert metrics.top_k(scores, 2).tolist() == [[1, 2], [0, 2], [0, 1], [1, 2]]
    for label, expected in enumerate(([2, 0, 3, 3], [0, 2, 3, 0], [1, 1, 3, 1])):
        assert metrics.ranks(scores, np.full(4, label)).tolist() == expected


@given(st.integers(0, 10**6), st.integers(2, 9))
def test_the_rank_is_the_place_in_top_k(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    scores, labels = random.integers(0, 4, (20, classes)).astype(np.float32), random.integers(0, classes, 20)
    order = metrics.top_k(scores, classes)
    assert (order == labels[:, None]).argmax(axis=1).tolist() == metrics.ranks(scores, labels).tolist()


def test_cross_entropy_is_the_same_from_logits_and_probabilities() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (8, 5))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.arange(8) % 5
    from_logits = metrics.cross_entropy(logits, labels, probabilities=False)
    assert metrics.cross_entropy(softmax, labels, probabilities=True) == pytest.approx(from_logits, rel=1e-6)
    assert metrics.is_distribution(softmax)
    assert not metrics.is_distribution(logits)
    assert not metrics.is_distribution(softmax * np.nan)


def test_kl_divergence() -> None:
    p, q = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.25, 0.75], [1.0, 0.0]])
    assert metrics.kl_divergence(p, q) == pytest.approx([0.5 * np.log(2) + 0.5 * np.log(2 / 3), 0], abs=1e-9)
    assert np.isfinite(metrics.kl_divergence(p, p[:, ::-1])).all()  # a class of probability 0 that happens


def test_confusion_has_true_classes_in_rows() -> None:
    found = metrics.confusion(np.array([0, 0, 2]), np.array([0, 1, 1]), 3)
    assert found.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]


@given(st.integers(0, 10**6), st.integers(1, 11))
def test_batches_compare_as_the_whole_does(seed: int, batch: int) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=(12, 3, 5)).astype(np.float32)
    y = x + random.normal(0, 0.1, x.shape).astype(np.float32)
    whole, parts = Comparison("y"), Comparison("y")
    whole.add(x, y)
    for at in range(0, 12, batch):
        parts.add(x[at : at + batch], y[at : at + batch])
    assert parts.check.sqnr_db == pytest.approx(whole.check.sqnr_db, abs=1e-9)
    assert parts.check.argmax_agreement == whole.check.argmax_agreement
    noise = 10 * np.log10(np.sum(x.astype(np.float64) ** 2) / np.sum((x.astype(np.float64) - y) ** 2))
    assert whole.check.sqnr_db == pytest.approx(noise)


@given(st.integers(0, 10**6), st.integers(0, 12), st.sampled_from(("noise", "equal", "infinite", "shape")))
def test_comparisons_merged_are_one_run(seed: int, at: int, change: str) -> None:
    x = np.random.default_rng(seed).normal(size=(12, 5)).astype(np.float32)
    y = x if change == "equal" else x + np.float32(0.01) * x[::-1]
    if change == "infinite":
        y[seed % 12] = np.inf
    whole, parts = Comparison("y"), (Comparison("y"), Comparison("y"))
    for number, (a, b) in enumerate(zip(x, y, strict=True)):
        b = b[:4] if change == "shape" and number == seed % 12 else b
        whole.add(a[None], b[None])
        parts[number >= at].add(a[None], b[None])
    before = [part.check for part in parts]
    merged = parts[0].merge(parts[1]).check
    assert merged.sqnr_db == pytest.approx(whole.check.sqnr_db, abs=1e-9)
    assert dataclasses.replace(merged, sqnr_db=0.0) == dataclasses.replace(whole.check, sqnr_db=0.0)
    assert [part.check for part in parts] == before


def test_a_batch_of_another_shape_or_with_infinity_spoils_the_output() -> None:
    x = np.ones((2, 3), np.float32)
    for bad in (np.ones((2, 4), np.float32), np.full((2, 3), np.inf, np.float32)):
        found = Comparison("y")
        found.add(x, x)
        found.add(x, bad)
        assert (found.check.sqnr_db, found.check.finite, found.check.equal) == (-EXACT_DB, False, False)

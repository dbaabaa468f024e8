"""Criteria and masks against plain loops, and steps towards each kind of goal."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core import pruning
from compressor_gui.core.pruning import cubic, kept, moved, scores, surgery
from compressor_gui.core.pruning_plan import Plan, best_point, lacking, meets, wanted_density
from compressor_gui.core.training import CRITERIA, Goal, Point


def layers(seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [
        random.normal(0, s, shape).astype(np.float32) for s, shape in ((1, (20, 30)), (0.01, (3, 3, 4, 8)), (5, (7,)))
    ]


def total(masks: list[np.ndarray]) -> int:
    return sum(int(mask.sum()) for mask in masks)


# --- criteria --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", CRITERIA)
@given(count=st.integers(3, 895), seed=st.integers(0, 9))
def test_exactly_so_many_stay_and_they_have_the_best_scores(criterion: str, count: int, seed: int) -> None:
    weights = layers(seed)
    found = scores(criterion, weights, [np.ones_like(w) for w in weights], seed)
    masks = kept(found, count, per_layer=criterion in pruning.PER_LAYER)
    assert count <= total(masks) <= count + (len(masks) if criterion in pruning.PER_LAYER else 0)
    for score, mask in zip(found, masks, strict=True):
        assert score.shape == mask.shape
        assert mask.any()
        if not mask.all():
            assert score[mask].min() >= score[~mask].max()


def test_the_same_share_stays_in_each_layer_by_magnitude_and_the_largest_of_all_by_global() -> None:
    weights = layers()
    per_layer = kept(scores("magnitude", weights), 448, per_layer=True)
    assert [mask.mean() for mask in per_layer] == pytest.approx([0.5, 0.5, 0.5], abs=0.08)
    every = np.sort(np.concatenate([np.abs(w).ravel() for w in weights]))
    masks = kept(scores("global", weights), 300)
    assert total(masks) == 300
    assert min(np.abs(w[m]).min() for w, m in zip(weights, masks, strict=True) if m.sum() > 1) == every[-299]
    assert masks[1].sum() == 1  # its weights are the smallest of all, but a layer keeps one


def test_scaled_by_layer_is_lamp() -> None:
    weights = layers()
    for weight, score in zip(weights, scores("scaled", weights), strict=True):
        squares = weight.ravel().astype(np.float64) ** 2
        expected = [square / squares[squares >= square].sum() for square in squares]
        np.testing.assert_allclose(score.ravel(), expected, rtol=1e-5)


def test_sensitivity_is_one_quality_factor_for_all_layers() -> None:
    weights = layers()
    weights[0][:5] = 0
    masks = kept(scores("sensitivity", weights), 400)
    spread = [w[w != 0].std() for w in weights]
    quality = max((np.abs(w[~m]) / s).max() for w, m, s in zip(weights, masks, spread, strict=True))
    for weight, mask, deviation in zip(weights, masks, spread, strict=True):
        np.testing.assert_array_equal(mask, np.abs(weight) > quality * deviation)


def test_taylor_weighs_by_the_gradient_and_random_depends_on_the_seed_alone() -> None:
    weights = layers()
    gradients = [np.full_like(w, g) for w, g in zip(weights, (1, 1e6, 1), strict=True)]
    assert kept(scores("taylor", weights, gradients), 290)[1].all()
    one, same, other = (kept(scores("random", weights, seed=seed), 200) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_what_was_pruned_stays_pruned(criterion: str) -> None:
    weights = layers()
    masks = kept(scores("global", weights), 500)
    cut = [w * m for w, m in zip(weights, masks, strict=True)]
    again = kept(scores(criterion, cut, weights, 3), 200, per_layer=criterion in pruning.PER_LAYER)
    assert all(not (b & ~a).any() for a, b in zip(masks, again, strict=True)) or criterion == "magnitude"


# --- masks that change -----------------------------------------------------------------------------------------------


def test_surgery_changes_its_mind_only_away_from_the_threshold() -> None:
    found = [np.array([0.5, 0.95, 1.0, 1.05, 1.5, 2.0], np.float32)]
    for before in (True, False):
        masks = surgery(found, [np.full(6, before)], 4)  # the threshold is 1.0
        assert masks[0].tolist() == [False, before, before, before, True, True]


def test_rigl_keeps_the_number_in_each_layer_and_moves_to_the_largest_gradients() -> None:
    weights = [np.array([5, 4, 3, 2, 0, 0, 0, 0], np.float32)]
    masks = [weights[0] != 0]
    gradients = [np.array([0, 0, 0, 0, 1, 9, 2, -8], np.float32)]
    assert moved(weights, masks, gradients, 0.5)[0].tolist() == [True, True, False, False, False, True, False, True]
    assert moved(weights, masks, gradients, 0)[0].tolist() == masks[0].tolist()
    assert pruning.moved_share(0) == pytest.approx(0.3)
    assert pruning.moved_share(1) == pytest.approx(0)


def test_the_cubic_schedule_is_zhu_and_guptas() -> None:
    for progress in (0.0, 0.3, 1.0):
        sparsity = 0.9 + (0.1 - 0.9) * (1 - progress) ** 3
        assert cubic(0.9, 0.1, progress) == pytest.approx(1 - sparsity)
    assert cubic(0.9, 0.1, 2) == 0.1


# --- the plan --------------------------------------------------------------------------------------------------------


def point(nonzero: int, value: float = 0.99, meets: bool = False) -> Point:
    return Point(1, 1000, nonzero, nonzero * 8, value, {}, meets=meets)


def walk(goal: Goal, schedule: str = "iterative", steps: int = 0, end: float = 1 / 24) -> list[float]:
    """The densities of all steps, when each does as it is told."""
    points, densities = [point(1000)], []
    plan = Plan(goal, schedule, steps, lambda: end)
    while (following := plan.next(points)) is not None:
        assert following.start == len(points) - 1
        densities.append(following.density)
        points.append(point(round(1000 * following.density)))
    assert len(densities) == plan.expected(points)
    return densities


def test_each_step_keeps_the_same_share_and_the_last_is_the_goal() -> None:
    assert walk(Goal(ratio=24)) == pytest.approx([24**-0.5, 1 / 24])
    assert walk(Goal(ratio=24), steps=3) == pytest.approx([24 ** (-1 / 3), 24 ** (-2 / 3), 1 / 24])
    assert walk(Goal(ratio=24), "cubic") == walk(Goal(ratio=24), "one_shot") == [1 / 24]
    assert walk(Goal(ratio=5), end=0.2) == [0.2]
    assert walk(Goal(ratio=1), end=1.0) == []


def test_a_wanted_accuracy_is_probed_until_it_is_lost_and_once_between() -> None:
    plan = Plan(Goal(max_drop=0.01), "iterative", 0, lambda: math.nan)
    points = [point(1000, meets=True)]
    tried = []
    while (following := plan.next(points)) is not None:
        tried.append((round(1 / following.density, 2), following.start))
        nonzero = round(1000 * following.density)
        points.append(point(nonzero, 0.99 if nonzero > 100 else 0.5, meets=nonzero > 100))
    assert tried == [(3.0, 0), (4.5, 1), (6.76, 2), (10.14, 3), (8.26, 3)]
    assert points[best_point(plan.goal, points)].nonzero == 121


def test_a_goal_is_met_or_what_is_lacking_is_said() -> None:
    for goal, good, bad in (
        (Goal(ratio=24), 41, 42),
        (Goal(sparsity=0.9), 100, 101),
        (Goal(bytes=800), 100, 101),
    ):
        assert meets(goal, point(good), 0.99)
        assert not meets(goal, point(bad), 0.99)
        assert lacking(goal, [point(1000), point(bad)], 1)
        assert not lacking(goal, [point(1000), point(good, meets=True)], 1)
    assert meets(Goal(max_drop=0.01), point(5, 0.98), 0.99)
    assert not meets(Goal(max_drop=0.01), point(5, 0.97), 0.99)
    words = lacking(Goal(max_drop=0.01), [point(1000, meets=True), point(100, 0.9), point(50, 0.8)], 0)
    assert words == "every point lost more than 1.0 %: the best, 10x, lost 9.0 %"


def test_the_point_that_is_given_back() -> None:
    points = [point(1000), point(40, 0.97, True), point(30, 0.98, True), point(20, 0.9, True)]
    assert best_point(Goal(ratio=24), points) == 2
    assert best_point(Goal(ratio=24), points, lower=True) == 3
    assert best_point(Goal(max_drop=0.1), points) == 3
    assert best_point(Goal(ratio=100), [replace(p, meets=False) for p in points]) == 3


def test_the_density_for_each_goal() -> None:
    def never(_: int) -> bool:
        raise AssertionError

    assert wanted_density(Goal(ratio=24), 1000, never) == 0.041
    assert wanted_density(Goal(sparsity=0.9), 1000, never) == 0.1
    assert wanted_density(Goal(bytes=800), 1000, lambda count: count * 8 <= 800) == 0.1
    assert wanted_density(Goal(bytes=1 << 20), 1000, lambda count: True) == 1.0

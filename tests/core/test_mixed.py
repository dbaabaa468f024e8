from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.mixed import CLOSE, Option, Path, chosen, decibel, detour, estimates, next_point, pareto, share

Options = Mapping[str, Sequence[Option]]


@st.composite
def options(draw: st.DrawFn) -> Options:
    """Layers that are smaller and noisier the fewer their bits, as real ones mostly are."""
    found = {}
    for number in range(draw(st.integers(1, 5))):
        count, noise = draw(st.integers(10, 10_000)), draw(st.floats(1e-9, 1e-2))
        found[f"layer{number}"] = [Option(32, 4 * count, 0.0)] + [
            Option(bits, count * bits // 8 + 3, noise * draw(st.floats(0.5, 2)) * 4.0 ** (8 - bits))
            for bits in draw(st.lists(st.integers(2, 8), min_size=1, max_size=4, unique=True))
        ]
    return found


def test_a_path_by_hand() -> None:
    path = pareto(
        {
            "a": [Option(32, 400, 0.0), Option(8, 100, 0.001), Option(4, 50, 0.1)],
            "b": [Option(32, 80, 0.0), Option(16, 40, 0.0), Option(8, 20, 0.01)],
        },
        fixed=1000,
    )
    assert path.start == {"a": 32, "b": 16}  # 16 bits cost nothing
    assert path.steps == (("a", 8), ("b", 8), ("a", 4))
    assert path.costs == (1440, 1140, 1120, 1070)
    assert path.noises == pytest.approx((0, 0.001, 0.011, 0.11))
    assert path.bits(2) == {"a": 8, "b": 8}


def test_options_that_cost_more_or_lie_above_the_hull_are_passed_over() -> None:
    path = pareto({"a": [Option(32, 100, 0.0), Option(8, 110, 0.01), Option(4, 60, 0.5), Option(2, 50, 0.5)]})
    assert path.steps == (("a", 2),)


@given(options())
def test_along_the_path_costs_fall_and_noise_rises(layers: Options) -> None:
    path = pareto(layers)
    assert all(after < before for before, after in pairwise(path.costs))
    assert all(after >= before for before, after in pairwise(path.noises))
    for at in range(len(path)):
        taken = [next(o for o in layers[name] if o.bits == bits) for name, bits in path.bits(at).items()]
        assert sum(option.cost for option in taken) == path.costs[at]
        assert sum(option.noise for option in taken) <= path.noises[at] * (1 + 1e-9) + 1e-12


@given(options())
def test_no_assignment_is_better_in_both(layers: Options) -> None:
    path = pareto(layers)
    for taken in product(*layers.values()):
        cost, noise = sum(option.cost for option in taken), sum(option.noise for option in taken)
        for at in range(len(path)):
            assert not (cost < path.costs[at] and noise < path.noises[at] * (1 - 1e-9) - 1e-15)


def search(path: Path, true: Sequence[float], target: float, baseline: float | None = None) -> dict[int, float]:
    measured: dict[int, float] = {}
    while (at := next_point(path, measured, target, baseline)) is not None:
        assert at not in measured
        measured[at] = true[at]
    return measured


@given(options(), st.floats(0, 60))
def test_where_estimates_are_exact_the_target_is_met_at_once(layers: Options, target: float) -> None:
    path = pareto(layers)
    true = [decibel(noise) for noise in path.noises]
    measured = search(path, true, target)
    at, met = chosen(measured, target)
    best = max((i for i, value in enumerate(true) if value >= target), default=0)
    assert met == (true[0] >= target)
    assert path.costs[at] - path.costs[best] <= CLOSE * path.costs[at]
    assert len(measured) <= 2


@given(options(), st.floats(0, 60), st.lists(st.floats(-10, 10), min_size=30, max_size=30), st.booleans())
def test_where_estimates_are_wrong_what_is_chosen_was_measured(
    layers: Options, target: float, errors: list[float], as_top1: bool
) -> None:
    path = pareto(layers)
    true = [decibel(noise) + error for noise, error in zip(path.noises, errors, strict=False)]
    if as_top1:
        true, target = [max(0.0, min(1.0, value / 40)) for value in true], target / 60
    measured = search(path, true, target, 1.0 if as_top1 else None)
    at, met = chosen(measured, target)
    assert measured[at] == true[at]
    assert met == (true[at] >= target)
    assert len(measured) <= 4 + len(path).bit_length()
    if met and at + 1 < len(path):
        worse = min((i for i in measured if i > at), default=len(path))
        assert path.costs[at] - path.costs[worse - 1] <= CLOSE * path.costs[at]


def test_estimates_go_through_what_was_measured() -> None:
    path = Path({"a": 32}, (("a", 8), ("a", 4), ("a", 2)), (40, 30, 20, 10), (0.0, 0.001, 0.01, 0.1))
    assert estimates(path, {}, None) == pytest.approx((EXACT_DB, 30, 20, 10))
    assert estimates(path, {2: 17.0}, None) == pytest.approx((EXACT_DB, 27, 17, 7))
    assert estimates(path, {1: 31.0, 3: 5.0}, None) == pytest.approx((EXACT_DB, 31, 18, 5))
    assert estimates(path, {}, 0.9) == pytest.approx((0.9, 0.9, 0.9, 0))
    assert estimates(path, {1: 0.9, 3: 0.5}, 0.9) == pytest.approx((0.9, 0.9, 0.7, 0.5))


def test_a_target_that_no_point_meets() -> None:
    path = Path({"a": 8}, (("a", 4),), (20, 10), (0.01, 0.1))
    measured = search(path, [19.0, 9.0], 25.0)
    assert chosen(measured, 25.0) == (0, False)


def test_where_a_step_is_too_much_other_layers_go_on() -> None:
    path = Path({"a": 32, "b": 32}, (("a", 8), ("a", 4), ("b", 8)), (100, 70, 40, 20), (0.0, 0.001, 0.1, 0.102))
    other = detour(path, {1: 30.0, 2: 10.0}, 25.0)
    assert other is not None
    assert other.steps == (("a", 8), ("b", 8))
    assert other.costs == (100, 70, 50)
    assert other.noises == pytest.approx((0, 0.001, 0.003))
    assert detour(other, {1: 30.0, 2: 26.0}, 25.0) is None  # the end is reached
    assert detour(path, {2: 30.0, 3: 10.0}, 25.0) is None  # nobody else could go on
    assert detour(path, {0: 20.0}, 25.0) is None


@given(options(), st.integers(0, 30))
def test_a_detour_is_a_path(layers: Options, step: int) -> None:
    path = pareto(layers)
    if step < len(path.steps):
        other = path.leaving_out(step)
        assert other.bits(step) == path.bits(step)
        for at in range(len(other)):
            taken = [next(o for o in layers[name] if o.bits == bits) for name, bits in other.bits(at).items()]
            assert sum(option.cost for option in taken) == other.costs[at]
        assert all(after < before for before, after in pairwise(other.costs))


def test_decibels_there_and_back() -> None:
    assert decibel(0.001) == pytest.approx(30)
    assert share(decibel(0.25)) == pytest.approx(0.25)
    assert decibel(0.0) == EXACT_DB
    assert share(EXACT_DB) == 0

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import METHODS, RangeHistogram
from compressor_gui.core.passes import apply
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.ranges import BINS, Collector, choose_range, choose_ranges, plan_calibration, with_ranges
from compressor_gui.core.recipe import Recipe, Replayer, Step
from tests.support import batch_norm_net, conv_net, graph, node, placeholder


def collected(*batches: np.ndarray) -> RangeHistogram:
    collector = Collector()
    for batch in batches:
        collector.add(batch)
    return collector.histogram()


def normal(size: int = 100_000, outliers: int = 0, at: float = 100.0) -> np.ndarray:
    values = np.random.default_rng(3).normal(size=size).astype(np.float32)
    return np.concatenate([values, np.full(outliers, at, np.float32)])


def squared_error(values: np.ndarray, low: float, high: float) -> float:
    """Of storing the values in 256 even codes from low to high."""
    step = (high - low) / 255
    return float(np.mean((values - (np.rint((np.clip(values, low, high) - low) / step) * step + low)) ** 2))


# --- counting --------------------------------------------------------------------------------------------------------

batches = st.lists(
    st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20).map(
        lambda v: np.asarray(v, np.float32)
    ),
    min_size=1,
    max_size=5,
)


@given(batches)
def test_every_value_is_counted_within_exact_ends(batches: list[np.ndarray]) -> None:
    found, every = collected(*batches), np.concatenate(batches)
    assert sum(found.counts) == every.size
    assert len(found.counts) == BINS
    assert min(found.counts) >= 0
    assert (found.low, found.high) == (min(float(every.min()), 0.0), max(float(every.max()), 0.0))
    assert found.mean_low == pytest.approx(np.mean([float(b.min()) for b in batches]), rel=1e-6)


@given(batches)
def test_the_order_of_widening_moves_no_value_further_than_a_bin(batches: list[np.ndarray]) -> None:
    found, every = collected(*batches), np.sort(np.concatenate(batches).astype(np.float64))
    if found.low == found.high:
        return
    width = (found.high - found.low) / BINS
    placed = np.repeat(found.low + (np.arange(BINS) + 0.5) * width, found.counts)
    assert np.abs(placed - every).max() <= 1.6 * width


@given(batches, st.integers(0, 5))
def test_parts_merged_are_one_run_exactly(batches: list[np.ndarray], at: int) -> None:
    parts = Collector(), Collector()
    for number, batch in enumerate(batches):
        parts[number >= at].add(batch)
    if 0 < at < len(batches):
        before = [part.histogram() for part in parts]
    for merged in (parts[0].merge(parts[1]), parts[1].merge(parts[0])):
        one, both = collected(*batches), merged.histogram()
        assert (both.low, both.high, both.counts) == (one.low, one.high, one.counts)
        assert both.mean_low == pytest.approx(one.mean_low, rel=1e-12)
        assert both.mean_high == pytest.approx(one.mean_high, rel=1e-12)
    if 0 < at < len(batches):
        assert [part.histogram() for part in parts] == before


@given(batches)
def test_how_values_come_in_batches_does_not_move_them(batches: list[np.ndarray]) -> None:
    assert collected(*batches).counts == collected(np.concatenate(batches)).counts


def test_the_histogram_is_numpys_own_but_for_the_borders_of_bins() -> None:
    values = normal()
    found = collected(*np.array_split(values, 7))
    counts, _ = np.histogram(values, BINS, (found.low, found.high))
    assert np.abs(np.cumsum(found.counts) - np.cumsum(counts)).max() < values.size * 1e-3


def test_zeros_before_values_stay_at_zero() -> None:
    found = collected(np.zeros(100), np.array([-1.0, 3.0]))
    assert found.counts[BINS // 4] + found.counts[BINS // 4 - 1] == 100
    assert collected(np.zeros(5), np.array([4.0])).counts[0] == 5
    with pytest.raises(ValueError, match="nothing"):
        Collector().histogram()


# --- choosing --------------------------------------------------------------------------------------------------------


def test_minmax_and_moving_average() -> None:
    found = collected(np.array([-1.0, 5.0]), np.array([-3.0, 1.0]))
    assert choose_range(found, "minmax") == (-3.0, 5.0)
    assert choose_range(found, "moving_average") == (-2.0, 3.0)


def test_the_percentile_is_numpys() -> None:
    values = normal()
    low, high = choose_range(collected(values), "percentile", 99.0)
    width = float(values.max() - values.min()) / BINS
    assert low == pytest.approx(np.quantile(values, 0.01), abs=2 * width)
    assert high == pytest.approx(np.quantile(values, 0.99), abs=2 * width)
    assert choose_range(collected(values), "percentile", 100.0) == (float(values.min()), float(values.max()))


def test_mse_finds_the_least_error_of_all_cuts() -> None:
    values = normal(20_000, outliers=2)
    low, high = choose_range(collected(values), "mse")
    highs = [*np.linspace(2, 20, 91), float(values.max())]
    best = min(squared_error(values, a, b) for a in np.linspace(-6, -2, 41) for b in highs)
    assert squared_error(values, low, high) <= best * 1.02


@pytest.mark.parametrize("method", ["percentile", "kl"])
def test_an_outlier_does_not_decide_the_range(method: str) -> None:
    low, high = choose_range(collected(normal(outliers=3, at=40.0)), method)
    assert 3 < high < 20
    assert -6 < low < -2.5


def test_kl_keeps_a_distribution_without_tails() -> None:
    """Of even values nothing can be cut without changing the distribution."""
    values = np.random.default_rng(0).uniform(0, 1, 200_000)
    assert choose_range(collected(values), "kl") == pytest.approx((0, values.max()), abs=0.02)


@pytest.mark.parametrize("method", METHODS)
@given(batches=batches)
def test_every_range_includes_zero_and_suits_the_pass(method: str, batches: list[np.ndarray]) -> None:
    low, high = choose_range(collected(*batches), method)
    assert low <= 0 <= high
    assert low < high
    FreezeRequantizationRanges((("a", (low, high)),))


def test_a_method_that_is_not_there() -> None:
    with pytest.raises(CompressorError, match=r"no method 'best'.*minmax, moving_average"):
        choose_range(collected(np.ones(1)), "best")


# --- what is measured ------------------------------------------------------------------------------------------------


def test_the_plan_measures_the_float_graph_in_front_of_quantize_nodes() -> None:
    source = batch_norm_net()
    recipe = Recipe.of(Prune(sparsity=0.5), FoldBatchNorms(), QuantizeNodes())
    plan = plan_calibration(source, recipe)
    replay = Replayer(source).replay(recipe)
    assert [n.name for n in plan.graph.nodes] == [n.name for n in replay.stages[1].after.nodes]
    assert set(plan.tensors) == {n.name for n in replay.graph.nodes if n.op == "RequantizationRange"}
    for name, (tensor,) in plan.tensors.items():
        assert f"{tensor.removesuffix(':0')}_eightbit_requant_range" == name
        assert tensor.removesuffix(":0") in plan.graph
    assert not plan.notes


def test_a_recipe_without_quantize_nodes_is_completed() -> None:
    plan = plan_calibration(conv_net(), Recipe.of(Prune(sparsity=0.5)))
    assert [step.transform.name for step in plan.recipe.steps] == ["prune", "quantize_nodes"]
    assert plan.notes == ("The recipe does not quantize layers: quantize_nodes was added at its end.",)


def test_stored_ranges_leave_no_range_node_and_take_the_place_of_others() -> None:
    source = conv_net()
    plan = plan_calibration(source, Recipe.of(Prune(sparsity=0.5), QuantizeNodes()))
    ranges = choose_ranges(dict.fromkeys(plan.tensors, collected(normal())), "minmax")
    recipe = with_ranges(plan.recipe, ranges)
    replay = Replayer(source).replay(recipe)
    assert not any(node.op == "RequantizationRange" for node in replay.graph.nodes)
    assert not replay.stages[-1].result.notes
    again = plan_calibration(source, recipe)
    assert again.tensors == plan.tensors
    assert with_ranges(again.recipe, ranges) == recipe


def test_a_step_that_is_switched_off_does_not_count() -> None:
    recipe = Recipe((Step(QuantizeNodes(), enabled=False),))
    assert len(plan_calibration(conv_net(), recipe).recipe.active) == 1


def test_a_graph_in_8_bits_is_measured_where_it_is_requantized() -> None:
    made = apply(QuantizeNodes(), conv_net()).graph
    plan = plan_calibration(made, Recipe())
    assert all(len(tensors) == 3 for tensors in plan.tensors.values())
    ranges = dict.fromkeys(plan.tensors, (-1.0, 1.0))
    frozen = Replayer(made).replay(with_ranges(plan.recipe, ranges))
    assert not any(node.op == "RequantizationRange" for node in frozen.graph.nodes)
    with pytest.raises(CompressorError, match="its ranges are stored already"):
        plan_calibration(frozen.graph, Recipe())


def test_nothing_to_measure_is_said_in_a_sentence() -> None:
    with pytest.raises(CompressorError, match="no activation of this model is requantized"):
        plan_calibration(graph(placeholder("x", (-1, 4)), node("y", "Sigmoid", "x")), Recipe())
    with pytest.raises(CompressorError, match="take its fallback range away"):
        plan_calibration(conv_net(), Recipe.of(QuantizeNodes(fallback_min=-1.0, fallback_max=1.0)))

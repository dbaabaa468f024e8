from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import find_layers
from compressor_gui.core.measure import LayerCurve, SensitivityResult
from compressor_gui.core.passes import apply
from compressor_gui.core.pbio import to_bytes
from compressor_gui.core.sizes import sparse_size
from compressor_gui.core.suggest import Suggestion, Target, suggest
from tests.support import Net

AT = (0.0, 0.5, 0.9)


def model(*units: int) -> ModelGraph:
    """Dense layers ``dense``, ``dense_1``, ...; the first reads 20 features."""
    net = Net((1, 20))
    for count in units:
        net.dense(count)
    return net.build()


def result(metric: str, baseline: float, *values: tuple[float, ...], at: tuple[float, ...] = AT) -> SensitivityResult:
    names = ["dense", *(f"dense_{number}" for number in range(1, len(values)))]
    curves = tuple(LayerCurve(name, at, value) for name, value in zip(names, values, strict=True))
    return SensitivityResult(metric, baseline, 0, curves)


def asked(graph: ModelGraph, curves: SensitivityResult, **target: float) -> Suggestion:
    return suggest(graph, curves, Target(**target), len(to_bytes(graph)))  # type: ignore[arg-type]


TWO = model(20, 20)  # 400 weights each
ONE_IS_HARDY = result("top1", 0.9, (0.9, 0.9, 0.85), (0.9, 0.7, 0.1))


def test_the_hardy_layer_goes_first() -> None:
    found = asked(TWO, ONE_IS_HARDY, sparsity=0.45)
    assert found.layers == {"dense": 0.9}
    assert found.predicted == pytest.approx(0.85)
    assert found.sparsity == pytest.approx(0.45)


def test_no_more_is_pruned_than_needed() -> None:
    assert asked(TWO, ONE_IS_HARDY, sparsity=0.2).layers == {"dense": 0.4}
    found = asked(TWO, ONE_IS_HARDY, sparsity=0.5)
    assert found.layers == {"dense": 0.9, "dense_1": 0.1}
    assert found.sparsity == pytest.approx(0.5)
    assert found.predicted == pytest.approx(0.9 - 0.05 - 0.2 * 0.1 / 0.5)  # between the points around 10 %
    assert asked(TWO, ONE_IS_HARDY, sparsity=0.0).layers == {}


def test_a_drop_is_used_up_but_not_passed() -> None:
    free = asked(TWO, ONE_IS_HARDY, max_drop=0.0)
    assert free.layers == {"dense": 0.5}
    assert free.predicted == 0.9
    assert asked(TWO, ONE_IS_HARDY, max_drop=0.06).layers == {"dense": 0.9}
    assert asked(TWO, ONE_IS_HARDY, max_drop=0.26).layers == {"dense": 0.9, "dense_1": 0.5}


def test_noise_adds_up_as_power() -> None:
    curves = result("sqnr_db", 999.0, (999.0, 30.0, 0.0), (999.0, 30.0, 0.0))
    found = asked(TWO, curves, min_sqnr_db=26.0)
    assert found.layers == {"dense": 0.5, "dense_1": 0.5}
    assert found.predicted == pytest.approx(30 - 10 * math.log10(2))
    assert len(asked(TWO, curves, min_sqnr_db=28.0).layers) == 1


def test_a_file_size_is_met_as_the_pass_makes_it() -> None:
    size = len(to_bytes(TWO))
    wanted = size - 700
    found = asked(TWO, ONE_IS_HARDY, bytes=wanted)
    pruned = apply(found.step, TWO).graph
    real = sparse_size(size, ((layer, layer.nonzero) for layer in find_layers(pruned)))
    assert real == found.bytes <= wanted


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"sparsity": 0.95}, r"90\.0 % of all weights are zero, 5\.0 % too few"),
        ({"bytes": 100}, r"the file still has .* too many"),
    ],
)
def test_a_target_that_can_not_be_met_says_what_lacks(target: dict[str, float], words: str) -> None:
    with pytest.raises(CompressorError, match=words):
        asked(TWO, ONE_IS_HARDY, **target)


def test_a_loss_below_every_step_is_said() -> None:
    curves = result("top1", 0.9, (0.9, 0.5, 0.1))
    with pytest.raises(CompressorError, match=r"dense at 50\.0 % leaves 50\.0 %"):
        asked(model(20), curves, max_drop=0.1)


def test_targets_must_fit_the_curves() -> None:
    db = result("sqnr_db", 999.0, (999.0, 30.0, 0.0))
    with pytest.raises(CompressorError, match="has no drop"):
        asked(model(20), db, max_drop=0.1)
    with pytest.raises(CompressorError, match="not SQNR"):
        asked(TWO, ONE_IS_HARDY, min_sqnr_db=20)
    with pytest.raises(CompressorError, match="exactly one"):
        Target(sparsity=0.5, bytes=7)
    with pytest.raises(CompressorError, match="'dense_1', which the graph lacks"):
        asked(model(20), ONE_IS_HARDY, sparsity=0.5)


def test_weights_that_are_zero_already_count() -> None:
    sparse = apply(Suggestion({"dense": 0.5}, "top1", 0, 0, 0, 0).step, TWO).graph
    assert asked(sparse, ONE_IS_HARDY, sparsity=0.25).layers == {}
    assert asked(sparse, ONE_IS_HARDY, sparsity=0.3).layers == {"dense": 0.6}


drops = st.lists(st.floats(0, 0.3), min_size=2, max_size=2).map(np.cumsum).map(lambda d: (0.9, *(0.9 - d)))


@given(st.lists(drops, min_size=1, max_size=3), st.floats(0, 0.9))
def test_what_is_suggested_meets_the_target(values: list[tuple[float, ...]], sparsity: float) -> None:
    """And no cheaper choice that is on all hulls gets as far."""
    graph = model(*[20] * len(values))
    curves = result("top1", 0.9, *values)
    found = asked(graph, curves, sparsity=sparsity)
    pruned = apply(found.step, graph).graph
    zeros = sum(layer.parameters - layer.nonzero for layer in find_layers(pruned))
    assert zeros / sum(layer.parameters for layer in find_layers(graph)) == pytest.approx(found.sparsity)
    assert sparsity - 1e-9 <= found.sparsity <= sparsity + 1 / 400  # a weight of the one layer is that much
    loss = 0.9 - found.predicted
    for picks in itertools.product(range(3), repeat=len(values)):
        reached = float(np.mean([AT[pick] for pick in picks]))
        other = sum(0.9 - value[pick] for value, pick in zip(values, picks, strict=True))
        if reached >= found.sparsity + 1e-9 and other < min(loss, 0.9) - 1e-9:  # farther, and cheaper
            pytest.fail(f"{picks} reaches {reached} for {other}, the suggestion {found.sparsity} for {loss}")

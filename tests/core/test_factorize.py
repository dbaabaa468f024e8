from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor_gui.core.edit import Edit
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import find_layers
from compressor_gui.core.low_rank import LowRank, Spectrum
from compressor_gui.core.passes.factorize import Factorize, candidates, unfit
from compressor_gui.core.values import DType, Tensor
from tests.support import (
    Net,
    applied,
    assert_same_numbers,
    const,
    graph,
    graphs,
    node,
    placeholder,
    real_model,
)


def array(model: ModelGraph, name: str) -> np.ndarray:
    tensor = model[name].tensor
    assert tensor is not None
    return tensor.array


@pytest.mark.parametrize("shape", [(12, 7), (7, 12), (5, 5)])
def test_every_rank_s_error_is_that_of_its_factors(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    whole, found = LowRank.of(matrix), Spectrum.of(matrix)
    np.testing.assert_allclose(whole.spectrum.values, found.values, rtol=1e-6)
    np.testing.assert_allclose(found.values, np.linalg.svd(matrix.astype(np.float64), compute_uv=False), rtol=1e-6)
    for rank in range(1, min(shape) + 1):
        left, right = whole.factors(rank)
        error = np.linalg.norm(matrix - left @ right) / np.linalg.norm(matrix)
        assert error == pytest.approx(found.errors[rank], abs=1e-6)
        assert found.energy[rank] == pytest.approx(1 - error**2, abs=1e-6)
        assert found.rank_for(found.errors[rank]) == rank
    assert found.errors[0] == 1


def test_zeros_have_rank_one() -> None:
    found = LowRank.of(np.zeros((4, 3), np.float32))
    assert found.spectrum.rank_for(0.1) == 1
    assert not found.factors(1)[0].any()


def test_the_second_layer_keeps_the_name_and_the_first_the_window() -> None:
    before = Net((1, 8, 8, 3)).conv(16, stride=2).bias().then("Relu").build()
    done = applied(Factorize(ranks=(("conv", 4),)), before)
    after = done.graph
    assert after["conv_first"].inputs == ("input", "conv/weights_first")
    assert after["conv_first"].ints("strides") == (1, 2, 2, 1)
    assert after["conv"].inputs == ("conv_first", "conv/weights_second")
    assert (after["conv"].ints("strides"), after["conv"].text("padding")) == ((1, 1, 1, 1), "VALID")
    assert array(after, "conv/weights_first").shape == (3, 3, 3, 4)
    assert array(after, "conv/weights_second").shape == (1, 1, 4, 16)
    assert "conv/weights" not in after
    product = array(after, "conv/weights_first").reshape(27, 4) @ array(after, "conv/weights_second").reshape(4, 16)
    exact = np.linalg.svd(array(before, "conv/weights").reshape(27, 16))
    best = (exact[0][:, :4] * exact[1][:4]) @ exact[2][:4]
    np.testing.assert_allclose(product, best, atol=1e-5)


def _low_rank(turned: bool) -> ModelGraph:
    random = np.random.default_rng(1)
    weights = (random.normal(size=(40, 3)) @ random.normal(size=(3, 30))).astype(np.float32)
    return graph(
        placeholder("x", (2, 40)),
        const("w", weights.T if turned else weights),
        node("y", "MatMul", "x", "w", transpose_a=False, transpose_b=turned),
    )


@pytest.mark.tensorflow
@pytest.mark.parametrize("turned", [False, True])
def test_weights_of_low_rank_are_found_and_compute_the_same(turned: bool) -> None:
    before = _low_rank(turned)
    after = applied(Factorize(error=1e-4), before).graph
    assert array(after, "w_first").shape == (40, 3)
    assert_same_numbers(before, after, tolerance=1e-5)


@pytest.mark.tensorflow
@settings(max_examples=10, deadline=None)
@given(graphs(), st.floats(0.0, 0.9))
def test_any_network_still_runs(model: ModelGraph, error: float) -> None:
    """Two layers of the highest rank that is worth it compute what one with the product of their weights does."""
    ranks = tuple((found.layer.name, found.worth - 1) for found in candidates(model) if found.worth > 1)
    if ranks:
        after = applied(Factorize(ranks=ranks), model).graph
        edit = Edit(model)
        for found in candidates(model):
            if found.worth > 1:
                left, right = found.factors(found.worth - 1)
                product = (left @ right).reshape(found.layer.tensor.array.shape)
                edit.replace(model[found.layer.weight].with_(attrs={"value": Tensor(DType.FLOAT, product)}))
        assert_same_numbers(edit.finish(), after, tolerance=1e-4)
    applied(Factorize(error=error), model)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["gear", "liveness"])
def test_real_models(name: str) -> None:
    """2 % of the weights cost at most a fifth of an output's range; at 30 % the file is smaller."""
    model = real_model(name)
    exact = applied(Factorize(error=0.02), model).graph
    assert_same_numbers(model, exact, tolerance=0.2)
    small = applied(Factorize(error=0.3), model).graph
    sizes = [sum(n.tensor.nbytes for n in g.nodes if n.tensor is not None) for g in (model, small)]
    assert sizes[1] < sizes[0]


def test_what_would_grow_is_left_alone() -> None:
    model = Net().conv(16).build()
    done = applied(Factorize(error=0.0), model)
    assert not done.changed
    assert done.notes == ("Left alone, as two factors would not be smaller: conv (rank 16 of 16).",)


def test_energy_is_the_error_s_other_name() -> None:
    model = Net((1, 64)).dense(48).build()
    by_error, by_energy = (applied(step, model).graph for step in (Factorize(error=0.8), Factorize(energy=0.36)))
    assert array(by_error, "dense/weights_first").shape == array(by_energy, "dense/weights_first").shape
    (found,) = candidates(model)
    rank = array(by_error, "dense/weights_first").shape[1]
    assert found.spectrum.energy[rank] >= 0.36 > found.spectrum.energy[rank - 1]
    assert found.share(found.worth - 1) < 1 <= found.share(found.worth)


def test_shared_weights_and_depthwise_layers_are_no_candidates() -> None:
    net = Net((1, 8, 8, 16)).conv(16, kernel=1).depthwise().dense(4)
    net.add(node("twice", "Neg", "conv/weights"))
    model = net.build(outputs=[net.top, "twice"])
    assert [found.layer.name for found in candidates(model)] == ["dense"]
    reasons = {layer.name: unfit(model, layer) for layer in find_layers(model)}
    assert reasons == {
        "conv": "something else reads its weights too",
        "depthwise": "DepthwiseConv2dNative is not the product with one matrix",
        "dense": "",
    }
    done = applied(Factorize(ranks=(("depthwise", 1),)), model)
    assert done.notes == ("Left alone, not a MatMul or Conv2D with float weights of its own: depthwise/weights.",)


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (Factorize(), "no layer is to be split"),
        (Factorize(error=0.1, energy=0.9), "both an error and an energy are given"),
        (Factorize(error=0.1, skip=("nope",)), "there is no layer 'nope'"),
        (Factorize(ranks=(("densee", 3),)), "there is no layer 'densee'"),
    ],
)
def test_bad_requests(transform: Factorize, words: str) -> None:
    with pytest.raises(PassError, match=words):
        transform.run(Net((1, 4)).dense(3).build())


def test_half_weights_stay_half() -> None:
    model = graph(
        placeholder("x", (2, 8), DType.HALF),
        const("w", np.ones((8, 8)), DType.HALF),
        node("y", "MatMul", "x", "w", T=DType.HALF, transpose_a=False, transpose_b=False),
    )
    after = applied(Factorize(error=0.1), model).graph
    assert array(after, "w_second").dtype == np.float16

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes import Pass
from compressor_gui.core.passes.prune_patterns import PruneBlocks, PruneNOfM
from tests.support import Net, applied, const, graph, graphs, node, placeholder, real_model, run_tf


def array(model: ModelGraph, name: str) -> np.ndarray:
    tensor = model[name].tensor
    assert tensor is not None
    return tensor.array


def dense(weights: object, turned: bool = False) -> ModelGraph:
    values = np.asarray(weights, np.float32)
    return graph(
        placeholder("x", (1, values.shape[1 if turned else 0])),
        const("w", values),
        node("y", "MatMul", "x", "w", transpose_a=False, transpose_b=turned),
    )


@pytest.mark.parametrize("turned", [False, True])
def test_two_of_four_along_the_inputs(turned: bool) -> None:
    weights = np.array([[1, -9], [-3, 2], [2, 2], [4, 2], [0, 1], [0, 0], [1, 7], [0, -8]])
    wanted = np.array([[0, -9], [-3, 2], [0, 0], [4, 0], [0, 0], [0, 0], [1, 7], [0, -8]])
    after = applied(PruneNOfM(), dense(weights.T if turned else weights, turned)).graph
    np.testing.assert_array_equal(array(after, "w"), wanted.T if turned else wanted)


def test_the_largest_stay_in_every_group_of_a_convolution() -> None:
    before = Net((1, 8, 8, 8)).conv(3).build()
    weights = array(before, "conv/weights")
    after = array(applied(PruneNOfM(n=1, m=4), before).graph, "conv/weights")
    groups, old = after.reshape(9, 2, 4, 3), np.abs(weights.reshape(9, 2, 4, 3))
    assert (np.count_nonzero(groups, axis=2) == 1).all()
    np.testing.assert_array_equal(np.abs(groups).max(axis=2), old.max(axis=2))


def test_layers_that_do_not_fit_are_named() -> None:
    model = Net((1, 8, 8, 3)).conv(4).depthwise().conv(2).build()
    done = applied(PruneNOfM(), model)
    assert done.graph["conv/weights"] is model["conv/weights"]
    assert done.notes == (
        "Left alone, as their input channels are no multiple of 4: conv.",
        "Left alone, as DepthwiseConv2dNative has no such kernels: depthwise.",
    )


def test_the_smallest_blocks_go_also_at_the_edges() -> None:
    weights = np.array([[5, 5, 1], [5, 5, 1], [2, 2, 9]])
    after = applied(PruneBlocks(rows=2, columns=2), dense(weights)).graph
    np.testing.assert_array_equal(array(after, "w"), [[5, 5, 0], [5, 5, 0], [0, 0, 9]])
    own = applied(PruneBlocks(rows=2, columns=2, sparsity=0, layers=(("y", 0.25),)), dense(weights)).graph
    np.testing.assert_array_equal(array(own, "w"), [[5, 5, 0], [5, 5, 0], [2, 2, 9]])


@given(graphs(), st.integers(1, 5), st.integers(1, 5), st.floats(0, 1))
def test_any_network(model: ModelGraph, rows: int, columns: int, sparsity: float) -> None:
    """Weights are kept or zero, and as many blocks as asked are."""
    after = applied(PruneBlocks(rows=rows, columns=columns, sparsity=sparsity), model).graph
    for old, new in zip(model.nodes, after.nodes, strict=True):
        if old.tensor is not None and new.tensor is not None:
            assert ((new.tensor.array == old.tensor.array) | (new.tensor.array == 0)).all()


@pytest.mark.tensorflow
@pytest.mark.parametrize("transform", [PruneNOfM(), PruneBlocks(sparsity=0.1)])
@pytest.mark.parametrize("name", ["gear", "emotion"])
def test_real_models_differ_in_their_weights_alone_and_run(name: str, transform: Pass) -> None:
    model = real_model(name)
    done = applied(transform, model)
    assert done.changed
    for old, new in zip(model.nodes, done.graph.nodes, strict=True):
        assert (old.name, old.op, old.inputs) == (new.name, new.op, new.inputs)
        assert (old is new) == (new.name not in done.origins)
    assert all(np.isfinite(value).all() for value in run_tf(done.graph).values())


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (PruneNOfM(n=4), "n=4 must be below m=4"),
        (PruneNOfM(skip=("q",)), "there is no layer 'q'"),
        (PruneBlocks(layers=(("q", 0.5),)), "there is no layer 'q'"),
    ],
)
def test_bad_requests(transform: Pass, words: str) -> None:
    with pytest.raises(PassError, match=words):
        transform.run(dense(np.ones((4, 4))))

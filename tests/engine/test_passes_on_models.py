"""Every pass on two real models, small ones where these have something for it, else with what it takes out put in
(:mod:`.undone`): TensorFlow runs the graph before and after, the outputs agree within the pass's tolerance, and every
node that differs is explained by it.

The tolerance is a signal to noise ratio in dB on made-up pictures, for each model; ``EXACT`` asks for the same numbers
but for the order of sums. What throws much away (half of the weights, half of the channels) only has to run: ``RUNS``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest

from compressor_gui.core import weight_store
from compressor_gui.core.diff import diff_replay
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.layers import find_layers
from compressor_gui.core.passes import ALL, Pass, make, parse
from compressor_gui.core.recipe import Recipe, Replay, Replayer
from compressor_gui.core.scaling import LAYERS
from compressor_gui.core.values import Tensor
from tests.engine.undone import checked, dilated, normalized, padded, trained_for_8_bits, with_a_loss
from tests.support import real_model, run_tf, sqnr_db, synthetic_feeds, tensorflow

pytestmark = pytest.mark.tensorflow

EXACT = 100.0
RUNS = -math.inf
Values = Callable[[ModelGraph], Mapping[str, Any]]


def as_it_is(graph: ModelGraph) -> ModelGraph:
    return graph


def steps(text: str = "") -> Callable[[ModelGraph], ModelGraph]:
    """What comes before the pass."""
    recipe = Recipe.of(*(parse(step) for step in text.split()))
    return lambda graph: Replayer(graph).replay(recipe).graph


def backwards(graph: ModelGraph) -> ModelGraph:
    """The same with the last node first, as no exporter writes it."""
    return ModelGraph(reversed(list(graph.nodes)), graph.extras, graph.outputs)


def negated(graph: ModelGraph) -> ModelGraph:
    """The same with a layer's weights computed: the negative of a constant."""
    weights = graph[find_layers(graph)[0].weight]
    assert weights.tensor is not None
    stored = Node.const(f"{weights.name}_negative", Tensor.of(-weights.tensor.array, weights.tensor.dtype))
    computed = Node.make(weights.name, "Neg", [stored.name], T=weights.tensor.dtype)
    return ModelGraph([stored, *(computed if n is weights else n for n in graph.nodes)], graph.extras, graph.outputs)


@dataclass(frozen=True)
class Case:
    """How a pass is tried: dB on the two models, its parameters for a graph, what comes before it, and the models."""

    least_db: tuple[float, float] = (EXACT, EXACT)
    values: Values = field(default=lambda _: {})
    before: Callable[[ModelGraph], ModelGraph] = as_it_is
    models: tuple[str, str] = ("liveness", "emotion")


def ranges(graph: ModelGraph, names: Any) -> dict[str, tuple[float, float]]:
    """The least and the largest value of these tensors."""
    found = run_tf(graph, outputs=names)
    return {name: (float(min(v.min(), 0)), float(max(v.max(), 0.01))) for name, v in found.items()}


def frozen(graph: ModelGraph) -> Mapping[str, Any]:
    names = [node.name for node in graph.nodes if node.op == "RequantizationRange"]
    ends = run_tf(graph, outputs=[f"{name}:{port}" for name in names for port in (0, 1)])
    return {"ranges": {name: (float(ends[f"{name}:0"]), float(ends[f"{name}:1"])) for name in names}}


def fused(graph: ModelGraph) -> Mapping[str, Any]:
    values = {"everywhere": True, "without_vnni": True}
    wanted = make("fuse_int8", values).activations(graph)  # type: ignore[attr-defined]
    return {"ranges": ranges(graph, wanted), **values}


def retrained(graph: ModelGraph) -> Mapping[str, Any]:
    """Trained weights that are what they were but for the last bit."""
    first = find_layers(graph)[0]
    array = first.tensor.array
    return {"sha256": weight_store.save({first.weight: np.nextafter(array, array + 1)}), "by": "a test"}


def means(graph: ModelGraph) -> Mapping[str, Any]:
    """The mean of each channel that a layer reads."""
    read = {layer.data_refs[0].name for layer in graph.nodes if layer.op in LAYERS}
    found = run_tf(graph, outputs=read)
    return {"sha256": weight_store.save({name: v.reshape(-1, v.shape[-1]).mean(axis=0) for name, v in found.items()})}


def fixed(**values: Any) -> Values:
    return lambda _: values


def first_layer(graph: ModelGraph) -> str:
    return next(node.name for node in graph.nodes if node.op == "Conv2D")


CASES: dict[str, Case] = {
    "prune": Case((15, 8), fixed(sparsity=0.1)),
    "weights": Case((EXACT, EXACT), retrained),
    "remove_channels": Case((RUNS, RUNS), fixed(share=0.25)),
    "factorize": Case((8, 1), fixed(error=0.1), models=("emotion", "posenet")),
    "prune_blocks": Case((RUNS, RUNS), fixed(sparsity=0.25)),
    "prune_n_of_m": Case((RUNS, RUNS)),
    "quantize_weights": Case((40, 20)),
    "mixed_precision": Case((15, 10), fixed(rest=6)),
    "round_weights": Case((35, 15)),
    "quantize_nodes": Case((20, 6)),
    "freeze_requantization_ranges": Case((EXACT, EXACT), frozen, steps("quantize_nodes")),
    "fuse_int8": Case((20, 8), fused),
    "equalize_layers": Case(models=("emotion", "gear")),
    "correct_biases": Case((20, 10), means),
    "clip_outliers": Case((12, 6), fixed(bits=4)),
    "insert_logging": Case((EXACT, EXACT), fixed(op=["Relu"], first_n=0)),
    "fake_quantize_concat": Case(before=trained_for_8_bits, models=("movenet-lightning", "centernet")),
    "quantize_placeholders": Case((20, 10)),
    "fold_batch_norms": Case((EXACT, 60), models=("rvm", "centernet")),
    "fold_old_batch_norms": Case((90, 90), before=normalized),
    "fold_constants": Case(before=negated),
    "flatten_atrous_conv": Case(before=dilated, models=("emotion", "rvm")),
    "fuse_pad": Case(before=padded, models=("liveness", "rvm")),
    "merge_duplicate_nodes": Case(before=steps("quantize_nodes(classic=true)")),
    "remove_nodes": Case(before=checked, models=("liveness", "centernet")),
    "strip_unused_nodes": Case(before=with_a_loss, models=("liveness", "rvm")),
    "sort_by_execution_order": Case(before=backwards),
    "rename_outputs": Case((EXACT, EXACT), lambda graph: {"names": {graph.outputs[0]: "scores"}}),
    "rename_node": Case((EXACT, EXACT), lambda graph: {"old_node_name": first_layer(graph), "new_node_name": "first"}),
    "rename_op": Case((EXACT, EXACT), fixed(old_op_name="Identity", new_op_name="StopGradient")),
    "rename_attribute": Case(
        (EXACT, EXACT), fixed(old_attribute_name="explicit_paddings", new_attribute_name="_no_paddings")
    ),
    "remove_attribute": Case((EXACT, EXACT), fixed(attribute_name="explicit_paddings")),
    "remove_device": Case(before=steps("set_device")),
    "set_device": Case(),
}

TRIED = [(name, model) for name, case in CASES.items() for model in case.models]


@cache
def prepared(model: str, before: Callable[[ModelGraph], ModelGraph]) -> tuple[ModelGraph, dict[str, np.ndarray]]:
    """What a pass gets, and what that computes."""
    graph = before(real_model(model))
    return graph, run_tf(graph)


def test_every_pass_is_tried() -> None:
    assert {transform.name for transform in ALL} == set(CASES)


@pytest.mark.parametrize(("name", "model"), TRIED)
def test_a_pass_on_a_real_model(name: str, model: str) -> None:
    case = CASES[name]
    before, expected = prepared(model, case.before)
    transform = make(name, case.values(before))
    replay = Replayer(before).replay(Recipe.of(transform))
    (stage,) = replay.stages
    assert stage.result.changed
    explained(replay)
    found = run_tf(replay.graph, fed(transform, before, replay.graph))
    least = case.least_db[case.models.index(model)]
    for old, new in zip(before.outputs, replay.graph.outputs, strict=True):
        assert least == RUNS or found[new].shape == expected[old].shape
        assert np.isfinite(found[new]).all()
        assert least == RUNS or sqnr_db(expected[old], found[new]) >= least, new


@pytest.mark.parametrize("undo", [checked, with_a_loss, normalized, padded])
def test_what_is_put_in_changes_no_number(undo: Callable[[ModelGraph], ModelGraph]) -> None:
    before, expected = prepared("liveness", as_it_is)
    found = run_tf(undo(before))
    assert all(sqnr_db(expected[name], found[name]) > 90 for name in before.outputs)


def explained(replay: Replay) -> None:
    """The difference says of every node that is not as it was which step did that, and why."""
    diff = diff_replay(replay)
    assert diff.unexplained == ()
    for node in diff.nodes:
        assert node.change == "unchanged" or (node.step == 0 and node.touches), node.name


def fed(transform: Pass, before: ModelGraph, after: ModelGraph) -> dict[str, Any]:
    """The same pictures, in the codes that ``quantize_placeholders`` asks for."""
    feeds: dict[str, Any] = synthetic_feeds(before)
    if transform.name == "quantize_placeholders":
        codes = {name: np.round(array * 255).astype(np.uint8) for name, array in feeds.items()}
        feeds = {name: array.astype(tensorflow().quint8.as_numpy_dtype) for name, array in codes.items()}
    assert set(feeds) == set(after.inputs)
    return feeds

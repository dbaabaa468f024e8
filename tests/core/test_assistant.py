"""What the Quantize assistant knows and writes, without its window."""

from __future__ import annotations

from pathlib import Path

import pytest

from compressor_gui.core import pbio
from compressor_gui.core.assistant import Choices, Goal, Subject, examine, write
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.passes.quantize_weights import QuantizeWeights
from compressor_gui.core.recipe import Recipe, Replayer
from tests.support import Net, batch_norm_net, conv_net, real_model

SAMPLES = Path(__file__).parents[2] / "resources/samples"


@pytest.fixture(scope="module")
def lenet() -> ModelGraph:
    return pbio.read_graph(SAMPLES / "lenet-5.pb")


def names(recipe: Recipe) -> list[str]:
    return [step.transform.name for step in recipe.steps]


@pytest.mark.parametrize(
    ("goal", "written"),
    [
        ("weights", ["prune", "quantize_weights"]),
        ("classic", ["prune", "quantize_nodes"]),
        ("fused", ["prune", "fuse_int8"]),
    ],
)
def test_the_recipe_keeps_its_steps_but_those_that_quantize(lenet: ModelGraph, goal: Goal, written: list[str]) -> None:
    before = Recipe.of(Prune(sparsity=0.5), QuantizeNodes(), FreezeRequantizationRanges(), sha256="abc")
    subject = examine(lenet, before)
    recipe = write(subject, Choices(goal))
    assert names(recipe) == written
    assert recipe.sha256 == "abc"
    assert names(before) == ["prune", "quantize_nodes", "freeze_requantization_ranges"]


def test_what_is_measured_follows_from_the_goal() -> None:
    assert [Choices(goal).rounds for goal in ("weights", "classic", "fused")] == [False, False, True]  # type: ignore[arg-type]
    assert [Choices(goal).times_regions for goal in ("weights", "classic", "fused")] == [False, False, True]  # type: ignore[arg-type]
    assert not Choices("fused", rounded=False).rounds
    assert not Choices("fused", measured=False).times_regions
    assert [Choices(goal).calibrates for goal in ("weights", "classic", "fused")] == [False, True, True]  # type: ignore[arg-type]
    assert Choices("fused", stored=False).calibrates


@pytest.mark.parametrize("goal", ["weights", "classic", "fused"])
def test_batch_norms_are_folded_first(goal: Goal) -> None:
    subject = examine(batch_norm_net(), Recipe())
    assert subject.folded
    assert write(subject, Choices(goal)).active[0] == FoldBatchNorms()
    assert FoldBatchNorms() not in write(subject, Choices(goal, fold=False)).active
    folded = examine(batch_norm_net(), Recipe.of(FoldBatchNorms()))
    assert folded.folded is None
    assert names(write(folded, Choices(goal))).count("fold_batch_norms") == 1


def test_layers_stay_in_float(lenet: ModelGraph) -> None:
    subject = examine(lenet, Recipe())
    assert [layer.short for layer in subject.layers][:2] == ["conv1", "conv2"]
    for goal in ("weights", "classic", "fused"):
        (step,) = write(subject, Choices(goal, skip=(subject.layers[0].weight,))).active  # type: ignore[arg-type]
        assert step.skip == ("conv1",)  # type: ignore[attr-defined]
    assert subject.estimated_size(skip=[subject.layers[1].weight]) > subject.estimated_size()


@pytest.mark.parametrize("fold", [True, False])
def test_layers_that_stay_in_float_go_by_the_names_that_they_have_then(fold: bool) -> None:
    model = real_model("centernet")
    subject = examine(model, Recipe())
    skip = tuple(layer.weight for layer in subject.layers[::20])
    made = Replayer(model).replay(write(subject, Choices("weights", skip=skip, fold=fold))).graph
    assert all(made[weight].op == "Const" for weight in skip)
    assert made[subject.layers[-2].weight].op == "Dequantize"


def test_the_estimated_size_is_near_what_is_written(lenet: ModelGraph) -> None:
    subject = examine(lenet, Recipe())
    for skip in ((), (subject.layers[2].weight,)):
        made = Replayer(lenet).replay(write(subject, Choices("weights", skip=skip))).graph
        assert subject.estimated_size(skip=skip) == pytest.approx(pbio.byte_size(made), rel=0.03)


def test_small_layers_count_in_float_where_only_weights_are_quantized(lenet: ModelGraph) -> None:
    subject = examine(lenet, Recipe())
    assert [layer.short for layer in subject.small] == ["conv1"]
    saved = subject.estimated_size("weights") - subject.estimated_size("fused")
    assert saved == subject.small[0].tensor.nbytes * 3 // 4


def test_a_graph_that_is_quantized_already_is_refused(lenet: ModelGraph) -> None:
    for step in (QuantizeNodes(), QuantizeWeights()):
        made = Replayer(lenet).replay(Recipe.of(step)).graph
        assert "quantized already" in examine(made, Recipe()).refusal
        assert not examine(lenet, Recipe.of(step)).refusal  # the step makes room


def test_a_graph_without_layers_is_refused() -> None:
    bare = Net((1, 8, 8, 4)).then("Relu").build()
    assert "no layers" in examine(bare, Recipe()).refusal
    assert not examine(conv_net(), Recipe()).refusal


@pytest.mark.parametrize("name", ["posenet", "blazepose-heavy"])
def test_real_models_are_examined(name: str) -> None:
    model = real_model(name)
    subject: Subject = examine(model, Recipe())
    assert not subject.refusal
    made = Replayer(model).replay(write(subject, Choices("weights"))).graph
    assert pbio.byte_size(made) == pytest.approx(subject.estimated_size(), rel=0.05)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compressor_gui.core import pbio
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import find_layers
from compressor_gui.core.students import STUDENTS, Offer, make_student, offer, randomised
from compressor_gui.core.values import DType
from tests.support import Net, batch_norm_net, const, graph, node, placeholder, run_tf


def teacher() -> ModelGraph:
    """Pictures of 28x28 -> ten classes."""
    net = Net((-1, 28, 28, 1)).conv(20).bias().then("Relu").pool().conv(50).bias().then("Relu").pool()
    return net.flatten().dense(120, name="fc1").bias().then("Relu").dense(10, name="fc2").bias().then("Softmax").build()


def weights(model: ModelGraph) -> int:
    return sum(layer.parameters for layer in find_layers(model))


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", STUDENTS)
def test_a_student_takes_the_teacher_s_place(kind: str) -> None:
    made = make_student(teacher(), kind)
    assert made.inputs == ("input",)
    assert made.outputs == ("softmax",)
    scores = run_tf(made, {"input": np.random.default_rng(0).random((3, 28, 28, 1), np.float32)})["softmax"]
    assert scores.shape == (3, 10)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert weights(made) < weights(teacher())


@pytest.mark.parametrize("kind", ["shallow", "depthwise", "fire", "width_0.25"])
def test_most_are_ten_times_smaller(kind: str) -> None:
    assert weights(make_student(teacher(), kind)) * 10 <= weights(teacher())


def test_seeds_give_other_weights_and_the_same_seed_the_same() -> None:
    one, again, other = (make_student(teacher(), "fire", seed) for seed in (1, 1, 2))
    arrays = [find_layers(model)[0].weights for model in (one, again, other)]
    np.testing.assert_array_equal(arrays[0], arrays[1])
    assert not np.array_equal(arrays[0], arrays[2])


def test_a_narrow_student_starts_from_the_teacher_and_can_be_made_random() -> None:
    narrow = make_student(teacher(), "width_0.5")
    kept = find_layers(narrow)[0].weights
    whole = find_layers(teacher())[0].weights
    assert all((kept[..., [channel]] == whole).all(axis=(0, 1, 2)).any() for channel in range(kept.shape[-1]))
    random = randomised(narrow, seed=1)
    assert [layer.shape for layer in find_layers(random)] == [layer.shape for layer in find_layers(narrow)]
    assert not np.array_equal(find_layers(random)[0].weights, kept)
    assert float(find_layers(random)[2].weights.std()) == pytest.approx((2 / (7 * 7 * 25)) ** 0.5, rel=0.05)


def test_vectors_get_a_hidden_layer() -> None:
    model = Net((-1, 40)).dense(100).bias().then("Relu").dense(3).then("Softmax").build()
    assert [layer.shape.dims for layer in find_layers(make_student(model, "shallow"))] == [(40, 32), (32, 3)]
    with pytest.raises(CompressorError, match="a fire student needs pictures"):
        make_student(model, "fire")
    assert "a fire student needs pictures" in offer(model, "fire").problem


def test_what_is_offered_is_what_is_made(tmp_path: Path) -> None:
    made = make_student(teacher(), "depthwise")
    file = tmp_path / "student.pb"
    size = pbio.write_graph(made, file)
    assert offer(teacher(), "depthwise") == offer(teacher(), str(file)) == Offer(weights(made), size)
    assert "no such file" in offer(teacher(), str(tmp_path / "none.pb")).problem


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        (teacher(), "tiny", "there is no student 'tiny'"),
        (batch_norm_net(), "fire", "its output is not one score a class"),
        (graph(placeholder("x", None), const("w", np.ones((4, 2), np.float32)),
               node("y", "MatMul", "x", "w", transpose_a=False, transpose_b=False)), "fire", "the size of its input"),
        (graph(placeholder("x", (1, 4), DType.INT32), node("y", "Neg", "x", T=DType.INT32)), "fire", "of floats"),
    ],
)  # fmt: skip
def test_what_no_student_can_replace(model: ModelGraph, kind: str, words: str) -> None:
    with pytest.raises(CompressorError, match=words):
        make_student(model, kind)

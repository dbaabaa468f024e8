"""Accuracy and fidelity are what numpy computes from the same outputs; the samples keep their README's errors."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from compressor_gui.cli.commands import cli
from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.measure import Evaluate, Evaluation, LabelImage, ModelRef
from compressor_gui.core.passes import make
from compressor_gui.core.pbio import read_graph, write_graph
from compressor_gui.core.recipe import Recipe, Replayer, Step
from compressor_gui.core.serve import Job, Stop
from compressor_gui.core.values import DType
from tests.core.test_data import SAMPLES, touch
from tests.engine.test_samples import pictures
from tests.support import SHARED, const, graph, node, placeholder, run_tf, tensorflow

pytestmark = pytest.mark.tensorflow
MNIST = SHARED / "mnist"
LENET = ModelRef(str(SAMPLES / "lenet-5.pb"))
PRUNED = dataclasses.replace(LENET, recipe=Recipe((Step(make("prune", {"sparsity": 0.97})),)).to_json())
EVALUATE_KEYS = {"n", "top1", "top5", "top1_interval", "outputs"}
OUTPUT_KEYS = {"name", "sqnr_db", "argmax_agreement"}


@pytest.fixture(scope="module", autouse=True)
def quiet_tensorflow() -> Any:
    return tensorflow()


def evaluated(model: ModelRef, spec: DataSpec, against: ModelRef | None = None, **fields: Any) -> Evaluation:
    from compressor_gui.engine.evaluate import evaluate

    return evaluate(Evaluate(model, spec, against, **fields), Job(1, lambda *_: None))


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., DataSpec]:
    """Writes rows of numbers, with labels or without, and describes them."""

    def write(x: np.ndarray, y: Any = None) -> DataSpec:
        labels = {} if y is None else {"y": np.asarray(y)}
        np.savez(tmp_path / "rows.npz", x=x.astype(np.float32), **labels)
        return guess(scorer(x.shape[1]), tmp_path / "rows.npz")

    return write


def scorer(width: int, op: str = "Identity", factor: float = 1.0, name: str = "y", *more: Node) -> ModelGraph:
    """``name = op(x * factor)`` on rows."""
    inside = node("scaled", "Mul", "x", "factor")
    return graph(placeholder("x", (-1, width)), const("factor", factor), inside, node(name, op, "scaled"), *more)


def saved(model: ModelGraph, folder: Path, name: str = "m.pb") -> ModelRef:
    write_graph(model, folder / name)
    return ModelRef(str(folder / name))


# --- the samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "error"), [("lenet-5", 0.007), ("lenet-300-100", 0.009)])
def test_the_samples_keep_the_readmes_errors_on_the_digits_that_come_with_them(name: str, error: float) -> None:
    path = SAMPLES / f"{name}.pb"
    found = evaluated(ModelRef(str(path)), guess(read_graph(path), SAMPLES), batch=100)
    assert found.accuracy.top1 == pytest.approx(1 - error, abs=1e-9)
    assert found.accuracy.n == 1000
    confusion = np.array(found.accuracy.confusion)
    assert confusion.sum() == 1000
    assert np.trace(confusion) == round(1000 * (1 - error))
    assert (found.against, found.fidelity, found.mcnemar_p) == (None, (), None)


@pytest.mark.skipif(not MNIST.is_dir(), reason="the MNIST digits in ../shared/mnist are not here")
@pytest.mark.parametrize(("name", "error"), [("lenet-5", 0.0054), ("lenet-300-100", 0.0109)])
def test_the_samples_keep_the_readmes_errors_on_the_whole_test_set(name: str, error: float) -> None:
    path = SAMPLES / f"{name}.pb"
    found = evaluated(ModelRef(str(path)), guess(read_graph(path), MNIST), batch=500)
    assert (found.accuracy.n, found.accuracy.top1) == (10_000, pytest.approx(1 - error, abs=1e-9))


def test_before_and_after_are_what_numpy_says() -> None:
    images, labels = pictures(SAMPLES, "t10k-1000")
    images, labels = images[:300], labels[:300]
    spec = dataclasses.replace(guess(read_graph(LENET.path), SAMPLES), limit=300)
    found = evaluated(PRUNED, spec, LENET, batch=64)
    before = run_tf(read_graph(LENET.path), {"input": images}, ["output"])["output"].astype(np.float64)
    pruned = Recipe.from_json(PRUNED.recipe)
    after = run_tf(Replayer(read_graph(LENET.path)).replay(pruned).graph, {"input": images}, ["output"])["output"]
    after = after.astype(np.float64)
    right, were_right = after.argmax(1) == labels, before.argmax(1) == labels
    assert (~right).any()  # or the test shows nothing
    assert found.accuracy.top1 == right.mean()
    assert found.against is not None
    assert found.against.top1 == were_right.mean()
    assert found.accuracy.top5 == (after.argsort(1)[:, -5:] == labels[:, None]).any(1).mean()
    assert found.accuracy.loss == pytest.approx(-np.log(after[np.arange(300), labels]).mean(), rel=1e-4)
    low, high = found.accuracy.top1_interval or (1, 0)
    assert low < found.accuracy.top1 < high
    (output,) = found.fidelity
    assert output.check.sqnr_db == pytest.approx(
        10 * np.log10((before**2).sum() / ((before - after) ** 2).sum()), abs=0.01
    )
    assert output.check.argmax_agreement == (before.argmax(1) == after.argmax(1)).mean()
    floor = 1e-12
    kl = (before * (np.log(np.maximum(before, floor)) - np.log(np.maximum(after, floor)))).sum(1).mean()
    assert output.kl == pytest.approx(kl, rel=1e-3)
    assert found.mcnemar_p is not None
    assert 0 <= found.mcnemar_p <= 1


def test_a_quantized_input_is_fed_what_the_original_is() -> None:
    recipe = Recipe((Step(make("quantize_nodes", {"quantized_input": True})),))
    spec = dataclasses.replace(guess(read_graph(LENET.path), SAMPLES), limit=200)
    found = evaluated(dataclasses.replace(LENET, recipe=recipe.to_json()), spec, LENET)
    assert found.accuracy.top1 is not None
    assert found.accuracy.top1 > 0.97


# --- small cases -----------------------------------------------------------------------------------------------------


def test_loss_of_logits_and_few_classes(tmp_path: Path, rows: Callable[..., DataSpec]) -> None:
    x = np.random.default_rng(0).normal(0, 3, (20, 4))
    y = np.arange(20) % 4
    found = evaluated(saved(scorer(4), tmp_path), rows(x, y)).accuracy
    softmax = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    assert found.loss == pytest.approx(-np.log(softmax[np.arange(20), y]).mean(), rel=1e-5)
    assert found.top1 == (x.argmax(1) == y).mean()
    assert found.top5 is None


def test_one_score_is_the_chance_of_class_1(tmp_path: Path, rows: Callable[..., DataSpec]) -> None:
    x = np.array([[-3.0], [2.0], [1.0], [-1.0]])
    found = evaluated(saved(scorer(1, "Sigmoid"), tmp_path), rows(x, [0, 1, 0, 1])).accuracy
    assert (found.top1, found.confusion) == (0.5, ((1, 1), (1, 1)))
    assert evaluated(saved(scorer(1), tmp_path), rows(x, [0, 1, 0, 1])).accuracy.top1 == 0.5  # logits


def test_the_output_that_looks_like_classes_is_taken(tmp_path: Path, rows: Callable[..., DataSpec]) -> None:
    model = scorer(5, "Softmax", 1.0, "classes", node("first", "Neg", "scaled"))
    ref = saved(graph(*model.values(), outputs=["first", "classes"]), tmp_path)
    spec = rows(np.eye(5), np.arange(5))
    found = evaluated(dataclasses.replace(ref, outputs=("first", "classes")), spec)
    assert (found.accuracy.top1, found.output) == (1.0, "classes")
    assert evaluated(ref, spec, output="import/first:0").accuracy.top1 == 0.0
    with pytest.raises(CompressorError, match=r"no output 'third' \(its outputs: "):
        evaluated(ref, spec, output="third")


def test_without_labels_there_is_fidelity(tmp_path: Path, rows: Callable[..., DataSpec]) -> None:
    spec = rows(np.random.default_rng(0).normal(size=(10, 4)))
    ref, other = saved(scorer(4), tmp_path), saved(scorer(4, factor=1.01), tmp_path, "n.pb")
    found = evaluated(other, spec, ref, batch=3)
    assert (found.accuracy.n, found.accuracy.top1, found.mcnemar_p) == (10, None, None)
    (output,) = found.fidelity
    assert output.check.sqnr_db == pytest.approx(40, abs=0.01)
    assert (output.check.argmax_agreement, output.kl) == (1.0, None)
    same = evaluated(ref, spec, ref).fidelity[0].check
    assert (same.sqnr_db, same.equal) == (EXACT_DB, True)
    with pytest.raises(CompressorError, match="no labels, so there is nothing to compare"):
        evaluated(ref, spec)
    assert evaluated(other, spec, ref, output="y").accuracy.n == 10
    with pytest.raises(CompressorError, match="there is no output 'nope'"):
        evaluated(other, spec, ref, output="nope")


def test_outputs_that_are_renamed_are_matched_by_order(tmp_path: Path, rows: Callable[..., DataSpec]) -> None:
    ref, other = saved(scorer(4), tmp_path), saved(scorer(4, name="z"), tmp_path, "n.pb")
    assert evaluated(other, rows(np.eye(4)), ref).fidelity[0].check.name == "z"
    two = saved(scorer(4, "Identity", 1.0, "z", node("w", "Neg", "scaled")), tmp_path, "two.pb")
    with pytest.raises(CompressorError, match="have 2 and 1 outputs"):
        evaluated(two, rows(np.eye(4)), ref)


def test_an_original_of_other_inputs_is_refused(tmp_path: Path, rows: Callable[..., DataSpec]) -> None:
    ref, other = saved(scorer(4), tmp_path), saved(scorer(5), tmp_path, "other.pb")
    with pytest.raises(CompressorError, match=r"m\.pb: its input 'x' is 4, and the original's is 5"):
        evaluated(ref, rows(np.eye(5)), other)


def test_labels_that_are_no_classes_are_told(tmp_path: Path, rows: Callable[..., DataSpec]) -> None:
    ref = saved(scorer(4), tmp_path)
    with pytest.raises(CompressorError, match=r"rows\.npz\[2\]: the label is 4, but the output 'y' has 4 classes"):
        evaluated(ref, rows(np.eye(4), [1, 2, 4, 3]))
    assert evaluated(ref, dataclasses.replace(rows(np.eye(4), [1, 2, 3, 4]), label_offset=-1)).accuracy.top1 == 1.0


def test_labels_of_what_is_no_classifier_leave_the_fidelity(tmp_path: Path, rows: Callable[..., DataSpec]) -> None:
    total = graph(
        placeholder("x", (-1, 4)), const("axes", (0, 1), DType.INT32), node("y", "Sum", "x", "axes", Tidx=DType.INT32)
    )
    ref, spec = saved(total, tmp_path), rows(np.eye(4), [0, 1, 2, 3])
    found = evaluated(ref, spec, ref)
    assert (found.accuracy.top1, found.fidelity[0].check.equal) == (None, True)
    with pytest.raises(CompressorError, match="no output has a score for each class"):
        evaluated(ref, spec)


def test_it_can_be_cancelled_between_batches() -> None:
    from compressor_gui.engine.evaluate import evaluate

    job = Job(1, lambda _, event: job.cancelled.set() if event.done >= 32 else None)  # type: ignore[union-attr]
    with pytest.raises(Stop):
        evaluate(Evaluate(LENET, guess(read_graph(LENET.path), SAMPLES)), job)


# --- label_image -----------------------------------------------------------------------------------------------------


def test_label_image_names_the_best_classes(tmp_path: Path) -> None:
    from compressor_gui.engine.label_image import label_image

    images, labels = pictures(SAMPLES, "t10k-1000")
    names = touch(tmp_path / "names.txt", "\n".join(f"digit {at}" for at in range(10)))
    spec = dataclasses.replace(guess(read_graph(LENET.path), SAMPLES), limit=10, names=str(names))
    found = label_image(LabelImage(PRUNED, spec, LENET, top=3), Job(1, lambda *_: None))
    expected = run_tf(read_graph(LENET.path), {"input": images[:10]}, ["output"])["output"]
    assert [item.against[0][0] for item in found.items] == expected.argmax(1).tolist()
    assert [item.label for item in found.items] == labels[:10].tolist()
    for item, row in zip(found.items, expected, strict=True):
        assert [score for _, _, score in item.against] == pytest.approx(sorted(row, reverse=True)[:3], abs=1e-5)
        assert all(name == f"digit {at}" for at, name, _ in (*item.top, *item.against))
    few = dataclasses.replace(spec, names=str(touch(tmp_path / "few.txt", "one\ntwo\nthree")))
    with pytest.raises(CompressorError, match="there are 3 names, but the output 'output' has 10 classes"):
        label_image(LabelImage(LENET, few), Job(1, lambda *_: None))
    with pytest.raises(CompressorError, match="there are 3 names, but the output 'output' has 10 classes"):
        evaluated(LENET, few, LENET)


# --- the command line, through a real engine -------------------------------------------------------------------------


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_evaluate_from_the_command_line(tmp_path: Path) -> None:
    recipe = tmp_path / "prune.recipe.json"
    recipe.write_text(PRUNED.recipe)
    result = run("evaluate", LENET.path, "--recipe", recipe, "--data", SAMPLES, "--limit", 200, "--json")
    assert result.exit_code == 0, result.stderr
    assert "data, as guessed where no option says it: IDX as float32 28×28×1" in result.stderr
    data = json.loads(result.stdout)
    assert data.keys() >= EVALUATE_KEYS | {"against", "mcnemar_p"}
    assert data["against"].keys() >= EVALUATE_KEYS
    assert data["n"] == data["against"]["n"] == 200
    assert data["top1"] < data["against"]["top1"]
    assert all(output.keys() >= OUTPUT_KEYS for output in (*data["outputs"], *data["against"]["outputs"]))
    assert data["outputs"][0]["name"] == "output"
    assert data["outputs"][0]["sqnr_db"] < 30
    assert data["against"]["outputs"][0]["sqnr_db"] == EXACT_DB


def test_label_image_from_the_command_line_with_tensorflows_flags(tmp_path: Path) -> None:
    tf = tensorflow()
    images, labels = pictures(SAMPLES, "t10k-1000")
    broken = touch(tmp_path / "pictures" / "broken.jpg", "words")
    (tmp_path / "pictures" / "digit.png").write_bytes(tf.io.encode_png((images[0] * 255).astype(np.uint8)).numpy())
    names = touch(tmp_path / "names.txt", "zero one two three four five six seven eight nine".replace(" ", "\n"))
    flags = ("--input_height=28", "--input_width=28", "--input_mean=0", "--input_std=255", "--input_layer=input")
    result = run("label_image", f"--graph={LENET.path}", f"--image={broken.parent}", f"--labels={names}",
                 *flags, "--output_layer=output")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert f"left out, because they can't be read: 1 ({broken})" in result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith(f"seven ({labels[0]}): 0.99")
    scores = [float(line.rsplit(": ")[1]) for line in lines]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("evaluate", LENET.path), "give --data"),
        (("evaluate", LENET.path, "--data", "/no/such"), "/no/such: there is no such file or folder"),
        (("evaluate", LENET.path, "--data", SAMPLES, "--input_layer", "x"), "no input 'x' (its placeholders: input)"),
        (("evaluate", LENET.path, "--data", SAMPLES, "--input_std", "0"), "std is 0.0"),
        (("label_image", "--graph", LENET.path, "--image", "/no/such.jpg"), "no such file"),
        (("label_image", "--graph", LENET.path, "--image", SAMPLES, "--labels", "/no"), "/no: it can't be read"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[object, ...], words: str) -> None:
    result = run(*arguments)
    (line,) = [line for line in result.stderr.splitlines() if not line.startswith("data, as guessed")]
    assert (result.exit_code, result.stdout) == (2, "")
    assert line.startswith("error: ")
    assert words in line

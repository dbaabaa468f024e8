from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compressor_gui.core.compare import compare_output, sqnr_db
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.jobs import EXACT_DB, CheckExport, EngineClient, ExportCheck, Hello, OutputCheck
from compressor_gui.core.passes.int8.kernels import CONV
from compressor_gui.core.pbio import to_text, write_graph
from compressor_gui.core.recipe import digest
from compressor_gui.core.values import DType, Shape
from compressor_gui.engine.inputs import Guess, make_feeds, smooth_noise
from tests.support import SHARED, const, conv_net, graph, needs_shared, node, placeholder


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineClient]:
    with EngineClient() as client:
        yield client


class Check:
    """Writes two graphs and asks the engine about them."""

    def __init__(self, engine: EngineClient, folder: Path) -> None:
        self.engine, self.folder = engine, folder

    def __call__(self, original: ModelGraph, candidate: ModelGraph | None = None, **options: object) -> ExportCheck:
        paths = [str(self.folder / name) for name in ("original.pb", "candidate.pb")]
        for path, model in zip(paths, (original, candidate or original), strict=True):
            write_graph(model, path)
        return self.engine.run(CheckExport(*paths, original.outputs, (candidate or original).outputs, **options))  # type: ignore[arg-type]


@pytest.fixture
def check(engine: EngineClient, tmp_path: Path) -> Check:
    return Check(engine, tmp_path)


def scaled(factor: float, source: Node | None = None, name: str = "y") -> ModelGraph:
    """``y = x * factor``, on rows of 10."""
    return graph(source or placeholder("x", (-1, 10)), const("factor", factor), node(name, "Mul", "x", "factor"))


def only(result: ExportCheck) -> OutputCheck:
    (output,) = result.outputs
    return output


# --- the data ---------------------------------------------------------------------------------------------------------


@pytest.mark.tensorflow
def test_the_first_examples_of_the_data_are_fed(check: Check, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 10)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", image=rows, label=np.arange(40))
    data = DataSpec("numpy", str(tmp_path / "rows.npz"), input="x", mean=0, std=1)
    result = check(scaled(2.0), scaled(-2.0), data=data)
    assert (result.examples, result.labelled) == (16, True)
    assert only(result).sqnr_db == pytest.approx(-6.02, abs=0.01)
    assert only(result).argmax_agreement == 0
    assert check(scaled(2.0), data=replace(data, limit=3)).examples == 3
    assert not check(scaled(2.0)).examples


@pytest.mark.tensorflow
def test_inputs_are_made_up_where_the_data_do_not_fit(check: Check, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((4, 7), np.float32))
    result = check(scaled(2.0), data=DataSpec("numpy", str(tmp_path / "rows.npy"), input="x", mean=0, std=1))
    assert (result.examples, only(result).equal) == (0, True)
    assert result.notes[0].startswith("the inputs were made up, as the original did not run on your data: ")


# --- the files --------------------------------------------------------------------------------------------------------


@pytest.mark.tensorflow
def test_an_original_that_has_changed_is_refused(check: Check) -> None:
    with pytest.raises(CompressorError, match=r"original\.pb: the file has changed since it was opened"):
        check(scaled(2), original_sha256="0" * 64)
    again = digest((check.folder / "original.pb").read_bytes())
    assert only(check(scaled(2), original_sha256=again)).equal


# --- TensorFlow ------------------------------------------------------------------------------------------------------


@pytest.mark.tensorflow
def test_the_engine_says_its_versions(engine: EngineClient) -> None:
    assert engine.run(Hello()).tensorflow.startswith("2.")


@pytest.mark.tensorflow
def test_noise_is_measured(check: Check) -> None:
    found = check(scaled(1.0), scaled(1.01))
    output = only(found)
    assert output.sqnr_db == pytest.approx(40, abs=0.01)  # 20 log10(1 / 0.01)
    assert (output.name, output.argmax_agreement, output.finite, output.equal) == ("y", 1.0, True, False)
    assert output.shape == (1, 10)
    assert found.inputs == ("x float32 1×10",)
    assert found.passed
    assert not found.remapper_off


@pytest.mark.tensorflow
def test_the_same_graph_is_equal_and_a_renamed_output_found(check: Check) -> None:
    renamed = scaled(2.0, name="z")
    assert only(check(conv_net())) == OutputCheck("softmax", EXACT_DB, 1.0, True, True, (1, 10))
    assert only(check(scaled(2.0), renamed)).name == "y"


@pytest.mark.tensorflow
def test_without_the_remapper_it_is_said(check: Check) -> None:
    assert check(scaled(1.0), caution=1).remapper_off


@pytest.mark.tensorflow
def test_the_text_form_is_read(engine: EngineClient, tmp_path: Path) -> None:
    path = tmp_path / "model.pbtxt"
    path.write_text(to_text(scaled(1.0)))
    assert engine.run(CheckExport(str(path), str(path), ("y",))).outputs[0].equal


@pytest.mark.tensorflow
def test_infinity_fails(check: Check) -> None:
    found = check(scaled(1.0), scaled(float("inf")))
    assert not found.passed
    assert not only(found).finite
    assert only(found).sqnr_db == -EXACT_DB


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (node("y", "NoSuchOp", "x"), "does not load this graph: .*NoSuchOp"),
        (node("y", "Mul", "x", "wrong_size"), "does not load this graph: .*10 and 3"),
        (node("y", "Reshape", "x", "shape", Tshape=DType.INT32), "does not run the compressed graph: .*reshape"),
    ],
)
def test_a_graph_that_tensorflow_refuses_is_told_in_a_sentence(check: Check, bad: Node, words: str) -> None:
    consts = (const("wrong_size", np.ones(3)), const("shape", (-1, 7), DType.INT32))
    fed = placeholder("x", None if bad.op == "Reshape" else (-1, 10))  # with a shape it is found out at loading
    with pytest.raises(CompressorError, match=words) as caught:
        check(scaled(1.0), graph(fed, *consts, bad, outputs=["y"]), allow_unsafe_ops=True)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.tensorflow
def test_ops_that_read_files_are_not_run_unless_allowed(check: Check, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the content")
    path = np.array(str(secret).encode(), object)
    reader = graph(const("path", path, DType.STRING), Node.make("y", "ReadFile", ("path",)))
    with pytest.raises(CompressorError, match="the op ReadFile"):
        check(reader)
    assert only(check(reader, allow_unsafe_ops=True)).equal


def image(shape: Iterable[int] | None, dtype: DType = DType.FLOAT) -> Node:
    return placeholder("x", shape, dtype)


def ids_looked_up(rows: int) -> ModelGraph:
    table = const("table", np.arange(rows, dtype=np.float32))
    found = node("y", "GatherV2", "table", "x", "axis", Tparams=DType.FLOAT, Tindices=DType.INT32, Taxis=DType.INT32)
    return graph(placeholder("x", (-1, -1), DType.INT32), table, const("axis", 0, DType.INT32), found)


def reshaped(shape: Iterable[int] | None, to: tuple[int, ...]) -> ModelGraph:
    target = const("shape", to, DType.INT32)
    return graph(image(shape), target, node("y", "Reshape", "x", "shape", Tshape=DType.INT32))


def multiplied(shape: Iterable[int] | None) -> ModelGraph:
    product = node("y", "MatMul", "x", "w", transpose_a=False, transpose_b=False)
    return graph(image(shape), const("w", np.ones((37, 2))), product)


def decoded() -> ModelGraph:
    picture = Node.make("y", "DecodeJpeg", ("x",), channels=3)
    return graph(placeholder("x", (), DType.STRING), picture)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("model", "fed"),
    [
        (multiplied((-1, -1)), "x float32 1×37"),
        (multiplied(None), "x float32 1×37"),
        (reshaped((-1, -1, -1, 3), (1, 64 * 64 * 3)), "x float32 1×64×64×3"),
        (reshaped((-1, -1, -1, 1), (-1, 784)), "x float32 1×224×224×1"),
        (reshaped(None, (-1, 224, 224, 3)), "x float32 1×224×224×3"),
        (reshaped(None, ()), "x float32 scalar"),
        (ids_looked_up(100), "x int32 1×128"),
        (ids_looked_up(2), "x int32 1×128"),
        (decoded(), "x string scalar"),
        (scaled(1.0, Node.make("x", "PlaceholderWithDefault", ("d",), dtype=DType.FLOAT, shape=Shape(()))), None),
    ],
    ids=[
        "row",
        "row-without-shape",
        "height",
        "any-multiple",
        "no-rank",
        "scalar",
        "ids",
        "few-ids",
        "jpeg",
        "default",
    ],
)
def test_inputs_are_found_for_what_is_unknown(check: Check, model: ModelGraph, fed: str | None) -> None:
    if fed is None:
        model = graph(const("d", 3.0), *model.nodes, outputs=model.outputs)
    found = check(model)
    assert found.inputs == ((fed,) if fed else ())
    assert all(output.equal for output in found.outputs)
    assert found.outputs


@pytest.mark.tensorflow
def test_a_graph_for_which_no_input_is_found_is_loaded_only(check: Check) -> None:
    found = check(reshaped(None, (-1, 10_007)))
    assert found.outputs == ()
    assert found.notes[0].startswith("no input could be made that the original runs on: ")


@pytest.mark.tensorflow
@pytest.mark.parametrize(("op", "by_itself", "said"), [("Neg", False, 0), (CONV.op, True, 0), (CONV.op, False, 1)])
def test_a_file_that_needs_onednn_is_said_where_tensorflow_leaves_it_off(
    monkeypatch: pytest.MonkeyPatch, op: str, by_itself: bool, said: int
) -> None:
    from compressor_gui.engine import check as checks

    monkeypatch.setattr(checks, "onednn_is_default", lambda: by_itself)
    notes = checks._needs(graph(placeholder("x", (1, 4)), node("y", op, "x")))
    assert len(notes) == said
    assert all("TF_ENABLE_ONEDNN_OPTS=1" in note for note in notes)


@pytest.mark.tensorflow
@pytest.mark.parametrize(("remapping", "words"), [(True, "unset it, or set it to 1"), (False, "TensorFlow crashed")])
def test_why_onednn_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, remapping: bool, words: str) -> None:
    from compressor_gui.engine import session

    monkeypatch.setattr(session, "REMAPPING", remapping)
    error = session.tf.errors.InternalError(None, None, "Missing 0-th output from {{node conv}}")
    assert words in session.failure(error, "TensorFlow does not run it", "model.pb").hint


@pytest.mark.tensorflow
def test_outputs_that_the_original_can_not_compute_are_left_out(check: Check) -> None:
    good, bad = node("good", "Neg", "x"), node("bad", "Reshape", "x", "shape", Tshape=DType.INT32)
    found = check(graph(placeholder("x", None), const("shape", (10_007,), DType.INT32), good, bad))
    assert [output.name for output in found.outputs] == ["good"]
    assert "left out (bad)" in found.notes[0]


@pytest.mark.tensorflow
def test_a_quantized_input_is_fed_the_same_values(check: Check) -> None:
    low, high = const("low", 0.0), const("high", 1.0)
    dequantize = node("x_float", "Dequantize", "x", "low", "high", T=DType.QUINT8, mode=b"MIN_FIRST")
    scale = (const("factor", 1.0), node("y", "Mul", "x_float", "factor"))
    quantized = graph(placeholder("x", (-1, 10), DType.QUINT8), low, high, dequantize, *scale)
    assert 40 < only(check(scaled(1.0), quantized)).sqnr_db < 70  # 8 bits


@pytest.mark.tensorflow
def test_a_second_tensor_of_an_output_is_compared_too(check: Check) -> None:
    top = node("y", "TopKV2", "x", "k", sorted=True)
    found = check(graph(placeholder("x", (-1, 10)), const("k", 3, DType.INT32), top))
    assert [output.name for output in found.outputs] == ["y", "y:1"]


@pytest.mark.tensorflow
@needs_shared
@pytest.mark.parametrize("name", ["emotion", "rvm", "movenet-lightning"])
def test_a_real_model_equals_itself(engine: EngineClient, name: str) -> None:
    path = str(SHARED / "models" / f"{name}.pb")
    outputs = ("Identity", "Identity_1") if name == "rvm" else ("Identity",)
    found = engine.run(CheckExport(path, path, outputs))
    assert [output.name for output in found.outputs] == list(outputs)
    assert all(output.equal for output in found.outputs)


# --- without TensorFlow ----------------------------------------------------------------------------------------------


def test_unlike_shapes_and_values_are_told_apart() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert compare_output("y", [x], [x]).equal
    assert compare_output("y", [x], [x[:1]]) == OutputCheck("y", -EXACT_DB, None, False, False, (2, 3))
    assert compare_output("y", [x], [x[:, ::-1]]).argmax_agreement == 0
    words = np.array([b"a", b"b"], object)
    assert compare_output("y", [words], [words]).sqnr_db == EXACT_DB
    assert compare_output("y", [words], [words[::-1]]).sqnr_db == -EXACT_DB


def test_not_finite_counts_only_where_the_original_was() -> None:
    x = np.array([[1.0, np.nan, np.inf]])
    assert compare_output("y", [x], [x]).equal
    assert compare_output("y", [x], [np.array([[1.0, 2.0, 3.0]])]).finite
    assert not compare_output("y", [x], [np.array([[np.nan, 2.0, 3.0]])]).finite


def test_any_of_the_largest_agrees() -> None:
    assert compare_output("y", [np.array([[2.0, 2.0, 1.0]])], [np.array([[1.0, 2.0, 1.0]])]).argmax_agreement == 1


def test_sqnr_has_bounds_instead_of_infinities() -> None:
    assert sqnr_db(np.ones(3), np.ones(3)) == EXACT_DB
    assert sqnr_db(np.zeros(3), np.ones(3)) == -EXACT_DB
    assert sqnr_db(np.ones(4), np.full(4, 1.1)) == pytest.approx(20)


def test_feeds_are_the_same_for_a_seed_and_fit_their_type() -> None:
    model = graph(placeholder("picture", (-1, 8, 8, 3), DType.INT32), placeholder("flag", (), DType.BOOL),
                  node("y", "F", "picture", "flag"))  # fmt: skip
    one, same, other = (make_feeds(model, Guess(), seed) for seed in (0, 0, 1))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["picture"], other["picture"])
    assert one["picture"].dtype == np.int32
    assert (one["picture"].min(), one["picture"].max()) == (0, 255)
    assert one["flag"] == np.False_


def test_smooth_noise_is_smooth_and_fills_the_range() -> None:
    noise = smooth_noise((1, 64, 64, 3), np.random.default_rng(0))
    assert (noise.min(), noise.max()) == (0, 1)
    assert np.abs(np.diff(noise, axis=1)).mean() < 0.1

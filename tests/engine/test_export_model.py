from __future__ import annotations

import json
import resource
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import ExportedModel, ExportModel, ModelRef
from compressor_gui.core.passes import make
from compressor_gui.core.pbio import read_graph, write_graph
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.serve import Job, Stop
from compressor_gui.core.values import DType
from tests.support import SHARED, Net, const, conv_net, graph, needs_shared, node, placeholder, tensorflow

pytestmark = pytest.mark.tensorflow

SAMPLES = Path(__file__).parents[2] / "resources" / "samples"
DIGITS = DataSpec(
    "idx", str(SAMPLES / "t10k-1000-images-idx3-ubyte.gz"), height=28, width=28, channels=1, std=255.0, limit=40
)
LENET = ModelRef(str(SAMPLES / "lenet-5.pb"))


def exported(model: ModelRef, target: Path, kind: str, data: DataSpec | None = None) -> ExportedModel:
    from compressor_gui.engine.export_model import export_model

    return export_model(ExportModel(model, str(target), kind, data), Job(1, lambda number, event: None))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where exports go; nothing else is in it when all is well."""
    (tmp_path / "made").mkdir()
    return tmp_path / "made"


@pytest.fixture
def model(tmp_path: Path) -> ModelRef:
    return file(tmp_path, conv_net())


def file(folder: Path, made: ModelGraph) -> ModelRef:
    write_graph(made, folder / "model.pb")
    return ModelRef(str(folder / "model.pb"))


def quantized(model: ModelRef, name: str) -> ModelRef:
    return ModelRef(model.path, Recipe.of(make(name, {})).to_json())


@pytest.mark.parametrize("name", ["out.pb", "out.pbtxt"])
def test_graphs_are_written_as_they_are(model: ModelRef, folder: Path, name: str) -> None:
    found = exported(model, folder / name, Path(name).suffix[1:])
    assert [check.equal for check in found.outputs] == [True]
    assert found.size == (folder / name).stat().st_size
    made, source = read_graph(folder / name), read_graph(model.path)
    assert all(node.same(source[node.name]) for node in made.nodes)
    assert len(made) == len(source)
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize("recipe", ["quantize_weights", "quantize_nodes"])
def test_a_saved_model_has_a_signature_and_any_op(model: ModelRef, folder: Path, recipe: str) -> None:
    tf = tensorflow()
    found = exported(quantized(model, recipe), folder / "saved", "saved_model")
    assert found.outputs[0].equal
    assert [path.name for path in folder.iterdir()] == ["saved"]
    loaded = tf.saved_model.load(str(folder / "saved"))
    scores = loaded.signatures["serving_default"](input=tf.zeros((1, 8, 8, 3)))["softmax"]
    assert scores.shape == (1, 10)
    assert found.size > (folder / "saved" / "saved_model.pb").stat().st_size - 1


def test_names_that_are_no_keywords_of_python_are_made_some(tmp_path: Path, folder: Path) -> None:
    inputs = (placeholder("a/b", (1, 2)), placeholder("class", (1, 2)), placeholder("a_b", (1, 2)))
    made = graph(*inputs, node("1/sum", "AddN", "a/b", "class", "a_b", N=3))
    exported(file(tmp_path, made), folder / "saved", "saved_model")
    signature = tensorflow().saved_model.load(str(folder / "saved")).signatures["serving_default"]
    assert sorted(signature.structured_input_signature[1]) == ["_class", "a_b", "a_b_"]
    assert list(signature.structured_outputs) == ["_1_sum"]


def interpreted(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = tensorflow().lite.Interpreter(model_path=str(path))
    made.allocate_tensors()
    return made


@pytest.mark.parametrize(
    ("kind", "low", "high", "share"),
    [("tflite", 100, 999, 1.1), ("tflite_dynamic", 25, 90, 0.3), ("tflite_int8", 20, 90, 0.3)],
)
def test_tensorflow_lite(folder: Path, kind: str, low: float, high: float, share: float) -> None:
    data = DIGITS if kind == "tflite_int8" else None
    found = exported(LENET, folder / "out.tflite", kind, data)
    assert low < found.outputs[0].sqnr_db < high
    assert found.size < share * Path(LENET.path).stat().st_size
    assert found.notes == (f"loaded and run again on 4 {'examples of the data' if data else 'made-up inputs'}",)
    made = interpreted(folder / "out.tflite")
    assert made.get_input_details()[0]["dtype"] == np.float32
    kinds = {entry["dtype"] for entry in made.get_tensor_details()}
    assert (np.int8 in kinds) == (kind != "tflite")


def test_full_int8_asks_for_examples(folder: Path) -> None:
    refused(LENET, folder / "out.tflite", "tflite_int8", r"needs examples to calibrate on \(describe the data")


def refused(model: ModelRef, target: Path, kind: str, match: str) -> None:
    with pytest.raises(CompressorError, match=match) as caught:
        exported(model, target, kind)
    assert "\n" not in str(caught.value)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("recipe", ["quantize_weights", "quantize_nodes"])
def test_what_is_quantized_already_is_no_tflite(model: ModelRef, folder: Path, recipe: str) -> None:
    words = r"the op \w+ \(node .*\) has no counterpart in TensorFlow Lite \(export the model before it was quantized"
    refused(quantized(model, recipe), folder / "out.tflite", "tflite", words)


def test_what_tensorflow_lite_lacks_is_named(tmp_path: Path, folder: Path) -> None:
    made = graph(placeholder("x", (4, 4)), node("y", "Cholesky", "x"), node("z", "Neg", "y"))
    with pytest.raises(CompressorError) as caught:
        exported(file(tmp_path, made), folder / "out.tflite", "tflite")
    assert "\n" not in str(caught.value)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["pb", "saved_model", "tflite"])
def test_a_graph_that_writes_files_is_not_run(tmp_path: Path, folder: Path, kind: str) -> None:
    victim = tmp_path / "victim"
    name, text = (const(n, np.array(v, object), DType.STRING) for n, v in (("n", str(victim).encode()), ("t", b"!")))
    made = graph(
        name, text, Node.make("w", "WriteFile", ("n", "t")), Node.make("y", "Identity", ("t", "^w"), T=DType.STRING)
    )
    refused(file(tmp_path, made), folder / "out", kind, r"the op WriteFile \(node 'w'\)")
    assert not victim.exists()


def test_what_is_there_is_not_replaced_by_a_folder(model: ModelRef, folder: Path) -> None:
    target = folder / "saved"
    target.mkdir()
    exported(model, target, "saved_model")  # it was empty
    before = sorted(target.rglob("*"))
    with pytest.raises(CompressorError, match="there is something of this name"):
        exported(model, target, "saved_model")
    with pytest.raises(CompressorError, match="not a file that can be written over"):
        exported(model, target, "tflite")
    with pytest.raises(CompressorError, match="it can't be written"):
        exported(model, folder / "missing" / "saved", "saved_model")
    with pytest.raises(CompressorError, match="never overwritten"):
        exported(model, Path(model.path), "pb")
    assert sorted(target.rglob("*")) == before
    assert list(folder.iterdir()) == [target]


def test_an_unknown_format_is_a_sentence(model: ModelRef, folder: Path) -> None:
    refused(model, folder / "out.onnx", "onnx", r"no format 'onnx' \(the formats are pb, pbtxt, saved_model")


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file can grow above 1,000 bytes."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.parametrize("kind", ["pb", "pbtxt", "saved_model", "tflite"])
def test_a_full_disk_leaves_nothing(folder: Path, small_disk: None, kind: str) -> None:
    refused(LENET, folder / "out", kind, "can't be written")


def test_a_cancelled_export_leaves_nothing(model: ModelRef, folder: Path) -> None:
    from compressor_gui.engine.export_model import export_model

    job = Job(1, lambda number, event: event.message.startswith("loading and") and job.cancelled.set())  # type: ignore[union-attr]
    with pytest.raises(Stop):
        export_model(ExportModel(model, str(folder / "saved"), "saved_model"), job)
    assert list(folder.iterdir()) == []


@needs_shared
def test_a_real_model_that_tensorflow_lite_can_not_run_in_int8(folder: Path) -> None:
    data = DataSpec("images", str(SHARED / "images"), height=192, width=192, dtype="int32", std=1.0, limit=4)
    movenet = ModelRef(str(SHARED / "models" / "movenet-lightning.pb"))
    with pytest.raises(CompressorError, match="TensorFlow Lite does not run what it converted: "):
        exported(movenet, folder / "out.tflite", "tflite_int8", data)
    assert list(folder.iterdir()) == []


def test_the_command(folder: Path) -> None:
    arguments = ["export", LENET.path, "-o", str(folder / "out.tflite"), "--format", "tflite_int8", "--json"]
    result = CliRunner().invoke(cli, [*arguments, "--data", DIGITS.path, "--limit", "20"])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert (data["format"], data["bytes"]) == ("tflite_int8", (folder / "out.tflite").stat().st_size)
    assert data["outputs"][0]["sqnr_db"] > 20
    for wrong in (["-o", str(folder / "out.onnx")], ["-o", str(folder)], ["-o", str(folder / "no" / "out.pb")]):
        result = CliRunner().invoke(cli, ["export", LENET.path, *wrong])
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")


def test_a_real_engine(folder: Path) -> None:
    with EngineClient() as engine:
        found = engine.run(ExportModel(LENET, str(folder / "out.tflite"), "tflite"))
        assert found.outputs[0].sqnr_db > 100
        made = Net((1, 4)).dense(2).build()
        write_graph(made, folder / "small.pb")
        again = engine.run(ExportModel(ModelRef(str(folder / "small.pb")), str(folder / "saved"), "saved_model"))
        assert again.outputs[0].equal

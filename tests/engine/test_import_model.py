from __future__ import annotations

import json
import resource
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import Imported, ImportModel
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.serve import Job
from tests.support import run_tf, tensorflow

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:You are saving:UserWarning", "ignore:__array__:DeprecationWarning"),  # Keras's
]

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(4, 3)).astype(np.float32)


def imported(source: object, target: Path, **options: Any) -> Imported:
    from compressor_gui.engine.import_model import import_model

    return import_model(ImportModel(str(source), str(target), **options), Job(1, lambda number, event: None))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the graph is written; the only file in its folder when all is well."""
    (tmp_path / "made").mkdir()
    return tmp_path / "made" / "out.pb"


def refused(source: object, target: Path, match: str, **options: Any) -> None:
    with pytest.raises(CompressorError, match=match) as caught:
        imported(source, target, **options)
    assert "\n" not in str(caught.value)
    assert list(target.parent.iterdir()) == []


# --- SavedModel ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two signatures, each of nested functions; the default one has a loop and a branch too."""
    tf = tensorflow()
    folder = tmp_path_factory.mktemp("saved") / "model"
    module = tf.Module()
    module.weights = tf.Variable(WEIGHTS, name="dense/kernel")
    spec = tf.TensorSpec((None, 4), tf.float32, name="x")

    def inner(x: Any) -> Any:
        return tf.linalg.matmul(x, module.weights)

    def plain(x: Any) -> Any:
        return {"scores": tf.function(inner, autograph=False)(x)}

    def looped(x: Any) -> Any:
        _, y = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, tf.nn.relu(y) * 0.5), (0, x))
        z = tf.cond(tf.reduce_sum(y) > 0, lambda: y + 1.0, lambda: y - 1.0)
        return {"scores": tf.linalg.matmul(z, module.weights), "sum": tf.reduce_sum(z, -1)}

    made = {name: tf.function(f, autograph=False).get_concrete_function(spec) for name, f in
            (("serving_default", looped), ("plain", plain))}  # fmt: skip
    tf.saved_model.save(module, str(folder), signatures=made)
    return folder


def test_a_signature_is_chosen_and_everything_inlined(saved_model: Path, target: Path) -> None:
    found = imported(saved_model, target, signature="plain")
    graph = read_graph(target)
    assert [(node.name, node.op) for node in graph.nodes] == [
        ("x", "Placeholder"), ("dense/kernel", "Const"), ("MatMul", "MatMul"), ("scores", "Identity")
    ]  # fmt: skip
    assert (found.inputs, found.outputs) == (("x",), ("scores",))
    assert found.checks[0].equal
    assert found.notes == ("the signature plain was taken; the others are serving_default",)
    assert list(target.parent.iterdir()) == [target]


def test_loops_and_branches_are_lowered(saved_model: Path, target: Path) -> None:
    found = imported(saved_model / "saved_model.pb", target)
    graph = read_graph(target, outputs=found.outputs)
    assert found.outputs == ("scores", "sum")
    assert all(check.equal for check in found.checks)
    assert {"Enter", "NextIteration", "Switch", "Merge"} <= set(graph.op_counts)
    assert not {"While", "If", "PartitionedCall", "StatefulPartitionedCall"} & set(graph.op_counts)
    x = RANDOM.normal(size=(2, 4)).astype(np.float32)
    y = np.maximum(x, 0) * 0.125
    expected = (y + (1 if y.sum() > 0 else -1)) @ WEIGHTS
    np.testing.assert_allclose(run_tf(graph, {"x": x})["scores"], expected, rtol=1e-5)


def test_a_missing_signature_names_those_that_are_there(saved_model: Path, target: Path) -> None:
    refused(saved_model, target, r"no signature 'nope' \(it has serving_default, plain\)", signature="nope")


def test_a_session_of_tensorflow_1_keeps_its_names(tmp_path: Path, target: Path) -> None:
    tf = tensorflow()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, (None, 4), "x")
        w = tf.compat.v1.get_variable("w", initializer=WEIGHTS, use_resource=False)
        y = tf.nn.softmax(tf.matmul(x, w), name="probabilities")
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.saved_model.simple_save(session, str(tmp_path / "saved"), {"in": x}, {"class": y})
    found = imported(tmp_path / "saved", target)  # "in" and "class" are words of Python
    assert (found.inputs, found.outputs) == (("x",), ("probabilities",))
    assert found.checks[0].equal
    assert {"x", "w", "MatMul", "probabilities"} <= set(read_graph(target))


@pytest.mark.parametrize("where", ["signature", "initializer", "function"])
def test_a_saved_model_that_writes_files_is_not_even_loaded(tmp_path: Path, target: Path, where: str) -> None:
    tf = tensorflow()
    victim = str(tmp_path / "victim")
    module = tf.Module()

    def write() -> None:
        tf.io.write_file(victim, "!")

    def call(x: Any) -> Any:
        if where == "signature":
            write()
        elif where == "function":
            tf.function(write, autograph=False)()
        return {"y": x * 2.0}

    class Resource(tf.saved_model.experimental.TrackableResource):
        def _create_resource(self) -> Any:
            write()
            return tf.raw_ops.HashTableV2(key_dtype=tf.int64, value_dtype=tf.int64)

    spec = tf.TensorSpec((2,), tf.float32, name="x")
    with tf.init_scope():
        if where == "initializer":
            module.resource = Resource()
            assert module.resource.resource_handle is not None
        concrete = tf.function(call, autograph=False).get_concrete_function(spec)
        tf.saved_model.save(module, str(tmp_path / "saved"), signatures=concrete)
    Path(victim).unlink(missing_ok=True)
    refused(tmp_path / "saved", target, r"the op WriteFile \(node .*\) may do more than compute")
    assert not Path(victim).exists()


def test_a_table_can_not_be_frozen_and_random_outputs_are_told(tmp_path: Path, target: Path) -> None:
    tf = tensorflow()
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([0, 1], [5, 6]), -1)
    spec = tf.TensorSpec((3,), tf.int32, name="x")
    for name, call in (
        ("table", lambda x: {"y": module.table.lookup(x)}),
        ("random", lambda x: {"y": tf.random.normal((3,)) + tf.cast(x, tf.float32)}),
    ):
        concrete = tf.function(call, autograph=False).get_concrete_function(spec)
        tf.saved_model.save(module, str(tmp_path / name), signatures=concrete)
    refused(tmp_path / "table", target, "freeze it: it has a table or other state")
    assert "it may be random" in imported(tmp_path / "random", target).notes[0]


def test_a_damaged_saved_model_is_a_sentence(tmp_path: Path, target: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x12\xff\xff")
    refused(tmp_path, target, "the SavedModel can't be read: it is damaged")
    (tmp_path / "saved_model.pb").write_bytes(b"")
    refused(tmp_path, target, "the SavedModel is empty")


def test_a_saved_model_without_its_variables_is_a_sentence(saved_model: Path, tmp_path: Path, target: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes((saved_model / "saved_model.pb").read_bytes())
    refused(tmp_path, target, "TensorFlow can't load or freeze it: ")


# --- Keras -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras() -> Any:
    tensorflow()
    import keras

    return keras


def network(keras: Any, *, code: bool = False) -> Any:
    picture = keras.Input((8, 8, 3), name="picture")
    layers = keras.layers
    flat = layers.Flatten()(layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu", name="conv")(picture)))
    classes = layers.Dense(5, activation="softmax", name="classes")(flat)
    if code:
        classes = layers.Lambda(lambda values: values * 2, name="secret")(classes)
    return keras.Model(picture, [classes, layers.Dense(2, name="box")(flat)])


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_keras_file_is_frozen(keras: Any, tmp_path: Path, target: Path, ending: str) -> None:
    path = tmp_path / f"model{ending}"
    network(keras).save(path)
    found = imported(path, target)
    assert (found.inputs, found.outputs) == (("picture",), ("classes", "box"))
    assert all(check.sqnr_db > 100 for check in found.checks)  # Keras may add the same numbers in another order
    assert {"conv/kernel", "classes/bias"} <= set(read_graph(target))


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_lambda_is_refused(keras: Any, tmp_path: Path, target: Path, ending: str) -> None:
    path = tmp_path / f"model{ending}"
    network(keras, code=True).save(path)
    refused(path, target, r"the layer 'secret' \(Lambda\) is Python code, so it was not loaded")


def edited(source: Path, change: Any) -> Path:
    """A copy of a .keras file with another configuration."""
    target = source.with_stem("edited")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "config.json":
                config = json.loads(data)
                change(config["config"]["layers"])
                data = json.dumps(config).encode()
            new.writestr(name, data)
    return target


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"class_name": "Mine", "registered_name": "pack>Mine"}, "the class Mine, which is not Keras's own"),
        ({"module": "os", "class_name": "system"}, "the class system, which is not Keras's own"),
        ({"module": "keras_evil", "class_name": "Dense"}, "the class Dense, which is not Keras's own"),
        ({"module": "keras.utils", "class_name": "function", "config": "get_file"}, "the Python function 'get_file'"),
        ({"class_name": "TFSMLayer"}, "loads another model by its path"),
        ({"class_name": "TorchModuleWrapper"}, "is a pickled PyTorch module"),
        ({"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}, "reads the file '/etc/passwd'"),
    ],
)
def test_what_else_runs_code_or_reads_files_is_refused(
    keras: Any, tmp_path: Path, target: Path, change: dict, words: str
) -> None:
    network(keras).save(tmp_path / "model.keras")
    refused(edited(tmp_path / "model.keras", lambda layers: layers[1].update(change)), target, words)


def test_a_file_is_looked_through_as_what_keras_reads(keras: Any, tmp_path: Path, target: Path) -> None:
    network(keras).save(tmp_path / "good.keras")
    network(keras, code=True).save(tmp_path / "bad.h5")
    zipped, hdf5 = (tmp_path / "good.keras").read_bytes(), (tmp_path / "bad.h5").read_bytes()
    (tmp_path / "both.h5").write_bytes(hdf5 + zipped)  # a zip archive too, as these are read from their end
    refused(tmp_path / "both.h5", target, "is Python code")
    (tmp_path / "both.keras").write_bytes(hdf5 + zipped)
    (tmp_path / "zipped.h5").write_bytes(zipped)
    (tmp_path / "good.zip").write_bytes(zipped)
    for name in ("both.keras", "zipped.h5", "good.zip"):
        refused(tmp_path / name, target, "no SavedModel, Keras file or checkpoint")


def test_damaged_and_other_files_are_sentences(keras: Any, tmp_path: Path, target: Path) -> None:
    network(keras).save(tmp_path / "model.keras")
    (tmp_path / "cut.keras").write_bytes((tmp_path / "model.keras").read_bytes()[:500])
    (tmp_path / "bad.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    network(keras).save_weights(tmp_path / "only.weights.h5")
    refused(tmp_path / "cut.keras", target, "it can't be read: .*is it damaged")
    refused(tmp_path / "bad.h5", target, "it can't be read: .*is it damaged")
    refused(tmp_path / "only.weights.h5", target, "no model in it, only weights")
    refused(tmp_path / "missing.keras", target, "there is no such file or folder")
    refused(tmp_path, target, "no SavedModel, Keras file or checkpoint")


# --- checkpoint ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph that is being trained: x, w, logits, probs, labels, a loss, gradients and Adam's variables."""
    tf = tensorflow()
    prefix = tmp_path_factory.mktemp("checkpoint") / "model.ckpt-7"
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, (None, 4), "x")
        labels = tf.compat.v1.placeholder(tf.int64, (None,), "labels")
        w = tf.compat.v1.get_variable("w", initializer=WEIGHTS, use_resource=False)
        logits = tf.matmul(x, w, name="logits")
        tf.nn.softmax(logits, name="probs")
        cross = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        tf.compat.v1.train.AdamOptimizer(0.1).minimize(tf.reduce_mean(cross, name="loss"))
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(prefix), write_state=False)
    return prefix


@pytest.mark.parametrize("part", ["", ".meta", ".index", "folder"])
def test_a_checkpoint_is_frozen_from_any_of_its_files(checkpoint: Path, target: Path, part: str) -> None:
    found = imported(checkpoint.parent if part == "folder" else f"{checkpoint}{part}", target)
    assert (found.inputs, found.outputs) == (("x",), ("probs",))
    assert found.notes == ("nothing in a checkpoint says what its outputs are; taken: probs",)
    assert found.checks[0].equal
    assert set(read_graph(target)) == {"x", "w", "logits", "probs"}


def test_outputs_of_a_checkpoint_are_named(checkpoint: Path, target: Path) -> None:
    found = imported(checkpoint, target, outputs=("logits", "loss"))
    assert (found.inputs, found.outputs, found.notes) == (("x", "labels"), ("logits", "loss"), ())
    target.unlink()
    refused(checkpoint, target, "there is no node 'nope'", outputs=("nope",))


def test_a_checkpoint_without_its_graph_or_values_is_a_sentence(checkpoint: Path, tmp_path: Path, target: Path) -> None:
    index, meta = (checkpoint.with_name(checkpoint.name + ending) for ending in (".index", ".meta"))
    (tmp_path / "a.index").write_bytes(index.read_bytes())
    refused(tmp_path / "a.index", target, r"no \.meta beside this checkpoint")
    (tmp_path / "b.meta").write_bytes(meta.read_bytes())
    refused(tmp_path / "b", target, "can't load or freeze it")
    (tmp_path / "c.meta").write_bytes(b"\xff\xff")
    refused(tmp_path / "c.meta", target, "no MetaGraphDef")


def test_a_checkpoint_with_python_in_its_graph_is_refused(tmp_path: Path, target: Path) -> None:
    tf = tensorflow()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        w = tf.compat.v1.get_variable("w", initializer=WEIGHTS, use_resource=False)
        tf.compat.v1.py_func(lambda v: v, [w], tf.float32, name="output")
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "model"), write_state=False)
    refused(tmp_path / "model", target, r"the op PyFunc \(node 'output'\)")


@pytest.mark.parametrize("kind", ["checkpoint", "saved"])
def test_a_variable_that_is_read_behind_a_write_is_refused(tmp_path: Path, target: Path, kind: str) -> None:
    """No output leads to the node that freezing reads a variable with."""
    tf = tensorflow()
    victim = tmp_path / "victim"
    with tf.Graph().as_default() as made, tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, (None, 4), "x")
        w = tf.compat.v1.get_variable("w", initializer=WEIGHTS, use_resource=True)
        y = tf.matmul(x, w, name="probs")
        session.run(tf.compat.v1.global_variables_initializer())
        write = tf.raw_ops.WriteFile(filename=str(victim), contents="!", name="ew")
        made.get_operation_by_name("w/Read/ReadVariableOp")._add_control_input(write)
        if kind == "saved":
            tf.compat.v1.saved_model.simple_save(session, str(tmp_path / "m"), {"x": x}, {"y": y})
        else:
            tf.compat.v1.train.Saver().save(session, str(tmp_path / "m"), write_state=False)
    refused(tmp_path / "m", target, r"the op WriteFile \(node 'ew'\) may do more than compute")
    assert not victim.exists()


def test_only_the_saver_may_restore(tmp_path: Path, target: Path) -> None:
    tf = tensorflow()
    module, spec = tf.Module(), tf.TensorSpec((2,), tf.float32, name="x")

    def call(x: Any) -> Any:
        (other,) = tf.raw_ops.RestoreV2(prefix="other", tensor_names=["w"], shape_and_slices=[""], dtypes=[tf.float32])
        return {"y": x + tf.reshape(other, [2])}

    concrete = tf.function(call, autograph=False).get_concrete_function(spec)
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=concrete)
    refused(tmp_path / "saved", target, r"the op RestoreV2 \(node '.*RestoreV2'\) may do more than compute")


def test_what_was_frozen_is_looked_through(saved_model: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from compressor_gui.engine import import_model

    monkeypatch.setattr(import_model, "refuse_untrusted_meta", lambda *_: None)
    monkeypatch.setattr("compressor_gui.core.trust.harmless_ops", lambda: frozenset({"Placeholder", "Const"}))
    refused(saved_model, target, r"the op MatMul \(node .*\).* may do more than compute", signature="plain")
    assert imported(saved_model, target, signature="plain", allow_unsafe_ops=True).outputs == ("scores",)


# --- writing, and the command ----------------------------------------------------------------------------------------


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file can grow above 100 bytes."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_leaves_nothing(saved_model: Path, target: Path) -> None:
    refused(saved_model, target, "it can't be written")


def test_the_command(saved_model: Path, target: Path) -> None:
    arguments = ["import", str(saved_model), "-o", str(target), "--json", "--signature", "plain"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert (data["inputs"], data["outputs"], data["checks"][0]["equal"]) == (["x"], ["scores"], True)
    assert data["bytes"] == target.stat().st_size
    result = CliRunner().invoke(cli, ["inspect", str(saved_model)])
    assert "compressor-cli import" in result.stderr


def test_a_real_engine_refuses_a_lambda_and_lives_on(keras: Any, tmp_path: Path, target: Path) -> None:
    network(keras, code=True).save(tmp_path / "model.keras")
    network(keras).save(tmp_path / "good.keras")
    with EngineClient() as engine:
        with pytest.raises(CompressorError, match="is Python code"):
            engine.run(ImportModel(str(tmp_path / "model.keras"), str(target)))
        pid = engine.pid
        assert engine.run(ImportModel(str(tmp_path / "good.keras"), str(target))).outputs == ("classes", "box")
        assert engine.pid == pid

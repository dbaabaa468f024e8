"""A model in other formats, loaded and run again before it counts as written."""

from __future__ import annotations

import contextlib
import itertools
import keyword
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow.lite.python.convert_phase import ConverterError

from compressor_gui.core import pbio
from compressor_gui.core.compare import compare_output
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import FORMATS, ExportedModel, ExportModel
from compressor_gui.core.placeholders import placeholders
from compressor_gui.core.serve import Job
from compressor_gui.engine.dataset import open_dataset
from compressor_gui.engine.models import Model, load_model, runnable_feeds
from compressor_gui.engine.session import TF_ERRORS, LoadedGraph, brief, failure, plain, quiet, tf

SAMPLES = 4
"""Inputs that the model and what was written are both run on."""

CALIBRATION = 100
"""Examples that full int8 looks at, unless the data has a limit of its own."""

_SIGNATURE = "serving_default"
_QUANTIZED = re.compile(r"_?(Quantize|Dequantize|Requant)")

Feeds = Mapping[str, np.ndarray]
Run = Callable[[Feeds], list[np.ndarray]]


@dataclass(frozen=True, eq=False)
class _Source:
    """The model, with the tensors ``fetches`` that it computes from the placeholders ``inputs``."""

    model: Model
    inputs: tuple[str, ...]
    fetches: list[str]
    request: ExportModel

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        return self.model.loaded.run(self.fetches, feeds)


def export_model(request: ExportModel, job: Job) -> ExportedModel:
    """See ExportModel. Raises CompressorError; nothing is left beside the target then."""
    if request.format not in FORMATS:
        words = f"there is no format {request.format!r}"
        raise CompressorError(words, hint=f"the formats are {', '.join(FORMATS)}")
    target = Path(request.target)
    job.progress(0, 4, "loading the model")
    with load_model(request.model) as model, quiet():
        fetches = [tensor for tensors in model.loaded.tensors(model.outputs).values() for tensor in tensors]
        source = _Source(model, tuple(node.name for node in placeholders(model.graph)), fetches, request)
        samples, synthetic = _samples(source, job)
        job.progress(1, 4, "writing")
        written = _write_saved_model if request.format == "saved_model" else _write_file
        with written(source, target, job) as temporary:
            job.progress(2, 4, "loading and running what was written")
            with _READERS[request.format](source, temporary) as run:
                checks = _compare(source, run, samples, job)
            size = sum(file.stat().st_size for file in (temporary, *temporary.rglob("*")) if file.is_file())
            _move(temporary, target, request.model.path)
    kind = "made-up inputs" if synthetic else "examples of the data"
    return ExportedModel(str(target), size, checks, (f"loaded and run again on {len(samples)} {kind}",))


def _samples(source: _Source, job: Job) -> tuple[list[Feeds], bool]:
    """What both are run on: the first examples of the data, else inputs that are made up."""
    if source.request.data is not None:
        examples = open_dataset(source.request.data, source.model.graph, 1)
        return [batch.feeds for batch in itertools.islice(examples, SAMPLES)], False

    def attempt(feeds: Feeds) -> None:
        job.check()
        source.run(feeds)

    try:
        return [runnable_feeds(source.model.graph, attempt, seed=seed) for seed in range(SAMPLES)], True
    except TF_ERRORS as error:
        raise failure(error, "TensorFlow does not run the model", source.model.ref.path) from None


def _compare(source: _Source, run: Run, samples: list[Feeds], job: Job) -> tuple[Any, ...]:
    pairs = []
    for feeds in samples:
        job.check()
        pairs.append((source.run(feeds), run(feeds)))
    checks = []
    for at, tensor in enumerate(source.fetches):
        found = [(plain(x[at]), plain(y[at])) for x, y in pairs]
        checks.append(compare_output(tensor.removesuffix(":0"), [x for x, _ in found], [y for _, y in found]))
    wrong = next((check for check in checks if not check.finite), None)
    if wrong is not None:
        what = f"its output {wrong.name!r} is not finite or has another shape than the model's, so it was not written"
        raise CompressorError(what, where=source.request.target)
    return tuple(checks)


# --- writing ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _write_file(source: _Source, target: Path, job: Job) -> Iterator[Path]:
    graph, kind = source.model.graph, source.request.format
    if kind == "pb":
        parts = pbio.serialize(graph)
    else:
        parts = [pbio.to_text(graph).encode() if kind == "pbtxt" else _tflite(source, job)]
    temporary = pbio.bytes_beside(parts, target)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _write_saved_model(source: _Source, target: Path, job: Job) -> Iterator[Path]:
    """A SavedModel in a folder beside its target."""
    try:
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise CompressorError("there is something of this name", where=str(target), hint="name a new folder")
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}-", dir=target.parent))
    except OSError as error:
        raise pbio.cannot_write(target, error) from None
    try:
        loaded = source.model.loaded
        tensors = {name: loaded.tensor(f"{name}:0") for name in source.inputs}
        inputs = dict(zip(_keys(source.inputs), tensors.values(), strict=True))
        outputs = dict(zip(_output_keys(source), map(loaded.tensor, source.fetches), strict=True))
        with loaded.session.graph.as_default():
            signature = tf.compat.v1.saved_model.predict_signature_def(inputs, outputs)
            builder = tf.compat.v1.saved_model.Builder(str(folder / "model"))
            builder.add_meta_graph_and_variables(loaded.session, ["serve"], {_SIGNATURE: signature})
            builder.save()
        yield folder / "model"
    except TF_ERRORS as error:
        raise failure(error, "the SavedModel can't be written", str(target)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(temporary: Path, target: Path, source: str) -> None:
    if temporary.is_file():
        pbio.move_over(temporary, target, source)
        return
    try:
        os.replace(temporary, target)
    except OSError as error:
        raise pbio.cannot_write(target, error) from None


def _keys(names: tuple[str, ...] | list[str]) -> list[str]:
    """Names as the keywords of a signature: identifiers, each another."""
    found: dict[str, None] = {}
    for name in names:
        key = re.sub(r"\W", "_", name.removesuffix(":0"))
        key = f"_{key}" if keyword.iskeyword(key) or not key.isidentifier() else key
        while key in found:
            key += "_"
        found[key] = None
    return list(found)


def _output_keys(source: _Source) -> list[str]:
    return _keys(source.fetches)


def _tflite(source: _Source, job: Job) -> bytes:
    """The bytes of a ``.tflite``. Raises CompressorError where TensorFlow Lite can't hold the graph."""
    request, graph = source.request, source.model.graph
    quantized = next((node for node in graph.nodes if _QUANTIZED.match(node.op)), None)
    if quantized is not None:
        raise CompressorError(
            f"the op {quantized.op} (node {quantized.name!r}) has no counterpart in TensorFlow Lite",
            where=request.target,
            hint="export the model before it was quantized: tflite_dynamic and tflite_int8 quantize it themselves",
        )
    loaded = source.model.loaded
    inputs, outputs = [loaded.tensor(f"{n}:0") for n in source.inputs], [loaded.tensor(t) for t in source.fetches]
    converter = tf.compat.v1.lite.TFLiteConverter.from_session(loaded.session, inputs, outputs)
    if request.format != "tflite":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if request.format == "tflite_int8":
        if request.data is None:
            raise CompressorError("full int8 needs examples to calibrate on", hint="describe the data (--data)")
        examples = open_dataset(request.data, graph, 1)
        count = request.data.limit or CALIBRATION

        def representative() -> Iterator[list[np.ndarray]]:
            for number, batch in enumerate(itertools.islice(examples, count)):
                job.progress(number, count, "calibrating")
                yield [batch.feeds[name] for name in source.inputs]

        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    try:
        return bytes(converter.convert())
    except (*TF_ERRORS, RuntimeError, ConverterError) as error:
        ops = re.search(r"^(?:TF Select|Custom) ops: (.+)$", str(error), re.MULTILINE)
        reason = f"it has no op for {ops[1]}" if ops else brief(error)
        raise CompressorError(f"TensorFlow Lite can't hold this graph: {reason}", where=request.target) from None


# --- reading ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _read_graph(source: _Source, path: Path) -> Iterator[Run]:
    graph = pbio.read_graph(path, outputs=source.model.outputs)
    with LoadedGraph(path.read_bytes(), graph, where=source.request.target) as loaded:
        yield lambda feeds: loaded.run(source.fetches, feeds)


@contextlib.contextmanager
def _read_saved_model(source: _Source, path: Path) -> Iterator[Run]:
    function = tf.saved_model.load(str(path)).signatures[_SIGNATURE]
    keys = _output_keys(source)

    def run(feeds: Feeds) -> list[np.ndarray]:
        named = zip(_keys(source.inputs), source.inputs, strict=True)
        found = function(**{key: tf.constant(feeds[name]) for key, name in named})
        return [found[key].numpy() for key in keys]

    yield run


@contextlib.contextmanager
def _read_tflite(source: _Source, path: Path) -> Iterator[Run]:
    interpreter = tf.lite.Interpreter(model_content=path.read_bytes())
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()

    def run(feeds: Feeds) -> list[np.ndarray]:
        try:
            for entry, name in zip(inputs, source.inputs, strict=True):
                interpreter.resize_tensor_input(entry["index"], feeds[name].shape)
            interpreter.allocate_tensors()
            for entry, name in zip(inputs, source.inputs, strict=True):
                interpreter.set_tensor(entry["index"], feeds[name])
            interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise failure(error, "TensorFlow Lite does not run what it converted", source.request.target) from None
        return [np.array(interpreter.get_tensor(entry["index"])) for entry in outputs]

    yield run


_READERS: Mapping[str, Callable[[_Source, Path], contextlib.AbstractContextManager[Run]]] = {
    "pb": _read_graph,
    "pbtxt": _read_graph,
    "saved_model": _read_saved_model,
    "tflite": _read_tflite,
    "tflite_dynamic": _read_tflite,
    "tflite_int8": _read_tflite,
}

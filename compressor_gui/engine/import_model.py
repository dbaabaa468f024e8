"""Models with variables, frozen into one graph that opens as any other."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from compressor_gui.core import pbio
from compressor_gui.core.compare import compare_output
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph, parse_ref
from compressor_gui.core.jobs import OutputCheck
from compressor_gui.core.measure import Imported, ImportModel
from compressor_gui.core.placeholders import placeholders
from compressor_gui.core.serve import Job
from compressor_gui.core.trust import refuse_untrusted
from compressor_gui.engine.keras_file import is_keras_file, load_keras
from compressor_gui.engine.meta_graph import read_meta, read_saved_model, refuse_untrusted_meta, signatures
from compressor_gui.engine.models import runnable_feeds
from compressor_gui.engine.session import REMAPPING, TF_ERRORS, LoadedGraph, brief, failure, plain, quiet, tf
from compressor_gui.engine.tidy import tidy

SAMPLES = 2
"""Inputs that the original and the frozen graph are both run on."""

GOOD_DB = 60.0
"""Below this SQNR the frozen graph differs by more than the order of float additions does."""

Run = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]


@dataclass(frozen=True, eq=False)
class _Frozen:
    """A frozen GraphDef, the tensors that it computes, and the original: feeds by placeholder -> the same tensors.

    ``renames`` are better names for nodes, ``notes`` sentences for the user.
    """

    definition: Any
    outputs: tuple[str, ...]
    original: Run
    renames: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def import_model(request: ImportModel, job: Job) -> Imported:
    """See ImportModel. Raises CompressorError; nothing is left beside the target then."""
    if not REMAPPING:
        tf.config.optimizer.set_experimental_options({"remapping": False})
    job.progress(0, 4, "loading the model")
    with quiet(), _opened(request) as frozen:
        job.progress(1, 4, "freezing")
        graph, renamed = _read(frozen)
        if not request.allow_unsafe_ops:
            refuse_untrusted(graph, request.source)
        job.progress(2, 4, "writing")
        temporary = pbio.write_beside(graph, request.target)
        try:
            job.progress(3, 4, "running the original and the frozen graph")
            checks, notes = _compare(temporary, graph, frozen, renamed, job)
            pbio.move_over(temporary, request.target, request.source)
        finally:
            temporary.unlink(missing_ok=True)
    inputs = tuple(node.name for node in placeholders(graph))
    return Imported(request.target, inputs, graph.outputs, (*frozen.notes, *notes), checks)


@contextlib.contextmanager
def _opened(request: ImportModel) -> Iterator[_Frozen]:
    """The model, frozen, while its original can be run."""
    source = Path(request.source)
    try:
        yield from _open(source, request)
    except (*TF_ERRORS, OSError, RuntimeError, AttributeError) as error:  # what its loaders raise
        raise failure(error, "TensorFlow can't load or freeze it", request.source) from None


def _open(source: Path, request: ImportModel) -> Iterator[_Frozen]:
    folder = source.parent if source.name in ("saved_model.pb", "saved_model.pbtxt") else source
    if (folder / "saved_model.pb").is_file() or (folder / "saved_model.pbtxt").is_file():
        yield from _saved_model(folder, request)
    elif (prefix := _checkpoint_prefix(source)) is not None:
        yield from _checkpoint(prefix, request)
    elif source.is_file() and is_keras_file(source):
        yield _keras(request)
    elif not source.exists():
        raise CompressorError("there is no such file or folder", where=str(source), hint="check the path")
    else:
        words = "this is no SavedModel, Keras file or checkpoint with a .meta"
        raise CompressorError(words, where=str(source), hint="frozen graphs are opened as they are")


# --- functions: SavedModel of TensorFlow 2, Keras -------------------------------------------------------------------


def _saved_model(folder: Path, request: ImportModel) -> Iterator[_Frozen]:
    meta = read_saved_model(folder)
    known = signatures(meta)
    name = request.signature or next(iter(known), "")
    if name not in known:
        words = f"it has no signature {name!r}" if name else "it has no signature, so nothing says what it computes"
        hint = f"it has {', '.join(known)}" if known else "save it again with one, or import its checkpoint"
        raise CompressorError(words, where=request.source, hint=hint)
    others = [other for other in known if other != name]
    notes = (f"the signature {name} was taken; the others are {', '.join(others)}",) if others else ()
    if not request.allow_unsafe_ops:
        refuse_untrusted_meta(meta, (), request.source)
    if not meta.object_graph_def.nodes:  # a session's, of TensorFlow 1
        found = known[name]
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            tf.compat.v1.saved_model.loader.load(session, list(meta.meta_info_def.tags), str(folder))
            yield _from_session(session, [found.outputs[key].name for key in sorted(found.outputs)], notes)
        return
    loaded = tf.saved_model.load(str(folder))
    yield _from_function(loaded.signatures[name], notes)


def _keras(request: ImportModel) -> _Frozen:
    model = load_keras(request.source)
    if not model.inputs:
        raise CompressorError(
            "the shapes of its inputs are unknown", where=request.source, hint="build and save it again"
        )

    names = getattr(model, "output_names", None) or [model.layers[-1].name]  # a Sequential has none of its own

    def call(**values: Any) -> dict[str, Any]:
        given = list(values.values())
        found = tf.nest.flatten(model(given if len(given) > 1 else given[0], training=False))
        return dict(zip(names, found, strict=True))

    specs = {_node_name(t.name): tf.TensorSpec(t.shape, t.dtype, _node_name(t.name)) for t in model.inputs}
    return _from_function(tf.function(call, autograph=False).get_concrete_function(**specs), keys=names)


def _node_name(name: str) -> str:
    """A Keras tensor's name as a keyword and a node can have it."""
    return re.sub(r"\W", "_", name.partition(":")[0])


def _from_function(function: Any, notes: tuple[str, ...] = (), keys: Sequence[str] = ()) -> _Frozen:
    """Freeze a concrete function that takes keywords and returns a dict; ``keys`` are the outputs in their order.

    Raises what TensorFlow raises, and ValueError where something can't be frozen.
    """
    frozen = convert_variables_to_constants_v2(function)
    if any(tensor.dtype == tf.resource for tensor in frozen.inputs):
        raise ValueError("it has a table or other state, which no constant of a graph can hold")
    tensors = dict(zip(sorted(function.structured_outputs), frozen.outputs, strict=True))
    keys = keys or list(tensors)
    outputs = tuple(tensors[key].name for key in keys)
    names = [tensor.op.name for tensor in frozen.inputs]
    arguments = dict(zip(names, sorted(function.structured_input_signature[1]), strict=True))

    def original(feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        given = {arguments[name]: tf.constant(value) for name, value in feeds.items()}
        found = function(**given)
        return [found[key].numpy() for key in keys]

    variables = {id(variable.handle): variable.name for variable in function.graph.variables}
    captured = ((inner.op.name, variables.get(id(outer))) for outer, inner in function.graph.captures)
    renames = {name: variable.partition(":")[0] for name, variable in captured if variable}
    renames |= {parse_ref(tensor).name: key for tensor, key in zip(outputs, keys, strict=True)}
    return _Frozen(frozen.graph.as_graph_def(), outputs, original, renames, notes)


# --- sessions: checkpoint, SavedModel of TensorFlow 1 ----------------------------------------------------------------


def _checkpoint_prefix(source: Path) -> Path | None:
    """The path that a checkpoint's files share, for any of them or their folder; None where there is no checkpoint."""
    if source.is_dir():
        metas = sorted(source.glob("*.meta"), key=lambda path: path.stat().st_mtime)
        return metas[-1].with_suffix("") if metas else None
    prefix = Path(re.sub(r"\.(meta|index|data-\d+-of-\d+)$", "", str(source)))
    if prefix.with_name(prefix.name + ".meta").is_file():
        return prefix
    if prefix.with_name(prefix.name + ".index").is_file():
        hint = "build the graph in Python and export a SavedModel"
        raise CompressorError(
            "there is no .meta beside this checkpoint, so its graph is unknown", where=str(source), hint=hint
        )
    return None


def _checkpoint(prefix: Path, request: ImportModel) -> Iterator[_Frozen]:
    meta = read_meta(prefix.with_name(prefix.name + ".meta"))
    outputs = request.outputs or _likely_outputs(meta)
    nodes = {node.name for node in meta.graph_def.node}
    missing = next((name for name in outputs if parse_ref(name).name not in nodes), None)
    if missing is not None or not outputs:
        words = f"there is no node {missing!r}" if outputs else "nothing says which nodes are its outputs"
        raise CompressorError(words, where=request.source, hint="name the nodes that it computes as outputs")
    if not request.allow_unsafe_ops:
        refuse_untrusted_meta(meta, outputs, request.source)
    notes = (
        () if request.outputs else (f"nothing in a checkpoint says what its outputs are; taken: {', '.join(outputs)}",)
    )
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        saver = tf.compat.v1.train.import_meta_graph(meta, clear_devices=True)
        if saver is None:
            raise CompressorError("its .meta does not say how to restore the variables", where=request.source)
        saver.restore(session, str(prefix))
        tensors = [f"{parse_ref(name).name}:{parse_ref(name).port}" for name in outputs]
        yield _from_session(session, tensors, notes)


_TRAINING = re.compile(r"(^|/)(gradients|save(_\d+)?|init(_\d+)?|report_uninitialized\w*)(/|$)|^Apply|^Assign|Summary$")
_LOSS = re.compile(r"loss|entropy|accuracy", re.IGNORECASE)
_RESULT = re.compile(r"(prob|predict|output|logits|scores)[^/]*$", re.IGNORECASE)


def _likely_outputs(meta: Any) -> tuple[str, ...]:
    """What a graph for training computes when it is used: the last softmax, else the last node that is named as results
    are, else the nodes that nobody reads; all without what belongs to training."""
    nodes = [n for n in meta.graph_def.node if n.input and not (_TRAINING.search(n.name) or _TRAINING.search(n.op))]
    softmax = [n.name for n in nodes if n.op in ("Softmax", "Sigmoid")]
    named = [n.name for n in nodes if _RESULT.search(n.name) and not _LOSS.search(f"{n.name} {n.op}")]
    read = {parse_ref(text).name for node in nodes for text in node.input}
    unread = [n.name for n in nodes if n.name not in read and n.op not in ("NoOp", "Identity")]
    return tuple(softmax[-1:] or named[-1:] or unread)


def _from_session(session: Any, outputs: Sequence[str], notes: tuple[str, ...]) -> _Frozen:
    """Freeze a session's graph, its variables being initialized."""
    definition = session.graph.as_graph_def(add_shapes=False)
    names = [parse_ref(name).name for name in outputs]
    frozen = tf.compat.v1.graph_util.convert_variables_to_constants(session, definition, names)

    def original(feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        found: list[np.ndarray] = session.run(list(outputs), {f"{name}:0": value for name, value in feeds.items()})
        return found

    return _Frozen(frozen, tuple(outputs), original, notes=notes)


# --- the frozen graph ------------------------------------------------------------------------------------------------


def _read(frozen: _Frozen) -> tuple[ModelGraph, dict[str, str]]:
    """The tidied graph, and old name -> new of its nodes."""
    nodes = tuple(dict.fromkeys(parse_ref(tensor).name for tensor in frozen.outputs))
    graph = pbio.parse_graph(frozen.definition.SerializeToString(deterministic=True), "the frozen graph", nodes)
    return tidy(graph, frozen.renames)


def _compare(
    path: Path, graph: ModelGraph, frozen: _Frozen, renamed: Mapping[str, str], job: Job
) -> tuple[tuple[OutputCheck, ...], tuple[str, ...]]:
    """Load the written file and run it beside the original. Raises CompressorError where it computes something else."""
    where = str(path)
    old = {new: name for name, new in renamed.items()}
    refs = [parse_ref(tensor) for tensor in frozen.outputs]
    fetches = [f"{renamed.get(ref.name, ref.name)}:{ref.port}" for ref in refs]

    def original(feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        job.check()
        return [np.asarray(v) for v in frozen.original({old.get(name, name): value for name, value in feeds.items()})]

    pairs: list[tuple[list[np.ndarray], list[np.ndarray]]] = []
    with LoadedGraph(path.read_bytes(), graph, where=where) as loaded:
        for seed in range(SAMPLES):
            try:
                feeds = runnable_feeds(graph, original, seed=seed)
            except TF_ERRORS as error:
                return (), (
                    f"it was loaded but not run: no input could be made that the original runs on: {brief(error)}",
                )
            try:
                pairs.append((original(feeds), loaded.run(fetches, feeds)))
            except TF_ERRORS as error:
                raise failure(error, "TensorFlow does not run the frozen graph", "") from None
    checks = tuple(
        compare_output(fetch.removesuffix(":0"), [plain(x[at]) for x, _ in pairs], [plain(y[at]) for _, y in pairs])
        for at, fetch in enumerate(fetches)
    )
    wrong = next((check for check in checks if not check.finite), None)
    if wrong is not None:
        raise CompressorError(f"the frozen graph's output {wrong.name!r} is not what the model computes")
    notes = [
        f"the output {check.name} is not quite what the model computes ({check.sqnr_db:.0f} dB): it may be random"
        for check in checks
        if check.sqnr_db < GOOD_DB
    ]
    return checks, tuple(notes)

"""Does a compressed graph load, run, and say the same as the original?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.compare import compare_output
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import CHECK_EXAMPLES, CHECK_INPUTS, CheckExport, ExportCheck
from compressor_gui.core.machine import ONEDNN, onednn_is_default
from compressor_gui.core.passes.int8.kernels import FUSED_OPS
from compressor_gui.core.serve import Job
from compressor_gui.core.trust import refuse_untrusted
from compressor_gui.core.units import shape as shape_text
from compressor_gui.engine.inputs import Guess, fitting, guesses, has_unknowns, make_feeds
from compressor_gui.engine.models import read_unchanged
from compressor_gui.engine.registry import refuse_lacking
from compressor_gui.engine.runner import open_examples
from compressor_gui.engine.session import HOPELESS, TF_ERRORS, LoadedGraph, brief, failure, plain

Values = list[np.ndarray]


@dataclass(frozen=True)
class _Model:
    """A file as the core reads it, loaded in TensorFlow."""

    graph: ModelGraph
    loaded: LoadedGraph


@dataclass(frozen=True)
class _Reference:
    """What the original was fed and what it answered to that: node -> tensors, one entry a sample in both."""

    fetches: Mapping[str, list[str]]
    feeds: list[dict[str, np.ndarray]]
    values: list[Values]
    notes: tuple[str, ...] = ()
    examples: int = 0
    labelled: bool = False

    @property
    def described(self) -> tuple[str, ...]:
        """The inputs as ``name float32 1x224x224x3``."""
        first = self.feeds[0] if self.feeds else {}
        return tuple(f"{name} {_type_name(value)} {shape_text(value.shape)}" for name, value in first.items())


def check_export(request: CheckExport, job: Job) -> ExportCheck:
    """See CheckExport. Raises CompressorError where a graph can't be read, is refused, or the candidate fails."""
    start = time.perf_counter()
    names = request.candidate_outputs or request.outputs
    if len(names) != len(request.outputs):
        raise CompressorError("the two graphs have different numbers of outputs", where=request.candidate)
    steps = 2 + 2 * CHECK_INPUTS
    job.progress(0, steps, "loading the original")
    original = _load(request.original, request.outputs, request, request.original_sha256)
    with original.loaded:
        job.progress(1, steps, "loading the compressed graph")
        candidate = _load(request.candidate, names, request)
        refuse_lacking(candidate.graph, request.candidate)
        with candidate.loaded:
            job.progress(2, steps, "running the original")
            reference = _run_examples(original, request.data, job) if request.data else None
            if reference is None or not reference.feeds:
                refused = reference.notes if reference else ()
                reference = _run_original(original, request.seed, job)
                reference = replace(reference, notes=(*refused, *reference.notes))
            values = _run_candidate(candidate, reference, dict(zip(request.outputs, names, strict=True)), job)
    outputs = []
    for at, name in enumerate(_flat(reference.fetches)):
        pairs = [(plain(x[at]), plain(y[at])) for x, y in zip(reference.values, values, strict=True)]
        outputs.append(compare_output(name.removesuffix(":0"), [x for x, _ in pairs], [y for _, y in pairs]))
    return ExportCheck(
        outputs=tuple(outputs),
        inputs=reference.described,
        notes=(*reference.notes, *_needs(candidate.graph)),
        seconds=time.perf_counter() - start,
        examples=reference.examples,
        labelled=reference.labelled,
    )


def _needs(graph: ModelGraph) -> tuple[str, ...]:
    """A sentence on a file that does not run everywhere as this check ran it."""
    if onednn_is_default() or FUSED_OPS.isdisjoint(node.op for node in graph.values()):
        return ()
    return (f"on processors without VNNI, as this one, TensorFlow runs it only where {ONEDNN}=1 is set",)


def _load(path: str, outputs: tuple[str, ...], request: CheckExport, sha256: str = "") -> _Model:
    data = read_unchanged(path, sha256)
    graph = pbio.parse_graph(data, where=path, outputs=outputs)
    missing = [name for name in outputs if name not in graph]
    if missing:
        raise CompressorError(f"its output {missing[0]!r} is missing", where=path)
    if not request.allow_unsafe_ops:
        refuse_untrusted(graph, path)
    return _Model(graph, LoadedGraph(data, graph, where=path))


def _run_examples(model: _Model, spec: DataSpec, job: Job) -> _Reference:
    """Run the original on the first examples, one by one; no samples, and a note, where that can't be done."""
    fetches = model.loaded.tensors(model.graph.outputs)
    feeds: list[dict[str, np.ndarray]] = []
    values: list[Values] = []
    try:
        wanted = min(spec.limit or CHECK_EXAMPLES, CHECK_EXAMPLES)
        data = open_examples(replace(spec, limit=wanted), model.graph, 1)
        examples = 0
        for batch in data:
            feeds.append(batch.feeds)
            values.append(model.loaded.run(_flat(fetches), batch.feeds))
            examples += len(batch)
            job.progress(3 + CHECK_INPUTS * examples // wanted, 2 + 2 * CHECK_INPUTS, "running the original")
    except (*TF_ERRORS, CompressorError) as error:
        words = str(error) if isinstance(error, CompressorError) else brief(error)
        return _Reference({}, [], [], (f"the inputs were made up, as the original did not run on your data: {words}",))
    return _Reference(fetches, feeds, values, examples=examples, labelled=data.labelled)


def _run_original(model: _Model, seed: int, job: Job) -> _Reference:
    """Run the original on the first inputs that it can stand; no samples where it can stand none."""
    fetches = model.loaded.tensors(model.graph.outputs)
    first_error: str = ""
    for guess in guesses():
        job.check()
        try:
            return _sample(model, fetches, guess, seed, job)
        except (*TF_ERRORS, CompressorError) as error:
            first_error = first_error or (str(error) if isinstance(error, CompressorError) else brief(error))
            if isinstance(error, HOPELESS) or not has_unknowns(model.graph):
                break
    runnable = {name: ts for name, ts in fetches.items() if _runs(model, ts, seed)} if len(fetches) > 1 else {}
    if runnable:
        left_out = ", ".join(sorted(fetches.keys() - runnable.keys()))
        note = f"outputs that the original does not compute were left out ({left_out}): {first_error}"
        reference = _sample(model, runnable, Guess(), seed, job)
        return _Reference(reference.fetches, reference.feeds, reference.values, (note,))
    return _Reference({}, [], [], (f"no input could be made that the original runs on: {first_error}",))


def _sample(model: _Model, fetches: Mapping[str, list[str]], guess: Guess, seed: int, job: Job) -> _Reference:
    feeds: list[dict[str, np.ndarray]] = []
    values: list[Values] = []
    for number in range(CHECK_INPUTS):
        feeds.append(make_feeds(model.graph, guess, seed * CHECK_INPUTS + number))
        values.append(model.loaded.run(_flat(fetches), feeds[-1]))
        job.progress(3 + number, 2 + 2 * CHECK_INPUTS, "running the original")
    return _Reference(fetches, feeds, values)


def _runs(model: _Model, tensors: list[str], seed: int) -> bool:
    try:
        model.loaded.run(tensors, make_feeds(model.graph, Guess(), seed))
    except (*TF_ERRORS, CompressorError):
        return False
    return True


def _run_candidate(model: _Model, reference: _Reference, renamed: Mapping[str, str], job: Job) -> list[Values]:
    found = model.loaded.tensors(renamed[name] for name in reference.fetches)
    fetches = [tensor for name in reference.fetches for tensor in found[renamed[name]]]
    if len(fetches) != len(_flat(reference.fetches)):
        raise CompressorError("an output has another number of tensors than the original's", where=model.loaded.where)
    values: list[Values] = []
    for number, feeds in enumerate(reference.feeds):
        done = 2 + CHECK_INPUTS + CHECK_INPUTS * number // len(reference.feeds)
        job.progress(done, 2 + 2 * CHECK_INPUTS, "running the compressed graph")
        try:
            values.append(model.loaded.run(fetches, fitting(model.graph, feeds)))
        except TF_ERRORS as error:
            raise failure(error, "TensorFlow does not run the compressed graph", model.loaded.where) from None
    return values


def _flat(fetches: Mapping[str, list[str]]) -> list[str]:
    """Tensor names, in order."""
    return [tensor for tensors in fetches.values() for tensor in tensors]


def _type_name(value: np.ndarray) -> str:
    return "string" if value.dtype == object else value.dtype.name

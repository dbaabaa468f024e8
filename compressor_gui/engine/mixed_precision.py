"""The cheapest precision of each layer: estimated from what each costs alone, then measured with all together."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import numpy as np

from compressor_gui.core import units
from compressor_gui.core.assistant import QUANTIZING
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.measure import Evaluation, Sensitivity
from compressor_gui.core.mixed import DETOURS, Option, Path, chosen, decibel, detour, next_point, pareto, share
from compressor_gui.core.mixed_job import FindPrecision, LayerOptions, MeasuredPoint, Precision
from compressor_gui.core.passes import Pass
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.mixed_precision import stored_bytes
from compressor_gui.core.passes.wording import some
from compressor_gui.core.pbio import byte_size
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.rounding import simulate
from compressor_gui.core.serve import Job
from compressor_gui.engine.dataset import open_dataset
from compressor_gui.engine.models import load_model
from compressor_gui.engine.runner import Runner
from compressor_gui.engine.sensitivity import sensitivity
from compressor_gui.engine.tally import Tally

Options = dict[str, list[Option]]


def mixed_precision(request: FindPrecision, job: Job) -> Precision:
    """See FindPrecision. Raises CompressorError where the model, the data or the target is wrong."""
    start = time.perf_counter()
    request.check()
    with _Measurer(request, job) as measurer:
        notes: tuple[str, ...] = ()
        if request.fused:
            options, fixed = _fused(request, measurer, job), 0
        else:
            options, fixed, notes = _stored(request, measurer.graph, job)
        path, measured, target, baseline = _search(request, pareto(options, fixed), measurer, job)
        if request.fused:
            best, _ = chosen({at: point.value for at, point in measured.items()}, target)
            notes = _left_in_float(request, measurer.graph, path.bits(best))
    return Precision(
        "sqnr_db" if request.max_drop is None else "top1",
        target,
        baseline,
        measurer.n,
        request.fused,
        tuple(_table(name, its) for name, its in options.items()),
        path,
        tuple(measured[at] for at in sorted(measured)),
        time.perf_counter() - start,
        notes,
        tuple(measurer.skipped),
    )


class _Measurer:
    """The untouched model in a session, beside which others are measured on all examples."""

    def __init__(self, request: FindPrecision, job: Job) -> None:
        job.progress(0, 0, "loading the model")
        self._request, self._job = request, job
        self._original = load_model(request.model)
        self.graph = self._original.graph
        self._data = open_dataset(request.data, self.graph, request.batch)
        if request.max_drop is not None and not self._data.labelled:
            hint = "give labels, or an SQNR as the target"
            raise CompressorError(
                "these examples have no labels, so there is no top-1", where=request.data.path, hint=hint
            )
        self.n = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._original.__exit__(kind, error, trace)

    @property
    def skipped(self) -> Sequence[str]:
        """The examples that can't be decoded."""
        return self._data.skipped

    def __call__(self, step: Pass | None) -> tuple[Evaluation, int]:
        """The model with one more step beside the untouched one, and its file's bytes. Raises CompressorError."""
        original = Runner(self._original)
        tally = Tally(self._request.data, self._data.classes, "")
        with load_model(self._request.model_with(step)) as model:
            runner = Runner(model)
            self.n = 0
            for batch in self._data:
                self._job.check()
                tally.add(batch, runner, original)
                self.n += len(batch)
            return tally.evaluation(), byte_size(model.graph)


# -- what each layer costs alone --------------------------------------------------------------------------------------


def _nothing_to_store(request: FindPrecision, graph: ModelGraph) -> CompressorError:
    """Why no layer can have fewer bits: mostly, because a step before has given them 8."""
    recipe = Recipe.from_json(request.model.recipe) if request.model.recipe else Recipe()
    step = next((step.name for step in recipe.active if isinstance(step, QUANTIZING)), "")
    if step:
        what = f"the recipe's {step} stores the weights in 8 bits already"
        return CompressorError(what, where=request.model.path, hint="switch it off: here each layer's bits are chosen")
    if any(layer.dequantizer for layer in find_layers(graph)):
        hint = "open the float model that it was made from"
        return CompressorError("its weights are quantized already", where=request.model.path, hint=hint)
    what = "no layer has weights that can be stored in these numbers of bits"
    return CompressorError(what, where=request.model.path, hint="offer some between 2 and 8")


def _stored(request: FindPrecision, graph: ModelGraph, job: Job) -> tuple[Options, int, tuple[str, ...]]:
    """Each layer's options with its weights stored in fewer bits, the bytes of all else, and notes."""
    layers = [layer for layer in find_layers(graph) if layer.tensor.dtype.is_floating]
    costs: dict[str, dict[int, int]] = {}
    for number, layer in enumerate(layers):
        job.progress(number, len(layers), f"packing {layer.short}")
        sizes = {bits: stored_bytes(graph, layer, bits) for bits in sorted(request.bits, reverse=True)}
        found = {bits: size for bits, size in sizes.items() if size is not None}
        costs[layer.name] = found or {32: stored_bytes(graph, layer, 32) or 0}
    few = sorted({bits for sizes in costs.values() for bits in sizes if bits <= 8}, reverse=True)
    swept = [layer for layer in layers if any(bits <= 8 for bits in costs[layer.name])]
    if not swept:
        raise _nothing_to_store(request, graph)
    known: dict[str, dict[int, float]] = {}
    asked = Sensitivity(
        request.model, request.data, tuple(layer.name for layer in swept), (), tuple(few), 0, "sqnr_db", request.batch,
        request.activation_bytes, request.cache,
    )  # fmt: skip
    swept_curves = sensitivity(asked, _Quiet(job))
    for curve in swept_curves.layers:
        known[curve.name] = {bits: share(db) for bits, db in zip(curve.bits, curve.bits_value, strict=True)}
    options = {
        layer.name: [
            Option(bits, cost, _noise(layer, bits, known.get(layer.name, {})))
            for bits, cost in costs[layer.name].items()
        ]
        for layer in layers
    }
    fixed = byte_size(graph) - sum(stored_bytes(graph, layer, 32) or 0 for layer in layers)
    return options, fixed, swept_curves.notes


def _noise(layer: Layer, bits: int, known: dict[int, float]) -> float:
    """The noise of a layer in ``bits``: as swept; for more than 8, what the most that were swept make, in the
    proportion of the squared errors of the weights."""
    if bits in known or bits == 32 or not known:
        return known.get(bits, 0.0)
    weights, most = layer.weights, max(known)
    stored = weights.astype(np.float16) if bits == 16 else simulate(weights, layer.channel_axis, bits)
    other = _squared_error(weights, simulate(weights, layer.channel_axis, most))
    return known[most] * _squared_error(weights, stored) / other if other else 0.0


def _squared_error(weights: np.ndarray, stored: np.ndarray) -> float:
    return float(np.square(stored - weights, dtype=np.float64).sum())


def _fused(request: FindPrecision, measure: _Measurer, job: Job) -> Options:
    """Each layer's options in float and in int8; what they make alone is measured by fusing one after the other."""
    graph = measure.graph
    ranges = tuple(request.ranges.items())
    done = FuseInt8(ranges=ranges, without_vnni=request.without_vnni).run(graph)
    left = {layer.name for layer in find_layers(done.graph)}
    layers = [layer for layer in find_layers(graph) if layer.name not in left]
    if not layers:
        words = "fuse_int8 would leave all layers in float"
        raise CompressorError(words, where=request.model.path, hint=" ".join(done.notes))
    options: Options = {}
    for number, layer in enumerate(layers):
        job.progress(number, len(layers), f"int8 in {layer.short} alone")
        others = tuple(other.name for other in find_layers(graph) if other.name != layer.name)
        alone = FuseInt8(ranges=ranges, skip=others, everywhere=True, without_vnni=request.without_vnni)
        noise = share(_worst(measure(alone)[0]))
        options[layer.name] = [Option(32, layer.multiply_adds or layer.parameters, 0.0), Option(8, 0, noise)]
    return options


def _left_in_float(request: FindPrecision, graph: ModelGraph, bits: dict[str, int]) -> tuple[str, ...]:
    """A note on the layers that may be int8, but are none because their conversions would cost more than they gain."""
    step = request.step(bits)
    left = {layer.name for layer in find_layers(step.run(graph).graph)} if step else set()
    names = [layer.short for layer in find_layers(graph) if layer.name in left and bits.get(layer.name) == 8]
    return (
        (f"fuse_int8 leaves in float, as their conversions cost more than they gain: {some(names)}",) if names else ()
    )


def _table(name: str, options: Iterable[Option]) -> LayerOptions:
    its = list(options)
    return LayerOptions(
        name,
        tuple(option.bits for option in its),
        tuple(option.cost for option in its),
        tuple(decibel(option.noise) for option in its),
    )


# -- all together -----------------------------------------------------------------------------------------------------


def _search(
    request: FindPrecision, path: Path, measure: _Measurer, job: Job
) -> tuple[Path, dict[int, MeasuredPoint], float, float]:
    """The path with its detours, the points measured on it, the least value that is allowed, and the untouched
    model's."""
    found: dict[int, MeasuredPoint] = {}
    detours = DETOURS
    target, baseline = (request.min_sqnr_db or 0.0, EXACT_DB) if request.max_drop is None else (0.5, 1.0)
    while True:
        values = {at: point.value for at, point in found.items()}
        at = next_point(path, values, target, None if request.max_drop is None else baseline)
        if at is None:
            other = detour(path, values, target) if detours else None
            if other is None:
                return path, found, target, baseline
            last, _ = chosen(values, target)
            path, found, detours = other, {at: point for at, point in found.items() if at <= last}, detours - 1
            continue
        cost = units.amount(path.costs[at]) + " multiply-adds in float" if request.fused else units.size(path.costs[at])
        job.progress(len(found), 0, f"measuring all layers together: {cost}")
        evaluation, size = measure(request.step(path.bits(at)))
        value = _worst(evaluation)
        if request.max_drop is not None:
            value, baseline = _top1(evaluation, request)
            target = baseline - request.max_drop - 1e-9
        outputs = tuple((one.check.name, one.check.sqnr_db) for one in evaluation.fidelity)
        found[at] = MeasuredPoint(at, value, size, outputs)


def _worst(evaluation: Evaluation) -> float:
    """The SQNR of the worst output."""
    return min((one.check.sqnr_db for one in evaluation.fidelity), default=EXACT_DB)


def _top1(evaluation: Evaluation, request: FindPrecision) -> tuple[float, float]:
    """Top-1 of the changed and the untouched model. Raises CompressorError where there is none."""
    value, before = evaluation.accuracy.top1, evaluation.against.top1 if evaluation.against else None
    if value is None or before is None:
        words = "no output has a score for each class"
        raise CompressorError(words, where=request.model.path, hint="give an SQNR as the target")
    return value, before


class _Quiet(Job):
    """A job within another: its progress is the other's, its pieces go nowhere."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.number, lambda *_: None)
        self._job = job

    def check(self) -> None:
        """Raise Stop if the other has been cancelled."""
        self._job.check()

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Report as the other."""
        self._job.progress(done, total, f"sensitivity: {message}")

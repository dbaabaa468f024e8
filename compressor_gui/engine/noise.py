"""Measures the noise of each layer: both graphs run on the same batches, and the compressed one a second time with the
original's values in the place of what its layers read."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.compare import Noise
from compressor_gui.core.counterparts import Chain, Codes, Place, bytes_of, chains, places, with_given
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.noise import LayerNoise, LayerNoiseResult, NodeNoise
from compressor_gui.core.serve import Job
from compressor_gui.core.values import DType, Shape
from compressor_gui.engine.dataset import Batch
from compressor_gui.engine.inputs import fitting
from compressor_gui.engine.models import read_model, replay_model
from compressor_gui.engine.runner import open_examples
from compressor_gui.engine.session import TF_ERRORS, LoadedGraph, brief, failure, plain, tf

Values = Mapping[str, np.ndarray]


def layer_noise(request: LayerNoise, job: Job) -> LayerNoiseResult:
    """See LayerNoise. Raises CompressorError where a graph does not run, or no value can be compared."""
    start = time.perf_counter()
    job.progress(0, 0, "loading the models")
    original, replay = read_model(request.original), replay_model(request.compressed)
    with contextlib.ExitStack() as stack:
        reference = stack.enter_context(_Run(original, request.original.path))
        compressed = stack.enter_context(_Run(replay.graph, request.compressed.path))
        every = [chain for chain in chains(original) if reference.type(chain.end) == DType.FLOAT]
        found = places(replay, {chain.end: chain.nodes[-1] for chain in every})
        found = {name: place for name, place in found.items() if _can_be_told(place, compressed)}
        if not found:
            raise CompressorError(
                "no value of the original is in the compressed graph",
                where=request.compressed.path,
                hint="compare with the graph that it was made of",
            )
        measuring = _Measuring(found, reference, compressed)
        stack.callback(measuring.close)
        room = request.activation_bytes // max(bytes_of(original, {name: original[name] for name in found}), 1)
        data = open_examples(request.data, original, max(1, min(request.batch, room)))
        for batch in data:
            job.progress(data.n - len(batch), max(data.count, 0), "comparing layers")
            measuring.run(batch, job)
    measured = tuple(measuring.noise_of(chain) for chain in every if chain.end in found)
    missing = tuple(chain.end for chain in every if chain.end not in found)
    seconds = time.perf_counter() - start
    return LayerNoiseResult(measured, data.n, missing, measuring.notes, tuple(data.skipped), seconds)


class _Run:
    """A graph in a session."""

    def __init__(self, graph: ModelGraph, where: str) -> None:
        self.graph = graph
        self.loaded = LoadedGraph(pbio.to_bytes(graph), graph, where=where)

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.loaded.__exit__()

    def run(self, fetches: Sequence[str], feeds: Values) -> dict[str, np.ndarray]:
        """The fetched tensors by name, quantized ones as plain integers. Raises what TensorFlow raises."""
        values = self.loaded.run([_full(name) for name in fetches], fitting(self.graph, feeds))
        return {name: plain(value) for name, value in zip(fetches, values, strict=True)}

    def tensor(self, name: str) -> tf.Tensor:
        """The symbolic tensor of ``name`` or ``name:port``."""
        return self.loaded.tensor(_full(name))

    def type(self, name: str) -> DType | None:
        """Its type; None where there is no such tensor."""
        try:
            return DType(self.tensor(name).dtype.base_dtype.as_datatype_enum)
        except (KeyError, ValueError):
            return None

    def kind(self, name: str) -> tuple[DType, Shape]:
        """The type and shape of a tensor, -1 for what TensorFlow doesn't know before it runs."""
        shape, dtype = self.tensor(name).shape, self.type(name)
        assert dtype is not None
        return dtype, Shape(None if shape.rank is None else tuple(size or -1 for size in shape.as_list()))


def _full(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _can_be_told(place: Place, run: _Run) -> bool:
    """Whether a value is in a type that floats can be made of."""
    wanted = (DType.FLOAT,) if place.limits is None else (DType.QUINT8, DType.QINT8)
    return run.type(place.tensor) in wanted and all(run.type(name) == DType.FLOAT for name in place.fetched[1:])


class _Measuring:
    """Adds up signal and noise of each value, batch by batch."""

    def __init__(self, found: Mapping[str, Place], reference: _Run, compressed: _Run) -> None:
        self.notes: tuple[str, ...] = ()
        self._places = found
        self._reference, self._compressed = reference, compressed
        self._types = {name: compressed.type(place.tensor) for name, place in found.items()}
        self._fetched = tuple(dict.fromkeys(tensor for place in found.values() for tensor in place.fetched))
        self._noise = {name: Noise() for name in found}
        self._own = {name: Noise() for name in found}
        given = dict.fromkeys(tensor for place in found.values() for tensor in place.made_with)
        graph, self._given = with_given(compressed.graph, {tensor: compressed.kind(tensor) for tensor in given})
        self._alone: _Run | None = None
        try:
            self._alone = _Run(graph, compressed.loaded.where)
        except CompressorError as error:
            self._give_up(error.what)

    def close(self) -> None:
        """End the session that this has opened."""
        if self._alone is not None:
            self._alone.loaded.__exit__()

    def run(self, batch: Batch, job: Job) -> None:
        """Compare what the graphs compute of a batch. Raises CompressorError."""
        original = self._run(self._reference, tuple(self._places), batch.feeds)
        job.check()
        found = self._run(self._compressed, self._fetched, batch.feeds)
        _add(self._noise, batch, original, self._told(found, found))
        job.check()
        if self._alone is not None:
            try:
                feeds = {**batch.feeds, **self._given_values(original, found)}
                _add(self._own, batch, original, self._told(self._alone.run(self._fetched, feeds), found))
            except TF_ERRORS as error:
                self._give_up(brief(error))

    @staticmethod
    def _run(run: _Run, fetches: Sequence[str], feeds: Values) -> dict[str, np.ndarray]:
        try:
            return run.run(fetches, feeds)
        except TF_ERRORS as error:
            words = "TensorFlow does not run the graph on these examples"
            raise failure(error, words, run.loaded.where) from None

    def _give_up(self, reason: str) -> None:
        self.close()
        self._alone = None
        self.notes = (f"what each layer adds by itself could not be measured: {reason}",)

    def _codes(self, name: str, found: Values) -> Codes:
        dtype = self._types[name]
        assert dtype is not None
        return Codes(self._places[name], dtype, found)

    def _told(self, values: Values, read: Values) -> dict[str, np.ndarray]:
        """What a run's ``values`` are as floats; ``read``: limits that a layer hands on from what it reads."""
        told: dict[str, np.ndarray] = {}
        for name, place in self._places.items():
            told[name] = values[place.tensor]
            if place.limits is not None:
                limits = {**read, **{tensor: values[tensor] for tensor in place.made_with}}
                told[name] = self._codes(name, limits).values(told[name])
            if place.factors is not None:
                told[name] = told[name] / place.factors
        return told

    def _given_values(self, original: Values, found: Values) -> dict[str, np.ndarray]:
        """What the placeholders get: the original's values, in codes over the limits that were ``found``."""
        given: dict[str, np.ndarray] = {}
        for name, place in self._places.items():
            value = original[name]
            if place.factors is not None:
                value = (value * place.factors).astype(np.float32)
            if place.limits is not None:
                value = self._codes(name, found).codes(value)
            given[self._given[place.tensor]] = value
            given |= {self._given[limit]: found[limit] for limit in place.made_with[1:]}
        return given

    def noise_of(self, chain: Chain) -> NodeNoise:
        """What was measured of a layer."""
        own = None if self._alone is None else self._own[chain.end].db
        names = tuple(node.name for node in chain.nodes)
        return NodeNoise(names, chain.what, self._noise[chain.end].db, own)


def _add(sums: Mapping[str, Noise], batch: Batch, original: Values, found: Values) -> None:
    for name, noise in sums.items():
        noise.add(batch.counted(original[name]), batch.counted(found[name]))

"""How layers are swept: which points, in which order, refined where, and under which key the values are remembered.

Everything here is pure; :mod:`compressor_gui.engine.sensitivity` measures, :mod:`.sweep_cache` remembers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EXACT_DB
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.measure import LayerCurve, Sensitivity, SensitivityResult
from compressor_gui.core.passes.wording import did_you_mean
from compressor_gui.core.protocol import ProtocolError, build

KEY_VERSION = 2
"""Part of every key: raised when the same question gets another answer."""

CLEAN_DB = 40.0
"""Above this an output counts as unharmed, so that 999 dB and 50 dB are no bend."""

NARROWEST = 0.01
"""No interval of sparsities is halved below it."""

_COARSE_SPARSITIES = (0.0, 0.5, 0.9)
_SAMPLE_BYTES = 1 << 16
_SAMPLED_FILES = 64


@dataclass(frozen=True, order=True)
class Point:
    """A layer pruned to the sparsity ``at`` (``bits`` false), or stored in ``at`` bits."""

    bits: bool
    at: float


@dataclass(frozen=True)
class Grid:
    """The points of every layer: ``sparsities`` rising in 0..1, ``bits`` falling in 2..8, and how many sparsities are
    added beside the knee, where the curve bends most."""

    sparsities: tuple[float, ...]
    bits: tuple[int, ...]
    refine: int = 0

    @staticmethod
    def of(request: Sensitivity) -> Grid:
        """The points that are asked for, sorted. Raises CompressorError where one is out of range."""
        if any(not 0 <= s <= 1 for s in request.sparsities):
            percents = all(s == 0 or 1 <= s <= 100 for s in request.sparsities)
            asked = ",".join(f"{s / 100:g}" for s in request.sparsities)
            hint = f"write {asked} for these percents" if percents else ""
            raise CompressorError("a sparsity is not between 0 and 1", where="sparsities", hint=hint)
        if any(not 2 <= b <= 8 for b in request.bits):
            raise CompressorError("a number of bits is not between 2 and 8", where="bits")
        sparsities, bits = sorted(set(request.sparsities)), sorted(set(request.bits), reverse=True)
        if not sparsities and not bits:
            raise CompressorError("there is no point to measure", where="sparsities and bits")
        return Grid(tuple(sparsities), tuple(bits), max(0, request.refine))

    def due(self, measured: Mapping[Point, float]) -> tuple[Point, ...]:
        """The points to measure next; none when the layer is done.

        First a few that show the curve's shape, then the rest, those between the most different neighbours first, then
        the middles of the intervals beside the knee, where the curve bends most. The answer depends on the values
        alone, so that a sweep that was broken off goes on with the points that it would have measured.
        """
        for points in (self._coarse(), self._rest(measured)):
            missing = tuple(point for point in points if point not in measured)
            if missing:
                return missing
        return tuple(point for point in self._refined(measured) if point not in measured)

    def _coarse(self) -> tuple[Point, ...]:
        places = set(self.sparsities[-1:])
        if places:
            places |= {min(self.sparsities, key=lambda s: abs(s - wanted)) for wanted in _COARSE_SPARSITIES}
        bits = dict.fromkeys((*self.bits[:1], *self.bits[len(self.bits) // 2 :][:1], *self.bits[-1:]))
        return (*(Point(False, s) for s in sorted(places)), *(Point(True, b) for b in bits))

    def _rest(self, measured: Mapping[Point, float]) -> tuple[Point, ...]:
        """All points of the grid, each kind's known ones being the ends of intervals."""
        found: list[tuple[float, int, Point]] = []
        for bits, places in ((False, self.sparsities), (True, self.bits)):
            points = [Point(bits, at) for at in places]
            known = [i for i, point in enumerate(points) if point in measured]
            for i, point in enumerate(points):
                left = max((k for k in known if k <= i), default=0)
                right = min((k for k in known if k >= i), default=len(points) - 1)
                step = abs(_seen(measured.get(points[left], 0.0)) - _seen(measured.get(points[right], 0.0)))
                found.append((-round(step, 6), i, point))
        return tuple(point for *_, point in sorted(found))

    def _refined(self, measured: Mapping[Point, float]) -> tuple[Point, ...]:
        """The middles of the intervals on both sides of the knee, the steeper side first."""
        at = self.sparsities
        values = [_seen(measured[Point(False, s)]) for s in at]
        steepest = sorted(_intervals(at, values), key=lambda i: (-abs(values[i + 1] - values[i]), i))
        middles = [round((at[i] + at[i + 1]) / 2, 4) for i in steepest if at[i + 1] - at[i] > NARROWEST]
        return tuple(Point(False, s) for s in middles[: self.refine])


def _intervals(at: Sequence[float], values: Sequence[float]) -> tuple[int, ...]:
    """The intervals left and right of the knee: the point farthest from the line through both ends (Satopää et al.,
    "Finding a Kneedle in a Haystack", 2011); none where all lie on it."""
    knee, distance = 0, 0.0
    for i in range(1, len(at) - 1):
        line = values[0] + (values[-1] - values[0]) * (at[i] - at[0]) / (at[-1] - at[0])
        if round(abs(values[i] - line), 6) > distance:
            knee, distance = i, round(abs(values[i] - line), 6)
    return (knee - 1, knee) if knee else ()


def _seen(value: float) -> float:
    return max(-CLEAN_DB, min(CLEAN_DB, value))


def curve(name: str, measured: Mapping[Point, float]) -> LayerCurve:
    """The curve through the points of one layer."""
    pruned = sorted((point.at, value) for point, value in measured.items() if not point.bits)
    stored = sorted(((point.at, value) for point, value in measured.items() if point.bits), reverse=True)
    return LayerCurve(
        name,
        tuple(at for at, _ in pruned),
        tuple(value for _, value in pruned),
        tuple(int(at) for at, _ in stored),
        tuple(value for _, value in stored),
    )


def chosen_layers(graph: ModelGraph, names: Sequence[str]) -> tuple[Layer, ...]:
    """The layers to sweep: those named (by operation or weight), or all whose weights are stored as floats.

    Raises CompressorError where a name is unknown, or its weights are stored quantized, or there is no layer.
    """
    layers = find_layers(graph)
    known = {name: layer for layer in reversed(layers) for name in layer.names}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known, "inspect lists the layers")
            raise CompressorError(f"there is no layer {name!r}", hint=hint)
        if not known[name].tensor.dtype.is_floating:
            raise CompressorError("its weights are not stored as floats", where=name, hint="sweep before quantizing")
    wanted = {known[name].name for name in names}
    found = tuple(x for x in layers if x.tensor.dtype.is_floating and (not wanted or x.name in wanted))
    if not found:
        raise CompressorError("the graph has no layer with weights stored as floats")
    return found


def sweep_key(model: bytes, outputs: Sequence[str], data: DataSpec, metric: str) -> str:
    """The SHA-256 under which a sweep's values are kept: of the graph (its recipe replayed), its outputs, how examples
    are made, their files (:func:`content_sample`), and the metric. Raises CompressorError where the data can't be read.

    The layer and the point are kept beside each value; paths don't matter, so that what was moved is found again.
    """
    how = dataclasses.asdict(data)
    contents = {name: content_sample(how.pop(name)) for name in ("path", "targets", "names")}
    del how["cache_bytes"]
    parts = [KEY_VERSION, hashlib.sha256(model).hexdigest(), list(outputs), how, contents, metric]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def content_sample(path: str) -> str:
    """A hash of what is at ``path``: all of a file; of a folder the names and sizes of all files, the beginnings of up
    to 64 of them, and when each was changed of which that is not everything."""
    if not path:
        return ""
    root = Path(path)
    try:
        if not root.is_dir():
            with root.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        seen = hashlib.sha256()
        files = sorted(p for p in root.rglob("*") if p.is_file())
        sampled = set(files[:: max(1, -(-len(files) // _SAMPLED_FILES))])
        for file in files:
            status, beginning = file.stat(), b""
            if file in sampled:
                with file.open("rb") as stream:
                    beginning = stream.read(_SAMPLE_BYTES)
            changed = status.st_mtime_ns if len(beginning) < status.st_size else 0
            name = file.relative_to(root).as_posix()
            seen.update(f"{name}\0{status.st_size}\0{changed}\n".encode("utf-8", "surrogateescape") + beginning)
    except OSError as error:
        raise CompressorError(f"it can't be read: {error.strerror}", where=path) from None
    return seen.hexdigest()


def result_to_json(result: SensitivityResult) -> dict[str, object]:
    """What ``sensitivity --json`` prints, and :func:`result_from_json` reads."""
    return {
        "baseline": result.baseline,
        "metric": result.metric,
        "layers": [dataclasses.asdict(layer) for layer in result.layers],
        "seconds": round(result.seconds, 3),
    }


def result_from_json(text: str, where: str) -> SensitivityResult:
    """Read curves. Raises CompressorError naming what is wrong."""
    try:
        data = json.loads(text)
        result = build({"n": 0, **data} if isinstance(data, dict) else data, SensitivityResult, "it")
    except (ValueError, ProtocolError, RecursionError) as error:
        hint = "save those of sensitivity --json"
        raise CompressorError(f"these are no curves: {error}", where=where, hint=hint) from None
    assert isinstance(result, SensitivityResult)
    for layer in result.layers:
        if len(layer.sparsity) != len(layer.value) or len(layer.bits) != len(layer.bits_value):
            raise CompressorError("a curve has more places than values", where=f"{where}, layer {layer.name!r}")
    return result


def untouched(metric: str, baseline: float) -> float:
    """The value of a point that changes nothing."""
    return EXACT_DB if metric == "sqnr_db" else baseline

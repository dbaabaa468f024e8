"""How small trained networks become with 25 dB left on every output: ``mixed_precision``, its target measured.

Ten photographs. Beside the bytes and each output's SQNR stands what is left of the speed, and what the outputs are with
all weights rounded to 16 bits (2^16 even steps a constant, float16's own rounding being none on most of these): where
that alone has less than 25 dB, nothing can. ``COMPRESSOR_BENCH_MODELS`` names other networks of ../shared/models,
``COMPRESSOR_BENCH_FUSED=1`` adds layers in fused int8 or in float, which takes minutes a network.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from compressor_gui.core.caution import ONEDNN
from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import Calibrate, Evaluate, Latency, ModelRef
from compressor_gui.core.mixed_job import TARGET_DB, FindPrecision, Precision
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.round_weights import RoundWeights
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.recipe import Recipe
from tests.benchmarks.report import Row, main
from tests.support import SHARED

MODELS = ("liveness", "emotion", "gear", "posenet", "movenet-lightning")
EXAMPLES = 10
RUNS = 20


def outputs(found: Precision) -> str:
    """The SQNR of each output at the point that was chosen."""
    point = next(point for point in found.measured if point.at == found.chosen)
    return ", ".join(f"{db:.1f}" for _, db in point.outputs)


def in_16_bits(model: ModelRef, data: DataSpec, engine: EngineClient) -> str:
    """The SQNR of each output with weights rounded to 16 bits."""
    rounded = replace(model, recipe=Recipe.of(RoundWeights(num_steps=1 << 16)).to_json())
    found = engine.run(Evaluate(rounded, data, model, batch=1))
    return ", ".join(f"{one.check.sqnr_db:.1f}" for one in found.fidelity)


def rows(name: str, request: FindPrecision, engine: EngineClient, note: str) -> Iterator[Row]:
    """Bytes and speed at the cheapest point that keeps the target."""
    found = engine.run(request)
    point = next(point for point in found.measured if point.at == found.chosen)
    size = Path(request.model.path).stat().st_size
    words = f"{point.bytes:,} of {size:,} bytes; outputs {outputs(found)} dB{note}"
    yield Row(f"{name}: bytes / float at {TARGET_DB:g} dB", point.bytes / size, "", None, words)
    step = request.step(found.path.bits(found.chosen))
    if step is not None:
        timed = engine.run(Latency(request.model_with(step), request.model, runs=RUNS, nodes=0))
        milliseconds = f"{timed.model.median_ms:.3g} ms, load {os.getloadavg()[0]:.1f}"
        yield Row(f"{name}: milliseconds / float", 1 / (timed.speedup or 1.0), "", None, milliseconds)


def measure() -> Iterator[Row]:
    """Every network, its weights in few bits; then, where asked, fused."""
    os.environ.setdefault(ONEDNN, "1")
    with EngineClient() as engine:
        for name in os.environ.get("COMPRESSOR_BENCH_MODELS", ",".join(MODELS)).split(","):
            path = SHARED / "models" / f"{name}.pb"
            if not path.is_file():
                print(f"{path} is missing", file=sys.stderr)
                continue
            graph = read_graph(path)
            model = ModelRef(str(path), outputs=graph.outputs)
            data = replace(guess(graph, str(SHARED / "images")), limit=EXAMPLES)
            request = FindPrecision(model, data, min_sqnr_db=TARGET_DB)
            yield from rows(name, request, engine, f"; 16-bit weights {in_16_bits(model, data, engine)} dB")
            if os.environ.get("COMPRESSOR_BENCH_FUSED"):
                wanted = replace(model, recipe=Recipe.of(FuseInt8()).to_json())
                ranges = engine.run(Calibrate(wanted, data)).ranges
                vnni = "vnni" in Path("/proc/cpuinfo").read_text()
                fused = replace(request, fused=True, ranges=ranges, without_vnni=not vnni)
                yield from rows(f"{name} fused", fused, engine, "" if vnni else ", no VNNI")


if __name__ == "__main__":
    main("Bits for each layer at 25 dB", measure)

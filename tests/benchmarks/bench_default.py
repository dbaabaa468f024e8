"""The real networks against float, as the Quantize assistant makes them by default: ``fuse_int8`` with ranges from ten
photographs, regions that are slower left in float. The chosen graph is timed once more, apart from the choice.

What else the assistant adds (equalizing, AdaRound) changes weights and no operation; these networks have no batch norm
to fold. ``COMPRESSOR_BENCH_MODELS`` names those to measure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from compressor_gui.core.choose import ChooseRegions, with_skipped
from compressor_gui.core.data import guess
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.machine import has_vnni
from compressor_gui.core.measure import Calibrate, Latency, ModelRef
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.recipe import Recipe
from tests.benchmarks.report import Row, main
from tests.support import MODEL_FILES, SHARED

EXAMPLES = 10
RUNS = 40


def row(path: Path, engine: EngineClient) -> Row:
    """How long the chosen graph takes, as a part of float."""
    graph = read_graph(path)
    model = ModelRef(str(path), outputs=graph.outputs)
    data = replace(guess(graph, str(SHARED / "images")), limit=EXAMPLES)
    ranges = engine.run(Calibrate(replace(model, recipe=Recipe.of(FuseInt8()).to_json()), data)).ranges
    vnni = has_vnni()
    recipe = Recipe.of(FuseInt8(ranges, without_vnni=not vnni))
    found = engine.run(ChooseRegions(replace(model, recipe=recipe.to_json())))
    note = f"{found.kept} of {len(found.regions)} regions in int8, with all {found.fused_ms / found.float_ms:.3f}"
    if not found.kept:
        return Row(f"{path.stem}: ms / float", 1.0, "", 1.0, f"{note}: left as it was")
    chosen = replace(model, recipe=with_skipped(recipe, found.skip).to_json())
    timed = engine.run(Latency(chosen, model, runs=RUNS, nodes=0))
    note += f"; {timed.model.median_ms:.3g} ms, load {os.getloadavg()[0]:.1f}{'' if vnni else ', no VNNI'}"
    return Row(f"{path.stem}: ms / float", 1 / (timed.speedup or 1.0), "", 1.0, note)


def measure() -> Iterator[Row]:
    """Every network."""
    wanted = os.environ.get("COMPRESSOR_BENCH_MODELS", ",".join(path.stem for path in MODEL_FILES)).split(",")
    if not MODEL_FILES:
        print("../shared/models is missing", file=sys.stderr)
    with EngineClient() as engine:
        for path in MODEL_FILES:
            if path.stem in wanted:
                yield row(path, engine)


if __name__ == "__main__":
    main("The assistant's default against float, batch 1", measure)

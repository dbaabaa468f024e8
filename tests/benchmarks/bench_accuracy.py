"""How much noise the default 8-bit method leaves in the outputs of trained networks, beside what others leave.

SQNR in dB for each output of the models in ../shared/models. Ranges and rounding are from the first ten photographs,
the noise is of all fifteen, and of the five that were not seen. The int8 graph is worked out in floats
(core/passes/int8/simulate.py): what processors with VNNI compute, on any machine. Limits are what TensorFlow Lite's
full int8 gets on the same pictures, and 3 dB.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from compressor_gui.core.adaround import Adaround
from compressor_gui.core.compare import Noise
from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.int8.plan import Plan
from compressor_gui.core.passes.int8.simulate import simulated
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.recipe import Recipe, Replayer
from tests.benchmarks.report import Row, main
from tests.support import MODEL_FILES, SHARED, run_tf

SEEN = 10
GAIN = 3.0
PEERS = {
    "posenet": {"heatmap": 22.5, "displacement_fwd": 15.7, "displacement_bwd": 15.9, "offset": 8.1},
    "blazepose-heavy": {"Identity": 2.5, "Identity_1": 1.2, "Identity_2": 7.6, "Identity_3": 6.2, "Identity_4": 13.0},
}
"""TensorFlow Lite's full int8, per channel: a part of the output's name -> dB."""


def default_int8(path: Path, data: DataSpec) -> ModelGraph:
    """What the default method's int8 graph computes, as a float graph. Raises CompressorError."""
    with EngineClient() as engine:
        found = engine.run(Adaround(ModelRef(str(path)), dataclasses.replace(data, limit=SEEN)))
    *before, last = Recipe.from_json(found.recipe).steps
    assert isinstance(last.transform, FuseInt8)
    graph = Replayer(read_graph(path)).replay(Recipe(tuple(before))).graph
    return simulated(Plan(graph, dict(last.transform.ranges)))


def photographs(model: ModelGraph, data: DataSpec) -> list[dict[str, np.ndarray]]:
    """The feeds, one picture each."""
    from compressor_gui.engine.dataset import open_dataset

    return [batch.feeds for batch in open_dataset(data, model, 1)]


def measure() -> Iterator[Row]:
    """Every model whose data can be guessed."""
    for path in MODEL_FILES:
        model = read_graph(path)
        try:
            data = guess(model, SHARED / "images")
            coded = default_int8(path, data)
        except CompressorError as error:
            print(f"{path.stem}: {error}", file=sys.stderr)
            continue
        seen: dict[str, Noise] = {name: Noise() for name in model.outputs}
        unseen: dict[str, Noise] = {name: Noise() for name in model.outputs}
        for number, feeds in enumerate(photographs(model, data)):
            expected, found = run_tf(model, feeds), run_tf(coded, feeds)
            for name, other in zip(model.outputs, coded.outputs, strict=True):
                (seen if number < SEEN else unseen)[name].add(expected[name], found[other])
        for name in model.outputs:
            peer = next((db for part, db in PEERS.get(path.stem, {}).items() if _is(name, part)), None)
            note = f"{unseen[name].db:.1f} dB on the photographs not seen"
            note += f"; TensorFlow Lite {peer:g}, {GAIN:g} more is the aim" if peer is not None else ""
            yield _row(f"{path.stem}: {name}", seen[name].merge(unseen[name]).db, peer, note)


def _is(output: str, part: str) -> bool:
    return output == part if part.startswith("Identity") else part in output


def _row(what: str, decibels: float, peer: float | None, note: str) -> Row:
    """The amplitude of the noise as a part of the signal's, which has a limit that it must not pass."""
    limit = None if peer is None else 10 ** (-(peer + GAIN) / 20)
    return Row(what, 10 ** (-decibels / 20), "", limit, f"{decibels:.1f} dB; {note}")


if __name__ == "__main__":
    main("Noise of the default 8-bit method: amplitude as a part of the signal's, all photographs", measure)

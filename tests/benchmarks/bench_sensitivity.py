"""A sweep beside the plain loop, which exports, loads and evaluates the whole model for every point. Both go through
the same layers in turns and get the same decoded examples; their curves have to be the same."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from compressor_gui.core import pbio
from compressor_gui.core.compare import Noise
from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.measure import BITS, SPARSITIES
from compressor_gui.core.sweep import Grid, Point
from compressor_gui.core.values import Tensor
from compressor_gui.engine.dataset import Dataset, open_dataset
from compressor_gui.engine.runner import as_scores
from compressor_gui.engine.sensitivity import Plan, Sweep, changed_weights
from compressor_gui.engine.session import LoadedGraph
from tests.benchmarks.report import Row, main
from tests.support import SHARED

SAMPLES = Path(__file__).parents[2] / "resources" / "samples"
GRID = Grid(SPARSITIES, BITS)
LIMIT = 1 / 3
"""Of the plain loop's time."""
TOLERANCE = 0.01
"""Points of top-1, or dB."""


class PlainLoop:
    """Every point the plain way."""

    def __init__(self, graph: ModelGraph, data: Dataset, folder: str) -> None:
        self.graph, self.data, self.path = graph, data, Path(folder, "point.pb")
        self.reference = self._outputs(graph)

    def value(self, layer: Layer, point: Point, metric: str) -> float:
        tensor = Tensor(layer.tensor.dtype, changed_weights(self.graph, layer, point))
        changed = self.graph[layer.weight].with_(attrs={"value": tensor})
        nodes = [changed if node.name == layer.weight else node for node in self.graph.nodes]
        found = self._outputs(ModelGraph(nodes, self.graph.extras, self.graph.outputs))
        if metric == "top1":
            right = [as_scores(y[0]).argmax(axis=1) == batch.labels for y, batch in zip(found, self.data, strict=True)]  # type: ignore[union-attr]
            return float(np.mean(np.concatenate(right)))
        noises = [Noise() for _ in found[0]]
        for before, after in zip(self.reference, found, strict=True):
            for noise, x, y in zip(noises, before, after, strict=True):
                noise.add(x, y)
        return min(noise.db for noise in noises)

    def _outputs(self, graph: ModelGraph) -> list[list[np.ndarray]]:
        pbio.write_graph(graph, self.path)
        data = self.path.read_bytes()
        with LoadedGraph(data, pbio.parse_graph(data, where=str(self.path)), where=str(self.path)) as loaded:
            fetches = [tensor for tensors in loaded.tensors(graph.outputs).values() for tensor in tensors]
            return [loaded.run(fetches, batch.feeds) for batch in self.data]


def compared(name: str, path: Path, spec: DataSpec, every: int) -> Iterator[Row]:
    """Sweep each ``every``-th layer both ways."""
    graph = pbio.read_graph(path)
    layers = find_layers(graph)
    chosen = layers[::every]
    ours = plain = 0.0
    difference = 0.0
    with tempfile.TemporaryDirectory(prefix="compressor-bench-") as folder:
        start = time.perf_counter()
        plan = Plan(pbio.to_bytes(graph), graph.outputs, str(path), spec, GRID, "auto", 32, 1_000_000_000)
        with Sweep(plan, lambda: None) as sweep:
            metric, count = sweep.baseline.metric, sweep.baseline.n
            ours += time.perf_counter() - start
            data = open_dataset(spec, graph, 32)
            list(data)  # decodes, and keeps
            start = time.perf_counter()
            loop = PlainLoop(graph, data, folder)
            plain += time.perf_counter() - start
            for layer in chosen:
                start = time.perf_counter()
                values = sweep.finish(layer.name, {})
                ours += time.perf_counter() - start
                start = time.perf_counter()
                for point, value in values.items():
                    difference = max(difference, abs(value - loop.value(layer, point, metric)))
                plain += time.perf_counter() - start
    what = f"{name}, {len(chosen)} of {len(layers)} layers, {count} examples"
    limit = LIMIT if len(layers) >= 20 else None
    yield Row(f"{what}: of the plain loop's time", ours / plain, "", limit, f"{plain / ours:.1f} times as fast")
    yield Row("  a point, in the sweep", ours / len(chosen) / (len(SPARSITIES) + len(BITS)))
    yield Row("  a point, in the plain loop", plain / len(chosen) / (len(SPARSITIES) + len(BITS)))
    yield Row(f"  largest difference of {metric}", difference, "", TOLERANCE)


def rows() -> Iterator[Row]:
    """LeNet-5 by accuracy, movenet-lightning by fidelity."""
    path = SAMPLES / "lenet-5.pb"
    yield from compared("LeNet-5", path, guess(pbio.read_graph(path), SAMPLES / "t10k-1000-images-idx3-ubyte.gz"), 1)
    path = SHARED / "models" / "movenet-lightning.pb"
    if not path.is_file():
        print(f"{path} is missing: no network of 20 layers or more is measured.")
        return
    yield from compared("movenet-lightning", path, guess(pbio.read_graph(path), SHARED / "images"), 9)


if __name__ == "__main__":
    main("Sensitivity: only what lies downstream of a layer, beside the plain loop", rows)

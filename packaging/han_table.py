"""Prune the large networks of Han et al.'s tables to their densities, and measure size and speed.

    .venv/bin/python packaging/han_table.py [--only vgg-16] [--models FOLDER] [--imagenet DATA] [--keep FOLDER]

For AlexNet and VGG-16 the densities are those of each layer (S. Han et al., "Learning both weights and connections for
efficient neural networks", NIPS 2015, tables 4 and 5); for GoogLeNet, SqueezeNet and ResNet-50 the thesis (S. Han,
"Efficient methods and hardware for deep learning", 2017) is followed in its totals alone, one density for all layers.
The networks are built with random weights (``big_networks.py``), so that accuracy can't be measured on them. With
``--models``, trained frozen graphs of the same layer names (``FOLDER/vgg-16.pb``) are pruned instead, and with
``--imagenet`` their accuracy is measured before and after, on labelled pictures as ``compressor-cli evaluate`` takes.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from big_networks import NETWORKS

from compressor_gui.core import data, pbio, units
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import CheckExport, EngineClient
from compressor_gui.core.layers import find_layers
from compressor_gui.core.measure import Evaluate, Latency, ModelRef
from compressor_gui.core.passes import apply
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.sizes import sparse_size


@dataclass(frozen=True)
class Paper:
    """What the papers say: parameters before and after, in millions, and the share of weights that each layer keeps;
    under ``""`` that of the layers that are not named."""

    before: float
    after: float
    density: Mapping[str, float]


PAPERS = {
    "alexnet": Paper(
        61, 6.7,
        {"conv1": 0.84, "conv2": 0.38, "conv3": 0.35, "conv4": 0.37, "conv5": 0.37, "fc1": 0.09, "fc2": 0.09,
         "fc3": 0.25},
    ),
    "vgg-16": Paper(
        138, 10.3,
        {"conv1_1": 0.58, "conv1_2": 0.22, "conv2_1": 0.34, "conv2_2": 0.36, "conv3_1": 0.53, "conv3_2": 0.24,
         "conv3_3": 0.42, "conv4_1": 0.32, "conv4_2": 0.27, "conv4_3": 0.34, "conv5_1": 0.35, "conv5_2": 0.29,
         "conv5_3": 0.36, "fc6": 0.04, "fc7": 0.04, "fc8": 0.23},
    ),
    "googlenet": Paper(7.0, 2.0, {"": 2.0 / 7.0}),
    "squeezenet": Paper(1.2, 0.38, {"": 0.38 / 1.24}),
    "resnet-50": Paper(25.5, 7.47, {"": 7.47 / 25.5}),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    bytes: int
    zipped: tuple[int, int]
    csr: int
    parameters: tuple[int, int]
    seconds: float
    milliseconds: tuple[float, float]
    top1: tuple[float | None, float | None] = (None, None)


def pruned(graph: ModelGraph, density: Mapping[str, float]) -> ModelGraph:
    """Magnitude pruning; a layer goes by its name or, where it has groups, by its scope."""
    sparsities = {}
    for layer in find_layers(graph):
        kept = density.get(layer.name, density.get(layer.name.split("/")[0], density.get("")))
        if kept is None:
            raise SystemExit(f"the table has no density for the layer {layer.name}")
        sparsities[layer.name] = 1 - kept
    return apply(Prune(layers=tuple(sparsities.items())), graph).graph


def parameters(graph: ModelGraph) -> int:
    """Weights that are not zero, and all biases."""
    layers = find_layers(graph)
    biases = [graph[layer.bias].tensor for layer in layers if layer.bias is not None]
    return sum(layer.nonzero for layer in layers) + sum(tensor.array.size for tensor in biases if tensor is not None)


def measure(name: str, source: Path, folder: Path, engine: EngineClient, imagenet: str | None) -> Row:
    """Open, prune, export, check and time one network."""
    start = time.perf_counter()
    graph = pbio.read_graph(source)
    small = pruned(graph, PAPERS[name].density)
    target = folder / f"{name}-pruned.pb"
    pbio.write_graph(small, target)
    seconds = time.perf_counter() - start
    check = engine.run(CheckExport(str(source), str(target), graph.outputs, small.outputs))
    if not check.passed:
        raise SystemExit(f"{name}: the pruned graph does not run")
    before, after = ModelRef(str(source)), ModelRef(str(target))
    timed = engine.run(Latency(after, before, runs=10, nodes=0))
    assert timed.against is not None
    top1: tuple[float | None, float | None] = (None, None)
    if imagenet:
        found = engine.run(Evaluate(after, data.load_or_guess(imagenet, graph), against=before))
        top1 = (found.against.top1 if found.against else None, found.accuracy.top1)
    layers = find_layers(small)
    return Row(
        name,
        source.stat().st_size,
        (len(gzip.compress(source.read_bytes(), 1)), len(gzip.compress(target.read_bytes(), 1))),
        sparse_size(target.stat().st_size, ((layer, layer.nonzero) for layer in layers)),
        (parameters(graph), parameters(small)),
        seconds,
        (timed.against.median_ms, timed.model.median_ms),
        top1,
    )


def line(row: Row) -> str:
    """A row as Markdown."""
    paper = PAPERS[row.name]
    counts = f"{row.parameters[0] / 1e6:.1f} M -> {row.parameters[1] / 1e6:.2f} M"
    accuracy = " -> ".join("not measured" if top is None else f"{100 * top:.2f} %" for top in dict.fromkeys(row.top1))
    cells = (
        row.name, f"{paper.before:g} M -> {paper.after:g} M", counts, units.size(row.bytes),
        f"{units.size(row.zipped[0])} -> {units.size(row.zipped[1])}", units.size(row.csr), f"{row.seconds:.1f} s",
        f"{row.milliseconds[0]:.0f} -> {row.milliseconds[1]:.0f} ms", accuracy,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=NETWORKS, action="append", help="this network alone; repeat for more")
    parser.add_argument("--models", type=Path, help="a folder of trained frozen graphs, named as the networks")
    parser.add_argument("--imagenet", help="labelled pictures, as compressor-cli evaluate --data takes them")
    parser.add_argument("--keep", type=Path, help="keep the graphs in this folder")
    options = parser.parse_args()
    if options.imagenet and not options.models:
        parser.error("--imagenet needs --models: the networks that are built here have random weights")
    print("| network | paper | parameters | file | gzip | CSR | open, prune, write | a run in TensorFlow | top-1 |")
    print("|---|---|---|--:|---|--:|--:|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="compressor-") as temporary, EngineClient() as engine:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.only or NETWORKS:
            source = (options.models or folder) / f"{name}.pb"
            if not source.exists():
                if options.models:
                    raise SystemExit(f"{source} is missing")
                pbio.write_graph(NETWORKS[name](), source)
            print(line(measure(name, source, folder, engine, options.imagenet)), flush=True)
            if not options.keep:
                for made in folder.glob(f"{name}*.pb"):
                    made.unlink()


if __name__ == "__main__":
    main()

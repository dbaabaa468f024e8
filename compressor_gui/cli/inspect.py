"""``compressor-cli inspect``: what is in a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from compressor_gui.cli.console import Console, read_model, table, with_console
from compressor_gui.core import units
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.names import elide
from compressor_gui.core.recipe import digest
from compressor_gui.core.regions import Region, islands, regions


@click.command(short_help="What is in a graph: size, operations, inputs, outputs, layers.")
@click.argument("model")
@click.option("--outputs", metavar="A,B", help="The graph's outputs, where they are not the nodes that nobody reads.")
@click.option(
    "--regions", "with_regions", is_flag=True, help="The 8-bit regions, and why what is between them is float."
)
@with_console
def inspect(console: Console, model: str, outputs: str | None, with_regions: bool) -> None:
    """Show a graph's size, operations, inputs, outputs and weighted layers. MODEL is .pb or .pbtxt; - reads it from
    standard input.

    \b
    Example:
      compressor-cli inspect model.pb --json | jq '.layers[] | select(.bytes > 100000) | .name'
    """
    data, graph = read_model(model, outputs)
    layers = find_layers(graph)
    found = regions(graph) if with_regions else None
    described = describe(data, graph, layers)
    if found is not None:
        described["regions"] = [region.to_json() for region in found]

    def text() -> Iterator[str]:
        yield from _text(len(data), graph, layers)
        if found is not None:
            yield ""
            yield from _regions(found)

    console.result(described, text)


def describe(data: bytes, graph: ModelGraph, layers: tuple[Layer, ...]) -> dict[str, Any]:
    """The object that ``inspect --json`` prints."""
    return {
        "sha256": digest(data),
        "nodes": len(graph),
        "bytes": len(data),
        "parameters": parameters(graph, layers),
        "sparsity": sparsity(layers),
        "ops": dict(graph.op_counts),
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "input_types": {name: _type(graph[name]) for name in graph.inputs},
        "input_shapes": {name: _dims(graph[name]) for name in graph.inputs},
        "layers": [_layer(layer) for layer in layers],
    }


def parameters(graph: ModelGraph, layers: tuple[Layer, ...]) -> int:
    """The weights of all layers and their biases, each constant counted once."""
    biases = {layer.bias for layer in layers if layer.bias is not None} - {layer.weight for layer in layers}
    tensors = [graph[name].tensor for name in biases if name in graph]
    return sum(layer.parameters for layer in layers) + sum(int(t.array.size) for t in tensors if t is not None)


def sparsity(layers: tuple[Layer, ...]) -> float:
    """The share of all layers' weights that are zero, 0..1."""
    weights = sum(layer.parameters for layer in layers)
    return 1 - sum(layer.nonzero for layer in layers) / weights if weights else 0.0


def _layer(layer: Layer) -> dict[str, Any]:
    found = layer.summary
    return {
        "name": layer.name,
        "short": layer.short,
        "op": layer.op,
        "users": list(layer.users),
        "weight": layer.weight,
        "bias": layer.bias,
        "batch_norm": layer.batch_norm,
        "dtype": layer.tensor.dtype.label,
        "shape": list(layer.tensor.array.shape),
        "parameters": layer.parameters,
        "bytes": layer.bytes,
        "nonzero": layer.nonzero,
        "sparsity": layer.sparsity,
        "minimum": found.minimum,
        "maximum": found.maximum,
        "mean": found.mean,
        "std": found.std,
        "multiply_adds": layer.multiply_adds,
    }


def _type(node: Node) -> str | None:
    dtype = node.dtype("dtype")
    return dtype.label if dtype is not None else None


def _dims(node: Node) -> list[int] | None:
    shape = node.shape()
    return list(shape.dims) if shape is not None and shape.dims is not None else None


def _text(size: int, graph: ModelGraph, layers: tuple[Layer, ...]) -> Iterator[str]:
    count = units.amount(parameters(graph, layers))
    yield f"{units.size(size)}, {len(graph):,} nodes, {count} parameters, {units.percent(sparsity(layers))} zero"
    yield ""
    for head, names in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        for at, name in enumerate(names):
            shape = graph[name].shape() if head == "inputs" else None
            words = f"  {_type(graph[name])} {shape or '?'}" if head == "inputs" else ""
            yield f"{head if at == 0 else '':<9}{name}{words}"
    yield ""
    yield from table(("op", "nodes"), [(op, f"{count:,}") for op, count in graph.op_counts.items()], "<>")
    if layers:
        yield ""
        rows = [
            (
                elide(layer.short, 48),
                layer.op,
                str(layer.shape),
                f"{layer.parameters:,}",
                units.size(layer.bytes),
                f"{layer.nonzero:,}",
                units.percent(layer.sparsity),
            )
            for layer in layers
        ]
        yield from table(("layer", "op", "shape", "parameters", "bytes", "non-zero", "sparsity"), rows, "<<<>>>>")


def _regions(found: tuple[Region, ...]) -> Iterator[str]:
    between = islands(found)
    count = units.counted(len(found), "8-bit region")
    nodes = sum(len(region.nodes) for region in found)
    yield f"{count} of {nodes:,} nodes, {units.counted(len(between), 'float island')}"
    rows = [
        (
            elide(island.nodes[0], 48),
            f"{len(island.nodes):,}",
            f"{len(island.conversions):,}",
            "?" if island.elements is None else units.amount(island.elements),
            island.reason,
        )
        for island in between
    ]
    if rows:
        yield ""
        yield from table(("float island", "nodes", "conversions", "numbers", "why"), rows, "<>>><")

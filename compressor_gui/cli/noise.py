"""``compressor-cli noise``: how far each layer's values are from the original's, and what each adds by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from compressor_gui.cli.console import Console, read_model, refuse_targets, table, with_console
from compressor_gui.cli.data_options import DataOptions, with_data
from compressor_gui.cli.evaluate import skipped
from compressor_gui.cli.model import with_model
from compressor_gui.cli.pictures import check_kind, save_chart
from compressor_gui.core import units
from compressor_gui.core.chart import Series, curves_svg
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.names import short_names
from compressor_gui.core.noise import LayerNoise, LayerNoiseResult, decibels

_TOP_DB = 80.0
"""The top of the chart: what is equal would flatten everything else."""


@click.command(short_help="Measure where in a graph the noise of its compression arises.")
@click.option("--against", metavar="OTHER", help="The original that MODEL was made of; default: MODEL itself.")
@click.option("--batch", default=32, show_default=True, type=click.IntRange(1), help="Most examples in one run.")
@click.option(
    "-o", "--output", metavar="CHART", help="Draw it, layer by layer, into a .svg or .png; - is stdout (SVG)."
)
@with_data
@with_console
@with_model
def noise(
    console: Console,
    model: ModelRef,
    data: DataOptions,
    against: str | None,
    batch: int,
    output: str | None,
) -> None:
    """Run MODEL with --recipe beside MODEL without it (or MODEL beside --against, its original) on the same examples,
    and compare what each layer puts out: SQNR in dB, and the SQNR that the layer would have by itself, given the
    original's values to read. The layers that add most noise come first.

    \b
    Examples:
      compressor-cli noise model.pb --recipe int8.recipe.json --data photos --limit 10 -o noise.svg
      compressor-cli noise small.pb --against model.pb --data data.json --json
    """
    if not against and not model.recipe:
        raise CompressorError("there is nothing to compare MODEL with", hint="give --recipe, or --against")
    console.stdout_taken = output == "-"
    if output:
        check_kind(output)
    refuse_targets((output,), model.path, against)
    # Outputs are named for MODEL; with another file they may have other names there.
    outputs = () if against else model.outputs
    original = dataclasses.replace(model, path=against or model.path, recipe="", outputs=outputs)
    _, graph = read_model(original.path, ",".join(original.outputs))
    with EngineClient() as engine:
        found = engine.run(LayerNoise(original, model, data.spec(graph, console), batch), console.progress)
    if output:
        save_chart(_chart(found, model), output)
    console.result(_report(found), lambda: _text(found))
    for note in filter(None, (*found.notes, skipped(found.skipped), found.left_out)):
        console.note(note)


def _report(found: LayerNoiseResult) -> dict[str, Any]:
    """The object that ``noise --json`` prints, nodes in topological order."""
    nodes = [node.to_json() for node in found.nodes]
    return {**dataclasses.asdict(found), "nodes": nodes, "seconds": round(found.seconds, 3)}


def _text(found: LayerNoiseResult) -> Iterator[str]:
    short = short_names(node.layer for node in found.nodes)
    rows = [
        (short[node.layer], node.what, decibels(node.sqnr_db), "-" if node.own_db is None else decibels(node.own_db))
        for node in found.worst
    ]
    yield from table(("layer", "operations", "SQNR", "by itself"), rows, "<<>>")
    yield ""
    rest = f"; without a counterpart: {len(found.missing)}" if found.missing else ""
    yield f"{units.counted(found.n, 'example')}, {found.seconds:.3g} s{rest}"


def _chart(found: LayerNoiseResult, model: ModelRef) -> str:
    places = range(1, len(found.nodes) + 1)
    sums = [min(node.sqnr_db, _TOP_DB) for node in found.nodes]
    own = [float("nan") if node.own_db is None else min(node.own_db, _TOP_DB) for node in found.nodes]
    return curves_svg(
        f"Noise of each layer, {Path(model.path).name}",
        "layer, in the order in which they run",
        "SQNR in dB",
        [Series("this layer", places, sums), Series("by itself", places, own)],
        subtitle=units.counted(found.n, "example"),
    )

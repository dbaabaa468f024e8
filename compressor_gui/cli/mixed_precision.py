"""``compressor-cli mixed-precision``: the cheapest number of bits for each layer, for a target that is measured."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from compressor_gui.cli.console import Console, read_model, refuse_targets, table, with_console
from compressor_gui.cli.data_options import DataOptions, with_data
from compressor_gui.cli.evaluate import skipped
from compressor_gui.cli.model import with_model
from compressor_gui.cli.pictures import check_kind, save_chart
from compressor_gui.core import pbio, units
from compressor_gui.core.chart import Series, curves_svg
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import Latency, LatencyResult, ModelRef
from compressor_gui.core.mixed_job import OFFERED, TARGET_DB, FindPrecision, Precision
from compressor_gui.core.names import short_names
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.ranges_file import read_ranges
from compressor_gui.core.recipe import Recipe, Replayer, digest
from compressor_gui.core.sweep import CLEAN_DB

_STORED = (
    "stored: packed in the file, where frequent values take fewer bits, so less than bits times weights",
    "8 bits span all weights of a layer or channel, 2 to 7 a clipped range of each channel: they can be nearer",
)
"""What the columns of the table of layers mean where weights are stored in fewer bits."""


class _Decibel(click.ParamType):
    """A number of dB, which may say so: ``25``, ``25dB``."""

    name = "decibel"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"\s*([-+.\de]+)\s*(?:dB)?\s*", str(value), re.IGNORECASE)
        try:
            return float(found[1] if found else "")
        except ValueError:
            self.fail(f"{value!r} is not an SQNR such as 25dB", param, ctx)


class _Widths(click.ParamType):
    """Numbers of bits with commas between them."""

    name = "bits"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in value.split(",") if part.strip())
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 32,16,8,4", param, ctx)


@click.command("mixed-precision", short_help="Find the cheapest number of bits for each layer, for a target.")
@click.option("--target", type=_Decibel(), help=f"The least SQNR of every output; {TARGET_DB:g}dB without --max-drop.")
@click.option("--max-drop", type=click.FloatRange(0), help="Or the largest drop of top-1, in percentage points.")
@click.option("--bits", type=_Widths(), default=OFFERED, help="The numbers of bits that weights may have.")
@click.option("--fused", is_flag=True, help="Layers in fused int8 or in float, in the place of bits for weights.")
@click.option("--ranges", "ranges_path", metavar="FILE", help="With --fused: ranges, as calibrate writes them.")
@click.option("--without-vnni", is_flag=True, help="With --fused: as the parameter of fuse_int8.")
@click.option("--batch", default=8, show_default=True, type=click.IntRange(1), help="Examples in one run.")
@click.option("--cache", metavar="FOLDER", default="", help="Where sensitivities are kept; the user's cache folder.")
@click.option("--runs", default=20, show_default=True, type=click.IntRange(0), help="Runs to time it by; 0: it is not.")
@click.option("-o", "--output", metavar="OUT", help="Write the graph with the chosen precision.")
@click.option("--save-recipe", metavar="FILE", help="Save the recipe, with the precision as its last step.")
@click.option("--chart", metavar="FILE", help="Draw the Pareto curve into a .svg or .png.")
@with_data
@with_console
@with_model
def mixed_precision(
    console: Console,
    model: ModelRef,
    data: DataOptions,
    target: float | None,
    max_drop: float | None,
    bits: tuple[int, ...],
    fused: bool,
    ranges_path: str | None,
    without_vnni: bool,
    batch: int,
    cache: str,
    runs: int,
    output: str | None,
    save_recipe: str | None,
    chart: str | None,
) -> None:
    """Give each layer of MODEL as few bits as a target allows, and measure that it is met.

    What each layer costs alone is swept (or remembered); the assignments that promise least noise for their bytes are
    measured with all layers together, and corrected, until the cheapest one that meets the target is found. Compared
    is with MODEL behind its --recipe. Where no assignment meets it the best one is told, nothing is written, and the
    exit code is 1.

    \b
    Examples:
      compressor-cli mixed-precision model.pb --data photos --limit 10 --target 25dB -o small.pb --chart pareto.svg
      compressor-cli mixed-precision model.pb --data photos --labels labels.txt --max-drop 0.1 --save-recipe small.json
      compressor-cli mixed-precision model.pb --data photos --target 25dB --fused --ranges ranges.json -o fast.pb
    """
    if chart:
        check_kind(chart)
    if "-" in (output, save_recipe, chart):
        raise CompressorError("standard output has the table already", hint="name a file")
    refuse_targets((output, save_recipe, chart), model.path, ranges_path)
    if ranges_path and not fused:
        raise CompressorError("ranges are of use for --fused alone", hint="leave --ranges out")
    content, source = read_model(model.path, ",".join(model.outputs))
    ranges = FuseInt8(ranges=read_ranges(ranges_path)).ranges if ranges_path else ()
    spec = data.spec(_replayed(source, model), console)
    sqnr = target
    if target is None and max_drop is None:
        sqnr = TARGET_DB
        console.note(f"no target is given, so that it is the usual one: every output has at least {TARGET_DB:g} dB")
    drop = None if max_drop is None else max_drop / 100
    request = FindPrecision(model, spec, sqnr, drop, bits, fused, dict(ranges), without_vnni, batch, cache=cache)
    request.check()
    with EngineClient() as engine:
        found = engine.run(request, console.progress)
        step = request.step(found.path.bits(found.chosen))
        made = request.model_with(step)
        timed = engine.run(Latency(made, model, runs=runs, nodes=0), console.progress) if runs and step else None
    recipe = Recipe.from_json(made.recipe) if made.recipe else Recipe()
    if output and found.met:
        pbio.write_graph(Replayer(source).replay(recipe).graph, output, model.path)
    if save_recipe and found.met:
        dataclasses.replace(recipe, sha256=digest(content)).save(save_recipe)
    if chart:
        save_chart(_chart(found, model), chart)
    console.result(_report(found, timed), lambda: _text(found, timed))
    for note in filter(None, (*found.notes, skipped(found.skipped), found.left_out)):
        console.note(note)
    if not found.met:
        console.problem(f"the target is not met: {found.lack}")
        click.get_current_context().exit(1)


def _replayed(source: ModelGraph, model: ModelRef) -> ModelGraph:
    return Replayer(source).replay(Recipe.from_json(model.recipe)).graph if model.recipe else source


def _report(found: Precision, timed: LatencyResult | None) -> dict[str, Any]:
    """The object that ``mixed-precision --json`` prints."""
    estimates, values = found.estimates, found.values
    points = [
        {"cost": cost, "value": estimates[at], "measured": at in values} for at, cost in enumerate(found.path.costs)
    ]
    chosen = next(point for point in found.measured if point.at == found.chosen)
    return {
        **{key: getattr(found, key) for key in ("metric", "target", "baseline", "n", "fused", "met", "lack")},
        "chosen": found.chosen,
        "bits": found.path.bits(found.chosen),
        "bytes": chosen.bytes,
        "value": chosen.value,
        "outputs": dict(chosen.outputs),
        "points": points,
        "layers": [dataclasses.asdict(layer) for layer in found.layers],
        "speedup": timed.speedup if timed else None,
        "ms": timed.model.median_ms if timed else None,
        "seconds": round(found.seconds, 3),
    }


def _text(found: Precision, timed: LatencyResult | None) -> Iterator[str]:
    """Each layer of the chosen point, each output, and what is left of size and speed."""
    bits = found.path.bits(found.chosen)
    short = short_names(layer.name for layer in found.layers)
    rows = []
    for layer in found.layers:
        at = layer.bits.index(bits[layer.name])
        lowest = layer.bits.index(8) if 8 in layer.bits else len(layer.bits) - 1
        rows.append(
            (
                short[layer.name],
                _words(bits[layer.name], found.fused),
                units.amount(layer.cost[at]) if found.fused else units.size(layer.cost[at]),
                units.decibel(layer.db[at]),
                units.decibel(layer.db[lowest]),
            )
        )
    cost = "multiply-adds in float" if found.fused else "stored"
    yield from table(("layer", "precision", cost, "SQNR alone", "in 8 bits"), rows, "<<>>>")
    if not found.fused:
        yield from _STORED
    yield ""
    point = next(point for point in found.measured if point.at == found.chosen)
    yield from table(("output", "SQNR"), [(name, units.decibel(db)) for name, db in point.outputs], "<>")
    yield ""
    if found.metric == "top1":
        least = f"the target is at least {units.percent(found.target)}"
        yield f"top-1 {units.percent(point.value)}, {units.percent(found.baseline)} untouched; {least}"
    else:
        yield f"the target is at least {found.target:g} dB on every output"
    speed = f", {timed.speedup:.2f} times as fast ({timed.model.median_ms:.3g} ms)" if timed and timed.speedup else ""
    yield f"{units.size(point.bytes)}{speed}"
    points = f"{units.counted(len(found.measured), 'point')} of {len(found.path):,} measured"
    yield f"{points} on {units.counted(found.n, 'example')}, {found.seconds:.3g} s"


def _words(bits: int, fused: bool) -> str:
    return "float" if bits == 32 else "int8" if fused else f"{bits} bits"


def _chart(found: Precision, model: ModelRef) -> str:
    """The metric along the path; a clean output counts as one of CLEAN_DB."""
    percent, scale = found.metric == "top1", 1e6
    estimates = [100 * value if percent else min(value, CLEAN_DB) for value in found.estimates]
    measured = [point.at for point in found.measured]
    costs = [cost / scale for cost in found.path.costs]
    series = [
        Series("estimated", costs[::-1], estimates[::-1]),
        Series("measured", [costs[at] for at in measured[::-1]], [estimates[at] for at in measured[::-1]]),
    ]
    return curves_svg(
        f"Precision of {Path(model.path).name}",
        "million multiply-adds in float" if found.fused else "file, MB",
        "top-1, %" if percent else "SQNR of the worst output, dB",
        series,
        baseline=100 * found.target if percent else found.target,
        subtitle=f"{units.counted(found.n, 'example')}, the target dashed",
    )

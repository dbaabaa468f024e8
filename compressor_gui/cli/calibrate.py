"""``compressor-cli calibrate``: ranges of activations, from examples or from a log of TensorFlow's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import click

from compressor_gui.cli.console import Console, read_model, refuse_targets, table, with_console
from compressor_gui.cli.data_options import DataOptions, with_optional_data, with_scheduler
from compressor_gui.cli.model import with_model
from compressor_gui.cli.pictures import check_kind, save_chart
from compressor_gui.core import units
from compressor_gui.core.chart import Histogram, histograms_svg
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EngineClient, Progress
from compressor_gui.core.measure import METHODS, Calibrate, Calibration, ModelRef
from compressor_gui.core.names import short_names
from compressor_gui.core.passes.eightbit.kernels import RANGE_SUFFIX
from compressor_gui.core.passes.fold_batch_norms import FoldBatchNorms
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.ranges import PERCENTILE, plan_calibration, with_ranges
from compressor_gui.core.ranges_file import log_ranges, parse_log, ranges_text, read_text, write_ranges
from compressor_gui.core.recipe import Recipe, Replayer, digest

SHOWN = 5
"""Examples that are named of those left out; the JSON has all."""


@click.command(short_help="Find the ranges that an 8-bit graph needs, from examples.")
@click.option("--method", type=click.Choice(METHODS), default="minmax", show_default=True, help="How to choose.")
@click.option(
    "--percentile",
    type=click.FloatRange(50, 100),
    default=PERCENTILE,
    show_default=True,
    help="Of the method of this name: the percent of values that each end keeps.",
)
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Examples in one run.")
@click.option(
    "--for",
    "wanted",
    type=click.Choice((QuantizeNodes.name, FuseInt8.name)),
    help="The pass whose ranges are measured, where the recipe has none: fuse_int8 comes with fold_batch_norms.",
)
@click.option("--from-log", "log", metavar="FILE", help="Take the ranges from a log of TensorFlow's instead of data.")
@click.option("-o", "--output", metavar="RANGES", help="Write the ranges into a JSON file; - is stdout.")
@click.option("--chart", metavar="PICTURE", help="Draw the histograms and the cuts into a .svg or .png.")
@click.option("--save-recipe", metavar="FILE", help="Save the recipe with the ranges stored in it.")
@with_scheduler
@with_optional_data
@with_console
@with_model
def calibrate(
    console: Console,
    model: ModelRef,
    data: DataOptions | None,
    method: str,
    percentile: float,
    batch: int,
    wanted: str | None,
    scheduler: str,
    log: str | None,
    output: str | None,
    chart: str | None,
    save_recipe: str | None,
) -> None:
    """Find the range of every activation that MODEL's 8-bit form requantizes, by running MODEL in float on examples.

    A recipe without quantize_nodes and fuse_int8 is completed with the former, or as --for says. The file of ranges is
    what the passes freeze_requantization_ranges and fuse_int8 take; the saved recipe has it already.

    \b
    Examples:
      compressor-cli calibrate model.pb --data photos --limit 1000 --method kl -o ranges.json --chart ranges.svg
      compressor-cli compress model.pb -o small.pb --pass quantize_nodes \\
          --pass "freeze_requantization_ranges(ranges='ranges.json')"
      compressor-cli calibrate model.pb --for fuse_int8 --data photos --limit 10 -o ranges.json
      compressor-cli compress model.pb -o fast.pb --pass fold_batch_norms --pass "fuse_int8(ranges='ranges.json')"
    """
    console.stdout_taken = "-" in (output, chart)
    if (data is None) == (log is None):
        raise CompressorError("give either --data or --from-log", hint="--data FOLDER names the examples")
    if chart:
        check_kind(chart)
        if log:
            raise CompressorError("a log has no histograms to draw", hint="leave --chart out")
    if output == chart == "-":
        raise CompressorError("ranges and chart can't both go to standard output", hint="name a file for one of them")
    refuse_targets((output, chart, save_recipe), model.path, log)
    content, source = read_model(model.path, ",".join(model.outputs))
    recipe = _completed(Recipe.from_json(model.recipe) if model.recipe else Recipe(), wanted)
    model = dataclasses.replace(model, recipe=recipe.to_json())
    plan = plan_calibration(source, recipe, lambda *at: console.progress(Progress(*at)))
    if data is None:
        found = _from_log(str(log))
    else:
        with EngineClient() as engine:
            request = Calibrate(model, data.spec(plan.graph, console), method, percentile, batch, scheduler)
            found = engine.run(request, console.progress)
    stored = with_ranges(plan.recipe, found.ranges)
    notes = _notes_of_freezing(source, stored)
    if output == "-":
        click.echo(ranges_text(found.ranges), nl=False)
    elif output:
        write_ranges(output, found.ranges)
    if chart:
        save_chart(_chart(found, model), chart)
    if save_recipe:
        dataclasses.replace(stored, sha256=digest(content)).save(save_recipe)
    report = {
        "n": found.n,
        "method": found.method,
        "ranges": found.ranges,
        "skipped": found.skipped,
        "seconds": round(found.seconds, 3),
        "remapper_off": found.remapper_off,
        "onednn_off": found.onednn_off,
    }
    console.result(report, lambda: _text(found))
    for note in (*plan.notes, *notes, found.left_out, _left_out(found.skipped)):
        if note:
            console.note(note)
    if not (output or chart or save_recipe or console.as_json):
        console.note("nothing is written: -o RANGES keeps the ranges, --save-recipe FILE a recipe that has them")


def _completed(recipe: Recipe, wanted: str | None) -> Recipe:
    """With what ``--for`` asks for, where no step has ranges yet."""
    if wanted is None or any(isinstance(step, QuantizeNodes | FuseInt8) for step in recipe.active):
        return recipe
    if wanted == QuantizeNodes.name:
        return recipe.adding(QuantizeNodes())
    return recipe.adding(FoldBatchNorms()).adding(FuseInt8())


def _from_log(log: str) -> Calibration:
    """The ranges in a log, ``n`` the number of runs that it tells of."""
    records = parse_log(read_text(log), log)
    if not records:
        words = "there is no range of a RequantizationRange in this log"
        hint = 'its lines look like ";node__print__;__requant_min_max:[min][max]"'
        raise CompressorError(words, where=log, hint=hint)
    return Calibration(max(map(len, records.values())), "log", log_ranges(records), {})


def _notes_of_freezing(source: ModelGraph, recipe: Recipe) -> tuple[str, ...]:
    """What the pass says to the ranges. Raises CompressorError where they are not of this graph."""
    stages, takes_ranges = Replayer(source).replay(recipe).stages, FreezeRequantizationRanges | FuseInt8
    return next(stage.result.notes for stage in stages if isinstance(stage.transform, takes_ranges))


def _left_out(skipped: tuple[str, ...]) -> str:
    more = f", and {len(skipped) - SHOWN} more" if len(skipped) > SHOWN else ""
    return f"left out: {', '.join(skipped[:SHOWN])}{more}" if skipped else ""


def _text(found: Calibration) -> Iterator[str]:
    rows = []
    for name, (low, high) in found.ranges.items():
        histogram = found.histograms.get(name)
        measured = [units.number(histogram.low), units.number(histogram.high)] if histogram else ["-", "-"]
        rows.append((name.removesuffix(RANGE_SUFFIX), units.number(low), units.number(high), *measured))
    yield from table(("layer", "minimum", "maximum", "smallest", "largest"), rows, "<>>>>")
    yield ""
    source = units.counted(found.n, "run" if found.method == "log" else "example")
    yield f"{units.counted(len(rows), 'range')} by {found.method} from {source}"


def _chart(found: Calibration, model: ModelRef) -> str:
    names = short_names(name.removesuffix(RANGE_SUFFIX) for name in found.histograms)
    histograms = [
        Histogram(short, one.low, one.high, one.counts, found.ranges[name])
        for short, (name, one) in zip(names.values(), found.histograms.items(), strict=True)
    ]
    title = f"Ranges of {Path(model.path).name}"
    return histograms_svg(title, histograms, subtitle=f"{units.counted(found.n, 'example')}, {found.method}")

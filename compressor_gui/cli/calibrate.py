"""``compressor-cli calibrate``: ranges of activations, from examples or from a log of TensorFlow's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from compressor_gui.cli.console import Console, read_model, table, with_console
from compressor_gui.cli.model import with_model
from compressor_gui.cli.pictures import check_kind, save_chart
from compressor_gui.core import units
from compressor_gui.core.chart import Histogram, histograms_svg
from compressor_gui.core.data import DataSpec, load_or_guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EngineClient, Progress
from compressor_gui.core.measure import METHODS, Calibrate, Calibration, ModelRef
from compressor_gui.core.names import short_names
from compressor_gui.core.passes.eightbit.kernels import RANGE_SUFFIX
from compressor_gui.core.ranges import PERCENTILE, plan_calibration, with_ranges
from compressor_gui.core.ranges_file import Limits, log_ranges, parse_log, ranges_text, read_text, write_ranges
from compressor_gui.core.recipe import Recipe, Replayer, digest


@click.command(short_help="Find the ranges that an 8-bit graph needs, from examples.")
@click.option("--data", metavar="DATA", help="A description of data (.json), or a folder or file of examples.")
@click.option("--limit", type=click.IntRange(0), help="The largest number of examples; 0 is all.")
@click.option("--method", type=click.Choice(METHODS), default="minmax", show_default=True, help="How to choose.")
@click.option(
    "--percentile",
    type=click.FloatRange(50, 100),
    default=PERCENTILE,
    show_default=True,
    help="Of the method of this name: the percent of values that each end keeps.",
)
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Examples in one run.")
@click.option("--from-log", "log", metavar="FILE", help="Take the ranges from a log of TensorFlow's instead of data.")
@click.option("-o", "--output", metavar="RANGES", help="Write the ranges into a JSON file; - is stdout.")
@click.option("--chart", metavar="PICTURE", help="Draw the histograms and the cuts into a .svg or .png.")
@click.option("--save-recipe", metavar="FILE", help="Save the recipe with the ranges stored in it.")
@with_model
@with_console
def calibrate(
    console: Console,
    model: ModelRef,
    data: str | None,
    limit: int | None,
    method: str,
    percentile: float,
    batch: int,
    log: str | None,
    output: str | None,
    chart: str | None,
    save_recipe: str | None,
) -> None:
    """Find the range of every activation that MODEL's 8-bit form requantizes, by running MODEL in float on examples.

    A recipe without quantize_nodes is completed with it. The file of ranges is what the pass
    freeze_requantization_ranges takes; the saved recipe has it already.

    \b
    Examples:
      compressor-cli calibrate model.pb --data photos --limit 1000 --method kl -o ranges.json --chart ranges.svg
      compressor-cli compress model.pb -o small.pb --pass quantize_nodes \\
          --pass "freeze_requantization_ranges(ranges='ranges.json')"
    """
    console.stdout_taken = output == "-"
    if (data is None) == (log is None):
        raise CompressorError("give either --data or --from-log", hint="--data FOLDER names the examples")
    if chart:
        check_kind(chart)
        if log:
            raise CompressorError("a log has no histograms to draw", hint="leave --chart out")
    content, source = read_model(model.path, ",".join(model.outputs))
    recipe = Recipe.from_json(model.recipe) if model.recipe else Recipe()
    plan = plan_calibration(source, recipe, lambda *at: console.progress(Progress(*at)))
    if log:
        found = _from_log(log)
    else:
        spec = load_or_guess(str(data), plan.graph)
        found = _measured(console, model, spec if limit is None else dataclasses.replace(spec, limit=limit), method,
                          percentile, batch)  # fmt: skip
    stored = with_ranges(plan.recipe, found.ranges)
    notes = Replayer(source).replay(stored).stages[-1].result.notes if stored.steps else ()

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
    }
    console.result(report, lambda: _text(found))
    for note in (*plan.notes, *notes, *filter(None, [found.left_out])):
        console.note(note)
    for name in found.skipped:
        console.note(f"left out: {name}")


def _measured(
    console: Console, model: ModelRef, data: DataSpec, method: str, percentile: float, batch: int
) -> Calibration:
    console.note(f"data: {data.summary}")
    with EngineClient() as engine:
        return engine.run(Calibrate(model, data, method, percentile, batch), console.progress)


def _from_log(log: str) -> Calibration:
    """The ranges in a log, ``n`` the number of runs that it tells of."""
    records = parse_log(read_text(log), log)
    if not records:
        words = "there is no range of a RequantizationRange in this log"
        hint = 'its lines look like ";node__print__;__requant_min_max:[min][max]"'
        raise CompressorError(words, where=log, hint=hint)
    return Calibration(max(map(len, records.values())), "log", log_ranges(records), {})


def _text(found: Calibration) -> Iterator[str]:
    rows = []
    for name, (low, high) in found.ranges.items():
        histogram = found.histograms.get(name)
        measured = [units.number(histogram.low), units.number(histogram.high)] if histogram else ["-", "-"]
        rows.append((name.removesuffix(RANGE_SUFFIX), units.number(low), units.number(high), *measured))
    yield from table(("layer", "minimum", "maximum", "smallest", "largest"), rows, "<>>>>")
    yield ""
    yield f"{len(rows)} ranges by {found.method} from {found.n:,} {'runs' if found.method == 'log' else 'examples'}"


def _chart(found: Calibration, model: ModelRef) -> str:
    names: Mapping[str, str] = {name: name.removesuffix(RANGE_SUFFIX) for name in found.histograms}
    short = short_names(names.values())
    cuts: Mapping[str, Limits] = found.ranges
    histograms = [
        Histogram(short[names[name]], one.low, one.high, one.counts, cuts[name])
        for name, one in found.histograms.items()
    ]
    title = f"Ranges of {Path(model.path).name}"
    return histograms_svg(title, histograms, subtitle=f"{found.n:,} examples, {found.method}")

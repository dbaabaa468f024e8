"""``compressor-cli sensitivity`` sweeps a model's layers; ``suggest`` makes thresholds for a target of the curves."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from compressor_gui.cli.console import Console, read_model, refuse_targets, table, with_console
from compressor_gui.cli.data_options import DataOptions, with_data, with_scheduler
from compressor_gui.cli.evaluate import skipped
from compressor_gui.cli.model import with_model
from compressor_gui.cli.pictures import check_kind, save_chart
from compressor_gui.core import units
from compressor_gui.core.chart import Series, curves_svg
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EXACT_DB, EngineClient
from compressor_gui.core.measure import BITS, SPARSITIES, LayerCurve, ModelRef, Sensitivity, SensitivityResult
from compressor_gui.core.names import short_names
from compressor_gui.core.recipe import Recipe, Replayer, digest
from compressor_gui.core.suggest import Suggestion, Target, suggest
from compressor_gui.core.sweep import CLEAN_DB, result_from_json, result_to_json


class _Numbers(click.ParamType):
    """Numbers with commas between them."""

    name = "numbers"

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self.kind(part) for part in value.split(",") if part.strip())
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 0.5,0.9", param, ctx)


@click.command("sensitivity", short_help="Measure how far each layer can be pruned, or stored in fewer bits.")
@click.option("--layers", "names", metavar="A,B", help="The layers to sweep; all, unless some are named.")
@click.option("--sparsities", type=_Numbers(float), default=SPARSITIES, help="Shares of zeros to measure at.")
@click.option("--bits", type=_Numbers(int), default=BITS, help="Numbers of bits to measure at, from 8 to 2.")
@click.option(
    "--refine", default=2, show_default=True, type=click.IntRange(0), help="Sparsities added where a curve bends most."
)
@click.option(
    "--metric",
    type=click.Choice(("auto", "top1", "sqnr_db")),
    default="auto",
    help="auto: top1 where there are labels.",
)
@click.option("--batch", default=32, show_default=True, type=click.IntRange(1), help="Examples in one run.")
@click.option(
    "--activation-mb", default=1000, show_default=True, type=click.IntRange(1), help="Memory for activations, in MB."
)
@click.option("--cache", metavar="FOLDER", default="", help="Where finished points are kept; the user's cache folder.")
@with_scheduler
@click.option("-o", "--output", metavar="CHART", help="Draw the curves into a .svg or .png; - is stdout (SVG).")
@with_data
@with_console
@with_model
def sensitivity(
    console: Console,
    model: ModelRef,
    data: DataOptions,
    names: str | None,
    sparsities: tuple[float, ...],
    bits: tuple[int, ...],
    refine: int,
    metric: str,
    batch: int,
    activation_mb: int,
    cache: str,
    scheduler: str,
    output: str | None,
) -> None:
    """Prune one layer of MODEL after the other, or store it in fewer bits, and measure what that costs: top-1 accuracy
    where the examples have labels, else the SQNR in dB of the worst output against the untouched model's.

    Points that were measured before are taken from the cache, so a sweep that was broken off goes on where it was.

    \b
    Examples:
      compressor-cli sensitivity model.pb --data photos --labels labels.txt --limit 1000 -o curves.svg
      compressor-cli sensitivity model.pb --data data.json --json > curves.json
      compressor-cli suggest model.pb --curves curves.json --max-drop 0.5 --save-recipe small.recipe.json
    """
    console.stdout_taken = output == "-"
    if output:
        check_kind(output)
    refuse_targets((output,), model.path)
    _, graph = read_model(model.path, ",".join(model.outputs))
    request = Sensitivity(
        model,
        data.spec(graph, console),
        tuple(name.strip() for name in (names or "").split(",") if name.strip()),
        sparsities,
        bits,
        refine,
        metric,
        batch,
        activation_mb * 1_000_000,
        cache,
        scheduler,
    )
    with EngineClient() as engine:
        found = engine.run(request, console.progress)
    if output:
        save_chart(_chart(found, model), output)
    console.result(result_to_json(found), lambda: _text(found))
    for note in filter(None, (*found.notes, skipped(found.skipped), found.left_out)):
        console.note(note)


def _text(found: SensitivityResult) -> Iterator[str]:
    """Each layer at the points that all have, and the baseline."""
    short = short_names(layer.name for layer in found.layers)
    for bits, title in ((False, "sparsity"), (True, "bits")):
        curves = [dict(_points(layer, bits)) for layer in found.layers]
        shared = [at for at in curves[0] if all(at in curve for curve in curves)]
        if not shared:
            continue
        unit = "top-1" if found.metric == "top1" else "SQNR in dB"
        heads = [f"{unit} at {title}", *(f"{at}" if bits else units.percent(at).replace(".0 %", " %") for at in shared)]
        rows = [
            [short[layer.name], *(_shown(found.metric, curve[at]) for at in shared)]
            for layer, curve in zip(found.layers, curves, strict=True)
        ]
        yield from table(heads, rows, "<" + ">" * len(shared))
        yield ""
    measured = sum(len(layer.sparsity) + len(layer.bits) for layer in found.layers)
    baseline = f"top-1 {units.percent(found.baseline)} untouched; " if found.metric == "top1" else ""
    reused = f", {found.reused:,} of them remembered" if found.reused else ""
    counts = f"{units.counted(found.n, 'example')}, {units.counted(measured, 'point')}"
    yield f"{baseline}{counts}{reused}, {found.seconds:.3g} s"


def _points(layer: LayerCurve, bits: bool) -> Iterator[tuple[float, float]]:
    return zip(layer.bits, layer.bits_value, strict=True) if bits else zip(layer.sparsity, layer.value, strict=True)


def _shown(metric: str, value: float) -> str:
    if metric == "top1":
        return units.percent(value)
    return "equal" if value >= EXACT_DB else f"{value:.1f}"


def _chart(found: SensitivityResult, model: ModelRef) -> str:
    """The metric against sparsity; a clean output counts as one of CLEAN_DB, which leaves room for the others."""
    short = short_names(layer.name for layer in found.layers)
    percent = found.metric == "top1"
    series = [
        Series(
            short[layer.name],
            [100 * at for at in layer.sparsity],
            [100 * value if percent else min(value, CLEAN_DB) for value in layer.value],
        )
        for layer in found.layers
    ]
    return curves_svg(
        f"Sensitivity of {Path(model.path).name}",
        "sparsity of the layer, %",
        "top-1, %" if percent else "SQNR of the worst output, dB",
        series,
        baseline=100 * found.baseline if percent else None,
        subtitle=f"{units.counted(found.n, 'example')}, one layer changed at a time",
    )


# -- suggest ----------------------------------------------------------------------------------------


@click.command("suggest", short_help="Choose each layer's sparsity for a target, by measured curves.")
@click.argument("path", metavar="MODEL")
@click.option("--curves", required=True, metavar="FILE", help="What sensitivity --json printed; - is standard input.")
@click.option("--sparsity", type=click.FloatRange(0, 1), help="Target: the share of zeros among all layers' weights.")
@click.option("--target-bytes", type=click.IntRange(1), help="Target: the file's bytes, sparse weights stored as CSR.")
@click.option("--max-drop", type=click.FloatRange(0), help="Target: the largest drop of top-1, in percentage points.")
@click.option("--min-sqnr", type=float, help="Target: the least SQNR in dB, for curves of fidelity.")
@click.option("--recipe", "recipe_path", metavar="FILE", help="A recipe to replay on MODEL first, as the sweep did.")
@click.option("--outputs", metavar="A,B", help="The graph's outputs, where they are not the nodes that nobody reads.")
@click.option("--save-recipe", metavar="FILE", help="Save a recipe with the pruning as one step.")
@with_console
def suggest_command(
    console: Console,
    path: str,
    curves: str,
    sparsity: float | None,
    target_bytes: int | None,
    max_drop: float | None,
    min_sqnr: float | None,
    recipe_path: str | None,
    outputs: str | None,
    save_recipe: str | None,
) -> None:
    """Choose how far to prune each layer of MODEL, so that a target is met at the least loss that the curves foresee.

    The prediction adds up what each layer loses alone. Measure it: evaluate --recipe.

    \b
    Example:
      compressor-cli suggest model.pb --curves curves.json --sparsity 0.8 --save-recipe small.recipe.json
    """
    if path == curves == "-":
        raise CompressorError("the graph and the curves can't both come from standard input", hint="name a file")
    refuse_targets((save_recipe,), path, curves)
    data, graph = read_model(path, outputs)
    recipe = Recipe.load(recipe_path) if recipe_path else Recipe()
    graph = Replayer(graph).replay(recipe).graph
    target = Target(sparsity, target_bytes, None if max_drop is None else max_drop / 100, min_sqnr)
    found = suggest(graph, result_from_json(_read(curves), curves), target, len(data))
    if save_recipe:
        dataclasses.replace(recipe.adding(found.step) if found.layers else recipe, sha256=digest(data)).save(
            save_recipe
        )
    console.result(_report(found), lambda: _suggestion_text(found))


def _read(path: str) -> str:
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise CompressorError(f"it can't be read: {reason}", where=path) from None


def _report(found: Suggestion) -> dict[str, Any]:
    """The object that ``suggest --json`` prints."""
    return {**dataclasses.asdict(found), "layers": dict(found.layers)}


def _suggestion_text(found: Suggestion) -> Iterator[str]:
    short = short_names(found.layers)
    if found.layers:
        yield from table(("layer", "sparsity"), [(short[n], units.percent(s)) for n, s in found.layers.items()], "<>")
        yield ""
    else:
        yield "nothing has to be pruned"
    before, after = (_shown(found.metric, value) for value in (found.baseline, found.predicted))
    metric = f"top-1 {before} -> about {after}" if found.metric == "top1" else f"SQNR about {after} dB"
    yield f"{units.percent(found.sparsity)} zeros, {units.size(found.bytes)} as CSR, {metric} (not measured)"

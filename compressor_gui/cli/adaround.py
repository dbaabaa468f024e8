"""``compressor-cli adaround``: the recipe of the default 8-bit method, with weights rounded on examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import click

from compressor_gui.cli.console import Console, read_model, refuse_targets, table, with_console
from compressor_gui.cli.data_options import DataOptions, with_data
from compressor_gui.cli.evaluate import skipped
from compressor_gui.cli.model import with_model
from compressor_gui.core import units
from compressor_gui.core.adaround import ROUNDINGS, Adaround, Adarounded
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import METHODS, ModelRef
from compressor_gui.core.names import short_names
from compressor_gui.core.passes.wording import some
from compressor_gui.core.recipe import Recipe, digest


@click.command(short_help="Write the recipe of the default 8-bit method, weights rounded on examples.")
@click.option("-o", "--output", metavar="RECIPE", required=True, help="Save the recipe; its arrays lie beside it.")
@click.option(
    "--method", type=click.Choice(METHODS), default="minmax", show_default=True, help="How ranges are chosen."
)
@click.option(
    "--equalize/--no-equalize", default=True, show_default=True, help="Equalize layers by measured peaks first."
)
@click.option(
    "--rounding",
    type=click.Choice(ROUNDINGS),
    default=ROUNDINGS[0],
    show_default=True,
    help="Of weights.",
)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Examples in one run.")
@with_data
@with_console
@with_model
def adaround(
    console: Console,
    model: ModelRef,
    data: DataOptions,
    output: str,
    method: str,
    equalize: bool,
    rounding: str,
    batch: int,
) -> None:
    """Complete MODEL's recipe to the default 8-bit method: fold_batch_norms, equalize_layers by the peaks of the
    examples, weights rounded such that each layer's results on the examples stay as they are, fuse_int8 over their
    ranges. Ten photographs are enough; all of them have to fit into memory with the values of the widest layers.

    \b
    Examples:
      compressor-cli adaround model.pb --data photos --limit 10 -o model.recipe.json
      compressor-cli compress model.pb -o fast.pb --recipe model.recipe.json
    """
    refuse_targets((output,), model.path)
    content, graph = read_model(model.path, ",".join(model.outputs))
    with EngineClient() as engine:
        request = Adaround(model, data.spec(graph, console), method, equalize, rounding, batch)
        found = engine.run(request, console.progress)
    dataclasses.replace(Recipe.from_json(found.recipe), sha256=digest(content)).save(output)
    console.result(_report(found, output), lambda: _text(found, output))
    for note in filter(None, (*_left(found), skipped(found.skipped), found.left_out)):
        console.note(note)


def _report(found: Adarounded, output: str) -> dict[str, Any]:
    report = dataclasses.asdict(found)
    report.pop("recipe")
    return {"recipe": output, **report, "seconds": round(found.seconds, 3)}


def _text(found: Adarounded, output: str) -> Iterator[str]:
    short = short_names(layer.name for layer in found.layers)
    rows = [(short[layer.name], units.decibel(layer.sqnr_db)) for layer in found.layers]
    if rows:
        yield from table(("layer", "SQNR"), rows, "<>")
        yield ""
    rounded = f"{units.counted(len(rows), 'layer')} rounded" if rows else "no weights rounded"
    yield f"{output}: {rounded} on {units.counted(found.n, 'example')}, {found.seconds:.3g} s"


def _left(found: Adarounded) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for name, reason in found.left.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield f"rounded to the nearest, as {reason}: {some(names)}"

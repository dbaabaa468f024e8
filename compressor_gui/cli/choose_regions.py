"""``compressor-cli choose-regions``: leave in float what 8 bits make slower on this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import click

from compressor_gui.cli.console import Console, read_model, refuse_targets, table, with_console
from compressor_gui.cli.model import with_model
from compressor_gui.core import units
from compressor_gui.core.choose import ChooseRegions, ChosenRegions, fusing_step, with_skipped
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.recipe import Recipe, digest


@click.command("choose-regions", short_help="Leave in float what 8 bits make slower on this machine.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1), help="Examples in one run.")
@click.option("--runs", default=20, show_default=True, type=click.IntRange(1), help="Pairs of runs for each region.")
@click.option("--save-recipe", metavar="FILE", help="Save the recipe, its fuse_int8 skipping what is slower.")
@with_console
@with_model
def choose_regions(console: Console, model: ModelRef, batch: int, runs: int, save_recipe: str | None) -> None:
    """Time every 8-bit region that the recipe's fuse_int8 makes of MODEL, in turns with the same region in float.

    A region without which most runs are faster is left in float; all are, where the network is not faster than float
    with those that remain. The result holds for the processor that it was measured on.

    \b
    Examples:
      compressor-cli calibrate model.pb --for fuse_int8 --data photos --limit 10 --save-recipe fused.json
      compressor-cli choose-regions model.pb --recipe fused.json --save-recipe fast.json
    """
    refuse_targets((save_recipe,), model.path)
    recipe = Recipe.from_json(model.recipe) if model.recipe else Recipe()
    fusing_step(recipe)
    with EngineClient() as engine:
        found = engine.run(ChooseRegions(model, batch, runs), console.progress)
    if save_recipe:
        content, _ = read_model(model.path, ",".join(model.outputs))
        dataclasses.replace(with_skipped(recipe, found.skip), sha256=digest(content)).save(save_recipe)
    console.result({**dataclasses.asdict(found), "speedup": found.speedup}, lambda: _text(found))
    for words in found.lacking:
        console.note(f"{words}: its regions are left in float")
    if found.left_out:
        console.note(found.left_out)


def _text(found: ChosenRegions) -> Iterator[str]:
    rows = [
        (
            region.operations[0],
            units.counted(len(region.operations), "operation"),
            f"{region.gain:.3f}",
            f"{region.milliseconds:+.3f} ms",
            "8 bits" if region.kept else "float",
        )
        for region in found.regions
    ]
    yield from table(("region", "", "gain", "saves", "chosen"), rows, "<>>><")
    yield ""
    times = f"float {found.float_ms:.3g} ms, 8 bits {found.fused_ms:.3g} ms, chosen {found.chosen_ms:.3g} ms"
    pairs = f"batch {found.batch}, {units.counted(found.runs, 'pair')} of runs"
    yield f"{times}: {found.speedup:.2f} times as fast as float ({pairs})"

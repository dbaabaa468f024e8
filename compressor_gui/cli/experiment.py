"""``compressor-cli experiment``: float and every 8-bit form of a model, measured side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import click

from compressor_gui.cli.console import Console, read_model, refuse_targets, table, with_console
from compressor_gui.cli.data_options import DataOptions, with_data
from compressor_gui.cli.model import with_model
from compressor_gui.cli.pictures import CHARTS, check_kind, save_chart, write_picture
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.experiment import VARIANTS, Experiment, Table, base_of, conduct, run
from compressor_gui.core.experiment_table import as_csv, captions, cells, chart, heads, markdown, report, title
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import METHODS, ModelRef
from compressor_gui.core.recipe import Recipe, digest

_KINDS = (".md", ".csv", *CHARTS)


@click.command(short_help="Float and every 8-bit form: accuracy, size and latency in one table.")
@click.option("--calibrate", metavar="DATA", help="The examples that ranges come from; without it, those of --data.")
@click.option("--method", type=click.Choice(METHODS), default="minmax", show_default=True, help="How to choose ranges.")
@click.option("--batch", default=32, show_default=True, type=click.IntRange(1), help="Examples in one run, accuracy.")
@click.option("--runs", default=50, show_default=True, type=click.IntRange(1), help="Runs that count, of each latency.")
@click.option("-o", "--output", "targets", multiple=True, metavar="FILE", help="A .md, .csv, .svg or .png; may repeat.")
@click.option("--recipes", metavar="FOLDER", help="Write the recipe of each row into this folder.")
@with_data
@with_console
@with_model
def experiment(
    console: Console,
    model: ModelRef,
    data: DataOptions,
    calibrate: str | None,
    method: str,
    batch: int,
    runs: int,
    targets: tuple[str, ...],
    recipes: str | None,
) -> None:
    """Measure MODEL in float and in each of its 8-bit forms on the same examples.

    The rows: float; 8-bit weights; 8-bit operations with ranges found at each run; with ranges stored from 10 and from
    1,000 examples; fused int8. The columns: top-1 with its 95 % interval and recall_5 (without labels the SQNR of the
    worst output against float), the file's bytes, and latency at batch 1, timed in turns with float. The steps of
    --recipe come first in every row. A row that can't be made or measured says why, the others go on; exit code 1.

    \b
    Example:
      compressor-cli experiment model.pb --data photos --labels labels.txt --calibrate more_photos \\
          -o table.md -o chart.svg --recipes recipes
    """
    for target in targets:
        if target == "-":
            raise CompressorError("standard output has the table already", where="-o", hint="name a file")
        check_kind(target, _KINDS, "a table or chart")
    files = _recipe_files(recipes)
    refuse_targets((*targets, *map(str, files.values())), model.path)
    content, source = read_model(model.path, ",".join(model.outputs))
    given = Recipe.from_json(model.recipe) if model.recipe else Recipe()
    asked = Experiment(
        dataclasses.replace(model, recipe=""),
        data.spec(source, console),
        _calibrating(data, calibrate).spec(source, console) if calibrate else None,
        dataclasses.replace(base_of(given), sha256=digest(content)),
        method,
        batch,
        runs,
    )
    with EngineClient() as engine:
        found = run(conduct(asked, source), engine, console.progress)
    for target in targets:
        _write(found, target)
    for row in found.rows:
        if files and not row.problem:
            row.recipe.save(files[row.name])
    console.result(report(found), lambda: _text(found))
    failed = [f"{title(row)}: {row.problem}" for row in found.rows if row.problem]
    for words in failed:
        console.problem(f"a row could not be measured: {words}")
    if failed:
        click.get_current_context().exit(1)


def _calibrating(data: DataOptions, path: str) -> DataOptions:
    """Other examples, made into inputs as those of ``data``: which part of them is taken is another question."""
    how = {name: value for name, value in data.fields.items() if name not in ("limit", "split", "seed")}
    return dataclasses.replace(data, path=path, labels="", fields=how)


def _recipe_files(folder: str | None) -> dict[str, Path]:
    """Row -> where its recipe goes; the folder is made. Raises CompressorError."""
    if folder is None:
        return {}
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CompressorError(f"the folder can't be made: {error.strerror}", where=folder) from None
    return {variant.name: Path(folder, f"{variant.name}.recipe.json") for variant in VARIANTS}


def _write(found: Table, target: str) -> None:
    kind = check_kind(target, _KINDS, "a table or chart")
    if kind in CHARTS:
        save_chart(chart(found), target)
    else:
        write_picture((markdown if kind == ".md" else as_csv)(found).encode(), target)


def _text(found: Table) -> Iterator[str]:
    names = heads(found)
    yield from table(names, [cells(found, row) for row in found.rows], "<" + ">" * (len(names) - 1))
    yield ""
    yield from captions(found)

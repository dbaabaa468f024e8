"""``compressor-cli factorize``: what layers of low rank would cost and save, and the graph that has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from compressor_gui.cli.compress import compress
from compressor_gui.cli.console import Console, read_model, table, with_console
from compressor_gui.core import units
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.names import elide
from compressor_gui.core.passes.factorize import Candidate, Factorize, candidates

ERRORS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
"""Errors of a layer's weights at which its curve is listed."""


@click.command(short_help="Layers of low rank: the curve of each, or the graph.")
@click.argument("model")
@click.option("--error", type=float, metavar="E", help="The largest error of a layer's weights, as a share of them.")
@click.option("--energy", type=float, metavar="E", help="The least share of a layer's squared weights that is kept.")
@click.option("--rank", "ranks", multiple=True, metavar="LAYER=R", help="A layer's own rank; repeat for more.")
@click.option("--skip", multiple=True, metavar="LAYER", help="A layer that stays as it is; repeat for more.")
@click.option("-o", "--output", metavar="OUT", help="Write the graph; without it, only the curves are shown.")
@click.option("--save-recipe", metavar="FILE", help="Save the step as a recipe.")
@with_console
def factorize(
    console: Console,
    model: str,
    error: float | None,
    energy: float | None,
    ranks: tuple[str, ...],
    skip: tuple[str, ...],
    output: str | None,
    save_recipe: str | None,
) -> None:
    """Show for each layer of MODEL which rank makes which error of its weights, and what is left of its weights and
    multiplications; or, with --error, --energy or --rank, put two layers in its place and write OUT, checked in
    TensorFlow.

    \b
    Examples:
      compressor-cli factorize vgg-16.pb
      compressor-cli factorize vgg-16.pb --error 0.3 --rank fc6=256 -o small.pb
    """
    if output is None:
        if error is not None or energy is not None or ranks or skip or save_recipe:
            raise click.UsageError(
                "Missing option '-o' / '--output'; without it the curves are shown, for every error."
            )
        _, graph = read_model(model)
        curves = [_curve(candidate) for candidate in candidates(graph)]
        console.result({"layers": curves}, lambda: _text(curves))
        return
    step = Factorize(error=error, energy=energy, ranks=tuple(_rank(text) for text in ranks), skip=skip)
    click.get_current_context().invoke(
        compress,
        model=model,
        output=output,
        calls=(step.call(),),
        save_recipe=save_recipe,
        as_json=console.as_json,
        quiet=console.quiet,
    )


def _rank(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    if not name or not number.isdecimal():
        raise CompressorError(f"--rank {text!r} is not LAYER=R", hint="--rank fc1=64, for example")
    return name, float(number)


def _curve(candidate: Candidate) -> dict[str, Any]:
    """The points of a layer's curve: at a rank, the error, and the share of the weights that two factors have (of the
    multiplications it is the same)."""
    found = candidate.spectrum
    points = []
    for error in ERRORS:
        rank = found.rank_for(error)
        points.append({"error": float(found.errors[rank]), "rank": rank, "weights": round(candidate.share(rank), 4)})
    return {
        "name": candidate.layer.name,
        "short": candidate.layer.short,
        "weights": candidate.layer.parameters,
        "full_rank": min(candidate.shape),
        "worth_below": candidate.worth,
        "points": points,
    }


def _text(curves: list[dict[str, Any]]) -> Iterator[str]:
    if not curves:
        yield "No layer can be factorized: MatMul and Conv2D layers with float weights of their own can."
        return
    rows = [
        (
            elide(curve["short"], 40),
            f"{curve['weights']:,}",
            str(curve["full_rank"]),
            *(
                f"{point['rank']} ({units.percent(point['weights'])})" if point["weights"] < 1 else "-"
                for point in curve["points"]
            ),
        )
        for curve in curves
    ]
    heads = ("layer", "weights", "full rank", *(f"error {error:g}" for error in ERRORS))
    yield from table(heads, rows, "<" + ">" * (len(heads) - 1))
    yield "rank (share of the weights, and of the multiplications, that is left); -: two factors would not be smaller"

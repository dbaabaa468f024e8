"""``compressor-cli render``: a picture of a graph, drawn by the window's own code in a process of its own."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from compressor_gui.cli.console import Console, as_file, read_model, refuse_targets, with_console
from compressor_gui.cli.pictures import check_kind, draw, write_picture
from compressor_gui.core import units
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import Progress

_KINDS = (".svg", ".png", ".pdf")


@click.command(short_help="Draw a graph, or the differences of two.")
@click.argument("model")
@click.option("--compare", "other", metavar="OTHER", help="Draw the differences to this graph.")
@click.option("-o", "--output", required=True, metavar="PICTURE", help="A .svg, .png or .pdf; - writes SVG.")
@click.option("--theme", type=click.Choice(("light", "dark")), default="light", show_default=True)
@with_console
def render(console: Console, model: str, other: str | None, output: str, theme: str) -> None:
    """Draw a graph, or two with their differences marked. MODEL or OTHER may be - for standard input, and PICTURE - for
    standard output.

    \b
    Example:
      compressor-cli render model.pb --compare small.pb -o difference.svg
    """
    start = time.perf_counter()
    console.stdout_taken = output == "-"
    kind = check_kind(output, _KINDS)
    if model == other == "-":
        raise CompressorError("both graphs can't come from standard input", hint="name a file for one of them")
    refuse_targets((output,), model, other)
    data, _ = read_model(model)
    other_data = read_model(other)[0] if other else b""
    console.progress(Progress(0, 0, "drawing"))
    with (
        as_file(model, data) as model_file,
        as_file(other or "", other_data) as other_file,
        tempfile.TemporaryDirectory(prefix="compressor-") as folder,
    ):
        made = Path(folder, f"picture{kind}")
        compare = ["--compare", other_file] if other else []
        draw("render", model_file, *compare, "-o", str(made), "--theme", theme)
        picture = made.read_bytes()
    write_picture(picture, output)
    report = {"picture": output, "bytes": len(picture), "seconds": round(time.perf_counter() - start, 3)}
    console.result(report, lambda: iter([f"{output}: {units.size(len(picture))}"]))

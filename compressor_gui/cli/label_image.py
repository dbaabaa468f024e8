"""``compressor-cli label_image``: TensorFlow's tool of this name, with its flags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from compressor_gui.cli.console import Console, read_model, with_console
from compressor_gui.cli.data_options import DataOptions, with_input
from compressor_gui.cli.evaluate import skipped
from compressor_gui.cli.model import recipe_text
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import LabelImage, ModelRef, Prediction, Predictions


@click.command("label_image", short_help="Say what pictures show, as TensorFlow's label_image does.")
@click.option("--graph", required=True, metavar="MODEL", help="The graph.")
@click.option("--image", required=True, metavar="FILE", help="A picture, or a folder of them (or other examples).")
@click.option("--labels", metavar="FILE", help="The classes' names, one a line.")
@click.option(
    "--output_layer", default="", help="The output with the classes' scores, where it is not found by itself."
)
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many classes to print.")
@click.option("--limit", type=click.IntRange(0), help="The largest number of examples; 0 is all.")
@click.option("--against", metavar="OTHER", help="A second graph, whose classes are printed too.")
@click.option("--recipe", metavar="FILE", help="A recipe to replay on MODEL; MODEL without it is printed too.")
@click.option(
    "--allow-unsafe-ops", is_flag=True, help="Run graphs with ops that may do more than compute (files, ...)."
)
@with_input
@with_console
def label_image(
    console: Console,
    graph: str,
    data: DataOptions,
    output_layer: str,
    top: int,
    against: str | None,
    recipe: str | None,
    allow_unsafe_ops: bool,
) -> None:
    """Print the classes of the best scores of each picture, best first: name, (index) and score.

    What the flags of the input leave open is guessed from the graph. Without --labels the sub-folders' names are the
    classes', where there are sub-folders.

    \b
    Example:
      compressor-cli label_image --graph model.pb --image cat.jpg --labels labels.txt --input_mean 128 --input_std 128
    """
    model = ModelRef(graph, recipe_text(console, recipe, graph), allow_unsafe_ops=allow_unsafe_ops)
    original = None
    if against or recipe:
        original = ModelRef(against or graph, allow_unsafe_ops=allow_unsafe_ops)
    spec = data.spec(read_model((original or model).path)[1], console)
    with EngineClient() as engine:
        request = LabelImage(model, spec, original, top=top, output=output_layer)
        found = engine.run(request, console.progress)
    console.result(_report(found), lambda: _text(found))
    if found.output and not output_layer:
        console.note(f"these are the scores of the output {found.output!r}")
    for note in filter(None, (skipped(found.skipped), found.left_out)):
        console.note(note)


def _report(found: Predictions) -> dict[str, Any]:
    """The object that ``label_image --json`` prints."""
    return {
        "images": [
            {
                "source": item.source,
                "label": None if item.label < 0 else item.label,
                "top": [_entry(*one) for one in item.top],
                "against": [_entry(*one) for one in item.against],
            }
            for item in found.items
        ],
        "output_layer": found.output,
        "skipped": list(found.skipped),
    }


def _entry(index: int, name: str, score: float) -> dict[str, Any]:
    return {"index": index, "label": name, "score": score}


def _text(found: Predictions) -> Iterator[str]:
    for item in found.items:
        if len(found.items) > 1:
            yield f"{item.source}:"
        yield from _lines(item)


def _lines(item: Prediction) -> Iterator[str]:
    yield from (f"{name} ({index}): {score:.6g}" for index, name, score in item.top)
    if item.against:
        yield "  the original:"
        yield from (f"  {name} ({index}): {score:.6g}" for index, name, score in item.against)

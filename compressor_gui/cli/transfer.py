"""``compressor-cli transfer``: new classes for a trained network, with ``retrain.py``'s flags."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import click

from compressor_gui.cli.console import Console, named, read_model, refuse_targets, table, with_console
from compressor_gui.cli.group import say
from compressor_gui.core import units
from compressor_gui.core.data import guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.training import Augmenting
from compressor_gui.core.transfer import TopProgress, Transfer, Transferred, look, objections


@click.command(short_help="Train a new top on a trained trunk, for the classes of a folder of pictures.")
@click.argument("model")
@click.option("--image_dir", required=True, metavar="FOLDER", help="Pictures, a sub-folder for each class.")
@click.option("--output_graph", required=True, metavar="OUT", help="The graph to write.")
@click.option("--output_labels", required=True, metavar="OUT", help="The classes' names to write, one a line.")
@click.option("--bottleneck_tensor", default="", metavar="NAME", help="Where the trunk ends; found if not given.")
@click.option("--bottleneck_dir", default="", metavar="FOLDER", help="Where bottlenecks are kept for the next run.")
@click.option("--final_tensor_name", default="final_result", show_default=True, help="The output's name.")
@click.option("--how_many_training_steps", type=int, default=4000, show_default=True, help="Steps of training.")
@click.option("--learning_rate", type=float, default=0.01, show_default=True, help="Of gradient descent.")
@click.option("--train_batch_size", type=int, default=100, show_default=True, help="Pictures of a step.")
@click.option(
    "--validation_batch_size", type=int, default=-1, show_default=True, help="Pictures to validate on; -1: all."
)
@click.option("--test_batch_size", type=int, default=-1, show_default=True, help="Pictures to test on; -1: all.")
@click.option("--eval_step_interval", type=int, default=100, show_default=True, help="Steps between two reports.")
@click.option("--testing_percentage", type=float, default=10, show_default=True, help="Pictures kept for the test.")
@click.option(
    "--validation_percentage", type=float, default=10, show_default=True, help="Pictures that choose the best step."
)
@click.option("--flip_left_right", is_flag=True, help="Distorted copies: mirrored at random.")
@click.option(
    "--random_crop", type=int, default=0, metavar="P", help="Distorted copies: up to P % of the area cut off."
)
@click.option("--random_scale", type=int, default=0, metavar="P", help="Distorted copies: larger by up to P %.")
@click.option("--random_brightness", type=int, default=0, metavar="P", help="Distorted copies: brighter by up to P %.")
@click.option("--copies", type=int, default=4, show_default=True, help="How many distorted copies of each picture.")
@click.option("--print_misclassified_test_images", is_flag=True, help="List the test pictures that came out wrong.")
@click.option("--input_height", type=click.IntRange(1, 16384), help="Resize pictures to this height.")
@click.option("--input_width", type=click.IntRange(1, 16384), help="Resize pictures to this width.")
@click.option("--input_mean", type=float, help="The network is fed (value - mean) / std, values from 0 to 255.")
@click.option("--input_std", type=float, help="See --input_mean.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the steps' pictures and the distortions.")
@click.option("--outputs", metavar="A,B", help="The graph's outputs, where they are not the nodes that nobody reads.")
@with_console
def transfer(console: Console, model: str, image_dir: str, outputs: str | None, **options: Any) -> None:
    """Put a new classifier on MODEL, for the classes of a folder of pictures.

    What the trunk puts out for each picture is computed once and kept on disk, then a fully connected layer and a
    softmax are trained on it. Which pictures are for validation and testing depends on their names alone.

    \b
    Example:
      compressor-cli transfer mobilenet.pb --image_dir flowers --output_graph flowers.pb --output_labels flowers.txt
    """
    refuse_targets((options["output_graph"], options["output_labels"]), model)
    if not 0 <= options["random_crop"] < 100 or not 0 <= options["random_brightness"] <= 100:
        raise CompressorError("random_crop and random_brightness are percentages", hint="give 0 to 99")
    if not 0 <= options["random_scale"] <= 900:
        raise CompressorError("random_scale is a percentage", hint="give 0 to 900; 100 is up to twice as large")
    _, graph = read_model(model, outputs)
    spec = guess(graph, image_dir)
    for option, name in (("input_height", "height"), ("input_width", "width"), ("input_mean", "mean"),
                         ("input_std", "std")):  # fmt: skip
        value = options.pop(option)
        spec = spec if value is None else dataclasses.replace(spec, **{name: value})
    spec.check("the options")
    console.note(f"data, as guessed where no option says it: {spec.summary}")
    if spec.kind == "images":
        shares = options["validation_percentage"], options["testing_percentage"]
        for words in objections(look(image_dir, *shares))[1]:
            console.note(words)
    list_wrong = options.pop("print_misclassified_test_images")
    augmenting = Augmenting(
        flip=options.pop("flip_left_right"),
        crop=(1 - options.pop("random_crop") / 100) / (1 + options.pop("random_scale") / 100) ** 2,
        colour=options.pop("random_brightness") / 100,
    )
    bottleneck = options.pop("bottleneck_tensor")
    ref = ModelRef(model, outputs=named(outputs) or ())
    request = Transfer(model=ref, data=spec, augmenting=augmenting, bottleneck=bottleneck, **options)
    request.check()

    def told(piece: object) -> None:
        assert isinstance(piece, TopProgress)
        if console.as_json:
            say(json.dumps(dataclasses.asdict(piece)))
        else:
            console.note(_line(piece))

    with EngineClient() as engine:
        found = engine.run(request, console.progress, told)
    console.result(dataclasses.asdict(found), lambda: _text(found, list_wrong))
    for note in (*found.skipped, found.left_out):
        if note:
            console.note(note)


def _line(piece: TopProgress) -> str:
    validation = "" if piece.validation is None else f", validation {units.percent(piece.validation)}"
    return f"step {piece.step}: cross entropy {piece.loss:.3g}, train {units.percent(piece.train)}{validation}"


def _text(found: Transferred, list_wrong: bool) -> Iterator[str]:
    accuracies = {"train": found.train, "validation": found.validation, "test": found.test}
    rows = [
        (part, f"{found.counts[part]:,}", "-" if accuracy is None else units.percent(accuracy))
        for part, accuracy in accuracies.items()
    ]
    yield from table(("", "pictures", "accuracy"), rows, "<>>")
    if found.test_interval is not None:
        low, high = found.test_interval
        yield f"the test's 95 % interval: {100 * low:.1f} to {100 * high:.1f} %"
    if list_wrong and found.misclassified:
        yield ""
        yield from table(("wrong in the test", "its class", "taken for"), found.misclassified)
    yield ""
    of = f"{found.cached:,} of the bottlenecks were on disk, " if found.cached else ""
    yield f"{len(found.classes)} classes on {found.bottleneck}; {of}{found.seconds:.3g} s"
    yield f"{found.graph}, {found.labels}"

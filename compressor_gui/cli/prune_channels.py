"""``compressor-cli prune-channels``: remove channels, retrain, until the network is as fast as wanted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from compressor_gui.cli.console import Console, read_model, refuse_targets, table, with_console
from compressor_gui.cli.data_options import DataOptions, with_data
from compressor_gui.cli.group import say
from compressor_gui.cli.model import with_model
from compressor_gui.cli.training_options import choice, field, training, with_training
from compressor_gui.core import pbio, units
from compressor_gui.core.channel_pruning import ChannelNews, ChannelPoint, ChannelsPruned, PruneChannels, opened
from compressor_gui.core.data import load_or_guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import ModelRef
from compressor_gui.core.recipe import Replayer, digest


@click.command("prune-channels", short_help="Remove channels and retrain until the network is as fast as wanted.")
@click.option("-o", "--output", required=True, metavar="OUT", help="The file to write (.pb or .pbtxt).")
@click.option("--speedup", type=float, metavar="X", help="Target: so many times as fast as MODEL, measured.")
@click.option("--share", type=float, metavar="S", help="Target: the share of each group's channels that goes.")
@click.option("--test-data", metavar="DATA", help="What points are measured on; without it, a part is held out.")
@field(PruneChannels, "steps", "--steps", "N", "Steps; more where the target asks for them.")
@field(PruneChannels, "epochs", "--epochs", "N", "Epochs of retraining after each step.")
@click.option("--last-epochs", type=int, default=0, metavar="N", help="After the last planned step; 0: as many.")
@choice(PruneChannels, "criterion", "--criterion", ("l1", "l2", "random"), "Which channels go first.")
@choice(PruneChannels, "scope", "--scope", ("layer", "global"), "The share of each group, or of all together.")
@field(PruneChannels, "multiple", "--multiple", "N", "So many channels, or a multiple, are left.")
@click.option("--skip", multiple=True, metavar="LAYER", help="A layer whose group stays whole; repeat for more.")
@click.option("--timing-batch", type=int, default=1, show_default=True, help="Examples of a timed run.")
@click.option("--threads", type=int, default=0, help="Threads of a timed run; 0: as TensorFlow chooses.")
@with_training(PruneChannels.optimizing)
@click.option("--save-recipe", metavar="FILE", help="Save the recipe, its weights beside it.")
@with_data
@with_console
@with_model
def prune_channels(
    console: Console, model: ModelRef, data: DataOptions, output: str, save_recipe: str | None, **options: Any
) -> None:
    """Take whole channels out of MODEL with all that belongs to them, retrain, measure the time beside MODEL, and
    repeat until it is --speedup times as fast, or --share of the channels are gone; write that network.

    Batch norms are folded first. Each epoch and each point is a line on standard error (with --json an object). Exit
    code 1: the target was not reached, OUT is the nearest point.

    \b
    Example:
      compressor-cli prune-channels resnet-20.pb --data fashion -o fast.pb --speedup 1.5 --shift 2 --flip
    """
    refuse_targets((output, save_recipe), model.path)
    if Path(output).suffix not in (".pb", ".pbtxt"):
        raise CompressorError("a graph is written as .pb or .pbtxt", where=output, hint="end it in one of these")
    content, graph = read_model(model.path, ",".join(model.outputs))
    spec = data.spec(graph, console)
    test = options.pop("test_data")
    request = PruneChannels(
        model=model,
        data=spec,
        test=load_or_guess(test, graph) if test else None,
        seed=spec.seed,
        **training(options),
        batch=options.pop("timing_batch"),
        **options,
    )
    request.check()
    with EngineClient() as engine:
        found = engine.run(request, console.progress, lambda piece: _tell(console, piece))
    recipe = dataclasses.replace(opened(found.point), sha256=digest(content))
    pbio.write_graph(Replayer(graph).replay(recipe).graph, output, model.path)
    if save_recipe:
        recipe.save(save_recipe)
    console.result(dataclasses.asdict(found), lambda: _text(found, output))
    for note in filter(None, (*found.notes, found.stopped, found.left_out)):
        console.note(note)
    if found.lacks:
        console.problem(f"the target was not reached: {found.lacks}")
        click.get_current_context().exit(1)


def _tell(console: Console, piece: ChannelNews) -> None:
    epoch = piece.news.epoch if piece.news else None
    if console.as_json:
        for kind, found in (("epoch", epoch), ("point", piece.point)):
            if found is not None:
                say(json.dumps({kind: dataclasses.asdict(found)}))
    elif epoch is not None:
        value = f"test {_value(epoch.metric, epoch.value)}"
        console.note(f"epoch {epoch.epoch}: loss {epoch.loss:.4f}, {value}, {epoch.seconds:.3g} s")
    elif piece.point is not None and piece.point.step:
        point = piece.point
        console.note(
            f"point {point.step}: {100 * point.share:.3g} % of the channels gone, {point.speedup:.3g} x as fast"
        )


def _value(metric: str, value: float) -> str:
    return f"{100 * value:.2f} %" if metric == "top1" else units.decibel(value)


def _text(found: ChannelsPruned, output: str) -> Iterator[str]:
    def row(at: int, point: ChannelPoint) -> tuple[str, ...]:
        return (
            f"{at}{' *' if at == found.chosen else ''}",
            f"{100 * point.share:.3g} %",
            f"{point.weights:,}",
            units.size(point.bytes),
            _value(found.metric, point.value),
            f"{point.speedup:.3g} x",
            f"{point.milliseconds:.3g} ms" if point.milliseconds else "-",
            f"{point.epochs}",
            f"{point.seconds:.3g} s",
        )

    heads = ("point", "channels gone", "weights", "file", "on the test data", "speed", "a run", "epochs", "time")
    yield from table(heads, [row(at, point) for at, point in enumerate(found.points)], "<>>>>>>>>")
    yield ""
    yield f"{found.train_n:,} training and {found.test_n:,} test examples, {found.seconds:.3g} s"
    yield f"{output}: point {found.chosen}"

"""``compressor-cli prune-retrain``: prune, retrain with the zeros held, repeat, write the network that comes of it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from compressor_gui.cli.console import Console, read_model, refuse_targets, table, with_console, with_options
from compressor_gui.cli.data_options import DataOptions, with_data
from compressor_gui.cli.evaluate import skipped
from compressor_gui.cli.group import say
from compressor_gui.cli.model import with_model
from compressor_gui.cli.training_options import choice, field, training, with_training
from compressor_gui.core import pbio, units
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.experiment_table import SIGNIFICANT
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import Accuracy, Evaluate, Evaluation, ModelRef
from compressor_gui.core.names import elide, short_names
from compressor_gui.core.recipe import Recipe, Replayer, digest
from compressor_gui.core.training import (
    CRITERIA,
    LOSSES,
    REWINDS,
    SCHEDULES,
    Goal,
    News,
    PruneRetrain,
    Retrained,
    train_and_test,
    weights_step,
)
from compressor_gui.core.worker import Worker

_WAY_OUT = "prune less, or retrain for more epochs"


_OPTIONS = (
    click.option("-o", "--output", required=True, metavar="OUT", help="The file to write (.pb or .pbtxt)."),
    click.option("--ratio", type=click.FloatRange(1), metavar="R", help="Goal: so many times fewer weights."),
    click.option("--sparsity", type=click.FloatRange(0, 1, max_open=True), metavar="S",
                 help="Goal: the share of zeros among the weights."),
    click.option("--target-bytes", type=click.IntRange(1), metavar="B",
                 help="Goal: the file's bytes, sparse weights as CSR."),
    click.option("--max-drop", type=click.FloatRange(0, 100), metavar="P",
                 help="Goal: the most percentage points that top-1 may fall."),
    click.option("--test-data", metavar="DATA", help="What points are measured on; without it, a part is held out."),
    choice(PruneRetrain, "criterion", "--criterion", CRITERIA, "Which weights go first."),
    choice(PruneRetrain, "schedule", "--schedule", SCHEDULES, "How the sparsity is reached."),
    field(PruneRetrain, "steps", "--steps", "N", "Steps of pruning; 0 chooses."),
    field(PruneRetrain, "epochs", "--epochs", "N", "Epochs of retraining after each step."),
    choice(PruneRetrain, "rewind", "--rewind", REWINDS, "What starts again after each pruning."),
    field(PruneRetrain, "rewind_epoch", "--rewind-epoch", "N", "Weights are rewound to those after so many epochs."),
    choice(PruneRetrain, "loss", "--loss", LOSSES, "What is trained for; auto: classes where there are labels."),
    click.option("--label-weight", type=click.FloatRange(0, 1), metavar="W", show_default=True,
                 default=PruneRetrain.labels,
                 help="The labels' part of the loss; the rest: to answer as the original does."),
    field(PruneRetrain, "temperature", "--temperature", "T", "How much the original's answers are softened."),
    field(PruneRetrain, "logits", "--logits", "NODE", "The tensor before Softmax, where it is not found."),
    click.option("--output_layer", default="", metavar="NODE", help="The output to train, where it is not found."),
    click.option("--layers", metavar="A,B", help="The layers to prune; all, unless some are named."),
    click.option("--freeze", metavar="A,B", help="Layers that are not trained."),
    choice(PruneRetrain, "keep", "--keep", ("last", "best"), "Which epoch of a step makes its point."),
    field(PruneRetrain, "patience", "--patience", "N", "End a step after so many epochs that are no better; 0: never."),
    click.option("--mixed-precision", is_flag=True, help="bfloat16, where the processor has it."),
    field(PruneRetrain, "strategy", "--strategy", "S", "Several devices: mirrored, mirrored:N or multi_worker."),
    field(PruneRetrain, "checkpoint", "--checkpoint", "FOLDER", "Where each epoch is kept; the user's cache folder."),
    click.option("--save-recipe", metavar="FILE", help="Save the recipe, its weights beside it."),
)  # fmt: skip


@click.command("prune-retrain", short_help="Prune and retrain until a goal is met.")
@with_options(_OPTIONS)
@with_training(PruneRetrain.optimizing)
@with_data
@with_console
@with_model
def prune_retrain(
    console: Console, model: ModelRef, data: DataOptions, output: str, save_recipe: str | None, **options: Any
) -> None:
    """Prune MODEL, retrain it with the zeros held, repeat until a goal is met; write the best network that meets it.

    Each epoch is a line on standard error (with --json an object), and a checkpoint: a run that was killed goes on when
    it is asked again. Ctrl+C stops and writes the best of what there is; --seed decides all that is random. Exit code
    1: the goal was not met, OUT is the nearest point. A result far below the original on the test data is a warning.

    \b
    Examples:
      compressor-cli prune-retrain lenet-5.pb --data mnist -o small.pb --ratio 40
      compressor-cli prune-retrain net.pb --data train --test-data test -o small.pb --max-drop 0.5 --schedule cubic
    """
    refuse_targets((output, save_recipe), model.path)
    if Path(output).suffix not in (".pb", ".pbtxt"):
        raise CompressorError("a graph is written as .pb or .pbtxt", where=output, hint="end it in one of these")
    content, graph = read_model(model.path, ",".join(model.outputs))
    spec = data.spec(graph, console)
    request = _request(model, spec, _test_spec(options.pop("test_data"), data, graph, console), options)
    with EngineClient() as engine, _finished_by_interrupt(engine):
        found = engine.run(request, console.progress, lambda news: _tell(console, news))
        if found.helped:
            console.result(
                {"helped": True, "seconds": found.seconds}, lambda: iter(["the first worker has the result"])
            )
            return
        written = _write(found, model, graph, content, output, save_recipe)
        check = _check(engine, console, request, model, output) if written else None
    warning = _warning(found, check, request.goal)
    console.result(_report(found, written, check, warning), lambda: _text(found, output, check))
    for note in filter(None, (found.stopped, skipped(found.skipped), found.left_out)):
        console.note(note)
    if warning:
        console.warn(warning)
    if found.lacks:
        console.problem(f"the goal was not met: {found.lacks}")
    if not written:
        console.problem("nothing was written, as no point has weights of its own")
    if found.lacks or not written:
        click.get_current_context().exit(1)


def _request(model: ModelRef, data: DataSpec, test: DataSpec | None, options: dict[str, Any]) -> PruneRetrain:
    """The request of the options. Raises CompressorError where it makes no sense."""
    drop = options.pop("max_drop")
    goal = Goal(
        options.pop("ratio"), options.pop("sparsity"), options.pop("target_bytes"), None if drop is None else drop / 100
    )
    request = PruneRetrain(
        model=model,
        data=data,
        goal=goal,
        test=test,
        seed=data.seed,
        layers=_names(options.pop("layers")),
        freeze=_names(options.pop("freeze")),
        output=options.pop("output_layer"),
        labels=options.pop("label_weight"),
        **training(options),
        **options,
    )
    request.check()
    return request


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _test_spec(path: str | None, data: DataOptions, graph: ModelGraph, console: Console) -> DataSpec | None:
    """What ``--test-data`` means: all of it, prepared as the training examples are."""
    if path is None:
        return None
    fields = {name: value for name, value in data.fields.items() if name not in ("limit", "split", "seed")}
    names = data.labels if data.labels and Path(data.labels).suffix == ".txt" else ""
    return dataclasses.replace(data, path=path, labels=names, fields=fields).spec(graph, console)


@contextlib.contextmanager
def _finished_by_interrupt(engine: Worker) -> Iterator[None]:
    """Ctrl+C lets the run come to its end with what it has; a second one interrupts."""

    def finish(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        say("stopping; Ctrl+C again gives up")
        threading.Thread(target=engine.tell, args=(None, "finish"), daemon=True).start()

    before = signal.signal(signal.SIGINT, finish)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _tell(console: Console, news: News) -> None:
    """A line for what happened; single batches are only progress."""
    if console.as_json:
        found = {key: value for key, value in dataclasses.asdict(news).items() if value and key != "batches"}
        if found:
            say(json.dumps(found))
    elif news.epoch is not None:
        epoch = news.epoch
        step = f"step {epoch.step}" if epoch.step else "dense"
        zeros = units.percent(epoch.sparsity)
        value = _value(epoch.metric, epoch.value)
        console.note(
            f"epoch {epoch.epoch}, {step}: loss {epoch.loss:.4f}, {value}, {zeros} zeros, {epoch.seconds:.3g} s"
        )
    elif news.point is not None and news.point.step:
        point = news.point
        console.note(f"point {point.step}: {point.ratio:.3g}x, {_value(point.metric, point.value)}")
    elif news.note:
        console.note(news.note)


def _value(metric: str, value: float) -> str:
    if metric == "top1":
        return f"top-1 {100 * value:.2f} %"
    return f"SQNR {units.decibel(value)}" if metric == "sqnr_db" else f"mean squared error {value:.4g}"


def _write(
    found: Retrained, model: ModelRef, graph: ModelGraph, content: bytes, output: str, save_recipe: str | None
) -> bool:
    """Write the chosen point; whether it has weights of its own."""
    point = found.point
    if not point.sha256:
        return False
    before = Recipe.from_json(model.recipe) if model.recipe else Recipe()
    recipe = dataclasses.replace(before.adding(weights_step(point)), sha256=digest(content))
    pbio.write_graph(Replayer(graph).replay(recipe).graph, output, model.path)
    if save_recipe:
        recipe.save(save_recipe)
    return True


def _check(engine: Worker, console: Console, request: PruneRetrain, model: ModelRef, output: str) -> Evaluation:
    """The file that was written, run in stock TensorFlow on the test examples beside the original."""
    _, test = train_and_test(request.data, request.test)
    written = ModelRef(output, outputs=model.outputs, allow_unsafe_ops=model.allow_unsafe_ops)
    return engine.run(Evaluate(written, test, model, output=request.output), console.progress)


def _warning(found: Retrained, check: Evaluation | None, goal: Goal) -> str:
    """What the user should know before using the file: it is worse than the original, by far or beyond chance.

    A lower top-1 is none where the goal says how far it may fall.
    """
    if check is None:
        return ""
    if found.metric == "top1":
        return _fallen(check.accuracy, check.against, check.mcnemar_p) if goal.max_drop is None else ""
    far = [one.check for one in check.fidelity if one.check.far]
    worst = min(far, key=lambda output: output.sqnr_db, default=None)
    shown = f"{worst.name}: {units.decibel(worst.sqnr_db)}" if worst else ""
    return f"the outputs are far from the original's ({shown}): {_WAY_OUT}" if worst else ""


def _fallen(ours: Accuracy, theirs: Accuracy | None, p: float | None) -> str:
    if theirs is None or theirs.top1 is None or ours.top1 is None or p is None or p >= SIGNIFICANT:
        return ""
    if ours.top1 >= theirs.top1:
        return ""
    examples = units.counted(ours.n, "test example")
    values = f"{_value('top1', ours.top1)}, the original has {100 * theirs.top1:.2f} %"
    return f"{values}, which is hardly chance on {examples}: {_WAY_OUT}"


def _report(found: Retrained, written: bool, check: Evaluation | None, warning: str) -> dict[str, Any]:
    """What ``prune-retrain --json`` prints."""
    points = [{**dataclasses.asdict(point), "ratio": point.ratio, "sparsity": point.sparsity} for point in found.points]
    report = {**dataclasses.asdict(found), "points": points, "point": points[found.chosen], "written": written}
    report["written_top1"] = check.accuracy.top1 if check else None
    report["original_top1"] = check.against.top1 if check and check.against else None
    report["warning"] = warning or None
    return report


def _text(found: Retrained, output: str, check: Evaluation | None) -> Iterator[str]:
    rows = [
        (
            f"{at}{' *' if at == found.chosen else ''}",
            f"{point.ratio:.3g}x",
            f"{point.nonzero:,}",
            units.percent(point.sparsity),
            units.size(point.bytes),
            _value(point.metric, point.value),
            f"{point.epochs}",
            f"{point.seconds:.3g} s",
        )
        for at, point in enumerate(found.points)
    ]
    heads = ("point", "ratio", "weights", "zeros", "as CSR", "on the test data", "epochs", "time")
    yield from table(heads, rows, "<>>>>>>>")
    yield ""
    point, short = found.point, short_names(found.point.densities)
    layers = [(elide(short[name], 48), units.percent(density)) for name, density in point.densities.items()]
    yield from table(("layer", "weights left"), layers, "<>")
    yield ""
    counts = f"{units.counted(found.train_n, 'training example')}, {units.counted(found.test_n, 'test example')}"
    resumed = f", {found.resumed} epochs of them remembered" if found.resumed else ""
    yield f"{counts}, {units.counted(len(found.epochs), 'epoch')}{resumed}, {found.seconds:.3g} s"
    if check is not None:
        value = check.accuracy.top1
        shown = f": {_value('top1', value)}" if value is not None and found.metric == "top1" else ""
        yield f"{output}: run in TensorFlow on the test examples{shown}"

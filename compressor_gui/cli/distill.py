"""``compressor-cli distill``: a small network taught by a large one."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from compressor_gui.cli.console import Console, named, read_model, refuse_targets, table, with_console
from compressor_gui.cli.data_options import DataOptions, with_data
from compressor_gui.cli.group import say
from compressor_gui.cli.training_options import field, training, with_training
from compressor_gui.core import units
from compressor_gui.core.data import load_or_guess
from compressor_gui.core.distilling import Distill, Distilled, Lesson
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.formats import needs_import
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import ImportModel, ModelRef
from compressor_gui.core.students import STUDENTS

_FROZEN = "student.pb"
"""What a Keras file becomes in a folder that goes with the run."""


@click.command(short_help="Train a small network on a large one's answers.")
@click.option("--teacher", required=True, metavar="MODEL", help="The large network, a frozen graph.")
@click.option("--student", required=True, metavar="KIND", help=f"{', '.join(STUDENTS)}, or a .pb or Keras file.")
@click.option("-o", "--output", required=True, metavar="OUT", help="The student's graph to write.")
@click.option(
    "--test-data", metavar="DATA", help="Examples to measure on; without them, a fifth of --data is held out."
)
@field(Distill, "temperature", "--temperature", "T", "How much the answers are softened.")
@click.option("--label-weight", type=click.FloatRange(0, 1), metavar="W", default=Distill.labels, show_default=True,
              help="The labels' share of the loss; 1 trains without the teacher, as a control.")  # fmt: skip
@click.option(
    "--hint", "hints", multiple=True, metavar="TEACHER=STUDENT", help="Two nodes to be alike; repeat for more."
)
@field(Distill, "hint_weight", "--hint-weight", "W", "The weight of the hints' loss.")
@click.option("--fresh", is_flag=True, help="Random weights also for width_0.5 and width_0.25, or a file.")
@field(Distill, "epochs", "--epochs", "N", "Times that all examples are seen.")
@with_training(Distill.optimizing)
@click.option(
    "--train-seed", type=int, default=0, show_default=True, help="Of the weights and of the order of examples."
)
@click.option("--outputs", metavar="A,B", help="The teacher's outputs, where they are not the nodes that nobody reads.")
@with_data
@with_console
def distill(
    console: Console,
    data: DataOptions,
    teacher: str,
    student: str,
    output: str,
    test_data: str | None,
    hints: tuple[str, ...],
    outputs: str | None,
    **options: Any,
) -> None:
    """Train a student to answer as the teacher does, and write it.

    The student is fed and asked as the teacher is, so that it can take its place. It has random weights; width_0.5 and
    width_0.25 are the teacher with half or a quarter of its channels, and begin with its weights. Progress goes to
    standard error, with --json a line of JSON for each epoch. A Keras file or SavedModel is frozen first, in safe mode,
    as import does.

    \b
    Example:
      compressor-cli distill --teacher lenet-5.pb --student fire -o student.pb --data train-images-idx3-ubyte.gz
    """
    refuse_targets((output,), teacher, student if student not in STUDENTS else None)
    _, graph = read_model(teacher, outputs)
    to_freeze = student not in STUDENTS and needs_import(Path(student))
    request = Distill(
        teacher=ModelRef(teacher, outputs=named(outputs) or ()),
        student=_FROZEN if to_freeze else student,
        output=output,
        data=data.spec(graph, console),
        test=load_or_guess(test_data, graph) if test_data else None,
        temperature=options["temperature"],
        labels=options["label_weight"],
        hints=tuple(_hint(text) for text in hints),
        hint_weight=options["hint_weight"],
        fresh=options["fresh"],
        epochs=options["epochs"],
        **training(options),
        seed=options["train_seed"],
    )
    request.check()

    def told(piece: object) -> None:
        assert isinstance(piece, Lesson)
        if piece.epoch is None:
            return
        if console.as_json:
            say(json.dumps({"epoch": dataclasses.asdict(piece.epoch)}))
        else:
            epoch = piece.epoch
            console.note(f"epoch {epoch.epoch}: loss {epoch.loss:.4g}, test {epoch.value:.4g}, {epoch.seconds:.3g} s")

    with EngineClient() as engine, tempfile.TemporaryDirectory(prefix="compressor-") as folder:
        if to_freeze:
            frozen = engine.run(ImportModel(student, str(Path(folder, _FROZEN))), console.progress)
            for note in frozen.notes:
                console.note(note)
            request = dataclasses.replace(request, student=frozen.path)
        found = engine.run(request, console.progress, told)
    console.result(dataclasses.asdict(found), lambda: _text(found))
    for note in (*found.notes, found.stopped, found.left_out):
        if note:
            console.note(note)


def _hint(text: str) -> tuple[str, str]:
    teacher, equals, student = text.partition("=")
    if not equals or not teacher or not student:
        raise CompressorError(f"--hint {text!r} is not TEACHER=STUDENT", hint="name a node of each")
    return teacher, student


def _text(found: Distilled) -> Iterator[str]:
    def shown(value: float | None) -> str:
        if value is None:
            return "-"
        return f"{100 * value:.2f} %" if found.metric == "top1" else units.decibel(value)

    head = "top-1" if found.metric == "top1" else "SQNR"
    rows = [
        ("teacher", f"{found.teacher_weights:,}", units.size(found.teacher_size), shown(found.teacher)),
        ("student before", f"{found.weights:,}", units.size(found.size), shown(found.before)),
        ("student", f"{found.weights:,}", units.size(found.size), shown(found.value)),
    ]
    yield from table(("", "weights", "file", head), rows, "<>>>")
    yield ""
    examples = f"{found.train_n:,} training and {found.test_n:,} test examples"
    yield f"{examples}, {units.counted(len(found.epochs), 'epoch')}, {found.seconds:.3g} s"
    yield f"{Path(found.path).name}: {found.teacher_weights / max(found.weights, 1):.3g} times fewer weights"

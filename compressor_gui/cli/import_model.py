"""``compressor-cli import``: a model with variables becomes a frozen graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from compressor_gui.cli.console import Console, checks_table, named, refuse_targets, with_console
from compressor_gui.core import units
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import Imported, ImportModel


@click.command("import", short_help="Freeze a SavedModel, Keras file or checkpoint into a .pb.")
@click.argument("source")
@click.option("-o", "--output", required=True, metavar="OUT", help="The frozen graph to write (.pb or .pbtxt).")
@click.option("--signature", default="", metavar="NAME", help="Which of a SavedModel's; serving_default unless given.")
@click.option("--outputs", metavar="A,B", help="What a checkpoint's graph computes; guessed unless given.")
@click.option(
    "--allow-unsafe-ops", is_flag=True, help="Load models with ops that may do more than compute (files, ...)."
)
@with_console
def import_command(
    console: Console, source: str, output: str, signature: str, outputs: str | None, allow_unsafe_ops: bool
) -> None:
    """Freeze SOURCE into one graph: a SavedModel or TF Hub folder, a Keras .keras or .h5 file, or a checkpoint of
    TensorFlow 1 with its .meta.

    Functions and control flow are inlined as TensorFlow's freezing does. OUT is loaded and run beside SOURCE on made-up
    inputs before it is written. Keras files are loaded in safe mode: Lambda layers and classes that are not Keras's own
    are refused.

    \b
    Examples:
      compressor-cli import saved_model_folder -o model.pb
      compressor-cli import model.ckpt-1000.meta -o model.pb --outputs softmax
    """
    refuse_targets((output,), source)
    request = ImportModel(source, output, signature, named(outputs) or (), allow_unsafe_ops)
    with EngineClient() as engine:
        found = engine.run(request, console.progress)
    console.result(_report(found), lambda: _text(found))
    for note in filter(None, (*found.notes, found.left_out)):
        console.note(note)


def _report(found: Imported) -> dict[str, Any]:
    """The object that ``import --json`` prints."""
    return {**dataclasses.asdict(found), "bytes": Path(found.path).stat().st_size}


def _text(found: Imported) -> Iterator[str]:
    if found.checks:
        yield from checks_table(found.checks)
        yield ""
    yield f"inputs: {', '.join(found.inputs) or 'none'}"
    yield f"{found.path}: {units.size(Path(found.path).stat().st_size)}"

"""``compressor-cli export``: a graph in other formats."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from compressor_gui.cli.console import (
    Console,
    checks_table,
    read_model,
    refuse_missing_folder,
    refuse_targets,
    with_console,
)
from compressor_gui.cli.data_options import DataOptions, with_optional_data
from compressor_gui.cli.model import with_model
from compressor_gui.core import units
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import FORMATS, ExportedModel, ExportModel, ModelRef

_BY_ENDING = {".pb": "pb", ".pbtxt": "pbtxt", ".tflite": "tflite"}


@click.command(short_help="Write a graph as SavedModel, TensorFlow Lite or .pbtxt, and run it again.")
@click.option("-o", "--output", required=True, metavar="OUT", help="The file to write, or the SavedModel's new folder.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="The format, where OUT's ending does not say it.")
@with_optional_data
@with_console
@with_model
def export(console: Console, model: ModelRef, data: DataOptions | None, output: str, kind: str | None) -> None:
    """Write MODEL in another format, once it has been loaded and run again beside MODEL.

    The formats are pb, pbtxt, saved_model (a folder with the signature serving_default), tflite (floats),
    tflite_dynamic (weights in 8 bits, activations as they come) and tflite_int8 (both in 8 bits, calibrated on --data;
    inputs and outputs stay floats). With --data the two are compared on its first examples, else on made-up inputs.

    \b
    Examples:
      compressor-cli export model.pb -o model.tflite --format tflite_int8 --data photos --limit 100
      compressor-cli export model.pb --recipe small.recipe.json -o small_saved_model --format saved_model
    """
    kind = kind or _BY_ENDING.get(Path(output).suffix.lower(), "")
    if not kind:
        raise CompressorError("its ending is no format", where=output, hint=f"--format is one of {', '.join(FORMATS)}")
    if kind == "saved_model":
        refuse_missing_folder(Path(output))
    else:
        refuse_targets((output,), model.path)
    spec = data.spec(read_model(model.path, ",".join(model.outputs))[1], console) if data else None
    with EngineClient() as engine:
        found = engine.run(ExportModel(model, output, kind, spec), console.progress)
    console.result(_report(found, kind), lambda: _text(found, kind))
    for note in filter(None, (*found.notes, found.left_out)):
        console.note(note)


def _report(found: ExportedModel, kind: str) -> dict[str, Any]:
    """The object that ``export --json`` prints."""
    report = dataclasses.asdict(found)
    return {"path": found.path, "format": kind, "bytes": report.pop("size"), **report}


def _text(found: ExportedModel, kind: str) -> Iterator[str]:
    yield from checks_table(found.outputs)
    yield ""
    yield f"{found.path}: {kind}, {units.size(found.size)}"

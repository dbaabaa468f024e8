"""``compressor-cli evaluate``: accuracy on the user's data, beside the original's on the same batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from compressor_gui.cli.console import Console, read_model, table, with_console
from compressor_gui.cli.data_options import DataOptions, with_data, with_scheduler
from compressor_gui.cli.model import with_model
from compressor_gui.core import units
from compressor_gui.core.experiment_table import SIGNIFICANT
from compressor_gui.core.jobs import EXACT_DB, EngineClient
from compressor_gui.core.measure import Accuracy, Evaluate, Evaluation, Fidelity, ModelRef


@click.command(short_help="Measure a graph's accuracy on data, beside another one.")
@click.option("--against", metavar="OTHER", help="The original to compare with, on the same batches.")
@click.option("--batch", default=32, show_default=True, type=click.IntRange(1), help="Examples in one run.")
@click.option(
    "--output_layer", default="", help="The output with the classes' scores, where it is not found by itself."
)
@with_scheduler
@with_data
@with_console
@with_model
def evaluate(
    console: Console,
    model: ModelRef,
    data: DataOptions,
    against: str | None,
    batch: int,
    output_layer: str,
    scheduler: str,
) -> None:
    """Measure what MODEL gets right of the examples: top-1 with its 95 % interval, top-5, loss, and the confusion.

    With --against, or with --recipe (then the original is MODEL without it), both are run on the same batches: SQNR in
    dB, the share of the same top class, the KL divergence, and McNemar's test, which says whether the difference of
    the accuracies may be chance. Examples need no labels then.

    \b
    Examples:
      compressor-cli evaluate model.pb --data photos --labels labels.txt --limit 1000
      compressor-cli evaluate small.pb --against model.pb --data data.json --json
    """
    original = None
    if against or model.recipe:
        # Outputs are named for MODEL; with another file they may have other names there.
        outputs = () if against else model.outputs
        original = dataclasses.replace(model, path=against or model.path, recipe="", outputs=outputs)
    _, graph = read_model((original or model).path, ",".join((original or model).outputs))
    spec = data.spec(graph, console)
    with EngineClient() as engine:
        request = Evaluate(model, spec, original, batch, output_layer, scheduler)
        found = engine.run(request, console.progress)
    console.result(_report(found, graph.outputs), lambda: _text(found, model, original))
    for note in filter(None, (skipped(found.skipped), found.left_out)):
        console.note(note)


def skipped(names: tuple[str, ...]) -> str:
    """A sentence on the examples that were left out; empty where none was."""
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return f"left out, because they can't be read: {len(names)} ({shown})" if names else ""


def _report(found: Evaluation, names: tuple[str, ...]) -> dict[str, Any]:
    """The object that ``evaluate --json`` prints; ``names`` are the outputs where there was nothing to compare with."""
    outputs = [_fidelity(one) for one in found.fidelity] or [_output_report(name) for name in names]
    report = {**_accuracy(found.accuracy), "outputs": outputs}
    if found.against is not None:  # what the outputs are compared with: equal to itself
        report["against"] = {**_accuracy(found.against), "outputs": [_itself(one) for one in found.fidelity]}
    return {
        **report,
        "output_layer": found.output or None,
        "mcnemar_p": found.mcnemar_p,
        "classes": list(found.classes),
        "skipped": list(found.skipped),
        "seconds": round(found.seconds, 3),
        "remapper_off": found.remapper_off,
        "onednn_off": found.onednn_off,
    }


def _accuracy(accuracy: Accuracy) -> dict[str, Any]:
    return dataclasses.asdict(accuracy)


def _fidelity(one: Fidelity) -> dict[str, Any]:
    check = one.check
    return _output_report(check.name, check.sqnr_db, check.argmax_agreement, one.kl, check.finite)


def _itself(one: Fidelity) -> dict[str, Any]:
    agreement = None if one.check.argmax_agreement is None else 1.0
    return _output_report(one.check.name, EXACT_DB, agreement, None if one.kl is None else 0.0, True)


def _output_report(
    name: str,
    sqnr_db: float | None = None,
    argmax_agreement: float | None = None,
    kl: float | None = None,
    finite: bool | None = None,
) -> dict[str, Any]:
    return {"name": name, "sqnr_db": sqnr_db, "argmax_agreement": argmax_agreement, "kl": kl, "finite": finite}


def _text(found: Evaluation, model: ModelRef, original: ModelRef | None) -> Iterator[str]:
    models = [(model, found.accuracy)] + ([(original, found.against)] if original and found.against else [])
    if found.accuracy.top1 is not None:
        rows = [_row(ref, accuracy) for ref, accuracy in models]
        yield from table(("", "top-1", "95 % interval", "top-5", "error", "loss"), rows, "<>>>>>")
    if found.mcnemar_p is not None:
        may = "may be chance" if found.mcnemar_p >= SIGNIFICANT else "is hardly chance"
        yield f"the difference {may}: McNemar's p = {found.mcnemar_p:.3g}"
    if found.fidelity:
        yield from [""] * (found.accuracy.top1 is not None)
        yield from table(("output", "SQNR", "same top class", "KL"), [_output(one) for one in found.fidelity], "<>>>")
    yield ""
    taken = f", by the scores of the output {found.output!r}" if found.output else ""
    yield f"{units.counted(found.accuracy.n, 'example')}{taken}, {found.seconds:.3g} s"


def _row(ref: ModelRef, accuracy: Accuracy) -> tuple[str, ...]:
    low, high = accuracy.top1_interval or (0.0, 1.0)
    return (
        Path(ref.path).name + (" with the recipe" if ref.recipe else ""),
        _percent(accuracy.top1),
        f"{100 * low:.2f} to {100 * high:.2f} %",
        _percent(accuracy.top5),
        _percent(None if accuracy.top1 is None else 1 - accuracy.top1),
        "-" if accuracy.loss is None else f"{accuracy.loss:.4g}",
    )


def _percent(share: float | None) -> str:
    """With the two digits that a test set of 10,000 has."""
    return "-" if share is None else f"{100 * share:.2f} %"


def _output(one: Fidelity) -> tuple[str, str, str, str]:
    check = one.check
    sqnr = "not finite" if not check.finite else units.decibel(None if check.equal else check.sqnr_db)
    return check.name, sqnr, _percent(check.argmax_agreement), "-" if one.kl is None else f"{one.kl:.3g}"

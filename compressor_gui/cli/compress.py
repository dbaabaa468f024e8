"""``compressor-cli compress``: replay passes on a graph, check the result in TensorFlow, write it."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from compressor_gui.cli.console import Console, as_file, checks_table, read_model, refuse_targets, table, with_console
from compressor_gui.cli.inspect import sparsity
from compressor_gui.cli.model import note_other_file
from compressor_gui.core import passes, pbio, units
from compressor_gui.core.advice import advice
from compressor_gui.core.diff import diff_replay
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import CHECK_INPUTS, CheckExport, EngineClient, ExportCheck, Progress
from compressor_gui.core.layers import Layer, find_layers
from compressor_gui.core.names import elide
from compressor_gui.core.passes import Pass
from compressor_gui.core.passes.transforms_text import parse_transforms
from compressor_gui.core.recipe import Recipe, Replay, Replayer, Step, digest
from compressor_gui.core.trust import refuse_untrusted

_ENDINGS = (".pb", ".pbtxt")
_WIDTH = 100
"""Letters of a step's call that the table has room for."""


@dataclass(frozen=True)
class _Checked:
    """What the engine said: a check, or why there is none. ``failure``: why the file is not to be written."""

    check: ExportCheck | None = None
    failure: str = ""
    seconds: float = 0.0
    remedy: str = ""

    @property
    def verified(self) -> bool:
        return self.check is not None and self.check.passed

    @property
    def warning(self) -> str:
        return self.check.warning(self.remedy) if self.check is not None and self.verified else ""

    def asking(self, min_sqnr: float | None) -> _Checked:
        """The same, failed where an output is not as near to the original's as is asked."""
        if min_sqnr is None or not self.verified or self.check is None:
            return self
        worst = min(self.check.outputs, key=lambda output: output.sqnr_db, default=None)
        if worst is None:
            return dataclasses.replace(self, failure="no output could be compared, as --min-sqnr asks")
        if worst.sqnr_db >= min_sqnr:
            return self
        words = f"{worst.name} has {units.decibel(worst.sqnr_db)}, and --min-sqnr asks for {min_sqnr:g} dB"
        return dataclasses.replace(self, failure=words)


@click.command(short_help="Apply passes to a graph, check the result, write it.")
@click.argument("model")
@click.option("-o", "--output", metavar="OUT", help="The file to write (.pb or .pbtxt); - is stdout.")
@click.option("--pass", "calls", multiple=True, metavar="'NAME(KEY=VALUE)'", help="A pass to apply; repeat for more.")
@click.option("--recipe", "recipe_path", metavar="FILE", help="A recipe to replay, before the passes.")
@click.option("--save-recipe", metavar="FILE", help="Save all that was applied as a recipe.")
@click.option("--outputs", metavar="A,B", help="The graph's outputs, where they are not the nodes that nobody reads.")
@click.option("--layers", "list_layers", is_flag=True, help="List the bytes and zeros of each layer, before and after.")
@click.option(
    "--dry-run", is_flag=True, help="Do everything, the check included, but write nothing; -o may be left out."
)
@click.option("--min-sqnr", type=float, metavar="DB", help="Write nothing where an output is below it.")
@click.option("--no-verify", is_flag=True, help="Write the file without running it in TensorFlow.")
@click.option(
    "--allow-unsafe-ops", is_flag=True, help="Run graphs with ops that may do more than compute (files, ...)."
)
@click.option(
    "--transforms",
    metavar="'NAME(ARG=VALUE) NAME'",
    default="",
    help="Passes as the Graph Transform Tool has them written, between the recipe and --pass.",
)
@with_console
def compress(
    console: Console,
    model: str,
    output: str | None,
    calls: tuple[str, ...],
    recipe_path: str | None,
    save_recipe: str | None,
    outputs: str | None,
    list_layers: bool,
    dry_run: bool,
    min_sqnr: float | None,
    no_verify: bool,
    allow_unsafe_ops: bool,
    transforms: str,
) -> None:
    """Apply passes to MODEL and write the result to OUT, once TensorFlow has loaded it and run it beside the original.

    Outputs are compared on four made-up inputs: sqnr_db is the signal to noise ratio in dB (999 where they are equal),
    argmax_agreement the share of rows whose largest value is at the same place; compressor-cli evaluate measures on
    your own examples. A file that fails is not written; exit code 1. Layers go by the names that inspect shows.

    MODEL and OUT may be - for standard input and output. With -o - the graph is on standard output, and what is
    otherwise printed there, JSON included, goes to standard error.

    \b
    Examples:
      compressor-cli compress lenet-5.pb -o small.pb --pass "prune(layers={'fc1': 0.7})" --pass quantize_weights
      compressor-cli compress model.pb --dry-run --layers --pass 'prune(sparsity=0.5)'
      compressor-cli compress - -o - --pass remove_nodes < model.pb | compressor-cli inspect -
    """
    if output is None and not dry_run:
        raise click.UsageError("Missing option '-o' / '--output'; only --dry-run goes without it.")
    if min_sqnr is not None and no_verify:
        raise click.UsageError("--min-sqnr needs the check, which --no-verify leaves out.")
    start = time.perf_counter()
    console.stdout_taken = output == "-" and not dry_run
    recipe = Recipe.load(recipe_path) if recipe_path else Recipe()
    chosen = [*_from_transforms(console, transforms), *(passes.parse(call) for call in calls)]
    recipe = dataclasses.replace(recipe, steps=(*recipe.steps, *map(Step, chosen)))
    refuse_targets((output, save_recipe), model)
    if output is not None and output != "-" and Path(output).suffix not in _ENDINGS:
        hint = "end it in one of these; compressor-cli export writes other formats"
        raise CompressorError("a graph is written as .pb or .pbtxt", where=output, hint=hint)
    data, graph = read_model(model, outputs)
    if not (no_verify or allow_unsafe_ops):
        _refuse_unsafe(graph, model)
    sha256 = digest(data)
    note_other_file(console, recipe, sha256)

    replay = Replayer(graph).replay(recipe, lambda *at: console.progress(Progress(*at)))
    for stage in replay.stages:
        for note in stage.result.notes:
            console.note(f"step {stage.index + 1}, {stage.transform.name}: {note}")
    for stage in replay.idle:
        console.note(f"step {stage.index + 1}, {_call(stage.transform)}, found nothing to do")

    checked = _Checked()
    with _made(replay.graph, output, dry_run) as temporary:
        size = temporary.stat().st_size
        worked = time.perf_counter() - start
        if not no_verify:
            checked = _check(console, model, data, temporary, replay, allow_unsafe_ops).asking(min_sqnr)
        written = not checked.failure and not dry_run
        if written and output is not None:
            _deliver(temporary, output, model)
    if written and save_recipe:
        dataclasses.replace(recipe, sha256=sha256).save(save_recipe)

    report = {**_report(len(data), size, worked, replay, checked), "written": written, "dry_run": dry_run}
    console.result(report, lambda: _text(report, output, replay, checked, list_layers))
    for note in checked.check.notes if checked.check else ():
        console.note(note)
    if checked.check is not None and checked.check.left_out:
        console.note(checked.check.left_out)
    if checked.warning:
        console.warn(checked.warning)
    if checked.failure:
        hint = "leave out --min-sqnr" if checked.verified else "--no-verify writes it all the same"
        console.problem(f"the check failed, nothing was written: {checked.failure} ({hint})")
        click.get_current_context().exit(1)


def _from_transforms(console: Console, text: str) -> tuple[Pass, ...]:
    """The passes of ``--transforms``."""
    found, notes = parse_transforms(text) if text else ((), ())
    for note in notes:
        console.note(note)
    return found


def _refuse_unsafe(graph: ModelGraph, model: str) -> None:
    try:
        refuse_untrusted(graph, model)
    except CompressorError as error:
        hint = "--allow-unsafe-ops runs it, --no-verify writes the file without running it"
        raise CompressorError(error.what, where=error.where, hint=hint) from None


@contextlib.contextmanager
def _made(graph: ModelGraph, output: str | None, dry_run: bool) -> Iterator[Path]:
    """The result in a file, gone at the end: beside its target, or in a temporary folder where it won't stay a file."""
    if output is None or output == "-" or dry_run:
        with tempfile.TemporaryDirectory(prefix="compressor-") as folder:
            yield pbio.write_beside(graph, Path(folder, "graph").with_suffix(Path(output or "").suffix or ".pb"))
        return
    temporary = pbio.write_beside(graph, output)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _deliver(temporary: Path, output: str, model: str) -> None:
    if output != "-":
        pbio.move_over(temporary, output, None if model == "-" else model)
        return
    sys.stdout.buffer.write(temporary.read_bytes())
    sys.stdout.buffer.flush()


def _check(
    console: Console, model: str, data: bytes, candidate: Path, replay: Replay, allow_unsafe_ops: bool
) -> _Checked:
    """Load and run both files in the engine."""
    start = time.perf_counter()
    with as_file(model, data) as original, EngineClient() as engine:
        request = CheckExport(
            original,
            str(candidate),
            replay.source.outputs,
            replay.graph.outputs,
            allow_unsafe_ops=allow_unsafe_ops,
        )
        try:
            check = engine.run(request, console.progress)
            failure = "" if check.passed else "an output is not finite or has another shape"
        except CompressorError as error:
            check, failure = None, str(error).replace(f"{candidate}: ", "")
    return _Checked(check, failure, time.perf_counter() - start, advice(stage.transform for stage in replay.stages))


def _call(transform: Pass) -> str:
    """A step as ``--pass`` takes it, or briefly where that is very long."""
    call = transform.call()
    return call if len(call) <= _WIDTH else transform.label()


def _layers(replay: Replay) -> list[dict[str, Any]]:
    """Each layer of the source: bytes of its weight and share of zeros, before and after (None: it is gone)."""
    entries = diff_replay(replay).by_name
    after: dict[str | None, list[Layer]] = {}
    for layer in find_layers(replay.graph):
        after.setdefault(entries[layer.weight].layer, []).append(layer)
    return [
        {
            "name": layer.name,
            "short": layer.short,
            "bytes_before": layer.bytes,
            "bytes_after": sum(found.bytes for found in after.get(layer.name, ())),
            "sparsity_before": layer.sparsity,
            "sparsity": sparsity(tuple(after[layer.name])) if layer.name in after else None,
        }
        for layer in find_layers(replay.source)
    ]


def _report(before: int, after: int, seconds: float, replay: Replay, checked: _Checked) -> dict[str, Any]:
    """What ``compress --json`` prints of the work; ``seconds`` without those of the check."""
    check = checked.check
    return {
        "bytes_before": before,
        "bytes_after": after,
        "ratio": round(after / before, 4),
        "nodes_before": len(replay.source),
        "nodes_after": len(replay.graph),
        "sparsity_before": sparsity(find_layers(replay.source)),
        "sparsity": sparsity(find_layers(replay.graph)),
        "seconds": round(seconds, 3),
        "check_seconds": round(checked.seconds, 3),
        "verified": checked.verified,
        "failure": checked.failure or None,
        "warning": checked.warning or None,
        "remapper_off": check.remapper_off if check else False,
        "onednn_off": check.onednn_off if check else False,
        "inputs": list(check.inputs) if check else [],
        "outputs": [dataclasses.asdict(output) for output in check.outputs] if check else [],
        "steps": [
            {
                "step": stage.index + 1,
                "pass": stage.transform.name,
                "call": stage.transform.call(),
                "label": stage.transform.label(),
                "changed": stage.result.changed,
                "bytes_after": pbio.byte_size(stage.after),
                "seconds": round(stage.seconds, 3),
                "notes": list(stage.result.notes),
            }
            for stage in replay.stages
        ],
        "layers": _layers(replay),
    }


def _text(
    report: dict[str, Any], output: str | None, replay: Replay, checked: _Checked, list_layers: bool
) -> Iterator[str]:
    if replay.stages:
        steps = [
            (str(done["step"]), _call(stage.transform), units.size(done["bytes_after"]), f"{done['seconds']:.3g} s")
            for stage, done in zip(replay.stages, report["steps"], strict=True)
        ]
        yield from table(("step", "pass", "file after", "time"), steps, "><>>")
        yield ""
    before, after = report["bytes_before"], report["bytes_after"]
    rows = [
        ("file", units.size(before), units.size(after), f"{after / before:.3g}"),
        ("nodes", f"{report['nodes_before']:,}", f"{report['nodes_after']:,}", ""),
        ("sparsity", units.percent(report["sparsity_before"]), units.percent(report["sparsity"]), ""),
    ]
    yield from table(("", "before", "after", "ratio"), rows, "<>>>")
    if list_layers and report["layers"]:
        yield ""
        yield from _layer_table(report["layers"])
    if checked.check and checked.check.outputs:
        yield ""
        yield from checks_table(checked.check.outputs, checked.check.same_class)
        yield f"on {CHECK_INPUTS} made-up inputs; compressor-cli evaluate measures on your own examples"
    yield ""
    name = "dry run" if report["dry_run"] else "standard output" if output == "-" else output
    state = f"checked in TensorFlow in {checked.seconds:.3g} s" if report["verified"] else "not checked"
    unwritten = "" if report["written"] else ", not written"
    yield f"{name}: made in {report['seconds']:.3g} s, {state}{unwritten}"


def _layer_table(layers: list[dict[str, Any]]) -> Iterator[str]:
    rows = [
        (
            elide(layer["short"], 48),
            units.size(layer["bytes_before"]),
            units.size(layer["bytes_after"]),
            units.percent(layer["sparsity_before"]),
            "gone" if layer["sparsity"] is None else units.percent(layer["sparsity"]),
        )
        for layer in layers
    ]
    yield from table(("layer", "bytes", "after", "zeros", "after"), rows, "<>>>>")

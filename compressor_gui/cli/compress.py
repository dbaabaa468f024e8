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

from compressor_gui.cli.console import Console, as_file, checks_table, read_model, refuse_target, table, with_console
from compressor_gui.cli.inspect import sparsity
from compressor_gui.core import passes, pbio, units
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import CheckExport, EngineClient, ExportCheck, Progress
from compressor_gui.core.layers import find_layers
from compressor_gui.core.recipe import Recipe, Replay, Replayer, Step, digest
from compressor_gui.core.trust import refuse_untrusted


@dataclass(frozen=True)
class _Checked:
    """What the engine said: a check, or why there is none."""

    check: ExportCheck | None = None
    failure: str = ""
    seconds: float = 0.0

    @property
    def verified(self) -> bool:
        return self.check is not None and self.check.passed


@click.command(short_help="Apply passes to a graph, check the result, write it.")
@click.argument("model")
@click.option("-o", "--output", required=True, metavar="OUT", help="The file to write (.pb or .pbtxt); - is stdout.")
@click.option("--pass", "calls", multiple=True, metavar="'NAME(KEY=VALUE)'", help="A pass to apply; repeat for more.")
@click.option("--recipe", "recipe_path", metavar="FILE", help="A recipe to replay, before the passes.")
@click.option("--save-recipe", metavar="FILE", help="Save all that was applied as a recipe.")
@click.option("--outputs", metavar="A,B", help="The graph's outputs, where they are not the nodes that nobody reads.")
@click.option("--no-verify", is_flag=True, help="Write the file without running it in TensorFlow.")
@click.option(
    "--allow-unsafe-ops", is_flag=True, help="Run graphs with ops that may do more than compute (files, ...)."
)
@with_console
def compress(
    console: Console,
    model: str,
    output: str,
    calls: tuple[str, ...],
    recipe_path: str | None,
    save_recipe: str | None,
    outputs: str | None,
    no_verify: bool,
    allow_unsafe_ops: bool,
) -> None:
    """Apply passes to MODEL and write the result to OUT, once TensorFlow has loaded it and run it beside the original.

    Outputs are compared on synthetic inputs: sqnr_db is the signal to noise ratio in dB (999 where they are equal),
    argmax_agreement the share of rows whose largest value is at the same place. A file that fails is not written; exit
    code 1.

    MODEL and OUT may be - for standard input and output. With -o - the graph is on standard output, and what is
    otherwise printed there, JSON included, goes to standard error.

    \b
    Examples:
      compressor-cli compress model.pb -o small.pb --pass 'prune(sparsity=0.8)' --pass quantize_weights
      compressor-cli compress - -o - --pass remove_nodes < model.pb | compressor-cli inspect -
    """
    start = time.perf_counter()
    console.stdout_taken = output == "-"
    recipe = Recipe.load(recipe_path) if recipe_path else Recipe()
    recipe = dataclasses.replace(recipe, steps=(*recipe.steps, *(Step(passes.parse(call)) for call in calls)))
    if output != "-":
        refuse_target(Path(output), model)
    data, graph = read_model(model, outputs)
    if not (no_verify or allow_unsafe_ops):
        _refuse_unsafe(graph, model)
    sha256 = digest(data)
    if recipe.sha256 and recipe.sha256 != sha256:
        console.note("the recipe was made for another file; its steps are applied to this one as far as they fit")

    replay = Replayer(graph).replay(recipe, lambda *at: console.progress(Progress(*at)))
    for stage in replay.stages:
        for note in stage.result.notes:
            console.note(f"step {stage.index + 1}, {stage.transform.name}: {note}")
    for stage in replay.idle:
        console.note(f"step {stage.index + 1}, {stage.transform.label()}, found nothing to do")

    checked = _Checked()
    with _written(replay.graph, output) as temporary:
        size = temporary.stat().st_size
        worked = time.perf_counter() - start
        if not no_verify:
            checked = _check(console, model, data, temporary, replay, allow_unsafe_ops)
        written = no_verify or checked.verified
        if written:
            _deliver(temporary, output, model)
    if written and save_recipe:
        dataclasses.replace(recipe, sha256=sha256).save(save_recipe)

    report = _report(len(data), size, worked, replay, checked, written)
    console.result(report, lambda: _text(report, output, replay, checked))
    for note in checked.check.notes if checked.check else ():
        console.note(note)
    if checked.check is not None and checked.check.left_out:
        console.note(checked.check.left_out)
    if not written:
        reason = checked.failure or "an output is not finite or has another shape"
        console.problem(f"the check failed, nothing was written: {reason} (--no-verify writes it all the same)")
        click.get_current_context().exit(1)


def _refuse_unsafe(graph: ModelGraph, model: str) -> None:
    try:
        refuse_untrusted(graph, model)
    except CompressorError as error:
        hint = "--allow-unsafe-ops runs it, --no-verify writes the file without running it"
        raise CompressorError(error.what, where=error.where, hint=hint) from None


@contextlib.contextmanager
def _written(graph: ModelGraph, output: str) -> Iterator[Path]:
    """The result in a file beside its target (for standard output: in a temporary folder), gone at the end."""
    if output == "-":
        with tempfile.TemporaryDirectory(prefix="compressor-") as folder:
            yield pbio.write_beside(graph, Path(folder, "stdout.pb"))
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
            check, failure = engine.run(request, console.progress), ""
        except CompressorError as error:
            check, failure = None, str(error).replace(f"{candidate}: ", "")
    return _Checked(check, failure, time.perf_counter() - start)


def _report(
    before: int, after: int, seconds: float, replay: Replay, checked: _Checked, written: bool
) -> dict[str, Any]:
    """The object that ``compress --json`` prints; ``seconds`` without those of the check."""
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
        "written": written,
        "verified": checked.verified,
        "failure": checked.failure or None,
        "remapper_off": check.remapper_off if check else False,
        "onednn_off": check.onednn_off if check else False,
        "inputs": list(check.inputs) if check else [],
        "outputs": [dataclasses.asdict(output) for output in check.outputs] if check else [],
        "steps": [
            {
                "step": stage.index + 1,
                "pass": stage.transform.name,
                "label": stage.transform.label(),
                "changed": stage.result.changed,
                "seconds": round(stage.seconds, 3),
                "notes": list(stage.result.notes),
            }
            for stage in replay.stages
        ],
    }


def _text(report: dict[str, Any], output: str, replay: Replay, checked: _Checked) -> Iterator[str]:
    if replay.stages:
        steps = [(str(s.index + 1), s.transform.label(), f"{s.seconds:.3g} s") for s in replay.stages]
        yield from table(("step", "pass", "time"), steps, "><>")
        yield ""
    before, after = report["bytes_before"], report["bytes_after"]
    rows = [
        ("file", units.size(before), units.size(after), f"{after / before:.3g}"),
        ("nodes", f"{report['nodes_before']:,}", f"{report['nodes_after']:,}", ""),
        ("sparsity", units.percent(report["sparsity_before"]), units.percent(report["sparsity"]), ""),
    ]
    yield from table(("", "before", "after", "ratio"), rows, "<>>>")
    if checked.check and checked.check.outputs:
        yield ""
        yield from checks_table(checked.check.outputs)
    yield ""
    state = "checked in TensorFlow" if report["verified"] else "not checked"
    name = "standard output" if output == "-" else output
    yield f"{name}: {state}, {report['seconds']:.3g} s" if report["written"] else f"{name}: not written"

"""``compressor-cli diff``: how two graphs differ."""

from __future__ import annotations

from collections.abc import Iterator

import click

from compressor_gui.cli.console import Console, read_model, table, with_console
from compressor_gui.core import pbio, units
from compressor_gui.core.diff import Diff, NodeDiff, Totals, diff_graphs, diff_replay
from compressor_gui.core.errors import CompressorError, RecipeError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import Progress
from compressor_gui.core.recipe import Recipe, Replayer

_MARKS = {"added": "+", "removed": "-", "changed": "~"}


@click.command(short_help="Compare two graphs node by node.")
@click.argument("before")
@click.argument("after")
@click.option("--recipe", metavar="FILE", help="The recipe that made AFTER from BEFORE: every difference is explained.")
@click.option("--limit", default=40, show_default=True, metavar="N", help="How many nodes the text lists; 0 lists all.")
@with_console
def diff(console: Console, before: str, after: str, recipe: str | None, limit: int) -> None:
    """Compare two graphs node by node, matched by name, then by structure. Exit code 0: equal, 1: they differ.

    BEFORE or AFTER may be - for standard input.

    \b
    Example:
      compressor-cli diff model.pb small.pb --recipe small.recipe.json
    """
    if before == after == "-":
        raise CompressorError("both graphs can't come from standard input", hint="name a file for one of them")
    _, old = read_model(before)
    _, new = read_model(after)
    found = _explained(console, old, new, recipe) if recipe else diff_graphs(old, new)
    console.result(found.to_json(), lambda: _text(found, limit))
    if not found.equal:
        click.get_current_context().exit(1)


def _explained(console: Console, old: ModelGraph, new: ModelGraph, path: str) -> Diff:
    """The difference by the recipe's steps. Raises RecipeError where it makes something else."""
    replay = Replayer(old).replay(Recipe.load(path), lambda *at: console.progress(Progress(*at)))
    if pbio.to_bytes(replay.graph) != pbio.to_bytes(new):
        words = "this recipe makes another graph of BEFORE than AFTER"
        raise RecipeError(words, where=path, hint="leave out --recipe to compare the two as they are")
    return diff_replay(replay)


def _text(found: Diff, limit: int) -> Iterator[str]:
    if found.equal:
        yield f"equal: {len(found.nodes):,} nodes, {units.size(found.bytes_after)}"
        return
    counts = ", ".join(f"{count:,} {change}" for change, count in found.counts.items())
    yield f"{counts}; {units.size(found.bytes_before)} -> {units.size(found.bytes_after)}"
    if found.extras_changed:
        yield "the function library or versions differ"
    rows = list(_op_rows(found))
    if rows:
        yield ""
        yield from table(("op", "before", "after", *_MARKS, "bytes"), rows, "<" + ">" * 6)
    nodes = [node for node in found.nodes if node.change != "unchanged"]
    shown = nodes[:limit] if limit else nodes
    if shown:
        yield ""
        yield from table(("", "node", "op", "bytes", "why"), [_row(node) for node in shown], "<<<><")
    if len(shown) < len(nodes):
        yield f"... and {len(nodes) - len(shown):,} more; --limit 0 lists all"


def _op_rows(found: Diff) -> Iterator[tuple[str, ...]]:
    """The ops that have a difference; a node whose op changed counts as changed under its new one."""
    for op in sorted({**found.ops_before, **found.ops_after}):
        totals = found.by_op.get(op, Totals())
        nodes = found.ops_before.get(op, 0), found.ops_after.get(op, 0)
        changes = [getattr(totals, change) for change in _MARKS]
        if any(changes) or nodes[0] != nodes[1]:
            yield op, *(f"{count:,}" for count in (*nodes, *changes)), f"{totals.bytes_after - totals.bytes_before:+,}"


def _row(node: NodeDiff) -> tuple[str, ...]:
    bytes_ = {"added": node.bytes_after, "removed": -node.bytes_before}.get(
        node.change, node.bytes_after - node.bytes_before
    )
    steps = [f"{touch.step + 1} {touch.name}" for touch in node.touches]
    why = ", ".join((*steps, *filter(None, [node.reason if node.change == "removed" else ""]), *node.details))
    return _MARKS[node.change], node.name, node.op, f"{bytes_:+,}", why

"""``compressor-cli latency``: how long models take, measured in turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from compressor_gui.cli.console import Console, refuse_targets, table, with_console
from compressor_gui.cli.model import with_model
from compressor_gui.cli.pictures import check_kind, save_chart
from compressor_gui.core import units
from compressor_gui.core.chart import bars_svg
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import Latency, LatencyResult, ModelRef, Timing
from compressor_gui.core.names import elide, short_names

SHOWN = 10
"""Nodes in the text and in the chart; the JSON has all that were asked for."""


@click.command(short_help="Time a graph, beside another one, and its slowest nodes.")
@click.option("--against", metavar="OTHER", help="The graph to compare with, timed in turns with MODEL.")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(1), help="Examples in one run.")
@click.option("--threads", default=0, type=click.IntRange(0), help="Threads; 0, the default: as TensorFlow chooses.")
@click.option("--runs", default=50, show_default=True, type=click.IntRange(1), help="Runs that count, of each graph.")
@click.option("--nodes", default=20, show_default=True, type=click.IntRange(0), help="How many slowest nodes to name.")
@click.option("-o", "--output", metavar="CHART", help="Draw the slowest nodes into a .svg or .png; - is stdout (SVG).")
@with_console
@with_model
def latency(
    console: Console,
    model: ModelRef,
    against: str | None,
    batch: int,
    threads: int,
    runs: int,
    nodes: int,
    output: str | None,
) -> None:
    """Time MODEL in stock TensorFlow on made-up inputs, warm: median and 90th percentile of a run in milliseconds.

    With --against both are loaded and run in turns, so that what else the machine does falls on both; speedup is
    OTHER's median over MODEL's, above 1 where MODEL is faster.

    \b
    Example:
      compressor-cli latency small.pb --against model.pb --batch 8 -o nodes.svg
    """
    console.stdout_taken = output == "-"
    if output:
        check_kind(output)
    refuse_targets((output,), model.path, against)
    other = ModelRef(against, allow_unsafe_ops=model.allow_unsafe_ops) if against else None
    with EngineClient() as engine:
        request = Latency(model, other, batch=batch, threads=threads, runs=runs, nodes=nodes)
        found = engine.run(request, console.progress)
    if output:
        save_chart(_chart(found, model, other), output)
    console.result(_report(found), lambda: _text(found, model, other))
    for note in filter(None, (*found.notes, found.left_out)):
        console.note(note)


def _report(found: LatencyResult) -> dict[str, Any]:
    """The object that ``latency --json`` prints."""
    shared = {key: value for key, value in asdict(found).items() if key not in ("model", "against")}
    return {**_timing(found.model), **shared, "against": _timing(found.against) if found.against else None}


def _timing(timing: Timing) -> dict[str, Any]:
    nodes = [{"name": name, "kernel": kernel, "ms": ms} for name, kernel, ms in timing.nodes]
    return {**asdict(timing), "nodes": nodes}


def _text(found: LatencyResult, model: ModelRef, other: ModelRef | None) -> Iterator[str]:
    timings = [(model, found.model)] + ([(other, found.against)] if other and found.against else [])
    rows = [
        (
            Path(ref.path).name + (" with the recipe" if ref.recipe else ""),
            f"{timing.median_ms:.3g} ms",
            f"{timing.p90_ms:.3g} ms",
            f"{timing.throughput:,.4g}/s",
            units.size(timing.peak_bytes) if timing.peak_bytes else "-",
        )
        for ref, timing in timings
    ]
    yield from table(("", "median", "90 %", "examples", "peak memory"), rows, "<>>>>")
    yield ""
    speedup = f", {_times(found.speedup)}" if found.speedup else ""
    yield f"{_how(found)}, {units.counted(found.runs, 'run')}{speedup}"
    if found.model.nodes:
        yield ""
        nodes = found.model.nodes[:SHOWN]
        slowest = [(elide(name, 64), elide(kernel, 48), f"{ms:.3g} ms") for name, kernel, ms in nodes]
        yield from table(("slowest nodes", "kernel", "median"), slowest, "<<>")


def _how(found: LatencyResult) -> str:
    return f"batch {found.batch}, {units.counted(found.threads, 'thread')}"


def _times(speedup: float) -> str:
    return f"{speedup:.3g} times as fast" if speedup >= 1 else f"{1 / speedup:.3g} times as slow"


def _chart(found: LatencyResult, model: ModelRef, other: ModelRef | None) -> str:
    """The slowest nodes of MODEL, with OTHER's times where it has nodes of that name."""
    nodes = found.model.nodes[:SHOWN]
    names = short_names(name for name, _, _ in nodes)
    series = [(Path(model.path).name, [ms for _, _, ms in nodes])]
    subtitle = f"{found.model.median_ms:.3g} ms a run"
    if other and found.against:
        times = {name: ms for name, _, ms in found.against.nodes}
        series.append((Path(other.path).name, [times.get(name, 0.0) for name, _, _ in nodes]))
        subtitle += f", {_times(found.speedup)} as {Path(other.path).name}" if found.speedup else ""
    subtitle += f"; {_how(found)}"
    return bars_svg("Slowest nodes", "milliseconds", [names[name] for name, _, _ in nodes], series, subtitle=subtitle)

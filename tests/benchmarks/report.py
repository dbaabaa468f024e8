"""What the benchmarks share: medians, rows with a limit, a table or JSON, and models to measure on."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from compressor_gui.core.pbio import write_graph
from tests.benchmarks.synthetic import network
from tests.support import SHARED


@dataclass(frozen=True)
class Row:
    """One number: what it measures, the limit that it must not pass, if it has one, and what it was made from."""

    what: str
    value: float
    unit: str = "s"
    limit: float | None = None
    note: str = ""

    @property
    def share(self) -> float | None:
        """The value as a part of its limit."""
        return None if self.limit is None else self.value / self.limit


def median_seconds(action: Callable[[], Any], runs: int = 5) -> float:
    """The median time that ``action`` takes, after a first run that does not count."""
    return medians([action], runs)[0]


def medians(
    actions: Sequence[Callable[[], Any]], runs: int = 5, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """The median time of each action. They take turns, so that what else the machine does falls on all of them."""
    seconds: list[list[float]] = [[] for _ in actions]
    for _ in range(runs + 1):
        for action, found in zip(actions, seconds, strict=True):
            start = clock()
            action()
            found.append(clock() - start)
    return [statistics.median(found[1:]) for found in seconds]


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="compressor-bench-")


def model_file(name: str, nodes: int, megabytes: float) -> Path:
    """A model of ../shared; where it is missing, a synthetic one of the same size, and a word about it."""
    path = SHARED / "models" / f"{name}.pb"
    if path.is_file():
        return path
    print(f"{path} is missing: a synthetic graph of {nodes} nodes and {megabytes:g} MB stands in.", file=sys.stderr)
    return synthetic_file(nodes, megabytes)


def synthetic_file(nodes: int, megabytes: float, branches: int = 1) -> Path:
    """A synthetic graph in a file that is removed at the end of the process."""
    path = Path(_folder().name) / f"synthetic-{nodes}-{megabytes:g}-{branches}.pb"
    if not path.exists():
        write_graph(network(nodes, megabytes, branches), path)
    return path


def window_environment() -> dict[str, str]:
    """For a window that is drawn off screen, says when it has painted its first graph, quits, and remembers nothing."""
    extra = {"COMPRESSOR_TIME_FIRST_PAINT": "1", "QT_QPA_PLATFORM": "offscreen", "XDG_CONFIG_HOME": _folder().name}
    return os.environ | extra


def main(title: str, measure: Callable[[], Iterable[Row]]) -> None:
    """Measure, print, and end with 1 if a limit was passed."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of a table")
    as_json = parser.parse_args().json
    rows = []
    if not as_json:
        print(f"\n{title}\n{'':54} {'median':>10}        {'limit':>8}  of limit")
    for row in measure():
        rows.append(row)
        if not as_json:
            print(_line(row), flush=True)
    if as_json:
        print(json.dumps({"title": title, "rows": [dataclasses.asdict(row) | {"share": row.share} for row in rows]}))
    sys.exit(any(row.share is not None and row.share > 1 for row in rows))


def _line(row: Row) -> str:
    line = f"{row.what:54} {row.value:10.3g} {row.unit:6} "
    if row.limit is not None and row.share is not None:
        line += f"{row.limit:8.3g}  {row.share:8.2f}{'' if row.share <= 1 else '  PASSED THE LIMIT'}"
    return f"{line}  {row.note}".rstrip()

"""What the benchmarks share: medians, rows with a limit, a table or JSON, and models to measure on."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from compressor_gui.core.pbio import read_graph, write_graph
from tests.benchmarks.synthetic import network
from tests.support import SHARED


@dataclass(frozen=True)
class Row:
    """One number: what it measures, and the limit that it must not pass, if it has one."""

    what: str
    value: float
    unit: str = "s"
    limit: float | None = None

    @property
    def share(self) -> float | None:
        """The value as a part of its limit."""
        return None if self.limit is None else self.value / self.limit


def median_seconds(action: Callable[[], Any], runs: int = 5) -> float:
    """The median time that ``action`` takes, after a first run that does not count."""
    action()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


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


def synthetic_file(nodes: int, megabytes: float) -> Path:
    """A synthetic graph in a file that is removed at the end of the process."""
    path = Path(_folder().name) / f"synthetic-{nodes}-{megabytes:g}.pb"
    if not path.exists():
        write_graph(network(nodes, megabytes), path)
        read_graph(path)  # warm the cache of the disk, as a file that was just downloaded is warm
    return path


def main(title: str, measure: Callable[[], Iterable[Row]]) -> None:
    """Measure, print, and end with 1 if a limit was passed."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of a table")
    as_json = parser.parse_args().json
    rows = []
    if not as_json:
        print(f"\n{title}\n{'':60} {'median':>10}        {'limit':>8}  of limit")
    for row in measure():
        rows.append(row)
        if not as_json:
            print(_line(row), flush=True)
    if as_json:
        print(json.dumps({"title": title, "rows": [dataclasses.asdict(row) | {"share": row.share} for row in rows]}))
    sys.exit(any(row.share is not None and row.share > 1 for row in rows))


def _line(row: Row) -> str:
    line = f"{row.what:60} {row.value:10.3g} {row.unit:6}"
    if row.limit is None or row.share is None:
        return line.rstrip()
    return f"{line} {row.limit:8.3g}  {row.share:8.2f}{'' if row.share <= 1 else '  PASSED THE LIMIT'}"

"""From the start of the process to the first painted graph, in the real window (drawn off screen)."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.report import Row, main, model_file, synthetic_file, window_environment

RUNS = 5


def first_paint(model: Path) -> float:
    """Seconds from here until the window says that it has painted: the median of some runs, after one that does not
    count."""
    command = [sys.executable, "-P", "-m", "compressor_gui", str(model)]
    seconds = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        with subprocess.Popen(command, env=window_environment(), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            said = process.stdout.readline()
            seconds.append(time.perf_counter() - start)
        if process.returncode or b"first_paint_s" not in said:
            raise subprocess.CalledProcessError(process.returncode, command, said)
    return statistics.median(seconds[1:])


def rows() -> Iterator[Row]:
    """A real model and a larger synthetic one."""
    yield Row("blazepose-heavy, 1,075 nodes", first_paint(model_file("blazepose-heavy", 1_075, 55)), limit=1.5)
    yield Row("synthetic, 10,000 nodes", first_paint(synthetic_file(10_000, 20, branches=8)), limit=2.5)


if __name__ == "__main__":
    main("Open: process start to first painted graph", rows)

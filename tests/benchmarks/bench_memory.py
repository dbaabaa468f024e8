"""The largest resident memory while a model is opened, on the command line and in the window (drawn off screen)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.report import Row, main, model_file, synthetic_file, window_environment


def peak_megabytes(*command: object) -> float:
    """The peak of a command.

    The kernel never reports less than what this process had when it started the other one.
    """
    with subprocess.Popen([*map(str, command)], env=window_environment(), stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, [*map(str, command)])
    return usage.ru_maxrss / 1e3


def opened(what: str, model: Path) -> Iterator[Row]:
    """Both ways of opening ``model``; the limit is three times the file and 250 MB."""
    limit = 3 * model.stat().st_size / 1e6 + 250
    cli = Path(sys.executable).with_name("compressor-cli")
    yield Row(f"inspect, {what}", peak_megabytes(cli, "inspect", "--json", model), "MB", limit)
    window = (sys.executable, "-P", "-m", "compressor_gui")
    yield Row(f"window, {what}", peak_megabytes(*window, model), "MB", limit)


def rows() -> Iterator[Row]:
    """A real model and a larger synthetic one."""
    yield from opened("blazepose-heavy, 55 MB", model_file("blazepose-heavy", 1_075, 55))
    yield from opened("synthetic, 200 MB", synthetic_file(1_000, 200))


if __name__ == "__main__":
    main("Memory of opening", rows)

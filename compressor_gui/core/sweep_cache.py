"""The finished points of sweeps, in a folder: one file a sweep, one JSON line a point."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from compressor_gui.core.sweep import Point


@dataclass(frozen=True)
class Baseline:
    """The untouched model: its ``value`` by ``metric`` on ``n`` examples, and those that could not be decoded."""

    metric: str
    value: float
    n: int
    skipped: tuple[str, ...] = ()


def user_cache_folder() -> Path:
    """Where this user's programs keep what can be computed again; it need not exist."""
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "compressor" / "sensitivity"


class SweepCache:
    """What is known of one sweep; whatever is added is on its way to the disk before the call returns.

    A process that is killed while it writes leaves half a line at most, which is passed over. Where the folder can't be
    written (full, read-only) nothing is lost but the memory of it; ``failure`` says why.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder / f"{key}.jsonl"
        self.baseline: Baseline | None = None
        self.failure = ""
        self._points: dict[str, dict[Point, float]] = {}
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError:
            lines = []
        for line in lines:
            self._read(line)

    def points(self, layer: str) -> dict[Point, float]:
        """The values that are known of a layer."""
        return dict(self._points.get(layer, {}))

    def set_baseline(self, baseline: Baseline) -> None:
        """Remember the untouched model's value."""
        self.baseline = baseline
        self._write([baseline.metric, baseline.value, baseline.n, baseline.skipped])

    def add(self, layer: str, point: Point, value: float) -> None:
        """Remember a point."""
        self._points.setdefault(layer, {})[point] = value
        self._write([layer, point.bits, point.at, value])

    def _read(self, line: bytes) -> None:
        try:
            match json.loads(line):
                case [str(layer), bool(bits), int() | float() as at, int() | float() as value]:
                    self._points.setdefault(layer, {})[Point(bits, at)] = float(value)
                case [str(metric), int() | float() as value, int(n), list(skipped)]:
                    self.baseline = Baseline(metric, float(value), n, tuple(map(str, skipped)))
        except ValueError:
            pass

    def _write(self, line: list[object]) -> None:
        if self.failure:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as stream:  # a line feed first ends what a killed process left
                stream.write(b"\n" + json.dumps(line).encode() + b"\n")
        except OSError as error:
            self.failure = error.strerror or str(error)

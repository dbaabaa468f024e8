"""Files of ranges: JSON, node -> [min, max], and the logs that TensorFlow's calibration leaves.

A log is what a graph prints whose RequantizationRange nodes got a Print by the Graph Transform Tool's
``insert_logging(op=RequantizationRange, show_name=true, message="__requant_min_max:")``, one line a node and run::

    ;conv1/Conv2D_eightbit_requant_range__print__;__requant_min_max:[-5.75943518][3.43590856]

Source: ``tensorflow/tools/graph_transforms/freeze_requantization_ranges.cc``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compressor_gui.core.errors import CompressorError

Limits = tuple[float, float]

_RECORD = re.compile(r";([^;\n]+)__print__;__requant_min_max:\[([^\[\]]*)\]\[([^\[\]]*)\]")
_TAIL = 0.05
"""The share of runs whose extreme minima and maxima the tool leaves out (``min_percentile``, ``max_percentile``)."""


def read_text(path: str) -> str:
    """A file's text, in which a log's damaged letters are no obstacle. Raises CompressorError."""
    try:
        return Path(path).read_text("utf-8", "replace")
    except (OSError, ValueError) as error:
        raise CompressorError(f"it can't be read: {getattr(error, 'strerror', None) or error}", where=path) from None


def read_json(path: str) -> Any:
    """What a JSON file holds. Raises CompressorError."""
    return _json(read_text(path), path)


def read_ranges(path: str) -> Any:
    """The ranges in a log, or what a JSON file holds. Raises CompressorError."""
    text = read_text(path)
    records = parse_log(text, path)
    return log_ranges(records) if records else _json(text, path)


def ranges_text(ranges: Mapping[str, Limits]) -> str:
    """A file of ranges: JSON, a line a node, in order of names."""
    lines = (f" {json.dumps(name, ensure_ascii=False)}: {json.dumps(list(ranges[name]))}" for name in sorted(ranges))
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write_ranges(path: str | Path, ranges: Mapping[str, Limits]) -> None:
    """Write :func:`ranges_text`. Raises CompressorError."""
    try:
        Path(path).write_text(ranges_text(ranges), "utf-8")
    except OSError as error:
        raise CompressorError(f"it can't be written: {error.strerror}", where=str(path)) from None


def parse_log(text: str, where: str = "log") -> dict[str, list[Limits]]:
    """Node -> the range of each run, in the log's order; other lines and broken ones are passed over.

    Raises CompressorError for a range that is not finite.
    """
    records: dict[str, list[Limits]] = {}
    for name, *ends in _RECORD.findall(text):
        try:
            low, high = map(float, ends)
        except ValueError:
            continue
        if not (math.isfinite(low) and math.isfinite(high)):
            words = f"the range [{low:g}, {high:g}] of {name!r} is not finite"
            raise CompressorError(words, where=where, hint="leave out the picture that it comes from")
        records.setdefault(name, []).append((low, high))
    return records


def log_ranges(records: Mapping[str, list[Limits]]) -> dict[str, Limits]:
    """The range that the Graph Transform Tool takes from each node's runs: sorted minima at 5 %, maxima at 95 %."""
    return {name: (_at(_TAIL, [r[0] for r in runs]), _at(1 - _TAIL, [r[1] for r in runs]))
            for name, runs in records.items()}  # fmt: skip


def _at(share: float, values: list[float]) -> float:
    place = math.floor(len(values) * share + 0.5)  # as std::round
    return sorted(values)[min(place, len(values) - 1)]


def _json(text: str, path: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise CompressorError("it is not a JSON file", where=path, hint='write {"node": [min, max]}') from None

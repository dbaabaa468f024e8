"""The experiment table as text, Markdown, CSV, JSON and a chart."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from compressor_gui.core import units
from compressor_gui.core.chart import Mark, marks_svg
from compressor_gui.core.experiment import Row, Table
from compressor_gui.core.jobs import EXACT_DB

SIGNIFICANT = 0.05
"""McNemar's p below which a difference in top-1 is hardly chance."""

_MISSING = "–"


def title(row: Row) -> str:
    """What the row is: ``stored ranges, 1,000 examples``."""
    return f"{row.title}, {units.counted(row.examples, 'example')}" if row.examples else row.title


def heads(table: Table) -> tuple[str, ...]:
    """The columns' names, the first of which is that of the rows."""
    quality = ("top-1", "95 % interval", "recall_5") if table.scored else ("SQNR of the worst output",)
    return ("", *quality, "bytes", "of float", "ms", "speed")


def cells(table: Table, row: Row) -> tuple[str, ...]:
    """A row as text, with a dash for what was not measured."""
    return (title(row), *_quality(table, row), *_size(table, row), *_times(row))


def _quality(table: Table, row: Row) -> tuple[str, ...]:
    if not table.scored:
        return ("the reference" if row is table.rows[0] else decibel(row.sqnr_db),)
    accuracy = row.accuracy
    if accuracy is None or accuracy.top1 is None:
        return (_MISSING,) * 3
    low, high = accuracy.top1_interval or (0.0, 1.0)
    return percent(accuracy.top1), f"{100 * low:.2f} to {100 * high:.2f}", percent(accuracy.top5)


def _size(table: Table, row: Row) -> tuple[str, str]:
    whole = table.rows[0].size
    return (
        _MISSING if row.size is None else f"{row.size:,}",
        _MISSING if row.size is None or not whole else f"{row.size / whole:.2f}",
    )


def _times(row: Row) -> tuple[str, str]:
    if row.latency is None:
        return _MISSING, _MISSING
    return f"{row.latency.model.median_ms:.3g}", f"{row.latency.speedup or 1:.2f}"


def percent(share: float | None) -> str:
    """With the two digits that a test set of 10,000 has."""
    return _MISSING if share is None else f"{100 * share:.2f} %"


def decibel(value: float | None) -> str:
    """An SQNR, or a dash where there is none."""
    if value is None:
        return _MISSING
    return "not finite" if value <= -EXACT_DB else units.decibel(value)


def captions(table: Table) -> tuple[str, ...]:
    """Sentences on what the table was measured with, and on what is lacking."""
    n = max((row.accuracy.n for row in table.rows if row.accuracy), default=0)
    if not n:
        return ()
    sentences = [f"Measured on {units.counted(n, 'example')} of {Path(table.data).name}."]
    if not table.scored:
        sentences.append("Without labels and scores of classes: how near the outputs are to float's, and no accuracy.")
    same = table.calibration == table.data
    where = "these same examples" if same else Path(table.calibration).name
    sentences.append(f"Ranges by {table.method} from {where}.")
    unlikely = [row for row in table.rows if row.mcnemar_p is not None and row.mcnemar_p < SIGNIFICANT]
    if any(row.mcnemar_p is not None for row in table.rows):
        which = ", ".join(f"{title(row)} (p = {row.mcnemar_p:.2g})" for row in unlikely)
        sentences.append(
            f"Hardly chance by McNemar's test is the difference in top-1 of: {which}."
            if unlikely
            else "No difference in top-1 from float is more than chance by McNemar's test (p of 0.05 or more)."
        )
    timed = next((row.latency for row in table.rows if row.latency), None)
    if timed:
        load = "" if table.load is None else f", load {table.load:g} when it began"
        sentences.append(
            f"ms: the median of {units.counted(timed.runs, 'run')} at batch {timed.batch}, in turns with float; speed: "
            f"float's median by the row's. TensorFlow {table.tensorflow}, {table.processor or 'unknown processor'}, "
            f"{units.counted(timed.threads, 'thread')}{load}."
        )
    sentences += [f"{title(row)} failed: {row.problem}." for row in table.rows if row.problem]
    sentences += [f"{title(row)}: {note}." for row in table.rows for note in row.notes]
    return tuple(sentences)


def markdown(table: Table) -> str:
    """The table with its captions below."""
    names = heads(table)
    lines = [_line((Path(table.model).stem, *names[1:])), _line(("---", *("--:" for _ in names[1:])))]
    lines += [_line(cells(table, row)) for row in table.rows]
    return "\n".join((*lines, "", " ".join(captions(table)), ""))


def _line(parts: tuple[str, ...]) -> str:
    return f"| {' | '.join(part.replace('|', '&#124;') for part in parts)} |"


def as_csv(table: Table) -> str:
    """Every number as it is, one line a row; what was not measured is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    reports = [_numbers(table, row) for row in table.rows]
    if reports:
        writer.writerow(reports[0])
        writer.writerows(report.values() for report in reports)
    return text.getvalue()


def report(table: Table) -> dict[str, Any]:
    """The object that ``experiment --json`` prints."""
    shared = {name: getattr(table, name) for name in ("model", "data", "calibration", "method", "tensorflow")}
    rows = [{**_numbers(table, row), "notes": list(row.notes)} for row in table.rows]
    return {**shared, "processor": table.processor, "load": table.load, "scored": table.scored, "rows": rows}


def _numbers(table: Table, row: Row) -> dict[str, Any]:
    accuracy, latency = row.accuracy, row.latency
    low, high = (accuracy.top1_interval if accuracy else None) or (None, None)
    against = latency.against if latency else None
    return {
        "name": row.name,
        "title": title(row),
        "examples": accuracy.n if accuracy else None,
        "top1": accuracy.top1 if accuracy else None,
        "top1_low": low,
        "top1_high": high,
        "recall_5": accuracy.top5 if accuracy else None,
        "mcnemar_p": row.mcnemar_p,
        "sqnr_db": row.sqnr_db,
        "bytes": row.size,
        "ranges_from": row.examples,
        "latency_ms": latency.model.median_ms if latency else None,
        "float_ms": against.median_ms if against else None,
        "speedup": latency.speedup if latency else None,
        "tensorflow": table.tensorflow,
        "problem": row.problem or None,
    }


def chart(table: Table, *, width: int = 960, height: int = 250, theme: str = "light") -> str:
    """Two plots as SVG, of this ``height``: quality against the file's size and against latency; empty while nothing
    was measured."""
    label = "top-1, %" if table.scored else "SQNR of the worst output, dB"
    marks = [mark for row in table.rows if (mark := _mark(table, row))]
    if not marks:
        return ""
    return marks_svg(
        f"{Path(table.model).stem}: {'accuracy' if table.scored else 'SQNR'}, size and latency",
        ("file, MB", "latency, ms"),
        label,
        marks,
        subtitle="The bars are 95 % intervals; up and left is better" if table.scored else "Up and left is better",
        width=width,
        height=height,
        theme=theme,
    )


def _mark(table: Table, row: Row) -> Mark | None:
    """A row in the chart; None where there is nothing to draw it at."""
    places = (
        None if row.size is None else row.size / 1e6,
        None if row.latency is None else row.latency.model.median_ms,
    )
    if table.scored:
        if row.accuracy is None or row.accuracy.top1 is None:
            return None
        low, high = row.accuracy.top1_interval or (row.accuracy.top1,) * 2
        return Mark(title(row), places, 100 * row.accuracy.top1, (100 * low, 100 * high))
    drawn = row.sqnr_db is not None and abs(row.sqnr_db) < EXACT_DB  # float, or equal to it, has no place in dB
    return Mark(title(row), places, row.sqnr_db) if drawn and row.sqnr_db is not None else None

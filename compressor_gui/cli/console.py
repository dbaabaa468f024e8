"""What the commands share: where output goes, tables, progress, and errors that ``--json`` has as objects."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from compressor_gui.cli.group import say
from compressor_gui.core import pbio, units
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.jobs import OutputCheck, Progress
from compressor_gui.core.verify import verify

Command = TypeVar("Command", bound=Callable[..., Any])


class Console:
    """Where one command's output goes.

    With ``as_json`` the result is one JSON object instead of text; ``quiet`` leaves only errors and that JSON.
    ``stdout_taken``: standard output carries a file, so that the result goes to standard error.
    """

    def __init__(self, as_json: bool, quiet: bool) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.stdout_taken = False
        self._shows_progress = not quiet and sys.stderr.isatty()
        self._line_open = False

    def result(self, data: dict[str, Any], text: Callable[[], Iterator[str]]) -> None:
        """Print the result: ``data`` as JSON, or the lines of ``text``."""
        self.end_progress()
        if self.as_json:
            click.echo(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False), err=self.stdout_taken)
        elif not self.quiet:
            for line in text():
                click.echo(line, err=self.stdout_taken)

    def note(self, text: str) -> None:
        """A message beside the result."""
        if not self.quiet:
            self.end_progress()
            say(text)

    def problem(self, text: str) -> None:
        """What went wrong, shown even when quiet."""
        self.end_progress()
        say(text, fg="red")

    def failed(self, error: CompressorError) -> None:
        """Under ``--json``, the error as an object; its sentence is said by :class:`.group.Commands`."""
        if self.as_json:
            parts = {"message": str(error), "what": error.what, "where": error.where, "hint": error.hint}
            click.echo(json.dumps({"error": parts}, indent=1, ensure_ascii=False), err=self.stdout_taken)

    def warn(self, text: str) -> None:
        """What the user should know before using the result."""
        if not self.quiet:
            self.end_progress()
            say(f"warning: {text}", fg="yellow")

    def progress(self, event: Progress) -> None:
        """Show how far the work is, on a terminal."""
        if self._shows_progress:
            part = f"[{event.done}/{event.total}] " if event.total else ""
            width = shutil.get_terminal_size().columns - 1
            click.echo(f"\r\x1b[K{(part + event.message)[:width]}", nl=False, err=True)
            self._line_open = True

    def end_progress(self) -> None:
        """Take the line of progress away."""
        if self._line_open:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._line_open = False


def with_options(options: Iterable[Callable[[Any], Any]]) -> Callable[[Command], Command]:
    """Give a command options, in this order on its help page."""

    def add(command: Any) -> Any:
        for option in reversed(tuple(options)):
            command = option(command)
        return command

    return add


def with_console(command: Command) -> Command:
    """Give a command the options ``--json`` and ``--quiet``, and a Console as its first argument."""

    @click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
    @click.option("-q", "--quiet", is_flag=True, help="Print errors only, and the JSON if it is asked for.")
    @functools.wraps(command)
    def run(*args: Any, as_json: bool, quiet: bool, **kwargs: Any) -> Any:
        console = Console(as_json, quiet)
        try:
            return command(console, *args, **kwargs)
        except CompressorError as error:
            console.end_progress()
            console.failed(error)
            raise
        finally:
            console.end_progress()

    return run  # type: ignore[return-value]


def read_model(path: str, outputs: str | None = None) -> tuple[bytes, ModelGraph]:
    """A file's bytes and its verified graph. Raises CompressorError."""
    where = "standard input" if path == "-" else path
    data = pbio.read_bytes(path)
    graph = pbio.parse_graph(data, where=where, outputs=named(outputs))
    try:
        verify(graph)
    except CompressorError as error:
        raise CompressorError(error.what, where=f"{where}, {error.where}", hint=error.hint) from None
    return data, graph


def named(outputs: str | None) -> tuple[str, ...] | None:
    """The names in a list with commas, or None for none."""
    return tuple(name.strip() for name in outputs.split(",") if name.strip()) if outputs else None


def refuse_targets(targets: Iterable[str | None], *sources: str | None) -> None:
    """Say before the work what would stop its results from being written; None and ``-`` are passed over.

    Raises CompressorError for a target that is one of ``sources`` or another target, no file, or in a missing folder.
    """
    taken: set[str] = set()
    for name in targets:
        if name is None or name == "-":
            continue
        target, place = Path(name), os.path.realpath(name)
        for source in sources:
            pbio.refuse_source(target, None if source == "-" else source)
        if place in taken:
            raise CompressorError("two results can't go to one file", where=name, hint="choose another name for one")
        if target.exists() and not target.is_file():
            what = "a folder" if target.is_dir() else "a device"
            raise CompressorError(f"this is {what}", where=name, hint="name a file, or - for standard output")
        refuse_missing_folder(target)
        taken.add(place)


@contextlib.contextmanager
def as_file(path: str, data: bytes) -> Iterator[str]:
    """A path under which another process can read ``data``: its own, or for standard input a temporary one."""
    if path != "-":
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="compressor-") as folder:
        file = Path(folder, "stdin.pb")
        try:
            file.write_bytes(data)
        except OSError as error:
            raise CompressorError(f"it can't be written: {error.strerror}", where=str(file)) from None
        yield str(file)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> Iterator[str]:
    """Aligned columns; ``right`` names by position those aligned right: ``"<>"`` is left, right.

    On a terminal the last column is wrapped; elsewhere a row is a line.
    """
    columns = list(zip(heads, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    indent = sum(widths[:-1]) + 2 * len(widths[:-1])
    room = shutil.get_terminal_size().columns - indent if sys.stdout.isatty() else 0
    for row in (heads, *rows):
        cells = (
            cell.rjust(width) if right[at : at + 1] == ">" else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        line = "  ".join(cells).rstrip()
        if room > 20 and len(line) > indent + room:
            line = line[:indent] + f"\n{' ' * indent}".join(textwrap.wrap(line[indent:], room))
        yield line


def checks_table(checks: Sequence[OutputCheck], same: Callable[[OutputCheck], str] | None = None) -> Iterator[str]:
    """A row for each output that was compared; ``same`` says how often the largest value is at the same place."""
    rows = []
    for check in checks:
        sqnr = units.decibel(None if check.equal else check.sqnr_db) if check.finite else "not finite"
        agreement = "-" if check.argmax_agreement is None else (same or _share)(check)
        rows.append((check.name, sqnr, agreement))
    yield from table(("output", "SQNR", "argmax agreement"), rows, "<>>")


def _share(check: OutputCheck) -> str:
    return units.percent(check.argmax_agreement or 0.0)


def refuse_missing_folder(target: Path) -> None:
    """Raise CompressorError where the folder that the target shall lie in is not there."""
    if not target.parent.is_dir():
        raise CompressorError("there is no such folder", where=str(target.parent), hint="make it first")

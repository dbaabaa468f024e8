"""Pictures on the command line. Qt draws them, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.pbio import cannot_write

CHARTS = (".svg", ".png")


def check_kind(output: str, kinds: Sequence[str] = CHARTS, what: str = "a picture") -> str:
    """The ending, which says what kind ``what`` is; standard output (``-``) gets SVG. Raises CompressorError."""
    kind = ".svg" if output == "-" else Path(output).suffix.lower()
    if kind not in kinds:
        words = f"{what} is {', '.join(kinds[:-1])} or {kinds[-1]}"
        raise CompressorError(words, where=output, hint="choose one of these endings")
    return kind


def save_chart(svg: str, output: str) -> None:
    """Write a chart as what the ending of ``output`` says. Raises CompressorError."""
    if check_kind(output) == ".svg":
        write_picture(svg.encode(), output)
        return
    with tempfile.TemporaryDirectory(prefix="compressor-") as folder:
        source, made = Path(folder, "chart.svg"), Path(folder, "chart.png")
        source.write_text(svg, "utf-8")
        draw("rasterize", str(source), str(made))
        write_picture(made.read_bytes(), output)


def write_picture(picture: bytes, output: str) -> None:
    """Write a file, or for ``-`` to standard output. Raises CompressorError."""
    try:
        if output == "-":
            sys.stdout.buffer.write(picture)
        else:
            Path(output).write_bytes(picture)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write(Path(output), error) from None


def draw(module: str, *arguments: str) -> None:
    """Run a module of the window's that draws without one. Raises CompressorError with its last message."""
    command = [sys.executable, "-P", "-m", f"compressor_gui.gui.{module}", *arguments]
    done = subprocess.run(
        command, env={"QT_QPA_PLATFORM": "offscreen", **os.environ}, stdin=subprocess.DEVNULL, capture_output=True
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CompressorError(
            f"the picture could not be drawn: {said[-1] if said else f'exit code {done.returncode}'}",
            hint="is PySide6 installed, with the system libraries that it needs?",
        )

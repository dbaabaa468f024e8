"""What the tests of the commands share."""

from __future__ import annotations

import subprocess
import sys

from click.testing import CliRunner, Result

from compressor_gui.cli.commands import cli

PRUNE = "prune(sparsity=0.8)"


def run(*arguments: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], input=stdin)


def program(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from compressor_gui.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def sentence(result: Result) -> str:
    """The one line that an error is."""
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert result.stdout == ""
    return line

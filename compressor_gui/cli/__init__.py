"""``compressor-cli``: the program's work without a window. Its commands are named in :mod:`.commands`;
what they share is in :mod:`.console`."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """The entry point of ``compressor-cli``. Imports happen here, so that an interrupt of them is no traceback."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that what was begun is cleaned up
    try:
        from compressor_gui.cli.commands import cli
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    cli()

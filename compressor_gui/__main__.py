"""``python -m compressor_gui`` opens the window, as ``compressor-gui`` does."""

from __future__ import annotations

import sys


def main() -> int:
    """Open the window with this process's arguments; returns the exit code."""
    from compressor_gui.gui.app import main as open_window

    return open_window()


if __name__ == "__main__":
    sys.exit(main())

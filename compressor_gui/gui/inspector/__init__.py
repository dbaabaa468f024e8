"""The inspector: everything about the node that is selected."""

from compressor_gui.gui.inspector.panel import Inspector

__all__ = ["Inspector"]

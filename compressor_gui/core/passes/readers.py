"""Giving the readers of an output something else to read, for passes whose new nodes read that output themselves."""

from __future__ import annotations

from compressor_gui.core.edit import Edit
from compressor_gui.core.graph import parse_ref


def redirect(edit: Edit, output: str, name: str) -> None:
    """Let those that read ``output`` in the graph before the edit read ``name``; who waits for its node still does."""
    wanted = parse_ref(output)
    for user in dict.fromkeys(user for user, _ in edit.graph.consumers[wanted.name]):
        reader = edit[user]
        if wanted in reader.refs:
            pairs = zip(reader.refs, reader.inputs, strict=True)
            edit.replace(reader.with_(inputs=[name if ref == wanted else text for ref, text in pairs]))

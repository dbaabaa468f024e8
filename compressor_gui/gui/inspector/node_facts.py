"""A node in words: what its op does, its attributes, and its neighbours as links."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from html import escape
from importlib.resources import files

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFontMetrics, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from compressor_gui.core import units
from compressor_gui.core.graph import ModelGraph, Node
from compressor_gui.core.values import Attr, DType, RawAttr, Shape, Tensor
from compressor_gui.gui.inspector.section import Fact, Facts
from compressor_gui.gui.inspector.subject import Subject, readers, scope_of
from compressor_gui.gui.theme import BODY, MARGIN, UNIT, Theme, font
from compressor_gui.gui.widgets import label, paragraph

MAX_LINKS = 40
"""Neighbours that are listed; a node may have ten thousand."""


@cache
def _op_texts() -> dict[str, str]:
    return dict(json.loads(files("resources").joinpath("ops.json").read_text("utf-8")))


def op_text(op: str) -> str:
    """What an op computes, in a sentence."""
    return _op_texts().get(op, "No text for this op.")


def attr_text(value: Attr) -> str:
    """An attribute as people write it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, DType):
        return value.label
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Tensor):
        return f"{value.dtype.label} {units.shape(value.array.shape)}"
    if isinstance(value, Shape):
        return str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(attr_text(item) for item in value[:64])}{', …' if len(value) > 64 else ''}]"
    if isinstance(value, RawAttr):
        return f"({value.kind})"
    return units.number(value) if isinstance(value, float) else str(value)


def attribute_facts(node: Node) -> list[Fact]:
    """The attributes in the file's order, ``_``-prefixed ones last."""
    keys = sorted(node.attrs, key=lambda key: key.startswith("_"))
    return [Fact(key, attr_text(node.attrs[key])) for key in keys]


class Links(QLabel):
    """A list of nodes to jump to, one a line, elided in the middle. ``chosen(name)``."""

    chosen = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._rows: tuple[tuple[str, str, str], ...] = ()
        self._more = 0
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.LinksAccessibleByMouse | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.linkActivated.connect(self.chosen)
        self.linkHovered.connect(self.setToolTip)
        theme.changed.connect(self._fill)

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes listed."""
        return tuple(name for name, _, _ in self._rows)

    def show_links(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Show nodes (name, what to read, note)."""
        found = tuple(rows)
        self._rows, self._more = found[:MAX_LINKS], max(len(found) - MAX_LINKS, 0)
        self._fill()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Elide anew."""
        super().resizeEvent(event)
        self._fill()

    def _fill(self) -> None:
        metrics = QFontMetrics(font(BODY))
        link, quiet = self._theme.hex("accent_and_threshold"), self._theme.hex("text_secondary")
        lines = []
        for name, shown, note in self._rows:
            room = self.contentsRect().width() - (metrics.horizontalAdvance(note) + 12 if note else 0) - 4
            shown = metrics.elidedText(shown, Qt.TextElideMode.ElideMiddle, max(room, 60))
            tail = f" <span style='color:{quiet}'>{escape(note)}</span>" if note else ""
            href = escape(name, quote=True)
            lines.append(f"<a href='{href}' style='color:{link}; text-decoration:none'>{escape(shown)}</a>{tail}")
        if self._more:
            lines.append(f"<span style='color:{quiet}'>and {self._more:,} more</span>")
        self.setText("<br>".join(lines) or f"<span style='color:{quiet}'>none</span>")


class NodeFacts(QWidget):
    """The section on the node itself. ``chosen(name)`` for a link."""

    chosen = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.text = paragraph("", "secondary")
        self.facts = Facts(theme)
        self.inputs, self.outputs = Links(theme), Links(theme)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, UNIT)
        column.setSpacing(UNIT)
        self._inset(column, self.text)
        column.addWidget(self.facts)
        for title, links in (("inputs", self.inputs), ("read by", self.outputs)):
            self._inset(column, label(title, "secondary"))
            self._inset(column, links)
            links.chosen.connect(self.chosen)

    @staticmethod
    def _inset(column: QVBoxLayout, widget: QWidget) -> None:
        widget.setContentsMargins(MARGIN, 0, MARGIN, 0)
        column.addWidget(widget)

    def show_node(self, subject: Subject, graph: ModelGraph) -> None:
        """Describe the subject's node, which stands in ``graph``."""
        node = subject.node
        self.text.setText(f"{node.op}: {op_text(node.op)}")
        facts = [Fact("name", node.name), Fact("op", node.op)]
        if node.device:
            facts.append(Fact("device", node.device))
        if subject.entry is not None and subject.entry.bytes_after:
            facts.append(Fact("in the file", units.size(subject.entry.bytes_after)))
        self.facts.show_facts([*facts, *attribute_facts(node)])
        scope = scope_of(graph)
        self.inputs.show_links(
            (ref.name, ref.name.removeprefix(scope), _input_note(graph, ref.name, ref.port, ref.control))
            for ref in node.refs
        )
        self.outputs.show_links((name, name.removeprefix(scope), graph[name].op) for name in readers(graph, node.name))


def _input_note(graph: ModelGraph, name: str, port: int, control: bool) -> str:
    op = graph[name].op if name in graph else ""
    return f"{op} control" if control else f"{op} :{port}" if port else op

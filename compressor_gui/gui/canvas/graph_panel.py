"""The graph panel: one canvas, two side by side, or both graphs in one, as the document's view says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from compressor_gui.gui.canvas.colouring import COLORS, TIPS, ColorBy, colour, depends_on
from compressor_gui.gui.canvas.export import export_scenes
from compressor_gui.gui.canvas.legend import Legend, key_of
from compressor_gui.gui.canvas.pane import Pane
from compressor_gui.gui.canvas.picture import Folding, Picture
from compressor_gui.gui.canvas.subject import Subject
from compressor_gui.gui.canvas.view import Canvas
from compressor_gui.gui.canvas.views import Views
from compressor_gui.gui.canvas.walk import counterpart, differing, matching, step_from
from compressor_gui.gui.document import Document
from compressor_gui.gui.state import State
from compressor_gui.gui.theme import Theme

_ROOMY, _ARROW = 250, 24
"""Pixels of a pane from which on its heading leaves room for words, and of the arrow in their place."""
QWIDGETSIZE_MAX = 16777215


class GraphPanel(QWidget):
    """Shows the document's graphs and keeps the selection, the open scopes and the colours."""

    painted = Signal()
    """A canvas with a graph on it was painted."""
    coloured = Signal()
    """The colours mean something else now."""
    walked = Signal(int, int)
    """A difference was gone to: its place (from 1) among so many."""

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("graphPanel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._document = document
        self._folding = Folding()
        self._shown: Subject | None = None
        self._wanted: Subject | None = None
        self._drawing = False
        self._anchor = ""
        self._picked_in: Canvas | None = None
        self._awaited_step = 0
        self._pattern: re.Pattern[str] | None = None
        self._color_by: ColorBy = "family"

        self._panes = (Pane(theme, self), Pane(theme, self))
        self.legend = Legend(theme)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        row = QHBoxLayout()
        row.setSpacing(1)
        column.addLayout(row, 1)
        column.addWidget(self.legend)
        self._column = column
        for pane in self._panes:
            row.addWidget(pane, 1)
            pane.canvas.picked.connect(lambda node, canvas=pane.canvas: self._pick(node, canvas))
            pane.canvas.fit_requested.connect(self.fit)
            pane.canvas.painted.connect(self.painted)
            pane.canvas.toggled.connect(self.toggle_scope)
        self.views = Views([pane.canvas for pane in self._panes])
        self._panes[1].hide()

        self.color_combo = QComboBox()
        self.color_combo.setObjectName("colorBy")
        self.color_combo.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        for key, text in COLORS.items():
            self.color_combo.addItem(text, key)
            self.color_combo.setItemData(self.color_combo.count() - 1, TIPS[key], Qt.ItemDataRole.ToolTipRole)
        self.color_combo.currentIndexChanged.connect(lambda: self.set_color_by(self.color_combo.currentData()))
        self.color_combo.setToolTip("What the boxes' colours mean")
        self._panes[0].extra.addWidget(self.color_combo)
        self.color_combo.hide()

        document.changed.connect(self._changed)
        if document.state.source is not None:
            self._changed(State(), document.state)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In narrow panes the heading takes the room, and what the colours mean is behind an arrow."""
        super().resizeEvent(event)
        self._give_room()

    def _give_room(self) -> None:
        narrow = self.width() < _ROOMY * max(len(self._pictures), 1)
        self.color_combo.setMaximumWidth(_ARROW if narrow else QWIDGETSIZE_MAX)

    # -- for the window ------------------------------------------------------------------------------------------

    @property
    def canvases(self) -> tuple[Canvas, ...]:
        """The canvases in view, from left to right."""
        return tuple(pane.canvas for pane in self._panes[: len(self._pictures)])

    @property
    def canvas(self) -> Canvas:
        """The canvas that commands act on: the one with the focus, else the last."""
        return next(
            (canvas for canvas in self.canvases if canvas.hasFocus()), (self.canvases or (self._panes[0].canvas,))[-1]
        )

    def settled(self) -> bool:
        """Whether what is shown is what the document wants, and nothing moves."""
        still = not any(canvas.moving for canvas in self.canvases)
        return still and not self._drawing and (self._wanted is None or self._wanted.is_same(self._shown))

    @property
    def folding(self) -> Folding:
        """What is folded."""
        return self._folding

    def fit(self) -> None:
        """See the whole graph, or both."""
        self.views.fit()

    def actual_size(self) -> None:
        """Zoom to 1:1."""
        self.canvas.zoom_by(1 / self.canvas.zoom)

    def zoom_in(self) -> None:
        """A step closer."""
        self.canvas.zoom_by(1.25)

    def zoom_out(self) -> None:
        """A step away."""
        self.canvas.zoom_by(1 / 1.25)

    def export_picture(self, path: str | Path) -> None:
        """Write what is shown, whole, as .svg, .png or .pdf. Raises CompressorError."""
        scenes = [canvas.scene for canvas in self.canvases if canvas.scene is not None]
        headings = [pane.heading.text() for pane in self._panes]
        export_scenes(Path(path), scenes, [c.look for c in self.canvases], headings, self._panes[0].canvas.painter)

    def toggle_scope(self, scope: str) -> None:
        """Open a closed scope, or close an open one."""
        shown = self._pictures
        opened = frozenset().union(*(picture.folded.open_scopes for picture in shown))
        if scope in opened:
            opened = frozenset(s for s in opened if not s.startswith(scope))
        else:
            parents = {s for picture in shown for s in picture.folded.scopes if scope.startswith(s)}
            opened |= parents
        owned = (box.members[0] for p in shown for box in p.folded.boxes if box.id == scope or box.scope == scope)
        self._anchor = next(owned, "")
        self.set_folding(replace(self._folding, open_scopes=opened))

    def set_folding(self, folding: Folding) -> None:
        """Fold differently: other open scopes, constants or fused layers as boxes of their own."""
        self._folding = folding
        self._request()

    def toggle_constants(self) -> None:
        """Draw constants as boxes of their own, or inside what reads them."""
        self.set_folding(replace(self._folding, constants=not self._folding.constants))

    def open_all_scopes(self) -> None:
        """Open every scope."""
        every = frozenset().union(*(picture.folded.scopes for picture in self._pictures))
        self.set_folding(replace(self._folding, open_scopes=frozenset(every)))

    def close_all_scopes(self) -> None:
        """Close every scope."""
        self.set_folding(replace(self._folding, open_scopes=frozenset()))

    @property
    def color_by(self) -> ColorBy:
        """What the boxes' colours mean."""
        return self._color_by

    def set_color_by(self, what: ColorBy) -> None:
        """Let the boxes' colours mean something else."""
        self._color_by = what
        self.color_combo.setCurrentIndex(list(COLORS).index(what))
        self._recolor()
        self.coloured.emit()

    # -- search and differences ----------------------------------------------------------------------------------

    def set_search(self, pattern: str) -> int:
        """Highlight the boxes with a node whose name or op matches a regular expression (upper and lower case alike).

        Returns how many nodes match, -1 where the expression is not one. Empty ends the search.
        """
        try:
            self._pattern = re.compile(pattern, re.IGNORECASE) if pattern else None
        except re.error:
            return -1
        self._highlight()
        return len(matching(self._pictures, self._pattern))

    def next_match(self, step: int = 1) -> str:
        """Select the next (-1: previous) match, from the top of the picture on; returns the node, or nothing."""
        return self._walk(matching(self._pictures, self._pattern), step)

    def next_difference(self, step: int = 1) -> str:
        """Select the next (-1: previous) node that differs; where the view shows no differences, once it shows both."""
        diff = self._document.state.diff
        if diff is not None and not diff.equal and self._document.state.view == "original":
            self._awaited_step = step
            self._document.show("compare")
            return ""
        if diff is None:
            return ""
        if self._drawing or not self._pictures:  # the picture of the differences is on its way
            self._awaited_step = step
            return ""
        nodes = differing(self._pictures, diff)
        node = self._walk(nodes, step)
        if node:
            self.walked.emit(nodes.index(node) + 1, len(nodes))
        return node

    def _walk(self, nodes: list[str], step: int) -> str:
        if not nodes:
            return ""
        node = nodes[step_from(nodes, self._document.state.selected, step)]
        self.show_node(node)
        return node

    def show_node(self, node: str) -> None:
        """Select a node and bring it into view."""
        if node == self._document.state.selected:
            self._select(node)  # again: it may have been moved out of view since
        self._document.select(node)

    def _highlight(self) -> None:
        nodes = matching(self._pictures, self._pattern)
        for canvas in self.canvases:
            picture = canvas.picture
            if picture is None or self._pattern is None:
                canvas.look.matches = None
            else:
                matches = np.zeros(len(picture.folded.boxes), bool)
                matches[[picture.folded.owner[node] for node in nodes if node in picture.folded.owner]] = True
                canvas.look.matches = matches
            canvas.update()

    # -- the document --------------------------------------------------------------------------------------------

    def _changed(self, old: State, new: State) -> None:
        if new.source is not old.source:
            self._folding = Folding()
            self._shown = None
            if new.source is None:
                self._wanted = None
                self._show((), None)
        if new.source is not None and (
            new.source is not old.source
            or new.view != old.view
            or new.after is not old.after
            or new.diff is not old.diff
        ):
            self._request()
        if new.selected != old.selected:
            self._select(new.selected)
        if depends_on(self._color_by, old, new):
            self._recolor()

    def _request(self) -> None:
        """Draw what the document wants now; while a picture is being made, only the newest wish is kept."""
        state = self._document.state
        if state.source is None:
            return
        after = state.after if state.view != "original" else None
        diff = state.diff if after is not None else None
        if state.view != "original" and (after is None or diff is None) and self._shown is not None:
            return  # its result is on the way: what is shown stays until then
        self._wanted = Subject(state.view, state.source.graph, after, diff, state.regions, self._folding)
        self._draw()

    def _draw(self) -> None:
        wanted = self._wanted
        if self._drawing or wanted is None or wanted.is_same(self._shown):
            return
        self._drawing = True

        def done(found: tuple[Picture, ...]) -> None:
            self._drawing = False
            if self._wanted is not None and wanted.before is self._wanted.before:
                self._show(found, wanted)
                self._find_shapes(found)
            self._draw()

        def failed(error: Exception) -> None:
            self._drawing = False
            self._wanted = None
            raise error

        self._document.drawing.run(wanted.draw, done, failed)

    def _find_shapes(self, found: tuple[Picture, ...]) -> None:
        def work() -> None:
            for picture in found:
                picture.find_shapes()

        def done(_: None) -> None:
            for canvas in self.canvases:
                canvas.update()

        def failed(error: Exception) -> None:
            raise error

        self._document.drawing.run(work, done, failed)

    @property
    def _pictures(self) -> tuple[Picture, ...]:
        return tuple(pane.canvas.picture for pane in self._panes if pane.canvas.picture is not None)

    def _show(self, found: tuple[Picture, ...], subject: Subject | None) -> None:
        before, self._shown = self._shown, subject
        fresh = before is None or subject is None
        anchor, self._anchor = self._anchor, ""
        leader = self.canvas if len(self._pictures) == len(found) else self._panes[0].canvas
        self._panes[1].setVisible(len(found) > 1)
        for index, pane in enumerate(self._panes):
            pane.canvas.set_picture(found[index] if index < len(found) else None, anchor, fresh=fresh)
        self._column.activate()  # the canvases have their sizes before they are looked at
        self._head(found, subject)
        self._give_room()
        if fresh:
            self.views.first_look()
        else:
            self.views.renew(leader, anchored=bool(anchor))
        self._select(self._document.state.selected, reveal=False)
        self._highlight()
        self._recolor()
        step, self._awaited_step = self._awaited_step, 0
        if step and len(found) > 1:
            self.next_difference(step)

    def _head(self, found: tuple[Picture, ...], subject: Subject | None) -> None:
        self.color_combo.setVisible(bool(found))
        last = self._panes[max(len(found), 1) - 1]
        last.extra.addWidget(self.color_combo)
        for pane in self._panes:
            pane.set_heading("", "")
        if subject is None:
            return
        other = self._document.state.other
        after = other.path.name if other is not None else "COMPRESSED"
        if subject.view == "compare" and len(found) > 1:
            self._panes[0].set_heading("ORIGINAL", "")
            self._panes[1].set_heading(after, "")
        elif subject.view == "overlay" and subject.after is not None:
            self._panes[0].set_heading("OVERLAY", "original and compressed in one picture")
        else:
            source = self._document.state.source
            name = source.path.name if source is not None else ""
            self._panes[0].set_heading("ORIGINAL" if subject.after is None else after, "" if subject.after else name)
        notes = [picture.layout.note for picture in found if picture.layout.note]
        if notes:
            self._panes[0].set_heading(self._panes[0].heading.text(), notes[0])

    # -- selection and views -------------------------------------------------------------------------------------

    def _pick(self, node: str, canvas: Canvas) -> None:
        self._picked_in = canvas
        try:
            self._document.select(node)
        finally:
            self._picked_in = None

    def _select(self, node: str, *, reveal: bool = True) -> None:
        """Outline a node and its counterpart in the other picture; ``reveal`` brings both into view."""
        if node and reveal and self._picked_in is None and self._open_around(node):
            return
        diff, boxes = self._document.state.diff, []
        for pane in self._panes[: len(self._pictures)]:
            picture = pane.canvas.picture
            boxes.append(pane.canvas.set_selected(counterpart(node, picture.graph, diff) if picture else ""))
            pane.show_way()
        leader = self._picked_in or next((c for c in self.canvases if c.picture and node in c.picture.graph), None)
        if leader is not None and reveal:
            self.views.reveal(boxes, leader, by_hand=self._picked_in is not None)

    def _open_around(self, node: str) -> bool:
        """Open the closed scopes around a node that was chosen elsewhere; whether that had to be done."""
        for picture in self._pictures:
            index = picture.folded.owner.get(node, -1)
            if index >= 0 and picture.folded.boxes[index].kind == "scope":
                around = {scope for scope in picture.folded.scopes if node.startswith(scope)}
                opened = frozenset().union(*(p.folded.open_scopes for p in self._pictures)) | around
                self._anchor = node
                self.set_folding(replace(self._folding, open_scopes=frozenset(opened)))
                return True
        return False

    # -- colours -------------------------------------------------------------------------------------------------

    def _recolor(self) -> None:
        shown, looks = self._pictures, [canvas.look for canvas in self.canvases]
        colour(self._color_by, shown, looks, self._document)
        for canvas in self.canvases:
            canvas.minimap.renew()
            canvas.update()
        self.legend.show_what(key_of(shown, looks))

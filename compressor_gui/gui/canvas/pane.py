"""A canvas with its heading and, where the selected box lies in scopes, the way to it."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from compressor_gui.gui.canvas.view import Canvas
from compressor_gui.gui.theme import Theme
from compressor_gui.gui.widgets import ElidedLabel, clear, label

_SHOWN_PARTS = 4


class Breadcrumbs(QWidget):
    """``model / block3 / unit_2``: each part goes to its scope."""

    clicked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(0)
        self._shown: tuple[str, ...] = ()
        # In a narrow pane the way gives its room to the heading.
        self._row.setAlignment(Qt.AlignmentFlag.AlignLeft)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def minimumSizeHint(self) -> QSize:
        """No room at all."""
        return QSize(0, self.sizeHint().height())

    def set_scopes(self, scopes: tuple[str, ...]) -> None:
        """The scopes from the outermost to the innermost, each with its parents (``a/``, ``a/b/``); none clears."""
        if scopes == self._shown:
            return
        self._shown = scopes
        clear(self._row)
        if not scopes:
            return
        for scope, text in self._parts(scopes):
            if self._row.count():
                self._row.addWidget(label("/", "small"))
            part = QToolButton()
            part.setObjectName("crumb")
            part.setText(text)
            part.setToolTip(f"{scope or 'The whole graph'} (Backspace closes the innermost scope)")
            part.setCursor(Qt.CursorShape.PointingHandCursor)
            part.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            part.clicked.connect(lambda _checked=False, scope=scope: self.clicked.emit(scope))
            self._row.addWidget(part)
        self._shorten()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Shorten the way to what fits."""
        super().resizeEvent(event)
        self._shorten()

    def _shorten(self) -> None:
        """Only the innermost scope, where the whole way has no room; nothing, where that has none."""
        items = (self._row.itemAt(at) for at in range(self._row.count()))
        parts = [part for item in items if item and (part := item.widget())]
        fits = sum(part.sizeHint().width() for part in parts) <= self.width()
        for part in parts[:-1]:
            part.setVisible(fits)
        for part in parts[-1:]:
            part.setVisible(part.sizeHint().width() <= self.width())

    @staticmethod
    def _parts(scopes: tuple[str, ...]) -> list[tuple[str, str]]:
        parts, before = [("", "model")], ""
        for scope in scopes:
            parts.append((scope, scope.removeprefix(before).rstrip("/").rsplit("/", 1)[-1]))
            before = scope
        left_out = [(parts[-_SHOWN_PARTS][0], "…")] if len(parts) > _SHOWN_PARTS else []
        return [*parts[:1], *left_out, *parts[1:][-(_SHOWN_PARTS - 1) :]]


class Pane(QWidget):
    """``heading`` says which graph it is; ``extra`` is a place for what the panel adds at the right."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("graphPane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.canvas = Canvas(theme, self)
        self.heading = label("", "heading")
        self.heading.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self.note = ElidedLabel()
        self.note.setProperty("role", "small")
        self._note = ""
        self.crumbs = Breadcrumbs()
        self.crumbs.clicked.connect(self._go)

        head = QWidget()
        head.setFixedHeight(36)
        head.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # two panes stay equally wide
        self.extra = QHBoxLayout(head)
        self.extra.setContentsMargins(16, 0, 8, 0)
        self.extra.setSpacing(4)
        self.extra.addWidget(self.heading)
        self.extra.addWidget(self.crumbs, 1)
        self.extra.addWidget(self.note, 1)
        self.extra.addStretch(0)  # where neither of them is shown
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(head)
        column.addWidget(self.canvas, 1)

    def set_heading(self, heading: str, note: str) -> None:
        """Name the graph, and say something more where there is room."""
        self.heading.setText(heading)
        self._note = note
        self.note.set_whole(note)

    def show_way(self) -> None:
        """Let the breadcrumbs lead to the selected box."""
        scene, box = self.canvas.scene, self.canvas.look.selected
        scopes: list[str] = []
        if scene is not None and box >= 0:
            found = scene.picture.folded.boxes[box]
            inner = found.id if found.kind == "scope" else found.scope
            scopes = [scope for scope in scene.picture.folded.scopes if inner.startswith(scope)]
        self.crumbs.set_scopes(tuple(sorted(scopes, key=len)))
        self.note.set_whole("" if scopes else self._note)
        self.note.setVisible(bool(self._note) and not scopes)
        self.crumbs.setVisible(bool(scopes))

    def _go(self, scope: str) -> None:
        scene = self.canvas.scene
        if scene is None:
            return
        boxes = scene.picture.folded.boxes
        inside = [i for i, box in enumerate(boxes) if box.scope.startswith(scope) or box.id == scope]
        self.canvas.fit(scene.rect_of(inside) if scope and inside else None)

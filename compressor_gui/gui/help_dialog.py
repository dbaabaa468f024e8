"""The help pages, and the table of shortcuts made from the actions."""

from __future__ import annotations

from importlib.resources import files

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QImage, QTextCursor, QTextDocument
from PySide6.QtWidgets import QDialog, QHBoxLayout, QListWidget, QTextBrowser, QWidget

from compressor_gui.core.passes import ALL
from compressor_gui.gui.actions import ActionSpec


def pages() -> dict[str, str]:
    """Title -> Markdown of every help page, the tour first."""
    found = {}
    for entry in files("resources").joinpath("help").iterdir():
        if entry.name.endswith(".md"):
            text = entry.read_text("utf-8")
            found[text.splitlines()[0].lstrip("# ").replace("`", "").strip()] = (entry.name, text)
    ordered = sorted(found.items(), key=lambda item: (item[1][0] != "tour.md", item[1][0]))
    return {title: text for title, (_name, text) in ordered}


def passes_page() -> str:
    """Every pass with its parameters, from their declarations."""
    lines = ["# Passes", ""]
    for transform in ALL:
        lines += [f"## {transform.title} (`{transform.name}`)", "", transform.summary, ""]
        for key, spec in transform.params().items():
            words = f" {spec.help}" if spec.help else ""
            default = "Required" if spec.required else f"Default: `{transform.default(key)}`"
            lines.append(f"- `{key}` – {spec.label.rstrip('.')}.{words} {default}.")
        lines.append("")
    return "\n".join(lines)


def shortcuts_page(specs: tuple[ActionSpec, ...]) -> str:
    """Every action with its shortcut."""
    lines = ["# Shortcuts", "", "| action | keys | what it does |", "|---|---|---|"]
    lines += [f"| {s.title} | {s.shortcut.replace('; ', ' or ') or '–'} | {s.tip} |" for s in specs]
    return "\n".join(lines)


class Page(QTextBrowser):
    """Markdown with room between its blocks, and pictures as wide as the page."""

    def show_markdown(self, text: str) -> None:
        """Show a page from its top."""
        self.setMarkdown(text)
        block = self.document().begin()
        while block.isValid():
            style = block.blockFormat()
            style.setTopMargin(16 if style.headingLevel() > 1 else 0)
            style.setBottomMargin(8)
            QTextCursor(block).setBlockFormat(style)
            block = block.next()
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def loadResource(self, kind: int, name: QUrl | str) -> object:
        """Pictures, from the help's folder."""
        url = name if isinstance(name, QUrl) else QUrl(name)
        if kind != QTextDocument.ResourceType.ImageResource.value:
            return super().loadResource(kind, url)
        image = QImage(str(files("resources").joinpath("help", url.path())))
        ratio = self.devicePixelRatioF()
        room = round((self.viewport().width() - 24) * ratio)
        if image.width() > room:
            image = image.scaledToWidth(room, Qt.TransformationMode.SmoothTransformation)
        image.setDevicePixelRatio(ratio)
        return image


class HelpDialog(QDialog):
    """A list of pages and the page."""

    def __init__(self, specs: tuple[ActionSpec, ...], page: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Help")
        self.resize(960, 680)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.pages = {**pages(), "Passes": passes_page(), "Shortcuts": shortcuts_page(specs)}
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 16, 16, 16)
        row.setSpacing(16)
        self.list = QListWidget()
        self.list.setFixedWidth(240)
        self.list.setSpacing(2)
        self.list.addItems(list(self.pages))
        self.list.setAccessibleName("Help pages")
        self.list.currentTextChanged.connect(self._show)
        row.addWidget(self.list)
        self.text = Page()
        self.text.setOpenExternalLinks(False)
        self.text.setOpenLinks(False)
        self.text.anchorClicked.connect(self._follow)
        row.addWidget(self.text, 1)
        self.list.setCurrentRow(list(self.pages).index(page) if page in self.pages else 0)

    def _show(self, title: str) -> None:
        self.text.show_markdown(self.pages[title])

    def _follow(self, url: QUrl) -> None:
        """Links between pages go by their file name."""
        wanted = url.fileName()
        for title, text in self.pages.items():
            if wanted and text is not None and wanted.removesuffix(".md").replace("_", " ") in title.lower():
                self.list.setCurrentRow(list(self.pages).index(title))

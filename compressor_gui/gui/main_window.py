"""The main window: panels around the graph, one table of actions, and what ties them to the document."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDragLeaveEvent, QDropEvent
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QMainWindow,
    QMenu,
    QSizePolicy,
    QStackedWidget,
    QTabWidget,
    QToolBar,
    QVBoxLayout,
    QWidget,
)

from compressor_gui import __version__
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.passes.prune import Prune
from compressor_gui.gui.action_table import action_specs
from compressor_gui.gui.actions import Actions, has_model
from compressor_gui.gui.canvas.graph_panel import GraphPanel
from compressor_gui.gui.differences_panel import DifferencesPanel
from compressor_gui.gui.docks import LatePanel, dock
from compressor_gui.gui.document import Document
from compressor_gui.gui.empty_page import EmptyPage
from compressor_gui.gui.engine_link import EngineLink
from compressor_gui.gui.files import ask_open, open_path
from compressor_gui.gui.help_dialog import HelpDialog
from compressor_gui.gui.jobs_tray import JobsTray
from compressor_gui.gui.layers_panel import LayersPanel
from compressor_gui.gui.leaving import may_leave
from compressor_gui.gui.measure.measurer import Measurer
from compressor_gui.gui.message import MessageBar
from compressor_gui.gui.recipe_memory import RecipeMemory
from compressor_gui.gui.recipe_panel import RecipePanel
from compressor_gui.gui.settings import Settings
from compressor_gui.gui.state import State
from compressor_gui.gui.status_line import StatusLine
from compressor_gui.gui.theme import Choice, Theme, font
from compressor_gui.gui.toolbar import Toolbar
from compressor_gui.gui.welcome import WelcomePage

if TYPE_CHECKING:
    from compressor_gui.gui.inspector.panel import Inspector
    from compressor_gui.gui.measure.panel import MeasurePanel
    from compressor_gui.gui.retrain.panel import RetrainPanel

LATER = Qt.ConnectionType(Qt.ConnectionType.QueuedConnection.value | Qt.ConnectionType.SingleShotConnection.value)
_TITLE_BAR = 40
"""Pixels of the screen left to what the window manager adds above."""
_ROOMY = 1200
"""In a window less wide than this, in pixels, the docks take no more than they need, so that the graph has the rest."""
LAYOUT_VERSION = 3
"""Raised when the docks change, so that an old remembered layout is not forced on new ones."""


class MainWindow(QMainWindow):
    """Everything that the user sees; owns the document and the engine."""

    def __init__(self, settings: Settings, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.settings, self.theme = settings, theme
        self._leaving = False
        self.document = Document(self)
        self.engine = EngineLink(self)
        self.measurer = Measurer(self.document, self.engine, settings)
        self.recipe_memory = RecipeMemory(self.document, settings)
        self.setWindowTitle("Compressor")
        self.setAcceptDrops(True)
        self.setMinimumSize(1000, 600)
        room = self.screen().availableSize()
        self.resize(min(1440, room.width()), min(900, room.height() - _TITLE_BAR))
        self._build_centre()
        self._build_panels()
        self._arrange_docks()
        self._build_status()
        self.actions_table = Actions(action_specs(self), self)
        for spec in self.actions_table.specs:
            self.addAction(self.actions_table[spec.id])
        self.graph.coloured.connect(lambda: self.actions_table.update(self.document.state))
        self.toolbar = Toolbar(self.actions_table, self.graph, self.open, self._menu(), self)
        self.addToolBar(Qt.ToolBarArea.TopToolBarArea, self.toolbar)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self.document.changed.connect(self._changed)
        self.document.failed.connect(self.show_error)
        self.recipe_memory.said.connect(self.message.show_text)
        self._default_layout = self.saveState(LAYOUT_VERSION)
        self._restore()
        self._changed(State(), self.document.state)
        self.welcome.set_recent(self.settings.recent)

    # -- building ------------------------------------------------------------------------------------------------

    def _build_centre(self) -> None:
        """The graph, or the welcome page, with messages above."""
        self.graph = GraphPanel(self.document, self.theme)
        self.welcome = WelcomePage()
        self.welcome.open_requested.connect(self.ask_open)
        self.welcome.path_chosen.connect(self.open)
        self.centre = QStackedWidget()
        # The width of a page that is hidden would leave the docks none for the lines between them.
        self.welcome.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.centre.addWidget(self.welcome)
        self.centre.addWidget(self.graph)
        self.message = MessageBar()
        middle = QWidget()
        column = QVBoxLayout(middle)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.message)
        column.addWidget(self.centre, 1)
        self.setCentralWidget(middle)

    def _build_panels(self) -> None:
        document, theme = self.document, self.theme
        self.layers = LayersPanel(document, theme)
        self.layers.open_requested.connect(self.ask_open)
        self.layers.curve_wanted.connect(self.show_sensitivity)
        self.layers.node_wanted.connect(self.graph.show_node)
        self.differences = DifferencesPanel(document, theme)
        self.graph.walked.connect(self.differences.show_place)
        self.recipe = RecipePanel(document, theme)
        self.recipe.factorizing.said.connect(self.message.show_text)
        self.jobs = JobsTray(self.engine)
        bottom = QWidget()
        row = QHBoxLayout(bottom)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.recipe, 1)
        row.addWidget(self.jobs)
        coming = EmptyPage("Inspector", "It comes as soon as the graph is drawn.", offers_model=False)
        self.docks = {
            "layers": dock("layersDock", "Layers", self.layers, theme, self),
            "differences": dock("differencesDock", "Differences", self.differences, theme, self),
            "inspector": dock("inspectorDock", "Inspector", coming, theme, self),
            "measure": dock("measureDock", "Measure", QWidget(), theme, self),
            "retrain": dock("retrainDock", "Retrain", QWidget(), theme, self),
            "recipe": dock("recipeDock", "Recipe", bottom, theme, self),
        }
        self._inspector = LatePanel(self.docks["inspector"], self._make_inspector)
        self._measure = LatePanel(self.docks["measure"], self._make_measure)
        self._retrain = LatePanel(self.docks["retrain"], self._make_retrain)
        self.graph.painted.connect(lambda: self.inspector, LATER)
        for late in (self._measure, self._retrain):
            late.make_when_seen()

    def _arrange_docks(self) -> None:
        """The places that the docks have until the user moves them."""
        left, right, foot = (
            Qt.DockWidgetArea.LeftDockWidgetArea,
            Qt.DockWidgetArea.RightDockWidgetArea,
            Qt.DockWidgetArea.BottomDockWidgetArea,
        )
        self.addDockWidget(left, self.docks["layers"])
        self.addDockWidget(left, self.docks["differences"])
        self.addDockWidget(right, self.docks["inspector"])
        self.tabifyDockWidget(self.docks["inspector"], self.docks["measure"])
        self.tabifyDockWidget(self.docks["measure"], self.docks["retrain"])
        self.docks["retrain"].hide()
        self.docks["inspector"].raise_()
        self.setTabPosition(Qt.DockWidgetArea.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        self.addDockWidget(foot, self.docks["recipe"])
        self.resizeDocks([self.docks["layers"], self.docks["inspector"]], [392, 332], Qt.Orientation.Horizontal)
        self.resizeDocks([self.docks["layers"], self.docks["differences"]], [520, 240], Qt.Orientation.Vertical)

    def _build_status(self) -> None:
        """The status line, in a tool bar at the foot of the window."""
        self.status = StatusLine(self.document, self.engine)
        holder = QToolBar()
        holder.setObjectName("statusBar")
        holder.setMovable(False)
        holder.setStyleSheet("QToolBar { border: none; padding: 0; }")
        holder.addWidget(self.status)
        self.addToolBar(Qt.ToolBarArea.BottomToolBarArea, holder)

    @property
    def inspector(self) -> Inspector:
        """The inspector. It is made once a graph has been painted: its plots take longer to import than all else."""
        return self._inspector.panel

    def _make_inspector(self) -> Inspector:
        from compressor_gui.gui.inspector.panel import Inspector

        inspector = Inspector(self.document, self.theme)
        inspector.exported.connect(lambda path: self.message.show_text(f"Saved {path}"))
        return inspector

    @property
    def measure(self) -> MeasurePanel:
        """The panel of what is measured, made when it is first seen."""
        return self._measure.panel

    def _make_measure(self) -> MeasurePanel:
        from compressor_gui.gui.measure.panel import MeasurePanel

        measure = MeasurePanel(self.measurer, self.theme)
        measure.open_requested.connect(self.ask_open)
        measure.said.connect(self.message.show_text)
        measure.colour_wanted.connect(self.graph.set_color_by)
        return measure

    @property
    def retrain(self) -> RetrainPanel:
        """The panel of retraining, made when it is first seen."""
        return self._retrain.panel

    def _make_retrain(self) -> RetrainPanel:
        from compressor_gui.gui.retrain.panel import RetrainPanel

        retrain = RetrainPanel(self.measurer, self.theme)
        retrain.open_requested.connect(self.ask_open)
        return retrain

    def show_retrain(self) -> RetrainPanel:
        """Bring the retrain panel to the front."""
        return self._retrain.bring_to_front()

    def show_sensitivity(self) -> None:
        """Bring the selected layer's sensitivity curve into view."""
        self._inspector.bring_to_front().show_section("sensitivity")

    def show_measure(self, run: Callable[[MeasurePanel], object] | None = None) -> None:
        """Bring the measure panel to the front, and let it do something."""
        measure = self._measure.bring_to_front()
        if run is not None:
            run(measure)

    def _menu(self) -> QMenu:
        """The menu of all actions, the recent files and the panels among them."""
        menu = QMenu(self)
        table = self.actions_table
        for name in table.menus():
            part = table.menu(name, menu)
            if name == "File":
                part.insertMenu(table["compare_with"], self._recent_menu())
            if name == "View":
                part.addSeparator()
                for panel in self.docks.values():
                    part.addAction(panel.toggleViewAction())
            menu.addMenu(part)
        return menu

    def _recent_menu(self) -> QMenu:
        menu = QMenu("Open recent", self)

        def fill() -> None:
            menu.clear()
            for path in self.settings.recent:
                menu.addAction(str(path), partial(self.open, path))
            if not self.settings.recent:
                menu.addAction("Nothing yet").setEnabled(False)

        menu.aboutToShow.connect(fill)
        return menu

    # -- what the user does --------------------------------------------------------------------------------------

    def open(self, path: Path) -> None:
        """Open a model, or take a recipe or examples that were dropped."""
        open_path(self, path)

    def ask_open(self) -> None:
        """Choose a model to open."""
        ask_open(self)

    def ask_prune(self) -> None:
        """Edit the prune step, or add one."""
        found = self.document.prune_step()
        if found is not None:
            self.recipe.edit(found[0])
        else:
            self.recipe.add(Prune(sparsity=0.5))

    def toggle_compare(self) -> None:
        """Side by side, and back."""
        self.document.show("original" if self.document.state.view == "compare" else "compare")
        self.actions_table.update(self.document.state)

    def choose_theme(self, name: Choice) -> None:
        """Use a theme from now on."""
        self.settings.theme = name
        self.theme.choose(name)
        self.actions_table.update(self.document.state)

    def reset_panels(self) -> None:
        """Put every panel back where it was at first."""
        self._layout = self._default_layout
        if self.document.state.source is not None:
            self._restore_layout()

    def show_engine(self) -> None:
        """Open the engine's settings."""
        from compressor_gui.gui.measure.engine_dialog import EngineDialog

        dialog = EngineDialog(self.settings, self.engine, self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def show_help(self, page: str) -> None:
        """Open the help pages."""
        HelpDialog(self.actions_table.specs, page, self).show()

    def show_about(self) -> None:
        """Say the version."""
        self.message.show_text(f"Compressor {__version__}")

    def show_error(self, error: CompressorError) -> None:
        """Say what is wrong above the graph; nothing is lost."""
        self.message.show_error(error)

    # -- following the document ----------------------------------------------------------------------------------

    def _changed(self, old: State, new: State) -> None:
        if old.source is not new.source and new.source is not None:
            self.settings.add_recent(new.source.path)
            self.message.hide()
            self.toolbar.search.clear()
            self.welcome.set_recent(self.settings.recent)
        if old.recipe is not new.recipe and new.error is None:
            self.message.hide_error()
        name = new.source.path.name if new.source else ""
        self.setWindowTitle(f"{name} – Compressor" if name else "Compressor")
        self._show_panels(new.source is not None)
        self.actions_table.update(new)
        for button in (self.toolbar.quantize_button, self.toolbar.measure_button):
            button.setEnabled(has_model(new))

    def _show_panels(self, opened: bool) -> None:
        """The welcome page has the window to itself; the panels come back as they were left."""
        if opened and self.centre.currentWidget() is not self.graph:
            self.centre.setCurrentWidget(self.graph)
            self._restore_layout()
        elif not opened:
            self.centre.setCurrentWidget(self.welcome)
            for panel in self.docks.values():
                panel.hide()

    def _restore_layout(self) -> None:
        self.restoreState(self._layout, LAYOUT_VERSION)
        if self._layout is self._default_layout and self.width() < _ROOMY:
            sides = [self.docks["layers"], self.docks["inspector"]]
            self.resizeDocks(sides, [344, 316], Qt.Orientation.Horizontal)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take one file."""
        urls = event.mimeData().urls()
        if len(urls) == 1 and urls[0].isLocalFile():
            event.acceptProposedAction()
            self.welcome.set_drop_highlight(True)

    def dragLeaveEvent(self, _event: QDragLeaveEvent) -> None:
        """The file went away."""
        self.welcome.set_drop_highlight(False)

    def dropEvent(self, event: QDropEvent) -> None:
        """Open the file."""
        self.welcome.set_drop_highlight(False)
        event.acceptProposedAction()
        self.open(Path(event.mimeData().urls()[0].toLocalFile()))

    # -- remembering ---------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        geometry = self.settings.bytes("geometry")
        if not geometry.isEmpty():
            self.restoreGeometry(geometry)
        remembered = self.settings.bytes("layout")
        self._layout = self._default_layout if remembered.isEmpty() else remembered

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the geometry, stop the work; a training under way is asked about first."""
        if not self._leaving and not may_leave(self):
            event.ignore()
            return
        self.recipe_memory.keep()
        self.settings.set_bytes("geometry", self.saveGeometry())
        if self.document.state.source is not None:
            self.settings.set_bytes("layout", self.saveState(LAYOUT_VERSION))
        self.settings.flush()
        self.document.close()
        self.engine.close()
        super().closeEvent(event)

    def leave(self) -> None:
        """Close without a question."""
        self._leaving = True
        self.close()

    def sizeHint(self) -> QSize:
        """As in the design."""
        return QSize(1440, 900)


def apply_theme(app: QApplication, theme: Theme) -> None:
    """Give the application the theme's palette and style sheet, now and whenever it changes."""

    def use() -> None:
        app.setFont(font())
        app.setPalette(theme.palette())
        app.setStyleSheet(theme.style_sheet())

    theme.changed.connect(use)
    use()

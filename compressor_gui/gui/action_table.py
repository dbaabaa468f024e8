"""The table of actions: what the user can do, by which keys, and when."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from compressor_gui.core.passes import BY_NAME
from compressor_gui.core.passes.factorize import Factorize
from compressor_gui.core.passes.remove_channels import RemoveChannels
from compressor_gui.gui import files
from compressor_gui.gui.actions import ActionSpec, has_differences, has_model, has_result
from compressor_gui.gui.assistant.opening import open_assistant
from compressor_gui.gui.canvas.colouring import COLORS, TIPS, ColorBy
from compressor_gui.gui.distill.opening import open_distill
from compressor_gui.gui.formats import export_model
from compressor_gui.gui.state import View
from compressor_gui.gui.theme import Choice
from compressor_gui.gui.transfer.opening import open_transfer

if TYPE_CHECKING:
    from compressor_gui.gui.main_window import MainWindow
    from compressor_gui.gui.measure.panel import MeasurePanel


def action_specs(window: MainWindow) -> list[ActionSpec]:
    """Every action of the window, menu by menu."""
    return [*_file(window), *_edit(window), *_quantize(window), *_measure(window), *_view(window), *_help(window)]


def _file(window: MainWindow) -> list[ActionSpec]:
    return [
        ActionSpec("open", "Open", "Ctrl+O", "File", "Open a frozen graph (.pb, .pbtxt)", window.ask_open),
        ActionSpec("open_folder", "Open a SavedModel …", "Ctrl+Shift+O", "File",
                   "Freeze a SavedModel or TF Hub folder, and open it", partial(files.ask_open_folder, window)),
        ActionSpec("compare_with", "Compare with a file …", "Ctrl+D", "File", "Compare the model with a second file",
                   partial(files.ask_compare, window), has_model),
        ActionSpec("export", "Export", "Ctrl+E", "File", "Write the compressed graph, checked in TensorFlow",
                   partial(files.ask_export, window), has_result),
        ActionSpec("export_as", "Export as …", "", "File", "Write it as SavedModel or TensorFlow Lite, checked",
                   partial(export_model, window), has_result),
        ActionSpec("load_recipe", "Load a recipe …", "Ctrl+L", "File", "Apply a saved recipe",
                   partial(files.ask_load_recipe, window), has_model),
        ActionSpec("save_recipe", "Save the recipe …", "Ctrl+S", "File", "Write the recipe to a file",
                   partial(files.ask_save_recipe, window), lambda state: bool(state.recipe.steps)),
        ActionSpec("save_picture", "Save the picture …", "Ctrl+Shift+E", "File",
                   "Write the whole graph as SVG, PNG or PDF", partial(files.ask_picture, window), has_model),
        ActionSpec("quit", "Quit", "Ctrl+Q", "File", "Close the window", window.close),
    ]  # fmt: skip


def _edit(window: MainWindow) -> list[ActionSpec]:
    document = window.document
    return [
        ActionSpec("undo", "Undo", "Ctrl+Z", "Edit", "Take the last change of the recipe back",
                   document.undo, lambda state: state.can_undo),
        ActionSpec("redo", "Redo", "Ctrl+Shift+Z; Ctrl+Y", "Edit", "Make it again",
                   document.redo, lambda state: state.can_redo),
        ActionSpec("find", "Find", "Ctrl+F", "Edit", "Find a node or layer",
                   lambda: window.toolbar.find_node(), has_model),
        ActionSpec("add_step", "Add a step …", "Ctrl+K", "Edit", "Add a pass to the recipe",
                   lambda: window.recipe.add_button.showMenu(), has_model),
        ActionSpec("prune", "Prune", "Ctrl+P", "Edit", "Set the smallest weights to zero, in all layers or by name",
                   window.ask_prune, has_model),
        ActionSpec("remove_channels", "Remove channels …", "Ctrl+Shift+K", "Edit",
                   "Take whole output channels out of layers: smaller and faster",
                   lambda: window.recipe.add(RemoveChannels.started()), has_model),
        ActionSpec("factorize", "Factorize …", "Ctrl+Shift+F", "Edit",
                   "Two layers of low rank instead of one, their ranks chosen from curves",
                   lambda: window.recipe.add(Factorize()), has_model),
        ActionSpec("retrain", "Retrain", "Ctrl+Shift+P", "Edit",
                   "Prune and train the weights that are left, on your data, until a goal is met",
                   window.show_retrain, has_model),
        ActionSpec("distill", "Distil …", "Ctrl+Shift+L", "Edit",
                   "Teach a small network this one's answers, on your data",
                   lambda: open_distill(window), has_model),
        ActionSpec("transfer", "New classes …", "Ctrl+Shift+N", "Edit",
                   "Train a new last layer for the classes of a folder of pictures",
                   lambda: open_transfer(window), has_model),
    ]  # fmt: skip


def _quantize(window: MainWindow) -> list[ActionSpec]:
    def add(name: str, keys: str) -> ActionSpec:
        transform = BY_NAME[name]
        return ActionSpec(name, transform.title, keys, "Quantize", transform.summary,
                          lambda: window.recipe.add(transform()), has_model)  # fmt: skip

    return [
        ActionSpec("assistant", "Quantize assistant …", "Ctrl+I", "Quantize",
                   "Four steps to a quantized graph: what, data, method, and the result, measured",
                   lambda: open_assistant(window), has_model),
        add("quantize_weights", "Ctrl+1"),
        add("quantize_nodes", "Ctrl+2"),
        add("round_weights", "Ctrl+3"),
        ActionSpec("precision", "Mixed precision …", "Ctrl+4", "Quantize",
                   "Each layer in as few bits as a target allows: a Pareto curve to click on",
                   lambda: window.show_measure(lambda panel: panel.find_precision()), has_model),
    ]  # fmt: skip


def _measure(window: MainWindow) -> list[ActionSpec]:
    show = window.show_measure

    def spec(name: str, title: str, keys: str, tip: str, run: Callable[[MeasurePanel], object]) -> ActionSpec:
        return ActionSpec(name, title, keys, "Measure", tip, lambda: show(run), has_model)

    return [
        spec("data", "Data …", "Ctrl+Shift+D", "Choose the examples to measure on", lambda panel: panel.ask_data()),
        spec("evaluate", "Accuracy", "Ctrl+R", "Accuracy of original and compressed on the same examples",
             lambda panel: panel.evaluate()),
        spec("predictions", "Predictions …", "Ctrl+Shift+R", "Pictures, and what both models take them for",
             lambda panel: panel.show_predictions()),
        spec("sensitivity", "Sensitivity", "Ctrl+M", "What each layer costs at each sparsity and number of bits",
             lambda panel: panel.measure_sensitivity()),
        spec("suggest", "Suggest sparsities …", "Ctrl+G", "Sparsities of all layers that meet a target",
             lambda panel: panel.suggest()),
        spec("calibrate", "Calibrate …", "Ctrl+B", "Ranges of activations from examples",
             lambda panel: panel.calibrate()),
        spec("noise", "Noise of each layer", "Ctrl+Shift+M",
             "The SQNR of each layer's values, coloured on the graph: where accuracy is lost",
             lambda panel: panel.measure_noise()),
        spec("latency", "Latency", "Ctrl+T", "Milliseconds of original and compressed",
             lambda panel: panel.measure_latency()),
        spec("experiment", "Experiment table …", "Ctrl+Shift+T", "Float and every 8-bit form, side by side",
             lambda panel: panel.experiment()),
        ActionSpec("engine", "Engine …", "", "Measure", "The memory that TensorFlow may have, and where to measure",
                   window.show_engine),
    ]  # fmt: skip


def _view(window: MainWindow) -> list[ActionSpec]:
    document, graph = window.document, window.graph

    def view(name: View, title: str, keys: str, tip: str) -> ActionSpec:
        return ActionSpec(f"view_{name}", title, keys, "View", tip, lambda: document.show(name), has_model,
                          lambda state: state.view == name)  # fmt: skip

    def colour(what: ColorBy, key: int) -> ActionSpec:
        return ActionSpec(f"colour_{what}", COLORS[what], f"Alt+{key}", "View", TIPS[what],
                          lambda: graph.set_color_by(what), has_model, lambda _state: graph.color_by == what,
                          opens_group=key == 1)  # fmt: skip

    def theme(name: Choice, title: str) -> ActionSpec:
        return ActionSpec(f"theme_{name}", title, "", "View", "The window's colours", lambda: window.choose_theme(name),
                          checked=lambda _state: window.theme.choice == name, opens_group=name == "system")  # fmt: skip

    return [
        view("original", "Original", "1", "Show the graph as it was opened"),
        view("compressed", "Compressed", "2", "Show what the recipe makes of it"),
        ActionSpec("compare", "Compare", "3", "View", "Original and compressed side by side",
                   window.toggle_compare, has_model, lambda state: state.view == "compare"),
        view("overlay", "Overlaid", "4", "Both in one graph, the differences marked"),
        ActionSpec("next_difference", "Next difference", "N", "View", "Go to the next node that differs",
                   lambda: graph.next_difference(1), has_differences, opens_group=True),
        ActionSpec("previous_difference", "Previous difference", "P", "View", "Go to the one before",
                   lambda: graph.next_difference(-1), has_differences),
        ActionSpec("fit", "Fit the graph", "F", "View", "Show the whole graph", graph.fit, has_model,
                   opens_group=True),
        ActionSpec("zoom_in", "Zoom in", "Ctrl++; Ctrl+=", "View", "A step closer", graph.zoom_in, has_model),
        ActionSpec("zoom_out", "Zoom out", "Ctrl+-", "View", "A step away", graph.zoom_out, has_model),
        ActionSpec("actual_size", "Actual size", "Ctrl+0", "View", "Boxes at their own size", graph.actual_size,
                   has_model),
        ActionSpec("open_scopes", "Open all scopes", "Ctrl+Shift+Down", "View", "Show what every name scope holds",
                   graph.open_all_scopes, has_model),
        ActionSpec("close_scopes", "Close all scopes", "Ctrl+Shift+Up", "View", "One box for every name scope",
                   graph.close_all_scopes, has_model),
        ActionSpec("constants", "Constants as boxes", "Ctrl+Shift+C", "View",
                   "Show weights and other constants beside the operations that read them", graph.toggle_constants,
                   has_model, lambda _state: graph.folding.constants),
        *(colour(what, at) for at, what in enumerate(COLORS, 1)),
        theme("system", "Colours: as the system"),
        theme("light", "Colours: light"),
        theme("dark", "Colours: dark"),
        ActionSpec("reset_panels", "Put the panels back", "", "View", "The panels as they were at first",
                   window.reset_panels),
    ]  # fmt: skip


def _help(window: MainWindow) -> list[ActionSpec]:
    return [
        ActionSpec("help", "Help", "F1", "Help", "The help pages", lambda: window.show_help("")),
        ActionSpec("shortcuts", "Shortcuts", "Ctrl+/", "Help", "Every action and its keys",
                   lambda: window.show_help("Shortcuts")),
        ActionSpec("about", "About Compressor", "", "Help", "The version", window.show_about),
    ]  # fmt: skip

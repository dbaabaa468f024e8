"""The inspector, by mouse and keyboard, and the pictures and tables that it shows."""

from __future__ import annotations

import gc
import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from compressor_gui.core.passes.quantize_weights import QuantizeWeights
from compressor_gui.core.recipe import Recipe
from compressor_gui.core.values import DType
from compressor_gui.gui.document import Document
from compressor_gui.gui.inspector import Inspector
from compressor_gui.gui.inspector.histogram import BINS, Histogram
from compressor_gui.gui.inspector.node_facts import MAX_LINKS, attr_text, op_text
from compressor_gui.gui.inspector.plot import Plot
from compressor_gui.gui.theme import Theme
from tests.gui.panels import drag, mouse, open_graph, settle
from tests.support import const, conv_net, graph, node, placeholder


def facts(inspector: Inspector) -> dict[str, str]:
    return {fact.key: fact.value for fact in inspector.facts.facts}


def in_plot(plot: Plot, x: float, height: float = 0.5) -> QPointF:
    """Where a value lies in the plot's viewport, at a fraction of its height."""
    box = plot.getPlotItem().getViewBox()
    low, high = box.viewRange()[1]
    return QPointF(plot.mapFromScene(box.mapViewToScene(QPointF(x, low + (high - low) * height))))


def wanted(document: Document, name: str = "dense") -> float:
    source = document.state.source
    assert source is not None
    return document.wanted_sparsity(next(layer for layer in source.layers if layer.name == name))


# --- what stands in it -----------------------------------------------------------------------------------------------


def test_empty_inspector_says_what_fills_it(
    qtbot: QtBot, inspector: Inspector, document: Document, tmp_path: Path
) -> None:
    assert "once a model is open" in inspector.empty.text.text()
    open_graph(qtbot, document, conv_net(), tmp_path)
    assert inspector.empty.text.text().startswith("Select a layer")
    document.select("conv")
    assert not inspector.empty.text.isVisible()
    document.select("")
    assert inspector.empty.text.isVisible()


def test_a_layers_facts(qtbot: QtBot, dense: Inspector) -> None:
    qtbot.waitUntil(lambda: "range" in facts(dense))
    assert dense.name.text() == "DENSE"
    assert dense.shape.text() == "128×10"
    assert facts(dense)["weights"] == "1,280"
    assert facts(dense)["bytes"] == "5.12 kB"
    assert facts(dense)["multiply-adds"] == "1.28 k"
    assert "…" in facts(dense)["range"]


def test_facts_are_estimated_until_the_result_is_there(qtbot: QtBot, dense: Inspector, document: Document) -> None:
    layer = document.state.source.layers[1]  # type: ignore[union-attr]
    document.prune_layer(layer, 0.75)
    assert facts(dense)["weights"] == "1,280 → ≈320"
    assert next(fact for fact in dense.facts.facts if fact.key == "zeros").estimated
    settle(qtbot, document)
    assert facts(dense)["weights"] == "1,280 → 320"
    assert facts(dense)["zeros"] == "75.0 %"


def test_a_bias_stands_for_itself(qtbot: QtBot, dense: Inspector, document: Document) -> None:
    document.select("dense_bias/values")
    qtbot.waitUntil(lambda: "range" in facts(dense))
    assert facts(dense)["role"] == "bias of dense"
    assert facts(dense)["values"] == "10"
    assert dense.sections["histogram"].isVisible()
    assert not dense.sections["sensitivity"].isVisible()
    assert not any(cut.isVisible() for cut in dense.histogram.cuts)


def test_a_node_without_weights_shows_itself(dense: Inspector, document: Document) -> None:
    document.select("relu")
    assert not dense.sections["histogram"].isVisible()
    assert not dense.sections["values"].isVisible()
    assert dense.node.text.text().startswith("Relu: ")
    assert dense.node.inputs.names == ("bias",)


def test_a_quantized_layer_has_facts_and_no_lines(
    qtbot: QtBot, inspector: Inspector, document: Document, tmp_path: Path
) -> None:
    open_graph(qtbot, document, QuantizeWeights(minimum_size=1).run(conv_net()).graph, tmp_path)
    document.select("dense")
    qtbot.waitUntil(lambda: inspector.histogram._bars is not None and "range" in facts(inspector))
    assert facts(inspector)["stored as"].startswith("q")
    assert not any(cut.isVisible() for cut in inspector.histogram.cuts)


def test_came_from_lists_the_steps(qtbot: QtBot, dense: Inspector, document: Document) -> None:
    document.prune_layer(document.state.source.layers[1], 0.5)  # type: ignore[union-attr]
    settle(qtbot, document)
    rows = {fact.key: fact.value for fact in dense.origins.facts}
    assert rows["dense"] == "original"
    assert rows["prune"] == "step 1 · −50.0 % of weights"


def test_facts_say_before_and_after_where_they_differ(qtbot: QtBot, dense: Inspector, document: Document) -> None:
    qtbot.waitUntil(lambda: "std" in facts(dense))
    assert "→" not in facts(dense)["std"]
    document.prune_layer(document.state.source.layers[1], 0.5)  # type: ignore[union-attr]
    settle(qtbot, document)
    made = document.state.made
    assert made is not None
    assert facts(dense)["std"].endswith(f"→ {made.layers[1].summary.std:.3g}")
    assert "→" not in facts(dense)["range"]  # the largest weights stay


def test_zeros_and_bytes_say_whose_they_are(qtbot: QtBot, dense: Inspector, document: Document) -> None:
    document.set_recipe(Recipe.of(QuantizeWeights(minimum_size=1), sha256=document.state.recipe.sha256))
    settle(qtbot, document)
    assert facts(dense)["zeros"].startswith("pruned 0 %, ")
    assert facts(dense)["zeros"].endswith(" in 8 bits")
    stored = facts(dense)["bytes"].split(" → ")[1]
    assert f"step 1 · weight now {stored}" in [fact.value for fact in dense.origins.facts]


def test_an_added_nodes_origins(qtbot: QtBot, dense: Inspector, document: Document) -> None:
    document.set_recipe(Recipe.of(QuantizeWeights(minimum_size=1), sha256=document.state.recipe.sha256))
    settle(qtbot, document)
    diff = document.state.diff
    assert diff is not None
    added = next(entry for entry in diff.nodes if entry.change == "added" and entry.layer == "dense")
    document.select(added.name)
    values = [fact.value for fact in dense.origins.facts]
    assert "original" in values
    assert any(value.startswith("step 1 · ") for value in values)


# --- plots -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [0, 1])
def test_dragging_a_threshold_line_prunes_in_one_step_of_undo(
    qtbot: QtBot, dense: Inspector, document: Document, side: int
) -> None:
    document.prune_layer(document.state.source.layers[1], 0.3)  # type: ignore[union-attr]
    document.end_merge()
    table = document.state.magnitudes["dense"]
    plot, sign = dense.histogram.plot, (-1, 1)[side]
    start = dense.histogram.cuts[side].value()
    target = sign * table.threshold_for(0.8)
    way = [in_plot(plot, start + (target - start) * part) for part in (0.2, 0.6, 1.0)]
    drag(plot.viewport(), in_plot(plot, start), *way)
    assert wanted(document) == pytest.approx(0.8, abs=0.03)
    assert dense.histogram.cuts[0].value() == pytest.approx(-dense.histogram.cuts[1].value())
    document.undo()
    assert wanted(document) == pytest.approx(0.3)


def test_bars_are_cut_at_the_threshold(dense: Inspector, document: Document) -> None:
    document.prune_layer(document.state.source.layers[1], 0.5)  # type: ignore[union-attr]
    cut = document.state.magnitudes["dense"].threshold_for(0.5)
    zeroed, kept = dense.histogram._zeroed.opts, dense.histogram._kept.opts
    assert np.all(np.abs(zeroed["x0"]) <= cut)
    assert np.all(np.abs(zeroed["x1"]) <= cut)
    assert np.all(np.maximum(np.abs(kept["x0"]), np.abs(kept["x1"])) >= cut)
    assert kept["x0"].size
    assert zeroed["x0"].size


def test_a_line_is_dragged_on_the_logarithmic_axis_too(qtbot: QtBot, dense: Inspector, document: Document) -> None:
    document.prune_layer(document.state.source.layers[1], 0.5)  # type: ignore[union-attr]
    qtbot.mouseClick(dense.histogram.log_x, Qt.MouseButton.LeftButton)
    left, right = dense.histogram.cuts
    assert not left.isVisible()
    plot, target = dense.histogram.plot, document.state.magnitudes["dense"].threshold_for(0.9)
    drag(plot.viewport(), in_plot(plot, right.value()), in_plot(plot, np.log10(target)))
    assert wanted(document) == pytest.approx(0.9, abs=0.03)


def test_histogram_switches_change_the_picture(qtbot: QtBot, dense: Inspector) -> None:
    pictures = [dense.histogram.plot.grab().toImage()]
    for button in dense.histogram.toggles:
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        pictures.append(dense.histogram.plot.grab().toImage())
    assert all(a != b for a, b in itertools.pairwise(pictures))


def test_hovering_a_bar_counts_it(dense: Inspector) -> None:
    plot = dense.histogram.plot
    plot.hovered.emit(0.0, 1.0)
    assert dense.histogram._caption.text().endswith(" weights")
    plot.left.emit()
    assert "log count" in dense.histogram._caption.text()


def test_comparing_lays_the_compressed_histogram_over(qtbot: QtBot, dense: Inspector, document: Document) -> None:
    document.prune_layer(document.state.source.layers[1], 0.5)  # type: ignore[union-attr]
    settle(qtbot, document)
    assert not dense.histogram._outline.isVisible()
    document.show("compare")
    qtbot.waitUntil(dense.histogram._outline.isVisible)
    document.show("original")
    assert not dense.histogram._outline.isVisible()


def test_clicking_the_sensitivity_curve_sets_the_sparsity(dense: Inspector, document: Document) -> None:
    plot = dense.sensitivity.plot
    at = in_plot(plot, 0.6)
    drag(plot.viewport(), at, at)
    assert wanted(document) == pytest.approx(0.6, abs=0.02)
    assert dense.sensitivity.cut.value() == pytest.approx(wanted(document))
    assert "estimated" in dense.sensitivity._caption.text()


def test_the_plots_take_a_new_theme_at_once(
    qtbot: QtBot, document: Document, tmp_path: Path, qapp: QApplication
) -> None:
    theme = Theme("light")
    made = Inspector(document, theme)
    qtbot.addWidget(made)
    made.resize(332, 1600)
    made.show()
    open_graph(qtbot, document, conv_net(), tmp_path)
    document.select("dense")
    qtbot.waitUntil(lambda: made.histogram._bars is not None)
    for name in ("dark", "light"):
        theme.choose(name)  # type: ignore[arg-type]
        for plot in (made.histogram.plot, made.sensitivity.plot):
            assert plot.grab().toImage().pixelColor(2, 2) == theme.color("panel")


def test_the_plots_keys_are_the_sliders(qtbot: QtBot, dense: Inspector, document: Document) -> None:
    document.prune_layer(document.state.source.layers[1], 0.895)  # type: ignore[union-attr]
    document.end_merge()
    qtbot.keyClick(dense.sensitivity.plot, Qt.Key.Key_Right)
    assert wanted(document) == pytest.approx(0.9)
    qtbot.keyClick(dense.sensitivity.plot, Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier)
    assert wanted(document) == pytest.approx(0.8)
    document.undo()
    assert wanted(document) == pytest.approx(0.9)


def test_the_caption_comes_back_when_the_mouse_leaves(qtbot: QtBot, dense: Inspector) -> None:
    plot = dense.sensitivity.plot
    before = dense.sensitivity.caption
    mouse(plot.viewport(), QEvent.Type.MouseMove, in_plot(plot, 0.5), held=False)
    assert "error at" in dense.sensitivity.caption
    QApplication.sendEvent(plot.viewport(), QEvent(QEvent.Type.Leave))
    assert dense.sensitivity.caption == before


def test_all_layers_in_one_plot_with_names_on_hover(qtbot: QtBot, dense: Inspector, document: Document) -> None:
    qtbot.mouseClick(dense.sensitivity.everyone, Qt.MouseButton.LeftButton)
    assert set(dense.sensitivity._others) == {"conv"}
    error = float(document.state.magnitudes["conv"].error_at(0.5))
    dense.sensitivity.plot.hovered.emit(0.5, 1 - error)
    assert "error at 50" in dense.sensitivity._caption.text()
    qtbot.mouseClick(dense.sensitivity.everyone, Qt.MouseButton.LeftButton)
    assert not dense.sensitivity._others


def test_sensitivity_by_bits(qtbot: QtBot, dense: Inspector, document: Document) -> None:
    qtbot.mouseClick(dense.sensitivity.bits, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "bits" in dense.sensitivity._caption.text())
    xs, ys = dense.sensitivity._curve.getData()
    assert list(xs) == [8, 7, 6, 5, 4, 3, 2, 1]
    assert np.all(np.diff(ys) < 0)
    assert not dense.sensitivity.cut.isVisible()


# --- neighbours ------------------------------------------------------------------------------------------------------


def test_links_lead_to_the_neighbours(dense: Inspector, document: Document) -> None:
    assert set(dense.node.inputs.names) == {"flatten", "dense/weights"}
    assert dense.node.outputs.names == ("dense_bias",)
    dense.node.outputs.linkActivated.emit("dense_bias")
    assert document.state.selected == "dense_bias"


def test_a_node_with_very_many_inputs_lists_some(
    qtbot: QtBot, inspector: Inspector, document: Document, tmp_path: Path
) -> None:
    names = [f"c{i}" for i in range(1000)]
    many = graph(*(const(name, 1.0) for name in names), node("sum", "AddN", *names, N=1000))
    open_graph(qtbot, document, many, tmp_path)
    document.select("sum")
    assert len(inspector.node.inputs.names) == MAX_LINKS
    assert "and 960 more" in inspector.node.inputs.text()


def test_names_from_the_file_are_not_markup(
    qtbot: QtBot, inspector: Inspector, document: Document, tmp_path: Path
) -> None:
    odd = "<b>x</b>'&\""
    open_graph(qtbot, document, graph(placeholder(odd, (1,)), node("y", "Relu", odd)), tmp_path)
    document.select("y")
    assert "<b>" not in inspector.node.inputs.text()
    with qtbot.waitSignal(inspector.node.chosen) as seen:
        inspector.node.inputs.linkActivated.emit(odd)
    assert seen.args == [odd]


def test_op_texts() -> None:
    assert op_text("Conv2D").endswith(".")
    assert op_text("NobodyKnows") == "No text for this op."


def test_attributes_are_readable() -> None:
    assert attr_text((1, 2, 2, 1)) == "[1, 2, 2, 1]"
    assert attr_text(b"SAME") == "SAME"
    assert attr_text(DType.FLOAT) == "float32"
    assert attr_text(True) == "true"


# --- the rest --------------------------------------------------------------------------------------------------------


def test_histograms_count_everything_once() -> None:
    values = np.concatenate((np.random.default_rng(0).normal(size=5000), [np.nan, np.inf, 0.0])).astype(np.float32)
    plain = Histogram.of(values)
    assert plain.counts.sum() == 5001
    assert plain.counts.size == BINS
    assert Histogram.of_nonzero(values, plain.span).counts.sum() == 5000


def test_only_the_newest_question_is_worked_on(qtbot: QtBot, document: Document, inspector: Inspector) -> None:
    owners = [type("Owner", (), {})() for _ in range(3)]
    worked: list[int] = []
    shown: list[int] = []

    def work(number: int) -> int:
        worked.append(number)
        return number

    gate = threading.Event()
    document.background.run(gate.wait, lambda _: None, lambda _: None)
    for number, owner in enumerate(owners):
        inspector._later.ask(owner, "number", lambda n=number: work(n), shown.append)
    gate.set()
    qtbot.waitUntil(lambda: 2 in shown)
    assert shown == worked == [2]
    inspector._later.ask(owners[2], "number", lambda: work(3), shown.append)
    assert shown == [2, 2]
    assert 3 not in worked


def test_the_dark_theme_is_taken_at_once(qtbot: QtBot, document: Document, tmp_path: Path) -> None:
    theme = Theme("light")
    made = Inspector(document, theme)
    qtbot.addWidget(made)
    open_graph(qtbot, document, conv_net(), tmp_path)
    document.select("dense")
    qtbot.waitUntil(lambda: made.histogram._bars is not None)

    def pictures() -> list:
        widgets: list[QWidget] = [made.facts, made.histogram.plot, made.sensitivity.plot, made.node.inputs]
        return [widget.grab().toImage() for widget in widgets]

    light = pictures()
    theme.choose("dark")
    assert all(a != b for a, b in zip(light, pictures(), strict=True))


def test_a_closed_inspector_leaves_no_plot(qtbot: QtBot, theme: Theme, document: Document) -> None:
    made = Inspector(document, theme)
    made.deleteLater()
    QApplication.processEvents()
    del made
    gc.collect()
    document.set(selected="nothing")  # a dead panel must not be called any more

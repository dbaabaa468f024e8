"""The document: order of changes, failures, races; and undo as a pure history."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from compressor_gui.core import pbio
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui import document as module
from compressor_gui.gui.document import Document
from compressor_gui.gui.history import History
from compressor_gui.gui.state import State
from tests.support import residual_net

HALF, MOST = Recipe.of(Prune(sparsity=0.5)), Recipe.of(Prune(sparsity=0.9))


@pytest.fixture
def document(qtbot: QtBot, model_file: Path) -> Iterator[Document]:
    made = Document()
    made.open(model_file)
    qtbot.waitUntil(lambda: made.state.made is not None and bool(made.state.magnitudes))
    yield made
    made.close()


def test_undo_and_redo_walk_and_a_drag_is_one_step() -> None:
    history = History().changed(HALF)
    for sparsity in (0.6, 0.7, 0.8):
        history = history.changed(Recipe.of(Prune(sparsity=sparsity)), "drag")
    assert len(history.recipes) == 3
    assert history.undone().current == HALF
    assert history.undone().redone().current == history.current
    assert history.rested().changed(MOST, "drag").undone().current == history.current
    assert not History().can_undo
    assert not history.can_redo


def test_a_change_that_failed_leaves_no_trace() -> None:
    history = History().changed(HALF).changed(MOST).undone()
    assert history.can_redo
    failed = history.changed(Recipe.of(Prune(sparsity=0.1)))
    assert not failed.can_redo
    assert failed.taken_back().current == HALF
    assert failed.taken_back().redone().current == MOST


def test_a_view_that_changes_the_state_does_not_overtake_it(document: Document) -> None:
    seen: list[tuple[str, str]] = []

    def meddle(old: State, new: State) -> None:
        if new.selected == "relu" and old.selected != "relu":
            document.select("softmax")

    document.changed.connect(meddle)
    document.changed.connect(lambda old, new: seen.append((old.selected, new.selected)))
    document.select("relu")
    assert seen == [("", "relu"), ("relu", "softmax")]
    assert document.state.selected == "softmax"


def test_a_pass_that_breaks_down_is_tried_once_and_taken_back(
    qtbot: QtBot, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tried = module.make, []

    def breaking(*arguments: object) -> object:
        if arguments[1] == HALF:
            tried.append(arguments[1])
            raise MemoryError("no room")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "make", breaking)
    with qtbot.captureExceptions() as caught:
        document.set_recipe(HALF)
        qtbot.waitUntil(lambda: bool(caught) and not document.state.stale)
    assert len(tried) == 1
    assert [kind for kind, *_ in caught] == [MemoryError]
    assert not document.state.recipe.steps


def test_a_comparison_belongs_to_the_model_that_is_open_at_its_end(
    qtbot: QtBot, document: Document, tmp_path: Path
) -> None:
    other = tmp_path / "other.pb"
    pbio.write_graph(residual_net(), other)
    document.open(other)
    document.compare_with(other)
    qtbot.waitUntil(lambda: document.state.other is not None, timeout=10_000)
    assert document.state.source is not None
    assert document.state.source.path == other
    assert document.state.other_diff is not None
    assert document.state.other_diff.equal

"""A quantizing step that does not fit the open network is said in one sentence, and does not enter the recipe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from compressor_gui.core.passes import parse
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui.document import Document
from tests.bad_steps import DOES_NOT_FIT

HALF = Recipe.of(Prune(sparsity=0.5))


@pytest.fixture
def document(qtbot: QtBot, model_file: Path) -> Iterator[Document]:
    made = Document()
    made.open(model_file)
    qtbot.waitUntil(lambda: made.state.made is not None and bool(made.state.magnitudes))
    made.set_recipe(HALF)
    qtbot.waitUntil(lambda: not made.state.stale)
    yield made
    made.close()


def test_the_recipe_stays_as_it_was(qtbot: QtBot, document: Document) -> None:
    before = document.state.made
    for step, words in DOES_NOT_FIT.items():
        with qtbot.waitSignal(document.failed) as failed:
            document.set_recipe(HALF.adding(parse(step)))
        text = str(failed.args[0])
        assert words in text, step
        assert "\n" not in text
        qtbot.waitUntil(lambda: not document.state.stale)
        assert document.state.recipe == HALF
        assert document.state.error is not None
        assert document.state.made.graph is before.graph  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "step", ["quantize_nodes", "quantize_weights", "clip_outliers", "fuse_int8(ranges={'relu': [0, 1]})"]
)
def test_a_network_that_is_quantized_already(qtbot: QtBot, document: Document, step: str) -> None:
    eight = HALF.adding(parse("quantize_nodes"))
    document.set_recipe(eight)
    qtbot.waitUntil(lambda: not document.state.stale)
    with qtbot.waitSignal(document.failed) as failed:
        document.set_recipe(eight.adding(parse(step)))
    assert "the graph is quantized already" in str(failed.args[0])
    qtbot.waitUntil(lambda: not document.state.stale)
    assert document.state.recipe == eight

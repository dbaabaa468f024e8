"""Pictures without a window, as the command line makes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtGui import QImage

from compressor_gui.core import pbio
from compressor_gui.core.passes import apply, parse
from compressor_gui.core.recipe import Recipe
from compressor_gui.gui import render
from tests.support import conv_net


@pytest.fixture(autouse=True)
def keep_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is the other tests' too."""
    monkeypatch.setattr(render.layout, "close", lambda: None)


def test_one_graph(model_file: Path, tmp_path: Path) -> None:
    assert render.main([str(model_file), "-o", str(tmp_path / "out.svg")]) == 0
    assert "Conv2D · Bias · Relu" in (tmp_path / "out.svg").read_text("utf-8")


def test_two_graphs_and_a_recipe_give_the_same_boxes(model_file: Path, tmp_path: Path) -> None:
    after = tmp_path / "after.pb"
    pbio.write_graph(apply(parse("quantize_nodes"), conv_net()).graph, after)
    Recipe.of(parse("quantize_nodes")).save(tmp_path / "recipe.json")
    assert render.main([str(model_file), "--compare", str(after), "-o", str(tmp_path / "a.svg")]) == 0
    assert render.main([str(model_file), "--recipe", str(tmp_path / "recipe.json"), "-o", str(tmp_path / "b.svg")]) == 0
    for name in ("a.svg", "b.svg"):
        text = (tmp_path / name).read_text("utf-8")
        assert text.count("QuantizedConv2D") == 1
        assert "added" in text


def test_the_dark_theme_is_dark(model_file: Path, tmp_path: Path) -> None:
    for theme in ("light", "dark"):
        assert render.main([str(model_file), "--theme", theme, "-o", str(tmp_path / f"{theme}.png")]) == 0
    light, dark = (QImage(str(tmp_path / f"{theme}.png")).pixelColor(2, 2).lightness() for theme in ("light", "dark"))
    assert light > 200 > 60 > dark


@pytest.mark.parametrize(
    "arguments", [["missing.pb", "-o", "x.svg"], ["MODEL", "-o", "x.gif"], ["MODEL", "-o", "no/x.svg"]]
)
def test_bad_input_is_one_sentence(
    arguments: list[str],
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert render.main([str(model_file) if a == "MODEL" else a for a in arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("error: ")

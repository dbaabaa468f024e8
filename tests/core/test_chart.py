from __future__ import annotations

import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from compressor_gui.core.chart import PALETTE, Histogram, Mark, Series, bars_svg, curves_svg, histograms_svg, marks_svg

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = 'a<b>&"\x00\x1b名'


def parsed(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    return root


def texts(svg: str) -> list[str]:
    return [found.text or "" for found in parsed(svg).iter(f"{SVG}text")]


def numbers(svg: str) -> list[float]:
    return [float(text) for text in re.findall(r"[\d.]+", " ".join(path.get("d", "") for path in parsed(svg).iter()))]


def curves(svg: str) -> list[ET.Element]:
    return [path for path in parsed(svg).iter(f"{SVG}path") if path.get("stroke-width") == "2"]


def test_every_curve_is_drawn_named_and_within_the_picture() -> None:
    x = (0.0, 0.5, 1.0)
    svg = curves_svg("T", "pruned", "top-1", [Series("a", x, (1, 0.9, 0)), Series("b", x, (1, 1, 1))], baseline=1.0)
    assert [path.get("stroke") for path in curves(svg)] == list(PALETTE[:2])
    assert {"T", "pruned", "top-1", "a", "b", "0", "0.2", "1"} <= set(texts(svg))
    assert len(list(parsed(svg).iter(f"{SVG}circle"))) == 6
    assert max(numbers(svg)) <= 800
    assert "stroke-dasharray" in svg


def test_the_axis_holds_the_values_and_falls_upwards() -> None:
    svg = curves_svg("", "", "", [Series("a", (0, 1), (10, 30))], width=800, height=440)
    (path,) = curves(svg)
    (x0, y0), (x1, y1) = (map(float, pair.split()) for pair in path.get("d", "")[1:].split("L"))
    assert x0 < x1
    assert y0 > y1
    assert "30" in texts(svg)


@pytest.mark.parametrize("values", [(math.nan, math.inf), (), (5.0, 5.0), (0.0, 0.0), (-1e-30, 1e30)])
def test_odd_values_make_a_picture_too(values: tuple[float, ...]) -> None:
    svg = curves_svg(HOSTILE, HOSTILE, HOSTILE, [Series(HOSTILE, range(len(values)), values)])
    assert "nan" not in svg
    assert "inf" not in svg
    assert any("a<b>&" in text for text in texts(svg))
    parsed(bars_svg("T", "ms", [HOSTILE], [("original", [0.0])]))
    parsed(histograms_svg("T", [Histogram(HOSTILE, 0.0, 0.0, [0] * 2048, (0.0, 0.0))]))


def test_many_curves_take_the_ramp_in_order() -> None:
    svg = curves_svg("T", "", "", [Series(f"layer{n}", (0, 1), (0, n)) for n in range(30)], theme="dark")
    colors = [path.get("stroke") for path in curves(svg)]
    assert len(set(colors)) == 30
    assert not set(colors) & set(PALETTE)


def test_a_histogram_shows_what_its_cut_keeps() -> None:
    svg = histograms_svg("T", [Histogram("conv", -1.0, 1.0, [1, 5, 5, 1], (-0.5, 0.5))])
    kept, left_out = (path.get("d", "") for path in parsed(svg).iter(f"{SVG}path") if path.get("fill"))
    assert (kept.count("M"), left_out.count("M")) == (2, 2)
    assert texts(svg) == ["T", "conv", "-0.5", "0.5"]


def test_bars_are_as_long_as_their_values() -> None:
    svg = bars_svg("T", "ms", ["a", "b"], [("original", [4.0, 2.0]), ("small", [1.0, 1.0])], format=lambda v: f"{v} ms")
    bars = [float(rect.get("width", "")) for rect in parsed(svg).iter(f"{SVG}rect") if rect.get("height") == "9.0"]
    assert bars == pytest.approx([bars[0], bars[0] / 4, bars[0] / 2, bars[0] / 4], abs=0.1)
    assert {"original", "small", "4.0 ms"} <= set(texts(svg))


def test_equal_input_makes_equal_text() -> None:
    made = [histograms_svg("T", [Histogram("c", 0, 1, range(4096), (0, 1))]) for _ in range(2)]
    assert made[0] == made[1]


def test_rasterize_draws_a_png_and_refuses_what_is_no_svg(tmp_path: Path) -> None:
    source, target = tmp_path / "chart.svg", tmp_path / "chart.png"
    source.write_text(bars_svg("T", "ms", ["a"], [("original", [4.0])], width=300), "utf-8")
    command = [sys.executable, "-m", "compressor_gui.gui.rasterize", str(source), str(target)]
    subprocess.run(command, check=True)
    data = target.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20]) == 600
    source.write_text("no picture", "utf-8")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"error: {source}: it is no SVG file"


def test_marks_stand_in_every_plot_that_they_have_a_place_in() -> None:
    marks = [Mark(HOSTILE, (1.0, 4.0), 0.5, (0.4, 0.6)), Mark("b", (2.0, None), 0.9), Mark("c", (2.0, 2.0), 0.1)]
    svg = marks_svg("T", ("size", "time"), "top-1", marks, subtitle="S")
    root = parsed(svg)
    dots = [(circle.get("fill"), float(circle.get("cx", "0"))) for circle in root.iter(f"{SVG}circle")]
    assert [color for color, _ in dots] == [
        *PALETTE[:3],
        PALETTE[0],
        PALETTE[2],
        *PALETTE[:3],
    ]
    (_, first), (_, second), (_, third) = dots[:3]
    assert first < second < third  # the last two share a place, and can be told apart
    assert {"T", "S", "size", "time", "top-1", "b", "c"} <= set(texts(svg))
    width, height = (float(root.get(side, "0")) for side in ("width", "height"))
    assert all(0 <= x <= width for _, x in dots)
    assert max(float(text.get("y", "0")) for text in root.iter(f"{SVG}text")) < height


def test_a_chart_without_marks_is_empty() -> None:
    assert "T" in texts(marks_svg("T", ("size",), "top-1", []))

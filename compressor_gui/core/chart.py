"""Charts as SVG, written by hand: curves, histograms with a cut, and bars, in the theme's colours.

All functions return the SVG's text; widths and heights are in pixels. Colours of up to eight series are those of
Okabe and Ito's colour-blind-safe set; more series take the theme's ramp, in their order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files

import numpy as np

from compressor_gui.core.names import elide
from compressor_gui.core.units import number

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5c00", "#6b7686")
FONTS = "Inter, Noto Sans, DejaVu Sans, sans-serif"
_SMALL, _TITLE = 11, 16
_LETTER = 0.56
"""The width of an average letter, as a part of the font's size."""
_COLUMNS = 128
"""The columns that a histogram is drawn with."""
_APART = 5.0
"""Pixels between the marks at one place."""


@dataclass(frozen=True)
class Series:
    """A curve: its name and points, in order of x; what is not finite is left out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Histogram:
    """Counts in even bins from ``low`` to ``high``, and the range that is kept of them (None: all)."""

    name: str
    low: float
    high: float
    counts: Sequence[int]
    cut: tuple[float, float] | None = None


@dataclass(frozen=True)
class Mark:
    """A point in several plots: its place across in each (None: it is not in that one), its height in all of them, and
    the interval that the height is known to."""

    name: str
    x: Sequence[float | None]
    y: float
    interval: tuple[float, float] | None = None


def curves_svg(
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    *,
    baseline: float | None = None,
    subtitle: str = "",
    width: int = 800,
    height: int = 440,
    theme: str = "light",
) -> str:
    """Lines with a dot at each point, a legend at their right; ``baseline`` is a dashed line across."""
    series = [_finite(one) for one in series]
    names = [elide(one.name, 28) for one in series]
    letters = max(map(len, names), default=0)
    legend = 44 + letters * _SMALL * _LETTER if len(series) > 1 else 20
    page = _Page(title, subtitle, width, height, theme)
    left, top, right, bottom = 68.0, page.top, width - legend, height - 52.0
    xs = [x for one in series for x in one.x]
    ys = [y for one in series for y in one.y] + ([baseline] if baseline is not None else [])
    across = _Axis(xs, left, right)
    up = _Axis(ys, bottom, top)
    for tick in up.ticks:
        page.line(left, up(tick), right, up(tick), "hairline")
        page.text(left - 8, up(tick) + 4, number(tick), "text_secondary", anchor="end")
    for tick in across.ticks:
        page.line(across(tick), bottom, across(tick), bottom + 4, "text_disabled_and_edges")
        page.text(across(tick), bottom + 18, number(tick), "text_secondary", anchor="middle")
    page.line(left, bottom, right, bottom, "text_disabled_and_edges")
    page.text((left + right) / 2, height - 12, x_label, "text_secondary", anchor="middle")
    page.text(16, (top + bottom) / 2, y_label, "text_secondary", anchor="middle", turned=True)
    if baseline is not None:
        page.line(left, up(baseline), right, up(baseline), "text_secondary", 'stroke-dasharray="4 4"')
    row = min(18.0, (bottom - top) / max(len(series), 1))
    for index, (one, name) in enumerate(zip(series, names, strict=True)):
        color = page.series_color(index, len(series))
        places = [(across(x), up(y)) for x, y in zip(one.x, one.y, strict=True)]
        page.polyline(places, color)
        if len(series) > 1:
            y = top + row * (index + 0.5)
            page.add(_rect(right + 16, y - 1, 12, 2, color, 1))
            page.text(right + 34, y + 4, name, "text", size=min(_SMALL, row * 0.8))
    return page.svg()


def histograms_svg(
    title: str,
    histograms: Sequence[Histogram],
    *,
    subtitle: str = "",
    columns: int = 3,
    width: int = 960,
    theme: str = "light",
) -> str:
    """A small plot for each histogram, its counts on a logarithmic scale; what the cut leaves out is pale, and the
    ends of the cut stand below."""
    columns = max(1, min(columns, len(histograms)))
    gap, row = 24.0, 148.0
    page = _Page(title, subtitle, width, 0, theme)
    cell = (width - 2 * gap - gap * (columns - 1)) / columns
    for index, one in enumerate(histograms):
        left = gap + (index % columns) * (cell + gap)
        _histogram(page, one, left, page.top + (index // columns) * row, cell, row - 30)
    page.height = math.ceil(page.top + math.ceil(len(histograms) / columns) * row)
    return page.svg()


def bars_svg(
    title: str,
    x_label: str,
    names: Sequence[str],
    series: Sequence[tuple[str, Sequence[float]]],
    *,
    format: Callable[[float], str] = number,
    subtitle: str = "",
    width: int = 800,
    theme: str = "light",
) -> str:
    """A row for each name with a bar for each series (its name and values, none below 0), and the value behind it."""
    page = _Page(title, subtitle, width, 0, theme)
    shown = [elide(name, 40) for name in names]
    left = 36 + max(map(len, shown), default=0) * _SMALL * _LETTER
    right = width - 76.0
    legend = 24 if len(series) > 1 else 0
    largest = max((value for _, values in series for value in values), default=0.0) or 1.0
    thick = 14.0 if len(series) == 1 else 9.0
    row = len(series) * (thick + 1) + 10
    at = 24.0
    for index, (name, _) in enumerate(series if legend else ()):
        page.add(_rect(at, page.top, 10, 10, page.series_color(index, len(series)), 2))
        page.text(at + 16, page.top + 9, name, "text")
        at += 44 + len(name) * _SMALL * _LETTER
    for place, name in enumerate(shown):
        y = page.top + legend + place * row
        page.text(left - 10, y + (row - 10) / 2 + 4, name, "text", anchor="end")
        for index, (_, values) in enumerate(series):
            length = max(values[place] / largest * (right - left), 1.0)
            page.add(_rect(left, y, length, thick, page.series_color(index, len(series)), 2))
            page.text(left + length + 6, y + thick / 2 + 4, format(values[place]), "text_secondary")
            y += thick + 1
    bottom = page.top + legend + len(shown) * row
    page.text((left + right) / 2, bottom + 14, x_label, "text_secondary", anchor="middle")
    page.height = math.ceil(bottom + 32)
    return page.svg()


def marks_svg(
    title: str,
    x_labels: Sequence[str],
    y_label: str,
    marks: Sequence[Mark],
    *,
    subtitle: str = "",
    width: int = 960,
    height: int = 250,
    theme: str = "light",
) -> str:
    """Plots of this height side by side that share their values up, a legend below. In each there is a mark for each of
    ``marks``, with a bar for its interval. Places across begin at 0; marks stand a few pixels apart, so that those at
    one place can be told."""
    side, gap = 68.0, 32.0
    page = _Page(title, subtitle, width, 0, theme)
    top, bottom = page.top, page.top + height
    up = _Axis([y for mark in marks for y in (mark.y, *(mark.interval or ()))], bottom, top)
    colors = [page.series_color(index, len(marks)) for index in range(len(marks))]
    wide = (width - side - 24 - gap * (len(x_labels) - 1)) / len(x_labels)
    page.text(16, (top + bottom) / 2, y_label, "text_secondary", anchor="middle", turned=True)
    for place, x_label in enumerate(x_labels):
        left = side + place * (wide + gap)
        across = _Axis([0.0, *(x for mark in marks if (x := mark.x[place]) is not None)], left, left + wide)
        for tick in up.ticks:
            page.line(left, up(tick), left + wide, up(tick), "hairline")
            if place == 0:
                page.text(left - 8, up(tick) + 4, f"{tick:g}", "text_secondary", anchor="end")
        for tick in across.ticks:
            page.text(across(tick), bottom + 18, number(tick), "text_secondary", anchor="middle")
        page.line(left, bottom, left + wide, bottom, "text_disabled_and_edges")
        page.text(left + wide / 2, bottom + 38, x_label, "text_secondary", anchor="middle")
        for index, (mark, color) in enumerate(zip(marks, colors, strict=True)):
            if (x := mark.x[place]) is not None:
                apart = _APART * (index - (len(marks) - 1) / 2)
                page.mark(across(x) + apart, up(mark.y), [up(y) for y in mark.interval or ()], color)
    columns = 3
    for index, (mark, color) in enumerate(zip(marks, colors, strict=True)):
        x, y = side + (index % columns) * (width - side) / columns, bottom + 64 + index // columns * 20
        page.mark(x, y - 4, (), color)
        page.text(x + 12, y, mark.name, "text")
    page.height = math.ceil(bottom + 72 + math.ceil(len(marks) / columns) * 20)
    return page.svg()


def _histogram(page: _Page, one: Histogram, left: float, top: float, width: float, height: float) -> None:
    base, room = top + height - 16, height - 38
    page.text(left, top + 10, elide(one.name, int(width / (_SMALL * _LETTER))), "text")
    across = _Axis((one.low, one.high), left, left + width, exact=True)
    low, high = one.cut or (one.low, one.high)
    counts = _coarse(np.asarray(one.counts, np.float64), _COLUMNS)
    tall = np.log1p(counts) / (math.log1p(float(counts.max(initial=0.0))) or 1.0) * room
    edges = np.linspace(one.low, one.high, len(tall) + 1)
    for token, wanted in (("histogram_kept", True), ("histogram_zeroed", False)):
        path = []
        for start, end, tip in zip(edges, edges[1:], tall, strict=False):
            if tip > 0 and (low <= (start + end) / 2 <= high) == wanted:
                x, right = across(float(start)), across(float(end))
                path.append(f"M{x:.1f} {base:.1f}V{base - tip:.1f}H{right:.1f}V{base:.1f}z")
        page.add(f'<path d="{"".join(path)}" fill="{page.color(token)}"/>')
    page.line(left, base, left + width, base, "text_disabled_and_edges")
    for limit, anchor in ((low, "start"), (high, "end")):
        x = min(max(across(limit), left), left + width)
        page.line(x, base - room - 4, x, base + 4, "accent_and_threshold", 'stroke-width="1.5"')
        x = min(x, left + width - 40) if anchor == "start" else max(x, left + 40)
        page.text(x, base + 16, number(limit), "text_secondary", anchor=anchor)


class _Page:
    """The SVG that is being written: its theme, its heading, and shapes in order."""

    def __init__(self, title: str, subtitle: str, width: int, height: int, theme: str) -> None:
        self.width, self.height = width, height
        self._colors = _themes()[theme]
        self._shapes: list[str] = []
        self.text(24, 34, elide(title, int((width - 48) / (_TITLE * _LETTER))), "text", size=_TITLE, bold=True)
        if subtitle:
            letters = int((width - 48) / (_SMALL * _LETTER))
            self.text(24, 54, elide(subtitle, letters), "text_secondary")
        self.top = 76.0 if subtitle else 58.0

    def color(self, token: str) -> str:
        return str(self._colors[token])

    def series_color(self, index: int, count: int) -> str:
        if count <= len(PALETTE):
            return PALETTE[index]
        ramp = self._colors["ramp"][1:]
        place = index / (count - 1) * (len(ramp) - 1)
        at = min(int(place), len(ramp) - 2)
        pairs = [(int(ramp[at][i : i + 2], 16), int(ramp[at + 1][i : i + 2], 16)) for i in (1, 3, 5)]
        return "#" + "".join(f"{round(a + (b - a) * (place - at)):02x}" for a, b in pairs)

    def add(self, shape: str) -> None:
        self._shapes.append(shape)

    def line(self, x1: float, y1: float, x2: float, y2: float, token: str, extra: str = "") -> None:
        path = f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"
        self.add(f'<path d="{path}" stroke="{self.color(token)}" {extra}/>')

    def polyline(self, places: Sequence[tuple[float, float]], color: str) -> None:
        if not places:
            return
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        join = 'stroke-linejoin="round" stroke-linecap="round"'
        self.add(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2" {join}/>')
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in places)
        self.add(f'<g fill="{color}">{dots}</g>')

    def mark(self, x: float, y: float, interval: Sequence[float], color: str) -> None:
        """A dot, and a line with ends from one height to the other."""
        if interval:
            low, high = interval
            ends = f"M{x - 4:.1f} {low:.1f}h8M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {high:.1f}h8"
            self.add(f'<path d="{ends}" stroke="{color}" stroke-width="1.5" fill="none"/>')
        self.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{color}"/>')

    def text(
        self,
        x: float,
        y: float,
        text: str,
        token: str,
        *,
        anchor: str = "start",
        size: float = _SMALL,
        bold: bool = False,
        turned: bool = False,
    ) -> None:
        extra = ' font-weight="600"' if bold else ""
        extra += f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
        place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}"'
        self.add(f'<text {place} fill="{self.color(token)}"{extra}>{escape(_printable(text))}</text>')

    def svg(self) -> str:
        size = f'width="{self.width}" height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
        look = f'font-family="{FONTS}" style="font-feature-settings: \'tnum\'"'
        ground = _rect(0, 0, self.width, self.height, self.color("panel"))
        body = "\n".join((ground, *self._shapes))
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {look}>\n{body}\n</svg>\n'


class _Axis:
    """Maps values to pixels, from round numbers to round numbers unless ``exact``."""

    def __init__(self, values: Iterable[float], start: float, end: float, exact: bool = False) -> None:
        found = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(found), max(found)
        if high <= low:
            low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
        step = _round_step((high - low) / 5)
        if not exact:
            low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
        self.ticks = [round(n * step, 12) for n in range(round(low / step), round(high / step) + 1)]
        self._low, self._start = low, start
        self._scale = (end - start) / (high - low)

    def __call__(self, value: float) -> float:
        return self._start + (value - self._low) * self._scale


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= least * (1 - 1e-9))


def _finite(series: Series) -> Series:
    good = [(x, y) for x, y in zip(series.x, series.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return Series(series.name, [x for x, _ in good], [y for _, y in good])


def _coarse(counts: np.ndarray, columns: int) -> np.ndarray:
    """The counts summed to at most ``columns`` even groups."""
    if len(counts) <= columns:
        return counts
    edges = np.linspace(0, len(counts), columns + 1)
    total = np.concatenate(([0.0], np.cumsum(counts)))
    return np.diff(np.interp(edges, np.arange(len(total)), total))


def _rect(x: float, y: float, width: float, height: float, color: str, radius: float = 0) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius}" fill="{color}"/>'


def _printable(text: str) -> str:
    """Without the control characters that XML can't hold."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


@cache
def _themes() -> dict[str, dict]:
    themes: dict[str, dict] = json.loads(files("resources").joinpath("theme.json").read_text("utf-8"))
    return themes

"""Prune and quantize_weights on 100 MB, from file to file; checking the export in TensorFlow is not counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from compressor_gui.core.passes import parse
from compressor_gui.core.pbio import read_graph, write_graph
from compressor_gui.core.recipe import Recipe, Replayer
from tests.benchmarks.report import Row, main, median_seconds, synthetic_file


def compress(source: Path, target: Path) -> None:
    """What ``compressor-cli compress`` does between reading and checking."""
    recipe = Recipe.of(parse("prune(sparsity=0.8)"), parse("quantize_weights()"))
    write_graph(Replayer(read_graph(source)).replay(recipe).graph, target, source)


def rows() -> Iterator[Row]:
    """The time, and what came out."""
    source = synthetic_file(1_000, 100)
    target = source.with_name("compressed.pb")
    seconds = median_seconds(lambda: compress(source, target), 3)
    megabytes = source.stat().st_size / 1e6
    yield Row(f"prune, quantize_weights, {megabytes:.0f} MB, from file to file", seconds, limit=5)
    yield Row("compressed / original", target.stat().st_size / source.stat().st_size, "bytes")


if __name__ == "__main__":
    main("Compress", rows)

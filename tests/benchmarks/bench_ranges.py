"""What stored ranges cost in accuracy: the samples in 8 bits with ranges that are computed at run time, and with ranges
of 10 and of 1,000 digits by each method. Where ../shared has the digits, those that calibrate are not evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.jobs import EngineClient
from compressor_gui.core.measure import METHODS, Calibrate, Calibration, Evaluate, ModelRef
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.pbio import read_graph, to_bytes
from compressor_gui.core.ranges import choose_ranges, with_ranges
from compressor_gui.core.recipe import Recipe, Replayer
from tests.support import SHARED

SAMPLES = Path(__file__).resolve().parents[2] / "resources" / "samples"
MODELS = ("lenet-5", "lenet-300-100")
COUNTS = (10, 1000)


class Measured:
    """One model: its recipes evaluated against the float original."""

    def __init__(self, engine: EngineClient, name: str) -> None:
        self.path = SAMPLES / f"{name}.pb"
        self.name, self._engine = name, engine
        self._source = read_graph(self.path)

    def data(self, prefix: str) -> DataSpec:
        """The digits of ../shared/mnist, or the 1,000 that come with the samples."""
        found = SHARED / "mnist" / f"{prefix}-images-idx3-ubyte.gz"
        return guess(self._source, found if found.is_file() else SAMPLES / "t10k-1000-images-idx3-ubyte.gz")

    def calibrated(self, count: int) -> Calibration:
        """Histograms of ``count`` training digits."""
        return self._engine.run(Calibrate(ModelRef(str(self.path)), replace(self.data("train"), limit=count)))

    def row(self, ranges: str, recipe: Recipe) -> str:
        """A line of the table."""
        original = ModelRef(str(self.path))
        model = replace(original, recipe=recipe.to_json())
        found = self._engine.run(Evaluate(model, self.data("t10k"), original, batch=100))
        accuracy = found.accuracy
        assert accuracy.top1 is not None
        assert accuracy.top5 is not None
        assert accuracy.top1_interval is not None
        low, high = accuracy.top1_interval
        size = len(to_bytes(Replayer(self._source).replay(recipe).graph))
        return (
            f"| {self.name} | {ranges} | {100 * accuracy.top1:.2f} % ({100 * low:.2f} to {100 * high:.2f}) "
            f"| {100 * accuracy.top5:.2f} % | {size:,} | {found.mcnemar_p:.3g} |"
        )


def lines() -> Iterator[str]:
    """The table, as Markdown."""
    yield "| model | ranges | top-1 (95 %) | recall_5 | bytes | McNemar's p against float |"
    yield "|---|---|---|--:|--:|--:|"
    quantized = Recipe.of(QuantizeNodes())
    with EngineClient() as engine:
        for name in MODELS:
            measured = Measured(engine, name)
            yield measured.row("float", Recipe())
            yield measured.row("computed at run time", quantized)
            for count in COUNTS:
                found = measured.calibrated(count)
                for method in METHODS:
                    recipe = with_ranges(quantized, choose_ranges(found.histograms, method))
                    yield measured.row(f"{found.n:,} digits, {method}", recipe)


if __name__ == "__main__":
    for line in lines():
        print(line, flush=True)

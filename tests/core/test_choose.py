from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from compressor_gui.cli.commands import cli
from compressor_gui.core.choose import Kept, Pairs, answer, choose, fusing_step, ratio, with_skipped
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.passes import parse
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.pbio import write_graph
from compressor_gui.core.recipe import Recipe
from tests.support import Net, concat_net, residual_net

NOISE = (0.97, 1.04, 1.0, 1.02)


class Timer:
    """A machine on which each region adds some seconds in 8 bits and some in float, with noise in every run."""

    def __init__(self, eight: tuple[float, ...], floating: tuple[float, ...], rest: float = 1.0) -> None:
        self._costs, self._rest = (eight, floating), rest
        self.asked: list[tuple[Kept, Kept]] = []

    def seconds(self, kept: Kept) -> float:
        eight, floating = self._costs
        return self._rest + sum(eight[n] if n in kept else floating[n] for n in range(len(eight)))

    def compare(self, one: Kept, other: Kept) -> Pairs:
        self.asked.append((one, other))
        a, b = self.seconds(one), self.seconds(other)
        return [(a * noise, b * back) for noise, back in zip(NOISE, reversed(NOISE), strict=True)]


def test_what_is_slower_in_8_bits_stays_in_float() -> None:
    timer = Timer((1.0, 2.0, 0.5), (3.0, 1.0, 1.5))
    choice = choose(3, timer.compare)
    assert choice.kept == {0, 2}
    assert timer.asked[-1] == (choice.kept, frozenset())
    assert ratio(choice.chosen) == pytest.approx(timer.seconds(frozenset()) / timer.seconds(choice.kept), rel=0.03)


def test_what_noise_hides_stays_in_8_bits() -> None:
    assert choose(2, Timer((1.0, 1.0), (2.0, 0.999)).compare).kept == {0, 1}


def test_a_network_that_is_not_faster_stays_in_float() -> None:
    """Each region alone seems to be as fast, together they are slower."""
    choice = choose(2, Timer((1.005, 1.005), (1.0, 1.0), rest=0.05).compare)
    assert choice.kept == frozenset()
    found = answer(choice, (("a", "b"), ("c",)), 1, 4)
    assert found.skip == ("a", "b", "c")
    assert found.speedup == 1
    assert found.chosen_ms == found.float_ms < found.fused_ms


@pytest.mark.parametrize(("eight", "kept"), [(1.0, {0}), (3.0, set())])
def test_a_single_region_is_timed_once(eight: float, kept: set[int]) -> None:
    timer = Timer((eight,), (2.0,))
    assert choose(1, timer.compare).kept == kept
    assert timer.asked[0] == (frozenset({0}), frozenset())
    assert len(timer.asked) <= 2


def test_the_answer_tells_what_each_region_saves() -> None:
    timer = Timer((1.0, 2.0), (3.0, 1.0))
    found = answer(choose(2, timer.compare), (("conv", "relu"), ("dense",)), 8, 4)
    assert found.skip == ("dense",)
    assert [region.kept for region in found.regions] == [True, False]
    assert found.regions[0].milliseconds == pytest.approx(2000, rel=0.1)
    assert found.regions[1].milliseconds == pytest.approx(-1000, rel=0.2)
    assert found.regions[0].gain > 1 > found.regions[1].gain
    assert found.speedup == pytest.approx(5 / 3, rel=0.03)


def test_regions_hand_codes_to_each_other() -> None:
    ranges = dict.fromkeys(FuseInt8(everywhere=True).activations(concat_net()), (0.0, 3.0))
    (whole,) = FuseInt8(ranges, everywhere=True).regions(concat_net())  # type: ignore[arg-type]
    assert set(whole) == {"conv", "conv_1", "conv_2", "concat", "avgpool"}
    net = Net((1, 8, 8, 4)).conv(4).then("Relu").then("Sigmoid").conv(4).flatten().dense(3).build()
    ranges = dict.fromkeys(FuseInt8(everywhere=True).activations(net), (0.0, 3.0))
    regions = FuseInt8(ranges, everywhere=True).regions(net)  # type: ignore[arg-type]
    assert regions == (("conv",), ("conv_1", "flatten"), ("dense",))


def test_what_is_skipped_is_added_to_the_recipe() -> None:
    recipe = Recipe.of(parse("fold_batch_norms"), FuseInt8({"x": (0.0, 1.0)}, skip=("a",)))  # type: ignore[arg-type]
    changed = with_skipped(recipe, ("b", "a")).active[1]
    assert isinstance(changed, FuseInt8)
    assert changed.skip == ("a", "b")
    with pytest.raises(CompressorError, match="the recipe has no step fuse_int8"):
        fusing_step(Recipe.of(parse("fold_batch_norms")))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "the recipe has no step fuse_int8"),
        (("--runs", "0"), "0 is not in the range"),
        (("--save-recipe", "MODEL"), "it is never overwritten"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    write_graph(residual_net(), tmp_path / "model.pb")
    path = str(tmp_path / "model.pb")
    found = CliRunner().invoke(
        cli, ["choose-regions", path, *(path if a == "MODEL" else a for a in arguments), "--json"]
    )
    assert found.exit_code == 2
    assert words in found.output

"""What is said where a compressed graph is far from the original: when, and what may help."""

from __future__ import annotations

import pytest

from compressor_gui.core.advice import advice
from compressor_gui.core.jobs import ExportCheck, OutputCheck
from compressor_gui.core.passes import Pass
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.passes.fuse_int8 import FuseInt8
from compressor_gui.core.passes.prune import Prune
from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from compressor_gui.core.passes.quantize_weights import QuantizeWeights
from compressor_gui.core.passes.remove_device import RemoveDevice


def checked(
    sqnr: float, same: float | None, shape: tuple[int, ...] = (1, 10), examples: int = 0, labelled: bool = False
) -> ExportCheck:
    output = OutputCheck("y", sqnr, same, True, False, shape)
    return ExportCheck((output,), (), (), 1.0, examples=examples, labelled=labelled)


@pytest.mark.parametrize(
    ("check", "alarm"),
    [
        (checked(9.9, 1.0), True),
        (checked(20.7, 0.75), False),  # one of four made-up inputs says nothing
        (checked(20.7, 0.5), True),
        (checked(20.7, 0.85, (1, 64, 64, 21)), True),
        (checked(20.7, 15 / 16, examples=16), False),
        (checked(20.7, 14 / 16, examples=16), True),
        (checked(20.7, 1 / 2, examples=2), False),
        (checked(20.7, 2 / 3, examples=3), False),
        (checked(20.7, 1 / 3, examples=3), True),
        (checked(2.5, 15 / 16, examples=16, labelled=True), False),  # as good as the original, and other numbers
        (checked(2.5, 15 / 16, examples=16), True),
        (checked(2.5, None, examples=16, labelled=True), True),
        (checked(20.7, 0.95, (1, 64, 64, 21), examples=16), False),
        (checked(20.7, 0.85, (1, 64, 64, 21), examples=16), True),
        (checked(2.5, 0.95, (1, 64, 64, 21), examples=16, labelled=True), True),
    ],
)
def test_what_is_far_depends_on_what_was_fed(check: ExportCheck, alarm: bool) -> None:
    assert bool(check.warning("do better")) == alarm


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (checked(2.5, 0.5), "for 4 made-up inputs are far from the original's (y: 2.5 dB, same top class in 2 of 4)"),
        (checked(2.5, 0.5, (1, 9), 16), "for 16 examples are far from the original's (y: 2.5 dB, same top class in 8 "),
        (checked(2.5, 0.5, (1, 8, 8, 3)), "same top class in 50.0 %)"),
        (checked(2.5, None), "(y: 2.5 dB)"),
    ],
)  # fmt: skip
def test_a_few_inputs_are_counted_and_no_accuracy(check: ExportCheck, words: str) -> None:
    assert words in check.warning("do better")
    assert check.warning("do better").endswith(": do better")


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((Prune(sparsity=0.9),), "retrain or take less away"),
        ((QuantizeWeights(),), "leave the worst layers in float or give them more bits"),
        ((QuantizeNodes(),), "leave the worst layers in float or give them more bits"),
        ((QuantizeNodes(), FreezeRequantizationRanges()), "measure the ranges on more of your data or leave the worst "
                                                          "layers in float or give them more bits"),
        ((FuseInt8(),), "measure the ranges on more of your data or leave the worst layers in float or give them more "
                        "bits"),
        ((RemoveDevice(),), "switch its steps off one by one to see which does it"),
    ],
)  # fmt: skip
def test_advice_fits_the_steps(steps: tuple[Pass, ...], words: str) -> None:
    assert advice(steps) == words

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.rounding import simulate


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
    values.reshape(-1)[::7] = 0
    return values


def error(before: np.ndarray, after: np.ndarray) -> float:
    return float(np.linalg.norm(before - after) / np.linalg.norm(before))


@given(st.integers(2, 8), st.sampled_from([None, 0, 1, 3]), st.integers(0, 100))
def test_a_channel_has_levels_evenly_around_zero(bits: int, axis: int | None, seed: int) -> None:
    before = weights(3, 4, 5, 6, seed=seed)
    after = simulate(before, axis, bits)
    assert after.shape == before.shape
    assert after.dtype == np.float32
    assert not after[before == 0].any()
    for channel in [after] if axis is None else np.moveaxis(after, axis, 0):
        magnitudes = np.unique(np.abs(channel))
        assert len(magnitudes) <= 2 ** (bits - 1)
        if bits == 3 and len(magnitudes) == 4:
            assert magnitudes / magnitudes[1] == pytest.approx([0, 1, 2, 3], rel=1e-5)


def test_each_bit_less_costs() -> None:
    before = weights(3, 3, 16, 32)
    errors = [error(before, simulate(before, 3, bits)) for bits in range(8, 1, -1)]
    assert errors == sorted(errors)
    assert errors[0] < 0.01
    assert errors[-1] < 0.6  # clipped; over the whole range it is 0.9


def test_channels_have_their_own_ranges() -> None:
    before = weights(8, 2)
    before[:, 1] *= 1000
    after = simulate(before, 1, 8)
    assert error(before[:, 0], after[:, 0]) < 0.01 < error(before[:, 0], simulate(before, None, 8)[:, 0])


@pytest.mark.parametrize("bits", [8, 2])
def test_zeros_stay(bits: int) -> None:
    assert not simulate(np.zeros((4, 3), np.float32), 1, bits).any()

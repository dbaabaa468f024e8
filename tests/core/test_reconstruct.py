"""Rounding that keeps results: on a grid that fuse_int8 finds again, with less error than rounding to the nearest."""

from __future__ import annotations

import numpy as np
import pytest

from compressor_gui.core.passes.int8.weights import rounded as encoded
from compressor_gui.core.reconstruct import Moments, round_on
from compressor_gui.core.rounding import encode_symmetric
from tests.support import conv


def sample(groups: int = 1, inputs: int = 24, outputs: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """What a layer reads (correlated, with a mean above zero), and its weights."""
    random = np.random.default_rng(3)
    mixed = random.normal(size=(groups, 400, 6)) @ random.normal(size=(groups, 6, inputs))
    read = np.maximum(mixed + 0.3 * random.normal(size=mixed.shape) + 0.5, 0)
    return read, random.normal(size=(groups, inputs, outputs))


@pytest.mark.parametrize("groups", [1, 7])
def test_less_error_than_the_nearest(groups: int) -> None:
    read, weights = sample(groups)
    moments = Moments(*weights.shape)
    moments.add(read, read @ weights)
    solved = moments.solve(weights, biased=True)
    step = np.abs(weights).max(axis=1, keepdims=True) / 127
    nearest = np.rint(weights / step) * step
    error = np.square(read @ solved.weights + solved.bias[:, None] - read @ weights).mean()
    assert error < 0.5 * np.square(read @ nearest - read @ weights).mean()


def test_rounding_again_changes_nothing() -> None:
    read, weights = sample()
    rounded = round_on(np.swapaxes(read, 1, 2) @ read, weights)[0].astype(np.float32)
    codes, peaks = encode_symmetric(rounded, 1)
    assert np.array_equal(codes * (peaks / 127), rounded)
    assert (np.abs(codes.astype(int)).max(axis=0) == 127).all()


@pytest.mark.parametrize("channels", [8, 5])
def test_rounding_again_changes_nothing_without_vnni(channels: int) -> None:
    read, weights = sample(inputs=channels * 9, outputs=16)
    rounded = round_on(np.swapaxes(read, 1, 2) @ read, weights, channels)[0].astype(np.float32)
    layer, shaped = conv("layer", "input", "weights"), rounded.reshape(3, 3, channels, 16)
    assert np.array_equal(encoded(layer, shaped, without_vnni=True), shaped)
    step = np.abs(rounded).max(axis=0) / 126
    assert (np.abs(rounded - weights[0]).max(axis=0) < 40 * step).all()


def test_noise_that_came_before_is_taken_back() -> None:
    read, weights = sample()
    louder = read * 1.2
    moments = Moments(*weights.shape)
    moments.add(louder, read @ weights + 3)
    solved = moments.solve(weights, biased=True)
    left = louder @ solved.weights + solved.bias[:, None] - (read @ weights + 3)
    assert np.abs(left).max() < 0.1 * np.abs(louder @ weights - read @ weights).max()
    assert abs(left.mean()) < 1e-3


def test_without_a_bias_none_is_asked_for() -> None:
    read, weights = sample()
    moments = Moments(*weights.shape)
    moments.add(read, read @ weights)
    assert not moments.solve(weights, biased=False).bias.any()


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_weights_all_zero_or_all_equal_and_inputs_that_are_silent(value: float) -> None:
    read, weights = sample()
    for reading in (read, np.zeros_like(read)):
        moments = Moments(*weights.shape)
        moments.add(reading, reading @ np.full_like(weights, value))
        solved = moments.solve(np.full_like(weights, value), biased=True)
        assert np.allclose(solved.weights, value, atol=0.05)

"""clip_outliers: what is clipped, that rounding then errs less, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core import passes, stats
from compressor_gui.core.errors import PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import find_layers
from compressor_gui.core.passes import PassResult
from compressor_gui.core.passes.clip_outliers import ClipOutliers
from compressor_gui.core.rounding import SYMMETRIES
from compressor_gui.core.values import DType
from tests.support import Net, applied, const, graph, graphs, node, placeholder


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).normal(size=shape).astype(np.float32)


def dense(values: np.ndarray, dtype: DType = DType.FLOAT) -> ModelGraph:
    x = placeholder("x", (1, len(values)), dtype)
    return graph(x, const("w", values, dtype), node("y", "MatMul", "x", "w", T=dtype))


def weights(model: ModelGraph) -> np.ndarray:
    tensor = model["w"].tensor
    assert tensor is not None
    return tensor.array


def clipped(values: np.ndarray, **how: object) -> np.ndarray:
    return weights(applied(passes.make("clip_outliers", how), dense(values)).graph)


def error(values: np.ndarray, limit: np.ndarray, bits: int) -> np.ndarray:
    """The squared error of each column when it is clipped to +-``limit`` and rounded, written out."""
    step = limit / (2 ** (bits - 1) - 1)
    rounded = np.rint(np.clip(values, -limit, limit) / step) * step
    return np.asarray(np.square(rounded - values.astype(np.float64)).sum(axis=0))


@pytest.mark.parametrize("bits", range(2, 9))
def test_no_other_limit_errs_much_less(bits: int) -> None:
    values = normal(512, 6)
    values[:2] *= 4
    peaks = np.abs(values).max(axis=0)
    found = error(values, np.abs(clipped(values, bits=bits)).max(axis=0), bits)
    least = np.min([error(values, peaks * share, bits) for share in np.linspace(0.03, 1, 400)], axis=0)
    assert (found <= error(values, peaks, bits)).all()
    assert (found <= 1.1 * least).all()


@pytest.mark.parametrize("per_channel", [True, False])
def test_only_what_lies_beyond_a_channels_limit_changes(per_channel: bool) -> None:
    values = normal(256, 8) * np.geomspace(0.01, 1, 8, dtype=np.float32)
    values[np.abs(values) < 0.001] = 0
    values[3] *= 10
    after = clipped(values, bits=4, per_channel=per_channel)
    limits = np.abs(after).max(axis=0) if per_channel else np.abs(after).max()
    assert (after == np.clip(values, -limits, limits)).all()
    assert (after != values).any(axis=0).all() == per_channel
    assert (after[values == 0] == 0).all()


def test_what_the_next_step_rounds_is_finer() -> None:
    """What the notes promise holds of the 8 bits that are stored then."""
    values = normal(1 << 18, 1)
    values[0] = 12
    model = dense(values)
    done = passes.apply(ClipOutliers(), model)
    for symmetry in SYMMETRIES:
        step = passes.make("quantize_weights", {"minimum_size": 1, "symmetry": symmetry})
        noise = [
            np.square(find_layers(passes.apply(step, before).graph)[0].weights[1:] - values[1:]).mean()
            for before in (model, done.graph)
        ]
        assert noise[1] < noise[0] / 2, symmetry


def test_the_notes_have_the_error_before_and_after() -> None:
    values = normal(4096, 1)
    values[7] = 9
    done = passes.apply(ClipOutliers(bits=4), dense(values))
    after = weights(done.graph)
    signal = float(np.square(values, dtype=np.float64).sum())
    noise = [float(error(values, np.abs(w).max(axis=0), 4).sum()) for w in (values, after)]
    before_db, after_db = (10 * np.log10(signal / n) for n in noise)
    count = np.count_nonzero(after != values)
    assert done.notes == (
        f"Clipped {count} of 4,096 weights in 1 layer: rounded to 4 bits, these layers' weights have a signal-to-noise "
        f"ratio of {after_db:.1f} dB, before {before_db:.1f}.",
    )
    assert after_db > before_db + 3


def test_the_search_is_that_of_the_estimate() -> None:
    """A range for the whole layer errs as the inspector's estimate by bits says."""
    values = normal(3000, 4)
    for bits in (3, 5):
        after = clipped(values, bits=bits, per_channel=False)
        found = np.sqrt(error(values, np.abs(after).max(), bits).sum() / np.square(values).sum())
        assert found == pytest.approx(stats.quantization_errors(values, (bits,))[0], rel=0.01)


def test_levels_that_fit_need_no_clipping() -> None:
    done = passes.apply(ClipOutliers(bits=3), dense(np.tile(np.arange(-3, 4, dtype=np.float32)[:, None], (9, 2))))
    assert not done.changed
    assert done.notes == ("Rounded to 3 bits, no weight lies so far out that clipping it would pay.",)


@pytest.mark.parametrize("dtype", [DType.HALF, DType.DOUBLE])
def test_other_floating_point_types_keep_theirs(dtype: DType) -> None:
    done = applied(ClipOutliers(bits=2), dense(normal(64, 8), dtype))
    assert done.changed
    assert weights(done.graph).dtype == dtype.numpy


def test_what_is_left_alone_says_why() -> None:
    broken = normal(8, 8)
    broken[1, 1] = np.nan
    for values, words in ((broken, "not finite"), (np.ones((8, 8)), "equal"), (np.zeros((8, 8)), "equal")):
        done = passes.apply(ClipOutliers(), dense(values))
        assert not done.changed
        assert words in done.notes[0]


def two_layers() -> ModelGraph:
    return Net((1, 8, 8, 16)).conv(32).bias().depthwise().conv(64, kernel=1).build()


def changed(done: PassResult) -> set[str]:
    return set(done.origins)


def test_layers_are_chosen_by_name() -> None:
    model = two_layers()
    first, second, third = (layer.weight for layer in find_layers(model))
    run = {key: changed(passes.apply(ClipOutliers(bits=2, **names), model)) for key, names in {  # type: ignore[arg-type]
        "all": {}, "one": {"layers": ("depthwise",)}, "rest": {"skip": ("depthwise",)},
        "none": {"layers": ("conv",), "skip": ("conv",)},
    }.items()}  # fmt: skip
    assert run == {"all": {first, second, third}, "one": {second}, "rest": {first, third}, "none": set()}


@pytest.mark.parametrize(("key", "verb"), [("layers", "clip"), ("skip", "skip")])
def test_a_layer_that_is_not_there(key: str, verb: str) -> None:
    with pytest.raises(PassError, match=f"no node or scope 'depthwize' to {verb} .*did you mean depthwise"):
        passes.apply(passes.make("clip_outliers", {key: ["depthwize"]}), two_layers())


@given(graphs(), st.integers(2, 8), st.booleans())
def test_any_network(model: ModelGraph, bits: int, per_channel: bool) -> None:
    done = applied(ClipOutliers(bits, per_channel), model)
    assert set(done.graph) == set(model)
    for old, new in zip(find_layers(model), find_layers(done.graph), strict=True):
        assert (np.abs(new.weights) <= np.abs(old.weights)).all()
        assert (np.sign(new.weights) == np.sign(old.weights)).all()

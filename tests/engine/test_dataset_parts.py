"""Splits are what the seed says, limits and memory are kept, and the parts of a data set are the whole."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.values import DType
from tests.core.test_data import SAMPLES, taking, touch
from tests.engine.examples import opened, picture, sources
from tests.support import graph, node, placeholder, tensorflow

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("quiet_tensorflow")]


# --- splits, limits, memory, constants -------------------------------------------------------------------------------


def test_splits_are_apart_and_the_seed_decides_them(tmp_path: Path) -> None:
    for at in range(60):
        picture(tmp_path / f"{at:02}.png")
    touch(tmp_path / "07.png", "words")
    model = taking(-1, 4, 4, 3)
    spec = guess(model, tmp_path)
    train, test = opened(spec, model, split="train"), opened(spec, model, split="test")
    seen = {"train": sources(train), "test": sources(test)}
    assert sources(opened(spec, model, split="test")) == seen["test"]
    assert not set(seen["train"]) & set(seen["test"])
    assert len(seen["train"]) + len(seen["test"]) == 59
    assert 4 <= len(seen["test"]) <= 24  # about a fifth
    assert len(train.skipped) + len(test.skipped) == 1
    assert train.count + test.count == 60
    assert sources(opened(spec, model, split="test", seed=1)) != seen["test"]
    (tmp_path / "00.png").unlink()  # the others stay where they were
    assert [n for n in seen["test"] if n != "00.png"] == sources(opened(spec, model, split="test"))


def test_a_limit_takes_the_first_that_can_be_decoded(tmp_path: Path) -> None:
    for at in range(9):
        picture(tmp_path / f"{at}.png")
    touch(tmp_path / "1.png", "words")
    model = taking(-1, 4, 4, 3)
    data = opened(guess(model, tmp_path), model, 2, limit=3)
    assert sources(data) == ["0.png", "2.png", "3.png"]
    assert (data.n, data.count, len(data.skipped)) == (3, 3, 1)


def test_batches_are_kept_while_they_fit() -> None:
    model = read_graph(SAMPLES / "lenet-5.pb")
    spec = dataclasses.replace(guess(model, SAMPLES), limit=40)
    kept = opened(spec, model, 16)
    first = list(kept)
    assert all(a is b for a, b in zip(first, kept, strict=True))
    decoded = opened(spec, model, 16, cache_bytes=3 * 16 * 784 * 4 - 1 - 8 * 784 * 4)  # one byte less than all
    before = list(decoded)
    for a, b, c in zip(first, before, decoded, strict=True):
        assert a.sources == b.sources == c.sources
        assert np.array_equal(b.feeds["input"], c.feeds["input"])
        assert np.array_equal(a.feeds["input"], c.feeds["input"])
        assert b is not c


def test_stopping_in_the_middle_leaves_nothing_half_kept() -> None:
    model = read_graph(SAMPLES / "lenet-5.pb")
    data = opened(dataclasses.replace(guess(model, SAMPLES), limit=40), model, 16)
    next(iter(data))
    assert sum(len(batch) for batch in data) == 40


def test_other_inputs_get_constants_in_their_shapes(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    model = graph(
        placeholder("x", (-1, 4, 4, 3)),
        placeholder("rate", ()),
        placeholder("state", (-1, 2)),
        placeholder("training", (), DType.BOOL),
        node("y", "AddN", "x", "rate", "state", "training", N=4),
    )
    spec = guess(model, tmp_path)
    (batch,) = opened(spec, model, constants={**spec.constants, "state": 0.5})
    assert {name: value.tolist() for name, value in batch.feeds.items() if name != "x"} == {
        "rate": 1.0,
        "state": [[0.5, 0.5]],
        "training": False,
    }
    assert next(iter(batch.feeds)) == "x"
    with pytest.raises(CompressorError, match=r"the input 'rate' has no value \(give it one under constants\)"):
        opened(spec, model, constants={})


# --- parts -----------------------------------------------------------------------------------------------------------


def examples(batches: Any) -> list[tuple[str, int | None, bytes]]:
    found = []
    for batch in batches:
        labels = [None] * len(batch) if batch.labels is None else batch.labels.tolist()
        found += zip(batch.sources, labels, (value.tobytes() for value in batch.counted(batch.feeds["x"])), strict=True)
    return found


def in_parts(data: Any, count: int) -> tuple[list[tuple[str, int | None, bytes]], list[str]]:
    from compressor_gui.engine.dataset import cut

    found, skipped = [], []
    for part in cut(data.indices, data.batch, count):
        found += examples(data.part(part))
        skipped += data.skipped
    return found, skipped


@pytest.mark.parametrize("count", [1, 3, 100])
@pytest.mark.parametrize("split", ["all", "train"])
def test_parts_of_pictures_are_the_whole(tmp_path: Path, split: str, count: int) -> None:
    for at in range(23):
        path = picture(tmp_path / ("cat", "dog")[at % 2] / f"{at:02}.png", 5 * at)
        if at % 7 == 3:
            path.write_bytes(b"words")
    model = taking(-1, 4, 4, 3)
    data = opened(guess(model, tmp_path), model, 4, split=split, test_share=0.4)
    whole, left_out = examples(data), data.skipped
    found, skipped = in_parts(data, count)
    assert (found, skipped) == (whole, left_out)
    assert len(found) + len(skipped) == data.count > 10


@pytest.mark.parametrize("packed", ["", "GZIP"])
def test_parts_of_records_are_the_whole(tmp_path: Path, packed: str) -> None:
    tf = tensorflow()
    for file in range(3):
        with tf.io.TFRecordWriter(str(tmp_path / f"{file}.tfrecord"), packed) as writer:
            for at in range(7):
                value = tf.train.Feature(float_list=tf.train.FloatList(value=[file, at]))
                writer.write(tf.train.Example(features=tf.train.Features(feature={"x": value})).SerializeToString())
    if not packed:  # the second file is broken from its third record on
        damaged = bytearray((tmp_path / "1.tfrecord").read_bytes())
        damaged[len(damaged) // 7 * 2 + 20] ^= 0xFF
        (tmp_path / "1.tfrecord").write_bytes(damaged)
    model = taking(-1, 2)
    spec = DataSpec("tfrecord", str(tmp_path), feature="x", std=1.0, channels=0)
    data = opened(spec, model, 2)
    whole = examples(data), data.skipped
    assert len(whole[0]) == (21 if packed else 16)
    assert in_parts(data, 100) == in_parts(data, 2) == whole


def test_parts_are_whole_batches() -> None:
    from compressor_gui.engine.dataset import cut

    assert cut(range(10), 2, 3) == [range(4), range(4, 8), range(8, 10)]
    assert cut([1, 5, 6, 9], 3, 9) == [range(1, 7), range(9, 10)]
    assert cut([], 3, 9) == []

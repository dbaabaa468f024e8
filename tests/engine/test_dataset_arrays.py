"""Arrays and records arrive as the graph wants them, and broken ones are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compressor_gui.core.data import guess
from compressor_gui.core.errors import CompressorError
from tests.core.test_data import taking, touch, write_idx
from tests.engine.examples import opened, picture, values
from tests.support import tensorflow

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("quiet_tensorflow")]


def test_idx_in_every_rank_of_placeholder(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", pixels)
    for dims in ((-1, 28, 28, 1), (-1, 784), (-1, 28, 28), (-1, 1, 28, 28)):
        model = taking(*dims)
        data = opened(guess(model, tmp_path), model)
        assert values(data).reshape(5, -1) == pytest.approx(pixels.reshape(5, -1) / 255, abs=1e-6)
        assert (data.count, data.labelled) == (5, False)
    (other,) = list(opened(guess(taking(-1, 28, 28, 3), tmp_path), taking(-1, 28, 28, 3), 5))
    assert np.array_equal(other.feeds["x"][..., 0], other.feeds["x"][..., 2])  # grey in three colours
    with pytest.raises(CompressorError, match="an example is 28×28×1, but the input 'x' is 9×9×1"):
        list(opened(guess(taking(-1, 28, 28, 1), tmp_path), taking(-1, 9, 9, 1)))


def test_a_fixed_batch_is_filled_up(tmp_path: Path) -> None:
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.arange(5 * 16).reshape(5, 4, 4))
    model = taking(2, 4, 4, 1)
    batches = list(opened(guess(model, tmp_path), model, 32))
    assert [len(batch.feeds["x"]) for batch in batches] == [2, 2, 2]
    assert [(len(batch), batch.copies) for batch in batches] == [(2, 0), (2, 0), (1, 1)]


def test_numpy_arrays(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(6, 3)).astype(np.float32), np.eye(4)[[0, 1, 2, 3, 0, 1]]
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    model = taking(-1, 3)
    data = opened(guess(model, tmp_path / "rows.npz"), model)
    assert np.array_equal(values(data), x)
    assert np.concatenate([batch.labels for batch in data]).tolist() == [0, 1, 2, 3, 0, 1]  # one-hot
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.arange(6))
    mapped = opened(guess(model, tmp_path / "x.npy"), model, targets=str(tmp_path / "y.npy"))
    assert np.array_equal(values(mapped), x)
    assert [batch.labels.tolist() for batch in mapped] == [[0, 1, 2, 3], [4, 5]]
    np.save(tmp_path / "y.npy", np.arange(5))
    with pytest.raises(CompressorError, match="6 examples, but 5 labels"):
        opened(guess(model, tmp_path / "x.npy"), model, targets=str(tmp_path / "y.npy"))


def record(**features: Any) -> bytes:
    tf = tensorflow()
    made = {}
    for name, value in features.items():
        kinds = {bytes: ("bytes_list", tf.train.BytesList), float: ("float_list", tf.train.FloatList)}
        kind, listed = kinds.get(type(value[0]), ("int64_list", tf.train.Int64List))
        made[name.replace("__", "/")] = tf.train.Feature(**{kind: listed(value=value)})
    return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()


def write_records(path: Path, records: list[bytes], packed: str = "") -> Path:
    with tensorflow().io.TFRecordWriter(str(path), packed) as writer:
        for one in records:
            writer.write(one)
    return path


@pytest.mark.parametrize("packed", ["", "GZIP"])
def test_records_of_pictures(tmp_path: Path, packed: str) -> None:
    images = [picture(tmp_path / "p.png", at).read_bytes() for at in (0, 51, 102)]
    images.insert(1, b"\x89PNG broken")
    records = [record(image__encoded=[image], image__class__label=[at]) for at, image in enumerate(images)]
    model = taking(-1, 4, 4, 3)
    path = write_records(tmp_path / "a.tfrecord", records, packed)
    data = opened(guess(model, path), model)
    (batch,) = data
    assert batch.labels.tolist() == [0, 2, 3]
    assert values(data)[:, 0, 0, 0] == pytest.approx([0, 0.2, 0.4])
    assert (len(data.skipped), data.count) == (1, -1 if packed else 4)
    assert data.skipped[0].endswith("record 2")


def test_records_of_numbers_and_of_words(tmp_path: Path) -> None:
    model = taking(-1, 2, 2, 1)
    floats = write_records(tmp_path / "f.tfrecord", [record(x=[0.5, 1.0, 1.5, 2.0], label=[3])])
    data = opened(guess(model, floats), model)
    assert values(data).reshape(-1).tolist() == [0.5, 1.0, 1.5, 2.0]
    raw = write_records(tmp_path / "r.tfrecord", [record(image_raw=[bytes([0, 51, 102, 255])], label=[b"cat"])])
    names = touch(tmp_path / "names.txt", "dog\ncat")
    data = opened(guess(model, raw), model, names=str(names))
    (batch,) = data
    assert batch.labels.tolist() == [1]
    assert batch.feeds["x"].reshape(-1) == pytest.approx([0, 0.2, 0.4, 1])
    strange = write_records(
        tmp_path / "s.tfrecord", [record(image_raw=[bytes(4)], label=[word]) for word in (b"emu", b"dog")]
    )
    data = opened(guess(model, strange), model, names=str(names))
    assert [batch.labels.tolist() for batch in data] == [[0]]
    assert len(data.skipped) == 1
    with pytest.raises(CompressorError, match="the labels 'label' are words"):
        opened(guess(model, raw), model)
    with pytest.raises(CompressorError, match=r"no feature 'picture' \(its features: image_raw, label\)"):
        opened(guess(model, raw), model, feature="picture")


def test_damaged_records_are_named_and_the_next_file_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    folder.mkdir()
    one = record(x=[1.0, 2.0, 3.0, 4.0], label=[1])
    first = write_records(folder / "t-00000-of-00002", [one] * 4)
    write_records(folder / "t-00001-of-00002", [one] * 2)
    damaged = bytearray(first.read_bytes())
    damaged[len(damaged) // 4 + 20] ^= 1
    first.write_bytes(damaged)
    model = taking(-1, 2, 2, 1)
    data = opened(guess(model, folder), model, 8)
    assert sum(len(batch) for batch in data) == 3
    assert [Path(name).name for name in data.skipped] == [f"t-00000-of-00002, record {at}" for at in (2, 3, 4)]


def test_no_records(tmp_path: Path) -> None:
    model = taking(-1, 2, 2, 1)
    for content, words in (("", "no TFRecord file"), ("words and more words", "no TFRecord file")):
        with pytest.raises(CompressorError, match=words):
            guess(model, touch(tmp_path / "a.tfrecord", content))
    with pytest.raises(CompressorError, match=r"no tf\.train\.Example"):
        guess(model, write_records(tmp_path / "a.tfrecord", [b"no example"]))


@pytest.mark.parametrize("compression", [None, "GZIP"])
def test_a_saved_data_set(tmp_path: Path, compression: str | None) -> None:
    tf = tensorflow()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1)).astype(np.uint8)
    whole = tf.data.Dataset.from_tensor_slices({"image": pixels, "label": np.arange(6)})
    model = taking(-1, 4, 4, 1)
    for at, made in enumerate((whole, whole.batch(4), whole.map(lambda one: (one["image"], one["label"])))):
        made.save(str(tmp_path / str(at)), compression=compression)
        data = opened(guess(model, tmp_path / str(at)), model)
        assert values(data) == pytest.approx(pixels / 255, abs=1e-6)
        assert [batch.labels.tolist() for batch in data] == [[0, 1, 2, 3], [4, 5]]
    (tmp_path / "0" / "dataset_spec.pb").write_bytes(b"\xff")
    with pytest.raises(CompressorError, match="no saved data set"):
        guess(model, tmp_path / "0")

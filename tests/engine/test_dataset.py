"""Examples of every kind arrive as the graph wants them, broken ones are named, and splits are what the seed says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compressor_gui.core.data import DataSpec, guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.measure import ModelRef, Preview
from compressor_gui.core.pbio import read_graph, write_graph
from compressor_gui.core.serve import Job
from compressor_gui.core.values import DType
from tests.core.test_data import SAMPLES, taking, touch, write_idx
from tests.support import graph, node, placeholder, tensorflow

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", autouse=True)
def quiet_tensorflow() -> Any:
    return tensorflow()


def opened(spec: DataSpec, model: ModelGraph, batch: int = 4, **fields: Any) -> Any:
    from compressor_gui.engine.dataset import open_dataset

    return open_dataset(dataclasses.replace(spec, **fields), model, batch)


def picture(path: Path, value: int = 128, size: tuple[int, int] = (6, 8), channels: int = 3) -> Path:
    """A picture of one colour."""
    tf = tensorflow()
    pixels = np.full((*size, channels), value, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    encode = tf.io.encode_png if path.suffix == ".png" else tf.io.encode_jpeg
    path.write_bytes(encode(pixels).numpy())
    return path


def values(data: Any) -> np.ndarray:
    return np.concatenate([batch.feeds["x"] for batch in data])


def sources(data: Any) -> list[str]:
    return [Path(source).name for batch in data for source in batch.sources]


# --- pictures --------------------------------------------------------------------------------------------------------


def test_500_files_of_which_20_are_broken(tmp_path: Path) -> None:
    whole = picture(tmp_path / "whole.jpg", size=(40, 40)).read_bytes()
    (tmp_path / "whole.jpg").unlink()
    broken = []
    for at in range(500):
        path = tmp_path / ("cat", "dog")[at % 2] / f"{at:03}.jpg"
        path.parent.mkdir(exist_ok=True)
        if at % 25 == 7:
            broken.append(path)
            path.write_bytes((whole[: len(whole) // 2], b"", b"these are words, not a picture")[at % 3])
        else:
            path.write_bytes(whole)
    model = taking(-1, 4, 4, 3)
    data = opened(guess(model, tmp_path), model, 32)
    for _ in range(2):  # decoded, and then from memory
        seen = [source for batch in data for source in batch.sources]
        assert len(seen) == data.n == 480
        assert data.count == 500
        assert sorted(data.skipped) == sorted(str(path) for path in broken)
        assert not set(seen) & set(data.skipped)


def test_a_class_a_folder_in_turn_with_labels(tmp_path: Path) -> None:
    for folder, number in (("cat", 3), ("dog", 1), ("eel", 2)):
        for at in range(number):
            picture(tmp_path / folder / f"{at}.png", 10 * at)
    touch(tmp_path / "readme.txt")
    touch(tmp_path / "names.txt", "eel\ndog\ncat")
    model = taking(-1, 4, 4, 3)
    (batch,) = opened(guess(model, tmp_path), model, 8)
    assert batch.labels.tolist() == [0, 1, 2, 0, 2, 0]  # so that a limit takes of every class
    assert batch.labels.dtype == np.int64
    named = opened(guess(model, tmp_path), model, 8, names=str(tmp_path / "names.txt"), limit=3)
    assert named.classes == ("eel", "dog", "cat")
    assert [batch.labels.tolist() for batch in named] == [[2, 1, 0]]
    assert opened(guess(model, tmp_path), model, label_offset=1, limit=1).__iter__().__next__().labels.tolist() == [1]


def test_a_folder_of_pictures_has_no_labels_unless_a_file_says_them(tmp_path: Path) -> None:
    for at in range(3):
        picture(tmp_path / f"{at}.png", at)
    model = taking(-1, 4, 4, 3)
    plain = opened(guess(model, tmp_path), model)
    assert not plain.labelled
    assert next(iter(plain)).labels is None
    targets = touch(tmp_path / "t.csv", "picture,class\n2.png,wolf\n0.png,bear\nmissing.png,bear\n")
    data = opened(guess(model, tmp_path), model, targets=str(targets))
    (batch,) = data
    assert (sources(data), batch.labels.tolist(), data.classes) == (["2.png", "0.png"], [1, 0], ("bear", "wolf"))
    assert data.skipped == [f"{tmp_path / 'missing.png'} (there is no such file)"]


@pytest.mark.parametrize(("label", "words"), [("x", "'x' is a word, but others are numbers"), ("-1", "-1 is no class")])
def test_one_bad_label_does_not_renumber_the_others(tmp_path: Path, label: str, words: str) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name)
    model = taking(-1, 4, 4, 3)
    targets = touch(tmp_path / "t.csv", f"a.png,3\nb.png,{label}\n")
    with pytest.raises(CompressorError, match=rf"t\.csv, line 2: the label {words}"):
        opened(guess(model, tmp_path), model, targets=str(targets))


def test_pictures_are_cropped_scaled_and_ordered(tmp_path: Path) -> None:
    tf = tensorflow()
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 4:] = (200, 100, 50)
    (tmp_path / "a.png").write_bytes(tf.io.encode_png(pixels).numpy())
    model = taking(-1, 2, 4, 3)
    spec = dataclasses.replace(guess(model, tmp_path), mean=100.0, std=50.0)
    one = values(opened(spec, model))
    assert one.shape == (1, 2, 4, 3)
    assert one[0, 0].tolist() == [[-2, -2, -2], [-2, -2, -2], [2, 0, -1], [2, 0, -1]]
    assert values(opened(spec, model, order="BGR"))[0, 0, 3].tolist() == [-1, 0, 2]
    cropped = values(opened(spec, model, crop=0.5))  # 2 x 4 in the middle, so that nothing is resized
    assert cropped[0, 1].tolist() == one[0, 1].tolist()
    nchw = taking(-1, 3, 2, 4)
    assert np.array_equal(values(opened(spec, nchw, layout="NCHW")), one.transpose(0, 3, 1, 2))
    ints = taking(-1, 2, 4, 3, dtype=DType.UINT8)
    found = values(opened(guess(ints, tmp_path), ints))
    assert (found.dtype, found[0, 0, 3].tolist()) == (np.uint8, [200, 100, 50])
    grey = taking(-1, 2, 4, 1)
    assert values(opened(guess(grey, tmp_path), grey))[0, 0, 3, 0] == pytest.approx(124 / 255, abs=0.01)


def test_pictures_as_they_are_must_have_one_size(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", size=(6, 8))
    model = taking(-1, -1, -1, 3)
    spec = dataclasses.replace(guess(model, tmp_path), height=0, width=0)
    assert values(opened(spec, model)).shape == (1, 6, 8, 3)
    picture(tmp_path / "b.png", size=(7, 8))
    with pytest.raises(CompressorError, match="different sizes; set height and width"):
        list(opened(spec, model))


def test_all_broken_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", "words")
    model = taking(-1, 4, 4, 3)
    with pytest.raises(CompressorError, match=r"none of the 1 examples can be read; the first is .*a\.jpg"):
        list(opened(guess(model, tmp_path), model))


def test_a_graph_that_decodes_itself_gets_the_bytes(tmp_path: Path) -> None:
    whole = picture(tmp_path / "a.png").read_bytes()
    touch(tmp_path / "b.png", "words")
    for dims in ((), (-1,)):
        model = taking(*dims, dtype=DType.STRING)
        data = opened(guess(model, tmp_path), model)
        (batch,) = data
        assert batch.feeds["x"].reshape(-1).tolist() == [whole]
        assert batch.feeds["x"].ndim == len(dims)
        assert len(data.skipped) == 1


# --- arrays and records ----------------------------------------------------------------------------------------------


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


def test_another_layout_is_refused_and_not_reshaped(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for dims, layout in (((-1, 4, 4, 3), "NCHW"), ((-1, 3, 4, 4), "NHWC")):
        model = taking(*dims)
        with pytest.raises(CompressorError, match="set height, width, channels and layout"):
            values(opened(guess(model, tmp_path), model, layout=layout))
    grey = taking(-1, 4, 4, 1)
    assert values(opened(guess(grey, tmp_path), grey, layout="NCHW")).shape == (1, 4, 4, 1)  # the same numbers


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


# --- preview ---------------------------------------------------------------------------------------------------------


def test_the_preview_shows_what_the_network_will_see(tmp_path: Path) -> None:
    from compressor_gui.engine.preview import preview

    model = taking(-1, 3, 4, 6)
    write_graph(model, tmp_path / "m.pb")
    for at, value in enumerate((60, 180)):
        picture(tmp_path / "data" / str(at) / "a.png", value)
    touch(tmp_path / "data" / "0" / "b.png", "words")
    spec = dataclasses.replace(guess(model, tmp_path / "data"), order="BGR", mean=60.0, std=120.0)
    ref = ModelRef(str(tmp_path / "m.pb"))
    found = preview(Preview(ref, spec, 5), Job(1, lambda *_: None))
    assert [(Path(item.source).name, item.label) for item in found.items] == [("a.png", 0), ("a.png", 1)]
    assert (found.shape, found.dtype, found.low, found.high) == ((3, 4, 6), "float32", 0.0, 1.0)
    assert (found.count, found.classes, len(found.skipped)) == (2, ("0", "1"), 1)
    import base64

    shown = [tensorflow().io.decode_png(base64.b64decode(item.png)).numpy() for item in found.items]
    assert [picture.shape for picture in shown] == [(4, 6, 3)] * 2
    assert [int(picture.mean()) for picture in shown] == [60, 180]


def test_the_preview_of_rows_is_no_picture(tmp_path: Path) -> None:
    from compressor_gui.engine.preview import preview

    write_graph(taking(-1, 3), tmp_path / "m.pb")
    np.save(tmp_path / "x.npy", np.ones((2, 3), np.float32))
    spec = guess(taking(-1, 3), tmp_path / "x.npy")
    found = preview(Preview(ModelRef(str(tmp_path / "m.pb")), spec), Job(1, lambda *_: None))
    assert [item.png for item in found.items] == ["", ""]


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

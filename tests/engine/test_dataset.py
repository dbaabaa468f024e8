"""Pictures arrive as the graph wants them, broken ones are named, and the preview shows them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from compressor_gui.core.data import guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import ModelRef, Preview
from compressor_gui.core.pbio import write_graph
from compressor_gui.core.serve import Job
from compressor_gui.core.values import DType
from tests.core.test_data import taking, touch
from tests.engine.examples import opened, picture, sources, values
from tests.support import tensorflow

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("quiet_tensorflow")]


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


def test_another_layout_is_refused_and_not_reshaped(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for dims, layout in (((-1, 4, 4, 3), "NCHW"), ((-1, 3, 4, 4), "NHWC")):
        model = taking(*dims)
        with pytest.raises(CompressorError, match="set height, width, channels and layout"):
            values(opened(guess(model, tmp_path), model, layout=layout))
    grey = taking(-1, 4, 4, 1)
    assert values(opened(guess(grey, tmp_path), grey, layout="NCHW")).shape == (1, 4, 4, 1)  # the same numbers


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

from __future__ import annotations

import dataclasses
import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from compressor_gui.core import datafiles
from compressor_gui.core.data import DataSpec, check_same_input, find_input, guess, load_or_guess
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.pbio import read_graph
from compressor_gui.core.values import DType
from tests.support import SHARED, Net, const, graph, needs_shared, node, placeholder

SAMPLES = Path(__file__).resolve().parents[2] / "resources" / "samples"


def taking(*dims: int, dtype: DType = DType.FLOAT) -> ModelGraph:
    return graph(placeholder("x", dims, dtype), node("y", "Identity", "x", T=dtype))


def write_idx(path: Path, array: np.ndarray) -> Path:
    data = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def touch(path: Path, content: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


# --- the description -------------------------------------------------------------------------------------------------


def test_a_description_comes_back_from_its_json_with_paths_beside_it(tmp_path: Path) -> None:
    spec = DataSpec("images", "photos", names="names.txt", input="x", height=5, width=6, constants={"rate": 0.5})
    file = touch(tmp_path / "data.json", spec.to_json())
    there = dataclasses.replace(spec, path=str(tmp_path / "photos"), names=str(tmp_path / "names.txt"))
    assert DataSpec.load(file) == there == load_or_guess(str(file), taking(-1, 8, 8, 3))
    assert DataSpec.from_json(there.to_json()) == there


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "video"}, "kind is 'video' .*images"),
        ({"std": 0}, "std is 0.0 .*divides"),
        ({"mean": float("nan")}, "mean is nan"),
        ({"crop": 0}, "crop is 0.0 .*fraction"),
        ({"width": -1}, "width is -1"),
        ({"channels": 2}, "channels is 2"),
        ({"split": "half"}, "split is 'half' .*all, train or test"),
        ({"limit": -5}, "limit is -5"),
        ({"colour": "red"}, "has no 'colour'"),
        ({"limit": "many"}, "limit is not int"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, fields: dict[str, object], words: str) -> None:
    file = touch(tmp_path / "data.json", json.dumps({"kind": "images", "path": ".", **fields}))
    with pytest.raises(CompressorError, match=words):
        DataSpec.load(file)


def test_a_file_that_is_no_description_is_told() -> None:
    with pytest.raises(CompressorError, match="can't be read: No such file"):
        load_or_guess("/no/data.json", taking(-1, 8, 8, 3))
    with pytest.raises(CompressorError, match="no description of data"):
        DataSpec.from_json("[1, 2")


# --- the guess -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet-5", "lenet-300-100"])
def test_the_samples_digits_are_guessed(name: str) -> None:
    model = read_graph(SAMPLES / f"{name}.pb")
    for path in (SAMPLES, SAMPLES / "t10k-1000-images-idx3-ubyte.gz"):
        spec = guess(model, path)
        size = (spec.kind, spec.input, spec.height, spec.width, spec.channels, spec.mean, spec.std, spec.dtype)
        assert size == ("idx", "input", 28, 28, 1, 0.0, 255.0, "float32")
        assert spec.summary == "IDX as float32 28×28×1, (value - 0) / 255, into 'input'"


def test_size_layout_and_values_come_from_the_placeholder(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")

    def facts(model: ModelGraph) -> tuple[object, ...]:
        spec = guess(model, tmp_path)
        return spec.height, spec.width, spec.channels, spec.layout, spec.dtype, spec.mean, spec.std

    assert facts(taking(1, 20, 30, 3)) == (20, 30, 3, "NHWC", "float32", 0, 255)
    assert facts(taking(-1, 1, 20, 30)) == (20, 30, 1, "NCHW", "float32", 0, 255)
    assert facts(taking(1, 20, 30, 3, dtype=DType.UINT8)) == (20, 30, 3, "NHWC", "uint8", 0, 1)
    assert facts(taking(1, 20, 30, 3, dtype=DType.INT32)) == (20, 30, 3, "NHWC", "int32", 0, 1)
    assert facts(taking(1, 20, 30, 3, dtype=DType.INT8)) == (20, 30, 3, "NHWC", "int8", 128, 1)
    assert facts(taking(1, 20, 30, 3, dtype=DType.QUINT8)) == (20, 30, 3, "NHWC", "float32", 0, 255)
    assert facts(taking(-1, -1, -1, 3)) == (224, 224, 3, "NHWC", "float32", 0, 255)
    assert facts(taking(-1, 784)) == (28, 28, 1, "NHWC", "float32", 0, 255)
    assert facts(taking(-1, 28, 28)) == (28, 28, 1, "NHWC", "float32", 0, 255)
    assert facts(taking(dtype=DType.STRING))[4] == "string"
    net = Net((-1, -1, -1, -1))
    net.shape = (-1, -1, -1, 1)
    assert facts(net.conv(2).build())[:4] == (224, 224, 1, "NHWC")  # what the convolution reads


def test_the_input_that_looks_like_a_picture_is_fed_and_the_others_get_constants() -> None:
    model = graph(
        placeholder("rate", ()),
        placeholder("training", (), DType.BOOL),
        placeholder("state", (-1, -1)),
        placeholder("unused", (1, 9, 9, 3)),
        placeholder("picture", (1, 8, 8, 3)),
        node("y", "AddN", "rate", "training", "state", "picture", N=4),
        outputs=["y"],
    )
    spec = guess(model, SAMPLES)
    assert (spec.input, spec.constants) == ("picture", {"rate": 1.0, "training": 0.0, "state": 0.0})
    assert find_input(model, "import/picture:0").name == "picture"
    with pytest.raises(CompressorError, match=r"no input 'image' \(its placeholders: rate, training"):
        find_input(model, "image")
    with pytest.raises(CompressorError, match="no placeholder to feed"):
        find_input(graph(const("c", 1.0)))


@needs_shared
def test_real_models_inputs_are_found(shared_models: dict[str, Path]) -> None:
    found = {name: guess(read_graph(path), SHARED / "images") for name, path in shared_models.items()}
    sizes = {name: (spec.input, spec.height, spec.width, spec.channels, spec.dtype) for name, spec in found.items()}
    assert sizes["emotion"] == ("input_1", 64, 64, 1, "float32")
    assert sizes["movenet-lightning"] == ("input", 192, 192, 3, "int32")
    assert sizes["posenet"] == ("image", 385, 385, 3, "float32")
    assert found["rvm"].input == "src"
    assert found["rvm"].constants == dict.fromkeys(("downsample_ratio", "r1i", "r2i", "r3i", "r4i"), 1.0)


def test_kinds_are_told_by_files(tmp_path: Path) -> None:
    model = taking(-1, 8, 8, 3)
    touch(tmp_path / "classes" / "cat" / "1.png")
    touch(tmp_path / "records" / "train-00000-of-00002")
    np.save(tmp_path / "x.npy", np.zeros((5, 8, 8, 3), np.float32))
    np.savez(tmp_path / "all.npz", y_train=np.zeros(3), x_test=np.zeros((2, 8, 8, 3), np.uint8), y_test=np.zeros(2))
    assert guess(model, tmp_path / "classes").kind == "images"
    assert guess(model, tmp_path / "classes" / "cat" / "1.png").kind == "images"
    x = guess(model, tmp_path / "x.npy")
    assert (x.kind, x.std) == ("numpy", 1.0)  # floats are taken as they are
    z = guess(model, tmp_path / "all.npz")
    assert (z.feature, z.label_feature, z.std) == ("x_test", "y_test", 255.0)
    with pytest.raises(CompressorError, match="no TFRecord file"):
        guess(model, tmp_path / "records")


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing", "no such file"), ("empty", "no data that is known in this folder"), ("notes.txt", "no data that is")],
)
def test_what_is_no_data_is_told(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "notes.txt", "words")
    with pytest.raises(CompressorError, match=words):
        guess(taking(-1, 8, 8, 3), tmp_path / name)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_is_read_and_its_labels_found(tmp_path: Path, ending: str) -> None:
    values = np.arange(24).reshape(2, 3, 4)
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{ending}", values)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{ending}", np.arange(2))
    images, labels = datafiles.idx_files(tmp_path)
    assert images.name.startswith("t10k-images")
    assert labels is not None
    assert labels.name.startswith("t10k-labels")
    assert np.array_equal(datafiles.read_idx(images), values)
    assert datafiles.idx_files(tmp_path / f"train-images-idx3-ubyte{ending}")[1] is not None
    labels.unlink()
    assert datafiles.idx_files(tmp_path)[1] is None


def test_idx_that_lies_is_refused(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "a", np.zeros((2, 2, 2)))
    whole = path.read_bytes()
    for bad, words in (
        (whole[:-1], "not as many values"),
        (whole + b"0", "not as many values"),
        (whole[:3], "no IDX file"),
        (b"\0\0\x07\x01" + whole[4:], "no IDX file"),
        (gzip.compress(whole)[:-9], "no IDX file"),
        (struct.pack(">HBB5I", 0, 14, 5, *[0xFFFFFFFF] * 5), "not as many values"),
    ):
        path.write_bytes(bad)
        with pytest.raises(CompressorError, match=words):
            datafiles.read_idx(path)


def test_names_one_a_line_and_of_synsets(tmp_path: Path) -> None:
    assert datafiles.read_names(touch(tmp_path / "a", "dog\n\nwhite shark\n\n")).names == ("dog", "", "white shark")
    synsets = datafiles.read_names(touch(tmp_path / "b", "n01440764\ttench, Tinca tinca\nn01443537\tgoldfish\n"))
    assert (synsets.names, synsets.keys) == (("tench, Tinca tinca", "goldfish"), ("n01440764", "n01443537"))
    with pytest.raises(CompressorError, match="no names"):
        datafiles.read_names(touch(tmp_path / "c", "\n"))
    (tmp_path / "d").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CompressorError, match="this is no text"):
        datafiles.read_names(tmp_path / "d")


def test_folders_are_classes() -> None:
    assert datafiles.class_order(["dog", "cat"], None) == ({"cat": 0, "dog": 1}, ("cat", "dog"))
    assert datafiles.class_order(["10", "2"], None)[0] == {"10": 10, "2": 2}
    names = datafiles.Names(("dog", "bird", "cat"))
    assert datafiles.class_order(["cat", "dog"], names) == ({"cat": 2, "dog": 0}, names.names)
    assert datafiles.class_order(["b", "a", "c"], names) == ({"a": 0, "b": 1, "c": 2}, names.names)
    synsets = datafiles.Names(("tench", "shark", "ray"), ("n01440764", "n01484850", "n01496331"))
    assert datafiles.class_order(["n01496331", "n01440764"], synsets) == (
        {"n01440764": 0, "n01496331": 1},
        ("tench", "ray"),
    )


@pytest.mark.parametrize(
    ("folders", "names", "words"),
    [
        (["-1", "9"], None, "sub-folder '-1': the label -1 is no class"),
        (["9", "cat"], None, "sub-folder 'cat': the label 'cat' is a word, but others are numbers"),
        (["cat", "dog"], ("a", "b", "c"), "the file of names lacks the sub-folder 'cat'"),
        (["cat", "dog"], ("cat", "dgo"), "the file of names lacks the sub-folder 'dog'"),
        (["0", "3"], ("a", "b", "c"), "there are 3 names, but a sub-folder 3"),
    ],
)
def test_folders_that_are_no_classes_and_names_that_do_not_fit_are_told(
    folders: list[str], names: tuple[str, ...] | None, words: str
) -> None:
    with pytest.raises(CompressorError, match=words):
        datafiles.class_order(folders, datafiles.Names(names) if names else None)


def test_numbers_are_classes_and_a_mixture_is_refused() -> None:
    assert datafiles.class_numbers(["3", "0"], ["", ""]) == [3, 0]
    assert datafiles.class_numbers(["wolf", "bear"], ["", ""]) is None
    for labels, words in ((["3", "x"], "line 2: the label 'x' is a word"), (["3", "-1"], "line 2: the label -1 is no")):
        with pytest.raises(CompressorError, match=words):
            datafiles.class_numbers(labels, ["line 1", "line 2"])


def test_targets_are_told_from_names(tmp_path: Path) -> None:
    lines = touch(tmp_path / "val.csv", "file,label\na.jpg,3\nsub/b.png, 4\n")
    assert datafiles.read_targets(lines) == {"a.jpg": ("3", 2), "sub/b.png": ("4", 3)}
    spaced = touch(tmp_path / "val.txt", "\nILSVRC2012_1.JPEG 65\n")
    assert datafiles.read_targets(spaced) == {"ILSVRC2012_1.JPEG": ("65", 2)}
    assert datafiles.are_targets(lines)
    assert datafiles.are_targets(write_idx(tmp_path / "labels", np.arange(3)))
    assert not datafiles.are_targets(touch(tmp_path / "names.txt", "cat\ndog\n"))
    with pytest.raises(CompressorError, match="line 2: a line has no label"):
        datafiles.read_targets(touch(tmp_path / "bad", "a.jpg,1\nb.jpg\n"))


def test_numpy_files_with_python_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(CompressorError, match="without Python objects"):
        datafiles.read_numpy(tmp_path / "x.npy", "")
    np.savez(tmp_path / "x.npz", a=np.zeros(2))
    with pytest.raises(CompressorError, match=r"no array 'b' \(its arrays: a\)"):
        datafiles.read_numpy(tmp_path / "x.npz", "b")
    touch(tmp_path / "y.npz", "text")
    with pytest.raises(CompressorError, match="no numpy file"):
        guess(taking(-1, 2), tmp_path / "y.npz")


# --- two graphs on the same examples ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [(-1, 28, 28, 1), (1, 28, 28, 1), (-1, -1, -1, 1)])
def test_the_same_input_in_other_words(dims: tuple[int, ...]) -> None:
    check_same_input(taking(*dims), taking(-1, 28, 28, 1), "", "small.pb")
    check_same_input(taking(*dims, dtype=DType.QUINT8), taking(-1, 28, 28, 1), "x", "small.pb")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (taking(-1, 64, 64, 1), r"small.pb: its input 'x' is 28×28×1, and the original's is 64×64×1"),
        (taking(-1, 28), r"small.pb: its input 'x' is 28×28×1, and the original's is 28 "),
        (graph(placeholder("Input3", (1, 64, 64, 1)), node("y", "Identity", "Input3")),
         r"small.pb: it has no input 'Input3', to which the original is fed the examples \(its placeholders: x; "),
    ],
)  # fmt: skip
def test_another_input_is_told(other: ModelGraph, words: str) -> None:
    with pytest.raises(CompressorError, match=words):
        check_same_input(taking(-1, 28, 28, 1), other, "", "small.pb")

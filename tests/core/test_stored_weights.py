"""The pass ``weights``, the store behind it, and the .npz beside a recipe."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from compressor_gui.core import passes, weight_store
from compressor_gui.core.errors import CompressorError, PassError
from compressor_gui.core.graph import ModelGraph
from compressor_gui.core.layers import find_layers
from compressor_gui.core.passes.stored_weights import Weights
from compressor_gui.core.recipe import Recipe, Replayer
from tests.same_bits import assert_same_bits
from tests.support import applied, conv_net, real_model


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "store"
    monkeypatch.setenv(weight_store.FOLDER, str(folder))
    return folder


def doubled(model: ModelGraph) -> dict[str, np.ndarray]:
    return {layer.weight: layer.tensor.array * 2 for layer in find_layers(model)}


def value(model: ModelGraph, name: str) -> np.ndarray:
    tensor = model[name].tensor
    assert tensor is not None
    return tensor.array


def test_constants_are_replaced_and_the_others_are_the_same(store: Path) -> None:
    model = conv_net()
    arrays = doubled(model)
    done = applied(Weights(weight_store.save(arrays)), model)
    for name, array in arrays.items():
        np.testing.assert_array_equal(value(done.graph, name), array)
    assert set(done.origins) == set(arrays)
    assert all(done.graph[name] is model[name] for name in model if name not in arrays)


def test_equal_weights_change_nothing(store: Path) -> None:
    model = conv_net()
    same = {layer.weight: np.array(layer.tensor.array) for layer in find_layers(model)}
    assert not passes.apply(Weights(weight_store.save(same)), model).changed


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["emotion", "liveness"])
def test_stored_weights_of_real_models_compute_what_they_did(store: Path, name: str) -> None:
    model = real_model(name)
    weights = {layer.weight: np.array(layer.tensor.array) for layer in find_layers(model)}
    away = {key: np.zeros_like(array) for key, array in weights.items()}
    emptied = passes.apply(Weights(weight_store.save(away)), model).graph
    restored = passes.apply(Weights(weight_store.save(weights)), emptied).graph
    assert_same_bits(model, restored)


def test_the_name_is_that_of_the_content(store: Path) -> None:
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a/w": np.float32(2)}
    key = weight_store.save(arrays)
    assert key == weight_store.save(dict(reversed(arrays.items()))) == weight_store.save(weight_store.load(key))
    assert [path.name for path in store.iterdir()] == [f"{key}.npz"]
    assert key != weight_store.save({**arrays, "b": arrays["b"] + 1})
    with np.load(store / f"{key}.npz") as found:
        np.testing.assert_array_equal(found["a/w"], arrays["a/w"])


def test_a_recipe_takes_its_weights_along(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = conv_net()
    key = weight_store.save(doubled(model))
    recipe = Recipe.of(Weights(key, "twice"))
    (tmp_path / "sent").mkdir()
    recipe.save(tmp_path / "sent" / "small.recipe.json")
    assert (tmp_path / "sent" / f"{key}.npz").is_file()

    monkeypatch.setenv(weight_store.FOLDER, str(tmp_path / "elsewhere"))
    with pytest.raises(CompressorError, match="not on this machine"):
        Replayer(model).replay(recipe)
    loaded = Recipe.load(tmp_path / "sent" / "small.recipe.json")
    assert loaded == recipe
    np.testing.assert_array_equal(
        value(Replayer(model).replay(loaded).graph, "conv/weights"), 2 * value(model, "conv/weights")
    )


def test_a_recipe_without_its_weights_is_loaded_but_not_saved_again(store: Path, tmp_path: Path) -> None:
    recipe = Recipe.of(Weights("0" * 64))
    (tmp_path / "r.json").write_text(recipe.to_json())
    assert Recipe.load(tmp_path / "r.json") == recipe
    with pytest.raises(CompressorError, match="not on this machine"):
        recipe.save(tmp_path / "s.json")
    assert not (tmp_path / "s.json").exists()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"conv/weight": np.zeros(1, np.float32)}, "there is no constant 'conv/weight'.*did you mean conv/weights"),
        ({"relu": np.zeros(1, np.float32)}, "there is no constant 'relu'"),
        ({"conv/weights": np.zeros((3, 3), np.float32)}, "float32 3×3×3×8, and the stored weights are float32 3×3"),
        ({"conv/weights": np.zeros((3, 3, 3, 8))}, "are float64"),
    ],
)
def test_what_does_not_fit_is_said(store: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(PassError, match=words):
        passes.apply(Weights(weight_store.save(arrays)), conv_net())


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_only_a_hash_names_weights(store: Path, text: str) -> None:
    with pytest.raises(PassError, match="is no SHA-256"):
        passes.apply(Weights(text), conv_net())


def test_damaged_files_are_refused(store: Path, tmp_path: Path) -> None:
    key = weight_store.save(doubled(conv_net()))
    path = store / f"{key}.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PassError, match="damaged"):
        passes.apply(Weights(key), conv_net())
    recipe = tmp_path / "r.json"
    recipe.write_text(Recipe.of(Weights(key)).to_json())
    path.rename(tmp_path / path.name)
    with pytest.raises(CompressorError, match="damaged"):
        Recipe.load(recipe)
    assert not path.exists()


def test_other_archives_are_refused(tmp_path: Path) -> None:
    packed = tmp_path / "packed.npz"
    np.savez_compressed(packed, a=np.zeros(1000, np.float32))
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, a=np.array([{}]))
    (tmp_path / "short.npz").write_bytes(weight_store.to_bytes({"a": np.zeros(100)})[:200])
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("a.npy", json.dumps([1]))
    files = list(tmp_path.glob("*.npz"))
    assert len(files) == 4
    for path in files:
        with pytest.raises(CompressorError, match="damaged"):
            weight_store.from_bytes(path.read_bytes(), path)


def test_a_store_that_cant_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(weight_store.FOLDER, str(tmp_path / "file" / "in"))
    with pytest.raises(CompressorError, match="can't be written"):
        weight_store.save({"a": np.zeros(1)})


def test_the_label_says_who_made_them() -> None:
    assert Weights("a" * 64, "retraining, 24x").label() == "weights(retraining, 24x)"
    assert Weights("a" * 64).label() == "weights(aaaaaaaaaaaa)"

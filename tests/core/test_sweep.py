from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import BITS, SPARSITIES, LayerCurve, ModelRef, Sensitivity, SensitivityResult
from compressor_gui.core.sweep import (
    Grid,
    Point,
    chosen_layers,
    content_sample,
    curve,
    result_from_json,
    result_to_json,
    sweep_key,
)
from compressor_gui.core.sweep_cache import Baseline, SweepCache, user_cache_folder
from tests.support import conv_net

DATA = DataSpec("idx", "")
GRID = Grid(SPARSITIES, BITS, refine=2)


def knee(point: Point, at: float = 0.8) -> float:
    """A layer that loses nothing up to ``at``, and everything at 1."""
    if point.bits:
        return 1.0 if point.at > 3 else 0.5
    return 1.0 if point.at <= at else 1 - (point.at - at) / (1 - at)


def swept(grid: Grid, at: float = 0.8) -> list[tuple[Point, ...]]:
    """The rounds of a whole sweep."""
    measured: dict[Point, float] = {}
    rounds = []
    while points := grid.due(measured):
        rounds.append(points)
        measured |= {point: knee(point, at) for point in points}
    return rounds


# --- order -----------------------------------------------------------------------------------------------------------


def test_a_few_points_come_first_that_show_the_shape() -> None:
    first = swept(GRID)[0]
    assert [point.at for point in first if not point.bits] == [0.0, 0.5, 0.9, 0.99]
    assert [point.at for point in first if point.bits] == [8, 5, 2]


def test_the_rest_follows_where_the_values_differ_most() -> None:
    second = swept(GRID)[1]
    pruned = [point.at for point in second if not point.bits]
    assert set(pruned[:4]) == {0.6, 0.7, 0.8, 0.95}  # between 0.5 and 0.9 the curve falls, and up to 0.99
    assert set(pruned) == set(SPARSITIES) - {0.0, 0.5, 0.9, 0.99}


def test_the_sharpest_bend_is_refined() -> None:
    assert swept(GRID)[2] == (Point(False, 0.85), Point(False, 0.75))
    assert swept(GRID, at=0.5)[2] == (Point(False, 0.55), Point(False, 0.45))
    assert len(swept(Grid(SPARSITIES, BITS))) == 2
    assert len(swept(Grid((0.0, 0.5), (), refine=2))) == 1  # two points have no bend


def test_a_straight_line_is_not_refined() -> None:
    grid = Grid((0.0, 0.25, 0.5, 0.75, 1.0), (), refine=2)
    assert grid.due({Point(False, s): 1 - s for s in grid.sparsities}) == ()


def test_clean_outputs_are_no_bend() -> None:
    grid = Grid((0.0, 0.1, 0.2, 0.3, 0.4), (), refine=1)
    values = {0.0: 999.0, 0.1: 70.0, 0.2: 60.0, 0.3: 41.0, 0.4: 20.0}
    assert grid.due({Point(False, s): v for s, v in values.items()}) == (Point(False, 0.35),)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sets(st.integers(2, 8)), st.integers(0, 3), st.data())
def test_a_broken_off_sweep_measures_what_it_would_have(
    sparsities: list[float], bits: set[int], refine: int, data: st.DataObject
) -> None:
    grid = Grid.of(Sensitivity(ModelRef("m"), DATA, sparsities=tuple(sparsities), bits=tuple(bits), refine=refine))
    whole = {point for points in swept(grid) for point in points}
    assert whole >= {Point(False, s) for s in sparsities} | {Point(True, b) for b in bits}
    measured: dict[Point, float] = {}
    while points := grid.due(measured):
        assert not set(points) & measured.keys()
        done = data.draw(st.integers(1, len(points)))
        measured |= {point: knee(point) for point in points[:done]}
    assert measured.keys() == whole


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sparsities": (0.5, 1.5)}, "not between 0 and 1"),
        ({"sparsities": (30.0, 60.0)}, "write 0.3,0.6 for these percents"),
        ({"bits": (9,)}, "not between 2 and 8"),
        ({"sparsities": (), "bits": ()}, "no point"),
    ],
)
def test_impossible_points_are_refused(wrong: dict[str, tuple[float, ...]], words: str) -> None:
    with pytest.raises(CompressorError, match=words):
        Grid.of(Sensitivity(ModelRef("m"), DATA, **wrong))  # type: ignore[arg-type]


def test_a_curve_is_in_order() -> None:
    points = {Point(True, 4): 0.1, Point(False, 0.9): 0.2, Point(True, 8): 0.3, Point(False, 0.0): 0.4}
    assert curve("layer", points) == LayerCurve("layer", (0.0, 0.9), (0.4, 0.2), (8, 4), (0.3, 0.1))


# --- which layers ----------------------------------------------------------------------------------------------------


def test_layers_are_named_by_operation_or_weight() -> None:
    model = conv_net()
    assert [layer.name for layer in chosen_layers(model, ())] == ["conv", "dense"]
    assert [layer.name for layer in chosen_layers(model, ("dense/weights",))] == ["dense"]
    with pytest.raises(CompressorError, match="no layer 'nothing'"):
        chosen_layers(model, ("nothing",))
    with pytest.raises(CompressorError, match=r"no layer 'dens' \(did you mean dense"):
        chosen_layers(model, ("dens",))


# --- keys and cache --------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(name.encode() * 100)
    return folder


def key(
    path: Path, *, model: bytes = b"model", outputs: tuple[str, ...] = ("y",), metric: str = "top1", **how: object
) -> str:
    return sweep_key(model, outputs, DataSpec("images", str(path), **how), metric)  # type: ignore[arg-type]


def test_a_key_is_of_the_content(pictures: Path) -> None:
    first = key(pictures)
    moved = pictures.rename(pictures.with_name("moved"))
    assert key(moved) == key(moved, cache_bytes=7) == first
    others = [
        key(moved, model=b"other"),
        key(moved, outputs=("z",)),
        key(moved, metric="sqnr_db"),
        key(moved, mean=1.0),
        key(moved, limit=1),
    ]
    (moved / "a").write_bytes(b"c" * 100)
    others.append(key(moved))
    assert len({first, *others}) == 7


def test_a_file_is_hashed_whole(tmp_path: Path) -> None:
    path = tmp_path / "data.npy"
    found = set()
    for middle in (b"a", b"b"):
        path.write_bytes(bytes(1 << 18) + middle * 1000 + bytes(1 << 18))
        os.utime(path, (1, 1))
        found.add(key(path))
    assert len(found) == 2


def test_what_is_not_read_of_a_folder_shows_by_its_time(pictures: Path) -> None:
    for number in range(200):
        (pictures / f"{number:03}").write_bytes(bytes(1 << 17 if number == 0 else 100))
    found = {key(pictures)}
    for name in ("000", "001"):  # only begun, and not sampled
        path = pictures / name
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        os.utime(path, (1, 1))
        found.add(key(pictures))
    assert len(found) == 3


def test_data_that_can_not_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(CompressorError, match="it can't be read"):
        content_sample(str(tmp_path / "missing"))


def test_a_cache_remembers(tmp_path: Path) -> None:
    cache = SweepCache(tmp_path / "new" / "folder", "key")
    assert cache.baseline is None
    assert cache.points("a") == {}
    cache.set_baseline(Baseline("top1", 0.5, 10, ("broken.png",)))
    cache.add("a", Point(False, 0.5), 0.25)
    cache.add("a", Point(True, 4), 0.125)
    again = SweepCache(tmp_path / "new" / "folder", "key")
    assert again.baseline == Baseline("top1", 0.5, 10, ("broken.png",))
    assert again.points("a") == cache.points("a") == {Point(False, 0.5): 0.25, Point(True, 4): 0.125}
    assert SweepCache(tmp_path / "new" / "folder", "other").points("a") == {}


def test_half_a_line_loses_only_itself(tmp_path: Path) -> None:
    cache = SweepCache(tmp_path, "key")
    for sparsity in (0.1, 0.2, 0.3):
        cache.add("a", Point(False, sparsity), sparsity)
    data = cache.path.read_bytes()
    cache.path.write_bytes(data[:-7])  # killed while it wrote
    again = SweepCache(tmp_path, "key")
    assert again.points("a").keys() == {Point(False, 0.1), Point(False, 0.2)}
    again.add("a", Point(False, 0.4), 0.4)
    assert SweepCache(tmp_path, "key").points("a").keys() == {Point(False, s) for s in (0.1, 0.2, 0.4)}


def test_damage_in_a_cache_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "key.jsonl").write_bytes(b'\xff\n[1]\n{}\n["a", false, "x", 1]\nnull\n["a", true, 2, 0.5]\n')
    assert SweepCache(tmp_path, "key").points("a") == {Point(True, 2): 0.5}


def test_a_folder_that_can_not_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = SweepCache(tmp_path / "file", "key")
    cache.add("a", Point(False, 0.5), 0.25)
    assert cache.points("a") == {Point(False, 0.5): 0.25}
    assert cache.failure


def test_the_cache_is_where_the_user_wants_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache_folder() == tmp_path / "compressor" / "sensitivity"


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_curves_are_read_as_they_are_printed() -> None:
    found = SensitivityResult("top1", 0.5, 0, (LayerCurve("a", (0.0,), (0.5,), (8,), (0.25,)),), 1.5)
    printed = result_to_json(found)
    assert list(printed) == ["baseline", "metric", "layers", "seconds"]
    assert result_from_json(json.dumps(printed), "here") == found


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"metric": 1}', "[" * 100_000])
def test_other_json_is_no_curves(text: str) -> None:
    with pytest.raises(CompressorError, match=r"curves\.json: these are no curves"):
        result_from_json(text, "curves.json")


def test_a_curve_without_a_value_is_refused() -> None:
    found = SensitivityResult("top1", 0.5, 0, (LayerCurve("a", (0.0, 0.5), (0.5,)),))
    with pytest.raises(CompressorError, match="more places than values"):
        result_from_json(json.dumps(result_to_json(found)), "here")

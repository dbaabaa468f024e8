from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core.histograms_file import read_histograms, write_histograms
from compressor_gui.core.measure import RangeHistogram
from compressor_gui.core.passes.freeze_requantization_ranges import check_ranges
from compressor_gui.core.range_edit import RangeEdits, clipped_share, moved, step_size

EVEN = RangeHistogram(-1.0, 3.0, (10, 10, 10, 10), -0.9, 2.5)


def test_what_lies_outside_is_counted_bins_in_part() -> None:
    assert clipped_share(EVEN, (-1.0, 3.0)) == 0
    assert clipped_share(EVEN, (-5.0, 5.0)) == 0
    assert clipped_share(EVEN, (0.0, 2.0)) == 0.5
    assert clipped_share(EVEN, (-0.5, 3.0)) == pytest.approx(0.125)
    assert clipped_share(RangeHistogram(0.0, 0.0, (7,), 0.0, 0.0), (0.0, 0.01)) == 0
    assert clipped_share(RangeHistogram(0.0, 1.0, (0, 0), 0.0, 0.0), (0.0, 0.5)) == 0


def test_a_step_is_a_255th_of_the_range() -> None:
    assert step_size((-1.0, 1.55)) == pytest.approx(0.01)


@given(st.integers(0, 1), st.floats(-1e6, 1e6), st.floats(-100, 0), st.floats(0, 100))
def test_no_end_can_be_moved_past_zero_or_the_other(end: int, value: float, low: float, high: float) -> None:
    limits = (low, max(high, low + 0.1))
    found = moved(limits, end, value, 0.1)
    assert found[0] <= 0 <= found[1]
    check_ranges((("node", found),), "here")  # raises for one that is reversed or empty
    assert found[1 - end] == limits[1 - end]
    if (end == 0 and -99 < value < min(0.0, limits[1] - 0.1)) or (end == 1 and value > max(0.0, low + 0.1)):
        assert found[end] == value


def test_edits_are_undone_and_redone_and_reset() -> None:
    first = RangeEdits.of({"a": (0.0, 1.0), "b": (-1.0, 1.0)})
    assert first.with_range("a", (0.0, 1.0)) is first
    assert first.undone() is first.redone() is first
    edited = first.with_range("a", (0.0, 0.5)).with_range("b", (-0.5, 1.0))
    assert edited.edited == {"a", "b"}
    back = edited.undone()
    assert (back.ranges["a"], back.ranges["b"]) == ((0.0, 0.5), (-1.0, 1.0))
    assert back.can_redo
    assert back.redone().ranges == edited.ranges
    reset = back.reset("a")
    assert not reset.edited
    assert not reset.can_redo  # another way was taken
    assert reset.undone().edited == {"a"}


def test_histograms_come_back_from_their_file(tmp_path: Path) -> None:
    found = {"a/b": EVEN, "größe": RangeHistogram(0.0, 1e30, (1, 2**40), 0.5, 1.0)}
    path = tmp_path / "new folder" / "x.npz"
    write_histograms(path, found)
    assert read_histograms(path) == found
    write_histograms(path, {})
    assert read_histograms(path) == {}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"[]"])
def test_a_damaged_file_is_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npz"
    assert read_histograms(path) == {}
    path.write_bytes(content)
    assert read_histograms(path) == {}

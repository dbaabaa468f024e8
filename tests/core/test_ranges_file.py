from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core import passes
from compressor_gui.core.errors import CompressorError, PassError
from compressor_gui.core.passes.freeze_requantization_ranges import FreezeRequantizationRanges
from compressor_gui.core.ranges_file import log_ranges, parse_log, read_ranges, write_ranges

LOG = """\
2019-04-02 12:00:00.000001: I tensorflow/core/platform/cpu_feature_guard.cc:141] Your CPU supports: AVX2
;v0/conv1/Conv2D_eightbit_requant_range__print__;__requant_min_max:[-5.75943518][3.43590856]
;RequantizationRange;;fc_eightbit_requant_range__print__;__requant_min_max:[-1][2.5e+01]
;fc_eightbit_requant_range__print__;__requant_min_max:[-1][broken
;other__print__;__min:[-7]
;a__print__;__requant_min_max:[-2][1];v0/conv1/Conv2D_eightbit_requant_range__print__;__requant_min_max:[-3][4]
"""


def test_a_log_of_requantization_ranges_is_read_line_by_line() -> None:
    assert parse_log(LOG) == {
        "v0/conv1/Conv2D_eightbit_requant_range": [(-5.75943518, 3.43590856), (-3.0, 4.0)],
        "fc_eightbit_requant_range": [(-1.0, 25.0)],
        "a": [(-2.0, 1.0)],
    }


@pytest.mark.parametrize(("runs", "low", "high"), [(1, 1, 101), (10, 2, 110), (20, 2, 120), (40, 3, 139)])
def test_the_extreme_runs_are_left_out_as_the_graph_transform_tool_does(runs: int, low: int, high: int) -> None:
    """Its minimum is the sorted one at round(0.05 n), its maximum that at round(0.95 n), the last at most."""
    records = {"a": [(float(n), 100.0 + n) for n in range(1, runs + 1)]}
    assert log_ranges(records) == {"a": (low, high)}


def test_a_range_that_is_not_finite_is_refused() -> None:
    with pytest.raises(CompressorError, match=r"log: the range \[nan, 1\] of 'a' is not finite"):
        parse_log(";a__print__;__requant_min_max:[nan][1]")


def test_both_forms_are_parameters_of_the_pass_and_stored_in_the_recipe(tmp_path: Path) -> None:
    log, other = tmp_path / "min_max_log.txt", tmp_path / "ranges.json"
    log.write_bytes(LOG.encode() + b"\xff\n")
    write_ranges(other, read_ranges(str(log)))
    made = passes.parse(f"freeze_requantization_ranges(ranges='{log}')")
    assert made == passes.parse(f"freeze_requantization_ranges(ranges='{other}')")
    assert isinstance(made, FreezeRequantizationRanges)
    assert dict(made.ranges)["v0/conv1/Conv2D_eightbit_requant_range"] == (-5.75943518, 4.0)
    assert passes.make(made.name, {"ranges": made.to_json()["ranges"]}) == made


@given(st.dictionaries(st.text(max_size=8), st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2)))
def test_ranges_come_back_as_they_were_written(tmp_path: Path, ranges: dict[str, tuple[float, float]]) -> None:
    write_ranges(tmp_path / "r.json", ranges)
    assert {name: tuple(limits) for name, limits in read_ranges(str(tmp_path / "r.json")).items()} == ranges


def test_what_is_neither_form_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("nothing of interest" + "a" * 200_000, "utf-8")
    with pytest.raises(PassError, match=r"ranges: .*log\.txt: it is not a JSON file"):
        passes.parse(f"freeze_requantization_ranges(ranges={str(path)!r})")
    with pytest.raises(CompressorError, match="it can't be read: No such file"):
        read_ranges(str(tmp_path / "missing"))
    with pytest.raises(CompressorError, match="it can't be written"):
        write_ranges(tmp_path, {})

"""The tour that ``packaging/run`` makes where there is no screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtGui import QImage

from compressor_gui.core.errors import CompressorError
from compressor_gui.core.pbio import read_graph
from compressor_gui.gui.main_window import MainWindow
from compressor_gui.gui.tour import Tour


@pytest.mark.tensorflow
def test_it_exports_shows_and_reports_what_it_measured(window: MainWindow, tmp_path: Path) -> None:
    model = Path(__file__).parents[2] / "resources/samples/lenet-300-100.pb"
    tour = Tour(window, model, tmp_path)
    tour.run()
    report = (tmp_path / "report.md").read_text("utf-8")
    for one, op in zip(tour.exports, ("Dequantize", "QuantizedMatMul"), strict=True):
        assert op in {node.op for node in read_graph(one.path).nodes}
        assert one.check is not None
        assert one.check.passed
        assert f"| {one.title} | {model.stat().st_size:,} | {one.path.stat().st_size:,} | 0.2" in report
        assert f"{min(output.sqnr_db for output in one.check.outputs):.1f} dB" in report
        assert not QImage(str(tmp_path / f"{one.path.stem}-check.png")).isNull()
    pictures = [QImage(str(tmp_path / name)) for name, _ in tour.pictures]
    assert {(picture.width(), picture.height()) for picture in pictures} == {(1280, 800)}
    assert len({picture.bits().tobytes() for picture in pictures}) == len(pictures) == 4
    assert all(f"]({name})" in report for name, _ in tour.pictures)


def test_a_file_that_is_no_graph_ends_it_with_its_sentence(window: MainWindow, tmp_path: Path) -> None:
    path = tmp_path / "notes.pb"
    path.write_text("no graph")
    with pytest.raises(CompressorError, match=r"notes\.pb"):
        Tour(window, path, tmp_path).run()
    assert not (tmp_path / "report.md").exists()

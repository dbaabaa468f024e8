from __future__ import annotations

from pathlib import Path

import pytest

from compressor_gui.core.pbio import write_graph
from tests.support import conv_net


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.pb"
    write_graph(conv_net(), path)
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Where ``compress`` writes to; the only file in its folder when all is well."""
    folder = tmp_path / "made"
    folder.mkdir()
    return folder / "small.pb"

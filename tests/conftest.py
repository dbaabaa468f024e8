"""Fixtures of the whole suite. Those that need Qt stand in tests/gui/conftest.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from compressor_gui.core import weight_store
from tests.support import MODEL_FILES

# As TensorFlow does by itself where the processor has VNNI; so that all processes of a test run have the same kernels.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# The same examples on every run, no database beside the sources, no clock: a slow machine must not fail a test.
settings.register_profile(
    "quick",
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("quick")


@pytest.fixture(scope="session", autouse=True)
def _no_weights_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ[weight_store.FOLDER] = str(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def shared_models() -> dict[str, Path]:
    """Name without ``.pb`` -> path of every real model; skips where they are missing."""
    if not MODEL_FILES:
        pytest.skip("the real models in ../shared/models are not here")
    return {path.stem: path for path in MODEL_FILES}

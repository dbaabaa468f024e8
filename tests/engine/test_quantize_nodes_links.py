"""8-bit links compute what the float operations do: each between two convolutions, with oneDNN and without.

The tolerance is the noise of the convolutions around, which are 8-bit without the link too: the network with a link may
be 3 dB worse than the one where only that operation is float.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from compressor_gui.core.passes.quantize_nodes import QuantizeNodes
from tests.links import LINKED, between
from tests.support import applied, const, run_tf, sqnr_db, synthetic_feeds

pytestmark = pytest.mark.tensorflow


def noise(name: str) -> tuple[float, float]:
    """SQNR in dB with the operation in float, and with it in 8 bits."""
    model = between(LINKED[name])
    feeds = synthetic_feeds(model, seed=1)
    expected = run_tf(model, feeds)["back"]
    found = [run_tf(applied(QuantizeNodes(classic=classic), model).graph, feeds)["back"] for classic in (True, False)]
    return sqnr_db(expected, found[0]), sqnr_db(expected, found[1])


@pytest.mark.parametrize("name", LINKED)
def test_a_link_computes_what_the_float_operation_does(name: str) -> None:
    apart, linked = noise(name)
    assert linked >= min(apart - 3, 30), (apart, linked)


def test_with_the_other_kernels_too() -> None:
    """Without oneDNN where this process has it, and with it where it has not."""
    code = (
        "from tests.engine.test_quantize_nodes_links import noise\n"
        "from tests.links import LINKED\n"
        "wrong = {name: found for name in LINKED if (found := noise(name))[1] < min(found[0] - 3, 30)}\n"
        "assert not wrong, wrong\n"
    )
    other = "0" if os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0" else "1"
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": other, "TF_CPP_MIN_LOG_LEVEL": "3"}
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_sum_that_a_relu_makes_zero() -> None:
    """All codes of such a sum are one: a range without width must not become noise or NaN."""
    model = between(
        LINKED["AddV2"],
        lambda net: net.then("AddV2", net.add(const("far", np.float32(-1e3))), name="below").then("Relu", name="end"),
    )
    found = run_tf(applied(QuantizeNodes(), model).graph)["back"]
    np.testing.assert_array_equal(found, np.zeros_like(found))

"""Boxes stand below what they read, apart from each other, and a dying worker is survived."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor_gui.core import layout
from compressor_gui.core.aligned import aligned
from compressor_gui.core.fold import fold
from compressor_gui.core.layout import BOX_HEIGHT, BOX_WIDTH, ROW, Layout, plain, sugiyama, without_cycles
from tests.support import conv_net, residual_net

edge_lists = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda e: e[0] != e[1]), max_size=30, unique=True
)


def array(edges: list[tuple[int, int]]) -> np.ndarray:
    return np.array(edges, np.int32).reshape(-1, 2)


def check(count: int, edges: np.ndarray, found: Layout) -> None:
    assert np.isfinite(found.x).all()
    assert len(found.x) == len(found.y) == count
    assert (found.y[edges[:, 0]] < found.y[edges[:, 1]]).all()
    for i in range(count):
        others = np.arange(count) != i
        apart = (np.abs(found.x - found.x[i]) >= BOX_WIDTH) | (np.abs(found.y - found.y[i]) >= BOX_HEIGHT)
        assert apart[others].all()


@given(edge_lists)
def test_both_layouts_lead_down_and_keep_boxes_apart(edges: list[tuple[int, int]]) -> None:
    forward, _ = without_cycles(12, array(edges))
    forward = np.unique(forward, axis=0).reshape(-1, 2)
    check(12, forward, plain(12, forward))
    found = sugiyama(12, forward)
    check(12, forward, found)
    for index, (a, b) in enumerate(forward.tolist()):
        bends = found.bends[found.bend_start[index] : found.bend_start[index + 1], 1]
        assert (np.diff([found.y[a], *bends, found.y[b]]) > 0).all()


@given(edge_lists)
def test_without_cycles_turns_only_what_leads_back(edges: list[tuple[int, int]]) -> None:
    forward, turned = without_cycles(12, array(edges))
    rank = plain(12, forward).y
    assert (rank[forward[:, 0]] < rank[forward[:, 1]]).all()
    assert forward[~turned].tolist() == array(edges)[~turned].tolist()
    if all(a < b for a, b in edges):
        assert not turned.any()


def test_the_same_graph_has_the_same_layout() -> None:
    edges, _ = without_cycles(4, array([(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]))
    first, second = sugiyama(4, edges), sugiyama(4, edges)
    assert first.x.tolist() == second.x.tolist()
    assert first.bends.tolist() == second.bends.tolist()


def test_aligned_layouts_have_what_corresponds_at_one_height() -> None:
    short = plain(3, array([(0, 1), (1, 2)]))
    long = plain(6, array([(i, i + 1) for i in range(5)]))
    left, right = aligned(short, long, [(0, 0), (2, 5)])
    assert (left.y[0], left.y[2]) == (right.y[0], right.y[5])
    assert (np.diff(left.y) >= ROW).all()
    assert (np.diff(right.y) >= ROW).all()


def test_aligning_keeps_the_order_of_rows_where_pairs_cross() -> None:
    chain = plain(4, array([(0, 1), (1, 2), (2, 3)]))
    left, right = aligned(chain, chain, [(0, 0), (1, 2), (2, 1), (3, 3)])
    assert (np.diff(left.y) > 0).all()
    assert (np.diff(right.y) > 0).all()
    assert left.y[3] == right.y[3]


class DeadlyPlace(layout.Place):
    """A request whose edges hold a self-loop, which ends fast-sugiyama's process."""

    def __init__(self, count: int, _edges: str) -> None:
        super().__init__(count, layout.pack(array([(0, 0), (0, 1)])))


@pytest.fixture
def worker() -> Iterator[None]:
    layout.close()
    yield
    layout.close()


def test_the_worker_lays_out(worker: None) -> None:
    folded = fold(residual_net())
    found = layout.layout(folded)
    assert not found.note
    check(len(folded.boxes), folded.edges, found)
    assert layout.layout(folded) is found  # remembered


def test_a_dying_worker_leaves_a_plain_layout(worker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    layout._recent.clear()
    monkeypatch.setattr(layout, "Place", DeadlyPlace)
    folded = fold(conv_net())
    found = layout.layout(folded)
    assert "plain layout: the layout's process" in found.note
    check(len(folded.boxes), folded.edges, found)
    monkeypatch.undo()
    assert not layout.layout(folded).note  # the next one starts another process

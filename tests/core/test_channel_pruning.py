from __future__ import annotations

import dataclasses

import pytest

from compressor_gui.core.channel_pruning import (
    ChannelPoint,
    PruneChannels,
    chosen_point,
    is_last,
    next_share,
    relative,
)
from compressor_gui.core.data import DataSpec
from compressor_gui.core.errors import CompressorError
from compressor_gui.core.measure import ModelRef


def ask(**changes: object) -> PruneChannels:
    request = PruneChannels(model=ModelRef("m.pb"), data=DataSpec("images", "p"), speedup=1.5)
    return dataclasses.replace(request, **changes)  # type: ignore[arg-type]


def point(share: float, speedup: float, value: float = 0.9) -> ChannelPoint:
    return ChannelPoint(0, share, "", 100, 1000, value, speedup, 1.0)


def walk(request: PruneChannels, speed: float) -> list[ChannelPoint]:
    """The points of a network whose speed rises by ``speed`` for all channels."""
    points = [point(0, 1)]
    while (share := next_share(request, points)) is not None:
        points.append(point(share, 1 + speed * share))
    return points


def test_a_share_is_reached_in_equal_steps() -> None:
    points = walk(ask(speedup=None, share=0.6, steps=3), 1.0)
    assert [round(found.share, 6) for found in points] == [0, 0.2, 0.4, 0.6]
    assert chosen_point(ask(speedup=None, share=0.6), points) == (3, "")
    assert "40 % of the channels are gone" in chosen_point(ask(speedup=None, share=0.6), points[:3])[1]


@pytest.mark.parametrize("speed", [0.7, 1.5, 3.0, 6.0])
def test_a_speed_is_reached_and_not_far_beyond(speed: float) -> None:
    points = walk(ask(speedup=1.5, steps=2), speed)
    at, lacks = chosen_point(ask(speedup=1.5), points)
    assert not lacks
    assert at == len(points) - 1
    shares = [found.share for found in points]
    assert shares == sorted(shares)
    assert points[at].share <= max(0.5 / speed * 1.3, (1 - 1.5**-0.5) / 2 + 1e-9)


def test_a_speed_that_does_not_come_ends_after_some_steps() -> None:
    points = walk(ask(speedup=50), 0.1)
    assert len(points) < 12
    at, lacks = chosen_point(ask(speedup=50), points)
    assert points[at].speedup == max(found.speedup for found in points)
    assert "and 50 was wanted" in lacks


def test_shares_of_what_is_left_multiply() -> None:
    left = (1 - relative(0.2, 0)) * (1 - relative(0.4, 0.2)) * (1 - relative(0.6, 0.4))
    assert left == pytest.approx(0.4)


def test_the_last_step_may_be_longer() -> None:
    request = ask(epochs=2, last_epochs=7, steps=2)
    assert not is_last(request, [point(0, 1)])
    assert is_last(request, [point(0, 1), point(0.1, 1.2)])
    assert [request.retraining("", last=last).epochs for last in (False, True)] == [2, 7]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"speedup": None}, "there is no target"),
        ({"share": 0.5}, "there are two targets"),
        ({"speedup": 0.5}, "speedup is 0.5"),
        ({"speedup": None, "share": 1.0}, "share is 1"),
        ({"epochs": 0}, "epochs is 0"),
    ],
)
def test_bad_requests(changes: dict, words: str) -> None:
    with pytest.raises(CompressorError, match=words):
        ask(**changes).check()

from __future__ import annotations

from collections.abc import Callable

import pytest

from faultline.faults import CutAfter, LimitData, SlowClose
from faultline.faults.actions import Action, Cut, Delay
from faultline.faults.points import Moment, Plane

Make = Callable[..., Moment]
Decide = Callable[..., list[tuple[Action, ...]]]


def segment(moment: Make, offset: int, size_bytes: int, phase: str = "down") -> Moment:
    return moment("rest", "1", offset, phase, plane=Plane.STREAM, size_bytes=size_bytes)


@pytest.mark.parametrize(
    ("offset", "size_bytes", "actions"),
    [
        (0, 99, ()),
        (0, 100, (Cut(100, "fin"),)),
        (90, 40, (Cut(10, "fin"),)),
        (120, 5, (Cut(0, "fin"),)),
        (120, 0, ()),
    ],
)
def test_a_limit_cuts_in_the_segment_that_reaches_it(
    offset: int, size_bytes: int, actions: tuple[Action, ...], moment: Make, decide: Decide
) -> None:
    assert decide(LimitData(), segment(moment, offset, size_bytes)) == [actions]


def test_a_slow_close_leaves_bytes_alone(moment: Make, decide: Decide) -> None:
    assert decide(SlowClose(), segment(moment, 0, 5)) == [()]
    assert decide(SlowClose(), segment(moment, 5, 0)) == [(Delay(1),)]


def test_an_age_is_asked_for_when_the_connection_is_made(moment: Make, decide: Decide) -> None:
    assert decide(CutAfter(age_s=5, how="rst"), segment(moment, 0, 0, "connect")) == [(Cut(how="rst", after_s=5),)]

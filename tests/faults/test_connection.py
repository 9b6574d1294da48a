from __future__ import annotations

from collections.abc import Callable

import pytest

from faultline.faults import HalfOpen, ResetPeer, Truncate
from faultline.faults.actions import Action, Cut
from faultline.faults.deciders import Rules
from faultline.faults.families import LinkStrike
from faultline.faults.points import Moment, Plane

Make = Callable[..., Moment]
Decide = Callable[..., list[tuple[Action, ...]]]


def segment(moment: Make, offset: int, size_bytes: int, phase: str = "down", connection: int = 1) -> Moment:
    return moment("rest", str(connection), offset, phase, plane=Plane.STREAM, size_bytes=size_bytes)


@pytest.mark.parametrize(("kind", "how"), [(ResetPeer, "rst"), (HalfOpen, "silence"), (Truncate, "fin")])
def test_it_cuts_the_segment_that_holds_the_byte(
    kind: type[LinkStrike], how: str, moment: Make, decide: Decide
) -> None:
    fault = kind(offset_bytes=120)
    pieces = [(0, 0), (0, 100), (100, 0), (100, 50), (150, 9)]
    here = [segment(moment, offset, size_bytes) for offset, size_bytes in pieces]
    assert decide(fault, *here) == [(), (), (), (Cut(20, how),), ()]  # type: ignore[arg-type]


def test_the_byte_counts_in_its_own_direction(moment: Make, decide: Decide) -> None:
    here = [segment(moment, 0, 200, "up"), segment(moment, 0, 200, "down")]
    assert decide(ResetPeer(offset_bytes=50, direction="up"), *here) == [(Cut(50, "rst"),), ()]
    assert decide(ResetPeer(offset_bytes=50), *here) == [(), (Cut(50, "rst"),)]


def test_it_strikes_one_connection_unless_told_how_many(moment: Make, decide: Decide) -> None:
    here = [segment(moment, 0, 10, connection=connection) for connection in (1, 2, 3)]
    assert [bool(actions) for actions in decide(ResetPeer(), *here)] == [True, False, False]
    assert [bool(actions) for actions in decide(ResetPeer(nth=2), *here)] == [False, True, False]
    assert [bool(actions) for actions in decide(ResetPeer(connection=3), *here)] == [False, False, True]
    assert [bool(actions) for actions in decide(ResetPeer(first=2), *here)] == [True, True, False]


def test_by_the_clock_it_ends_what_is_open_at_once(moment: Make, decide: Decide) -> None:
    fault = Truncate(on="stream", at_s=7, how="rst")
    assert decide(fault, segment(moment, 0, 500)) == [()]
    [ticks] = Rules([fault], 0).ticks(None, 0.0)
    assert [(tick.at_s, tick.point.plane, tick.point.endpoint, tick.action) for tick in ticks] == [
        (7, Plane.STREAM, "stream", Cut(0, "rst"))
    ]


def test_a_byte_means_nothing_to_the_clock() -> None:
    with pytest.raises(ValueError, match="leave out offset"):
        ResetPeer(at_s=3, offset_bytes=10)
    with pytest.raises(ValueError, match="leave out direction"):
        ResetPeer(at_s=3, direction="up")

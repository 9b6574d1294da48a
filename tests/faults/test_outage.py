from __future__ import annotations

from collections.abc import Callable

import pytest

from faultline.faults import DnsFailure, Partition, Refuse, Timeout
from faultline.faults.actions import Action, Hold
from faultline.faults.points import Moment, Plane

Make = Callable[..., Moment]
Decide = Callable[..., list[tuple[Action, ...]]]


def at_link(moment: Make, phase: str, t_s: float, marks: dict[str, float] | None = None, connection: int = 1) -> Moment:
    return moment("rest", str(connection), 0, phase, plane=Plane.STREAM, t_s=t_s, marks=marks or {})


@pytest.mark.parametrize("kind", [Timeout, Partition])
def test_what_is_held_follows_when_the_interval_ends(
    kind: type[Timeout | Partition], moment: Make, decide: Decide
) -> None:
    fault = kind(during_s=(10, 20))
    here = [at_link(moment, "up", t_s) for t_s in (9.0, 10.0, 19.9, 20.0)]
    assert decide(fault, *here) == [(), (Hold(20.0),), (Hold(20.0),), ()]


def test_the_end_is_that_of_the_repetition(moment: Make, decide: Decide) -> None:
    fault = Timeout(every_s=10, for_s=3)
    here = [at_link(moment, "up", t_s) for t_s in (11.0, 14.0, 22.0)]
    assert decide(fault, *here) == [(Hold(13.0),), (), (Hold(23.0),)]


def test_the_end_counts_from_its_mark(moment: Make, decide: Decide) -> None:
    fault = Partition(after="fill", for_s=3)
    assert decide(fault, at_link(moment, "down", 51.0, {"fill": 50.0})) == [(Hold(53.0),)]


def test_without_an_end_it_is_for_ever(moment: Make, decide: Decide) -> None:
    assert decide(Timeout(at_s=5), at_link(moment, "up", 4.0), at_link(moment, "up", 6.0)) == [(), (Hold(None),)]


def test_a_black_hole_lets_connections_open_and_a_partition_does_not(moment: Make, decide: Decide) -> None:
    connect = at_link(moment, "connect", 1.0)
    assert decide(Timeout(), connect) == [()]
    assert decide(Partition(for_s=9), connect) == [(Hold(9.0),)]


def test_refusal_is_decided_for_each_connection(moment: Make, decide: Decide) -> None:
    fault = Refuse(probability=0.5)
    refused = [
        bool(actions) for actions in decide(fault, *[at_link(moment, "connect", 1.0, None, n) for n in range(200)])
    ]
    assert 70 < sum(refused) < 130


def test_a_look_up_fails_or_not_by_itself(moment: Make, decide: Decide) -> None:
    here = [moment("rest", str(nth), 0, "resolve", plane=Plane.STREAM) for nth in range(1, 201)]
    assert 70 < sum(bool(actions) for actions in decide(DnsFailure(probability=0.5), *here)) < 130
    with pytest.raises(ValueError, match="dns_failure has no connection"):
        DnsFailure(connection=1)

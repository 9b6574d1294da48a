from __future__ import annotations

from collections.abc import Callable

from faultline.faults import Crash, Restart, TokenExpiry
from faultline.faults.actions import Action
from faultline.faults.actions import Crash as CrashNow
from faultline.faults.actions import Restart as RestartNow
from faultline.faults.deciders import Rules
from faultline.faults.points import Moment, Plane

Make = Callable[..., Moment]
Decide = Callable[..., list[tuple[Action, ...]]]


def test_a_crash_has_its_side_of_the_effect(moment: Make, decide: Decide) -> None:
    here = [moment(phase="before"), moment(phase="after")]
    assert decide(Crash(), *here) == [(), (CrashNow(),)]
    assert decide(Crash(phase="before"), *here) == [(CrashNow(),), ()]


def test_a_crash_at_the_store_has_its_side_of_the_commit(moment: Make, decide: Decide) -> None:
    here = [moment("store", "I1", 1, phase, plane=Plane.TARGET) for phase in ("before", "after")]
    here.append(moment(phase="after"))
    assert decide(Crash(on="store", down_s=2), *here) == [(), (CrashNow(2),), ()]
    assert decide(Restart(on="store", phase="before", nth=1), *here) == [(RestartNow(),), (), ()]


def test_what_needs_the_target_says_so_wherever_it_strikes() -> None:
    assert Crash().plane is Plane.TARGET
    assert Crash().point_planes == {Plane.TARGET, Plane.MESSAGE}
    assert TokenExpiry().plane is Plane.VENUE
    assert TokenExpiry().point_planes == {Plane.MESSAGE}


def test_a_crash_after_an_event_comes_by_the_clock() -> None:
    rules = Rules([Crash(after="fill", at_s=0.001, how="silence")], 0)
    [ticks] = rules.ticks("fill", 12.0)
    assert [(tick.at_s, tick.action) for tick in ticks] == [(12.001, CrashNow(0.5, "silence"))]


def test_tokens_expire_by_the_clock_or_at_a_request_that_carries_one(moment: Make, decide: Decide) -> None:
    [ticks] = Rules([TokenExpiry(at_s=12, refresh_too=True)], 0).ticks(None, 0.0)
    tick = next(ticks)
    assert (tick.at_s, tick.point.plane, tick.point.endpoint) == (12, Plane.VENUE, "tokens")
    here = [moment("POST /auth/token", "-"), moment(headers={"authorization": "Bearer x"}), moment(nth=2)]
    assert [bool(actions) for actions in decide(TokenExpiry(), *here)] == [False, True, False]
    assert [bool(actions) for actions in decide(TokenExpiry(on="POST /orders", header=None, nth=2), *here)] == [
        False,
        False,
        True,
    ]

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from faultline.faults import (
    Disconnect,
    Fault,
    Latency,
    LateRequest,
    LostRequest,
    LostResponse,
    StatusStorm,
    Timeout,
)
from faultline.faults.actions import Cut, Delay, Reply
from faultline.faults.deciders import Rules
from faultline.faults.injector import WALL_START_S, Injector
from faultline.faults.points import Moment, Plane, Point
from faultline.history import History
from faultline.history.event import Resolved, Struck

Make = Callable[..., Moment]


class Rig(NamedTuple):
    injector: Injector
    history: History
    clock: list[float]


def rig(*faults: Fault, wall_s: Callable[[], float] | None = None) -> Rig:
    history = History()
    clock = [0.0]
    injector = Injector(Rules(faults, 0), history, lambda: clock[0], wall_s)
    injector.armed = True
    return Rig(injector, history, clock)


def ask(injector: Injector, entity: str = "I1", phase: str = "before") -> Sequence[object]:
    return [action for _, action in injector.ask(Plane.MESSAGE, "POST /orders", entity, 1, phase)]


def test_a_strike_leaves_both_halves_of_its_receipt() -> None:
    injector, history, clock = rig(LostResponse(how="rst"))
    clock[0] = 3.5
    [(receipt, action)] = injector.ask(Plane.MESSAGE, "POST /orders", "I1", 2, "after")
    clock[0] = 4.0
    injector.resolve(receipt, "applied")
    assert history.of(Struck) == [
        Struck(3.5, 1, "lost_response", "message", "POST /orders", "I1", 2, "after", repr(action))
    ]
    assert history.of(Resolved) == [Resolved(4.0, 1, "applied")]
    assert injector.struck[0].point == Point(Plane.MESSAGE, "POST /orders", "I1", 2, "after")
    assert injector.struck_last_t == 3.5


def test_the_first_terminal_action_wins_and_the_rest_are_not_recorded() -> None:
    injector, history, _ = rig(LateRequest(by_s=1), StatusStorm(), LostRequest(how="fin"), LateRequest(by_s=2))
    answers = ask(injector)
    assert [type(action) for action in answers] == [Delay, Reply]
    assert [event.fault for event in history.of(Struck)] == ["late_request", "status_storm"]


def test_scenario_order_decides_which_terminal_action_is_first() -> None:
    injector, _, _ = rig(LostRequest(how="fin"), StatusStorm())
    assert ask(injector) == [Cut(how="fin")]


def test_a_condition_has_one_receipt_for_each_connection(moment: Make) -> None:
    injector, history, clock = rig(Latency(), Timeout(during_s=(5, 9)))

    def segment(connection: int, offset: int, label: str = "rest") -> list[int]:
        here = moment(label, str(connection), offset, "up", plane=Plane.STREAM, size_bytes=10)
        return [receipt for receipt, _ in injector.strike(here)]

    assert [segment(1, 0), segment(1, 10), segment(2, 0), segment(2, 10)] == [[1], [0], [2], [0]]
    assert segment(1, 0, "stream") == [3]
    clock[0] = 6.0
    assert segment(1, 20) == [0, 4]
    assert [event.fault for event in history.of(Struck)] == ["latency", "latency", "latency", "timeout"]
    injector.resolve(0, "unknown")
    assert history.of(Resolved) == []
    assert injector.struck_last_t == 6.0


def test_disarmed_it_asks_nobody(moment: Make) -> None:
    injector, history, _ = rig(LostRequest(first=1))
    injector.armed = False
    assert ask(injector) == []
    assert injector.strike(moment()) == ()
    assert len(history) == 0
    injector.armed = True
    assert len(ask(injector)) == 1


def test_a_mark_is_when_something_happened_first() -> None:
    injector, _, clock = rig()
    heard: list[tuple[str, float]] = []
    injector.on_mark(lambda name, t_s: heard.append((name, t_s)))
    for t_s in (1.0, 2.0):
        clock[0] = t_s
        injector.mark("fill")
    assert injector.marks == {"fill": 1.0}
    assert heard == [("fill", 1.0)]


def test_faults_mark_their_first_strike_by_kind_and_by_label() -> None:
    injector, _, clock = rig(LostRequest(at_s=5), LostRequest(on="GET *"), LostResponse(after="lost_request#2"))
    assert ask(injector, phase="after") == []
    clock[0] = 2.0
    injector.ask(Plane.MESSAGE, "GET /fills", "-", 1, "before")
    assert injector.marks == {"lost_request": 2.0, "lost_request#2": 2.0}
    assert len(ask(injector, phase="after")) == 1


def test_moments_made_elsewhere_get_the_time_and_marks_of_the_run(moment: Make) -> None:
    injector, _, clock = rig(Latency(after="fill", for_s=10))
    here = moment("rest", "1", 0, "up", plane=Plane.STREAM, t_s=0.0)
    assert injector.strike(here) == ()
    clock[0] = 50.0
    injector.mark("fill")
    clock[0] = 55.0
    assert len(injector.strike(here)) == 1
    clock[0] = 61.0
    assert injector.strike(here) == ()


@pytest.mark.parametrize(("wall_s", "date"), [(None, "2026 00:00:10"), (lambda: 1_000_000_000.0, "2001 01:46:50")])
def test_dates_are_those_of_the_worlds_wall_clock(wall_s: Callable[[], float] | None, date: str) -> None:
    fault = StatusStorm(status=429, retry_after_s=10, retry_after_form="http_date")
    injector, _, _ = rig(fault, wall_s=wall_s)
    [(_, action)] = injector.ask(Plane.MESSAGE, "POST /orders", "I1", 1, "before")
    assert isinstance(action, Reply)
    assert date in dict(action.headers)["Retry-After"]
    assert WALL_START_S % 86400 == 0


def test_a_strike_by_the_clock_is_recorded_with_its_time() -> None:
    injector, history, clock = rig(Disconnect(at_s=4))
    [ticks] = Rules([Disconnect(at_s=4)], 0).ticks(None, 0.0)
    tick = next(ticks)
    clock[0] = 4.0
    assert injector.begin(tick.fault, tick.point, tick.action, tick.at_s) == 1
    assert injector.struck[0].at_s == 4
    assert history.of(Struck)[0].phase == "tick"

from __future__ import annotations

from collections.abc import Callable

from faultline.faults import DelayMessage, DuplicateMessage, ReorderMessages, SilentStream
from faultline.faults.actions import Action, Delay, Drop, Duplicate, Hold
from faultline.faults.points import Moment

Make = Callable[..., Moment]
Decide = Callable[..., list[tuple[Action, ...]]]


def message(moment: Make, effect: int, connection: int = 1, t_s: float = 1.0) -> Moment:
    return moment("stream user", f"I1/{effect}/fills", 1, "out", topic="fills", connection=connection, t_s=t_s)


def test_numbers_and_times_reach_the_action(moment: Make, decide: Decide) -> None:
    here = message(moment, 1)
    assert decide(DuplicateMessage(copies=3), here) == [(Duplicate(3),)]
    assert decide(ReorderMessages(by=2), here) == [(Hold(overtaken_by=2),)]
    assert decide(DelayMessage(by_s=0.5), here) == [(Delay(0.5),)]


def test_a_connection_is_silent_as_a_whole(moment: Make, decide: Decide) -> None:
    here = [message(moment, effect, connection) for connection in range(1, 101) for effect in range(5)]
    silent = decide(SilentStream(probability=0.5), *here)
    by_connection = [set(silent[5 * n : 5 * n + 5]) for n in range(100)]
    assert all(len(answers) == 1 for answers in by_connection)
    assert 30 < sum((Drop(),) in answers for answers in by_connection) < 70


def test_a_stream_speaks_again_when_the_interval_is_over(moment: Make, decide: Decide) -> None:
    here = [message(moment, 1, t_s=t_s) for t_s in (1.0, 5.0, 9.0)]
    assert decide(SilentStream(during_s=(4, 8)), *here) == [(), (Drop(),), ()]

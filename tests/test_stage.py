"""What comes by the clock, and how long the load waits for faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from faultline.clockwork import Clockwork
from faultline.errors import HarnessError
from faultline.faults import Crash, Disconnect, LostResponse, Partition, ResetPeer, StatusStorm, TokenExpiry
from faultline.faults.actions import Cut, FillPart
from faultline.faults.deciders import Recorder, Tick
from faultline.faults.injector import Injector
from faultline.faults.points import Plane, Point
from faultline.history import History
from faultline.history.event import (
    Boot,
    Connected,
    Crashed,
    Disconnected,
    Effect,
    Phase,
    Received,
    Resolved,
    Struck,
    TokenEnded,
)
from faultline.runner import Run, run
from faultline.worlds.sim.simulation import Simulation

from .playing import CLIENTS, TINY, kinds, planned

STREAMING = f"{CLIENTS}/broken.py:LeavesStream"


def effects(played: Run) -> list[tuple[str, str]]:
    """Every receipt: its fault, and whether it had an effect."""
    resolved = {event.receipt: event.effect for event in played.history.of(Resolved)}
    return [(event.fault, resolved[event.receipt]) for event in played.history.of(Struck)]


def faults_over_t(played: Run) -> float:
    return next(event.t for event in played.history.of(Phase) if event.name == "faults_over")


# By the clock


def test_a_strike_by_the_clock_comes_at_its_time() -> None:
    played = run(planned(TINY, Crash(at_s=0.7)), 1)
    assert played.history.of(Struck)[0].t == pytest.approx(0.7, abs=1e-5)
    assert played.history.of(Crashed)[0].t == played.history.of(Struck)[0].t
    assert played.receipts[0].phase == "tick"


def test_what_counts_from_a_mark_comes_after_it() -> None:
    played = run(planned(TINY, Crash(at_s=2.0, after="fill")), 1)
    filled_t = next(event.t for event in played.history.of(Effect) if event.what == "fill")
    assert played.history.of(Crashed)[0].t == pytest.approx(filled_t + 2.0, abs=1e-5)


def test_repetitions_strike_until_the_load_is_over() -> None:
    played = run(planned(TINY, Disconnect(every_s=1.0, at_s=0.5), LostResponse(during_s=(0.0, 6.0), nth=99)), 1)
    ticks = [event.t for event in played.history.of(Struck)]
    assert ticks == pytest.approx([0.5 + n for n in range(len(ticks))], abs=1e-5)
    assert 6 <= len(ticks) <= 7
    assert max(ticks) < faults_over_t(played)


@pytest.mark.parametrize(("how", "code"), [("close", 1012), ("fin", 1006), ("rst", 1006)])
def test_streams_are_cut_by_the_clock(how: Any, code: int) -> None:
    played = run(planned(STREAMING, Disconnect(at_s=0.7, how=how, code=1012)), 1)
    (gone,) = played.history.of(Disconnected)
    assert gone.t == pytest.approx(0.7, abs=0.01)
    assert gone.code == code
    assert effects(played) == [("disconnect", "applied")]


def test_a_cut_of_nothing_is_not_applied() -> None:
    assert effects(run(planned(TINY, Disconnect(at_s=0.7)), 1)) == [("disconnect", "not_applied")]


def test_connections_are_reset_by_the_clock_under_the_messages() -> None:
    played = run(planned(STREAMING, ResetPeer(on="stream", at_s=0.7), ResetPeer(on="rest", at_s=0.8)), 1)
    assert played.history.of(Disconnected)[0].t == pytest.approx(0.7, abs=0.01)
    assert effects(played) == [("reset_peer", "applied"), ("reset_peer#2", "applied")]
    connections = [event.connection for event in played.history.of(Received)]
    assert len(set(connections)) == 2, "the client came back on a new connection"


def test_tokens_end_by_the_clock() -> None:
    played = run(planned(TINY, TokenExpiry(at_s=0.7)), 1)
    assert [event.token for event in played.history.of(TokenEnded)] == ["<token#1>"]
    assert effects(played) == [("token_expiry", "applied")]


# The end of the load


@pytest.mark.parametrize(
    ("fault", "least_s", "most_s"),
    [
        (LostResponse(on="POST /orders", nth=1), 1.0, 3.0),
        (LostResponse(on="POST /orders", during_s=(8.0, 12.0)), 12.0, 13.0),
        (Partition(on="stream", at_s=3.0, for_s=4.0), 7.0, 8.0),
        (Crash(at_s=9.0), 9.0, 10.5),
        # Counted from the first fill, at 0.3 s.
        (Crash(at_s=9.0, after="fill"), 9.3, 10.8),
        (Partition(on="stream", for_s=9.0, after="fill"), 9.3, 10.8),
        # Nobody is refused, so this has no claim.
        (Crash(at_s=9.0, after="reject"), 1.0, 3.0),
    ],
)
def test_the_load_lasts_until_the_faults_have_had_their_time(fault: Any, least_s: float, most_s: float) -> None:
    played = run(planned(TINY, fault), 1)
    assert played.error is None
    assert least_s <= faults_over_t(played) <= most_s


def test_a_strike_at_the_very_end_gets_its_chance() -> None:
    for at_s in (0.5, 1.0, 1.5):
        played = run(planned(TINY, Crash(at_s=at_s), orders=1), 1)
        assert [event.t for event in played.history.of(Crashed)] == pytest.approx([at_s], abs=1e-5)


def test_the_next_process_is_up_before_the_run_is_judged() -> None:
    played = run(planned(TINY, Crash(at_s=2.0, down_s=30.0)), 1)
    assert played.history.of(Boot)[1].t == pytest.approx(32.0, abs=0.01)
    assert next(event.t for event in played.history.of(Phase) if event.name == "quiescence") > 32.0


def test_a_storm_ends_with_its_interval() -> None:
    storm = StatusStorm(on="POST /orders", status=503, during_s=(0.0, 5.0))
    played = run(planned(TINY, storm), 1)
    assert max(event.t for event in played.history.of(Struck)) < 5.0


# The clockwork by itself


class Struckwork:
    """A clockwork whose strikes are remembered with their time."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.history = History()
        self.injector = Injector(Recorder(), self.history, lambda: loop.time() - began)
        self.injector.armed = True
        self.struck: list[tuple[str, float]] = []
        self.clock = Clockwork(self.injector, lambda: loop.time() - began, self.carry_out)

    def carry_out(self, tick: Tick) -> Any:
        self.struck.append((tick.fault, self.injector._now_s()))
        return "applied"


def ticks(fault: str, *times: float) -> Iterator[Tick]:
    for number, at_s in enumerate(times, 1):
        yield Tick(at_s, fault, Point(Plane.STREAM, "rest", fault, number, "tick"), Cut())


def virtually(main: Callable[[], Awaitable[None]]) -> None:
    Simulation(seed=1).run(main)


def test_chains_strike_side_by_side_and_in_the_order_of_their_times() -> None:
    async def main() -> None:
        work = Struckwork()
        work.clock.wind([ticks("a", 1, 3, 5), ticks("b", 2, 3)])
        await asyncio.sleep(10)
        assert [fault for fault, _ in work.struck] == ["a", "b", "a", "b", "a"]
        assert [t for _, t in work.struck] == pytest.approx([1, 2, 3, 3, 5], abs=1e-5)

    virtually(main)


def test_a_strike_comes_at_the_same_bit_however_it_was_wound() -> None:
    times = [0.1 * n + 0.037 for n in range(1, 60)]
    found: list[list[tuple[str, float]]] = []

    async def main() -> None:
        one_after_the_other, all_at_once = Struckwork(), Struckwork()
        one_after_the_other.clock.wind([ticks("a", *times)])
        all_at_once.clock.wind(ticks("a", at_s) for at_s in times)
        await asyncio.sleep(10)
        found.extend([one_after_the_other.struck, all_at_once.struck])

    virtually(main)
    assert found[0] == found[1]


def test_overdue_strikes_come_in_the_order_of_their_times_however_they_were_wound() -> None:
    """A client that blocks (a busy store, say) lets the clock pass several of them."""
    times = {"a": (1.0, 2.0, 4.0), "b": (1.5, 3.0), "c": (2.5,)}

    async def main() -> None:
        chained, alone = Struckwork(), Struckwork()
        chained.clock.wind(ticks(name, *each) for name, each in times.items())
        alone.clock.wind(
            ticks(name, at_s) for at_s, name in sorted((t, name) for name, ts in times.items() for t in ts)
        )
        time.sleep(10)  # noqa: ASYNC251 -- in virtual time, and the loop stands still
        await asyncio.sleep(1)
        assert [name for name, _ in chained.struck] == ["a", "b", "a", "c", "b", "a"]
        assert chained.struck == alone.struck

    virtually(main)


def test_a_strike_shares_its_instant_with_no_timer_of_the_run() -> None:
    """Else it would hang on who set its timer first which comes first, and a replay sets them all at the start."""

    async def main() -> None:
        work = Struckwork()
        loop = asyncio.get_running_loop()
        two_s = loop.time() + 2.0
        seen: list[int] = []
        loop.call_at(two_s, lambda: seen.append(len(work.struck)))
        work.clock.wind([ticks("a", 2.0)])
        await asyncio.sleep(1)
        loop.call_at(two_s, lambda: seen.append(len(work.struck)))
        await asyncio.sleep(2)
        assert seen == [0, 0], "set before or after the strike's, a timer of the same time comes first"
        assert len(work.struck) == 1

    virtually(main)


def test_what_is_stopped_or_disarmed_strikes_no_more() -> None:
    async def main() -> None:
        work = Struckwork()
        (first,) = work.clock.wind([ticks("a", 1, 2, 3)])
        work.clock.wind([ticks("b", 1, 2, 3)])
        await asyncio.sleep(1.5)
        work.clock.stop([first])
        await asyncio.sleep(1.0)
        work.injector.armed = False
        await asyncio.sleep(5.0)
        assert [fault for fault, _ in work.struck] == ["a", "b", "b"]
        work.injector.armed = True
        work.clock.wind([ticks("c", 20, 21)])
        await asyncio.sleep(13)
        work.clock.stop()
        await asyncio.sleep(10)
        assert [fault for fault, _ in work.struck][3:] == ["c"]

    virtually(main)


def test_a_strike_whose_time_is_past_comes_at_once() -> None:
    async def main() -> None:
        work = Struckwork()
        await asyncio.sleep(5)
        work.clock.wind([ticks("a", 1.0)])
        await asyncio.sleep(0.1)
        assert [t for _, t in work.struck] == pytest.approx([5.0], abs=1e-5)

    virtually(main)


def test_an_action_that_nobody_can_carry_out_by_the_clock_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Crash, "actions", lambda fault, moment, chance: (FillPart(2, 1.0),))
    played = run(planned(TINY, Crash(at_s=0.7)), 1)
    assert isinstance(played.error, HarnessError)
    assert "FillPart" in str(played.error)


def test_a_stream_that_opened_is_in_the_history() -> None:
    assert len(kinds(run(planned(STREAMING), 1), Connected)) == 1

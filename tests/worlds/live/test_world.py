"""Runs over real sockets: what strikes, what is refused, what is told, and that nothing is left."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faultline.errors import HarnessError, SimHang, TargetError, UnsupportedFault
from faultline.faults import (
    Crash,
    DnsFailure,
    HalfOpen,
    Latency,
    LostResponse,
    Refuse,
    ResetPeer,
    Restart,
    StoreError,
    TokenExpiry,
)
from faultline.history.event import Answer, Belief, Boot, Contracted, Effect, Intent, Received, Stuck, Trouble
from faultline.oracles import NoDuplicates, NoLostIntent
from faultline.plan import Plan
from faultline.runner import Run, run
from faultline.worlds.live.world import LiveWorld

from ...playing import CAREFUL, NAIVE, kinds

Live = Callable[..., Plan]


def effects(done: Run, what: str = "order") -> int:
    return sum(1 for effect in done.history.of(Effect) if effect.what == what)


def verdicts(done: Run) -> dict[str, str]:
    assert done.error is None, done.error
    return {verdict.oracle: verdict.verdict for verdict in done.verdicts}


# What strikes


@pytest.mark.parametrize(("target", "expected"), [(CAREFUL, "pass"), (NAIVE, "fail")])
def test_a_lost_response_is_judged_as_in_the_simulation(live: Live, target: str, expected: str) -> None:
    done = run(live(LostResponse(on="POST /orders", nth=1), target=target, expect=[NoDuplicates()]), 0)
    assert verdicts(done) == {"no_duplicates": expected}
    assert [receipt.fault for receipt in done.receipts] == ["lost_response"]
    (first,) = done.history.of(Contracted)
    assert first.world == "live"


def test_bytes_and_connections_are_struck_by_the_proxy(live: Live) -> None:
    slow = Latency(on="rest", delay_s=0.2, during_s=(0.0, 1.0))
    done = run(live(slow, ResetPeer(on="rest", nth=1), expect=[NoDuplicates()]), 0)
    assert verdicts(done) == {"no_duplicates": "pass"}
    assert {receipt.fault for receipt in done.receipts} == {"latency", "reset_peer"}
    assert {receipt.plane for receipt in done.receipts} == {"stream"}
    answers = {answer.intent: answer.t for answer in done.history.of(Answer)}
    assert answers["I1"] >= 0.4, "a login and an order, each with the latency both ways"


def test_connections_are_cut_by_the_clock(live: Live) -> None:
    done = run(live(HalfOpen(on="rest", at_s=0.15), expect=[NoLostIntent()]), 0)
    assert verdicts(done) == {"no_lost_intent": "pass"}
    assert [receipt.phase for receipt in done.receipts] == ["tick"]
    assert max(answer.t for answer in done.history.of(Answer)) >= 1.0, "it heard nothing until its own timeout"


def test_new_connections_are_refused(live: Live) -> None:
    done = run(live(Refuse(on="rest", during_s=(0.0, 0.5)), expect=[NoLostIntent()]), 0)
    assert verdicts(done) == {"no_lost_intent": "pass"}
    assert min(answer.t for answer in done.history.of(Answer)) >= 0.5


def test_the_venue_and_its_clock_are_struck(live: Live) -> None:
    done = run(live(TokenExpiry(at_s=0.15), target=CAREFUL, expect=[NoDuplicates()]), 0)
    assert verdicts(done) == {"no_duplicates": "pass"}
    assert [receipt.fault for receipt in done.receipts] == ["token_expiry"]


def test_the_store_refuses(live: Live) -> None:
    done = run(live(StoreError(error="full", nth=3), target=CAREFUL, expect=[NoLostIntent()]), 0)
    assert verdicts(done) == {"no_lost_intent": "pass"}
    assert [receipt.fault for receipt in done.receipts] == ["store_error"]


def test_a_client_with_a_connection_class_of_its_own_runs_while_nothing_strikes_its_store(live: Live) -> None:
    code = """
class Own(sqlite3.Connection): pass
class It(Tiny):
    def __init__(self, **where):
        super().__init__(**where)
        sqlite3.connect(":memory:", factory=Own).close()
"""
    assert run(live(code=code), 0).error is None
    struck = run(live(StoreError(nth=1000), code=code), 0)
    assert isinstance(struck.error, TargetError)
    assert "connection class of its own" in str(struck.error)


def test_a_restarted_client_goes_on_from_its_store(live: Live) -> None:
    done = run(live(Restart(at_s=0.15, down_s=0.1), target=CAREFUL, expect=[NoDuplicates(), NoLostIntent()]), 0)
    assert set(verdicts(done).values()) == {"pass"}
    assert [boot.incarnation for boot in done.history.of(Boot)] == [1, 2]
    assert effects(done) == 3


def test_its_successor_finds_what_it_stored(live: Live) -> None:
    done = run(live(Restart(at_s=0.15, down_s=0.1)), 0)
    assert done.error is None
    answered = [answer.intent for answer in done.history.of(Answer) if answer.incarnation == 1]
    first = next(belief for belief in done.history.of(Belief) if belief.incarnation == 2)
    assert answered
    assert {order.intent for order in first.orders} >= set(answered)


# What is refused while planning


def test_what_it_cannot_carry_is_refused_with_its_place(live: Live) -> None:
    with pytest.raises(UnsupportedFault, match=r"^test\.yaml:\d+:\d+: crash: .*shares the process"):
        live(Crash(at_s=1.0))
    with pytest.raises(UnsupportedFault, match=r"^test\.yaml:\d+:\d+: dns_failure: .*looks no name up"):
        live(DnsFailure(during_s=(0.0, 1.0)))


# What is told


def test_an_exception_in_the_background_is_the_clients(live: Live) -> None:
    code = """
class It(Tiny):
    async def place(self, intent_id, **order):
        asyncio.get_running_loop().call_soon(self.burst)
        return await super().place(intent_id, **order)
    def burst(self):
        raise RuntimeError("in the background")
"""
    done = run(live(code=code, orders=1), 0)
    assert done.error is None
    (trouble,) = done.history.of(Trouble)
    assert (trouble.what, trouble.incarnation) == ("unhandled", 1)
    assert "in the background" in trouble.detail


def test_a_task_that_died_unseen_and_one_that_goes_on_are_told(live: Live) -> None:
    code = """
async def dies():
    raise RuntimeError("unseen")
async def goes_on():
    await asyncio.sleep(3600)
class It(Tiny):
    async def place(self, intent_id, **order):
        self.kept = [asyncio.create_task(dies()), asyncio.create_task(goes_on())]
        return await super().place(intent_id, **order)
"""
    done = run(live(code=code, orders=1), 0)
    assert done.error is None
    assert any("unseen" in trouble.detail for trouble in done.history.of(Trouble))
    assert any("goes_on" in stuck.task for stuck in done.history.of(Stuck))


# Its end


def test_the_time_limit_is_in_real_seconds(live: Live) -> None:
    code = """
class It(Tiny):
    async def place(self, intent_id, **order):
        await asyncio.sleep(3600)
"""
    done = run(live(code=code, time_limit_s=0.5), 0)
    assert isinstance(done.error, HarnessError)
    assert "limit of 0.5 s of real time" in str(done.error)
    assert 0.5 <= done.virtual_s < 5


def test_a_client_that_never_returns_to_the_loop_ends_the_run(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faultline.worlds.live.world.HANG_S", 1.0)
    monkeypatch.setattr("faultline.worlds.live.pulse.BEAT_S", 0.1)
    code = """
class It(Tiny):
    async def place(self, intent_id, **order):
        while True:
            time.sleep(0.01)
"""
    done = run(live(code=code, orders=1), 0)
    assert isinstance(done.error, SimHang)


def test_a_world_runs_once() -> None:
    world = LiveWorld(0, time_limit_s=5.0)

    async def nothing() -> int:
        return 3

    assert world.run(nothing) == 3
    with pytest.raises(HarnessError, match="once"):
        world.run(nothing)


def test_ctrl_c_ends_it_and_leaves_nothing(live: Live, left: Callable[[], list[str]]) -> None:
    code = """
import os, signal
class It(Tiny):
    async def place(self, intent_id, **order):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(3600)
"""
    with pytest.raises(KeyboardInterrupt):
        run(live(code=code), 0)
    assert left() == []


# What is left


LEAKS = """
async def undying():
    for _ in range(20):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
class It(Tiny):
    async def start(self):
        await super().start()
        self.more = [await asyncio.open_connection(*self.rest_url.removeprefix("http://").split(":")) for _ in range(3)]
        self.kept = asyncio.create_task(undying())
        await asyncio.sleep(0)
    async def stop(self):
        pass
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("code", ["", LEAKS])
def test_nothing_is_left(live: Live, left: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr("faultline.worlds.live.world.TEARDOWN_S", 0.3)
    seen: list[Any] = []
    listen = LiveWorld.listen

    async def noting(world: LiveWorld, *args: Any) -> Any:
        seen.append(await listen(world, *args))
        return seen[-1]

    monkeypatch.setattr(LiveWorld, "listen", noting)
    done = run(live(Latency(delay_s=0.01), HalfOpen(on="stream", at_s=0.1), code=code), 0)
    assert done.error is None
    assert left() == []
    for url in (seen[0].rest_url, seen[0].stream_url):
        host, port = url.rpartition("/")[2].split(":")
        with socket.socket() as again, pytest.raises(ConnectionRefusedError):
            again.connect((host, int(port)))


def test_what_a_client_left_running_is_cancelled_at_the_end(live: Live, tmp_path: Path) -> None:
    code = f"""
async def careless():
    try:
        await asyncio.sleep(3600)
    finally:
        open({str(tmp_path / "ended")!r}, "w").close()
class It(Tiny):
    async def start(self):
        await super().start()
        self.kept = asyncio.create_task(careless())
"""
    assert run(live(code=code), 0).error is None
    assert (tmp_path / "ended").exists()


def test_two_runs_do_not_share_a_thing(live: Live) -> None:
    first, second = (run(live(target=CAREFUL), 0) for _ in range(2))
    for done in (first, second):
        assert done.error is None
        assert effects(done) == 3
    assert not kinds(second, Trouble)


def test_a_request_that_a_slow_line_held_back_was_sent_when_it_was_sent(live: Live) -> None:
    slow = Latency(on="rest", delay_s=0.3, direction="up")
    done = run(live(slow, expect=[NoDuplicates()]), 0)
    orders = [request for request in done.history.of(Received) if request.endpoint == "POST /orders"]
    up_s = 0.3  # its login was held back too
    wanted = {intent.id: max(up_s, intent.t) for intent in done.history.of(Intent)}
    assert len(orders) == 3
    for order in orders:
        assert order.sent_t is not None
        assert order.t - order.sent_t >= 0.3
        assert 0 <= order.sent_t - wanted[order.entity] < 0.25

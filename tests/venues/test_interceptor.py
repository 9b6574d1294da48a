"""The message plane: what the client sees of each action, what the ledger has, and what the receipts say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from faultline.errors import HarnessError
from faultline.faults.actions import (
    Action,
    Crash,
    Cut,
    Delay,
    Drop,
    Duplicate,
    ExpireTokens,
    FillPart,
    Hold,
    Replace,
    Reply,
)
from faultline.history.event import Answered, Delivered, Disconnected, Effect, Received, Resolved, Struck
from faultline.venues.base import Broken, Message, Request, Response
from faultline.venues.interceptor import Interceptor
from faultline.venues.message_interceptor import HELD_MAX_S
from faultline.worlds.sim.simulation import Simulation

from .conftest import ORDER, Live, LoopClock, Parts, Planned, make_parts, play

CLIENT_TIMEOUT_S = 3.0

# Requests


async def seen_by_client(live: Live, **changes: Any) -> object:
    """Status and body of one POST /orders, or the name of what was raised."""
    timeout = aiohttp.ClientTimeout(total=CLIENT_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, headers=live.headers) as session:
        try:
            async with session.post(f"{live.url}/orders", json={**ORDER, **changes}) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__


def struck_by(phase: str, *actions: Action, after_s: float = 0.0, **changes: Any) -> tuple[object, Live, float]:
    """One order whose request is struck. Returns what the client saw, the venue, and how long the client waited."""
    found: list[Any] = []

    async def body(live: Live) -> None:
        live.parts.decider.strike("POST /orders", phase, *actions)
        began_s = live.parts.context.now_s()
        found.append(await seen_by_client(live, **changes))
        found.append(live)
        found.append(live.parts.context.now_s() - began_s)
        await asyncio.sleep(after_s)

    play("sim", "raw", body, {"idempotency": "none"})
    return found[0], found[1], found[2]


def orders(live: Live) -> int:
    return sum(event.what == "order" for event in live.parts.history.of(Effect))


def fates(live: Live) -> list[tuple[int, str]]:
    return [(event.status, event.fate) for event in live.parts.history.of(Answered)]


@pytest.mark.parametrize(
    ("how", "seen"), [("fin", "ServerDisconnectedError"), ("rst", "ClientOSError"), ("silence", "TimeoutError")]
)
def test_a_request_cut_before_its_effect_never_reaches_the_venue(how: Any, seen: str) -> None:
    got, live, _ = struck_by("before", Cut(how=how))
    assert (got, orders(live)) == (seen, 0)
    assert live.parts.resolved() == ["not_applied"]
    assert fates(live) == [(0, "lost")]


@pytest.mark.parametrize(
    ("how", "seen"), [("fin", "ServerDisconnectedError"), ("rst", "ClientOSError"), ("silence", "TimeoutError")]
)
def test_a_response_cut_after_the_effect_leaves_an_order_that_nobody_heard_of(how: Any, seen: str) -> None:
    got, live, _ = struck_by("after", Cut(how=how))
    assert (got, orders(live)) == (seen, 1)
    assert live.parts.resolved() == ["applied"]
    assert fates(live) == [(201, "lost")]


def test_half_a_response_is_cut_and_a_whole_one_is_sent() -> None:
    got, live, _ = struck_by("after", Cut(after_bytes=80, how="fin"))
    assert got in ("ClientPayloadError", "ServerDisconnectedError")
    assert fates(live) == [(201, "cut")]
    got, live, _ = struck_by("after", Cut(after_bytes=100_000, how="fin"))
    assert isinstance(got, tuple)
    assert got[0] == 201
    assert fates(live) == [(201, "sent")]


def test_a_refused_order_has_no_effect_although_it_was_struck_after_it() -> None:
    got, live, _ = struck_by("after", Cut(how="fin"), quantity="0")
    assert (got, orders(live)) == ("ServerDisconnectedError", 0)
    assert live.parts.resolved() == ["not_applied"]


def test_a_reply_before_the_effect_keeps_the_request_from_the_venue() -> None:
    got, live, _ = struck_by("before", Reply(503, (("Retry-After", "2"),), b"busy"))
    assert (got, orders(live)) == ((503, b"busy"), 0)
    assert live.parts.resolved() == ["not_applied"]
    assert fates(live) == [(503, "replaced")]
    assert live.parts.history.of(Answered)[0].retry_after_s == 2


def test_a_reply_after_the_effect_hides_what_was_done() -> None:
    got, live, _ = struck_by("after", Reply(502, (), b"bad gateway"))
    assert (got, orders(live)) == ((502, b"bad gateway"), 1)
    assert live.parts.resolved() == ["applied"]
    assert fates(live) == [(502, "replaced")]


def test_a_replaced_body_keeps_status_and_effect() -> None:
    got, live, _ = struck_by("after", Replace(b"<html>"))
    assert (got, orders(live)) == ((201, b"<html>"), 1)
    assert fates(live) == [(201, "replaced")]


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("action", [Delay(2.0), Hold(until_s=2.0)])
def test_what_is_delayed_happens_later(phase: str, action: Action) -> None:
    got, live, waited_s = struck_by(phase, action)
    assert isinstance(got, tuple)
    assert got[0] == 201
    assert waited_s == pytest.approx(2.0, abs=0.01)
    accepted_s = live.parts.history.of(Effect)[0].t
    assert accepted_s == pytest.approx(2.0 if phase == "before" else 0.0, abs=0.01)
    assert live.parts.resolved() == ["applied"]


def test_a_late_request_takes_effect_after_its_client_has_gone() -> None:
    got, live, waited_s = struck_by("before", Delay(10.0), after_s=10.0)
    assert got == "TimeoutError"
    assert waited_s == pytest.approx(CLIENT_TIMEOUT_S, abs=0.01)
    assert live.parts.history.of(Effect)[0].t == pytest.approx(10.0, abs=0.01)
    assert live.parts.resolved() == ["applied"]
    assert fates(live) == [(201, "lost")]
    assert live.parts.interceptor.in_flight == 0


def test_a_request_that_is_on_its_way_is_in_flight() -> None:
    _, live, _ = struck_by("before", Delay(10.0), after_s=1.0)
    assert live.parts.interceptor.in_flight == 0, "the teardown ended it"

    async def body(live: Live) -> None:
        live.parts.decider.strike("POST /orders", "before", Delay(10.0), Duplicate(copies=2, gap_s=1.0))
        await seen_by_client(live)
        assert live.parts.interceptor.in_flight == 1
        await asyncio.sleep(7.5)
        assert live.parts.interceptor.in_flight == 2, "both copies are on their way"
        await asyncio.sleep(2.0)
        assert live.parts.interceptor.in_flight == 0

    play("sim", "raw", body, {"idempotency": "none"})


def test_copies_arrive_and_count_neither_as_points_nor_as_answers() -> None:
    asked: list[tuple[int, str]] = []

    async def body(live: Live) -> None:
        live.parts.announce("I1")
        live.parts.decider.strike("POST /orders", "before", Duplicate(copies=2, gap_s=1.0))
        first = await seen_by_client(live)
        assert isinstance(first, tuple)
        assert b'"order1"' in first[1]
        await asyncio.sleep(3)
        await seen_by_client(live)
        received = live.parts.history.of(Received)
        assert [(event.injected, event.retry_of) for event in received] == [
            (False, 0),
            (True, 1),
            (True, 1),
            (False, 0),
        ]
        assert [event.nth for event in received if not event.injected] == [1, 2]
        assert [event.t for event in received[1:3]] == pytest.approx([1.0, 2.0], abs=0.01)
        assert orders(live) == 4
        asked.extend((moment.point.nth, moment.point.phase) for moment in live.parts.decider.asked
                     if moment.point.endpoint == "POST /orders")  # fmt: skip

    play("sim", "raw", body, {"idempotency": "none"})
    assert asked == [(1, "before"), (1, "after"), (2, "before"), (2, "after")]


def test_a_copy_of_a_late_request_comes_first_and_the_late_one_is_answered() -> None:
    got, live, _ = struck_by("before", Duplicate(copies=1), Delay(2.0))
    assert isinstance(got, tuple)
    assert b'"order2"' in got[1]
    assert orders(live) == 2


def test_the_first_terminal_action_wins_and_later_ones_leave_no_receipt() -> None:
    got, live, waited_s = struck_by("before", Delay(1.0), Cut(how="fin"), Reply(503))
    assert got == "ServerDisconnectedError"
    assert waited_s == pytest.approx(1.0, abs=0.01)
    assert [event.action.partition("(")[0] for event in live.parts.history.of(Struck)] == ["Delay", "Cut"]
    assert live.parts.resolved() == ["not_applied", "not_applied"]


def test_every_receipt_is_resolved_once() -> None:
    for phase in ("before", "after"):
        for end in (Reply(500), Cut(), Delay(0.1)):
            _, live, _ = struck_by(phase, Delay(0.1), Hold(0.2), end)
            assert [event.receipt for event in live.parts.history.of(Resolved)] == [1, 2, 3], (phase, end)


def test_nothing_strikes_while_the_injector_is_disarmed() -> None:
    async def body(live: Live) -> None:
        live.parts.injector.armed = False
        live.parts.decider.strike("POST /orders", "before", Cut())
        live.parts.decider.strike("POST /orders", "after", Cut())
        got = await seen_by_client(live)
        assert isinstance(got, tuple)
        assert got[0] == 201

    play("sim", "raw", body, {})


def parts_with(upon: dict[type[Action], Callable[[Action], None]]) -> Parts:
    parts = make_parts(LoopClock())
    parts.interceptor = Interceptor(
        parts.injector,
        parts.history,
        parts.attribution,
        now_s=parts.context.now_s,
        wall_s=lambda: 1_767_225_600.0,
        upon=upon,
    )
    return parts


def virtually(main: Callable[[], Awaitable[None]]) -> None:
    """Run ``main`` in virtual time; an exception in a callback fails the test."""
    unhandled: list[object] = []

    async def body() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: unhandled.append(context))
        await main()

    Simulation(seed=1).run(body)
    assert unhandled == []


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("action", [Crash(), ExpireTokens()])
def test_what_concerns_neither_requests_nor_messages_is_passed_on(phase: str, action: Action) -> None:
    async def main() -> None:
        passed: list[Action] = []
        parts = parts_with({Crash: passed.append, ExpireTokens: passed.append})
        parts.decider.strike("GET /time", phase, action)
        answer = await parts.interceptor.request(Request("GET", "/time"), parts.venue)
        assert passed == [action]
        assert isinstance(answer, Response)
        assert answer.status == 200
        assert parts.resolved() == ["not_applied"]

    virtually(main)


def test_an_action_of_another_plane_is_named_and_refused() -> None:
    async def main() -> None:
        parts = parts_with({})
        for action in (FillPart(2, 1.0), Crash()):
            parts.decider.strike("GET /time", "before", action)
            with pytest.raises(HarnessError, match=type(action).__name__):
                await parts.interceptor.request(Request("GET", "/time"), parts.venue)
        assert parts.interceptor.in_flight == 0

    virtually(main)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 7 ", 7.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Thu, 01 Jan 2026 00:01:00 -0000", 60.0),
        ("Thu, 01 Jan 2026 01:01:00 +0100", 60.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("soon", None),
        ("²", None),
        ("-1", None),
        ("", None),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_the_standard_has_it(value: str, seconds: float | None) -> None:
    async def main() -> None:
        parts = parts_with({})
        parts.decider.strike("GET /time", "before", Reply(429, (("retry-after", value),)))
        answer = await parts.interceptor.request(Request("GET", "/time"), parts.venue)
        assert isinstance(answer, Response)
        assert parts.history.of(Answered)[0].retry_after_s == seconds

    virtually(main)


def test_a_client_that_has_hung_up_gets_no_answer_of_a_fault_either() -> None:
    async def main() -> None:
        parts = parts_with({})
        for phase, action in (("before", Reply(503)), ("after", Replace(b"")), ("after", Cut(after_bytes=9))):
            parts.decider.strike("GET /time", phase, action)
            answer = await parts.interceptor.request(Request("GET", "/time", gone=lambda: True), parts.venue)
            assert isinstance(answer, Response | Broken)
        assert [event.fate for event in parts.history.of(Answered)] == ["lost"] * 3

    virtually(main)


# Messages


class Stream:
    """One stream connection as an adapter would hold it: what was sent, when, and how it was cut."""

    def __init__(self, parts: Parts, ordinal: int = 1) -> None:
        self.parts = parts
        self.ordinal = ordinal
        self.sent: list[str] = []
        self.times: list[float] = []
        self.ended: tuple[str, int] | None = None
        parts.interceptor.opened("user", ordinal, self.cut)

    def cut(self, how: str, code: int) -> None:
        self.ended = (how, code)
        self.close(code)

    def close(self, code: int = 1006) -> None:
        self.parts.interceptor.closed("user", self.ordinal, code)

    async def _send(self, body: str) -> None:
        self.sent.append(body)
        self.times.append(self.parts.context.now_s())

    async def push(self, entity: str, topic: str = "fills", *, control: bool = False) -> None:
        message = Message(topic=topic, body=entity, entity=entity, subject=entity, control=control)
        await self.parts.interceptor.message("user", self.ordinal, message, self._send, self.cut)

    def fates(self) -> list[tuple[str, str]]:
        return [(event.entity, event.fate) for event in self.parts.history.of(Delivered)]


def struck_message(*actions: Action) -> tuple[Parts, Stream]:
    parts = make_parts(LoopClock())
    parts.decider.strike("stream user", "out", *actions)
    return parts, Stream(parts)


def test_a_dropped_message_is_not_sent_and_its_connection_lives_on() -> None:
    async def main() -> None:
        parts, stream = struck_message(Drop())
        await stream.push("I1/1")
        await stream.push("I2/1")
        assert stream.sent == ["I2/1"]
        assert stream.fates() == [("I1/1", "dropped"), ("I2/1", "sent")]
        assert parts.resolved() == ["not_applied"]

    virtually(main)


def test_a_cut_ends_the_connection_and_its_message_is_lost() -> None:
    async def main() -> None:
        parts, stream = struck_message(Cut(how="close", code=1012), Drop())
        await stream.push("I1/1")
        assert stream.sent == []
        assert stream.ended == ("close", 1012)
        assert stream.fates() == [("I1/1", "lost")]
        assert [event.code for event in parts.history.of(Disconnected)] == [1012]
        assert parts.resolved() == ["not_applied"]

    virtually(main)


def test_a_doubled_message_comes_twice_and_counts_once() -> None:
    async def main() -> None:
        parts, stream = struck_message(Duplicate(copies=2, gap_s=1.0))
        await stream.push("I1/1")
        assert stream.sent == ["I1/1"] * 3
        assert stream.times == pytest.approx([0, 1, 2], abs=0.01)
        assert stream.fates() == [("I1/1", "sent"), ("I1/1", "duplicated"), ("I1/1", "duplicated")]
        assert len(parts.decider.asked) == 1
        assert parts.resolved() == ["applied"]

    virtually(main)


def test_a_replaced_message_has_another_body() -> None:
    async def main() -> None:
        _, stream = struck_message(Replace(b'{"half": '))
        await stream.push("I1/1")
        assert stream.sent == ['{"half": ']

    virtually(main)


def test_a_message_delayed_beyond_the_life_of_its_connection_is_lost() -> None:
    async def main() -> None:
        parts, stream = struck_message(Delay(5.0))
        asyncio.get_running_loop().call_later(1.0, stream.close)
        await stream.push("I1/1")
        assert stream.sent == []
        assert stream.fates() == [("I1/1", "lost")]
        assert parts.resolved() == ["not_applied"]

    virtually(main)


def test_messages_of_control_are_no_points() -> None:
    async def main() -> None:
        parts, stream = struck_message(Drop())
        await stream.push("heartbeat", control=True)
        assert stream.sent == ["heartbeat"]
        assert parts.decider.asked == []

    virtually(main)


def test_a_point_counts_the_deliveries_of_one_message_over_all_connections() -> None:
    async def main() -> None:
        parts, stream = struck_message()
        again = Stream(parts, ordinal=2)
        for each in (stream, again):
            await each.push("I1/1")
            await each.push("I1/1", "orders")
        points = [(moment.point.entity, moment.point.nth) for moment in parts.decider.asked]
        assert points == [("I1/1/fills", 1), ("I1/1/orders", 1), ("I1/1/fills", 2), ("I1/1/orders", 2)]

    virtually(main)


def test_a_message_held_back_follows_when_enough_others_have_passed() -> None:
    async def main() -> None:
        parts, stream = struck_message(Hold(overtaken_by=2))
        await stream.push("I1/1")
        assert parts.interceptor.in_flight == 1
        await stream.push("heartbeat", control=True)
        await stream.push("I2/1")
        assert stream.sent == ["heartbeat", "I2/1"]
        await stream.push("I3/1")
        assert stream.sent == ["heartbeat", "I2/1", "I3/1", "I1/1"]
        assert stream.fates() == [("I2/1", "sent"), ("I3/1", "sent"), ("I1/1", "delayed")]
        assert parts.interceptor.in_flight == 0
        assert parts.resolved() == ["applied"]
        await asyncio.sleep(2 * HELD_MAX_S)
        assert len(stream.sent) == 4, "it followed once"

    virtually(main)


def test_messages_held_back_together_follow_in_their_order() -> None:
    async def main() -> None:
        parts, stream = struck_message(Hold(overtaken_by=1))
        await stream.push("I1/1")
        parts.decider.strike("stream user", "out", Hold(overtaken_by=1))
        await stream.push("I2/1")
        await stream.push("I3/1")
        assert stream.sent == ["I3/1", "I1/1", "I2/1"]

    virtually(main)


def test_the_last_message_follows_by_itself_when_no_other_comes() -> None:
    async def main() -> None:
        parts, stream = struck_message(Hold(overtaken_by=3))
        await stream.push("I1/1")
        await asyncio.sleep(HELD_MAX_S - 0.1)
        assert stream.sent == []
        await asyncio.sleep(0.2)
        assert stream.sent == ["I1/1"]
        assert stream.fates() == [("I1/1", "delayed")]
        assert parts.interceptor.in_flight == 0

    virtually(main)


def test_what_is_held_back_is_lost_with_its_connection() -> None:
    async def main() -> None:
        parts, stream = struck_message(Hold(overtaken_by=1))
        await stream.push("I1/1")
        stream.close()
        assert stream.fates() == [("I1/1", "lost")]
        assert parts.history.of(Delivered)[0].nth == 1
        assert parts.interceptor.in_flight == 0
        await asyncio.sleep(2 * HELD_MAX_S)
        assert stream.sent == []

    virtually(main)


def test_connections_are_cut_from_outside_by_pattern_and_number() -> None:
    async def main() -> None:
        parts = make_parts(LoopClock())
        first, second, third = (Stream(parts, ordinal) for ordinal in (1, 2, 3))
        assert parts.interceptor.cut_streams("stream market", Cut()) == 0
        assert parts.interceptor.cut_streams("stream *", Cut(how="rst"), connection=2) == 1
        assert (first.ended, second.ended, third.ended) == (None, ("rst", 1006), None)
        assert parts.interceptor.cut_streams("stream user", Cut(how="fin")) == 2

    virtually(main)


def test_a_stream_that_opens_is_a_mark() -> None:
    async def main() -> None:
        parts = make_parts(LoopClock())
        await asyncio.sleep(2)
        Stream(parts)
        assert parts.injector.marks["stream user"] == pytest.approx(2, abs=0.01)

    virtually(main)


def test_the_decider_sees_what_is_on_the_wire() -> None:
    async def main() -> None:
        parts = make_parts(LoopClock())
        request = Request("POST", "/orders", headers={"x-account": "a1"}, body=b"{}", connection=4)
        await parts.interceptor.request(request, parts.venue)
        before, after = (moment for moment in parts.decider.asked if moment.point.endpoint == "POST /orders")
        assert (before.headers["x-account"], before.connection, before.size_bytes) == ("a1", 4, 2)
        assert after.size_bytes > 2
        assert isinstance(parts.decider, Planned)

    virtually(main)

"""A session: a test's own code in a simulated world, faults for as long as a block lasts, and a check at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
import websockets
from hypothesis import given, settings
from hypothesis import strategies as st

import faultline as fl
from faultline.errors import HarnessError, SimEscape, UsageError
from faultline.history.event import Answer, Belief, Disconnected, Intent, Phase, Received, Struck, TokenEnded, Trouble
from faultline.session import RunningVenue

Test = Callable[[fl.Session, RunningVenue, aiohttp.ClientSession], Awaitable[Any]]


def played(test: Test, seed: int = 0, **venue: Any) -> fl.Session:
    """A session in which ``test`` ran against a venue, with a client that has logged in."""
    session = fl.Session(seed)

    async def main() -> None:
        running = await session.venue("generic", **venue)
        async with aiohttp.ClientSession(running.url, timeout=aiohttp.ClientTimeout(total=2)) as client:
            body = {"client_id": running.client_id, "client_secret": running.client_secret}
            async with client.post("/auth/token", json=body) as response:
                client.headers["Authorization"] = f"Bearer {(await response.json())['access_token']}"
            await test(session, running, client)

    session.run(main)
    return session


async def buy(client: aiohttp.ClientSession, price: int, key: str | None = None) -> int:
    """Status of one order, 0 when there was no answer."""
    order = {"client_order_id": key, "symbol": "NQ", "side": "buy", "type": "limit", "quantity": "1"}
    with suppress(aiohttp.ClientError, TimeoutError):
        async with client.post("/orders", json=order | {"price": str(price)}) as response:
            return response.status
    return 0


# Time and wire


def test_a_session_runs_in_virtual_time() -> None:
    async def test(session: fl.Session, *_: Any) -> None:
        began_s = session.now_s()
        await asyncio.sleep(3600)
        assert session.now_s() - began_s == pytest.approx(3600, abs=0.01)

    played(test)


def test_what_a_test_returns_and_raises_comes_through() -> None:
    async def good() -> str:
        return "result"

    async def bad() -> None:
        raise LookupError("mine")

    assert fl.Session().run(good) == "result"
    with pytest.raises(LookupError, match="mine"):
        fl.Session().run(bad)


def test_a_session_runs_once() -> None:
    async def nothing() -> None: ...

    session = fl.Session()
    session.run(nothing)
    with pytest.raises(HarnessError, match="used once"):
        session.run(nothing)


def test_a_session_inside_another_is_refused() -> None:
    async def nothing() -> None: ...

    async def main() -> None:
        fl.Session().run(nothing)

    with pytest.raises(HarnessError, match="already running"):
        fl.Session().run(main)


def test_the_same_seed_gives_the_same_history() -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        with session.inject(fl.faults.LostResponse(on="POST /orders", probability=0.5)):
            for price in range(1, 12):
                await buy(client, price)

    assert played(test).history.digest == played(test).history.digest
    assert played(test).history.digest != played(test, seed=1).history.digest


# Venues


def test_settings_of_the_venue_are_the_scenarios() -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        assert [await buy(client, 1, "k"), await buy(client, 2, "k")] == [201, 201]

    played(test, idempotency="none")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda session: session.venue("generik"), "did you mean 'generic'?"),
        (lambda session: session.venue("generic", idempotenz="none"), "idempotenz"),
        (lambda session: session.venue("generic", heartbeat_s=0.0), "heartbeat"),
    ],
)
def test_a_venue_that_there_is_not_is_refused(ask: Any, said: str) -> None:
    session = fl.Session()
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        session.run(lambda: ask(session))


def test_a_second_venue_is_refused() -> None:
    async def test(session: fl.Session, *_: Any) -> None:
        with pytest.raises(UsageError, match="one venue per test"):
            await session.venue()

    played(test)


def test_what_needs_a_venue_says_so() -> None:
    async def main() -> None:
        with (
            pytest.raises(UsageError, match=r"start a venue .* await faultline.venue"),
            session.inject(fl.faults.LostResponse()),
        ):
            pass
        with pytest.raises(UsageError, match="start a venue"), session.intent("buy", quantity=1):
            pass

    session = fl.Session()
    session.run(main)


# Faults


def test_faults_strike_inside_their_block_only() -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        assert await buy(client, 1) == 201
        with session.inject(fl.faults.LostRequest(on="POST /orders", how="fin")):
            assert await buy(client, 2) == 0
            assert await buy(client, 3) == 0
        assert await buy(client, 4) == 201

    assert len(played(test).history.of(Struck)) == 2


def test_blocks_may_be_nested() -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        with session.inject(fl.faults.StatusStorm(on="POST /orders", status=503)):
            with session.inject(fl.faults.LostRequest(on="GET /time", how="fin")):
                assert await buy(client, 1) == 503
                with pytest.raises(aiohttp.ServerDisconnectedError):
                    await client.get("/time")
            assert await buy(client, 2) == 503
            assert (await client.get("/time")).status == 200
        assert await buy(client, 3) == 201

    played(test)


def test_times_count_from_the_beginning_of_the_block() -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        await asyncio.sleep(100)
        with session.inject(fl.faults.StatusStorm(on="POST /orders", status=503, during_s=(1.0, 2.0))):
            assert await buy(client, 1) == 201
            await asyncio.sleep(1.5)
            assert await buy(client, 2) == 503
            await asyncio.sleep(1.0)
            assert await buy(client, 3) == 201

    played(test)


def test_strikes_by_the_clock_come_and_end_with_their_block() -> None:
    async def test(session: fl.Session, running: RunningVenue, client: aiohttp.ClientSession) -> None:
        token = client.headers["Authorization"].partition(" ")[2]
        await asyncio.sleep(50)
        began_s = session.now_s()
        async with websockets.connect(f"{running.stream_url}/stream?token={token}") as stream:
            with session.inject(
                fl.faults.Disconnect(at_s=2.0, code=1012), fl.faults.TokenExpiry(every_s=3.0, at_s=3.0)
            ):
                await stream.wait_closed()
                assert stream.close_code == 1012
                assert session.now_s() - began_s == pytest.approx(2.0, abs=0.1)
                await asyncio.sleep(5.5)
        await asyncio.sleep(20)

    history = played(test).history
    assert [event.endpoint for event in history.of(Struck)] == ["stream *", "tokens", "tokens"]
    assert len(history.of(Disconnected)) == 1
    assert len(history.of(TokenEnded)) == 1, "the second time there was no token left to end"


def test_a_strike_by_the_clock_may_count_from_a_mark() -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        with session.inject(fl.faults.TokenExpiry(at_s=1.0, after="fill")):
            await asyncio.sleep(5)
            await buy(client, 1)
            assert not session.history.of(Struck)
            await asyncio.sleep(5)
            assert len(session.history.of(Struck)) == 1
        # The mark is made: what is past of it is past, and what is to come comes.
        with session.inject(fl.faults.TokenExpiry(every_s=4.0, after="fill")):
            await asyncio.sleep(4)
            assert len(session.history.of(Struck)) == 2

    played(test, fill_delay_s=0.3)


def test_two_blocks_make_their_own_draws() -> None:
    hits: list[list[bool]] = []

    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        for block in range(2):
            with session.inject(fl.faults.StatusStorm(on="POST /orders", status=503, probability=0.5)):
                hits.append([await buy(client, 100 * block + price) == 503 for price in range(1, 16)])

    played(test)
    assert hits[0] != hits[1]
    assert 3 < sum(hits[0]) < 13


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (fl.faults.Crash(at_s=1.0), "needs a client that faultline drives"),
        (fl.faults.LostResponse(on="POST /order"), "did you mean 'POST /orders'?"),
        (fl.faults.Latency(on="server"), "on: 'server'"),
    ],
)
def test_a_fault_that_could_never_strike_is_refused(fault: Any, said: str) -> None:
    async def test(session: fl.Session, *_: Any) -> None:
        with pytest.raises(UsageError) as caught, session.inject(fault):
            pass
        assert said in str(caught.value)

    played(test)


# Intents and beliefs


def test_an_intent_ties_what_the_client_sends() -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        with session.intent("buy", quantity=1, price=100, symbol="NQ") as wanted:
            await buy(client, 100)
        assert wanted.id == "I1"
        with session.intent("buy", quantity=1, price=200) as second:
            second.outcome = "fail"
        await session.settle()

    session = played(test)
    assert [event.entity for event in session.history.of(Received) if event.endpoint == "POST /orders"] == ["I1"]
    assert [(event.intent, event.outcome) for event in session.history.of(Answer)] == [("I1", "ok"), ("I2", "fail")]
    assert [event.order_type for event in session.history.of(Intent)] == ["limit", "limit"]
    session.check(fl.oracles.NoDuplicates(), fl.oracles.NoLostIntent())


def test_an_intent_that_raises_is_info_and_says_why() -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        with pytest.raises(LookupError), session.intent("sell", quantity=11):
            raise LookupError(f"no {client.headers['Authorization']}")

    session = played(test)
    (answer,) = session.history.of(Answer)
    assert (answer.outcome, answer.detail) == ("info", "LookupError: no Bearer <token#1>")
    assert session.history.of(Intent)[0].order_type == "market"


def test_beliefs_are_recorded_as_they_are_told() -> None:
    async def test(session: fl.Session, *_: Any) -> None:
        session.believe({"I1": ("filled", 4)}, positions={"NQ": 4}, fills=("fill1",))

    (belief,) = played(test).history.of(Belief)
    assert (belief.orders[0].intent, belief.orders[0].state, belief.orders[0].filled) == ("I1", "filled", "4")
    assert (belief.positions, belief.fills) == ((("NQ", "4"),), ("fill1",))


# The end


def test_settling_waits_for_what_is_outstanding_and_lets_nothing_strike() -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        with session.inject(fl.faults.LateRequest(on="POST /orders", by_s=30.0)):
            assert await buy(client, 1) == 0
            await session.settle()
            assert session.now_s() > 30.3
            assert await buy(client, 2) == 201

    session = played(test)
    assert [event.name for event in session.history.of(Phase)] == ["faults_over", "quiescence"]


def test_settling_gives_up_after_its_time() -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        with session.inject(fl.faults.LateRequest(on="POST /orders", by_s=300.0)):
            await buy(client, 1)
        await session.settle(within_s=10.0)
        assert session.now_s() < 13

    played(test)


async def buy_twice(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
    for price in range(1, 13):
        with session.intent("buy", quantity=1, price=price, symbol="NQ"):
            await buy(client, price)
            await buy(client, price)
    await session.settle()


def test_a_failed_check_explains_itself_and_says_how_to_repeat_it() -> None:
    session = played(buy_twice, seed=5)
    with pytest.raises(fl.CheckFailed) as caught:
        session.check(fl.oracles.NoDuplicates(), fl.oracles.NoLostIntent())
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("no_duplicates: fail: intent I1 ")
    assert "became 2 orders" in lines[0]
    assert lines[10].strip() == "and 2 more"
    assert "  no fault struck" in lines
    assert "buy 1 NQ at 1" in "".join(line for line in lines if line.startswith("    I1 "))
    assert lines[-1] == "seed 5: pytest --faultline-seed=5, or Session(seed=5)"
    assert [verdict.oracle for verdict in caught.value.verdicts] == ["no_duplicates"]


def test_unknown_is_not_passed() -> None:
    async def test(*_: Any) -> None: ...

    with pytest.raises(fl.CheckFailed, match="no_duplicates: unknown: no order was accepted"):
        played(test).check(fl.oracles.NoDuplicates())


def test_an_oracle_that_breaks_is_unknown() -> None:
    class Breaks:
        name = "breaks"
        checks = ()

        def judge(self, history: fl.History) -> Any:
            raise ZeroDivisionError("nothing to divide")

    with pytest.raises(fl.CheckFailed, match=r"breaks: unknown: .*ZeroDivisionError: nothing to divide"):
        played(buy_twice).check(Breaks())


def test_verdicts_come_back_when_all_pass() -> None:
    session = played(buy_twice)
    (verdict,) = session.check(fl.oracles.NoLostIntent())
    assert verdict.verdict == "pass"


def test_the_history_is_sealed_when_the_test_is_over() -> None:
    session = played(buy_twice)
    before = len(session.history)
    session.believe(fills=("late",))
    assert len(session.history) == before


def test_an_escape_that_was_swallowed_fails_the_test() -> None:
    async def test(session: fl.Session, *_: Any) -> None:
        with suppress(Exception):
            threading.Thread(target=print).start()

    with pytest.raises(SimEscape, match="a thread"):
        played(test)

    async def checked(session: fl.Session, *_: Any) -> None:
        await test(session)
        with pytest.raises(SimEscape, match="a thread"):
            session.check(fl.oracles.NoDuplicates())

    with pytest.raises(SimEscape):
        played(checked)


def test_an_exception_in_the_background_is_trouble() -> None:
    async def fail() -> None:
        raise LookupError("lost in the background")

    async def test(session: fl.Session, *_: Any) -> None:
        asyncio.ensure_future(fail())  # noqa: RUF006 -- nobody keeps it, that is the point
        await asyncio.sleep(1)

    (trouble,) = played(test).history.of(Trouble)
    assert "LookupError: lost in the background" in trouble.detail
    assert trouble.incarnation == 1


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), lost=st.integers(1, 3))
def test_a_session_works_under_hypothesis(seed: int, lost: int) -> None:
    async def test(session: fl.Session, _: Any, client: aiohttp.ClientSession) -> None:
        with session.inject(fl.faults.LostResponse(on="POST /orders", nth=lost)):
            for price in (10, 20, 30):
                with session.intent("buy", quantity=1, price=price, symbol="NQ"):
                    while not await buy(client, price, key=f"key{price}"):
                        pass
        await session.settle()

    session = played(test, seed, idempotency="unique_forever")
    assert len(session.history.of(Struck)) == 1
    session.check(fl.oracles.NoDuplicates(), fl.oracles.NoLostIntent())

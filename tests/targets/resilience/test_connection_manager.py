"""Connections one after another, against a hub that refuses and drops. In virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from targets.resilience.connection_manager import ConnectionState, SignalRConfig, SignalRConnectionManager
from targets.resilience.connection_state import LEGAL
from targets.resilience.errors import APIError, ConfigurationError, MaxReconnectAttemptsError
from targets.resilience.stream_connection import StreamLostError
from tests.targets.resilience.hub import Stage, Tokens, on_stage
from tests.worlds.sim.kit import VENUE

S = ConnectionState


# The life of a connection


def test_a_connection_is_made_and_ended() -> None:
    async def test(stage: Stage) -> None:
        assert stage.manager.state is S.DISCONNECTED
        await stage.manager.connect()
        assert stage.manager.state is S.CONNECTED
        assert stage.manager.healthy
        await stage.manager.connect()  # it is: nothing to do
        await stage.manager.disconnect()
        assert stage.manager.state is S.DISCONNECTED
        assert not stage.manager.healthy
        assert stage.states == ["connecting", "synchronizing", "connected", "disconnected"]
        await stage.until(lambda: stage.hub.sockets[0].closed)
        assert stage.hub.goodbyes == [1000]
        assert stage.hub.tokens == ["t1"]
        await stage.manager.connect()
        assert len(stage.hub.attempts_s) == 2

    on_stage(test)


def test_nothing_is_left_after_a_disconnect() -> None:
    async def test(stage: Stage) -> None:
        before = asyncio.all_tasks()
        await stage.manager.subscribe("SubscribeOrders", 7)
        await stage.manager.connect()
        stage.hub.cut("rst")
        await stage.until(lambda: len(stage.hub.sockets) == 2)
        await stage.manager.disconnect()
        await stage.until(lambda: all(socket.closed for socket in stage.hub.sockets))
        await stage.until(lambda: asyncio.all_tasks() == before, within_s=1)
        assert all(not connection.open for connection in stage.simulation.network.connections("rest"))

    on_stage(test)


@pytest.mark.parametrize("state", [S.CONNECTING, S.RECONNECTING])
def test_a_disconnect_ends_also_what_is_not_connected_and_tells_who_waits(state: ConnectionState) -> None:
    async def test(stage: Stage) -> None:
        if state is S.CONNECTING:
            stage.simulation.network.partition("client", VENUE)
        else:
            stage.hub.refusals = [503] * 5
        connecting = asyncio.create_task(stage.manager.connect())
        await stage.until_state(state)
        await stage.manager.disconnect()
        with pytest.raises(StreamLostError, match="disconnected"):
            await connecting
        assert stage.manager.state is S.DISCONNECTED
        await asyncio.sleep(300)
        assert stage.manager.state is S.DISCONNECTED

    on_stage(test)


def test_giving_up_the_wait_does_not_give_up_the_connection() -> None:
    async def test(stage: Stage) -> None:
        stage.hub.refusals = [503, 503]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await stage.manager.connect()
        await asyncio.gather(stage.manager.connect(), stage.manager.connect())
        assert stage.manager.state is S.CONNECTED
        assert len(stage.hub.attempts_s) == 3

    on_stage(test)


def test_no_transition_is_taken_that_the_table_does_not_have() -> None:
    async def test(stage: Stage) -> None:
        await stage.manager.connect()
        for nth, how in enumerate(("rst", "fin", "silence"), start=2):
            stage.hub.cut(how)
            await stage.level(nth)
        stage.hub.refusals = [500] * 20
        stage.hub.cut("rst")
        await stage.until_state(S.FAILED, within_s=2000)
        await stage.manager.disconnect()
        path = [S.DISCONNECTED, *map(S, stage.states)]
        assert all(new in LEGAL[old] for old, new in pairwise(path))
        assert set(path) == set(S)
        with pytest.raises(AssertionError, match="no legal transition"):
            stage.manager._move(S.CONNECTED, "by hand")

    on_stage(test)


def test_a_stream_without_an_address_is_refused_at_once() -> None:
    async def connect() -> None:
        await SignalRConnectionManager(SignalRConfig(), Tokens()).connect()

    with pytest.raises(ConfigurationError, match="url"):
        asyncio.run(connect())


# Coming back


def test_the_delays_are_0_2_10_30_60_s_and_the_end_is_loud() -> None:
    async def test(stage: Stage) -> None:
        stage.hub.refusals = [503] * 99
        with pytest.raises(MaxReconnectAttemptsError, match=r"gave up after 10 reconnects; the last: APIError.*503"):
            await stage.manager.connect()
        gaps = [round(later - earlier) for earlier, later in pairwise(stage.hub.attempts_s)]
        assert gaps == [0, 2, 10, 30, 60, 60, 60, 60, 60, 60]
        assert stage.manager.state is S.FAILED
        assert [type(error) for error in stage.failures] == [MaxReconnectAttemptsError]
        with pytest.raises(APIError) as told:
            await stage.manager.invoke("Echo")
        assert told.value.effect == "none"
        # Whoever wants it may begin again, from the beginning.
        stage.hub.refusals = [503]
        await stage.manager.connect()
        assert stage.manager.state is S.CONNECTED

    on_stage(test)


def test_without_a_limit_it_never_gives_up() -> None:
    async def test(stage: Stage) -> None:
        stage.hub.refusals = [503] * 40
        await stage.manager.connect()
        assert len(stage.hub.attempts_s) == 41

    on_stage(test, max_reconnect_attempts=None)


@pytest.mark.parametrize("lived_s", [1, 8])
def test_only_a_connection_that_has_proven_itself_resets_the_count(lived_s: float) -> None:
    async def test(stage: Stage) -> list[int]:
        await stage.manager.connect()
        lost_s = []
        for ordinal in range(1, 5):
            await stage.level(ordinal)
            await asyncio.sleep(lived_s)
            lost_s.append(stage.now_s)
            stage.hub.cut("rst")
        await stage.until(lambda: len(stage.hub.attempts_s) == 5)
        return [round(again - lost) for again, lost in zip(stage.hub.attempts_s[1:], lost_s, strict=True)]

    assert on_stage(test) == ([0, 2, 10, 30] if lived_s == 1 else [0, 0, 0, 0])


@pytest.mark.parametrize("failure", ["no route", "no token", "no address"])
def test_whatever_prevents_a_connection_counts_as_an_attempt(failure: str) -> None:
    async def test(stage: Stage) -> None:
        if failure == "no token":
            stage.tokens.error = APIError("no token", 500)
        with pytest.raises(MaxReconnectAttemptsError):
            await stage.manager.connect()
        assert stage.tokens.asked == 3
        assert "t1" not in str(stage.failures[0])

    url = "ws://[half" if failure == "no address" else f"ws://{VENUE}:81/hubs/user"
    on_stage(
        test, serving=failure == "no token", max_reconnect_attempts=2, **{} if failure == "no token" else {"url": url}
    )


def test_jitter_and_spread_only_lengthen_the_delays() -> None:
    draws = iter([0.5, 0.25] * 20)

    async def test(stage: Stage) -> None:
        stage.hub.refusals = [503] * 4
        await stage.manager.connect()
        gaps = [round(later - earlier, 1) for earlier, later in pairwise(stage.hub.attempts_s)]
        assert gaps == pytest.approx([1.0, 1 + 2.5, 1 + 12.5, 1 + 37.5], abs=0.11)

    on_stage(test, jitter=0.5, spread=4000, chance=lambda: next(draws))
    config = SignalRConfig(jitter=0.5, spread=4000)
    assert config.delay_s(1) == 0
    assert config.delay_s(99, 0.999, 0.999) < 60 * 1.5 + 4


def test_twenty_clients_do_not_come_back_together() -> None:
    async def test(stage: Stage) -> None:
        config = SignalRConfig(url=stage.manager._config.url, spread=5000)
        clients = [SignalRConnectionManager(config, Tokens()) for _ in range(20)]
        await asyncio.gather(*(client.connect() for client in clients))
        lost_s = stage.now_s
        for connection in stage.simulation.network.connections("rest"):
            connection.cut("rst")
        await stage.until(lambda: len(stage.hub.attempts_s) == 40)
        arrivals = Counter(int(at_s - lost_s) for at_s in stage.hub.attempts_s[20:])
        await asyncio.gather(*(client.disconnect() for client in clients))
        assert len(arrivals) == 5
        assert max(arrivals.values()) <= 10

    on_stage(test)


# Tokens


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_refused_is_reported_and_not_used_again(status: int) -> None:
    async def test(stage: Stage) -> None:
        stage.hub.refusals = [status]
        await stage.manager.connect()
        assert stage.hub.tokens == ["t1", "t2"]
        assert stage.tokens.rejected == ["t1"]

    on_stage(test)


@pytest.mark.parametrize(("code", "rejects"), [(4401, True), (3000, True), (1001, False), (4000, False)])
def test_a_close_code_may_say_that_the_token_is_over(code: int, rejects: bool) -> None:
    async def test(stage: Stage) -> None:
        await stage.manager.connect()
        await stage.hub.sockets[-1].close(code=code, message=b"bye")
        await stage.until(lambda: len(stage.hub.tokens) == 2)
        assert stage.hub.tokens[1] == ("t2" if rejects else "t1")
        assert stage.tokens.asked == 2  # asked for each connection, never kept from the last
        assert f"closed with {code}" in await stage.lost()

    on_stage(test)


@pytest.mark.parametrize("again", [True, False])
def test_a_close_message_says_whether_to_come_back(again: bool) -> None:
    async def test(stage: Stage) -> None:
        await stage.manager.connect()
        await stage.hub.raw({"type": 7, "error": "maintenance", "allowReconnect": again})
        if again:
            await stage.level(2)
        else:
            await stage.until_state(S.FAILED)
            assert "maintenance" in str(stage.failures[0])
            await asyncio.sleep(500)
            assert len(stage.hub.attempts_s) == 1

    on_stage(test)


# Settings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_reconnect_attempts", -1),
        ("reconnect_delays", []),
        ("reconnect_delays", [-1]),
        ("ping_timeout", 0),
        ("stale_after", -1),
        ("events_max", 0),
        ("jitter", -0.1),
    ],
)
def test_a_setting_that_cannot_be_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        SignalRConfig(**{field: value})

"""What happens on a connection: signs of life, subscriptions, events, invocations. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from targets.resilience.connection_manager import ConnectionState
from targets.resilience.errors import APIError, StateUnavailableError
from targets.resilience.stream_connection import StreamLostError
from tests.targets.resilience.hub import Stage, on_stage

S = ConnectionState


# Noticing that it is dead


def test_a_half_open_connection_is_noticed_by_the_ping_deadline() -> None:
    async def test(stage: Stage) -> None:
        await stage.manager.connect()
        stage.hub.cut("silence")
        assert "half open" in await stage.lost()
        assert stage.now_s == pytest.approx(35, abs=0.2)
        await stage.level(2)

    on_stage(test)


def test_pongs_do_not_make_up_for_the_messages_that_a_hub_promises() -> None:
    async def test(stage: Stage) -> None:
        stage.hub.beats = False
        await stage.manager.connect()
        await asyncio.sleep(119)
        assert stage.manager.healthy
        assert "stale" in await stage.lost()
        assert stage.now_s == pytest.approx(120, abs=0.2)

    on_stage(test)


def test_a_quiet_hub_is_kept_and_hears_of_us_every_15_s() -> None:
    async def test(stage: Stage) -> None:
        await stage.manager.connect()
        await asyncio.sleep(3605)
        assert stage.manager.healthy
        assert len(stage.hub.sockets) == 1
        pings = [message for _, message in stage.hub.heard if message == {"type": 6}]
        assert len(pings) == 240

    on_stage(test)


def test_a_server_that_never_answers_the_handshake_is_given_up() -> None:
    async def test(stage: Stage) -> None:
        stage.hub.handshake = ""
        connecting = asyncio.create_task(stage.manager.connect())
        assert "TimeoutError" in await stage.lost()
        assert stage.now_s == pytest.approx(15, abs=0.2)
        stage.hub.handshake = '{"error":"not you"}\x1e'
        await stage.until(lambda: len(stage.hub.sockets) == 3)
        stage.hub.handshake = "{}\x1e"
        await connecting
        assert len(stage.hub.sockets) == 4

    on_stage(test)


def test_garbage_ends_the_connection() -> None:
    async def test(stage: Stage) -> None:
        await stage.manager.connect()
        await stage.hub.sockets[-1].send_str('{"type":99}\x1e')
        assert "not a hub message" in await stage.lost()
        await stage.level(2)
        await stage.hub.sockets[-1].send_bytes(b"\x00")
        await stage.until(lambda: len(stage.hub.sockets) == 3)

    on_stage(test)


def test_what_is_no_websocket_frame_ends_the_connection() -> None:
    async def test(stage: Stage) -> None:
        await stage.manager.connect()
        transport = stage.hub.sockets[-1]._req.transport  # type: ignore[union-attr]
        transport.write(b"\xff\xff\xff")  # type: ignore[union-attr]
        assert "broke" in await stage.lost()
        await stage.level(2)

    on_stage(test)


# Subscriptions, and what was missed


def test_every_subscription_is_asked_for_again_on_each_connection() -> None:
    async def test(stage: Stage) -> None:
        manager, wanted = (
            stage.manager,
            [("SubscribeOrders", [7]), ("SubscribePositions", [7]), ("SubscribeTrades", [7])],
        )
        for method, arguments in wanted[:2]:
            await manager.subscribe(method, *arguments)
        await manager.connect()
        await manager.subscribe("SubscribeTrades", 7)
        assert stage.hub.subscriptions(1) == wanted
        stage.hub.cut("rst")
        await stage.level(2)
        assert stage.hub.subscriptions(2) == wanted
        manager.unsubscribe("SubscribePositions", 7)
        stage.hub.cut("rst")
        await stage.level(3)
        assert stage.hub.subscriptions(3) == [wanted[0], wanted[2]]

    on_stage(test)


def test_a_lost_acknowledgement_is_a_failed_connection() -> None:
    async def test(stage: Stage) -> None:
        stage.hub.deaf = {1}
        await stage.manager.subscribe("SubscribeOrders", 7)
        await stage.manager.connect()
        assert len(stage.hub.sockets) == 2
        assert "connected" not in stage.states[: stage.states.index("reconnecting")]
        stage.hub.deaf = {2}
        with pytest.raises(APIError) as told:
            await stage.manager.subscribe("SubscribeTrades", 7)
        assert told.value.effect == "unknown"
        await stage.level(2)
        assert len(stage.hub.subscriptions(3)) == 2

    on_stage(test)


def test_a_subscription_that_a_disconnect_overtakes_waits_for_the_next_connection() -> None:
    async def test(stage: Stage) -> None:
        await stage.manager.connect()
        stage.hub.deaf = {1}
        subscribing = asyncio.create_task(stage.manager.subscribe("SubscribeOrders", 7))
        await asyncio.sleep(0.1)
        stage.hub.cut("rst")
        with pytest.raises(APIError):
            await subscribing
        await stage.level(2)
        await asyncio.sleep(30)
        assert stage.hub.subscriptions(2) == [("SubscribeOrders", [7])]
        assert stage.states.count("reconnecting") == 1

    on_stage(test)


def test_what_was_missed_is_fetched_before_the_stream_counts_as_level() -> None:
    async def test(stage: Stage) -> None:
        order: list[str] = []
        stage.manager.on_state(lambda old, new, reason: order.append(str(new)))

        async def resync() -> None:
            order.append(f"resync after {len(stage.hub.subscriptions(len(stage.hub.sockets)))} subscriptions")
            await asyncio.sleep(1)
            order.append("resynced")

        stage.manager.before_level(resync)
        await stage.manager.subscribe("SubscribeOrders", 7)
        await stage.manager.connect()
        stage.hub.cut("rst")
        await stage.until(lambda: order.count("connected") == 2)
        once = ["synchronizing", "resync after 1 subscriptions", "resynced", "connected"]
        assert order == ["connecting", *once, "reconnecting", *once]

    on_stage(test)


def test_a_resync_that_fails_or_outlives_its_connection_is_done_again() -> None:
    async def test(stage: Stage) -> None:
        begun: list[int] = []

        async def resync() -> None:
            begun.append(len(stage.hub.sockets))
            if len(begun) == 1:
                raise StateUnavailableError("the disk is full")
            if len(begun) == 2:
                stage.hub.cut("rst")
                await asyncio.sleep(1000)

        stage.manager.before_level(resync)
        await stage.manager.connect()
        assert begun == [1, 2, 3]

    on_stage(test)


def test_a_bug_in_a_hook_is_a_loud_end_and_no_reconnect() -> None:
    async def test(stage: Stage) -> None:
        async def broken() -> None:
            raise KeyError("oops")

        stage.manager.before_level(broken)
        with pytest.raises(StreamLostError, match="died of KeyError"):
            await stage.manager.connect()
        assert stage.manager.state is S.FAILED
        assert len(stage.hub.attempts_s) == 1

    on_stage(test)


def test_a_stream_that_is_useless_can_be_given_up_from_outside() -> None:
    async def test(stage: Stage) -> None:
        stage.manager.reconnect("there is none to give up")
        await stage.manager.connect()
        stage.manager.reconnect("it says nothing")
        stage.manager.reconnect("twice")
        await stage.level(2)
        assert "it says nothing" in await stage.lost()
        assert stage.hub.sockets[0].closed

    on_stage(test)


# Events


def test_handlers_hear_everything_once_and_in_order_also_after_reconnects() -> None:
    async def test(stage: Stage) -> None:
        heard: list[object] = []
        also: list[object] = []

        async def slow(number: int, data: dict[str, Any]) -> None:
            await asyncio.sleep(0.3 if number % 2 else 0)
            heard.append((number, data["size"]))

        def broken(*arguments: object) -> None:
            also.append(arguments[0])
            raise ValueError("a bug of the handler's")

        stage.manager.on("GatewayUserOrder", broken)
        stage.manager.on("GatewayUserOrder", slow)
        await stage.manager.connect()
        for number in range(1, 7):
            if number == 4:
                stage.hub.cut("rst")
                await stage.level(2)
            await stage.hub.say("GatewayUserOrder", number, {"size": number})
        await stage.hub.say("SomethingElse", 1)
        await stage.until(lambda: len(heard) == 6)
        assert heard == [(number, number) for number in range(1, 7)]
        assert also == [1, 2, 3, 4, 5, 6]

    on_stage(test)


def test_a_removed_handler_hears_nothing_more() -> None:
    async def test(stage: Stage) -> None:
        heard: list[object] = []
        remove = stage.manager.on("Quote", heard.append)
        await stage.manager.connect()
        await stage.hub.say("Quote", 1)
        await stage.until(lambda: heard)
        remove()
        remove()
        await stage.hub.say("Quote", 2)
        await stage.manager.invoke("Echo")
        assert heard == [1]

    on_stage(test)


def test_slow_handlers_hold_the_stream_up_and_do_not_kill_it() -> None:
    async def test(stage: Stage) -> None:
        heard: list[int] = []

        async def slow(number: int) -> None:
            await asyncio.sleep(150)
            heard.append(number)

        stage.manager.on("Quote", slow)
        stage.hub.beats = False
        await stage.manager.connect()
        for number in range(3):
            await stage.hub.say("Quote", number)
        await stage.until(lambda: heard, within_s=160)
        # It was not the server that said nothing for so long: nobody listened.
        await asyncio.sleep(100)
        assert stage.states.count("reconnecting") == 0
        await stage.until(lambda: len(heard) == 3, within_s=400)
        assert heard == [0, 1, 2]

    on_stage(test, events_max=1)


def test_a_handler_or_a_hook_may_end_the_stream() -> None:
    async def test(stage: Stage) -> None:
        before, after = asyncio.all_tasks(), []

        async def logout() -> None:
            await stage.manager.disconnect()
            after.append(stage.manager.state)

        stage.manager.on("Logout", logout)
        await stage.manager.connect()
        await stage.hub.say("Logout")
        await stage.until(lambda: after)
        assert after == [S.DISCONNECTED]
        await stage.until(lambda: stage.hub.sockets[-1].closed and asyncio.all_tasks() == before, within_s=1)
        stage.manager.before_level(stage.manager.disconnect)
        with pytest.raises(StreamLostError):
            await stage.manager.connect()
        assert stage.manager.state is S.DISCONNECTED
        await asyncio.sleep(200)
        assert len(stage.hub.sockets) == 2

    on_stage(test)


def test_a_broken_state_handler_breaks_nothing_else() -> None:
    async def test(stage: Stage) -> None:
        stage.manager.on_state(lambda old, new, reason: 1 / 0)
        await stage.manager.connect()
        assert stage.manager.state is S.CONNECTED

    on_stage(test)


# Invocations


def test_an_invocation_gives_the_servers_result_or_says_what_is_certain() -> None:
    async def test(stage: Stage) -> None:
        async def effect_of(method: str) -> str:
            with pytest.raises(APIError) as told:
                await stage.manager.invoke(method)
            return told.value.effect

        assert await effect_of("Echo") == "none"
        await stage.manager.connect()
        answers = await asyncio.gather(*(stage.manager.invoke("Echo", number) for number in range(5)))
        assert answers == [[number] for number in range(5)]
        assert await effect_of("Fail") == "unknown"
        assert await effect_of("Forget") == "unknown"  # after invoke_timeout
        lost = asyncio.create_task(effect_of("Forget"))
        await asyncio.sleep(0.1)
        stage.hub.cut("rst")
        assert await asyncio.wait_for(lost, 1) == "unknown"
        # An answer that nobody waits for is no harm, and neither is one that comes twice.
        await stage.level(2)
        await stage.hub.raw({"type": 3, "invocationId": "77", "result": None})
        assert await stage.manager.invoke("Twice") is None
        assert await stage.manager.invoke("Echo", "still") == ["still"]

    on_stage(test)


def test_a_server_that_waits_for_a_result_is_told_that_there_is_none() -> None:
    async def test(stage: Stage) -> None:
        heard: list[object] = []
        stage.manager.on("Ask", heard.append)
        await stage.manager.connect()
        await stage.hub.raw({"type": 1, "invocationId": "s1", "target": "Ask", "arguments": [1]}, {"type": 6})
        await stage.until(lambda: any(message.get("invocationId") == "s1" for _, message in stage.hub.heard))
        (answer,) = (message for _, message in stage.hub.heard if message.get("invocationId") == "s1")
        assert (answer["type"], "error" in answer, heard) == (3, True, [1])

    on_stage(test)


def test_a_peer_that_reads_nothing_holds_no_sender_for_ever() -> None:
    async def test(stage: Stage) -> None:
        await stage.manager.connect()
        stage.hub.cut("silence")
        with pytest.raises((APIError, StreamLostError)):
            for _ in range(100):
                await stage.manager.invoke("Echo", "x" * 1_000_000)
        assert stage.now_s < 60
        await stage.lost(within_s=60)

    on_stage(test)

"""What each toxic does to connections, in virtual time. Stages and faults have their own tests; here is the meaning."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from faultline.worlds.live.proxy.bodies import ToxicInput, read
from faultline.worlds.live.proxy.toxic_proxy import Toxic, ToxicProxy
from faultline.worlds.live.proxy.toxics import TOXICS
from tests.worlds.live.proxy.kit import Bench, bench, in_virtual_time, until

Use = Callable[[Bench, ToxicProxy], Awaitable[None]]


def simulated(use: Use, **options: Any) -> None:
    async def main() -> None:
        async with bench(**options) as it:
            await use(it, ToxicProxy(it.proxy))

    in_virtual_time(main)


def body(**fields: object) -> ToxicInput:
    import msgspec

    return read(msgspec.json.encode(fields), ToxicInput)


def add(proxy: ToxicProxy, kind: str, stream: str = "downstream", **fields: Any) -> Toxic:
    whole = {key: fields.pop(key) for key in ("toxicity", "first") if key in fields}
    return proxy.add(body(type=kind, stream=stream, attributes=fields, **whole))


@pytest.mark.parametrize("kind", TOXICS)
def test_every_toxic_can_be_added_and_removed_with_data_flowing(kind: str) -> None:
    async def use(it: Bench, proxy: ToxicProxy) -> None:
        client, server = await it.pair()
        fields = {"average_size": 3} if kind == "slicer" else {}
        for stream in ("upstream", "downstream"):
            toxic = add(proxy, kind, stream, **fields)
            client.transport.write(b"up")
            server.transport.write(b"down")
            await asyncio.sleep(0.5)
            proxy.remove(toxic)
        assert not proxy.toxics
        assert not it.proxy.armed
        client, server = await it.pair()
        client.transport.write(b"free")
        await until(lambda: bytes(server.data) == b"free")

    simulated(use)


def test_timeout_closes_a_busy_connection_at_its_time_and_passes_nothing() -> None:
    async def use(it: Bench, proxy: ToxicProxy) -> None:
        add(proxy, "timeout", timeout=300)
        client, server = await it.pair()
        began_s = it.loop.time()
        while client.eof_s is None:
            server.transport.write(b"x")
            client.transport.write(b"y")
            await asyncio.sleep(0.05)
        assert client.eof_s - began_s == pytest.approx(0.3, abs=0.01)
        assert not client.data
        assert server.data, "only its own stream is stopped"

    simulated(use)


def test_removing_a_black_hole_ends_the_connections_it_struck_and_no_others() -> None:
    async def use(it: Bench, proxy: ToxicProxy) -> None:
        toxic = add(proxy, "timeout", toxicity=0.5)
        pairs = [await it.pair() for _ in range(20)]
        for _, server in pairs:
            server.transport.write(b"x")
        await asyncio.sleep(0.1)
        struck = [not client.data for client, _ in pairs]
        assert {True, False} == set(struck)
        proxy.remove(toxic)
        await asyncio.sleep(0.1)
        assert [client.eof_s is not None for client, _ in pairs] == struck

    simulated(use)


def test_an_update_restarts_the_time_of_open_connections() -> None:
    async def use(it: Bench, proxy: ToxicProxy) -> None:
        client, _ = await it.pair()
        toxic = add(proxy, "timeout", timeout=1000)
        await asyncio.sleep(0.9)
        began_s = it.loop.time()
        proxy.update(toxic, body(attributes={"timeout": 500}))
        await until(lambda: client.eof_s is not None)
        assert client.eof_s is not None
        assert client.eof_s - began_s == pytest.approx(0.5, abs=0.01)

    simulated(use)


def test_reset_peer_resets_old_and_idle_connections_on_both_sides() -> None:
    async def use(it: Bench, proxy: ToxicProxy) -> None:
        client, server = await it.pair()
        await asyncio.sleep(50)
        add(proxy, "reset_peer", timeout=200)
        began_s = it.loop.time()
        await until(lambda: client.lost_s is not None and server.lost_s is not None)
        assert client.lost_s is not None
        assert client.lost_s - began_s == pytest.approx(0.2, abs=0.01)
        assert (client.error, server.error) == ("ConnectionResetError", "ConnectionResetError")

    simulated(use)


@pytest.mark.parametrize("kind", ["reset_peer", "timeout", "refuse", "half_open"])
def test_a_toxicity_of_zero_strikes_nothing(kind: str) -> None:
    async def use(it: Bench, proxy: ToxicProxy) -> None:
        add(proxy, kind, toxicity=0)
        client, server = await it.pair()
        server.transport.write(b"x")
        server.transport.write_eof()
        client.transport.write_eof()
        await until(lambda: client.lost_s is not None or client.eof_s is not None)
        assert (bytes(client.data), client.error) == (b"x", None)

    simulated(use)


def test_a_rate_of_zero_stalls_until_it_is_raised() -> None:
    async def use(it: Bench, proxy: ToxicProxy) -> None:
        client, server = await it.pair()
        toxic = add(proxy, "bandwidth", rate=0)
        server.transport.write(b"stuck")
        await asyncio.sleep(100)
        assert not client.data
        proxy.update(toxic, body(attributes={"rate": 1}))
        await asyncio.sleep(0.01)
        assert bytes(client.data) == b"stuck"
        began_s = it.loop.time()
        server.transport.write(b"x" * 1000)
        await until(lambda: len(client.data) == 1005)
        assert it.loop.time() - began_s == pytest.approx(1, abs=0.01)

    simulated(use)


def test_removing_a_latency_releases_what_it_held_at_once() -> None:
    async def use(it: Bench, proxy: ToxicProxy) -> None:
        client, server = await it.pair()
        toxic = add(proxy, "latency", latency=2000)
        server.transport.write(b"queued")
        await asyncio.sleep(0.01)
        proxy.remove(toxic)
        await asyncio.sleep(0.001)
        assert bytes(client.data) == b"queued"

    simulated(use)


def test_limit_data_of_zero_closes_at_the_first_data_and_not_before() -> None:
    async def use(it: Bench, proxy: ToxicProxy) -> None:
        add(proxy, "limit_data", bytes=0)
        client, server = await it.pair()
        await asyncio.sleep(10)
        assert client.eof_s is None
        server.transport.write(b"x")
        await until(lambda: client.eof_s is not None)
        assert not client.data

    simulated(use)


def test_limit_data_counts_from_when_the_toxic_came() -> None:
    async def use(it: Bench, proxy: ToxicProxy) -> None:
        client, server = await it.pair()
        server.transport.write(b"before")
        await asyncio.sleep(0.1)
        add(proxy, "limit_data", bytes=3)
        server.transport.write(b"12345")
        await until(lambda: client.eof_s is not None)
        assert bytes(client.data) == b"before123"

    simulated(use)


def test_only_the_first_connections_are_struck() -> None:
    async def use(it: Bench, proxy: ToxicProxy) -> None:
        old, _ = await it.pair()
        add(proxy, "refuse", first=2)
        clients = [await it.client() for _ in range(4)]
        await asyncio.sleep(0.1)
        assert [client.lost_s is not None for client in (old, *clients)] == [False, True, True, False, False]

    simulated(use)


def test_an_update_or_another_toxic_draws_nothing_again() -> None:
    async def use(it: Bench, proxy: ToxicProxy) -> None:
        toxic = add(proxy, "latency", latency=100_000, toxicity=0.3)
        pairs = [await it.pair() for _ in range(100)]

        async def struck() -> list[bool]:
            for client, server in pairs:
                client.data.clear()
                server.transport.write(b"x")
            await asyncio.sleep(0.1)
            return [not client.data for client, _ in pairs]

        first = await struck()
        proxy.update(toxic, body(attributes={"latency": 90_000}))
        await asyncio.sleep(0.1)
        assert await struck() == first
        add(proxy, "noop", toxicity=0.5)
        assert await struck() == first
        proxy.update(toxic, body(toxicity=1))
        await asyncio.sleep(0.1)
        assert all(await struck())

    simulated(use)


def test_toxics_act_in_the_order_they_were_added_also_after_an_update() -> None:
    async def use(it: Bench, proxy: ToxicProxy) -> None:
        client, server = await it.pair()
        first = add(proxy, "limit_data", bytes=4)
        add(proxy, "latency", latency=100)
        proxy.update(first, body(attributes={"bytes": 5}))
        began_s = it.loop.time()
        server.transport.write(b"123456")
        await until(lambda: client.eof_s is not None)
        # The limit cuts first, so the bytes that wait behind it are lost with the connection.
        assert not client.data
        assert it.loop.time() - began_s < 0.1

    simulated(use)

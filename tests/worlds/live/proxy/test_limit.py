"""No more connections than there may be, and those that are over are not kept."""

from __future__ import annotations

import asyncio

from faultline.faults import HalfOpen, Partition
from faultline.worlds.live.proxy.limit import SILENT_S, ConnectionLimit
from tests.worlds.live.proxy.kit import bench, in_virtual_time, until


async def test_a_connection_too_many_is_reset_and_the_others_go_on() -> None:
    limit = ConnectionLimit(2)
    async with bench(echo=True, limit=limit) as it:
        first, second = (await it.pair())[0], (await it.pair())[0]
        third = await it.client()
        await until(lambda: third.lost_s is not None)
        assert third.error == "ConnectionResetError"
        assert (limit.refused, len(it.proxy.connections)) == (1, 2)
        first.transport.write(b"hello")
        await until(lambda: first.data == b"hello")
        second.transport.abort()
        it.peers[1].transport.abort()
        await until(lambda: len(it.proxy.connections) == 1)
        fourth, _ = await it.pair()
        fourth.transport.write(b"again")
        await until(lambda: fourth.data == b"again")
    assert limit.take(), "all were given back"
    assert limit.take()
    assert not limit.take()


def test_the_limit_leaves_descriptors_for_everything_else() -> None:
    assert 1 <= ConnectionLimit().most <= 10_000


def test_a_silenced_connection_goes_after_one_of_its_ends() -> None:
    async def main() -> None:
        for fault in (HalfOpen(at_s=1.0), Partition(on="*")):
            async with bench() as it:
                with it.proxy.inject(fault):
                    client = await it.client()
                    await asyncio.sleep(2)
                    client.transport.write_eof()
                    await asyncio.sleep(SILENT_S - 1)
                    assert client.lost_s is None
                    assert len(it.proxy.connections) == 1
                    await asyncio.sleep(2)
                    assert client.error == "ConnectionResetError"
                    assert not it.proxy.connections

    in_virtual_time(main)

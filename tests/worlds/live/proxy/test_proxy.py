"""The path of the bytes with no fault armed, on real sockets, with both kinds of loop."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from faultline.errors import UnsupportedFault, UsageError
from faultline.faults import Crash, DnsFailure, Latency, Refuse, ResetPeer
from faultline.worlds.live.proxy import FaultProxy
from faultline.worlds.live.proxy.link import EARLY_BYTES_MAX, HELD_BYTES_MAX
from tests.worlds.live.proxy.kit import HOST, Bench, bench, until

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]

LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(
        uvloop and uvloop.new_event_loop, id="uvloop", marks=pytest.mark.skipif(uvloop is None, reason="no uvloop here")
    ),
]
Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    def run_in_loop(main: Callable[[], Awaitable[None]]) -> None:
        async def body() -> None:
            await main()

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(body(), 20))

    return run_in_loop


def test_bytes_pass_both_ways(run: Run) -> None:
    async def main() -> None:
        async with bench(echo=True) as it:
            client = await it.client()
            client.transport.write(b"hello")
            await until(lambda: client.data == b"hello")
            assert it.peers[0].data == b"hello"

    run(main)


def test_a_large_transfer_arrives_whole_and_in_order(run: Run) -> None:
    data = bytes(range(256)) * 40_000

    async def main() -> None:
        async with bench() as it:
            client, server = await it.pair()
            client.transport.write(data)
            client.transport.write_eof()
            await until(lambda: server.eof_s is not None)
            assert server.data == data

    run(main)


def test_the_reply_to_a_half_closed_connection_arrives(run: Run) -> None:
    async def main() -> None:
        async with bench() as it:
            client, server = await it.pair()
            client.transport.write(b"request")
            client.transport.write_eof()
            await until(lambda: server.eof_s is not None)
            server.transport.write(b"reply")
            server.transport.write_eof()
            await until(lambda: client.eof_s is not None)
            assert client.data == b"reply"
            await until(lambda: not it.proxy.connections)

    run(main)


def test_a_reset_is_passed_on_as_a_reset(run: Run) -> None:
    async def main() -> None:
        async with bench() as it:
            client, server = await it.pair()
            bare: Any = client.transport.get_extra_info("socket")
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.transport.abort()
            await until(lambda: server.lost_s is not None)
            assert server.error == "ConnectionResetError"
            await until(lambda: not it.proxy.connections)

    run(main)


def test_a_sender_is_stopped_while_the_receiver_does_not_read(run: Run) -> None:
    piece = b"x" * 262_144

    async def main() -> None:
        async with bench() as it:
            client, server = await it.pair()
            server.transport.pause_reading()
            sent = 0
            while client.transport.get_write_buffer_size() < 4 * len(piece) and sent < 100_000_000:
                client.transport.write(piece)
                sent += len(piece)
                await asyncio.sleep(0.002)
            assert sent < 100_000_000, "nothing stopped the sender"
            held = next(iter(it.proxy.connections)).server.unsent_bytes
            assert held < 4 * len(piece)
            server.transport.resume_reading()
            await until(lambda: len(server.data) == sent)

    run(main)


def test_what_a_client_sends_before_the_upstream_stands_is_kept_in_bounds(run: Run) -> None:
    async def main() -> None:
        async with bench() as it:
            with it.proxy.inject(Latency(delay_s=0)):
                client = await it.client()
                client.transport.write(b"a" * 50)
                client.transport.write_eof()
                await until(lambda: it.peers and it.peers[0].eof_s is not None)
                assert it.peers[0].data == b"a" * 50

    run(main)


def test_a_black_holed_upstream_holds_up_nobody_else(run: Run) -> None:
    async def main() -> None:
        listening = socket.socket()
        listening.bind((HOST, 0))
        listening.listen(0)
        filled = []
        for _ in range(3):  # its queue is full: further connects get no answer
            filled.append(socket.socket())
            filled[-1].setblocking(False)
            filled[-1].connect_ex(listening.getsockname())
        port = listening.getsockname()[1]
        async with bench(echo=True) as it, FaultProxy(f"{HOST}:{port}", dial_timeout_s=0.3) as hole:
            stuck, writer = await asyncio.open_connection(HOST, hole.listen_port)
            writer.write(b"x" * (EARLY_BYTES_MAX * 4))
            client = await it.client()
            client.transport.write(b"hello")
            await until(lambda: client.data == b"hello")
            await until(lambda: hole.connections)
            assert next(iter(hole.connections)).up.held_bytes < EARLY_BYTES_MAX * 5
            with pytest.raises(ConnectionError):  # unread bytes make it a reset
                assert await stuck.read() == b""
                raise ConnectionResetError
            writer.transport.abort()
            await until(lambda: not hole.connections)
        for each in (*filled, listening):
            each.close()

    run(main)


def test_an_upstream_that_refuses_ends_the_client_in_an_orderly_way(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as free:
            free.bind((HOST, 0))
            port = free.getsockname()[1]
        async with FaultProxy(f"{HOST}:{port}") as proxy:
            reader, writer = await asyncio.open_connection(HOST, proxy.listen_port)
            assert await reader.read() == b""
            writer.close()
            await until(lambda: not proxy.connections)

    run(main)


def test_stopping_ends_connections_and_frees_the_port(run: Run) -> None:
    async def main() -> None:
        async with bench() as it:
            client, _ = await it.pair()
            port = it.proxy.listen_port
            await it.proxy.stop()
            await until(lambda: client.eof_s is not None)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(HOST, port)
            await it.proxy.start()
            assert it.proxy.listen_port == port
            await it.pair()

    run(main)


def test_a_reset_by_a_fault_is_a_reset_on_both_sides_whatever_the_age(run: Run) -> None:
    async def main() -> None:
        async with bench() as it:
            client, server = await it.pair()
            client.transport.write(b"old")
            await until(lambda: server.data == b"old")
            with it.proxy.inject(ResetPeer(offset_bytes=2)):
                server.transport.write(b"1234")
                await until(lambda: client.lost_s is not None and server.lost_s is not None)
            assert (client.error, server.error) == ("ConnectionResetError", "ConnectionResetError")

    run(main)


def test_a_refused_connection_is_reset_and_never_reaches_the_upstream(run: Run) -> None:
    async def main() -> None:
        async with bench() as it:
            with it.proxy.inject(Refuse(), first=2):
                for _ in range(2):
                    refused = await it.client()
                    await until(lambda refused=refused: refused.lost_s is not None)
                    assert refused.error == "ConnectionResetError"
                assert not it.peers
                await it.pair()

    run(main)


def test_delay_and_memory_are_bounded_when_a_delayed_flow_stalls(run: Run) -> None:
    async def main() -> None:
        async with bench() as it:
            client, server = await it.pair()
            with it.proxy.inject(Latency(delay_s=30, direction="up")):
                piece = b"x" * 1_000_000
                for _ in range(60):
                    client.transport.write(piece)
                link = next(iter(it.proxy.connections)).up
                await until(lambda: link.held_bytes > HELD_BYTES_MAX)
                assert link.held_bytes < HELD_BYTES_MAX + 1_000_000
                assert not server.data
            await until(lambda: len(server.data) == 60_000_000)

    run(main)


async def test_a_port_in_use_is_an_error_and_leaves_nothing() -> None:
    async with bench() as it:
        other = FaultProxy(it.proxy.upstream, listen=it.proxy.listen)
        with pytest.raises(OSError, match="in use"):
            await other.start()
        assert not other.is_listening
        with pytest.raises(OSError, match="in use"):
            async with FaultProxy(it.proxy.upstream) as third:
                free = third.listen
                try:
                    await third.retarget(listen=it.proxy.listen)
                finally:
                    assert third.is_listening
                    assert third.listen == free


@pytest.mark.parametrize(
    ("text", "says"),
    [("nowhere", "missing port"), ("a:b", "not a port"), ("a:70000", "not a port"), ("::1:80", "too many colons")],
)
def test_an_address_that_is_none_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        FaultProxy(text)


@pytest.mark.parametrize(
    ("fault", "says"),
    [(Crash(), "use the gateway"), (DnsFailure(), "no name"), (Latency(after="fill", for_s=1), "leave out after")],
)
async def test_a_fault_that_a_proxy_cannot_carry_is_refused(fault: Any, says: str) -> None:
    async with bench() as it:
        with pytest.raises(UnsupportedFault, match=says), it.proxy.inject(fault):
            pass
        assert not it.proxy.armed


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_closed_proxy_leaves_no_socket() -> None:
    from pathlib import Path

    def sockets() -> int:
        return sum("socket:" in str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink())

    before = sockets()

    async def use(it: Bench) -> None:
        for _ in range(5):
            await it.pair()

    async with bench() as it:
        await use(it)
    await until(lambda: sockets() <= before)

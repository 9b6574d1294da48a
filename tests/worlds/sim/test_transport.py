"""The two ends of a connection behave as asyncio's socket transports on Linux do."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import struct

import pytest

from faultline.worlds.sim.context import HOST
from faultline.worlds.sim.transport import SimTransport
from faultline.worlds.sim.wire import USER_TIMEOUT_S
from tests.worlds.sim.kit import Recorder, connected_pair, new_simulation


class HalfOpen(Recorder):
    """Keeps its side open after the peer's end of stream."""

    def eof_received(self) -> bool:
        super().eof_received()
        return True


def test_closing_flushes_and_the_peer_sees_an_orderly_end() -> None:
    simulation = new_simulation()

    async def main() -> tuple[Recorder, Recorder]:
        client, server = await connected_pair(simulation)
        client.transport.write(b"bye")
        client.transport.close()
        client.transport.write(b"too late")
        await asyncio.sleep(1)
        return client, server

    client, server = simulation.run(main)
    assert client.seen == [("made", None), ("lost", None)]
    assert server.seen == [("made", None), ("data", b"bye"), ("eof", None), ("lost", None)]


def test_aborting_a_healthy_connection_is_an_orderly_end_too() -> None:
    simulation = new_simulation()

    async def main() -> Recorder:
        client, server = await connected_pair(simulation)
        client.transport.abort()
        await asyncio.sleep(1)
        return server

    assert simulation.run(main).kinds == ["made", "eof", "lost"]


def test_closing_with_linger_zero_resets() -> None:
    simulation = new_simulation()

    async def main() -> Recorder:
        client, server = await connected_pair(simulation)
        raw = client.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.transport.abort()
        await asyncio.sleep(1)
        return server

    assert simulation.run(main).seen[-1] == ("lost", "ConnectionResetError")


def test_closing_with_unread_data_resets() -> None:
    simulation = new_simulation()

    async def main() -> Recorder:
        client, server = await connected_pair(simulation)
        server.transport.pause_reading()
        client.transport.write(b"unread")
        await asyncio.sleep(1)
        server.transport.close()
        await asyncio.sleep(1)
        return client

    assert simulation.run(main).seen[-1] == ("lost", "ConnectionResetError")


def test_data_sent_to_a_closed_socket_is_answered_with_a_reset() -> None:
    simulation = new_simulation()

    async def main() -> HalfOpen:
        await connected_pair(simulation)
        loop = asyncio.get_running_loop()
        client = HalfOpen(simulation)
        accepted = asyncio.Event()

        class Closing(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                transport.close()
                accepted.set()

        await loop.create_server(Closing, "api.venue.test", 7001)
        await loop.create_connection(lambda: client, "api.venue.test", 7001)
        await accepted.wait()
        await asyncio.sleep(1)
        client.transport.write(b"into the void")
        await asyncio.sleep(1)
        assert not client.ended.is_set()  # the reset is noticed by the next write only: nobody reads after EOF
        client.transport.write(b"again")
        await client.ended.wait()
        return client

    client = simulation.run(main)
    assert client.seen == [("made", None), ("eof", None), ("lost", "BrokenPipeError")]


def test_a_half_closed_connection_still_carries_data_the_other_way() -> None:
    simulation = new_simulation()

    async def main() -> tuple[Recorder, Recorder]:
        client, server = await connected_pair(simulation)
        server.eof_received = lambda: server.note("eof") or True  # type: ignore[method-assign,func-returns-value]
        client.transport.write(b"question")
        client.transport.write_eof()
        with pytest.raises(RuntimeError, match="after write_eof"):
            client.transport.write(b"more")
        await asyncio.sleep(1)
        server.transport.write(b"answer")
        server.transport.close()
        await asyncio.sleep(1)
        return client, server

    client, server = simulation.run(main)
    assert server.kinds == ["made", "data", "eof", "lost"]
    assert client.seen[1:] == [("data", b"answer"), ("eof", None), ("lost", None)]


def test_a_reset_behind_unread_data_is_seen_after_the_data() -> None:
    simulation = new_simulation()

    async def main() -> Recorder:
        client, server = await connected_pair(simulation)
        client.transport.pause_reading()
        server.transport.write(b"last words")
        raw = server.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.transport.abort()
        await asyncio.sleep(1)
        assert client.kinds == ["made"]
        client.transport.resume_reading()
        await asyncio.sleep(1)
        return client

    assert simulation.run(main).seen[1:] == [("data", b"last words"), ("lost", "ConnectionResetError")]


def test_a_reader_that_stops_stops_the_writer() -> None:
    simulation = new_simulation()
    payload = bytes(range(256)) * 8192  # 2 MiB

    async def main() -> tuple[Recorder, Recorder, int]:
        client, server = await connected_pair(simulation)
        server.transport.pause_reading()
        client.transport.write(payload)
        await asyncio.sleep(10)
        waiting = client.transport.get_write_buffer_size()
        assert client.kinds == ["made", "pause"]
        server.transport.resume_reading()
        await asyncio.sleep(10)
        return client, server, waiting

    client, server, waiting = simulation.run(main)
    assert 0 < waiting < len(payload)
    assert client.kinds == ["made", "pause", "resume"]
    assert server.data == payload


def test_streams_drain_as_slowly_as_the_reader_reads() -> None:
    simulation = new_simulation()

    async def main() -> float:
        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(65536):  # noqa: ASYNC110
                await asyncio.sleep(1)
            writer.close()

        async with await asyncio.start_server(slow, "api.venue.test", 7000):
            _, writer = await asyncio.open_connection("api.venue.test", 7000)
            for _ in range(32):
                writer.write(b"x" * 65536)
                await writer.drain()
            return simulation.now_s()

    assert simulation.run(main) > 20


def test_a_buffered_protocol_gets_its_data() -> None:
    simulation = new_simulation()

    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(16)
            self.got = b""

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.got += bytes(self.buffer[:nbytes])

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        server = Buffered()
        await loop.create_server(lambda: server, "api.venue.test", 7000)
        client, _ = await loop.create_connection(asyncio.Protocol, "api.venue.test", 7000)
        client.writelines([b"a longer text ", bytearray(b"than the buffer "), memoryview(b"can hold")])
        await asyncio.sleep(1)
        return server.got

    assert simulation.run(main) == b"a longer text than the buffer can hold"


def test_an_exception_in_a_protocol_ends_its_connection_and_is_reported() -> None:
    simulation = new_simulation()
    reported: list[dict[str, object]] = []

    async def main() -> Recorder:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        client, server = await connected_pair(simulation)

        def broken(data: bytes) -> None:
            raise ValueError("cannot parse")

        server.data_received = broken  # type: ignore[method-assign]
        client.transport.write(b"x")
        await asyncio.sleep(1)
        return server

    assert simulation.run(main).seen[-1] == ("lost", "ValueError")
    assert "data_received() call failed" in str(reported[0]["message"])


def test_an_idle_socket_polls_as_closed_once_the_peer_has_ended_it() -> None:
    # httpcore decides by this whether a pooled connection may be used again.
    simulation = new_simulation()

    def readable(transport: asyncio.Transport) -> bool:
        fd = transport.get_extra_info("socket").fileno()
        return bool(select.select([fd], [], [], 0)[0])

    async def main() -> tuple[bool, bool]:
        await connected_pair(simulation)
        client = HalfOpen(simulation)
        await asyncio.get_running_loop().create_connection(lambda: client, "api.venue.test", 7000)
        before = readable(client.transport)
        connection = simulation.network.connections("rest")[-1]
        connection.server.close()
        await asyncio.sleep(1)
        return before, readable(client.transport)

    assert simulation.run(main) == (False, True)


def test_a_socket_answers_what_libraries_ask() -> None:
    simulation = new_simulation()

    async def main() -> None:
        client, _ = await connected_pair(simulation)
        raw = client.transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert (raw.family, raw.type, raw.gettimeout()) == (socket.AF_INET, socket.SOCK_STREAM, 0.0)
        assert not hasattr(raw, "no_such_thing")
        listening = (await asyncio.get_running_loop().create_server(asyncio.Protocol, "api.venue.test", 1)).sockets[0]
        with pytest.raises(OSError, match="not connected") as caught:
            listening.getpeername()
        assert caught.value.errno == errno.ENOTCONN

    simulation.run(main)


def test_a_silent_peer_is_given_up_after_the_kernels_fifteen_minutes() -> None:
    simulation = new_simulation()

    async def main() -> tuple[Recorder, Recorder, float]:
        client, server = await connected_pair(simulation)
        simulation.network.connections()[0].cut("silence")
        client.transport.write(b"anybody there?")
        written_s = simulation.now_s()
        await client.ended.wait()
        return client, server, simulation.now_s() - written_s

    client, server, waited_s = simulation.run(main)
    assert client.seen[-1] == ("lost", "TimeoutError")
    assert waited_s == pytest.approx(USER_TIMEOUT_S, abs=0.01)
    assert server.kinds == ["made"]


def test_an_idle_half_open_connection_stays_for_ever() -> None:
    simulation = new_simulation()

    async def main() -> tuple[Recorder, Recorder]:
        client, server = await connected_pair(simulation)
        simulation.network.connections()[0].cut("silence")
        await asyncio.sleep(86_400)
        return client, server

    client, server = simulation.run(main)
    assert client.kinds == server.kinds == ["made"]


@pytest.mark.parametrize(("how", "ending"), [("fin", None), ("close", None), ("rst", "ConnectionResetError")])
def test_cutting_an_open_connection_tells_both_ends(how: str, ending: str | None) -> None:
    simulation = new_simulation(latency_s=0.1)

    async def main() -> tuple[Recorder, Recorder]:
        client, server = await connected_pair(simulation)
        client.transport.write(b"in flight")
        (connection,) = simulation.network.connections("rest")
        assert connection.ordinal == 1
        connection.cut(how)  # type: ignore[arg-type]
        assert simulation.network.connections() == []
        await asyncio.sleep(1)
        return client, server

    client, server = simulation.run(main)
    assert server.data == b"in flight"
    assert client.seen[-1] == server.seen[-1] == ("lost", ending)


def test_writing_into_a_cut_connection_is_answered_with_a_reset() -> None:
    simulation = new_simulation()

    async def main() -> HalfOpen:
        await connected_pair(simulation)
        client = HalfOpen(simulation)
        await asyncio.get_running_loop().create_connection(lambda: client, "api.venue.test", 7000)
        simulation.network.connections()[-1].cut("fin")
        await asyncio.sleep(1)
        client.transport.write(b"x")
        await asyncio.sleep(1)
        client.transport.write(b"y")
        await client.ended.wait()
        return client

    assert simulation.run(main).kinds == ["made", "eof", "lost"]


def test_callbacks_run_in_the_receivers_context_never_in_the_senders() -> None:
    simulation = new_simulation()
    venue_ip = simulation.network.add_host("api.venue.test")
    client_ip = simulation.network.add_host("client.test")
    hosts: dict[str, set[str | None]] = {"client": set(), "server": set()}

    class Noting(asyncio.Protocol):
        def __init__(self, who: str) -> None:
            self.who = who

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            hosts[self.who].add(HOST.get())
            assert isinstance(transport, SimTransport)
            transport.write(b"hello")

        def data_received(self, data: bytes) -> None:
            hosts[self.who].add(HOST.get())

        def connection_lost(self, exc: Exception | None) -> None:
            hosts[self.who].add(HOST.get())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_server(lambda: Noting("server"), "api.venue.test", 7000)
        HOST.set(client_ip)
        transport, _ = await loop.create_connection(lambda: Noting("client"), "api.venue.test", 7000)
        await asyncio.sleep(1)
        transport.close()
        await asyncio.sleep(1)

    simulation.run(main)
    assert hosts == {"client": {client_ip}, "server": {venue_ip}}

"""Hosts, names, connecting, and what a link does to a segment."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from faultline.errors import UsageError
from faultline.worlds.sim.context import HOST
from faultline.worlds.sim.simulation import Simulation
from tests.worlds.sim.kit import VENUE, Recorder, connected_pair, new_simulation


async def arrivals(simulation: Simulation, *messages: bytes, gap_s: float = 0.0) -> list[float]:
    """When each message reaches the server, seconds after it was sent."""
    client, server = await connected_pair(simulation)
    sent = []
    for message in messages:
        sent.append(simulation.now_s())
        client.transport.write(message)
        await asyncio.sleep(gap_s)
    await asyncio.sleep(100)
    times = [at for at, what in zip(server.times_s, server.kinds, strict=True) if what == "data"]
    return [round(at - sent[0], 6) for at in times]


def test_names_resolve_only_when_declared() -> None:
    simulation = new_simulation()

    async def main() -> tuple[object, str]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(VENUE, "https")
        with pytest.raises(
            socket.gaierror, match=r"no simulated host 'real\.exchange\.com'.*api\.venue\.test"
        ) as caught:
            await loop.getaddrinfo("real.exchange.com", 443)
        assert caught.value.errno == socket.EAI_NONAME
        return found[0][4], simulation.network.add_host(VENUE)

    (ip, port), declared = simulation.run(main)  # type: ignore[misc]
    assert (ip, port) == (declared, 443)


def test_there_is_no_ipv6() -> None:
    async def main() -> None:
        with pytest.raises(socket.gaierror, match="no IPv6"):
            await asyncio.get_running_loop().getaddrinfo(VENUE, 80, family=socket.AF_INET6)

    new_simulation().run(main)


def test_connecting_takes_a_round_trip_and_the_server_hears_half_a_trip_later() -> None:
    simulation = new_simulation(latency_s=0.1)

    async def main() -> tuple[float, float]:
        client, server = await connected_pair(simulation)
        return client.times_s[0], server.times_s[0]

    assert simulation.run(main) == (0.2, 0.3)


def test_a_port_where_nobody_listens_refuses_after_a_round_trip() -> None:
    simulation = new_simulation(latency_s=0.1)

    async def main() -> OSError:
        with pytest.raises(ConnectionRefusedError) as caught:
            await asyncio.get_running_loop().create_connection(asyncio.Protocol, VENUE, 81)
        return caught.value

    error = simulation.run(main)
    assert error.errno == errno.ECONNREFUSED
    assert "Connect call failed" in str(error)
    assert simulation.now_s() == pytest.approx(0.2)


def test_a_closed_server_refuses_and_its_port_is_free_again() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        first = await loop.create_server(asyncio.Protocol, VENUE, 80)
        with pytest.raises(OSError, match="already in use") as caught:
            await loop.create_server(asyncio.Protocol, VENUE, 80)
        assert caught.value.errno == errno.EADDRINUSE
        first.close()
        await first.wait_closed()
        assert not first.is_serving()
        assert first.sockets == ()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(asyncio.Protocol, VENUE, 80)
        async with await loop.create_server(asyncio.Protocol, VENUE, 80):
            await loop.create_connection(asyncio.Protocol, VENUE, 80)

    new_simulation().run(main)


def test_a_server_without_a_port_gets_one_and_serves_for_ever_until_cancelled() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, VENUE, start_serving=False)
        serving = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(1)
        assert server.is_serving()
        port = server.sockets[0].getsockname()[1]
        await loop.create_connection(asyncio.Protocol, VENUE, port)
        serving.cancel()
        await asyncio.wait({serving})
        assert not server.is_serving()
        return int(port)

    assert new_simulation().run(main) > 1024


def test_a_server_listens_on_the_host_that_its_code_runs_on() -> None:
    simulation = new_simulation()
    other = simulation.network.add_host("other.test")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        HOST.set(other)
        await loop.create_server(asyncio.Protocol, None, 80)
        await loop.create_connection(asyncio.Protocol, "other.test", 80)
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(asyncio.Protocol, VENUE, 80)

    simulation.run(main)


def test_each_end_knows_both_addresses() -> None:
    simulation = new_simulation()
    laptop = simulation.network.add_host("laptop.test")

    async def main() -> tuple[Recorder, Recorder]:
        HOST.set(laptop)
        return await connected_pair(simulation)

    client, server = simulation.run(main)
    venue = simulation.network.add_host(VENUE)
    assert client.transport.get_extra_info("peername") == (venue, 7000)
    assert client.transport.get_extra_info("sockname")[0] == laptop
    assert server.transport.get_extra_info("peername") == client.transport.get_extra_info("sockname")
    assert client.transport.get_extra_info("connection") == server.transport.get_extra_info("connection") == 1


def test_latency_is_the_time_from_write_to_arrival() -> None:
    simulation = new_simulation(latency_s=0.25)
    assert simulation.run(lambda: arrivals(simulation, b"a")) == [0.25]


def test_the_receiver_can_ask_when_a_segment_was_sent() -> None:
    simulation = new_simulation(latency_s=0.25)

    async def main() -> float:
        client, server = await connected_pair(simulation)
        await asyncio.sleep(1)
        sent_at_s = simulation.now_s()
        client.transport.write(b"a")
        await asyncio.sleep(1)
        return float(server.transport.get_extra_info("sent_at_s")) - sent_at_s

    assert simulation.run(main) == 0


def test_jitter_spreads_arrivals_but_keeps_their_order() -> None:
    simulation = new_simulation(latency_s=0.01, jitter_s=0.1)
    times = simulation.run(lambda: arrivals(simulation, *(b"%d" % i for i in range(50)), gap_s=0.2))
    delays = [round(at - i * 0.2, 3) for i, at in enumerate(times)]
    assert min(delays) >= 0.01
    assert max(delays) <= 0.12
    assert len(set(delays)) > 20
    assert times == sorted(times)


def test_jitter_of_one_segment_does_not_depend_on_another_connection() -> None:
    def times(with_neighbour: bool) -> list[float]:
        simulation = new_simulation(latency_s=0.01, jitter_s=0.1)
        simulation.network.add_host("other.test")

        async def main() -> list[float]:
            if with_neighbour:
                loop = asyncio.get_running_loop()
                await loop.create_server(asyncio.Protocol, "other.test", 80)
                neighbour, _ = await loop.create_connection(asyncio.Protocol, "other.test", 80)
                neighbour.write(b"x")
            return await arrivals(simulation, b"a", b"b", b"c", gap_s=1)

        return simulation.run(main)

    assert times(with_neighbour=True) == pytest.approx(times(with_neighbour=False), abs=1e-5)


def test_loss_shows_as_the_delay_of_retransmission() -> None:
    simulation = new_simulation()
    simulation.network.shape("client", VENUE, loss=0.5)
    times = simulation.run(lambda: arrivals(simulation, *(b"x" for _ in range(40)), gap_s=2.0))
    delays = [round(at - i * 2.0, 1) for i, at in enumerate(times)]
    assert {0.0, 0.2, 0.6} <= set(delays)
    assert len(times) == 40


def test_bandwidth_is_shared_by_all_bytes_of_a_link() -> None:
    simulation = new_simulation(latency_s=0.0)
    simulation.network.shape("client", VENUE, rate_bytes_per_s=1000)
    assert simulation.run(lambda: arrivals(simulation, b"x" * 500, b"y" * 500)) == [0.5, 1.0]


def test_fragmentation_splits_what_was_written_once() -> None:
    simulation = new_simulation()
    simulation.network.shape("client", VENUE, fragment_bytes=(10, 90))

    async def main() -> Recorder:
        client, server = await connected_pair(simulation)
        client.transport.write(bytes(range(250)) * 4)
        await asyncio.sleep(1)
        return server

    server = simulation.run(main)
    pieces = [detail for what, detail in server.seen if what == "data"]
    assert server.data == bytes(range(250)) * 4
    assert len(pieces) >= 11
    assert all(len(piece) <= 90 for piece in pieces)  # type: ignore[arg-type]


def test_a_partition_holds_everything_and_tcp_sends_it_again_after_the_heal() -> None:
    simulation = new_simulation(latency_s=0.0)

    async def main() -> tuple[Recorder, float]:
        client, server = await connected_pair(simulation)
        simulation.network.partition("client", VENUE)
        started_s = simulation.now_s()
        client.transport.write(b"first")
        await asyncio.sleep(5)
        client.transport.write(b"second")
        await asyncio.sleep(5)
        assert server.data == b""
        simulation.network.heal("client", VENUE)
        await asyncio.sleep(60)
        return server, started_s

    server, started_s = simulation.run(main)
    assert server.data == b"firstsecond"
    # Sent again after 0.2, 0.6, 1.4, 3.0, 6.2 and 12.6 s: the first of these after the heal at 10 s.
    assert server.times_s[-1] - started_s == pytest.approx(12.6, abs=0.01)


def test_a_second_partition_before_the_retransmission_holds_on() -> None:
    simulation = new_simulation(latency_s=0.0)

    async def main() -> tuple[bytes, bytes]:
        client, server = await connected_pair(simulation)
        simulation.network.partition("client", VENUE)
        client.transport.write(b"x")
        await asyncio.sleep(7)
        simulation.network.heal("client", VENUE)
        await asyncio.sleep(1)
        simulation.network.partition("client", VENUE)
        await asyncio.sleep(50)
        held = server.data
        simulation.network.heal("client", VENUE)
        await asyncio.sleep(100)
        return held, server.data

    assert simulation.run(main) == (b"", b"x")


def test_connecting_into_a_partition_succeeds_with_the_syn_after_the_heal() -> None:
    simulation = new_simulation()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        await loop.create_server(asyncio.Protocol, VENUE, 80)
        simulation.network.partition("client", VENUE)
        loop.call_later(10, simulation.network.heal, "client", VENUE)
        await loop.create_connection(asyncio.Protocol, VENUE, 80)
        return simulation.now_s()

    assert simulation.run(main) == pytest.approx(15, abs=0.01)  # SYNs at 0, 1, 3, 7, 15


def test_connecting_into_a_partition_that_stays_times_out_as_linux_does() -> None:
    simulation = new_simulation()

    async def main() -> None:
        simulation.network.partition("client", VENUE)
        with pytest.raises(TimeoutError) as caught:
            await asyncio.get_running_loop().create_connection(asyncio.Protocol, VENUE, 80)
        assert caught.value.errno == errno.ETIMEDOUT

    simulation.run(main)
    assert simulation.now_s() == pytest.approx(127, abs=0.01)


def test_a_partition_touches_only_its_two_hosts() -> None:
    simulation = new_simulation()
    simulation.network.add_host("other.test")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        simulation.network.partition("client", VENUE)
        await loop.create_server(asyncio.Protocol, "other.test", 80)
        await loop.create_connection(asyncio.Protocol, "other.test", 80)

    simulation.run(main)


def test_impossible_links_are_refused_with_a_reason() -> None:
    network = new_simulation().network
    with pytest.raises(UsageError, match="partition"):
        network.shape("client", VENUE, loss=1.0)
    with pytest.raises(UsageError, match="zero or more"):
        network.shape("client", VENUE, latency_s=-1)
    with pytest.raises(UsageError, match="fragment_bytes"):
        network.shape("client", VENUE, fragment_bytes=(9, 3))
    with pytest.raises(UsageError, match=r"add_host.*api\.venue\.test"):
        network.partition("client", "nowhere.test")


def test_the_last_events_can_be_kept() -> None:
    simulation = new_simulation(trace_keep=2)

    async def main() -> None:
        client, _ = await connected_pair(simulation)
        client.transport.write(b"hello")
        await asyncio.sleep(1)
        client.transport.close()
        await asyncio.sleep(1)

    simulation.run(main)
    assert [(event.kind, event.data) for event in simulation.trace_events()] == [("FIN", b""), ("FIN", b"")]


def test_an_address_that_no_host_has_cannot_be_reached() -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="no simulated host has this address") as caught:
            await asyncio.get_running_loop().create_connection(asyncio.Protocol, "192.0.2.1", 80)
        assert caught.value.errno == errno.EHOSTUNREACH

    new_simulation().run(main)


def test_a_partition_stops_the_reset_that_a_closed_socket_would_send() -> None:
    simulation = new_simulation(latency_s=0.5)

    async def main() -> list[str]:
        client, server = await connected_pair(simulation)
        client.eof_received = lambda: client.note("eof") or True  # type: ignore[method-assign,func-returns-value]
        await asyncio.sleep(2)
        server.transport.close()
        await asyncio.sleep(1)
        client.transport.write(b"to a closed socket")
        await asyncio.sleep(0.1)
        simulation.network.partition("client", VENUE)
        await asyncio.sleep(10)
        client.transport.write(b"the reset never came, so this is no error yet")
        await asyncio.sleep(10)
        return client.kinds

    assert simulation.run(main) == ["made", "eof"]


def test_a_socket_that_was_connected_and_closed_unused_ends_its_connection() -> None:
    # Happy eyeballs connects raw sockets and closes those that lose the race.
    simulation = new_simulation()

    async def main() -> list[Recorder]:
        loop = asyncio.get_running_loop()
        accepted: list[Recorder] = []

        def accept() -> Recorder:
            accepted.append(Recorder(simulation))
            return accepted[-1]

        await loop.create_server(accept, VENUE, 80)
        for _ in range(2):
            raw = socket.socket()
            raw.setblocking(False)
            await loop.sock_connect(raw, (VENUE, 80))
            raw.close()
            await asyncio.sleep(1)
        return accepted

    first, second = simulation.run(main)
    assert first.kinds == ["made", "eof", "lost"]
    assert second.kinds == ["made"]

"""The points of the stream plane: what the decider is asked, and what the network does with its answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from faultline.errors import UnsupportedFault
from faultline.faults.actions import Action, Cut, Delay, Drop, Flip, Hold, Shape
from faultline.faults.points import Moment, Plane, Point
from faultline.worlds.sim.simulation import Simulation
from tests.worlds.sim.kit import VENUE, Recorder, Table, connected_pair, new_simulation

Answers = dict[tuple[str, str], tuple[Action, ...]]


def deciding(answers: Answers, nth: int | None = None, **options: object) -> tuple[Simulation, Table]:
    table = Table(answers, nth)
    return new_simulation(decide=table, **options), table


async def exchange(simulation: Simulation, *messages: bytes, wait_s: float = 1.0) -> tuple[Recorder, Recorder]:
    """The client sends messages, a little apart, and then both wait."""
    client, server = await connected_pair(simulation)
    for message in messages:
        client.transport.write(message)
        await asyncio.sleep(0.01)
    await asyncio.sleep(wait_s)
    return client, server


def test_each_connect_look_up_and_segment_is_one_point() -> None:
    simulation, table = deciding({})

    async def main() -> None:
        client, server = await exchange(simulation, b"four", b"seven..")
        server.transport.write(b"down")
        await asyncio.sleep(1)
        client.transport.close()
        await asyncio.sleep(1)
        client, server = await exchange(simulation)

    simulation.loop.set_exception_handler(lambda loop, context: None)
    with pytest.raises(OSError, match="already in use"):  # the second pair's server
        simulation.run(main)
    points = [(moment.point, moment.size_bytes, moment.connection) for moment in table.moments]

    def stream(entity: str, nth: int, phase: str) -> Point:
        return Point(Plane.STREAM, "rest", entity, nth, phase)

    assert points == [
        (stream("1", 0, "resolve"), 0, 1),
        (stream("1", 0, "connect"), 0, 1),
        (stream("1", 0, "up"), 4, 1),
        (stream("1", 4, "up"), 7, 1),
        (stream("1", 0, "down"), 4, 1),
        (stream("1", 11, "up"), 0, 1),
        (stream("1", 4, "down"), 0, 1),
    ]
    assert [moment.t_s for moment in table.moments] == sorted(moment.t_s for moment in table.moments)


def test_ordinals_count_attempts_per_listening_host() -> None:
    simulation, table = deciding({})
    simulation.network.add_host("stream.venue.test", label="stream")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for host in (VENUE, "stream.venue.test", VENUE):
            with pytest.raises(ConnectionRefusedError):
                await loop.create_connection(asyncio.Protocol, host, 80)

    simulation.run(main)
    connects = [
        (moment.point.endpoint, moment.point.entity) for moment in table.moments if moment.point.phase == "connect"
    ]
    assert connects == [("rest", "1"), ("stream", "1"), ("rest", "2")]


# Connecting


def test_a_connect_can_be_refused() -> None:
    simulation, _ = deciding({("connect", "1"): (Cut(0, "rst"),)})

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await connected_pair(simulation)
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, VENUE, 7000)

    simulation.run(main)


@pytest.mark.parametrize("action", [Cut(0, "silence"), Hold(None)])
def test_a_connect_can_fall_into_a_black_hole(action: Action) -> None:
    simulation, _ = deciding({("connect", "1"): (action,)})

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await connected_pair(simulation)
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, VENUE, 7000)
        return simulation.now_s()

    assert simulation.run(main) == pytest.approx(5, abs=0.1)


def test_a_connect_held_until_a_time_succeeds_with_the_next_syn() -> None:
    simulation, _ = deciding({("connect", "1"): (Hold(2.0),)})

    async def main() -> float:
        await connected_pair(simulation)
        return simulation.now_s()

    assert simulation.run(main) == pytest.approx(3, abs=0.01)  # SYNs at 0, 1, 3


def test_a_connect_can_be_slow() -> None:
    simulation, _ = deciding({("connect", "1"): (Delay(2.0),)})

    async def main() -> float:
        await connected_pair(simulation)
        return simulation.now_s()

    assert simulation.run(main) == pytest.approx(2, abs=0.01)


def test_a_connection_can_be_accepted_and_ended_at_once() -> None:
    simulation, _ = deciding({("connect", "1"): (Cut(0, "fin"),)})
    client, _server = simulation.run(lambda: exchange(simulation))
    assert client.kinds == ["made", "eof", "lost"]


# Looking up


@pytest.mark.parametrize(
    ("action", "waits_s"), [(Cut(0, "rst"), 0), (Cut(0, "silence"), 10), (Hold(None), 10)], ids=["cut", "dead", "held"]
)
def test_a_look_up_can_fail(action: Action, waits_s: float) -> None:
    simulation, _ = deciding({("resolve", "1"): (action,)})

    async def main() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(socket.gaierror) as caught:
            await loop.getaddrinfo(VENUE, 80)
        assert caught.value.errno == socket.EAI_AGAIN
        await loop.getaddrinfo(VENUE, 80)
        return simulation.now_s()

    assert simulation.run(main) == pytest.approx(waits_s, abs=0.01)


@pytest.mark.parametrize("action", [Delay(3.0), Hold(3.0)])
def test_a_look_up_can_be_slow(action: Action) -> None:
    simulation, _ = deciding({("resolve", "1"): (action,)})

    async def main() -> float:
        await asyncio.get_running_loop().getaddrinfo(VENUE, 80)
        return simulation.now_s()

    assert simulation.run(main) == pytest.approx(3, abs=0.01)


# Segments


def test_a_delayed_segment_delays_those_behind_it() -> None:
    simulation, _ = deciding({("up", "1"): (Delay(0.5),)}, nth=0)
    _, server = simulation.run(lambda: exchange(simulation, b"a", b"b"))
    first_s, second_s = server.times_s[1:]
    assert server.data == b"ab"
    assert first_s == second_s == pytest.approx(0.5, abs=0.01)


def test_delays_add_up() -> None:
    simulation, _ = deciding({("up", "1"): (Delay(0.2), Delay(0.3))}, nth=0)
    _, server = simulation.run(lambda: exchange(simulation, b"a"))
    assert server.times_s[1] == pytest.approx(0.5, abs=0.01)


def test_a_held_segment_arrives_when_the_hold_ends_with_all_that_followed() -> None:
    simulation, _ = deciding({("up", "1"): (Hold(5.0),)}, nth=0)
    _, server = simulation.run(lambda: exchange(simulation, b"a", b"b", wait_s=10))
    assert server.data == b"ab"
    assert server.times_s[1:] == [5.0, 5.0]


def test_a_hold_without_end_stops_its_direction_only() -> None:
    simulation, _ = deciding({("up", "1"): (Hold(None),)}, nth=1)

    async def main() -> tuple[Recorder, Recorder]:
        client, server = await exchange(simulation, b"a", b"b", b"c")
        server.transport.write(b"down")
        await asyncio.sleep(1)
        return client, server

    client, server = simulation.run(main)
    assert server.data == b"a"
    assert client.data == b"down"


@pytest.mark.parametrize("after_bytes", [0, 3, 100])
@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
def test_a_segment_can_be_cut_after_some_bytes(how: str, after_bytes: int) -> None:
    simulation, _ = deciding({("down", "1"): (Cut(after_bytes, how),)}, nth=0)  # type: ignore[arg-type]

    async def main() -> tuple[Recorder, Recorder]:
        client, server = await connected_pair(simulation)
        server.transport.write(b"response")
        await asyncio.sleep(1)
        server.transport.write(b"never")
        await asyncio.sleep(1)
        return client, server

    client, server = simulation.run(main)
    ending = {"fin": ["eof", "lost"], "rst": ["lost"], "silence": []}[how]
    assert client.data == b"response"[:after_bytes]
    assert [kind for kind in client.kinds if kind != "data"] == ["made", *ending]
    assert [kind for kind in server.kinds if kind != "data"] == ["made", *ending]


def test_the_end_of_a_stream_is_a_point_too() -> None:
    simulation, _ = deciding({("up", "1"): (Cut(0, "silence"),)}, nth=3)

    async def main() -> tuple[Recorder, Recorder]:
        client, server = await exchange(simulation, b"abc")
        client.transport.close()
        await asyncio.sleep(3600)
        return client, server

    client, server = simulation.run(main)
    assert client.kinds == ["made", "lost"]
    assert server.kinds == ["made", "data"]  # it never learns that the client is gone


def test_bytes_can_leave_slowly() -> None:
    simulation, _ = deciding({("up", "1"): (Shape(rate_bytes_per_s=100),)})
    _, server = simulation.run(lambda: exchange(simulation, b"x" * 100, b"y" * 100, wait_s=5))
    assert server.data == b"x" * 100 + b"y" * 100
    assert server.times_s[-1] == pytest.approx(2.0, abs=0.01)
    assert len(server.times_s) > 10  # dribbling, not in one piece at the end


def test_bytes_can_leave_in_small_pieces() -> None:
    simulation, _ = deciding({("up", "1"): (Shape(piece_bytes=3),)})
    _, server = simulation.run(lambda: exchange(simulation, b"12345678"))
    assert [detail for what, detail in server.seen if what == "data"] == [b"123", b"456", b"78"]


def test_actions_compose_in_their_order_and_nothing_follows_a_cut() -> None:
    simulation, _ = deciding({("up", "1"): (Delay(0.5), Shape(piece_bytes=2), Cut(4, "rst"), Delay(9.0))}, nth=0)
    _, server = simulation.run(lambda: exchange(simulation, b"12345678"))
    assert server.seen[1:] == [("data", b"12"), ("data", b"34"), ("lost", "ConnectionResetError")]
    assert server.times_s[-1] == pytest.approx(0.5, abs=0.01)


def test_a_partition_asks_for_each_segment_when_it_leaves_not_when_it_waits() -> None:
    simulation, table = deciding({})

    async def main() -> None:
        client, _ = await connected_pair(simulation)
        simulation.network.partition("client", VENUE)
        client.transport.write(b"abc")
        await asyncio.sleep(1)
        assert [moment.point.phase for moment in table.moments] == ["resolve", "connect"]
        simulation.network.heal("client", VENUE)
        await asyncio.sleep(5)

    simulation.run(main)
    assert (table.moments[-1].point.phase, table.moments[-1].size_bytes) == ("up", 3)
    assert table.moments[-1].t_s > 1


def test_what_bytes_cannot_do_is_refused() -> None:
    simulation, _ = deciding({("connect", "1"): (Drop(),)})
    with pytest.raises(UnsupportedFault, match="message plane"):
        simulation.run(lambda: exchange(simulation))


def test_an_error_in_the_decider_ends_the_run_even_when_the_client_swallows_it() -> None:
    def broken(moment: Moment) -> tuple[Action, ...]:
        if moment.point.phase == "up":
            raise ValueError("a bug in a fault")
        return ()

    simulation = new_simulation(decide=broken)

    async def main() -> None:
        client, _ = await connected_pair(simulation)
        with contextlib.suppress(Exception):
            client.transport.write(b"x")
        await asyncio.sleep(1)

    with pytest.raises(ValueError, match="a bug in a fault"):
        simulation.run(main)


def test_strikes_are_part_of_the_trace() -> None:
    plain = new_simulation()
    plain.run(lambda: exchange(plain, b"a"))
    struck, _ = deciding({("up", "1"): (Delay(0.0),)}, nth=0)
    struck.run(lambda: exchange(struck, b"a"))
    asked, _ = deciding({})
    asked.run(lambda: exchange(asked, b"a"))
    assert asked.trace_digest() == plain.trace_digest() != struck.trace_digest()


def test_removing_one_strike_moves_no_jitter_elsewhere() -> None:
    def times(answers: Answers) -> dict[bytes, float]:
        simulation, _ = deciding(answers, nth=0, latency_s=0.01, jitter_s=0.01)
        simulation.network.add_host("other.test", label="other")

        async def main() -> Recorder:
            loop = asyncio.get_running_loop()
            other = Recorder(simulation)
            await loop.create_server(lambda: other, "other.test", 80)
            bystander, _ = await loop.create_connection(asyncio.Protocol, "other.test", 80)
            client, _ = await connected_pair(simulation)
            for i in range(20):
                client.transport.write(b"x")
                bystander.write(b"%02d" % i)
                await asyncio.sleep(0.1)
            return other

        other = simulation.run(main)
        return {
            detail: at
            for at, (what, detail) in zip(other.times_s, other.seen, strict=True)
            if what == "data" and isinstance(detail, bytes)
        }

    assert times({("up", "1"): (Cut(0, "rst"),)}) == times({})


def test_pieces_of_several_sizes_with_a_pause_after_each() -> None:
    simulation, _ = deciding({("up", "1"): (Shape(pieces_bytes=(1, 3), gap_s=0.1),)})
    _, server = simulation.run(lambda: exchange(simulation, b"abcdef"))
    noted = zip(server.seen, server.times_s, strict=True)
    seen = [(round(at_s - server.times_s[1], 4), data) for (what, data), at_s in noted if what == "data"]
    assert seen == [(0, b"a"), (0.1, b"bcd"), (0.2, b"e"), (0.3, b"f")]


def test_a_flipped_bit_changes_one_byte() -> None:
    simulation, _ = deciding({("up", "1"): (Flip(1, 0), Flip(99, 0))})
    _, server = simulation.run(lambda: exchange(simulation, b"abc"))
    assert server.data == b"acc"


def test_a_cut_after_a_time_ends_the_connection_then_whatever_is_being_sent() -> None:
    for phase in ("connect", "up"):
        simulation, _ = deciding({(phase, "1"): (Cut(how="rst", after_s=0.5),)})
        client, server = simulation.run(lambda simulation=simulation: exchange(simulation, b"one", b"two"))
        assert server.data == b"onetwo"
        assert client.seen[-1] == ("lost", "ConnectionResetError")
        assert 0.49 < client.times_s[-1] - client.times_s[0] < 0.53

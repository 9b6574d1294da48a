"""What a stage does with each action, to the microsecond: the proxy runs in the simulated loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest

from faultline.faults import (
    Bandwidth,
    Corrupt,
    CutAfter,
    HalfOpen,
    Latency,
    LimitData,
    Loss,
    Partition,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Truncate,
)
from faultline.faults.actions import Action, Cut, Delay, Drop
from faultline.faults.base import Fault
from faultline.faults.points import Moment, Point
from tests.worlds.live.proxy.kit import Bench, Peer, bench, in_virtual_time, until

Use = Callable[[Bench], Awaitable[None]]


def simulated(use: Use, **options: object) -> None:
    async def main() -> None:
        async with bench(**options) as it:  # type: ignore[arg-type]
            await use(it)

    in_virtual_time(main)


def ages_ms(peer: Peer, since_s: float) -> list[tuple[float, bytes]]:
    # The simulated clock moves by a microsecond each time it is read.
    return [(round((at_s - since_s) * 1000, 1), bytes(data)) for at_s, data in peer.chunks]


async def sent(it: Bench, fault: Fault, *messages: bytes, apart_s: float = 0.01, then_s: float = 5.0) -> Peer:
    """Send messages down one connection with a fault armed. Times of the client count from the first."""
    client, server = await it.pair()
    with it.proxy.inject(fault):
        client.began_s = it.loop.time()  # type: ignore[attr-defined]
        for message in messages:
            server.transport.write(message)
            await asyncio.sleep(apart_s)
        await asyncio.sleep(then_s)
    return client


def test_latency_delays_each_chunk_from_when_it_was_read_and_keeps_throughput() -> None:
    async def use(it: Bench) -> None:
        client = await sent(it, Latency(delay_s=0.05), b"one", b"two", b"three")
        assert ages_ms(client, client.began_s) == [(50, b"one"), (60, b"two"), (70, b"three")]  # type: ignore[attr-defined]

    simulated(use)


def test_jitter_keeps_the_order_and_is_the_same_for_the_same_seed() -> None:
    seen: list[list[tuple[float, bytes]]] = []

    async def use(it: Bench) -> None:
        client = await sent(it, Latency(delay_s=0.05, jitter_s=0.04), *(b"%d" % number for number in range(8)))
        seen.append(ages_ms(client, client.began_s))  # type: ignore[attr-defined]
        assert client.data == b"01234567"

    for seed in (1, 1, 2):
        simulated(use, seed=seed)
    assert seen[0] == seen[1] != seen[2]


def test_the_end_of_the_stream_comes_after_delayed_bytes_and_is_not_delayed_itself() -> None:
    async def use(it: Bench) -> None:
        for message, end_ms in ((b"last", 50), (b"", 0)):
            client, server = await it.pair()
            with it.proxy.inject(Latency(delay_s=0.05, direction="down")):
                began_s = it.loop.time()
                if message:
                    server.transport.write(message)
                server.transport.write_eof()
                await until(lambda client=client: client.eof_s is not None)
            assert client.data == message
            assert client.eof_s is not None
            assert (client.eof_s - began_s) * 1000 == pytest.approx(end_ms, abs=0.5)

    simulated(use)


def test_bandwidth_is_exact_and_paces_in_tenths_of_a_second() -> None:
    async def use(it: Bench) -> None:
        client = await sent(it, Bandwidth(rate_bytes_per_s=1000, direction="down"), b"x" * 250, b"y" * 100)
        assert ages_ms(client, client.began_s) == [  # type: ignore[attr-defined]
            (100, b"x" * 100),
            (200, b"x" * 100),
            (250, b"x" * 50),
            (350, b"y" * 100),
        ]

    simulated(use)


def test_the_slicer_cuts_varies_and_pauses() -> None:
    async def use(it: Bench) -> None:
        client = await sent(it, Slicer(piece_bytes=4, variation_bytes=2, gap_s=0.01), b"x" * 40)
        sizes = [len(data) for _, data in client.chunks]
        assert sum(sizes) == 40
        assert set(sizes[:-1]) <= {2, 3, 4, 5, 6}
        assert len(set(sizes)) > 1
        times = [at_ms for at_ms, _ in ages_ms(client, client.began_s)]  # type: ignore[attr-defined]
        assert times == pytest.approx([10 * number for number in range(len(sizes))], abs=0.3)

    simulated(use)


def test_a_black_hole_holds_bytes_until_it_goes() -> None:
    async def use(it: Bench) -> None:
        client, server = await it.pair()
        with it.proxy.inject(Timeout(direction="down")):
            server.transport.write(b"late")
            server.transport.write_eof()
            client.transport.write(b"up")
            await asyncio.sleep(60)
            assert (client.data, client.eof_s, server.data) == (b"", None, b"up")
        await asyncio.sleep(0.01)
        assert client.data == b"late"
        assert client.eof_s is not None

    simulated(use)


def test_a_partition_with_an_end_heals_by_itself_and_delays_new_connections() -> None:
    async def use(it: Bench) -> None:
        client, server = await it.pair()
        now_s = it.loop.time() - it.proxy.epoch_s
        with it.proxy.inject(Partition(at_s=now_s, for_s=2)):
            began_s = it.loop.time()
            server.transport.write(b"held")
            fresh = await it.client()
            fresh.transport.write(b"new")
            await asyncio.sleep(1.9)
            assert (client.data, len(it.peers)) == (b"", 1)
            await until(lambda: len(it.peers) == 2 and it.peers[1].data == b"new")
            assert ages_ms(client, began_s) == [(2000, b"held")]

    simulated(use)


def test_lost_segments_come_late_and_nothing_is_missing() -> None:
    async def use(it: Bench) -> None:
        messages = [b"%03d" % number for number in range(60)]
        client = await sent(it, Loss(rate=0.2, retransmit_s=0.2, direction="down"), *messages, apart_s=1)
        assert client.data == b"".join(messages)
        late = [round(at_ms) % 1000 for at_ms, _ in ages_ms(client, client.began_s)]  # type: ignore[attr-defined]
        assert set(late) <= {0, 200, 600, 1400 % 1000}
        assert 4 <= sum(each > 0 for each in late) <= 20

    simulated(use)


def test_corruption_changes_one_bit_of_a_chunk() -> None:
    async def use(it: Bench) -> None:
        client = await sent(it, Corrupt(rate=1, direction="down"), bytes(50))
        assert sum(byte.bit_count() for byte in client.data) == 1
        assert len(client.data) == 50

    simulated(use)


@pytest.mark.parametrize(("sizes", "through"), [((4, 6, 5), 10), ((25,), 10), ((3,), 3)])
def test_a_limit_on_data_ends_the_connection_at_that_byte(sizes: tuple[int, ...], through: int) -> None:
    async def use(it: Bench) -> None:
        client = await sent(it, LimitData(limit_bytes=10, direction="down"), *(b"x" * size for size in sizes))
        assert len(client.data) == through
        assert (client.eof_s is not None) == (through == 10)
        if client.eof_s is not None:
            assert client.eof_s <= client.chunks[-1][0] + 1e-6, "it ends at once when the limit is reached"

    simulated(use)


@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
def test_a_connection_is_cut_at_its_age_however_busy_or_idle_it_is(how: str) -> None:
    async def use(it: Bench) -> None:
        with it.proxy.inject(CutAfter(age_s=3, how=how)):  # type: ignore[arg-type]
            busy, server = await it.pair()
            idle, _ = await it.pair()
            began_s = it.loop.time()
            while it.loop.time() < began_s + 4:
                server.transport.write(b"x")
                await asyncio.sleep(0.1)
            for client in (busy, idle):
                ended_s = client.eof_s if how == "fin" else client.lost_s
                if how == "silence":
                    assert (client.eof_s, client.lost_s) == (None, None)
                else:
                    assert ended_s is not None
                    assert ended_s - began_s == pytest.approx(3, abs=0.01)
            assert 28 <= len(busy.data) <= 31

    simulated(use)


def test_an_age_counts_from_the_arming_on_connections_that_are_already_open() -> None:
    async def use(it: Bench) -> None:
        client, _ = await it.pair()
        await asyncio.sleep(100)
        began_s = it.loop.time()
        with it.proxy.inject(CutAfter(age_s=3, how="rst")):
            await until(lambda: client.lost_s is not None)
        assert client.lost_s is not None
        assert client.lost_s - began_s == pytest.approx(3, abs=0.01)
        assert client.error == "ConnectionResetError"

    simulated(use)


def test_disarming_takes_the_clock_away() -> None:
    async def use(it: Bench) -> None:
        client, _ = await it.pair()
        with it.proxy.inject(CutAfter(age_s=3)):
            await asyncio.sleep(2)
        await asyncio.sleep(10)
        assert client.eof_s is None

    simulated(use)


def test_a_slow_close_delays_the_end_and_not_the_bytes() -> None:
    async def use(it: Bench) -> None:
        client, server = await it.pair()
        with it.proxy.inject(SlowClose(delay_s=2, direction="down")):
            began_s = it.loop.time()
            server.transport.write(b"now")
            server.transport.write_eof()
            await until(lambda: client.eof_s is not None)
        assert ages_ms(client, began_s) == [(0, b"now")]
        assert client.eof_s is not None
        assert client.eof_s - began_s == pytest.approx(2, abs=0.002)

    simulated(use)


def test_of_several_faults_only_those_about_closing_delay_the_end() -> None:
    async def use(it: Bench) -> None:
        client, server = await it.pair()
        with it.proxy.inject([Latency(delay_s=5), SlowClose(delay_s=2)]):
            began_s = it.loop.time()
            server.transport.write_eof()
            await until(lambda: client.eof_s is not None)
        assert client.eof_s is not None
        assert client.eof_s - began_s == pytest.approx(2, abs=0.002)

    simulated(use)


def test_a_half_open_connection_says_nothing_to_anybody() -> None:
    async def use(it: Bench) -> None:
        client, server = await it.pair()
        with it.proxy.inject(HalfOpen(offset_bytes=3)):
            server.transport.write(b"12345")
            await asyncio.sleep(0.1)
        client.transport.write(b"are you there")
        server.transport.write_eof()
        await asyncio.sleep(100)
        assert (bytes(client.data), client.eof_s, client.lost_s) == (b"123", None, None)
        assert (bytes(server.data), server.lost_s) == (b"", None)

    simulated(use)


def test_strikes_by_the_clock_end_every_open_connection() -> None:
    async def use(it: Bench) -> None:
        first, _ = await it.pair()
        second, _ = await it.pair()
        with it.proxy.inject(ResetPeer(at_s=5)):
            await asyncio.sleep(4.9)
            assert first.lost_s is None
            await asyncio.sleep(0.2)
            assert first.lost_s == second.lost_s is not None
            assert first.error == "ConnectionResetError"
            await it.pair()

    simulated(use)


def test_chained_faults_add_up_in_the_order_they_were_armed() -> None:
    async def use(it: Bench) -> None:
        client, server = await it.pair()
        with ExitStack() as faults:
            for fault in (Latency(delay_s=0.05), Slicer(piece_bytes=2), Latency(delay_s=0.02)):
                faults.enter_context(it.proxy.inject(fault))
            began_s = it.loop.time()
            server.transport.write(b"abcd")
            await asyncio.sleep(1)
        assert ages_ms(client, began_s) == [(70, b"ab"), (70, b"cd")]

    simulated(use)


def test_disarming_lets_what_is_held_go_on_through_the_other_faults() -> None:
    async def use(it: Bench) -> None:
        client, server = await it.pair()
        with it.proxy.inject(Slicer(piece_bytes=2)):
            with it.proxy.inject(Timeout()):
                pass
            with it.proxy.inject(Latency(delay_s=9)), it.proxy.inject(Truncate(offset_bytes=99)):
                server.transport.write(b"abcd")
                await asyncio.sleep(0.1)
                assert not client.data
            began_s = it.loop.time()
            await asyncio.sleep(0.01)
        assert bytes(client.data) == b"abcd"
        assert client.chunks[0][0] - began_s < 0.001
        server.transport.write(b"free")
        await asyncio.sleep(0.001)
        assert client.chunks[-1][1] == b"free"

    simulated(use)


def test_toxicity_is_drawn_once_for_each_connection_and_by_the_seed() -> None:
    hit: list[list[bool]] = []

    async def use(it: Bench) -> None:
        with it.proxy.inject(Timeout(direction="down"), name="hole", toxicity=0.3) as armed:
            pairs = [await it.pair() for _ in range(100)]
            seen: list[bool] = []
            for _ in range(3):
                for client, server in pairs:
                    client.data.clear()
                    server.transport.write(b"x")
                await asyncio.sleep(0.1)
                now = [not client.data for client, _ in pairs]
                assert seen in ([], now)
                seen = now
                with it.proxy.inject(Latency(delay_s=0)):
                    pass
            it.proxy.rearm(armed)
        hit.append(seen)

    for seed in (1, 1, 2):
        simulated(use, seed=seed)
    assert hit[0] == hit[1] != hit[2]
    assert 18 <= sum(hit[0]) <= 42


def test_a_decider_is_asked_at_every_point_as_in_the_simulation() -> None:
    asked: list[tuple[Point, int]] = []

    def decide(moment: Moment) -> tuple[Action, ...]:
        asked.append((moment.point, moment.size_bytes))
        return (Delay(0.5),) if moment.point.phase == "up" and not moment.size_bytes else ()

    async def use(it: Bench) -> None:
        client, server = await it.pair()
        client.transport.write(b"1234")
        await asyncio.sleep(0.1)
        client.transport.write(b"56")
        client.transport.write_eof()
        began_s = it.loop.time()
        await until(lambda: server.eof_s is not None)
        assert server.eof_s is not None
        assert server.eof_s - began_s == pytest.approx(0.5, abs=0.002), "it is asked about ends as well"

    simulated(use, name="rest", decide=decide)
    shown = [(point.endpoint, point.entity, point.nth, point.phase, size) for point, size in asked]
    assert shown == [
        ("rest", "1", 0, "connect", 0),
        ("rest", "1", 0, "up", 4),
        ("rest", "1", 4, "up", 2),
        ("rest", "1", 6, "up", 0),
    ]


def test_dropped_bytes_are_gone_and_a_later_cut_of_a_chunk_still_comes() -> None:
    def decide(moment: Moment) -> tuple[Action, ...]:
        if moment.point.phase != "up" or not moment.size_bytes:
            return ()
        return (Drop(),) if moment.point.nth == 0 else (Cut(after_s=1.0, how="rst"),)

    async def use(it: Bench) -> None:
        client, server = await it.pair()
        client.transport.write(b"gone")
        await asyncio.sleep(0.1)
        client.transport.write(b"kept")
        began_s = it.loop.time()
        await until(lambda: client.lost_s is not None)
        assert bytes(server.data) == b"kept"
        assert client.lost_s is not None
        assert client.lost_s - began_s == pytest.approx(1, abs=0.01)

    simulated(use, decide=decide)

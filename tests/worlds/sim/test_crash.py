"""A crash ends a client's process without another instruction, and leaves the network what a kernel leaves."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
import time
import warnings
from collections.abc import AsyncIterator

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from faultline.worlds.context import INCARNATION
from faultline.worlds.sim.context import HOST
from faultline.worlds.sim.simulation import Simulation
from tests.worlds.sim.kit import VENUE, Recorder, Table, as_client, http_venue, new_simulation


class Journal:
    """What the client's code did, and when, while the run went on."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)


class Paused(Recorder):
    """Does not read until told to."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()


async def listening(simulation: Simulation, kind: type[Recorder] = Recorder) -> list[Recorder]:
    accepted: list[Recorder] = []

    def accept() -> Recorder:
        accepted.append(kind(simulation))
        return accepted[-1]

    await asyncio.get_running_loop().create_server(accept, VENUE, 7000)
    return accepted


def test_nothing_of_a_crashed_process_runs_before_judgement_not_even_finally() -> None:
    simulation = new_simulation()
    journal = Journal(simulation)

    async def guarded(name: str, wait_s: float) -> None:
        try:
            journal(f"{name} started")
            await asyncio.sleep(wait_s)
            journal(f"{name} woke up")
        finally:
            journal(f"{name} finally")

    async def generating() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(1)
        finally:
            journal("generator finally")

    async def client() -> None:
        asyncio.get_running_loop().call_later(1, journal, "timer")
        context = contextvars.Context()
        child = asyncio.get_running_loop().create_task(guarded("bare context", 1), context=context)
        async with asyncio.TaskGroup() as group:
            group.create_task(guarded("child", 1))
            group.create_task(asyncio.to_thread(journal, "thread"))
            async for _ in generating():
                await guarded("own", 2)
        await child

    async def main() -> list[str]:
        as_client(simulation, client, 1)
        await asyncio.sleep(0.5)
        simulation.crash(1)
        await asyncio.sleep(3600)
        gc.collect()
        return list(journal.lines)

    assert sorted(simulation.run(main)) == ["bare context started", "child started", "own started", "thread"]
    assert {"own finally", "child finally", "bare context finally", "generator finally"} <= set(journal.lines)


def test_an_incarnation_knows_its_tasks_and_others_go_on() -> None:
    simulation = new_simulation()
    journal = Journal(simulation)

    async def work(name: str) -> None:
        await asyncio.sleep(1)
        journal(name)

    async def main() -> None:
        first = as_client(simulation, lambda: work("first"), 1)
        second = as_client(simulation, lambda: work("second"), 2)
        await work("harness")
        assert simulation.loop.tasks_of(1) in ([first], [])
        as_client(simulation, lambda: work("third"), 1)
        await asyncio.sleep(0)
        assert len(simulation.loop.tasks_of(1)) == 1
        assert second not in simulation.loop.tasks_of(1)
        simulation.crash(1)
        assert simulation.is_fenced(1)
        assert not simulation.is_fenced(2)
        simulation.crash(1)
        await asyncio.sleep(5)

    simulation.run(main)
    assert sorted(journal.lines) == ["first", "harness", "second"]


def test_bytes_in_flight_arrive_and_the_peer_sees_an_orderly_end() -> None:
    simulation = new_simulation(latency_s=0.5)

    async def client() -> None:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, VENUE, 7000)
        transport.write(b"in flight")
        simulation.crash(1)
        transport.write(b"into the void")
        transport.close()

    async def main() -> Recorder:
        accepted = await listening(simulation)
        as_client(simulation, client, 1)
        await asyncio.sleep(5)
        return accepted[0]

    server = simulation.run(main)
    assert server.seen == [("made", None), ("data", b"in flight"), ("eof", None), ("lost", None)]


def test_what_the_process_had_not_given_to_the_kernel_is_gone() -> None:
    simulation = new_simulation()

    async def client() -> None:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, VENUE, 7000)
        transport.write(b"x" * 1_000_000)
        await asyncio.sleep(60)

    async def main() -> Recorder:
        accepted = await listening(simulation, Paused)
        as_client(simulation, client, 1)
        await asyncio.sleep(1)
        simulation.crash(1)
        accepted[0].transport.resume_reading()
        await asyncio.sleep(1)
        return accepted[0]

    server = simulation.run(main)
    assert 0 < len(server.data) <= 256 * 1024
    assert server.seen[-1] == ("lost", None)


def test_a_process_that_had_unread_data_leaves_a_reset() -> None:
    simulation = new_simulation()

    async def client() -> None:
        reading, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, VENUE, 7000)
        reading.pause_reading()
        await asyncio.sleep(60)

    async def main() -> Recorder:
        accepted = await listening(simulation)
        as_client(simulation, client, 1)
        await asyncio.sleep(1)
        accepted[0].transport.write(b"unread")
        await asyncio.sleep(1)
        simulation.crash(1)
        await asyncio.sleep(1)
        return accepted[0]

    assert simulation.run(main).seen[-1] == ("lost", "ConnectionResetError")


def test_a_lost_machine_is_silent() -> None:
    simulation = new_simulation()

    async def client() -> None:
        await asyncio.get_running_loop().create_connection(lambda: mine, VENUE, 7000)
        await asyncio.sleep(60)

    mine = Recorder(simulation)

    async def main() -> tuple[list[str], list[str]]:
        accepted = await listening(simulation)
        as_client(simulation, client, 1)
        await asyncio.sleep(1)
        simulation.crash(1, "silence")
        accepted[0].transport.write(b"still there?")
        await asyncio.sleep(600)
        seen = accepted[0].kinds, list(mine.kinds)
        await asyncio.sleep(600)
        assert accepted[0].seen[-1] == ("lost", "TimeoutError")
        return seen

    assert simulation.run(main) == (["made"], ["made"])


def test_a_fenced_protocol_is_called_by_nobody_until_the_teardown() -> None:
    simulation = new_simulation()
    mine = Recorder(simulation)

    async def client() -> None:
        await asyncio.get_running_loop().create_connection(lambda: mine, VENUE, 7000)
        await asyncio.sleep(60)

    async def main() -> list[str]:
        accepted = await listening(simulation)
        as_client(simulation, client, 1)
        await asyncio.sleep(1)
        simulation.crash(1)
        accepted[0].transport.write(b"answer")
        await asyncio.sleep(10)
        return list(mine.kinds)

    assert simulation.run(main) == ["made"]
    assert mine.seen[-1] == ("lost", "ConnectionResetError")


def test_a_crashed_server_no_longer_listens() -> None:
    simulation = new_simulation()

    async def serving() -> None:
        await asyncio.get_running_loop().create_server(asyncio.Protocol, VENUE, 7000)
        await asyncio.sleep(60)

    async def main() -> None:
        as_client(simulation, serving, 1)
        await asyncio.sleep(1)
        simulation.crash(1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.get_running_loop().create_connection(asyncio.Protocol, VENUE, 7000)

    simulation.run(main)


def test_the_last_step_of_a_crashed_process_ends_in_the_void() -> None:
    simulation = new_simulation()
    journal = Journal(simulation)

    async def new_connection() -> None:
        journal("connecting")
        await asyncio.open_connection(VENUE, 7000)
        journal("connected")

    async def client() -> str:
        simulation.crash(1)
        asyncio.create_task(new_connection()).set_name("void")
        time.sleep(30)  # noqa: ASYNC251
        journal("step over")
        return "a result that nobody may use"

    async def main() -> tuple[int, float]:
        accepted = await listening(simulation)
        task = as_client(simulation, client, 1)
        await asyncio.sleep(1)
        assert task.done()
        await asyncio.sleep(10)
        return len(accepted), simulation.now_s()

    connections, now_s = simulation.run(main)
    assert connections == 0
    assert now_s < 12
    assert simulation.blocking_sleeps == []
    assert journal.lines[0] == "step over"
    assert "connected" not in journal.lines[:1]


def test_a_restart_connects_while_the_dead_are_still_fenced() -> None:
    simulation = new_simulation()
    seen: list[tuple[int | None, str]] = []

    async def client() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"http://{VENUE}/") as socket:
            async for message in socket:
                seen.append((INCARNATION.get(), message.data))  # noqa: PERF401

    async def push(request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
        socket = aiohttp.web.WebSocketResponse()
        await socket.prepare(request)
        for n in range(1000):
            await socket.send_str(f"{HOST.get()} {n}")
            await asyncio.sleep(1)
        return socket

    async def main() -> None:
        async with http_venue(push):
            for incarnation in (1, 2, 3):
                as_client(simulation, client, incarnation, "client.test")
                await asyncio.sleep(2.5)
                simulation.crash(incarnation)
                await asyncio.sleep(1)

    simulation.run(main)
    venue_ip = simulation.network.add_host(VENUE)
    assert seen == [(incarnation, f"{venue_ip} {n}") for incarnation in (1, 2, 3) for n in range(3)]


def test_the_dead_can_be_revived_and_awaited_by_the_harness() -> None:
    simulation = new_simulation()
    journal = Journal(simulation)

    async def client() -> None:
        try:
            async with asyncio.timeout(100):
                await asyncio.sleep(1)
                await asyncio.get_running_loop().create_future()
        finally:
            journal("finally")

    async def main() -> str:
        as_client(simulation, client, 1)
        await asyncio.sleep(0.5)
        simulation.crash(1)
        await asyncio.sleep(5)
        digest = simulation.trace_digest()
        dead = simulation.revive_for_teardown()
        assert len(dead) == 1
        await asyncio.wait(dead)
        assert all(task.cancelled() for task in dead)
        return digest

    assert simulation.run(main) == simulation.trace_digest()
    assert journal.lines == ["finally"]


def test_crashes_in_the_middle_of_everything_leave_no_noise(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async def answer(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    async def slow(request: aiohttp.web.Request) -> aiohttp.web.Response:
        await asyncio.sleep(0.05)
        return aiohttp.web.json_response({})

    async def client() -> None:
        async def post(session: aiohttp.ClientSession, n: int) -> None:
            await asyncio.sleep(0.01 * n)
            async with session.post(f"http://{VENUE}/", data=b"x" * 100) as response:
                await response.read()

        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            for n in range(20):
                group.create_task(post(session, n))
            async for socket in connect(f"ws://{VENUE}:81", ping_interval=0.05):
                for n in range(10):
                    await socket.send(str(n))
                    await socket.recv()
                    await asyncio.sleep(0.01)

    def run(seed: int) -> str:
        simulation = new_simulation(seed, jitter_s=0.01)

        async def main() -> None:
            async with http_venue(slow), serve(answer, VENUE, 81):
                for incarnation in range(1, 6):
                    as_client(simulation, client, incarnation)
                    await asyncio.sleep(0.013 * (seed + incarnation))
                    simulation.crash(incarnation, "fin" if incarnation % 2 else "silence")

        simulation.run(main)
        assert simulation.stuck_tasks == []
        return simulation.trace_digest()

    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        first = [run(seed) for seed in range(6)]
        gc.collect()
    assert [run(seed) for seed in range(6)] == first
    gc.collect()
    assert caplog.records == []
    assert capsys.readouterr() == ("", "")


def test_a_process_that_crashes_while_it_connects_reaches_no_fault_point() -> None:
    table = Table()
    simulation = new_simulation(decide=table)
    address = simulation.network.add_host(VENUE)

    async def by_address() -> None:
        simulation.crash(1)
        await asyncio.open_connection(address, 7000)

    async def by_name() -> None:
        simulation.crash(2)
        await asyncio.open_connection(VENUE, 7000)

    async def main() -> int:
        accepted = await listening(simulation)
        as_client(simulation, by_address, 1)
        as_client(simulation, by_name, 2)
        await asyncio.sleep(10)
        return len(accepted)

    assert simulation.run(main) == 0
    assert table.moments == []


def test_a_living_process_does_not_see_the_tasks_of_a_dead_one() -> None:
    simulation = new_simulation()

    async def wait() -> None:
        await asyncio.sleep(100)

    async def main() -> tuple[int, int]:
        as_client(simulation, wait, 1)
        await asyncio.sleep(1)
        before = len(asyncio.all_tasks())
        simulation.crash(1)
        return before, len(asyncio.all_tasks())

    assert simulation.run(main) == (2, 1)


def test_tasks_made_past_the_loop_belong_to_their_process_too() -> None:
    # aiohttp makes tasks with asyncio.Task(...) from Python 3.12 on.
    simulation = new_simulation()

    async def wait() -> None:
        await asyncio.sleep(100)

    async def client() -> None:
        await asyncio.Task(wait(), loop=asyncio.get_running_loop())

    async def main() -> list[asyncio.Task[object]]:
        as_client(simulation, client, 1)
        await asyncio.sleep(1)
        return simulation.loop.tasks_of(1)

    assert len(simulation.run(main)) == 2

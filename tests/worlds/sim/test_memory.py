"""A process that runs a thousand simulations does not grow."""

from __future__ import annotations

import asyncio
import gc
import os
import sys

import aiohttp

from faultline.faults.actions import Cut
from tests.worlds.sim.kit import VENUE, Recorder, Table, as_client, connected_pair, http_venue, new_simulation

RUNS = 200


def small_run(seed: int) -> None:
    table = Table({("down", "2"): (Cut(5, "rst"),), ("down", "3"): (Cut(5, "silence"),)})
    simulation = new_simulation(seed, jitter_s=0.001, decide=table)

    async def client() -> None:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, VENUE, 7000)
        transport.write(b"x" * 1000)
        await asyncio.sleep(10)

    async def main() -> None:
        client_end, _ = await connected_pair(simulation)
        client_end.transport.write(b"x" * 300_000)
        as_client(simulation, client, 1)
        as_client(simulation, client, 2)
        await asyncio.sleep(1)
        simulation.crash(1)
        await asyncio.sleep(1)

    simulation.run(main)


def http_run(seed: int) -> None:
    simulation = new_simulation(seed)

    async def main() -> None:
        async with http_venue(), aiohttp.ClientSession() as session, session.get(f"http://{VENUE}/") as response:
            await response.read()

    simulation.run(main)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_many_runs_leave_nothing_behind() -> None:
    for seed in range(20):
        small_run(seed)
        http_run(seed)
    gc.collect()
    objects, blocks, files = len(gc.get_objects()), sys.getallocatedblocks(), open_files()
    for seed in range(RUNS):
        small_run(seed)
        if seed % 4 == 0:
            http_run(seed)
    gc.collect()
    # Some of the interpreter's own tables grow in steps; a leak would be at least one object in each run.
    assert len(gc.get_objects()) - objects < RUNS / 2
    assert sys.getallocatedblocks() - blocks < RUNS
    assert open_files() == files


def test_a_long_run_does_not_pile_up_its_closed_connections() -> None:
    simulation = new_simulation()

    async def main() -> int:
        await asyncio.get_running_loop().create_server(lambda: Recorder(simulation), VENUE, 7000)
        for _ in range(2000):
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, VENUE, 7000)
            transport.close()
            await asyncio.sleep(0.1)
        return len(simulation.network.transports())

    assert simulation.run(main) == 0


def test_cancelled_timers_do_not_pile_up() -> None:
    simulation = new_simulation()

    async def main() -> int:
        loop = asyncio.get_running_loop()
        for _ in range(20_000):
            loop.call_later(3600, print).cancel()
        return len(simulation.loop._heap)

    assert simulation.run(main) < 1000

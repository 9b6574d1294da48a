"""The same seed is the same run: in this process after others, and in fresh processes with other hash seeds."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faultline.worlds.sim.simulation import Simulation
from tests.worlds.sim import kitchen_sink
from tests.worlds.sim.kit import VENUE, connected_pair, new_simulation

ROOT = Path(__file__).parents[3]
PROCESSES: list[dict[str, str]] = [
    {"PYTHONHASHSEED": "0"},
    {"PYTHONHASHSEED": "1"},
    {"PYTHONHASHSEED": "12345", "PYTHONMALLOC": "malloc"},
    {"PYTHONHASHSEED": "random", "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C"},
]


def test_a_seed_repeats_after_twenty_others() -> None:
    first = kitchen_sink.run(1)
    others = [kitchen_sink.run(seed)[0] for seed in range(2, 22)]
    gc.collect()
    assert kitchen_sink.run(1) == first
    assert len({first[0], *others}) == 21


def test_a_seed_repeats_in_fresh_processes_with_other_hash_seeds() -> None:
    def in_fresh_process(environment: dict[str, str]) -> object:
        command = [sys.executable, "-m", "tests.worlds.sim.kitchen_sink", "3"]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(in_fresh_process, PROCESSES))
    here = json.loads(json.dumps(kitchen_sink.run(3)))
    assert results == [here] * len(PROCESSES)


def test_the_sink_really_has_everything_in_it() -> None:
    text = str([kitchen_sink.run(seed)[1] for seed in range(4)])
    for expected in ("up fin", "up rst", "down silence", "down delay", "connect", "ConnectionClosedError", "Task-"):
        assert expected in text


def test_sets_of_tasks_and_futures_iterate_in_the_same_order_in_every_run() -> None:
    async def main() -> list[str]:
        async def named(n: int) -> None:
            await asyncio.sleep(1)

        tasks = [asyncio.create_task(named(n), name=f"t{n}") for n in range(50)]
        done, _ = await asyncio.wait(tasks)
        loop = asyncio.get_running_loop()
        futures = {loop.create_future(): n for n in range(50)}
        others = [asyncio.create_task(named(n), name=f"o{n}") for n in range(50)]
        return [
            *(task.get_name() for task in done),
            *(task.get_name() for task in asyncio.all_tasks()),
            *(str(futures[future]) for future in set(futures)),
            str(len(others)),
        ]

    def once() -> list[str]:
        ballast = [bytearray(100) for _ in range(len(orders) * 1000)]  # other addresses for everything
        assert len(ballast) == len(orders) * 1000
        return new_simulation().run(main)

    orders: list[list[str]] = []
    while len(orders) < 5:
        orders.append(once())
    assert all(order == orders[0] for order in orders)


def test_the_hash_covers_time_bytes_connection_and_direction() -> None:
    def digest(latency_s: float = 0.01, body: bytes = b"same", who: str = "client", times: int = 1) -> str:
        simulation = Simulation(seed=1, latency_s=latency_s)
        simulation.network.add_host(VENUE)

        async def main() -> None:
            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                if who == "server":
                    writer.write(body)
                await reader.read()
                writer.close()

            async with await asyncio.start_server(serve, VENUE, 80):
                for _ in range(times):
                    _, writer = await asyncio.open_connection(VENUE, 80)
                    if who == "client":
                        writer.write(body)
                    await asyncio.sleep(1)

        simulation.run(main)
        return simulation.trace_digest()

    assert digest() == digest()
    variants = [digest(), digest(latency_s=0.02), digest(body=b"diff"), digest(who="server"), digest(times=2)]
    assert len(set(variants)) == len(variants)


def test_a_client_that_depends_on_addresses_is_caught_by_running_it_again() -> None:
    class Order:
        """Hashes by address, as plain objects do."""

    kept: list[object] = []

    def digest() -> str:
        simulation = new_simulation()

        async def main() -> None:
            async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.read()

            async with await asyncio.start_server(swallow, VENUE, 80):
                orders = {Order(): n for n in range(50)}
                kept.append(orders)
                _, writer = await asyncio.open_connection(VENUE, 80)
                for one in set(orders):
                    writer.write(b"%d," % orders[one])
                await asyncio.sleep(1)

        simulation.run(main)
        return simulation.trace_digest()

    assert len({digest() for _ in range(5)}) > 1


@pytest.mark.parametrize("frozen", [False, True])
def test_collecting_garbage_at_other_moments_changes_nothing(frozen: bool) -> None:
    first = kitchen_sink.run(5)
    thresholds = gc.get_threshold()
    try:
        gc.set_threshold(50, 2, 2)
        if frozen:
            gc.freeze()
        assert kitchen_sink.run(5) == first
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def test_what_the_teardown_sends_is_no_part_of_the_hash() -> None:
    simulation = new_simulation()

    async def main() -> str:
        client, _ = await connected_pair(simulation)

        async def polite() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                client.transport.write(b"goodbye")
                await asyncio.sleep(1)

        tasks.append(asyncio.create_task(polite()))
        await asyncio.sleep(1)
        return simulation.trace_digest()

    tasks: list[asyncio.Task[None]] = []
    assert simulation.run(main) == simulation.trace_digest()

"""One run with everything in it: REST, WebSockets, faults, jitter, retries, a crash and a restart.

As a program it prints the wire's hash and the client's journal, for comparing fresh processes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
import sys
import time
import uuid

import aiohttp
import tenacity
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException

from faultline.faults.actions import Action, Cut, Delay
from faultline.faults.chance import Chance
from faultline.faults.points import Moment
from faultline.worlds.sim.simulation import Simulation
from tests.worlds.sim.kit import VENUE, as_client, http_venue, new_simulation


def faults(seed: int, moment: Moment) -> tuple[Action, ...]:
    chance = Chance(seed, moment.point)
    if chance.hits(0.02):
        return (Cut(int(chance.random() * 30), chance.chosen(("fin", "rst", "silence"))),)
    return (Delay(0.3),) if chance.hits(0.05) else ()


async def post(request: web.Request) -> web.Response:
    return web.json_response({**await request.json(), "server": uuid.uuid4().hex, "at": time.time()})


async def echo(connection: ServerConnection) -> None:
    try:
        async for message in connection:
            await connection.send(message)
    except WebSocketException:
        pass


async def order(session: aiohttp.ClientSession, journal: list[object], n: int) -> None:
    key = uuid.uuid4().hex

    @tenacity.retry(stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_random_exponential(0.05, 2), reraise=True)
    async def attempt() -> object:
        body = {"key": key, "nonce": secrets.token_hex(4), "px": random.random()}
        async with session.post(f"http://{VENUE}/orders", json=body) as response:
            return (await response.json())["server"]

    try:
        journal.append((n, key, await attempt()))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        journal.append((n, key, type(error).__name__))


async def stream(journal: list[object], n: int) -> None:
    try:
        async with asyncio.timeout(5), connect(f"ws://{VENUE}:81", close_timeout=1) as socket:
            for k in range(5):
                await socket.send(f"{n}.{k}")
                journal.append(str(await socket.recv()))
    except (WebSocketException, OSError, TimeoutError) as error:
        journal.append((n, type(error).__name__))


async def client(journal: list[object]) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as session:
        tasks = {asyncio.create_task(order(session, journal, n)) for n in range(15)}
        tasks |= {asyncio.create_task(stream(journal, n)) for n in range(5)}
        done, _ = await asyncio.wait(tasks, timeout=1)
        journal.append([task.get_name() for task in done])
        await asyncio.wait(tasks)
        journal.append([task.get_name() for task in asyncio.all_tasks()])


def run(seed: int) -> tuple[str, list[object]]:
    struck: list[str] = []

    def decide(moment: Moment) -> tuple[Action, ...]:
        actions = faults(seed, moment)
        struck.extend(f"{moment.point.phase} {getattr(action, 'how', 'delay')}" for action in actions)
        return actions

    simulation: Simulation = new_simulation(seed, jitter_s=0.004, decide=decide)
    simulation.network.shape("client", VENUE, fragment_bytes=(20, 1400), loss=0.01)
    journal: list[object] = []

    async def main() -> None:
        async with http_venue(post), serve(echo, VENUE, 81):
            as_client(simulation, lambda: client(journal), 1)
            await asyncio.sleep(0.4)
            simulation.crash(1)
            await asyncio.sleep(0.5)
            await as_client(simulation, lambda: client(journal), 2)
            journal.append((simulation.now_s(), struck))

    logging.disable(logging.CRITICAL)
    try:
        simulation.run(main)
    finally:
        logging.disable(logging.NOTSET)
    return simulation.trace_digest(), journal


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]))))

"""Each library that the simulated world promises to run: connect and use, unmodified, in virtual time."""

from __future__ import annotations

import asyncio

import aiohttp
import httpx
import pytest
import tenacity
import websockets
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from faultline.worlds.sim.simulation import Simulation

HOST = "api.venue.test"


@pytest.fixture
def sim() -> Simulation:
    simulation = Simulation(seed=7)
    simulation.network.add_host(HOST, label="rest")
    return simulation


async def start_app(handler: object, port: int = 80) -> web.AppRunner:
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{tail:.*}", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    return runner


async def echo(request: web.Request) -> web.Response:
    return web.json_response({"got": await request.text()})


def test_aiohttp_client_and_server_speak(sim: Simulation) -> None:
    async def main() -> object:
        await start_app(echo)
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://{HOST}/x", data="z" * 3_000_000) as response,
        ):
            return len((await response.json())["got"])

    assert sim.run(main) == 3_000_000


def test_httpx_client_speaks(sim: Simulation) -> None:
    async def main() -> object:
        await start_app(echo)
        async with httpx.AsyncClient() as client:
            return (await client.post(f"http://{HOST}/x", content="hey")).json()

    assert sim.run(main) == {"got": "hey"}


def test_websockets_keepalive_holds_a_quiet_connection_for_an_hour(sim: Simulation) -> None:
    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def main() -> object:
        async with serve(answer, HOST, 80), connect(f"ws://{HOST}") as client:
            await asyncio.sleep(3600)
            await client.send("still there")
            return await client.recv()

    assert sim.run(main) == "still there"
    assert 3600 < sim.now_s() < 3700


def test_the_websockets_reconnect_iterator_comes_back(sim: Simulation) -> None:
    async def hang_up(connection: ServerConnection) -> None:
        await connection.send("hello")
        await asyncio.sleep(10)
        connection.transport.abort()

    async def main() -> object:
        hellos = 0
        async with serve(hang_up, HOST, 80):
            async for client in connect(f"ws://{HOST}"):
                try:
                    async for _ in client:
                        hellos += 1
                except websockets.ConnectionClosed:
                    if hellos == 3:
                        break
        return hellos

    assert sim.run(main) == 3
    assert sim.now_s() > 30


def test_tenacity_waits_in_virtual_time(sim: Simulation) -> None:
    async def main() -> object:
        async with aiohttp.ClientSession() as session:
            async for attempt in tenacity.AsyncRetrying(
                stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_fixed(60), reraise=True
            ):
                with attempt:
                    if attempt.retry_state.attempt_number == 4:
                        await start_app(echo)
                    async with session.get(f"http://{HOST}/") as response:
                        return response.status
        return None

    assert sim.run(main) == 200
    assert sim.now_s() > 180

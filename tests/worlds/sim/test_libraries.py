"""Every library that the simulated world promises: connect, use, time out, reconnect, and one fault, unmodified."""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import httpx
import pytest
import tenacity
import websockets
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from faultline.faults.actions import Cut
from faultline.worlds.sim.simulation import Simulation
from tests.worlds.sim.kit import VENUE, Table, echo, http_venue, new_simulation

URL = f"http://{VENUE}/"
Get = Callable[[str], Awaitable[str]]


@contextlib.asynccontextmanager
async def aiohttp_client(timeout_s: float = 5.0) -> AsyncIterator[Get]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session:

        async def get(body: str) -> str:
            async with session.post(URL, data=body) as response:
                return str((await response.json())["got"])

        yield get


@contextlib.asynccontextmanager
async def httpx_client(timeout_s: float = 5.0) -> AsyncIterator[Get]:
    async with httpx.AsyncClient(timeout=timeout_s) as client:

        async def get(body: str) -> str:
            return str((await client.post(URL, content=body)).json()["got"])

        yield get


HTTP = pytest.mark.parametrize(
    ("client", "timed_out", "broken"),
    [
        (aiohttp_client, TimeoutError, aiohttp.ClientError),
        (httpx_client, httpx.TimeoutException, httpx.TransportError),
    ],
    ids=["aiohttp", "httpx"],
)
Client = Callable[..., contextlib.AbstractAsyncContextManager[Get]]


def connections_made(simulation: Simulation) -> int:
    return simulation.network.next_number() - 1


@HTTP
def test_http_is_used_over_one_kept_connection(client: Client, timed_out: object, broken: object) -> None:
    simulation = new_simulation()

    async def main() -> list[str]:
        async with http_venue(), client() as get:
            return [await get(f"{n}") for n in range(10)] + [await get("x" * 1_000_000)]

    assert simulation.run(main) == [*"0123456789", "x" * 1_000_000]
    assert connections_made(simulation) == 1


@HTTP
def test_http_requests_run_side_by_side(client: Client, timed_out: object, broken: object) -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(1)
        return await echo(request)

    simulation = new_simulation()

    async def main() -> list[str]:
        async with http_venue(slow), client() as get:
            return await asyncio.gather(*(get(str(n)) for n in range(20)))

    assert simulation.run(main) == [str(n) for n in range(20)]
    assert simulation.now_s() < 2


@HTTP
def test_http_times_out_in_virtual_time(client: Client, timed_out: type[Exception], broken: object) -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.sleep(1000)
        return web.Response()

    simulation = new_simulation()

    async def main() -> float:
        async with http_venue(silent), client(30.0) as get:
            with pytest.raises(timed_out):
                await get("x")
            return simulation.now_s()

    assert simulation.run(main) == pytest.approx(30, abs=0.1)


@HTTP
def test_http_times_out_while_connecting(client: Client, timed_out: type[Exception], broken: object) -> None:
    simulation = new_simulation()

    async def main() -> float:
        simulation.network.partition("client", VENUE)
        async with client(3.0) as get:
            with pytest.raises(timed_out):
                await get("x")
            return simulation.now_s()

    assert simulation.run(main) == pytest.approx(3, abs=0.1)


@HTTP
def test_http_reconnects_after_the_server_dropped_an_idle_connection(
    client: Client, timed_out: object, broken: object
) -> None:
    simulation = new_simulation()

    async def main() -> list[str]:
        async with http_venue(), client() as get:
            first = await get("a")
            simulation.network.connections("rest")[0].cut("fin")
            await asyncio.sleep(1)
            return [first, await get("b")]

    assert simulation.run(main) == ["a", "b"]
    assert connections_made(simulation) == 2


@HTTP
def test_http_connections_are_closed_when_they_have_been_idle(
    client: Client, timed_out: object, broken: object
) -> None:
    simulation = new_simulation()

    async def main() -> None:
        async with http_venue(), client() as get:
            for _ in range(5):
                await get("a")
                await asyncio.sleep(60)

    simulation.run(main)
    assert connections_made(simulation) == 5


@HTTP
def test_http_survives_a_lost_response_and_can_go_on(
    client: Client, timed_out: object, broken: type[Exception]
) -> None:
    simulation = new_simulation(decide=Table({("down", "1"): (Cut(10, "rst"),)}))

    async def main() -> str:
        async with http_venue(), client() as get:
            with pytest.raises(broken):
                await get("lost")
            return await get("again")

    assert simulation.run(main) == "again"


@HTTP
def test_http_sees_a_name_that_does_not_resolve(client: Client, timed_out: object, broken: type[Exception]) -> None:
    simulation = new_simulation(decide=Table({("resolve", "1"): (Cut(),)}))

    async def main() -> str:
        async with http_venue(), client() as get:
            with pytest.raises(broken):
                await get("a")
            return await get("b")

    assert simulation.run(main) == "b"


def test_aiohttps_own_test_server_runs() -> None:
    async def main() -> str:
        app = web.Application()
        app.router.add_post("/", echo)
        async with TestClient(TestServer(app)) as client:
            return await (await client.post("/", data="hey")).text()

    assert "hey" in new_simulation().run(main)


def test_aiohttp_sends_files_and_streams() -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        if request.path == "/file":
            return web.FileResponse(__file__)
        response = web.StreamResponse()
        await response.prepare(request)
        for n in range(5):
            await response.write(b"%d" % n)
            await asyncio.sleep(1)
        return response

    async def main() -> tuple[bytes, bytes]:
        async with http_venue(stream), aiohttp.ClientSession() as session:
            async with session.get(f"{URL}file") as response:
                file = await response.read()
            async with session.get(f"{URL}stream") as response:
                return file, await response.read()

    file, streamed = new_simulation().run(main)
    assert b"test_aiohttp_sends_files_and_streams" in file
    assert streamed == b"01234"


# WebSockets


async def ticking(connection: ServerConnection) -> None:
    with contextlib.suppress(websockets.ConnectionClosed):
        for n in range(10_000):
            await connection.send(str(n))
            await asyncio.sleep(1)


async def answering(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def test_websockets_keepalive_holds_a_quiet_connection() -> None:
    simulation = new_simulation()

    async def main() -> str | bytes:
        async with serve(answering, VENUE, 80), connect(f"ws://{VENUE}") as client:
            await asyncio.sleep(3600)
            await client.send("still there")
            return await client.recv()

    assert simulation.run(main) == "still there"


def test_websockets_keepalive_notices_a_partition_as_in_production() -> None:
    simulation = new_simulation()

    async def main() -> float:
        async with serve(ticking, VENUE, 80), connect(f"ws://{VENUE}") as client:
            await asyncio.sleep(10.5)
            simulation.network.partition("client", VENUE)
            with pytest.raises(websockets.ConnectionClosedError):
                while True:
                    await client.recv()
            return simulation.now_s()

    # A ping each 20 s, given up after 20 s more, and 10 s for the close that nobody answers.
    assert simulation.run(main) == pytest.approx(50, abs=1)


def test_the_websockets_reconnect_iterator_comes_back_after_each_kind_of_end() -> None:
    endings = {"1": Cut(0, "rst"), "2": Cut(0, "fin"), "3": Cut(1, "silence")}
    table = Table({("down", entity): (ending,) for entity, ending in endings.items()})
    simulation = new_simulation(decide=table)
    seen: list[str] = []

    async def main() -> None:
        async with serve(ticking, VENUE, 80):
            async for client in connect(f"ws://{VENUE}", open_timeout=5):
                with contextlib.suppress(websockets.ConnectionClosed):
                    async for message in client:
                        seen.append(str(message))
                        if len(seen) == 3:
                            return

    simulation.run(main)
    assert seen == ["0", "1", "2"]
    assert connections_made(simulation) == 4


def test_websockets_time_out_while_opening() -> None:
    simulation = new_simulation()

    async def main() -> float:
        simulation.network.partition("client", VENUE)
        with pytest.raises(TimeoutError):
            await connect(f"ws://{VENUE}", open_timeout=4)
        return simulation.now_s()

    assert simulation.run(main) == pytest.approx(4, abs=0.01)


def test_a_websocket_message_cut_in_the_middle_is_an_abnormal_closure() -> None:
    async def one_message(connection: ServerConnection) -> None:
        await asyncio.sleep(1)
        simulation.network.decide = Table({("down", "1"): (Cut(500, "rst"),)})
        await connection.send("x" * 1000)
        await connection.wait_closed()

    simulation = new_simulation()

    async def main() -> tuple[int | None, str]:
        async with serve(one_message, VENUE, 80, compression=None), connect(f"ws://{VENUE}") as client:
            with pytest.raises(websockets.ConnectionClosedError) as caught:
                await client.recv()
            return client.close_code, repr(caught.value.__cause__)

    code, cause = simulation.run(main)
    assert code == 1006
    assert "ConnectionResetError" in cause


async def aiohttp_ws(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(heartbeat=10)
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


def test_aiohttp_websockets_are_used_and_kept_alive_by_heartbeats() -> None:
    async def main() -> str:
        async with (
            http_venue(aiohttp_ws),
            aiohttp.ClientSession() as session,
            session.ws_connect(URL, heartbeat=10) as socket,
        ):
            await asyncio.sleep(0)
            reading = asyncio.create_task(socket.receive_str())
            await asyncio.sleep(600)
            await socket.send_str("still there")
            return await reading

    assert new_simulation().run(main) == "still there"


def test_aiohttp_websockets_time_out_and_notice_a_dead_peer_by_heartbeat() -> None:
    simulation = new_simulation()

    async def main() -> tuple[float, aiohttp.WSMsgType]:
        async with (
            http_venue(aiohttp_ws),
            aiohttp.ClientSession() as session,
            session.ws_connect(URL, heartbeat=10) as socket,
        ):
            with pytest.raises(TimeoutError):
                await socket.receive(timeout=2)
            simulation.network.connections("rest")[0].cut("silence")
            message = await socket.receive()
            return simulation.now_s(), message.type

    noticed_s, kind = simulation.run(main)
    assert noticed_s < 20
    assert kind is aiohttp.WSMsgType.ERROR


def test_aiohttp_websockets_reconnect_after_a_reset() -> None:
    simulation = new_simulation()

    async def main() -> list[str]:
        answers = []
        async with http_venue(aiohttp_ws), aiohttp.ClientSession() as session:
            for n in range(3):
                async with session.ws_connect(URL) as socket:
                    await socket.send_str(str(n))
                    answers.append(await socket.receive_str())
                    simulation.network.connections("rest")[-1].cut("rst")
                    assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        return answers

    assert simulation.run(main) == ["0", "1", "2"]


# tenacity


def test_tenacity_retries_through_faults_in_virtual_time() -> None:
    table = Table({("connect", "1"): (Cut(0, "rst"),), ("up", "2"): (Cut(0, "rst"),), ("down", "3"): (Cut(0, "fin"),)})
    simulation = new_simulation(decide=table)

    @tenacity.retry(wait=tenacity.wait_exponential(multiplier=10), stop=tenacity.stop_after_attempt(6), reraise=True)
    async def persistent(get: Get) -> str:
        return await get("at last")

    async def main() -> str:
        async with http_venue(), aiohttp_client() as get:
            return await persistent(get)

    assert simulation.run(main) == "at last"
    assert simulation.now_s() == pytest.approx(10 + 20 + 40, abs=0.1)


def test_tenacity_gives_up_after_a_delay_of_virtual_time() -> None:
    simulation = new_simulation()

    async def main() -> int:
        attempts = 0
        async with aiohttp_client() as get:
            with pytest.raises(aiohttp.ClientConnectorError):
                async for attempt in tenacity.AsyncRetrying(
                    wait=tenacity.wait_random_exponential(max=60), stop=tenacity.stop_after_delay(600), reraise=True
                ):
                    with attempt:
                        attempts += 1
                        await get("x")
        return attempts

    assert simulation.run(main) > 10
    assert simulation.now_s() > 600


def test_all_of_it_survives_jitter_and_bytes_in_tiny_pieces() -> None:
    for seed in range(5):
        simulation = new_simulation(seed, jitter_s=0.003)
        simulation.network.shape("client", VENUE, fragment_bytes=(1, 300))

        async def main() -> list[str]:
            async with (
                http_venue(),
                serve(answering, VENUE, 81),
                aiohttp_client() as by_aiohttp,
                httpx_client() as by_httpx,
                connect(f"ws://{VENUE}:81") as socket,
            ):
                await socket.send("w" * 5000)
                return [await by_aiohttp("a" * 5000), await by_httpx("h" * 5000), str(await socket.recv())]

        assert simulation.run(main) == ["a" * 5000, "h" * 5000, "w" * 5000]


def test_the_proxies_of_the_machine_are_not_in_the_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "ws_proxy"):
        monkeypatch.setenv(name, "http://proxy.corp.test:3128")
    before = urllib.request.getproxies()

    async def main() -> list[str]:
        async with (
            http_venue(),
            serve(answering, VENUE, 81),
            httpx_client() as by_httpx,
            aiohttp.ClientSession(trust_env=True) as session,
            connect(f"ws://{VENUE}:81") as socket,
        ):
            await socket.send("w")
            async with session.post(URL, data="a") as response:
                got = str((await response.json())["got"])
            return [got, await by_httpx("h"), str(await socket.recv())]

    assert new_simulation().run(main) == ["a", "h", "w"]
    assert urllib.request.getproxies() == before
    assert before["http"] == "http://proxy.corp.test:3128"

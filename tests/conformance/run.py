"""Runs one case against one client, on real loopback or in the simulation, and says what the client saw."""

from __future__ import annotations

import asyncio

from faultline.worlds.sim.simulation import Simulation
from tests.conformance.clients import Client, saw
from tests.conformance.pace import STRETCH
from tests.conformance.servers import Case

NOBODY_LISTENS = 9  # the discard port


async def observe(case: Case, client: Client) -> object:
    """What ``client`` saw of a server that behaves as ``case`` says: its result, or its exception with causes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert case.behave is not None
        try:
            await case.behave(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0) if case.behave else None
    port = server.sockets[0].getsockname()[1] if server else NOBODY_LISTENS
    try:
        return await client(f"http://127.0.0.1:{port}/x", case.requests, case.pause_s, b"x" * case.payload_bytes)
    except Exception as error:
        return saw(error)
    finally:
        if server:
            server.close()


def in_reality(case: Case, clients: tuple[Client, ...], stretch: float) -> list[object]:
    async def all_at_once() -> list[object]:
        STRETCH.set(stretch)
        return await asyncio.gather(*(observe(case, client) for client in clients))

    return asyncio.run(all_at_once())


def in_simulation(case: Case, client: Client, *, latency_s: float, seed: int = 1) -> object:
    return Simulation(seed=seed, latency_s=latency_s).run(lambda: observe(case, client))

"""Whether clients on this machine can connect through the server, and the server to what listens here.

A server in a container answers on a published port of 127.0.0.1 and means its own 127.0.0.1 by that name. Every client
would then be refused, and a run would judge that. So one connection is made through it before a run.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from faultline.errors import HarnessError
from faultline.worlds.live.proxy.address import address
from faultline.worlds.toxiproxy.server import ToxiproxyServer

WITHIN_S: Final = 3.0
_HOST: Final = "127.0.0.1"


async def check_reachable(server: ToxiproxyServer, name: str) -> None:
    """Connect through a proxy called ``name``, which is removed again. Raises HarnessError that says what to do."""
    arrived = asyncio.Event()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        writer.close()

    upstream = await asyncio.start_server(accepted, _HOST, 0)
    writer: asyncio.StreamWriter | None = None
    try:
        port = upstream.sockets[0].getsockname()[1]
        listen = address(await server.call(lambda: server.create(name, f"{_HOST}:{port}")))
        async with asyncio.timeout(WITHIN_S):
            _, writer = await asyncio.open_connection(*listen)
            await arrived.wait()
    except (OSError, TimeoutError) as error:
        raise HarnessError(
            f"no connection gets through Toxiproxy at {server.url}: it has to share 127.0.0.1 with faultline "
            "(a container needs --network host)"
        ) from error
    finally:
        upstream.close()
        if writer is not None:
            writer.close()
        with suppress(HarnessError):  # what went wrong before is what is told
            await server.call(lambda: server.remove_proxy(name))

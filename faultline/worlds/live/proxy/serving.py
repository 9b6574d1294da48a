"""Running the control API as a process: the loop, the signals, the configuration file, the token."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from faultline.errors import UsageError
from faultline.worlds.live.proxy.address import Address, cannot_listen
from faultline.worlds.live.proxy.bodies import ApiError, ProxyInput, read
from faultline.worlds.live.proxy.control import ControlApi

T = TypeVar("T")
TOKEN_VARIABLE: Final = "FAULTLINE_TOKEN"


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run ``main`` on uvloop where that is installed, else on asyncio's own loop."""

    async def body() -> T:
        return await main()

    factory: Callable[[], asyncio.AbstractEventLoop] | None
    try:
        from uvloop import new_event_loop as factory
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(body())


def token_of(path: Path | None) -> str | None:
    """The token from a file, else from the environment; None where there is none. Raises UsageError."""
    if path is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the token cannot be read: {error}") from error
    if not token:
        raise UsageError(f"{path}: holds no token")
    return token


@asynccontextmanager
async def serve_until_told(
    api: ControlApi, host: str, port: int, config: Path | None
) -> AsyncIterator[tuple[Address, asyncio.Event]]:
    """The API on its port with the proxies of ``config``. Gives where, and what SIGINT and SIGTERM set.

    Raises UsageError for a port in use, a file that is wrong, or a proxy of it that cannot listen; nothing stays.
    """
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    try:
        try:
            at = await api.start(host, port)
        except OSError as error:
            raise cannot_listen("the control API", Address(host, port), error) from error
        if config is not None:
            await _populate(api, config)
        gc.collect()
        gc.freeze()  # what is there now stays: it need not be looked at again and again
        yield at, told
    finally:
        await api.stop()


async def _populate(api: ControlApi, path: Path) -> None:
    try:
        await api.server.populate(read(path.read_bytes(), list[ProxyInput]))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ApiError as error:
        # Its words are those of the HTTP API; this is a file.
        raise UsageError(f"{path}: {error.message.replace('bad request body', 'not a list of proxies')}") from error

"""The stream connection: one after another, for as long as the client runs.

A connection that says nothing for half of ``SILENCE_S`` is asked with a ping and, when that is not answered either,
given up: a half-open connection looks exactly like a quiet market. Reconnects back off, with jitter, so that a
venue that comes back is not met by all its clients at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from typing import Final
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from targets.order_model import Unreadable
from targets.order_sync import Sync
from targets.venue_auth import Tokens
from targets.venue_http import VenueError

log = logging.getLogger(__name__)

SILENCE_S: Final = 5.0
OPEN_S: Final = 3.0
CLOSE_S: Final = 1.0
BACKOFF_FIRST_S: Final = 0.25
BACKOFF_MAX_S: Final = 8.0
HEALTHY_S: Final = 5.0
"""A connection that lived this long was a good one: the next backoff starts from the beginning."""
BAD_TOKEN: Final = 4401


class Silent(Exception):
    """The stream says nothing, or nothing of what happens."""


class Feed:
    """Subscribes to orders and fills and hands every message to ``sync``."""

    def __init__(self, stream_url: str, tokens: Tokens, sync: Sync) -> None:
        self._url = stream_url.rstrip("/") + "/stream"
        self._tokens = tokens
        self._sync = sync

    async def run(self) -> None:
        """Keep connected, for ever."""
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._connection()
            except (WebSocketException, VenueError, Unreadable, Silent, OSError, TimeoutError) as error:
                log.info("stream ended: %s: %s", type(error).__name__, error)
            finally:
                self._sync.disconnected()
            failures = 0 if time.monotonic() - began > HEALTHY_S else failures + 1
            backoff_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(failures, 10))
            await asyncio.sleep(random.uniform(0.5, 1.0) * backoff_s)

    async def _connection(self) -> None:
        token = await self._tokens.get()
        url = f"{self._url}?token={quote(token, safe='')}"
        try:
            # Keepalive is our own: the venue's answer to a protocol ping says nothing about its data.
            async with connect(url, open_timeout=OPEN_S, close_timeout=CLOSE_S, ping_interval=None) as socket:
                await socket.send(json.dumps({"op": "subscribe", "topics": ["orders", "fills"]}))
                await self._listen(socket)
        except InvalidStatus as error:
            if error.response.status_code in (401, 403):
                self._tokens.reject(token)
            raise
        except ConnectionClosed as error:
            if error.rcvd is not None and error.rcvd.code == BAD_TOKEN:
                self._tokens.reject(token)
            raise

    async def _listen(self, socket: ClientConnection) -> None:
        asked = False
        while not self._sync.mute:
            try:
                async with asyncio.timeout(SILENCE_S / 2):
                    text = await socket.recv()
            except TimeoutError:
                if asked:
                    raise Silent(f"nothing for {SILENCE_S:g} s") from None
                await socket.send(json.dumps({"op": "ping"}))
                asked = True
                continue
            asked = False
            await self._sync.message(_parsed(text))
        raise Silent("heartbeats without data")


def _parsed(text: str | bytes) -> object:
    try:
        found: object = json.loads(text)
    except ValueError as error:
        raise Unreadable("a stream message is not JSON") from error
    return found

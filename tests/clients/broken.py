"""Clients that break in one way each, and not by way of the venue."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import websockets

from tests.clients.tiny import DONE, Tiny


class RaisesInStart(Tiny):
    async def start(self) -> None:
        raise RuntimeError("no key for <object at 0x7f00>")


class RaisesWhenBuilt(Tiny):
    def __init__(self, **surroundings: Any) -> None:
        super().__init__(**surroundings)
        raise RuntimeError(f"cannot open {surroundings['store_path']}")


class CancelledInStart(Tiny):
    async def start(self) -> None:
        raise asyncio.CancelledError("my own")


class NeverStarts(Tiny):
    async def start(self) -> None:
        await asyncio.Event().wait()


class StartsWithoutAwait(Tiny):
    def start(self) -> None:  # type: ignore[override]
        self.session = None  # type: ignore[assignment]


class StartsAtTheThirdTry(Tiny):
    """Its store remembers how often it was tried."""

    async def start(self) -> None:
        with self.db:
            self.db.execute("INSERT INTO orders VALUES ('try' || hex(randomblob(4)), 'unknown')")
        (tries,) = self.db.execute("SELECT count(*) FROM orders WHERE intent LIKE 'try%'").fetchone()
        await super().start()
        if tries == 2:
            await self.session.close()
            raise ConnectionError("the second process does not get through")


class WrongWord(Tiny):
    async def place(self, intent_id: str, **order: str) -> Any:
        return "done"


class WrongShape(Tiny):
    def snapshot(self) -> Any:
        return {"orders": ["I1"]}


class AnswersWithoutAwait(Tiny):
    def place(self, intent_id: str, **order: str) -> Any:
        return DONE


class Raises(Tiny):
    async def place(self, intent_id: str, **order: str) -> Any:
        raise ValueError(f"{self!r} has no {self.session.headers.get('Authorization')}")


class CancelsItself(Tiny):
    async def place(self, intent_id: str, **order: str) -> Any:
        raise asyncio.CancelledError("my own")


class NeverAnswers(Tiny):
    async def place(self, intent_id: str, **order: str) -> Any:
        await asyncio.Event().wait()


class StopHangs(Tiny):
    async def stop(self) -> None:
        await super().stop()
        await asyncio.Event().wait()


class StopRaises(Tiny):
    async def stop(self) -> None:
        await super().stop()
        raise RuntimeError("could not stop")


class LeavesTask(Tiny):
    async def start(self) -> None:
        await super().start()
        self.left = asyncio.create_task(self.linger())

    async def linger(self) -> None:
        await asyncio.Event().wait()


class EndsTasksInItsOwnTime(Tiny):
    """Cancels without waiting: the tasks are gone a turn later."""

    async def start(self) -> None:
        await super().start()
        self.ticking = asyncio.create_task(asyncio.sleep(1e6))

    async def stop(self) -> None:
        await super().stop()
        self.ticking.cancel()


class BackgroundError(Tiny):
    async def start(self) -> None:
        await super().start()
        asyncio.create_task(self.fail())  # noqa: RUF006 -- nobody keeps it, that is the point

    async def fail(self) -> None:
        raise LookupError("lost in the background")


class BackgroundErrorKept(BackgroundError):
    async def start(self) -> None:
        await Tiny.start(self)
        self.kept = asyncio.create_task(self.fail())


class CallbackError(Tiny):
    async def start(self) -> None:
        await super().start()
        asyncio.get_running_loop().call_later(0.1, self.fail)

    def fail(self) -> None:
        raise LookupError("lost in a callback")


class Exits(Tiny):
    async def place(self, intent_id: str, **order: str) -> Any:
        sys.exit("out of money")


class SwallowsEscape(Tiny):
    """Its exception handler hides that it reached for the real world."""

    async def start(self) -> None:
        await super().start()
        with suppress(Exception):
            threading.Thread(target=print).start()


class EscapesInStop(Tiny):
    async def stop(self) -> None:
        await super().stop()
        with suppress(Exception):
            threading.Thread(target=print).start()


class Spins(Tiny):
    async def place(self, intent_id: str, **order: str) -> Any:
        while True:  # noqa: ASYNC110 -- polling is what is wrong with it
            await asyncio.sleep(0)


class WritesInFinally(Tiny):
    """Keeps its state in memory and stores it in the end: what a cancelled task would do and a dead one does not."""

    async def place(self, intent_id: str, **order: str) -> Any:
        try:
            return await super().place(intent_id, **order)  # type: ignore[arg-type]
        finally:
            FINALLY.append(asyncio.get_running_loop().time())
            Path(self.store_path).with_name("finally.txt").write_text(intent_id)
            self.note("finally", "unknown")


class AnswersInTheVoid(Tiny):
    """Goes on, in the very step in which its store kills it: stores, sends, and answers."""

    async def place(self, intent_id: str, **order: str) -> Any:
        self.note(intent_id, "pending")
        self.note(f"{intent_id}-void", "unknown")
        asyncio.create_task(super().place(intent_id, **order))  # noqa: RUF006  # type: ignore[arg-type]
        return DONE


class Impatient(Tiny):
    """Logs in with one try."""

    async def start(self) -> None:
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1))
        try:
            async with self.session.post(f"{self.rest_url}/auth/token", json=self.credentials) as response:
                token = (await response.json())["access_token"]
        except BaseException:
            await self.session.close()
            raise
        self.session.headers["Authorization"] = f"Bearer {token}"


class TicksOn(Tiny):
    """Its stop() leaves something running that stores something every second."""

    async def start(self) -> None:
        await super().start()
        self.left = asyncio.create_task(self.tick())

    async def stop(self) -> None:
        await self.session.close()

    async def tick(self) -> None:
        while True:
            TICKS.append((asyncio.get_running_loop().time(), id(self)))
            await asyncio.sleep(1)


class LeavesStream(Tiny):
    async def start(self) -> None:
        await super().start()
        token = self.session.headers["Authorization"].partition(" ")[2]
        self.stream = await websockets.connect(f"{self.stream_url}/stream?token={token}")


class Interrupted(Tiny):
    async def place(self, intent_id: str, **order: str) -> Any:
        raise KeyboardInterrupt


TICKS: list[tuple[float, int]] = []
FINALLY: list[float] = []
"""When a ``finally`` of WritesInFinally ran, by the loop's clock."""

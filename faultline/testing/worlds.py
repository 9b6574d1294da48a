"""What every world keeps: a run in it begins, carries what was injected, ends, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import aiohttp

from faultline.faults import LostResponse
from faultline.faults.points import Plane
from faultline.history.event import Answered, Received, Resolved, Struck
from faultline.session import Session
from faultline.testing.conformance import Promises
from faultline.worlds import WORLDS, WorldKind

_PAUSE_S = 0.05


class _Told(Exception):
    """What a run raises, to see that it comes through."""


def check_world(kind: str | WorldKind) -> None:
    """Raises NonConforming for a world that does not keep what ours keep.

    Its clock goes forward and begins at zero; a venue can be reached in it; a response that is lost is lost, and its
    receipt says that it took effect; what a run returns and raises comes through; no task outlives it; and under the
    same seed it is the same again, if it says so (``repeatable``).
    """
    named = kind if isinstance(kind, str) else "of one's own"
    promises = Promises(f"world {named!r}")
    found = WORLDS.get(kind) if isinstance(kind, str) else kind
    if promises.that(found is not None, "there is no such world") and found is not None:
        first = _run(promises, found)
        if found.repeatable and not promises.broken:
            promises.that(_run(promises, found) == first, "under the same seed its history is not the same")
        _check_raising(promises, found)
        promises.that(Plane.MESSAGE in found.planes, "it does not carry faults of the message plane")
    promises.keep()


def _run(promises: Promises, kind: WorldKind) -> str:
    left: list[asyncio.Task[Any]] = []

    async def main() -> str:
        began_s = session.now_s()
        promises.that(0 <= began_s < 5, f"its clock begins at {began_s:g} s")
        await asyncio.sleep(_PAUSE_S)
        promises.that(session.now_s() - began_s >= _PAUSE_S * 0.9, "its clock does not go on while one sleeps")
        await _strike(promises, session)
        left.append(asyncio.get_running_loop().create_task(asyncio.sleep(3600)))
        return "done"

    with Session(seed=5, world=kind) as session:
        result = promises.works(lambda: session.run(main), "a run in it breaks")
    promises.that(result == "done" or promises.broken, f"a run returned 'done', and {result!r} came out of it")
    promises.that(all(task.done() for task in left), "a task outlives its run")
    return session.history.digest


async def _strike(promises: Promises, session: Session) -> None:
    venue = await session.venue("generic")
    body = {"client_id": venue.client_id, "client_secret": venue.client_secret}
    async with aiohttp.ClientSession(venue.url, timeout=aiohttp.ClientTimeout(total=10)) as client:
        async with client.post("/auth/token", json=body) as response:
            promises.that(response.status == 200, f"the venue answers {response.status} to whom it knows")
        async with session.inject(LostResponse(on="POST /auth/token", how="rst")):
            with suppress(aiohttp.ClientError):
                async with client.post("/auth/token", json=body):
                    promises.that(False, "a response that was lost arrives")
    await session.settle()
    history = session.history
    promises.that(
        len(history.of(Struck)) == 1, f"one fault was to strike, and {len(history.of(Struck))} receipts are there"
    )
    promises.that(len(history.of(Resolved)) == len(history.of(Struck)), "a receipt is not resolved")
    promises.that(len(history.of(Received)) == 2, f"two requests were sent, and {len(history.of(Received))} are booked")
    fates = [event.fate for event in history.of(Answered)]
    promises.that(fates == ["sent", "cut"] or fates == ["sent", "lost"], f"the answers are booked as {fates}")


def _check_raising(promises: Promises, kind: WorldKind) -> None:
    async def main() -> None:
        raise _Told

    try:
        Session(seed=5, world=kind).run(main)
    except _Told:
        return
    except Exception as error:
        promises.that(False, f"what a run raises comes out as {type(error).__name__}")
    else:
        promises.that(False, "what a run raises is swallowed")

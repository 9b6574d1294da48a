"""Both clients against the generic venue, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from faultline.history.event import Effect, Received
from faultline.plan import make_plan
from faultline.runner import Run, run
from faultline.scenario.load import loads
from faultline.session import RunningVenue, Session
from faultline.targets import TargetRef

TARGETS = Path(__file__).parents[2] / "targets"
CAREFUL = TargetRef("careful", f"{TARGETS}/order_flow.py:OrderFlow")
NAIVE = TargetRef("naive", f"{TARGETS}/naive_flow.py:NaiveFlow")
# The loader makes the folder importable, as it does in a run; the tests of single modules rely on it.
OrderFlow: Any = CAREFUL.load()
NaiveFlow: Any = NAIVE.load()

ORDER = {"symbol": "NQ", "side": "buy", "order_type": "limit", "quantity": "4", "price": "100"}


class Stage:
    """One venue, its ledger, and client processes that share a store."""

    def __init__(self, session: Session, venue: RunningVenue, store: Path) -> None:
        self.session = session
        self.venue = venue
        self.store = store

    def client(self, kind: Any = OrderFlow) -> Any:
        return kind(
            rest_url=self.venue.url,
            stream_url=self.venue.stream_url,
            store_path=str(self.store),
            client_id=self.venue.client_id,
            client_secret=self.venue.client_secret,
        )

    @asynccontextmanager
    async def running(self, kind: Any = OrderFlow) -> AsyncIterator[Any]:
        client = self.client(kind)
        await client.start()
        try:
            yield client
        finally:
            await client.stop()

    @property
    def orders(self) -> list[Effect]:
        """Every order that the venue accepted."""
        return [effect for effect in self.session.history.of(Effect) if effect.what == "order"]

    def arrivals(self, endpoint: str) -> list[float]:
        """When requests arrived there."""
        return [event.t for event in self.session.history.of(Received) if event.endpoint == endpoint]

    @property
    def position(self) -> Decimal:
        """What the venue's fills come to."""
        return sum(self.session.history.ledger.true_positions().values(), Decimal(0))


async def on_stage(session: Session, tmp_path: Path, **settings: Any) -> Stage:
    return Stage(session, await session.venue("generic", **settings), tmp_path / "state.db")


async def until(condition: Callable[[], object], *, within_s: float = 120.0) -> None:
    """Wait, in virtual time, until ``condition`` holds."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def status(client: Any, intent: str) -> str:
    order = client.snapshot()["orders"].get(intent)
    return "" if order is None else str(order["status"])


def scenario(text: str, target: TargetRef, seed: int = 0) -> Run:
    """Run a scenario's body (everything after ``about``) once."""
    head = "version: 1\nname: test\nabout: test\ntarget: none.py:None\n"
    (parsed,) = loads(head + text)
    return run(make_plan(parsed, target), seed)


def verdicts(done: Run) -> dict[str, str]:
    assert done.error is None, done.error
    return {verdict.oracle: verdict.verdict for verdict in done.verdicts}

"""Whole systems of the resilience layer at a venue, for what needs several of them or calls that are no orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from faultline.history.event import Answered, Received
from faultline.session import RunningVenue, Session
from targets.resilience.config import StateConfig
from targets.resilience.system import IntegratedSystem, venue_system


def system_at(venue: RunningVenue, flow: Any, **settings: Any) -> IntegratedSystem:
    """The system that ``flow`` is made of, with other ``settings``."""
    address = {"rest_url": venue.url, "stream_url": venue.stream_url}
    access = {"client_id": venue.client_id, "client_secret": venue.client_secret}
    config = replace(flow.config, venue=replace(flow.config.venue, **address, **access), state=StateConfig())
    return venue_system(replace(config, **settings), flow.adapter)


@asynccontextmanager
async def running(*systems: IntegratedSystem) -> AsyncIterator[None]:
    """Started, and stopped in the end; the state of each has to agree with itself."""
    await asyncio.gather(*(system.start() for system in systems))
    try:
        yield
        assert all(system.state_manager.verify_state_consistency() for system in systems)
    finally:
        await asyncio.gather(*(system.stop() for system in systems))


async def until(condition: Callable[[], object], *, within_s: float) -> None:
    """Wait, in virtual time, until ``condition`` holds."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def statuses(session: Session) -> set[int]:
    """Every status that was answered."""
    return {event.status for event in session.history.of(Answered)}


def arrivals(session: Session, endpoint: str) -> list[float]:
    """When requests arrived there."""
    return [event.t for event in session.history.of(Received) if event.endpoint == endpoint]

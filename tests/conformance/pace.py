"""All waits of clients and servers, stretched together when a loaded machine is too slow for them."""

from __future__ import annotations

from contextvars import ContextVar

STRETCH: ContextVar[float] = ContextVar("stretch", default=1.0)


def paced(seconds: float) -> float:
    return seconds * STRETCH.get()

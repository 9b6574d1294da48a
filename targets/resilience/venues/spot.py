"""What the spot venues have in common: pairs, ids that need their pair beside them, and reading history by time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from targets.resilience.errors import APIError
from targets.resilience.http_client import HttpClient
from targets.resilience.rate_limiter import Limiter
from targets.resilience.signed_access import SignedAccess
from targets.resilience.venue import Fill, FillPage, UnreadableError, WithdrawnError

PAIRS: Final = ("BTC/USDT",)
OVERLAP_MS: Final = 60_000
"""Fills may become visible later than younger ones, so each walk begins that much before the youngest known."""
_TOO_MANY: Final = (418, 429, 503)


@dataclass(frozen=True, slots=True)
class Pair:
    """What is traded for what; ``symbol`` is the venue's name for it."""

    symbol: str
    base: str
    quote: str

    @classmethod
    def read(cls, text: str, joint: str = "") -> Pair:
        """``BTC/USDT`` in the spelling of a venue that joins names with ``joint``."""
        base, _, quote = text.partition("/")
        return cls(f"{base}{joint}{quote}", base, quote)


def joined(symbol: str, own_id: object) -> str:
    """An id together with its pair."""
    return f"{symbol}:{own_id}"


def parted(joined_id: str) -> tuple[str, str]:
    """The pair and the venue's own id."""
    symbol, _, own_id = joined_id.partition(":")
    return symbol, own_id


def still_wanted(unless: Callable[[], bool] | None, what: str) -> None:
    """Raise WithdrawnError when nobody wants it any more."""
    if unless is not None and unless():
        raise WithdrawnError(f"{what}: no longer wanted")


def clock(http: HttpClient, limiter: Limiter, path: str, read: Callable[[object], float]) -> SignedAccess:
    """The clock of a venue that tells its time at ``path``; ``read`` gives the milliseconds in the answer."""

    async def ask() -> float:
        await limiter.throttle("time")
        reply = await http.send("GET", path)
        try:
            reply.raise_for_status(f"GET {path}")
        except APIError as error:
            if reply.status in _TOO_MANY:
                limiter.refused(reply.status, error.retry_after_s)
            raise
        limiter.served()
        return read(reply.data)

    return SignedAccess(ask)


class Walk(msgspec.Struct, frozen=True):
    """How far the fills were read, where they are asked for by time and come in pages.

    A walk begins at ``since_ms``, less the overlap, and takes as many pages as there are; ``place`` says where the
    next one begins, as the venue counts. Only when it is over the next may begin later: then at ``youngest_ms``.
    """

    since_ms: int = 0
    youngest_ms: int = 0
    place: str = ""

    @classmethod
    def of(cls, cursor: str) -> Walk:
        """The walk in a cursor."""
        return msgspec.json.decode(cursor, type=cls) if cursor else cls()

    @property
    def from_ms(self) -> int:
        """The time to ask from."""
        return max(0, self.since_ms - OVERLAP_MS)

    def page(self, fills: Iterable[tuple[int, Fill]], next_place: str) -> FillPage:
        """What was found, each with its time. ``next_place`` empty: that was all."""
        found = sorted(fills, key=lambda timed: timed[0])
        youngest_ms = max((at_ms for at_ms, _ in found), default=self.since_ms)
        youngest_ms = max(youngest_ms, self.youngest_ms, self.since_ms)
        after = Walk(self.since_ms, youngest_ms, next_place) if next_place else Walk(youngest_ms, youngest_ms)
        return FillPage(tuple(fill for _, fill in found), msgspec.json.encode(after).decode(), bool(next_place))


def whole(value: object, name: str) -> int:
    """A whole number, from a JSON number or text. Raises UnreadableError."""
    try:
        return int(float(str(value)))
    except (ValueError, OverflowError) as error:
        raise UnreadableError(f"{name!r} is no number") from error
